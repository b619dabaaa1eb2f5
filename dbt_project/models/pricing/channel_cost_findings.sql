{{ config(
    materialized='dated_partition', schema='clearing', partition_by='accounting_date',
    tags=['close']
) }}

{#-
    Records of T whose cost in the channel's file is not that of the channel's price list, and
    records that the list has no price for. Nothing is priced or booked by it: the equation's
    cost stays the file's. A row stops nothing by itself; the gate's check channel_cost_as_listed
    stops where they pass a limit together (docs/domain.md#what-a-channel-should-have-cost).
-#}
with listed_costs as (
    select
        channel_record_id,
        channel,
        currency_code,
        transaction_type,
        amount_minor,
        channel_merchant_id,
        card_kind,
        card_region,
        charged_cost_minor,
        listed_cost_minor,
        tolerance_minor,
        price_ids,
        file_id,
        line_number
    from {{ ref('int_pricing__listed_costs') }}
),

compared as (
    select
        listed_costs.*,
        charged_cost_minor - coalesce(listed_cost_minor, 0) as difference_minor,
        case
            when listed_cost_minor is null and charged_cost_minor <> 0 then 'not_listed'
            when abs(charged_cost_minor - listed_cost_minor) > tolerance_minor then 'other_cost'
        end as finding
    from listed_costs
),

final as (
    select
        {{ accounting_date() }} as accounting_date,
        channel_record_id,
        channel,
        currency_code,
        finding,
        transaction_type,
        amount_minor as channel_amount_minor,
        channel_merchant_id,
        card_kind,
        card_region,
        listed_cost_minor as listed_cost_amount_minor,
        charged_cost_minor as charged_cost_amount_minor,
        difference_minor,
        greatest(difference_minor, 0) as claimable_amount_minor,
        price_ids,
        file_id,
        line_number
    from compared
    where finding is not null
)

select * from final
