{{ config(materialized='public_view', tags=['views']) }}

{#-
    The clearing sessions of each date that was closed (清算场次), by the schedule, those without an
    entry too: until when, how many entries, and whether it is frozen. A session with a cutoff is
    frozen by the date's first close, each by its seal. Amounts are those of clearing_records.
-#}
with schedule as (
    select
        clearing_session_type,
        clearing_session_no,
        cutoff_minutes,
        effective_from,
        effective_to
    from {{ ref('clearing_session_schedule') }}
),

accounting_days as (
    select
        accounting_date,
        state
    from {{ source('control', 'accounting_days') }}
    where close_count > 0
),

clearing_records as (
    select
        accounting_date,
        clearing_session_type,
        clearing_session_no,
        transaction_count as entry_count
    from {{ ref('clearing_records') }}
),

service_fee_entries as (
    select
        accounting_date,
        clearing_session_no
    from {{ ref('service_fee_entries') }}
),

frozen_sessions as (
    select
        accounting_date,
        clearing_session_type,
        clearing_session_no
    from {{ source('control', 'frozen_clearing_sessions') }}
),

counted as (
    select
        accounting_date,
        clearing_session_type,
        clearing_session_no,
        entry_count
    from clearing_records
    union all
    select
        accounting_date,
        'service_fee' as clearing_session_type,
        clearing_session_no,
        1 as entry_count
    from service_fee_entries
),

totals as (
    select
        accounting_date,
        clearing_session_type,
        clearing_session_no,
        sum(entry_count) as entry_count
    from counted
    group by accounting_date, clearing_session_type, clearing_session_no
),

final as (
    select
        accounting_days.accounting_date,
        schedule.clearing_session_type,
        schedule.clearing_session_no,
        {{ business_instant('accounting_days.accounting_date', 'schedule.cutoff_minutes') }}
            as ends_at,
        cast(coalesce(totals.entry_count, 0) as bigint) as entry_count,
        accounting_days.state = 'sealed' or frozen_sessions.clearing_session_no is not null
            as is_frozen
    from accounting_days
    inner join schedule
        on schedule.effective_from <= accounting_days.accounting_date
        and (
            schedule.effective_to is null
            or schedule.effective_to > accounting_days.accounting_date
        )
    left join totals
        on accounting_days.accounting_date = totals.accounting_date
        and schedule.clearing_session_type = totals.clearing_session_type
        and schedule.clearing_session_no = totals.clearing_session_no
    left join frozen_sessions
        on accounting_days.accounting_date = frozen_sessions.accounting_date
        and schedule.clearing_session_type = frozen_sessions.clearing_session_type
        and schedule.clearing_session_no = frozen_sessions.clearing_session_no
)

select * from final
