{{ config(materialized='dated_partition', partition_by='accounting_date', tags=['close']) }}

{#-
    Every account of the chart has a row every date and currency, so that a missing account shows
    as missing.
-#}
with chart_of_accounts as (
    select ledger_account
    from {{ ref('chart_of_accounts') }}
),

account_balances as (
    select
        ledger_account,
        currency_code,
        opening_amount_minor,
        debit_amount_minor,
        credit_amount_minor,
        closing_amount_minor
    from {{ ref('account_balances') }}
    where accounting_date = {{ accounting_date() }}
),

currencies as (
    select currency_code from {{ ref('channel_currencies') }}
    union
    select currency_code from account_balances
),

totals as (
    select
        ledger_account,
        currency_code,
        sum(opening_amount_minor) as opening_amount_minor,
        sum(debit_amount_minor) as debit_amount_minor,
        sum(credit_amount_minor) as credit_amount_minor,
        sum(closing_amount_minor) as closing_amount_minor
    from account_balances
    group by ledger_account, currency_code
),

grain as (
    select
        chart_of_accounts.ledger_account,
        currencies.currency_code
    from chart_of_accounts
    cross join currencies
    union
    select
        ledger_account,
        currency_code
    from totals
),

final as (
    select
        {{ accounting_date() }} as accounting_date,
        grain.ledger_account,
        grain.currency_code,
        coalesce(totals.opening_amount_minor, 0) as opening_amount_minor,
        coalesce(totals.debit_amount_minor, 0) as debit_amount_minor,
        coalesce(totals.credit_amount_minor, 0) as credit_amount_minor,
        coalesce(totals.closing_amount_minor, 0) as closing_amount_minor
    from grain
    left join totals
        on grain.ledger_account = totals.ledger_account
        and grain.currency_code = totals.currency_code
)

select * from final
