{{ config(materialized='ephemeral') }}

{#-
    No payee that changed shortly before the payment is paid more than a limit without two people
    who look again, also one that two people have confirmed: who takes over a merchant's login
    changes the payee and is paid the next morning. Who waits for a confirmation is withheld
    already (docs/domain.md#payee-confirmed).
-#}
with payee_terms as (
    select
        payee_id,
        payee_version,
        changed_on
    from {{ ref('payee_terms') }}
    where accounting_date >= {{ days_back(payment_date()) }}
        and accounting_date < {{ payment_date() }}
        and pays_more
),

limits as (
    select
        currency_code,
        recent_days,
        recent_limit_amount_minor
    from {{ ref('recent_payee_limits') }}
),

statements as (
    select
        account_id,
        currency_code,
        payee_id,
        payee_version,
        payout_amount_minor
    from {{ ref('settlement_statements') }}
    where payment_date = {{ payment_date() }} and payout_amount_minor > 0
),

currencies as (
    select distinct currency_code
    from {{ ref('channel_currencies') }}
),

changes as (
    select
        payee_id,
        payee_version,
        max(changed_on) as changed_on
    from payee_terms
    group by payee_id, payee_version
),

payees as (
    select
        statements.currency_code,
        statements.payee_id,
        statements.payee_version,
        changes.changed_on,
        coalesce(limits.recent_limit_amount_minor, 0) as limit_minor,
        min(statements.account_id) as account_id,
        sum(statements.payout_amount_minor) as payout_minor
    from statements
    inner join changes
        on statements.payee_id = changes.payee_id
        and statements.payee_version = changes.payee_version
    left join limits on statements.currency_code = limits.currency_code
    where changes.changed_on >= {{ payment_date() }} - coalesce(limits.recent_days, 31)
    group by
        statements.currency_code,
        statements.payee_id,
        statements.payee_version,
        changes.changed_on,
        limits.recent_limit_amount_minor
),

counted as (
    select
        currency_code,
        count(*) as payee_count,
        string_agg(
            account_id || ' pays ' || payout_minor || ' to ' || payee_id || ' version '
            || payee_version || ', changed on ' || to_char(changed_on, 'YYYY-MM-DD'),
            '; ' order by payout_minor desc, payee_id asc, payee_version asc
        ) as largest
    from payees
    where payout_minor > limit_minor
    group by currency_code
),

compared as (
    select
        currencies.currency_code as subject,
        counted.currency_code is null as holds,
        coalesce(
            'payees changed shortly before the payment (收款人近期变更): '
            || left(counted.largest, 600),
            ''
        ) as detail,
        coalesce(counted.payee_count, 0) as measured,
        '0' as expected
    from currencies
    left join counted on currencies.currency_code = counted.currency_code
),

final as (
    {{ check_rows('recent_payees_within_limit', ['compared']) }}
)

select * from final
