{{ config(materialized='dated_partition', partition_by='accounting_date', tags=['close']) }}

{#- What became of each decision of people that was to take effect on T. -#}
with actions as (
    select
        action_id,
        action_kind,
        suspense_item_id,
        second_item_id,
        account_id,
        approvers
    from {{ ref('int_reconciliation__actions') }}
),

manual_pairs as (
    select action_id
    from {{ ref('int_reconciliation__manual_pairs') }}
),

item_actions as (
    select
        action_id,
        suspense_item_id,
        refused_because
    from {{ ref('int_reconciliation__item_actions') }}
),

written_off_actions as (
    select
        action_id,
        suspense_item_id,
        refused_because
    from {{ ref('int_reconciliation__written_off_actions') }}
),

adjustment_actions as (
    select
        action_id,
        suspense_item_id,
        refused_because
    from {{ ref('int_reconciliation__adjustment_actions') }}
),

judged as (
    select * from item_actions
    union all
    select * from written_off_actions
    union all
    select * from adjustment_actions
),

final as (
    select
        {{ accounting_date() }} as accounting_date,
        actions.action_id,
        actions.action_kind,
        actions.suspense_item_id,
        actions.second_item_id,
        actions.account_id,
        actions.approvers,
        case
            when actions.action_kind = 'pair' then manual_pairs.action_id is not null
            else judged.action_id is not null and judged.refused_because is null
        end as is_applied,
        case
            when actions.action_kind = 'pair' and manual_pairs.action_id is null
                then 'the two items are not open with the same channel, currency and amount'
            else judged.refused_because
        end as refused_because
    from actions
    left join manual_pairs on actions.action_id = manual_pairs.action_id
    left join judged
        on actions.action_id = judged.action_id
        and actions.suspense_item_id = judged.suspense_item_id
)

select * from final
