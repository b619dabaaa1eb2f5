{{ config(
    materialized='table', schema='intermediate', unlogged=true, tags=['close'],
    post_hook='analyze {{ this }}'
) }}

{#-
    The open items that adjustments of the channel closed in this close, one row an item: the target
    and, of a mismatched pair, its other item. `adjustment_id` is the last one it took.
-#}
with applied_adjustments as (
    select
        adjustment_id,
        target_item_id,
        linked_item_id,
        approvers
    from {{ ref('int_reconciliation__applied_adjustments') }}
    where is_last
),

pool as (
    select
        suspense_item_id,
        side,
        channel,
        currency_code,
        amount_minor
    from {{ ref('int_reconciliation__pool') }}
    where is_open_item
),

closed_items as (
    select
        adjustment_id,
        target_item_id as suspense_item_id,
        approvers
    from applied_adjustments
    union all
    select
        adjustment_id,
        linked_item_id as suspense_item_id,
        approvers
    from applied_adjustments
    where linked_item_id is not null
),

final as (
    select
        closed_items.adjustment_id,
        pool.suspense_item_id,
        pool.side,
        pool.channel,
        pool.currency_code,
        pool.amount_minor,
        closed_items.approvers
    from closed_items
    inner join pool on closed_items.suspense_item_id = pool.suspense_item_id
)

select * from final
