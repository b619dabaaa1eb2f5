{{ config(
    materialized='table', schema='intermediate', unlogged=true, tags=['close'],
    post_hook='analyze {{ this }}'
) }}

{#-
    The open items that people ended in this close (offset, adjust, write-off), one row an item, and
    the actions that found their item ended or changed, with the reason why they were not applied.
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
    where action_kind in ('offset', 'adjust', 'write_off')
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

adjusted_items as (
    select suspense_item_id
    from {{ ref('int_reconciliation__adjusted_items') }}
),

contracts as (
    select
        contract_id,
        merchant_id,
        account_id,
        settlement_mode,
        row_number() over (partition by account_id order by contract_id) as contract_order
    from {{ ref('int_terms__contracts') }}
    where
        snapshot_date = {{ accounting_date() }}
        and effective_from <= {{ accounting_date() }}
        and (effective_to is null or effective_to > {{ accounting_date() }})
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
    select suspense_item_id
    from adjusted_items
),

open_items as (
    select pool.*
    from pool
    left join ended_items on pool.suspense_item_id = ended_items.suspense_item_id
    where ended_items.suspense_item_id is null
),

judged as (
    select
        actions.*,
        first_item.side,
        first_item.channel,
        first_item.currency_code,
        first_item.amount_minor,
        contracts.contract_id,
        contracts.merchant_id,
        contracts.settlement_mode,
        case
            when first_item.suspense_item_id is null then 'the item is not open any more'
            when actions.action_kind = 'offset' and second_item.suspense_item_id is null
                then 'the other item is not open any more'
            when actions.action_kind = 'offset' and (
                first_item.side <> second_item.side
                or first_item.channel <> second_item.channel
                or first_item.currency_code <> second_item.currency_code
                or first_item.amount_minor <> -second_item.amount_minor
            ) then 'the two items do not cancel each other'
            when actions.action_kind = 'adjust' and contracts.account_id is null
                then 'the account has no contract in force'
        end as refused_because
    from actions
    left join open_items as first_item
        on actions.suspense_item_id = first_item.suspense_item_id
    left join open_items as second_item
        on actions.second_item_id = second_item.suspense_item_id
    left join contracts
        on actions.account_id = contracts.account_id and contracts.contract_order = 1
),

final as (
    select
        action_id,
        action_kind,
        suspense_item_id,
        side,
        channel,
        currency_code,
        amount_minor,
        account_id,
        merchant_id,
        contract_id,
        settlement_mode,
        approvers,
        refused_because
    from judged
    union all
    select
        judged.action_id,
        judged.action_kind,
        open_items.suspense_item_id,
        open_items.side,
        open_items.channel,
        open_items.currency_code,
        open_items.amount_minor,
        judged.account_id,
        judged.merchant_id,
        judged.contract_id,
        judged.settlement_mode,
        judged.approvers,
        judged.refused_because
    from judged
    inner join open_items on judged.second_item_id = open_items.suspense_item_id
    where judged.refused_because is null
)

select * from final
