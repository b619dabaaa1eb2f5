{{ config(materialized='view', tags=['views']) }}

{#-
    What finance works on: the items open after the latest close, with what is suggested, who was
    asked to look after them, and a decision that waits for its second person or its date (挂账工作台).
-#}
with suspense_items as (
    select
        accounting_date,
        suspense_item_id,
        channel,
        currency_code,
        side,
        status,
        amount_minor,
        variance_kind,
        opened_on,
        age_days,
        break_reason,
        linked_item_id,
        in_doubt_until,
        suggested_action,
        suggestion_rule,
        source_id,
        account_id,
        transaction_type,
        transaction_at,
        match_key,
        file_id,
        line_number
    from {{ ref('suspense_items') }}
    where status in ('in_doubt', 'one_sided')
),

closed_dates as (
    select max(accounting_date) as accounting_date
    from {{ source('control', 'accounting_days') }}
    where state in ('closed', 'sealed')
),

actions as (
    select
        action_id,
        action_kind,
        suspense_item_id,
        second_item_id,
        assigned_to,
        effective_on
    from {{ source('reconciliation_people', 'actions') }}
),

approvals as (
    select action_id
    from {{ source('reconciliation_people', 'action_approvals') }}
),

assignments as (
    select
        suspense_item_id,
        assigned_to,
        row_number() over (
            partition by suspense_item_id
            order by action_id desc
        ) as assignment_order
    from actions
    where action_kind = 'assign'
),

items_of_actions as (
    select action_id, action_kind, effective_on, suspense_item_id
    from actions
    where action_kind is distinct from 'assign'
    union all
    select action_id, action_kind, effective_on, second_item_id as suspense_item_id
    from actions
    where second_item_id is not null
),

decisions as (
    select
        items_of_actions.suspense_item_id,
        items_of_actions.action_id,
        items_of_actions.action_kind,
        items_of_actions.effective_on,
        approvals.action_id is not null as is_approved,
        row_number() over (
            partition by items_of_actions.suspense_item_id
            order by items_of_actions.effective_on, items_of_actions.action_id
        ) as decision_order
    from items_of_actions
    left join approvals on items_of_actions.action_id = approvals.action_id
    cross join closed_dates
    where items_of_actions.effective_on > closed_dates.accounting_date
),

final as (
    select
        suspense_items.accounting_date,
        suspense_items.suspense_item_id,
        suspense_items.channel,
        suspense_items.currency_code,
        suspense_items.side,
        suspense_items.status,
        suspense_items.amount_minor,
        suspense_items.variance_kind,
        suspense_items.opened_on,
        suspense_items.age_days,
        suspense_items.break_reason,
        suspense_items.linked_item_id,
        suspense_items.in_doubt_until,
        suspense_items.suggested_action,
        suspense_items.suggestion_rule,
        assignments.assigned_to,
        decisions.action_id,
        decisions.action_kind,
        decisions.effective_on,
        decisions.is_approved,
        suspense_items.source_id,
        suspense_items.account_id,
        suspense_items.transaction_type,
        suspense_items.transaction_at,
        suspense_items.match_key,
        suspense_items.file_id,
        suspense_items.line_number
    from suspense_items
    inner join closed_dates on suspense_items.accounting_date = closed_dates.accounting_date
    left join assignments
        on suspense_items.suspense_item_id = assignments.suspense_item_id
        and assignments.assignment_order = 1
    left join decisions
        on suspense_items.suspense_item_id = decisions.suspense_item_id
        and decisions.decision_order = 1
)

select * from final
