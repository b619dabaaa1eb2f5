{{ config(materialized='ephemeral') }}

{#- Records equal their entries. -#}
with arrival_groups as (
    select accounting_date
    from {{ ref('int_calendar__arrival_groups') }}
    where accounting_date >= {{ previous_payment_date() }}
        and accounting_date < {{ payment_date() }}
),

clearing_entries as (
    select
        accounting_date,
        account_id,
        clearing_session_type,
        clearing_session_no,
        currency_code,
        transaction_amount_minor,
        fee_amount_minor,
        clearing_amount_minor
    from {{ ref('clearing_entries') }}
    where accounting_date >= {{ previous_payment_date() }}
        and accounting_date < {{ payment_date() }}
),

clearing_records as (
    select
        accounting_date,
        account_id,
        clearing_session_type,
        clearing_session_no,
        currency_code,
        transaction_count,
        transaction_amount_minor,
        fee_amount_minor,
        clearing_amount_minor
    from {{ ref('clearing_records') }}
    where accounting_date >= {{ previous_payment_date() }}
        and accounting_date < {{ payment_date() }}
),

entry_totals as (
    select
        accounting_date,
        account_id,
        clearing_session_type,
        clearing_session_no,
        currency_code,
        count(*) as transaction_count,
        sum(transaction_amount_minor) as transaction_amount_minor,
        sum(fee_amount_minor) as fee_amount_minor,
        sum(clearing_amount_minor) as clearing_amount_minor
    from clearing_entries
    group by
        accounting_date, account_id, clearing_session_type, clearing_session_no, currency_code
),

record_differences as (
    select
        coalesce(entry_totals.accounting_date, clearing_records.accounting_date)
            as accounting_date,
        coalesce(entry_totals.account_id, clearing_records.account_id) as account_id,
        entry_totals.transaction_count is distinct from clearing_records.transaction_count
        or entry_totals.transaction_amount_minor
        is distinct from clearing_records.transaction_amount_minor
        or entry_totals.fee_amount_minor is distinct from clearing_records.fee_amount_minor
        or entry_totals.clearing_amount_minor
        is distinct from clearing_records.clearing_amount_minor as is_wrong
    from entry_totals
    full join clearing_records
        on entry_totals.accounting_date = clearing_records.accounting_date
        and entry_totals.account_id = clearing_records.account_id
        and entry_totals.clearing_session_type = clearing_records.clearing_session_type
        and entry_totals.clearing_session_no = clearing_records.clearing_session_no
        and entry_totals.currency_code = clearing_records.currency_code
),

accounting_dates as (
    select distinct accounting_date
    from arrival_groups
),

record_checks as (
    select
        to_char(accounting_dates.accounting_date, 'YYYY-MM-DD') as subject,
        count(*) filter (where record_differences.is_wrong) = 0 as holds,
        coalesce(
            'first account: '
            || min(record_differences.account_id) filter (where record_differences.is_wrong),
            ''
        ) as detail,
        count(*) filter (where record_differences.is_wrong) as measured,
        '0' as expected
    from accounting_dates
    left join record_differences
        on accounting_dates.accounting_date = record_differences.accounting_date
    group by accounting_dates.accounting_date
),

final as (
    {{ check_rows('clearing_records_sum_to_entries', ['record_checks'], of_new_dates=true) }}
)

select * from final
