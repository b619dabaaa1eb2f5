{{ config(materialized='dated_partition', partition_by='accounting_date', tags=['close']) }}

with system_pool as (
    select
        source_id,
        suspense_item_id,
        channel,
        currency_code,
        amount_minor,
        transaction_type,
        transaction_at,
        opened_on,
        transaction_currency_code,
        transaction_amount_minor,
        exchange_rate
    from {{ ref('int_reconciliation__pool') }}
    where side = 'system'
),

channel_pool as (
    select
        source_id,
        suspense_item_id,
        amount_minor,
        opened_on
    from {{ ref('int_reconciliation__pool') }}
    where side = 'channel'
),

pool_today as (
    select
        side,
        source_id,
        suspense_item_id,
        channel,
        currency_code,
        amount_minor,
        transaction_type,
        transaction_at,
        transaction_currency_code,
        transaction_amount_minor,
        exchange_rate
    from {{ ref('int_reconciliation__pool') }}
    where not is_open_item
),

pairs as (
    select
        pair_kind,
        system_item_id,
        channel_item_id,
        match_rule,
        break_reason
    from {{ ref('int_reconciliation__pairs') }}
),

manual_pairs as (
    select
        system_item_id,
        channel_item_id
    from {{ ref('int_reconciliation__manual_pairs') }}
),

-- What our history knows of a record that nobody has on the other side.
known_records as (
    select
        suspense_item_id,
        break_reason
    from {{ ref('int_reconciliation__known_records') }}
),

channels as (
    select
        channel,
        platform_cutoff_minutes,
        cutoff_minutes,
        skew_minutes
    from {{ ref('channels') }}
),

