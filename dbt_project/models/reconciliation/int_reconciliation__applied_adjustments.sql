{{ config(
    materialized='table', schema='intermediate', unlogged=true, tags=['close'],
    post_hook='analyze {{ this }}'
) }}

{#-
    Which adjustment closes which open item (docs/reconciliation.md 4): its money undoes the item
    exactly, or that of all suspended adjustments of one key together does. A credit adjustment
    gives an overage back, a debit adjustment brings a shortage in; a mismatched pair needs the
    difference. One row an adjustment; the target of a pair is its platform item. What is left two
    people may tie to a target, whatever its key, where its money undoes that target exactly.
-#}
with adjustments as (
    select
        adjustment_id,
        channel,
        currency_code,
        funds_effect_minor,
        taken_amount_minor,
        match_key,
        is_suspended_by_default,
        suspended_on,
        file_id,
        line_number
    from {{ ref('int_reconciliation__adjustments') }}
),

keyed_adjustments as (
    select *
    from adjustments
    where match_key is not null
),

ties as (
    select
        action_id,
        suspense_item_id,
        second_item_id,
        approvers
    from {{ ref('int_reconciliation__actions') }}
    where action_kind = 'tie'
),

pool as (
    select
        suspense_item_id,
        linked_item_id,
        side,
        channel,
        currency_code,
        amount_minor,
        match_key,
        opened_on
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

manual_pairs as (
    select
        system_item_id,
        channel_item_id
    from {{ ref('int_reconciliation__manual_pairs') }}
),

resolved_items as (
    select system_item_id as suspense_item_id
    from pairs
    where pair_kind = 'system_resolved'
    union all
    select channel_item_id as suspense_item_id
    from pairs
    where pair_kind = 'channel_resolved'
    union all
    select system_item_id as suspense_item_id
    from manual_pairs
    union all
    select channel_item_id as suspense_item_id
    from manual_pairs
),

open_items as (
    select pool.*
    from pool
    left join resolved_items on pool.suspense_item_id = resolved_items.suspense_item_id
    where resolved_items.suspense_item_id is null
),

-- Both items of a mismatch, the platform's and the channel's, while both are open.
linked_items as (
    select
        system_side.suspense_item_id as system_item_id,
        channel_side.suspense_item_id as channel_item_id,
        system_side.currency_code = channel_side.currency_code as is_one_currency,
        -- Linked by a fallback key, only one of them has a primary one.
        coalesce(system_side.match_key, channel_side.match_key) as match_key,
        system_side.amount_minor - channel_side.amount_minor as needed_effect_minor
    from open_items as system_side
    inner join open_items as channel_side
        on system_side.linked_item_id = channel_side.suspense_item_id
    where system_side.side = 'system' and channel_side.side = 'channel'
),

targets as (
    select
        open_items.suspense_item_id as target_item_id,
        cast(null as text) as linked_item_id,
        open_items.channel,
        open_items.currency_code,
        open_items.match_key,
        open_items.opened_on,
        case open_items.side
            when 'channel' then -open_items.amount_minor
            else open_items.amount_minor
        end as needed_effect_minor
    from open_items
    left join linked_items as linked_system
        on open_items.suspense_item_id = linked_system.system_item_id
    left join linked_items as linked_channel
        on open_items.suspense_item_id = linked_channel.channel_item_id
    where linked_system.system_item_id is null and linked_channel.channel_item_id is null
    union all
    select
        open_items.suspense_item_id as target_item_id,
        linked_items.channel_item_id as linked_item_id,
        open_items.channel,
        open_items.currency_code,
        linked_items.match_key,
        open_items.opened_on,
        linked_items.needed_effect_minor
    from linked_items
    inner join open_items on linked_items.system_item_id = open_items.suspense_item_id
    -- The difference of two currencies is no amount.
    where linked_items.is_one_currency
),

numbered_adjustments as (
    select
        keyed_adjustments.*,
        row_number() over (
            partition by channel, match_key, currency_code, funds_effect_minor
            order by suspended_on, file_id, line_number, adjustment_id
        ) as occurrence_no
    from keyed_adjustments
),

numbered_targets as (
    select
        targets.*,
        row_number() over (
            partition by channel, match_key, currency_code, needed_effect_minor
            order by opened_on, target_item_id
        ) as occurrence_no
    from targets
),

exact as (
    select
        numbered_adjustments.adjustment_id,
        numbered_targets.target_item_id
    from numbered_adjustments
    inner join numbered_targets
        on numbered_adjustments.channel = numbered_targets.channel
        and numbered_adjustments.match_key = numbered_targets.match_key
        and numbered_adjustments.currency_code = numbered_targets.currency_code
        and numbered_adjustments.funds_effect_minor = numbered_targets.needed_effect_minor
        and numbered_adjustments.occurrence_no = numbered_targets.occurrence_no
),

adjustments_left as (
    select keyed_adjustments.*
    from keyed_adjustments
    left join exact on keyed_adjustments.adjustment_id = exact.adjustment_id
    where exact.adjustment_id is null and keyed_adjustments.is_suspended_by_default
),

targets_left as (
    select
        targets.*,
        row_number() over (
            partition by targets.channel, targets.match_key, targets.currency_code
            order by targets.opened_on, targets.target_item_id
        ) as target_order
    from targets
    left join exact on targets.target_item_id = exact.target_item_id
    where exact.target_item_id is null
),

sums_left as (
    select
        channel,
        match_key,
        currency_code,
        sum(funds_effect_minor) as funds_effect_minor
    from adjustments_left
    group by channel, match_key, currency_code
),

together as (
    select
        adjustments_left.adjustment_id,
        targets_left.target_item_id
    from sums_left
    inner join targets_left
        on sums_left.channel = targets_left.channel
        and sums_left.match_key = targets_left.match_key
        and sums_left.currency_code = targets_left.currency_code
        and sums_left.funds_effect_minor = targets_left.needed_effect_minor
        and targets_left.target_order = 1
    inner join adjustments_left
        on sums_left.channel = adjustments_left.channel
        and sums_left.match_key = adjustments_left.match_key
        and sums_left.currency_code = adjustments_left.currency_code
),

by_key as (
    select * from exact
    union all
    select * from together
),

-- An item ends whole, so what is tied to it has to be what it needs; the first tie of a target.
tied_candidates as (
    select
        adjustments.adjustment_id,
        targets.target_item_id,
        ties.action_id,
        ties.approvers,
        row_number() over (
            partition by targets.target_item_id
            order by ties.action_id
        ) as tie_order
    from ties
    inner join adjustments
        on ties.suspense_item_id = 'A:' || adjustments.adjustment_id
        and adjustments.suspended_on < {{ accounting_date() }}
    inner join targets
        on ties.second_item_id in (targets.target_item_id, targets.linked_item_id)
        and adjustments.channel = targets.channel
        and adjustments.currency_code = targets.currency_code
        and adjustments.funds_effect_minor = targets.needed_effect_minor
    where
        adjustments.adjustment_id not in (select by_key.adjustment_id from by_key)
        and targets.target_item_id not in (select by_key.target_item_id from by_key)
),

applied as (
    select
        adjustment_id,
        target_item_id,
        cast(null as bigint) as action_id,
        cast(null as text) as approvers
    from by_key
    union all
    select
        adjustment_id,
        target_item_id,
        action_id,
        approvers
    from tied_candidates
    where tie_order = 1
),

final as (
    select
        applied.adjustment_id,
        applied.target_item_id,
        targets.linked_item_id,
        adjustments.channel,
        adjustments.currency_code,
        adjustments.funds_effect_minor,
        adjustments.taken_amount_minor,
        adjustments.suspended_on,
        adjustments.file_id,
        adjustments.line_number,
        -- The adjustment that completed what the target needed.
        row_number() over (
            partition by applied.target_item_id
            order by
                adjustments.suspended_on desc, adjustments.file_id desc,
                adjustments.line_number desc, applied.adjustment_id desc
        ) = 1 as is_last,
        applied.action_id,
        applied.approvers
    from applied
    inner join adjustments on applied.adjustment_id = adjustments.adjustment_id
    inner join targets on applied.target_item_id = targets.target_item_id
)

select * from final
