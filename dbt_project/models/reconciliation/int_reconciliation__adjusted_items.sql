{{ config(
    materialized='table', schema='intermediate', unlogged=true, tags=['close'],
    post_hook='analyze {{ this }}'
) }}

{#-
    Open items that a channel's adjustment record of T closes: the adjustment names the original
    record's key, and its money undoes the item exactly. A credit adjustment gives an overage
    back, a debit adjustment brings a shortage in; of a mismatched pair the adjustment brings the
    difference, and closes both. One adjustment closes one item or pair, an item is closed once.
-#}
with adjustments as (
    select
        adjustment_id,
        channel,
        adjustment_type,
        currency_code,
        funds_effect_minor,
        acquiring_institution_id,
        forwarding_institution_id,
        original_trace_number,
        original_transmission_time,
        channel_order_id,
        refund_order_id
    from {{ ref('stg_unionpay__adjustments') }}
    where accounting_date = {{ accounting_date() }}
),

adjustment_types as (
    select adjustment_type
    from {{ ref('adjustment_types') }}
    -- Chargebacks are about a sale that reconciled; they are charged, not applied to open items.
    where equation_term = 'adjustments' and default_disposition = 'suspended'
),

match_rules as (
    select
        channel,
        uses_institutions,
        uses_trace_number,
        uses_transmission_time,
        uses_channel_order_id,
        uses_refund_order_id
    from {{ ref('match_rules') }}
    where rule_no = 1
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
    select
        pool.suspense_item_id,
        pool.linked_item_id,
        pool.side,
        pool.channel,
        pool.currency_code,
        pool.amount_minor,
        pool.match_key,
        pool.opened_on
    from {{ ref('int_reconciliation__pool') }} as pool
    left join resolved_items on pool.suspense_item_id = resolved_items.suspense_item_id
    where pool.is_open_item and resolved_items.suspense_item_id is null
),

targets as (
    select
        single.suspense_item_id as target_id,
        single.channel,
        single.currency_code,
        single.match_key,
        single.opened_on,
        case when single.side = 'channel' then -single.amount_minor else single.amount_minor end
            as needed_effect_minor
    from open_items as single
    left join open_items as linked on single.linked_item_id = linked.suspense_item_id
    where linked.suspense_item_id is null
    union all
    select
        single.suspense_item_id as target_id,
        single.channel,
        single.currency_code,
        single.match_key,
        single.opened_on,
        single.amount_minor - linked.amount_minor as needed_effect_minor
    from open_items as single
    inner join open_items as linked
        on single.linked_item_id = linked.suspense_item_id
        -- The difference of two currencies is no amount.
        and single.currency_code = linked.currency_code
    where single.side = 'system' and linked.side = 'channel'
),

keyed_adjustments as (
    select
        adjustments.adjustment_id,
        adjustments.channel,
        adjustments.currency_code,
        adjustments.funds_effect_minor,
        {{ match_key(
            'adjustments', 'match_rules', 'original_trace_number', 'original_transmission_time'
        ) }} as match_key
    from adjustments
    inner join adjustment_types
        on adjustments.adjustment_type = adjustment_types.adjustment_type
    inner join match_rules on adjustments.channel = match_rules.channel
),

numbered_adjustments as (
    select
        keyed_adjustments.*,
        row_number() over (
            partition by channel, match_key, currency_code, funds_effect_minor
            order by adjustment_id
        ) as occurrence_no
    from keyed_adjustments
),

numbered_targets as (
    select
        targets.*,
        row_number() over (
            partition by channel, match_key, currency_code, needed_effect_minor
            order by opened_on, target_id
        ) as occurrence_no
    from targets
),

applied as (
    select
        numbered_adjustments.adjustment_id,
        numbered_targets.target_id
    from numbered_adjustments
    inner join numbered_targets
        on numbered_adjustments.channel = numbered_targets.channel
        and numbered_adjustments.match_key = numbered_targets.match_key
        and numbered_adjustments.currency_code = numbered_targets.currency_code
        and numbered_adjustments.funds_effect_minor = numbered_targets.needed_effect_minor
        and numbered_adjustments.occurrence_no = numbered_targets.occurrence_no
),

final as (
    select
        applied.adjustment_id,
        open_items.suspense_item_id,
        open_items.side,
        open_items.channel,
        open_items.currency_code,
        open_items.amount_minor
    from applied
    inner join open_items on applied.target_id = open_items.suspense_item_id
    union all
    select
        applied.adjustment_id,
        linked.suspense_item_id,
        linked.side,
        linked.channel,
        linked.currency_code,
        linked.amount_minor
    from applied
    inner join open_items as single on applied.target_id = single.suspense_item_id
    inner join open_items as linked on single.linked_item_id = linked.suspense_item_id
)

select * from final
