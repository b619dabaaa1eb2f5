{{ config(
    materialized='table', schema='intermediate', unlogged=true, tags=['close'],
    post_hook='analyze {{ this }}'
) }}

{#-
    What two people decided about suspended adjustments with effect on T: charged to an account,
    absorbed, or tied to an open item; or why a decision was not applied. One row a decision. What
    the date's own pairs and keys ended comes first.
-#}
with actions as (
    select
        action_id,
        action_kind,
        suspense_item_id,
        second_item_id,
        account_id,
        approvers
    from {{ ref('int_reconciliation__actions') }}
    where action_kind in ('charge', 'absorb', 'tie')
),

-- A record of T itself has no row that two people could have decided about.
adjustments as (
    select
        adjustment_id,
        channel,
        adjustment_type,
        currency_code,
        funds_effect_minor,
        taken_amount_minor,
        suspended_on,
        file_id,
        line_number
    from {{ ref('int_reconciliation__adjustments') }}
    where suspended_on < {{ accounting_date() }}
),

applied_adjustments as (
    select
        adjustment_id,
        target_item_id,
        linked_item_id,
        action_id
    from {{ ref('int_reconciliation__applied_adjustments') }}
),

pool as (
    select
        suspense_item_id,
        channel,
        currency_code
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

contracts as (
    {{ contracts_of_accounts() }}
),

ended_items as (
    select system_item_id as suspense_item_id
    from pairs
    where pair_kind = 'system_resolved'
    union
    select channel_item_id as suspense_item_id
    from pairs
    where pair_kind = 'channel_resolved'
    union
    select system_item_id as suspense_item_id
    from manual_pairs
    union
    select channel_item_id as suspense_item_id
    from manual_pairs
    union
    select target_item_id as suspense_item_id
    from applied_adjustments
    union
    select linked_item_id as suspense_item_id
    from applied_adjustments
    where linked_item_id is not null
),

open_items as (
    select pool.*
    from pool
    left join ended_items on pool.suspense_item_id = ended_items.suspense_item_id
    where ended_items.suspense_item_id is null
),

final as (
    select
        actions.action_id,
        actions.action_kind,
        actions.suspense_item_id,
        adjustments.adjustment_id,
        adjustments.channel,
        adjustments.currency_code,
        adjustments.adjustment_type,
        adjustments.funds_effect_minor,
        adjustments.taken_amount_minor,
        adjustments.suspended_on,
        adjustments.file_id,
        adjustments.line_number,
        actions.account_id,
        contracts.merchant_id,
        contracts.contract_id,
        contracts.settlement_mode,
        actions.approvers,
        case
            when applied_adjustments.action_id = actions.action_id then null
            when adjustments.adjustment_id is null then 'the adjustment is not suspended any more'
            when applied_adjustments.adjustment_id is not null
                then 'the adjustment has ended an open item by its key'
            when actions.action_kind = 'charge' and contracts.account_id is null
                then 'the account has no contract in force'
            when actions.action_kind = 'charge' and not contracts.is_one_merchant
                then 'the account has contracts of several merchants in force'
            when actions.action_kind = 'tie' and open_items.suspense_item_id is null
                then 'the item is not open any more'
            when actions.action_kind = 'tie' and (
                open_items.channel <> adjustments.channel
                or open_items.currency_code <> adjustments.currency_code
            ) then 'the item is of another channel or currency'
            when actions.action_kind = 'tie'
                then 'the item needs another amount than the adjustment brings'
        end as refused_because
    from actions
    left join adjustments on actions.suspense_item_id = 'A:' || adjustments.adjustment_id
    left join applied_adjustments
        on adjustments.adjustment_id = applied_adjustments.adjustment_id
    left join open_items on actions.second_item_id = open_items.suspense_item_id
    left join contracts
        on actions.account_id = contracts.account_id and contracts.contract_order = 1
)

select * from final
