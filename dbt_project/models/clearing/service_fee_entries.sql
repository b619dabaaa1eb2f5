{{ config(
    materialized='dated_partition', partition_by='accounting_date', tags=['close'],
    pre_hook="{{ hold_clearing_sessions() }}",
    post_hook="{{ refuse_changed_sessions(['service_fee']) }}"
) }}

{#-
    The fees of T that are billed apart, each in its service-fee session (手续费场次): of an entry, what
    of its fee is not deducted. Empty on a date whose schedule has no such session
    (docs/domain.md#several-sessions-a-date); which bill asks for a fee is another question.
-#}
with clearing_entries as (
    select
        entry_id,
        account_id,
        currency_code,
        fee_amount_minor,
        deducted_fee_amount_minor
    from {{ ref('clearing_entries') }}
    where accounting_date = {{ accounting_date() }}
        and fee_amount_minor <> deducted_fee_amount_minor
),

entry_sessions as (
    select
        entry_id,
        clearing_session_no
    from {{ ref('int_clearing__entry_sessions') }}
    where clearing_session_type = 'service_fee'
),

schedule as (
    select count(*) as session_count
    from {{ ref('clearing_session_schedule') }}
    where clearing_session_type = 'service_fee'
        and {{ in_force(accounting_date()) }}
),

final as (
    select
        {{ accounting_date() }} as accounting_date,
        clearing_entries.entry_id,
        coalesce(entry_sessions.clearing_session_no, 1) as clearing_session_no,
        clearing_entries.account_id,
        clearing_entries.currency_code,
        clearing_entries.fee_amount_minor - clearing_entries.deducted_fee_amount_minor
            as fee_amount_minor
    from clearing_entries
    cross join schedule
    left join entry_sessions on clearing_entries.entry_id = entry_sessions.entry_id
    where schedule.session_count > 0
)

select * from final
