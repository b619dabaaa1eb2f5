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

postings as (
    select
        currency_code,
        amount_minor,
        debit_account,
        debit_subledger,
        debit_subledger_id,
        credit_account,
        credit_subledger,
        credit_subledger_id
    from {{ ref('postings') }}
    where accounting_date = {{ accounting_date() }}
),

movements as (
    select
        legs.ledger_account,
        legs.subledger_id,
        case legs.subledger when 'account' then legs.subledger_id end as account_id,
        postings.currency_code,
        sum(legs.debit_minor) as debit_amount_minor,
        sum(legs.credit_minor) as credit_amount_minor
    from postings
    cross join lateral (
        values
        (
            postings.debit_account, postings.debit_subledger, postings.debit_subledger_id,
            postings.amount_minor, 0
        ),
        (
            postings.credit_account, postings.credit_subledger, postings.credit_subledger_id,
            0, postings.amount_minor
        )
    ) as legs (ledger_account, subledger, subledger_id, debit_minor, credit_minor)
    group by legs.ledger_account, legs.subledger, legs.subledger_id, postings.currency_code
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
