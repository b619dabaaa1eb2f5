{{ config(materialized='ephemeral') }}

{#- Every payable statement has an active payee; withheld ones are listed. -#}
with statements as (
    select
        statement_id,
        account_id,
        currency_code,
        payout_amount_minor,
        payable_status,
        payee_id,
        payee_version
    from {{ ref('settlement_statements') }}
    where payment_date = {{ payment_date() }}
),

payees as (
    select
        payee_id,
        payee_version,
        account_id,
        currency_code,
        payee_status
    from {{ ref('stg_platform__payees') }}
    where snapshot_date = {{ latest_snapshot_before_payment(ref('stg_platform__payees')) }}
        and {{ in_force(payment_date()) }}
),

unpayable as (
    select statements.statement_id
    from statements
    left join payees
        on statements.payee_id = payees.payee_id
        and statements.payee_version = payees.payee_version
        and statements.account_id = payees.account_id
        and statements.currency_code = payees.currency_code
        and payees.payee_status = 'active'
    where statements.payout_amount_minor <> 0 and payees.payee_id is null
),

withheld as (
    select
        count(*) as withheld_count,
        coalesce(string_agg(statement_id, ', ' order by statement_id), '') as statement_ids
    from statements
    where payable_status = 'withheld'
),

payee_checks as (
    select
        'all' as subject,
        count(unpayable.statement_id) = 0 as holds,
        coalesce(
            'no valid payee (无有效收款人): ' || min(unpayable.statement_id) || '; ', ''
        )
        || 'withheld (暂缓支付) ' || withheld.withheld_count
        || case
            when withheld.withheld_count > 0 then ': ' || left(withheld.statement_ids, 500)
            else ''
        end as detail,
        count(unpayable.statement_id) as measured,
        '0' as expected
    from withheld
    left join unpayable on true
    group by withheld.withheld_count, withheld.statement_ids
),

final as (
    {{ check_rows('payable_statement_has_payee', ['payee_checks']) }}
)

select * from final
