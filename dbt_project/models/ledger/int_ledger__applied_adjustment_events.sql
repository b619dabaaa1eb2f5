{{ config(materialized='ephemeral') }}

{#-
    An item's suspense ends and stands against the adjustment that completed it: for a channel item
    the channel took back what it had paid too much, for a system item it paid what it had not. What
    earlier adjustments of the same target hold in the other account is brought there.
-#}
with applied_adjustments as (
    select
        adjustment_id,
        target_item_id,
        channel,
        currency_code,
        funds_effect_minor,
        case when taken_amount_minor >= 0 then 'taken' else 'given' end as way,
        is_last,
        file_id,
        line_number
    from {{ ref('int_reconciliation__applied_adjustments') }}
),

adjusted_items as (
    select
        adjustment_id,
        suspense_item_id,
        side,
        amount_minor
    from {{ ref('int_reconciliation__adjusted_items') }}
),

ended_items as (
    select
        applied_adjustments.*,
        adjusted_items.suspense_item_id as ended,
        adjusted_items.side || '_item_' || applied_adjustments.way as posting_case,
        adjusted_items.amount_minor
    from adjusted_items
    inner join applied_adjustments
        on adjusted_items.adjustment_id = applied_adjustments.adjustment_id
),

joined_adjustments as (
    select
        earlier.*,
        'joined' as ended,
        'joined_' || earlier.way as posting_case,
        earlier.funds_effect_minor as amount_minor
    from applied_adjustments as earlier
    inner join applied_adjustments as completing
        on earlier.target_item_id = completing.target_item_id and completing.is_last
    where earlier.way <> completing.way
),

events as (
    select * from ended_items
    union all
    select * from joined_adjustments
),

final as (
    select
        'adjustment_applied' as event_type,
        posting_case,
        'ADJ:' || adjustment_id || ':' || ended as posting_id,
        'ADJ-' || adjustment_id as voucher_id,
        adjustment_id as source_id,
        'file_line' as source_kind,
        channel,
        cast(null as text) as settlement_mode,
        currency_code,
        amount_minor,
        cast(null as text) as account_id,
        cast(null as text) as arrival_group_id,
        cast(null as text) as bank_account_id,
        false as is_catch_up,
        file_id,
        line_number,
        cast(null as text) as decision_id
    from events
)

select * from final
