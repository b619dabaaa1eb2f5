{{ config(materialized='view', schema='intermediate', tags=['views']) }}

{#-
    The fee rules in force on each accounting date: those of the first date's list, and later ones
    that two people approved or that charge no less. A rule that goes on has no end yet.
-#}
with fee_rate_terms as (
    select
        accounting_date,
        fee_rule_id,
        contract_id,
        channel,
        transaction_type,
        card_kind,
        card_region,
        tier_from_minor,
        fee_rate,
        fixed_fee_minor,
        minimum_fee_minor,
        cap_fee_minor,
        effective_from,
        effective_to,
        priority,
        goes_on,
        confirmation,
        change_id,
        merchant_category_code
    from {{ ref('fee_rate_terms') }}
    where is_in_force
),

final as (
    select
        accounting_date as snapshot_date,
        fee_rule_id,
        contract_id,
        channel,
        transaction_type,
        card_kind,
        card_region,
        tier_from_minor,
        fee_rate,
        fixed_fee_minor,
        minimum_fee_minor,
        cap_fee_minor,
        effective_from,
        case when not goes_on then effective_to end as effective_to,
        priority,
        confirmation,
        change_id,
        merchant_category_code
    from fee_rate_terms
)

select * from final
