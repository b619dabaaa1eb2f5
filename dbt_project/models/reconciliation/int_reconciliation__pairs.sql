{{ config(
    materialized='table', schema='intermediate', unlogged=true, tags=['close'],
    post_hook='analyze {{ this }}'
) }}

{#-
    Who is paired with whom in the close of T, in the order of rulings.md 3: same date exact (key,
    amount, currency, direction), then the oldest open item exact, then what is left of one key on both
    sides as a mismatch. Identical rows are paired by occurrence, none is dropped. The sign of an amount
    is its direction. Every step joins sets on hashed keys; nothing is compared row by row.
-#}
with pool as (
    select
        side,
        source_id,
        suspense_item_id,
        channel,
        currency_code,
        amount_minor,
        transaction_at,
        file_id,
        line_number,
        match_key,
        is_open_item,
        opened_on
    from {{ ref('int_reconciliation__pool') }}
    where match_key is not null
),

system_today as (
    select
        pool.*,
        row_number() over (
            partition by channel, match_key, currency_code, amount_minor
            order by transaction_at, file_id, line_number, source_id
        ) as occurrence_no
    from pool
    where side = 'system' and not is_open_item
),

channel_today as (
    select
        pool.*,
        row_number() over (
            partition by channel, match_key, currency_code, amount_minor
            order by transaction_at, file_id, line_number, source_id
        ) as occurrence_no
    from pool
    where side = 'channel' and not is_open_item
),

matched as (
    select
        'matched' as pair_kind,
        system_today.suspense_item_id as system_item_id,
        channel_today.suspense_item_id as channel_item_id
    from system_today
    inner join channel_today
        on system_today.channel = channel_today.channel
        and system_today.match_key = channel_today.match_key
        and system_today.currency_code = channel_today.currency_code
        and system_today.amount_minor = channel_today.amount_minor
        and system_today.occurrence_no = channel_today.occurrence_no
),

system_left as (
    select
        system_today.suspense_item_id,
        system_today.channel,
        system_today.match_key,
        system_today.currency_code,
        system_today.amount_minor,
        system_today.transaction_at,
        system_today.file_id,
        system_today.line_number,
        system_today.source_id,
        row_number() over (
            partition by
                system_today.channel, system_today.match_key, system_today.currency_code,
                system_today.amount_minor
            order by
                system_today.transaction_at, system_today.file_id, system_today.line_number,
                system_today.source_id
        ) as occurrence_no
    from system_today
    left join matched on system_today.suspense_item_id = matched.system_item_id
    where matched.system_item_id is null
),

channel_left as (
    select
        channel_today.suspense_item_id,
        channel_today.channel,
        channel_today.match_key,
        channel_today.currency_code,
        channel_today.amount_minor,
        channel_today.transaction_at,
        channel_today.file_id,
        channel_today.line_number,
        channel_today.source_id,
        row_number() over (
            partition by
                channel_today.channel, channel_today.match_key, channel_today.currency_code,
                channel_today.amount_minor
            order by
                channel_today.transaction_at, channel_today.file_id, channel_today.line_number,
                channel_today.source_id
        ) as occurrence_no
    from channel_today
    left join matched on channel_today.suspense_item_id = matched.channel_item_id
    where matched.channel_item_id is null
),

open_items as (
    select
        pool.side,
        pool.suspense_item_id,
        pool.channel,
        pool.match_key,
        pool.currency_code,
        pool.amount_minor,
        row_number() over (
            partition by
                pool.side, pool.channel, pool.match_key, pool.currency_code, pool.amount_minor
            order by
                pool.opened_on, pool.transaction_at, pool.file_id, pool.line_number, pool.source_id
        ) as occurrence_no
    from pool
    where pool.is_open_item
),

channel_resolved as (
    select
        'channel_resolved' as pair_kind,
        system_left.suspense_item_id as system_item_id,
        open_items.suspense_item_id as channel_item_id
    from system_left
    inner join open_items
        on open_items.side = 'channel'
        and system_left.channel = open_items.channel
        and system_left.match_key = open_items.match_key
        and system_left.currency_code = open_items.currency_code
        and system_left.amount_minor = open_items.amount_minor
        and system_left.occurrence_no = open_items.occurrence_no
),

system_resolved as (
    select
        'system_resolved' as pair_kind,
        open_items.suspense_item_id as system_item_id,
        channel_left.suspense_item_id as channel_item_id
    from channel_left
    inner join open_items
        on open_items.side = 'system'
        and channel_left.channel = open_items.channel
        and channel_left.match_key = open_items.match_key
        and channel_left.currency_code = open_items.currency_code
        and channel_left.amount_minor = open_items.amount_minor
        and channel_left.occurrence_no = open_items.occurrence_no
),

system_mismatch_side as (
    select
        system_left.suspense_item_id,
        system_left.channel,
        system_left.match_key,
        system_left.currency_code,
        system_left.amount_minor,
        row_number() over (
            partition by system_left.channel, system_left.match_key
            order by
                system_left.transaction_at, system_left.file_id, system_left.line_number,
                system_left.source_id
        ) as leftover_no
    from system_left
    left join channel_resolved
        on system_left.suspense_item_id = channel_resolved.system_item_id
    where channel_resolved.system_item_id is null
),

channel_mismatch_side as (
    select
        channel_left.suspense_item_id,
        channel_left.channel,
        channel_left.match_key,
        channel_left.currency_code,
        channel_left.amount_minor,
        row_number() over (
            partition by channel_left.channel, channel_left.match_key
            order by
                channel_left.transaction_at, channel_left.file_id, channel_left.line_number,
                channel_left.source_id
        ) as leftover_no
    from channel_left
    left join system_resolved
        on channel_left.suspense_item_id = system_resolved.channel_item_id
    where system_resolved.channel_item_id is null
),

mismatched as (
    select
        'mismatch' as pair_kind,
        system_mismatch_side.suspense_item_id as system_item_id,
        channel_mismatch_side.suspense_item_id as channel_item_id,
        case
            when system_mismatch_side.currency_code
                is distinct from channel_mismatch_side.currency_code then 'currency_mismatch'
            when sign(system_mismatch_side.amount_minor)
                is distinct from sign(channel_mismatch_side.amount_minor) then 'direction_mismatch'
            else 'amount_mismatch'
        end as break_reason
    from system_mismatch_side
    inner join channel_mismatch_side
        on system_mismatch_side.channel = channel_mismatch_side.channel
        and system_mismatch_side.match_key = channel_mismatch_side.match_key
        and system_mismatch_side.leftover_no = channel_mismatch_side.leftover_no
),

final as (
    select
        pair_kind,
        system_item_id,
        channel_item_id,
        cast(null as text) as break_reason
    from matched
    union all
    select
        pair_kind,
        system_item_id,
        channel_item_id,
        cast(null as text) as break_reason
    from channel_resolved
    union all
    select
        pair_kind,
        system_item_id,
        channel_item_id,
        cast(null as text) as break_reason
    from system_resolved
    union all
    select
        pair_kind,
        system_item_id,
        channel_item_id,
        break_reason
    from mismatched
)

select * from final
