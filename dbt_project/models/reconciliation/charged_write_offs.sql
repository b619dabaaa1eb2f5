{{ config(materialized='dated_partition', partition_by='accounting_date', tags=['close']) }}

{#-
    Written-off items whose merchant bears them after all (核销后商户承担): one row a decision of two
    people. The sum is exactly what was held; its hold ends on the statement that has the charge.
-#}
with written_off_actions as (
    select
        action_id,
        suspense_item_id,
        entry_id,
        channel,
        currency_code,
        account_id,
        merchant_id,
        contract_id,
        settlement_mode,
        charged_amount_minor,
        returned_fee_minor,
        returned_deducted_fee_minor,
        held_amount_minor,
        held_on,
        approvers
    from {{ ref('int_reconciliation__written_off_actions') }}
    where refused_because is null
),

final as (
    select
        {{ accounting_date() }} as accounting_date,
        action_id,
        suspense_item_id,
        entry_id,
        channel,
        currency_code,
        account_id,
        merchant_id,
        contract_id,
        settlement_mode,
        charged_amount_minor,
        returned_fee_minor,
        returned_deducted_fee_minor,
        held_amount_minor,
        held_on,
        approvers
    from written_off_actions
)

select * from final
