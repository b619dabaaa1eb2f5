{{ config(materialized='view', schema='intermediate', tags=['close']) }}

{#-
    The clearing session of each entry of T whose type has several, or a frozen one
    (docs/domain.md#several-sessions-a-date); without a row it is the first and only. A frozen entry
    stays where it was frozen. Any other goes by the time at which it happened to the first session
    that is not frozen and ends later; to the last, where it has no time on T: booked late, or
    decided by people. A view, so that a build reads what is frozen in the transaction that holds
    the date's sessions.
-#}
with schedule as (
    select
        clearing_session_type,
        clearing_session_no,
        case
            when cutoff_minutes is null then timestamptz 'infinity'
            else {{ business_instant(accounting_date(), 'cutoff_minutes') }}
        end as ends_at
    from {{ ref('clearing_session_schedule') }}
    where
        {{ in_force(accounting_date()) }}
),

frozen_sessions as (
    select
        clearing_session_type,
        clearing_session_no
    from {{ source('control', 'frozen_clearing_sessions') }}
    where accounting_date = {{ accounting_date() }}
),

frozen_entries as (
    select
        clearing_session_type,
        clearing_session_no,
        entry_id
    from {{ source('control', 'frozen_clearing_entries') }}
    where accounting_date = {{ accounting_date() }}
),

channels as (
    select
        channel,
        {{ business_instant(accounting_date() ~ ' - 1', 'platform_cutoff_minutes') }}
            as begins_at
    from {{ ref('channels') }}
),

priced_vouchers as (
    select
        voucher_id,
        channel,
        transaction_at,
        settlement_mode,
        fee_amount_minor
    from {{ ref('int_pricing__priced_vouchers') }}
),

adjustment_fees as (
    select
        entry_id,
        channel,
        source_id,
        fee_amount_minor,
        deducted_fee_amount_minor
    from {{ ref('int_pricing__adjustment_fees') }}
),

adjustment_records as (
    select
        adjustment_id,
        transaction_at
    from {{ ref('int_channels__adjustments') }}
    where accounting_date = {{ accounting_date() }}
),

divided_types as (
    select clearing_session_type
    from schedule
    group by clearing_session_type
    having count(*) > 1
    union
    select clearing_session_type from frozen_sessions
),

-- A frozen session's time goes to the next that is open.
open_sessions as (
    select
        schedule.clearing_session_type,
        schedule.clearing_session_no,
        coalesce(
            lag(schedule.ends_at) over (
                partition by schedule.clearing_session_type
                order by schedule.clearing_session_no
            ),
            timestamptz '-infinity'
        ) as begins_at,
        schedule.ends_at
    from schedule
    left join frozen_sessions
        on schedule.clearing_session_type = frozen_sessions.clearing_session_type
        and schedule.clearing_session_no = frozen_sessions.clearing_session_no
    where frozen_sessions.clearing_session_no is null
),

entries as (
    select
        'T:' || voucher_id as entry_id,
        'transaction' as clearing_session_type,
        channel,
        transaction_at as happened_at
    from priced_vouchers
    union all
    select
        'T:' || voucher_id as entry_id,
        'service_fee' as clearing_session_type,
        channel,
        transaction_at as happened_at
    from priced_vouchers
    where settlement_mode = 'gross' and fee_amount_minor <> 0
    union all
    select
        adjustment_fees.entry_id,
        types.clearing_session_type,
        adjustment_fees.channel,
        adjustment_records.transaction_at as happened_at
    from adjustment_fees
    left join adjustment_records on adjustment_fees.source_id = adjustment_records.adjustment_id
    inner join (values ('adjustment'), ('service_fee')) as types (clearing_session_type)
        on types.clearing_session_type = 'adjustment'
        or adjustment_fees.fee_amount_minor <> adjustment_fees.deducted_fee_amount_minor
),

timed_entries as (
    select
        entries.entry_id,
        entries.clearing_session_type,
        -- Before the date began: booked late, nobody says when.
        case when entries.happened_at >= channels.begins_at then entries.happened_at end
            as happened_at
    from divided_types
    inner join entries on divided_types.clearing_session_type = entries.clearing_session_type
    left join channels on entries.channel = channels.channel
),

final as (
    select
        timed_entries.entry_id,
        timed_entries.clearing_session_type,
        coalesce(frozen_entries.clearing_session_no, open_sessions.clearing_session_no)
            as clearing_session_no
    from timed_entries
    left join frozen_entries
        on timed_entries.clearing_session_type = frozen_entries.clearing_session_type
        and timed_entries.entry_id = frozen_entries.entry_id
    left join open_sessions
        on timed_entries.clearing_session_type = open_sessions.clearing_session_type
        and coalesce(timed_entries.happened_at >= open_sessions.begins_at, true)
        and coalesce(
            timed_entries.happened_at < open_sessions.ends_at,
            open_sessions.ends_at = timestamptz 'infinity'
        )
)

select * from final
