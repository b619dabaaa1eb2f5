{#
    The price of each kind of sale: the contract and the fee rule in force on the date that prices
    it. Looked up per kind, not per voucher: thousands instead of millions. It reads the CTEs
    `combinations`, `contracts` and `fee_rates` of its model; `rule_order` 1 is the price. Of the
    tiers of one priority the highest that the volume of the month before reaches prices; a volume
    that is not known (NULL) reaches the base alone (docs/domain.md#volume-tiers).
#}
{% macro priced_combinations() -%}
    select
        combinations.merchant_id,
        combinations.account_id,
        combinations.channel,
        combinations.priced_type,
        combinations.priced_card_kind,
        combinations.priced_card_region,
        combinations.priced_on,
        combinations.tier_volume_minor,
        contracts.contract_id,
        contracts.merchant_category_code,
        contracts.refund_fee_policy,
        fee_rates.fee_rule_id,
        coalesce(fee_rates.tier_from_minor, 0) as tier_from_minor,
        fee_rates.fee_rate,
        fee_rates.fixed_fee_minor,
        fee_rates.minimum_fee_minor,
        fee_rates.cap_fee_minor,
        row_number() over (
            partition by
                combinations.merchant_id, combinations.account_id, combinations.channel,
                combinations.priced_type, combinations.priced_card_kind,
                combinations.priced_card_region,
                combinations.priced_on, combinations.tier_volume_minor
            -- The contract of the voucher's own account; another one of the merchant only where the
            -- account changed between the sale and its refund.
            order by
                contracts.account_id is distinct from combinations.account_id,
                fee_rates.priority, coalesce(fee_rates.tier_from_minor, 0) desc,
                fee_rates.fee_rule_id, contracts.contract_id
        ) as rule_order
    from combinations
    inner join contracts
        on combinations.merchant_id = contracts.merchant_id
        and combinations.priced_on >= contracts.effective_from
        and (contracts.effective_to is null or combinations.priced_on < contracts.effective_to)
    inner join fee_rates
        on contracts.contract_id = fee_rates.contract_id
        and combinations.priced_on >= fee_rates.effective_from
        and (fee_rates.effective_to is null or combinations.priced_on < fee_rates.effective_to)
        -- greatest() skips NULLs, and a month of more returns than sales is a volume of 0.
        and coalesce(fee_rates.tier_from_minor, 0) <= greatest(combinations.tier_volume_minor, 0)
        and (
            fee_rates.merchant_category_code is null
            or fee_rates.merchant_category_code = contracts.merchant_category_code
        )
        and (fee_rates.channel is null or fee_rates.channel = combinations.channel)
        and (
            fee_rates.transaction_type is null
            or fee_rates.transaction_type = combinations.priced_type
        )
        and (
            fee_rates.card_kind is null
            or fee_rates.card_kind = combinations.priced_card_kind
        )
        and (
            fee_rates.card_region is null
            or fee_rates.card_region = combinations.priced_card_region
        )
{%- endmacro %}

{# The whole fee of an amount at a price. greatest() skips NULLs: without an amount, no fee. #}
{% macro full_fee(amount_minor, price) -%}
    case
        when {{ amount_minor }} is not null
            then least(
                greatest(
                    round(
                        abs({{ amount_minor }}) * {{ price }}.fee_rate
                        + coalesce({{ price }}.fixed_fee_minor, 0)
                    ),
                    coalesce({{ price }}.minimum_fee_minor, 0)
                ),
                {{ price }}.cap_fee_minor
            )
    end
{%- endmacro %}
