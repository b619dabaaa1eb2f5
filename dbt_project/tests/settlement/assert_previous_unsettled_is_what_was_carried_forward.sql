-- The carry-forward chain (结转): what the statements of the payment date before carried, and what
-- go-live opened with, is what these statements start from; no balance appears or is lost between
-- two payment dates.
{{ config(tags=['payment']) }}

with settlement_statements as (
    select
        account_id,
        settlement_session_type,
        currency_code,
        previous_unsettled_amount_minor
    from {{ ref('settlement_statements') }}
    where payment_date = {{ payment_date() }} and settlement_session_no = 1
),

carried as (
    select
        account_id,
        settlement_session_type,
        currency_code,
        carried_forward_amount_minor as amount_minor
    from {{ ref('settlement_statements') }}
    where payment_date = {{ previous_payment_date() }}
    union all
    select
        subledger_id as account_id,
        'transaction' as settlement_session_type,
        currency_code,
        -balance_minor as amount_minor
    from {{ ref('stg_platform__opening_balances') }}
    where accounting_date >= {{ previous_payment_date() }}
        and accounting_date < {{ payment_date() }}
        and ledger_account in ('merchant_payable', 'merchant_receivable')
),

totals as (
    select
        account_id,
        settlement_session_type,
        currency_code,
        sum(amount_minor) as amount_minor
    from carried
    group by account_id, settlement_session_type, currency_code
)

select
    coalesce(totals.account_id, settlement_statements.account_id) as account_id,
    totals.amount_minor as carried_amount_minor,
    settlement_statements.previous_unsettled_amount_minor
from totals
full join settlement_statements
    on totals.account_id = settlement_statements.account_id
    and totals.settlement_session_type = settlement_statements.settlement_session_type
    and totals.currency_code = settlement_statements.currency_code
where coalesce(totals.amount_minor, 0)
    <> coalesce(settlement_statements.previous_unsettled_amount_minor, 0)
