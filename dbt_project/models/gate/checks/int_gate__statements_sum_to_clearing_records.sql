{{ config(materialized='ephemeral') }}

{#-
    Statements, their lines and clearing records agree. A channel whose money comes later is stated
    later: what its entries moved to another payment date, or came from an earlier accounting date,
    is set against the records of the dates since the last payment.
-#}
with arrival_groups as (
    select distinct currency_code
    from {{ ref('int_calendar__arrival_groups') }}
),

statements as (
    select
        statement_id,
        account_id,
        currency_code,
        settlement_amount_minor,
        adjustment_amount_minor
    from {{ ref('settlement_statements') }}
    where payment_date = {{ payment_date() }}
),

statement_lines as (
    select
        payment_date,
        statement_id,
        currency_code,
        clearing_amount_minor
    from {{ ref('statement_lines') }}
    where payment_date >= {{ previous_payment_date() }} - 14
        and payment_date <= {{ payment_date() }} + 14
),

clearing_records as (
    select
        account_id,
        currency_code,
        transaction_count,
        clearing_amount_minor
    from {{ ref('clearing_records') }}
    where accounting_date >= {{ previous_payment_date() }}
        and accounting_date < {{ payment_date() }}
),

moved_entries as (
    select
        account_id,
        currency_code,
        case when payment_date > {{ payment_date() }} then -1 else 1 end as transaction_count,
        case when payment_date > {{ payment_date() }} then -1 else 1 end * clearing_amount_minor
            as clearing_amount_minor
    from {{ ref('clearing_entries') }}
    where accounting_date >= {{ days_back(payment_date()) }}
        and accounting_date < {{ payment_date() }}
        and case
            when accounting_date >= {{ previous_payment_date() }}
                then payment_date > {{ payment_date() }}
            else payment_date = {{ payment_date() }}
        end
),

-- A charge that waits is cleared and not stated; one that waited is stated with what clears now.
moved_charges as (
    select
        account_id,
        currency_code,
        case when deferred_amount_minor > 0 then -1 else 1 end as transaction_count,
        deferred_amount_minor - released_amount_minor as clearing_amount_minor
    from {{ ref('charges') }}
    where payment_date = {{ payment_date() }}
        and (deferred_amount_minor > 0 or released_amount_minor > 0)
),

lines_of_day as (
    select
        statement_id,
        currency_code,
        count(*) as line_count,
        sum(clearing_amount_minor) as clearing_amount_minor
    from statement_lines
    where payment_date = {{ payment_date() }}
    group by statement_id, currency_code
),

line_differences as (
    select
        coalesce(statements.currency_code, lines_of_day.currency_code) as currency_code,
        coalesce(statements.statement_id, lines_of_day.statement_id) as statement_id
    from statements
    full join lines_of_day on statements.statement_id = lines_of_day.statement_id
    where statements.statement_id is null
        or statements.settlement_amount_minor + statements.adjustment_amount_minor
        <> coalesce(lines_of_day.clearing_amount_minor, 0)
),

records_to_state as (
    select * from clearing_records
    union all
    select * from moved_entries
    union all
    select * from moved_charges
),

record_totals as (
    select
        account_id,
        currency_code,
        sum(clearing_amount_minor) as clearing_amount_minor
    from records_to_state
    group by account_id, currency_code
),

statement_totals as (
    select
        account_id,
        currency_code,
        sum(settlement_amount_minor + adjustment_amount_minor) as stated_amount_minor
    from statements
    group by account_id, currency_code
),

account_differences as (
    select
        coalesce(statement_totals.currency_code, record_totals.currency_code) as currency_code,
        coalesce(statement_totals.account_id, record_totals.account_id) as account_id,
        coalesce(statement_totals.stated_amount_minor, 0) as stated_amount_minor,
        coalesce(record_totals.clearing_amount_minor, 0) as clearing_amount_minor
    from statement_totals
    full join record_totals
        on statement_totals.account_id = record_totals.account_id
        and statement_totals.currency_code = record_totals.currency_code
),

record_counts as (
    select
        currency_code,
        sum(transaction_count) as entry_count
    from records_to_state
    group by currency_code
),

line_counts as (
    select
        currency_code,
        sum(line_count) as entry_count
    from lines_of_day
    group by currency_code
),

record_sum_checks as (
    {{ account_checks(
        'arrival_groups', 'account_differences', 'stated_amount_minor', 'clearing_amount_minor',
        says='(结算单与清算清单不符)', subject=' amount'
    ) }}
),

record_count_checks as (
    select
        arrival_groups.currency_code || ' entries' as subject,
        coalesce(line_counts.entry_count, 0) = coalesce(record_counts.entry_count, 0) as holds,
        case
            when coalesce(line_counts.entry_count, 0) = coalesce(record_counts.entry_count, 0)
                then ''
            else 'statement lines and clearing records count differently (笔数不符)'
        end as detail,
        coalesce(line_counts.entry_count, 0) as measured,
        coalesce(record_counts.entry_count, 0) as expected
    from arrival_groups
    left join line_counts on arrival_groups.currency_code = line_counts.currency_code
    left join record_counts on arrival_groups.currency_code = record_counts.currency_code
),

line_sum_checks as (
    select
        arrival_groups.currency_code || ' lines' as subject,
        count(line_differences.statement_id) = 0 as holds,
        coalesce(
            'first statement: ' || min(line_differences.statement_id) || ' (结算单与明细不符)',
            ''
        ) as detail,
        count(line_differences.statement_id) as measured,
        '0' as expected
    from arrival_groups
    left join line_differences on arrival_groups.currency_code = line_differences.currency_code
    group by arrival_groups.currency_code
),

final as (
    {{ check_rows('statements_sum_to_clearing_records', [
        'record_sum_checks',
        'record_count_checks',
        'line_sum_checks',
    ]) }}
)

select * from final