-- Full instants, never clock hours (docs/domain.md#doubt).
boundaries as (
    select
        channel,
        cutoff_minutes,
        platform_cutoff_minutes,
        make_interval(mins => skew_minutes) as skew,
        {{ business_instant(accounting_date(), 'platform_cutoff_minutes') }} as platform_cutoff_at,
        {{ business_instant(accounting_date() ~ ' - 1', 'cutoff_minutes') }} as channel_day_start_at
    from channels
),

-- A pair made by people ends an open item of each side: two rows, linked
-- (docs/domain.md#how-an-item-ends).
decided_pairs as (
    select
        pair_kind,
        system_item_id,
        channel_item_id,
        match_rule,
        cast(null as text) as linked_item_id
    from pairs
    where pair_kind in ('matched', 'system_resolved', 'channel_resolved')
    union all
    select
        'system_resolved' as pair_kind,
        system_item_id,
        channel_item_id,
        'manual' as match_rule,
        channel_item_id as linked_item_id
    from manual_pairs
    union all
    select
        'channel_resolved' as pair_kind,
        system_item_id,
        channel_item_id,
        'manual' as match_rule,
        system_item_id as linked_item_id
    from manual_pairs
),

paired_results as (
    select
        system_pool.channel,
        system_pool.currency_code,
        decided_pairs.pair_kind as outcome,
        cast(null as text) as break_reason,
        system_pool.source_id as system_transaction_id,
        channel_pool.source_id as channel_record_id,
        system_pool.transaction_type,
        system_pool.transaction_at,
        system_pool.amount_minor as system_amount_minor,
        channel_pool.amount_minor as channel_amount_minor,
        case
            when decided_pairs.pair_kind = 'system_resolved' then system_pool.opened_on
            when decided_pairs.pair_kind = 'channel_resolved' then channel_pool.opened_on
        end as opened_on,
        decided_pairs.match_rule,
        case
            when decided_pairs.pair_kind = 'system_resolved' then system_pool.suspense_item_id
            when decided_pairs.pair_kind = 'channel_resolved' then channel_pool.suspense_item_id
        end as suspense_item_id,
        decided_pairs.linked_item_id,
        system_pool.transaction_currency_code,
        system_pool.transaction_amount_minor,
        system_pool.exchange_rate
    from decided_pairs
    inner join system_pool on decided_pairs.system_item_id = system_pool.suspense_item_id
    inner join channel_pool on decided_pairs.channel_item_id = channel_pool.suspense_item_id
),

opened_items as (
    select
        system_item_id as suspense_item_id,
        channel_item_id as linked_item_id,
        break_reason
    from pairs
    where pair_kind in ('mismatch', 'single') and system_item_id is not null
    union all
    select
        channel_item_id as suspense_item_id,
        system_item_id as linked_item_id,
        break_reason
    from pairs
    where pair_kind in ('mismatch', 'single') and channel_item_id is not null
),

opened as (
    select
        pool_today.side,
        pool_today.source_id,
        pool_today.suspense_item_id,
        pool_today.channel,
        pool_today.currency_code,
        pool_today.amount_minor,
        pool_today.transaction_type,
        pool_today.transaction_at,
        pool_today.transaction_currency_code,
        pool_today.transaction_amount_minor,
        pool_today.exchange_rate,
        opened_items.linked_item_id,
        coalesce(known_records.break_reason, opened_items.break_reason) as break_reason
    from opened_items
    inner join pool_today on opened_items.suspense_item_id = pool_today.suspense_item_id
    left join known_records on opened_items.suspense_item_id = known_records.suspense_item_id
),

judged as (
    select
        opened.*,
        case
            when opened.break_reason is not null then 'one_sided'
            when opened.side = 'channel'
                and boundaries.cutoff_minutes > boundaries.platform_cutoff_minutes
                and opened.transaction_at >= boundaries.platform_cutoff_at - boundaries.skew
                then 'in_doubt'
            when opened.side = 'channel'
                and boundaries.cutoff_minutes = boundaries.platform_cutoff_minutes
                and opened.transaction_at >= boundaries.platform_cutoff_at - boundaries.skew
                and opened.transaction_at <= boundaries.platform_cutoff_at + boundaries.skew
                then 'in_doubt'
            when opened.side = 'channel' then 'one_sided'
            -- The channel's file of T−1 and that of T could both have had it, and neither has.
            when boundaries.cutoff_minutes > boundaries.platform_cutoff_minutes
                and opened.transaction_at < boundaries.channel_day_start_at
                then 'one_sided'
            else 'in_doubt'
        end as doubt
    from opened
    inner join boundaries on opened.channel = boundaries.channel
),

results as (
    select
        channel,
        currency_code,
        outcome,
        break_reason,
        system_transaction_id,
        channel_record_id,
        transaction_type,
        transaction_at,
        system_amount_minor,
        channel_amount_minor,
        opened_on,
        match_rule,
        suspense_item_id,
        linked_item_id,
        transaction_currency_code,
        transaction_amount_minor,
        exchange_rate
    from paired_results
    union all
    select
        channel,
        currency_code,
        side || '_' || doubt as outcome,
        break_reason,
        case when side = 'system' then source_id end as system_transaction_id,
        case when side = 'channel' then source_id end as channel_record_id,
        transaction_type,
        transaction_at,
        case when side = 'system' then amount_minor end as system_amount_minor,
        case when side = 'channel' then amount_minor end as channel_amount_minor,
        {{ accounting_date() }} as opened_on,
        cast(null as text) as match_rule,
        suspense_item_id,
        linked_item_id,
        transaction_currency_code,
        transaction_amount_minor,
        exchange_rate
    from judged
),

final as (
    select
        {{ accounting_date() }} as accounting_date,
        channel,
        currency_code,
        case
            when outcome = 'matched' then 'M:' || system_transaction_id
            when outcome in ('system_resolved', 'channel_resolved') then 'R:' || suspense_item_id
            else 'O:' || suspense_item_id
        end as result_id,
        outcome,
        break_reason,
        system_transaction_id,
        channel_record_id,
        transaction_type,
        transaction_at,
        system_amount_minor,
        channel_amount_minor,
        opened_on,
        match_rule,
        suspense_item_id,
        case
            when outcome in ('system_resolved', 'channel_resolved') then 'R:' || linked_item_id
            else 'O:' || linked_item_id
        end as linked_result_id,
        transaction_currency_code,
        transaction_amount_minor,
        exchange_rate
    from results
)

select * from final
