{{ config(materialized='dated_partition', partition_by='payment_date', tags=['payment']) }}

{#-
    What is stated to merchants and may not be paid yet, because their contracts' cycle pays it
    later (未到期款): one row for each account, session and due date that lies after the payment
    date (docs/domain.md#settlement-cycles). It follows from the closes alone: nothing is rolled
    forward, and on its due date an amount is simply not here any more.

    What is held of an entry has not arrived, and is not subtracted a second time.
-#}
with due_dates as (
    select
        entry_id,
        account_id,
        settlement_session_type,
        currency_code,
        clearing_amount_minor,
        due_on
    from {{ ref('due_dates') }}
    where accounting_date >= {{ cycle_days_back(payment_date()) }}
        and accounting_date < {{ payment_date() }}
        and payment_date <= {{ payment_date() }}
        and due_on > {{ payment_date() }}
),

holds as (
    select
        entry_id,
        closing_amount_minor
    from {{ ref('holds') }}
    where payment_date = {{ payment_date() }} and closing_amount_minor <> 0
),

entries as (
    select
        due_dates.account_id,
        due_dates.settlement_session_type,
        due_dates.currency_code,
        due_dates.due_on,
        due_dates.clearing_amount_minor,
        greatest(
            due_dates.clearing_amount_minor - coalesce(holds.closing_amount_minor, 0), 0
        ) as not_due_amount_minor
    from due_dates
    left join holds on due_dates.entry_id = holds.entry_id
),

final as (
    select
        {{ payment_date() }} as payment_date,
        {{
            settlement_statement_id('account_id', 'settlement_session_type', '1', 'currency_code')
        }} as statement_id,
        account_id,
        settlement_session_type,
        currency_code,
        due_on,
        count(*) as entry_count,
        sum(clearing_amount_minor) as cleared_amount_minor,
        sum(not_due_amount_minor) as not_due_amount_minor
    from entries
    group by account_id, settlement_session_type, currency_code, due_on
)

select * from final
