{{ config(materialized='view', schema='intermediate', tags=['views']) }}

{#-
    The contracts in force on each accounting date: those of the first date's list, and later ones
    that two people approved or that pay no more. A contract that goes on has no end yet.
-#}
with contract_terms as (
    select
        accounting_date,
        contract_id,
        merchant_id,
        account_id,
        settlement_mode,
        payout_minimum_minor,
        settlement_cycle,
        refund_fee_policy,
        fee_period,
        fee_collection_method,
        effective_from,
        effective_to,
        ended_on,
        channel_merchant_ids,
        goes_on,
        confirmation,
        change_id,
        merchant_category_code
    from {{ ref('contract_terms') }}
    where is_in_force
),

final as (
    select
        accounting_date as snapshot_date,
        contract_id,
        merchant_id,
        account_id,
        settlement_mode,
        payout_minimum_minor,
        settlement_cycle,
        refund_fee_policy,
        fee_period,
        fee_collection_method,
        effective_from,
        case when not goes_on then effective_to end as effective_to,
        ended_on,
        channel_merchant_ids,
        confirmation,
        change_id,
        merchant_category_code
    from contract_terms
)

select * from final
