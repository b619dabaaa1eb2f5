-- On every date each type has its clearing sessions numbered from 1 (清算场次时间表), with ascending
-- cutoffs and one last session without: an entry belongs to exactly one, and the last takes what
-- is left. Transactions and adjustments have one on every date.
{{ config(tags=['setup']) }}

with schedule as (
    select
        clearing_session_type,
        clearing_session_no,
        cutoff_minutes,
        effective_from,
        effective_to
    from {{ ref('clearing_session_schedule') }}
),

channels as (
    select min(platform_cutoff_minutes) as platform_cutoff_minutes
    from {{ ref('channels') }}
),

-- The schedule of a type changes on these dates alone.
dates as (
    select effective_from as from_date from schedule
    union
    select effective_to as from_date from schedule
    where effective_to is not null
    union
    select date '2020-01-01' as from_date
),

types as (
    select 'transaction' as clearing_session_type
    union
    select 'adjustment' as clearing_session_type
    union
    select clearing_session_type from schedule
),

in_force as (
    select
        dates.from_date,
        types.clearing_session_type,
        count(schedule.clearing_session_no) as session_count,
        array_agg(schedule.clearing_session_no order by schedule.clearing_session_no) as numbers,
        array_agg(
            schedule.cutoff_minutes order by schedule.clearing_session_no
        ) filter (where schedule.cutoff_minutes is not null) as cutoffs,
        array_agg(
            distinct schedule.cutoff_minutes order by schedule.cutoff_minutes
        ) filter (where schedule.cutoff_minutes is not null) as ascending_cutoffs,
        max(schedule.clearing_session_no) filter (where schedule.cutoff_minutes is null)
            as last_no,
        min(schedule.cutoff_minutes) as first_cutoff,
        max(schedule.cutoff_minutes) as last_cutoff
    from dates
    cross join types
    left join schedule
        on types.clearing_session_type = schedule.clearing_session_type
        and schedule.effective_from <= dates.from_date
        and (schedule.effective_to is null or schedule.effective_to > dates.from_date)
    group by dates.from_date, types.clearing_session_type
),

final as (
    select
        in_force.from_date,
        in_force.clearing_session_type,
        case
            when in_force.session_count = 0 and in_force.clearing_session_type <> 'service_fee'
                then 'has no session'
            when in_force.session_count = 0 then null
            when
                in_force.numbers is distinct from array(
                    select generate_series(1, cast(in_force.session_count as integer))
                )
                then 'is not numbered from 1'
            when
                in_force.last_no is distinct from in_force.session_count
                or coalesce(cardinality(in_force.cutoffs), 0) <> in_force.session_count - 1
                then 'has another session without a cutoff than its last'
            when in_force.cutoffs is distinct from in_force.ascending_cutoffs
                then 'has cutoffs that do not ascend'
            when
                in_force.first_cutoff <= 0
                or in_force.last_cutoff >= channels.platform_cutoff_minutes
                then 'has a cutoff outside the accounting date'
        end as reason
    from in_force
    cross join channels
)

select
    from_date,
    clearing_session_type,
    reason
from final
where reason is not null
