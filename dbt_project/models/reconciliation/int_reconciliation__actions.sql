{{ config(
    materialized='table', schema='intermediate', unlogged=true, tags=['close'],
    post_hook='analyze {{ this }}'
) }}

{#-
    What people decided about open items with effect on T, as far as a second person approved it.
    Read once: an approval that comes while the close runs is in all of its tables or in none.
-#}
with actions as (
    select
        action_id,
        action_kind,
        suspense_item_id,
        second_item_id,
        account_id,
        requested_by
    from {{ source('reconciliation_people', 'actions') }}
    where effective_on = {{ accounting_date() }}
),

approvals as (
    select
        action_id,
        approved_by
    from {{ source('reconciliation_people', 'action_approvals') }}
),

approved as (
    select
        actions.*,
        actions.requested_by || ', ' || approvals.approved_by as approvers
    from actions
    inner join approvals on actions.action_id = approvals.action_id
    -- The database refuses one's own approval; one from before it knew that is none.
    where control.person_key(actions.requested_by) <> control.person_key(approvals.approved_by)
),

final as (
    select
        action_id,
        action_kind,
        suspense_item_id,
        second_item_id,
        account_id,
        approvers
    from approved
)

select * from final
