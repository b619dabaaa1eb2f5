{{ config(materialized='ephemeral') }}

{#-
    Each advance that this payment date nets was debited to own funds, in its amount: an advance
    that nobody paid would take a merchant's money. Compared is what own funds have statements for
    (int_bank__own_entries); before their first one there is nothing to compare with. What is given
    back of an advance that failed takes nothing from anybody.
-#}
with netted_advances as (
    select
        advance_id,
        account_id,
        currency_code,
        principal_amount_minor
    from {{ ref('advances') }}
    where payment_date = {{ payment_date() }} and principal_amount_minor > 0
),

expected as (
    select distinct
        reference_text,
        currency_code
    from {{ ref('int_bank__own_entries') }}
    where entry_kind = 'advance'
        and effective_on > {{ days_back(previous_payment_date()) }}
        and effective_on <= {{ payment_date() }}
),

-- A debit of an earlier payment date: the platform told late of it, or ahead.
debits as (
    select
        split_part(match_key, ':', 2) as advance_id,
        currency_code,
        sum(amount_minor) as amount_minor
    from {{ ref('bank_match_lines') }}
    where payment_date > {{ days_back(previous_payment_date()) }}
        and payment_date <= {{ payment_date() }}
        and side = 'bank'
        and item_kind = 'advance'
        and is_new
    group by split_part(match_key, ':', 2), currency_code
),

advance_checks as (
    select
        netted_advances.advance_id as subject,
        debits.amount_minor is not distinct from -netted_advances.principal_amount_minor as holds,
        case
            when debits.amount_minor is distinct from -netted_advances.principal_amount_minor
                then netted_advances.account_id || ' is to pay back an advance that own funds were '
                    || case
                        when debits.amount_minor is null then 'not debited'
                        else 'debited otherwise'
                    end || ' (自有资金户无此垫款扣款)'
            else ''
        end as detail,
        coalesce(cast(debits.amount_minor as text), 'no debit') as measured,
        cast(-netted_advances.principal_amount_minor as text) as expected
    from netted_advances
    inner join expected
        on netted_advances.advance_id = expected.reference_text
        and netted_advances.currency_code = expected.currency_code
    left join debits
        on netted_advances.advance_id = debits.advance_id
        and netted_advances.currency_code = debits.currency_code
),

all_checks as (
    select
        subject,
        holds,
        detail,
        measured,
        expected
    from advance_checks
    union all
    select
        'all' as subject,
        true as holds,
        '' as detail,
        '0' as measured,
        '0' as expected
    where not exists (select 1 from advance_checks)
),

final as (
    {{ check_rows('advances_debited', ['all_checks']) }}
)

select * from final
