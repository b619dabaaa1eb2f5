{{ config(
    materialized='dated_partition', schema='clearing', partition_by='accounting_date',
    tags=['close']
) }}

{#-
    The adjustment records that closed no open item and that nobody has decided: those left by the
    close of T−1 and those T suspended, with what became of them on T. One that is applied, charged
    or absorbed leaves the table with T; where two people decided it, the row says who
    (docs/domain.md#suspended-adjustments).
-#}
with channel_adjustments as (
    select
        adjustment_id,
        disposition
    from {{ ref('channel_adjustments') }}
    where accounting_date = {{ accounting_date() }}
),

adjustments as (
    select
        adjustment_id,
        channel,
        adjustment_type,
        currency_code,
        funds_effect_minor,
        taken_amount_minor,
        match_key,
        suspended_on,
        file_id,
        line_number
    from {{ ref('int_reconciliation__adjustments') }}
),

applied_adjustments as (
    select
        adjustment_id,
        target_item_id
    from {{ ref('int_reconciliation__applied_adjustments') }}
),

adjustment_actions as (
    select
        action_id,
        action_kind,
        adjustment_id,
        account_id,
        approvers
    from {{ ref('int_reconciliation__adjustment_actions') }}
    where refused_because is null
),

decided_charges as (
    select
        adjustment_id,
        original_voucher_id
    from {{ ref('int_adjustments__decided_charges') }}
),

final as (
    select
        {{ accounting_date() }} as accounting_date,
        adjustments.adjustment_id,
        adjustments.channel,
        adjustments.currency_code,
        adjustments.adjustment_type,
        case
            when applied_adjustments.adjustment_id is not null then 'applied'
            when adjustment_actions.action_kind = 'charge' then 'charged'
            when adjustment_actions.action_kind = 'absorb' then 'absorbed'
            else 'suspended'
        end as status,
        adjustments.funds_effect_minor,
        adjustments.taken_amount_minor,
        adjustments.suspended_on,
        {{ accounting_date() }} - adjustments.suspended_on as age_days,
        applied_adjustments.target_item_id as suspense_item_id,
        adjustments.match_key,
        adjustments.file_id,
        adjustments.line_number,
        adjustment_actions.account_id,
        decided_charges.original_voucher_id,
        'ACT:' || adjustment_actions.action_id as decision_id,
        adjustment_actions.approvers
    from adjustments
    left join channel_adjustments
        on adjustments.adjustment_id = channel_adjustments.adjustment_id
    left join applied_adjustments
        on adjustments.adjustment_id = applied_adjustments.adjustment_id
    left join adjustment_actions
        on adjustments.adjustment_id = adjustment_actions.adjustment_id
    left join decided_charges on adjustments.adjustment_id = decided_charges.adjustment_id
    where
        adjustments.suspended_on < {{ accounting_date() }}
        or channel_adjustments.disposition = 'suspended'
)

select * from final
