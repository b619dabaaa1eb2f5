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

owed_files as (
    select
        accounting_date,
        channel,
        file_kind,
        name_part
    from {{ ref('int_gate__owed_files') }}
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
        owed_files.channel,
        owed_files.file_kind,
        owed_files.name_part,
        owed_files.accounting_date as business_date
    from arrival_groups
    inner join owed_files
        on arrival_groups.accounting_date = owed_files.accounting_date
    union
    -- The statement that shows the arrivals, before the gate.
    select
        'bank' as channel,
        'camt053' as file_kind,
        '' as name_part,
        arrival_date as business_date
    from arrival_dates
),

slot_states as (
    select
        slots.channel,
        rtrim(slots.file_kind || ' ' || slots.name_part) as owed_file,
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
        and control.slot_has_part(judged_files.slot, slots.name_part)
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
