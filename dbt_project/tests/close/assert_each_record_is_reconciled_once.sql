-- Matched + opened = input, per side: every record of the date stands in exactly one result, and
-- no record is matched twice. A record in none would silently leave the books; one in two would
-- be paid twice.
{{ config(tags=['close']) }}

with records as (
    select
        side,
        source_id,
        count(*) as record_count
    from {{ ref('int_reconciliation__pool') }}
    where not is_open_item
    group by side, source_id
),

results as (
    select
        outcome,
        system_transaction_id,
        channel_record_id
    from {{ ref('reconciliation_results') }}
    where
        accounting_date = {{ accounting_date() }}
        -- A pair made by people ends two items of earlier dates: no record of this date is in it.
        and match_rule is distinct from 'manual'
),

result_sides as (
    select 'system' as side, system_transaction_id as source_id
    from results
    where outcome is distinct from 'system_resolved' and system_transaction_id is not null
    union all
    select 'channel' as side, channel_record_id as source_id
    from results
    where outcome is distinct from 'channel_resolved' and channel_record_id is not null
),

counted as (
    select
        side,
        source_id,
        count(*) as result_count
    from result_sides
    group by side, source_id
)

select
    coalesce(records.side, counted.side) as side,
    coalesce(records.source_id, counted.source_id) as source_id,
    coalesce(records.record_count, 0) as record_count,
    coalesce(counted.result_count, 0) as result_count
from records
full outer join counted
    on records.side = counted.side and records.source_id = counted.source_id
where
    coalesce(records.record_count, 0) is distinct from 1
    or coalesce(counted.result_count, 0) is distinct from 1
