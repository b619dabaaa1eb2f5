{{ config(
    materialized='dated_partition', schema='clearing', partition_by='accounting_date',
    tags=['close']
) }}

{#-
    What the channel's own files of T say of its money, one row a channel and currency, zeros
    included. All terms are + when taken from us (docs/domain.md#signs). Read from the channel's
    files only: the balance equation compares them with the ledger, so nothing of the platform may
    enter here.
-#}
with channel_currencies as (
    select
        channel,
        currency_code
    from {{ ref('channel_currencies') }}
),

-- Cost billed apart (外扣) is owed, not kept back: 0 in the equation, accrued beside it.
cost_billings as (
    select distinct
        channel,
        cost_billing
    from {{ ref('channels') }}
),

channel_records as (
    select
        channel,
        currency_code,
        amount_minor,
        channel_cost_minor
    from {{ ref('int_channels__records') }}
    where accounting_date = {{ accounting_date() }}
),

brand_fees as (
    select
        channel,
        currency_code,
        brand_fee_minor
    from {{ ref('int_channels__brand_fees') }}
    where accounting_date = {{ accounting_date() }}
),

adjustments as (
    select
        channel,
        currency_code,
        adjustment_type,
        funds_effect_minor,
        fees_effect_minor
    from {{ ref('int_channels__adjustments') }}
    where accounting_date = {{ accounting_date() }}
),

adjustment_types as (
    select
        adjustment_type,
        equation_term
    from {{ ref('adjustment_types') }}
),

record_totals as (
    select
        channel,
        currency_code,
        count(*) as channel_record_count,
        sum(amount_minor) as channel_amount_minor,
        sum(channel_cost_minor) as channel_cost_amount_minor
    from channel_records
    group by channel, currency_code
),

brand_fee_totals as (
    select
        channel,
        currency_code,
        sum(brand_fee_minor) as brand_fee_amount_minor
    from brand_fees
    group by channel, currency_code
),

adjustment_totals as (
    select
        adjustments.channel,
        adjustments.currency_code,
        sum(-(adjustments.funds_effect_minor + adjustments.fees_effect_minor))
            filter (where adjustment_types.equation_term = 'adjustments')
            as adjustments_taken_amount_minor,
        sum(-(adjustments.funds_effect_minor + adjustments.fees_effect_minor))
            filter (where adjustment_types.equation_term = 'fee_collections')
            as fee_collections_amount_minor
    from adjustments
    inner join adjustment_types
        on adjustments.adjustment_type = adjustment_types.adjustment_type
    group by adjustments.channel, adjustments.currency_code
),

grain as (
    select channel, currency_code from channel_currencies
    union
    select channel, currency_code from record_totals
    union
    select channel, currency_code from brand_fee_totals
    union
    select channel, currency_code from adjustment_totals
),

final as (
    select
        {{ accounting_date() }} as accounting_date,
        grain.channel,
        grain.currency_code,
        coalesce(record_totals.channel_record_count, 0) as channel_record_count,
        coalesce(record_totals.channel_amount_minor, 0) as channel_amount_minor,
        case
            when cost_billings.cost_billing is distinct from 'billed_apart'
                then coalesce(record_totals.channel_cost_amount_minor, 0)
            else 0
        end as channel_cost_amount_minor,
        coalesce(brand_fee_totals.brand_fee_amount_minor, 0) as brand_fee_amount_minor,
        coalesce(adjustment_totals.adjustments_taken_amount_minor, 0)
            as adjustments_taken_amount_minor,
        coalesce(adjustment_totals.fee_collections_amount_minor, 0)
            as fee_collections_amount_minor,
        -- No record of a known format carries it (docs/domain.md#balance-equation).
        0 as recovery_fee_amount_minor,
        case
            when cost_billings.cost_billing = 'billed_apart'
                then coalesce(record_totals.channel_cost_amount_minor, 0)
            else 0
        end as accrued_channel_cost_amount_minor
    from grain
    left join cost_billings on grain.channel = cost_billings.channel
    left join record_totals
        on grain.channel = record_totals.channel
        and grain.currency_code = record_totals.currency_code
    left join brand_fee_totals
        on grain.channel = brand_fee_totals.channel
        and grain.currency_code = brand_fee_totals.currency_code
    left join adjustment_totals
        on grain.channel = adjustment_totals.channel
        and grain.currency_code = adjustment_totals.currency_code
)

select * from final
