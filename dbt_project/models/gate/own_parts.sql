{{ config(materialized='dated_partition', partition_by='payment_date', tags=['payment']) }}

{#-
    What the own part of the reserve is made of (自有部分构成), account by account of the ledger,
    as of the close of the reserve proof: what was earned and put in, less what was spent, and what
    of it is elsewhere (own funds, the fee account, advances). The parts add up to the booked own
    part of gate.reserve_proof.
-#}
with proofs as (
    select
        currency_code,
        as_of_date
    from {{ ref('reserve_proof') }}
    where payment_date = {{ payment_date() }}
),

account_balances as (
    select
        accounting_date,
        ledger_account,
        currency_code,
        closing_amount_minor
    from {{ ref('account_balances') }}
    where accounting_date >= {{ days_back(payment_date()) }}
        and accounting_date < {{ payment_date() }}
        and ledger_account not in ({{ client_accounts() }})
),

final as (
    select
        {{ payment_date() }} as payment_date,
        account_balances.currency_code,
        account_balances.ledger_account,
        proofs.as_of_date,
        cast(-sum(account_balances.closing_amount_minor) as bigint) as own_amount_minor
    from account_balances
    inner join proofs
        on account_balances.currency_code = proofs.currency_code
        and account_balances.accounting_date = proofs.as_of_date
    group by
        account_balances.currency_code, account_balances.ledger_account, proofs.as_of_date
    having sum(account_balances.closing_amount_minor) <> 0
)

select * from final
