{{ config(
    materialized='table', schema='intermediate', unlogged=true, tags=['close'],
    post_hook='analyze {{ this }}'
) }}

{#-
    Pairs made by people: an open item of each side with the same channel, currency and amount,
    neither of which found its counterpart by itself in this close.
-#}
with actions as (
    select
        action_id,
        suspense_item_id,
        second_item_id,
        approvers
    from {{ ref('int_reconciliation__actions') }}
    where action_kind = 'pair'
),

pool as (
    select
        side,
        source_id,
        suspense_item_id,
        channel,
        currency_code,
        amount_minor
    from {{ ref('int_reconciliation__pool') }}
    where is_open_item
),

pairs as (
    select
        pair_kind,
        system_item_id,
        channel_item_id
    from {{ ref('int_reconciliation__pairs') }}
    where pair_kind in ('system_resolved', 'channel_resolved')
),

resolved_items as (
    select system_item_id as suspense_item_id
    from pairs
    where pair_kind = 'system_resolved'
    union all
    select channel_item_id as suspense_item_id
    from pairs
    where pair_kind = 'channel_resolved'
),

open_items as (
    select pool.*
    from pool
    left join resolved_items on pool.suspense_item_id = resolved_items.suspense_item_id
    where resolved_items.suspense_item_id is null
),

final as (
    select
        actions.action_id,
        actions.approvers,
        system_side.suspense_item_id as system_item_id,
        channel_side.suspense_item_id as channel_item_id
    from actions
    inner join open_items as system_side
        on system_side.suspense_item_id in (actions.suspense_item_id, actions.second_item_id)
        and system_side.side = 'system'
    inner join open_items as channel_side
        on channel_side.suspense_item_id in (actions.suspense_item_id, actions.second_item_id)
        and channel_side.side = 'channel'
        and channel_side.channel = system_side.channel
        and channel_side.currency_code = system_side.currency_code
        and channel_side.amount_minor = system_side.amount_minor
)

select * from final
