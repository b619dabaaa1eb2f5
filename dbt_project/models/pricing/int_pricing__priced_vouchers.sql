{{ config(
    materialized='table', schema='intermediate', unlogged=true, tags=['close'],
    pre_hook='{{ set_based() }}', post_hook='analyze {{ this }}'
) }}

{#-
    The vouchers of T that enter the transaction clearing session, each with the contract and the
    fee rule that price it, and its fee. A purchase is priced by the contract in force at its own
    time. What reverses a purchase gives back what the purchase was charged
    (int_pricing__returned_sales); only where we did not clear it on an earlier date, it is priced
    by the contract in force at the time of the original, on the original's amount.

    The original and what was given back of it before are our own history's
    (int_vouchers__history), never what the voucher says of them. What has no contract in
    force on T any more is settled as its sale was.

    A refund returns a difference of the rounded running total (before + this, minus before), so
    that all refunds of a sale together return exactly its fee (docs/domain.md#fee-of-a-return). A
    return of a positive amount takes one back, and its fee with it, by the same two totals.
-#}
with source_vouchers as (
    select
        file_id,
        line_number,
        voucher_id,
        accounting_date,
        transaction_at,
        transaction_type,
        transaction_status,
        merchant_id,
        account_id,
        channel,
        currency_code,
        amount_minor,
        card_kind,
        card_region,
        transaction_currency_code,
        transaction_amount_minor,
        exchange_rate
    from {{ ref('int_vouchers__accepted') }}
),

voucher_history as (
    select
        voucher_id,
        reverses_failed,
        bound_amount_minor,
        settled_original_amount_minor,
        priced_at,
        priced_type,
        priced_card_kind,
        priced_card_region,
        returned_before_minor
    from {{ ref('int_vouchers__history') }}
),

returned_sales as (
    select
        voucher_id,
        sale_fee_minor,
        settlement_mode,
        contract_id,
        fee_rule_id,
        tier_from_minor,
        tier_volume_minor,
        merchant_category_code,
        refund_fee_policy
    from {{ ref('int_pricing__returned_sales') }}
),

transaction_types as (
    select
        transaction_type,
        is_cleared,
        fee_treatment
    from {{ ref('transaction_types') }}
),

contracts as (
    select
        contract_id,
        merchant_id,
        account_id,
        settlement_mode,
        refund_fee_policy,
        effective_from,
        effective_to,
        merchant_category_code
    from {{ ref('int_terms__contracts') }}
    where snapshot_date = {{ accounting_date() }}
),

fee_rates as (
    select
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
        merchant_category_code
    from {{ ref('int_terms__fee_rates') }}
    where snapshot_date = {{ accounting_date() }}
),

volumes as (
    select
        account_id,
        currency_code,
        case when is_previous_known then previous_volume_minor end as tier_volume_minor
    from {{ ref('int_pricing__volumes') }}
),

cleared_vouchers as (
    select
        source_vouchers.file_id,
        source_vouchers.line_number,
        source_vouchers.voucher_id,
        source_vouchers.accounting_date,
        source_vouchers.transaction_at,
        source_vouchers.transaction_type,
        source_vouchers.merchant_id,
        source_vouchers.account_id,
        source_vouchers.channel,
        source_vouchers.currency_code,
        source_vouchers.amount_minor,
        source_vouchers.card_region,
        source_vouchers.transaction_currency_code,
        source_vouchers.transaction_amount_minor,
        source_vouchers.exchange_rate,
        -- What is given back of a sale is a share of it in the currency in which it was sold.
        coalesce(source_vouchers.transaction_amount_minor, source_vouchers.amount_minor)
            as sold_amount_minor,
        voucher_history.bound_amount_minor,
        transaction_types.fee_treatment,
        voucher_history.returned_before_minor,
        volumes.tier_volume_minor,
        case
            when transaction_types.fee_treatment = 'charge'
                then {{ business_date('source_vouchers.transaction_at') }}
            else {{ business_date('voucher_history.priced_at') }}
        end as priced_on,
        case
            when transaction_types.fee_treatment = 'charge' then source_vouchers.amount_minor
            else coalesce(
                voucher_history.settled_original_amount_minor, voucher_history.bound_amount_minor
            )
        end as priced_amount_minor,
        case
            when transaction_types.fee_treatment = 'charge' then source_vouchers.transaction_type
            else voucher_history.priced_type
        end as priced_type,
        case
            when transaction_types.fee_treatment = 'charge' then source_vouchers.card_kind
            else voucher_history.priced_card_kind
        end as priced_card_kind,
        case
            when transaction_types.fee_treatment = 'charge' then source_vouchers.card_region
            else voucher_history.priced_card_region
        end as priced_card_region
    from source_vouchers
    inner join transaction_types
        on source_vouchers.transaction_type = transaction_types.transaction_type
    left join voucher_history on source_vouchers.voucher_id = voucher_history.voucher_id
    left join volumes
        on source_vouchers.account_id = volumes.account_id
        and source_vouchers.currency_code = volumes.currency_code
    where
        source_vouchers.transaction_status = 'success'
        and transaction_types.is_cleared
        -- A reversal clears only if its original cleared.
        and coalesce(voucher_history.reverses_failed, false) = false
),

-- Prices are looked up per distinct combination, not per voucher: thousands instead of millions.
combinations as (
    select distinct
        merchant_id,
        account_id,
        channel,
        priced_type,
        priced_card_kind,
        priced_card_region,
        priced_on,
        tier_volume_minor
    from cleared_vouchers
),

priced_combinations as (
    {{ priced_combinations() }}
),

current_contracts as (
    select
        merchant_id,
        account_id,
        settlement_mode
    from contracts
    where
        {{ in_force(accounting_date()) }}
),

with_original_fee as (
    select
        cleared_vouchers.*,
        case
            when returned_sales.voucher_id is not null then returned_sales.tier_from_minor
            else priced_combinations.tier_from_minor
        end as priced_tier_from_minor,
        case
            when returned_sales.voucher_id is not null then returned_sales.tier_volume_minor
            else cleared_vouchers.tier_volume_minor
        end as priced_tier_volume_minor,
        case
            when returned_sales.voucher_id is not null then returned_sales.merchant_category_code
            else priced_combinations.merchant_category_code
        end as merchant_category_code,
        coalesce(returned_sales.contract_id, priced_combinations.contract_id) as contract_id,
        coalesce(returned_sales.fee_rule_id, priced_combinations.fee_rule_id) as fee_rule_id,
        coalesce(returned_sales.refund_fee_policy, priced_combinations.refund_fee_policy)
            as refund_fee_policy,
        coalesce(
            current_contracts.settlement_mode, returned_sales.settlement_mode,
            case
                when cleared_vouchers.fee_treatment <> 'charge'
                    or contracts.account_id = cleared_vouchers.account_id
                    then contracts.settlement_mode
            end
        ) as settlement_mode,
        case
            when returned_sales.voucher_id is not null then returned_sales.sale_fee_minor
            else {{ full_fee('cleared_vouchers.priced_amount_minor', 'priced_combinations') }}
        end as full_fee_minor
    from cleared_vouchers
    left join returned_sales on cleared_vouchers.voucher_id = returned_sales.voucher_id
    left join priced_combinations
        on cleared_vouchers.merchant_id = priced_combinations.merchant_id
        and cleared_vouchers.account_id = priced_combinations.account_id
        and cleared_vouchers.channel = priced_combinations.channel
        and cleared_vouchers.priced_type = priced_combinations.priced_type
        and cleared_vouchers.priced_card_kind
        is not distinct from priced_combinations.priced_card_kind
        and cleared_vouchers.priced_card_region
        is not distinct from priced_combinations.priced_card_region
        and cleared_vouchers.priced_on = priced_combinations.priced_on
        and cleared_vouchers.tier_volume_minor
        is not distinct from priced_combinations.tier_volume_minor
        and priced_combinations.rule_order = 1
    left join contracts on priced_combinations.contract_id = contracts.contract_id
    left join current_contracts
        on cleared_vouchers.merchant_id = current_contracts.merchant_id
        and cleared_vouchers.account_id = current_contracts.account_id
),

final as (
    select
        voucher_id,
        accounting_date,
        transaction_at,
        transaction_type,
        merchant_id,
        account_id,
        channel,
        currency_code,
        amount_minor,
        card_region,
        transaction_currency_code,
        transaction_amount_minor,
        exchange_rate,
        file_id,
        line_number,
        contract_id,
        fee_rule_id,
        priced_tier_from_minor as tier_from_minor,
        priced_tier_volume_minor as tier_volume_minor,
        merchant_category_code,
        settlement_mode,
        case
            when fee_treatment = 'charge' then full_fee_minor
            when fee_treatment = 'return_in_full' and amount_minor > 0 then full_fee_minor
            when fee_treatment = 'return_in_full' then -full_fee_minor
            when fee_treatment = 'return_by_contract' and refund_fee_policy = 'keep' then 0
            when fee_treatment = 'return_by_contract' and refund_fee_policy = 'return'
                then round(
                    full_fee_minor * returned_before_minor / bound_amount_minor
                ) - round(
                    full_fee_minor * (returned_before_minor - sold_amount_minor)
                    / bound_amount_minor
                )
        end as fee_amount_minor
    from with_original_fee
)

select * from final
