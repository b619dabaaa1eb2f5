-- What two people decided with effect on the date is applied or refused with a reason, never passed
-- over: a decision that comes while the date is being closed must not vanish.
{{ config(tags=['close']) }}

with actions as (
    select
        action_id,
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

applied_actions as (
    select action_id
    from {{ ref('applied_actions') }}
    where accounting_date = {{ accounting_date() }}
)

select approvals.action_id
from approvals
inner join actions on approvals.action_id = actions.action_id
left join applied_actions on approvals.action_id = applied_actions.action_id
where applied_actions.action_id is null
    -- What one person approved alone, before that was refused, has no effect.
    and control.person_key(actions.requested_by) <> control.person_key(approvals.approved_by)
