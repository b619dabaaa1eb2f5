{{ config(materialized='ephemeral') }}

{#-
    Suspended adjustments that two people charged to an account or absorbed on T. What the channel
    took or gave waited on the adjustment's account; it leaves it whole.
-#}
with adjustment_actions as (
    select
        action_id,
        action_kind,
        adjustment_id,
        channel,
        currency_code,
        account_id,
        case when taken_amount_minor >= 0 then 'taken' else 'given' end as way,
        -funds_effect_minor as suspended_minor,
        file_id,
        line_number
    from {{ ref('int_reconciliation__adjustment_actions') }}
    where refused_because is null and action_kind in ('charge', 'absorb')
),

cases as (
    select
        adjustment_actions.*,
        case
            when action_kind = 'charge' then way
            when suspended_minor > 0 then 'loss_of_' || way
            else 'gain_of_' || way
        end as posting_case
    from adjustment_actions
),

final as (
    select
        case action_kind when 'charge' then 'adjustment_charged' else 'adjustment_absorbed' end
            as event_type,
        posting_case,
        'ADJ:' || adjustment_id || ':'
        || case action_kind when 'charge' then 'charged' else 'absorbed' end as posting_id,
        'ADJ-' || adjustment_id as voucher_id,
        adjustment_id as source_id,
        'action' as source_kind,
        channel,
        cast(null as text) as settlement_mode,
        currency_code,
        case
            when posting_case in ('given', 'gain_of_taken', 'gain_of_given') then -suspended_minor
            else suspended_minor
        end as amount_minor,
        account_id,
        cast(null as text) as arrival_group_id,
        cast(null as text) as bank_account_id,
        false as is_catch_up,
        file_id,
        line_number,
        cast(action_id as text) as decision_id
    from cases
)

select * from final
