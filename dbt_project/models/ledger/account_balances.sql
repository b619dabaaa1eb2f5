{{ config(materialized='dated_partition', partition_by='accounting_date', tags=['close']) }}

{#-
    Opening balance + debits − credits = closing balance, per ledger account and sub-ledger.
    Balances are signed, debit positive. The opening is the closing of T−1; a balance that ended
    at zero is not carried.
-#}
with balances_before as (
    select
        ledger_account,
        subledger_id,
        account_id,
        currency_code,
        closing_amount_minor
    from {{ this }}
    where accounting_date = {{ accounting_date() }} - 1 and closing_amount_minor <> 0
),

movements as (
    select
        ledger_account,
        subledger_id,
        account_id,
        currency_code,
        coalesce(sum(amount_minor) filter (where direction = 'debit'), 0) as debit_amount_minor,
        coalesce(sum(amount_minor) filter (where direction = 'credit'), 0) as credit_amount_minor
    from {{ ref('journal_entries') }}
    where accounting_date = {{ accounting_date() }}
    group by ledger_account, subledger_id, account_id, currency_code
),

final as (
    select
        {{ accounting_date() }} as accounting_date,
        coalesce(movements.ledger_account, balances_before.ledger_account) as ledger_account,
        coalesce(movements.subledger_id, balances_before.subledger_id) as subledger_id,
        coalesce(movements.currency_code, balances_before.currency_code) as currency_code,
        coalesce(movements.account_id, balances_before.account_id) as account_id,
        coalesce(balances_before.closing_amount_minor, 0) as opening_amount_minor,
        coalesce(movements.debit_amount_minor, 0) as debit_amount_minor,
        coalesce(movements.credit_amount_minor, 0) as credit_amount_minor,
        coalesce(balances_before.closing_amount_minor, 0)
        + coalesce(movements.debit_amount_minor, 0)
        - coalesce(movements.credit_amount_minor, 0) as closing_amount_minor
    from movements
    full outer join balances_before
        on movements.ledger_account = balances_before.ledger_account
        and movements.subledger_id = balances_before.subledger_id
        and movements.currency_code = balances_before.currency_code
)

select * from final
