{{ config(materialized='ephemeral') }}

{#- Every owed file of the dates is landed, totals agree. -#}
with arrival_groups as (
    select distinct accounting_date
    from {{ ref('int_calendar__arrival_groups') }}
    where accounting_date >= {{ previous_payment_date() }}
        and accounting_date < {{ payment_date() }}
),

arrival_dates as (
    select distinct arrival_date
    from {{ ref('int_calendar__arrival_groups') }}
    where arrival_date > {{ previous_payment_date() }}
        and arrival_date <= {{ payment_date() }}
),

expected_files as (
    select
        channel,
        file_kind,
        name_part,
        calendar
    from {{ ref('expected_files') }}
),

calendar_days as (
    select
        calendar_date,
        is_working_day
    from {{ ref('calendar_days') }}
),

first_date as (
    select min(accounting_date) as accounting_date
    from {{ ref('int_calendar__arrival_groups') }}
),

channel_files as (
    select
        channel,
        -- A reserve bank may send its statements as CSV: they prove as much. MT940 is not named,
        -- because the fee account's would stand for the reserve's.
        case
            when channel = 'bank' and file_kind = 'bank_csv' then 'camt053'
            else file_kind
        end as file_kind,
        accounting_date,
        slot,
        status,
        totals_status,
        row_count,
        declared_row_count,
        declared_total_minor,
        counted_total_minor
    from {{ source('control', 'channel_files') }}
    where accounting_date >= {{ previous_payment_date() }}
        and accounting_date <= {{ payment_date() }}
),

-- A file counts when it landed and its own totals, declared and counted, are equal once more.
judged_files as (
    select
        channel_files.*,
        status = 'landed'
        and totals_status in ('agree', 'none_in_format')
        and (declared_row_count is null or declared_row_count = row_count)
        and (
            declared_total_minor is null
            or declared_total_minor is not distinct from counted_total_minor
        )
            as is_good
    from channel_files
),

slots as (
    select
        expected_files.channel,
        expected_files.file_kind,
        expected_files.name_part,
        arrival_groups.accounting_date as business_date
    from arrival_groups
    cross join expected_files
    cross join first_date
    left join calendar_days
        on arrival_groups.accounting_date = calendar_days.calendar_date
    -- A calendar nobody knows is every day: it must not let a file be missing.
    where case expected_files.calendar
        when 'first_accounting_date'
            then arrival_groups.accounting_date = first_date.accounting_date
        when 'working_day' then coalesce(calendar_days.is_working_day, true)
        else true
    end
    union
    -- The statement that shows the arrivals, before the gate.
    select
        'bank' as channel,
        'camt053' as file_kind,
        cast(null as text) as name_part,
        arrival_date as business_date
    from arrival_dates
),

slot_states as (
    select
        slots.channel,
        slots.file_kind || coalesce(' ' || slots.name_part, '') as owed_file,
        slots.business_date,
        count(*) filter (where judged_files.is_good) as good_count,
        count(*) filter (where judged_files.status = 'landed' and not judged_files.is_good)
            as wrong_totals_count,
        count(*) filter (where judged_files.status = 'conflict') as conflict_count,
        count(*) filter (where judged_files.status = 'quarantined') as quarantined_count
    from slots
    left join judged_files
        on slots.channel = judged_files.channel
        and slots.file_kind = judged_files.file_kind
        and slots.business_date = judged_files.accounting_date
        and (
            slots.name_part is null
            or position('/' || slots.name_part || '/' in '/' || judged_files.slot || '/') > 0
        )
    group by slots.channel, slots.file_kind, slots.name_part, slots.business_date
),

slot_faults as (
    select
        slot_states.*,
        case
            when wrong_totals_count > 0 then owed_file || ': totals differ (控制总数不符)'
            when conflict_count > 0
                then owed_file || ': a second file with other bytes (重复文件内容不同)'
            when good_count = 0 and quarantined_count > 0
                then owed_file || ': in quarantine (已隔离)'
            when good_count = 0 then owed_file || ': missing (缺失)'
        end as fault
    from slot_states
),

file_checks as (
    select
        to_char(business_date, 'YYYY-MM-DD') || ' ' || channel as subject,
        count(*) filter (where fault is not null) = 0 as holds,
        coalesce(string_agg(fault, '; ' order by owed_file), '') as detail,
        count(*) filter (where fault is null) as measured,
        count(*) as expected
    from slot_faults
    group by business_date, channel
),

final as (
    {{ check_rows('files_complete_and_totals_agree', ['file_checks']) }}
)

select * from final
