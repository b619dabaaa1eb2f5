{#-
    Every channel's adjustment records with one set of columns: the models after this one read
    it and name no channel. Of the formats there are, UnionPay's alone have such records; a second
    channel with UnionPay's files is in them, too.

    A fee between members (收付费) may stand in UnionPay's adjustment file, in one of its fee files or
    in several: by its kind, trace number and time it counts once, as the adjustment file has it.
    What contradicts itself stops the close (assert_fee_records_stand_once).
-#}
with
{%- for format in channel_formats('adjustments') %}
{{ format }} as (
    select
        adjustment_id,
        channel,
        file_id,
        line_number,
        accounting_date,
        adjustment_code,
        adjustment_type,
        transaction_at,
        acquiring_institution_id,
        forwarding_institution_id,
        trace_number,
        transmission_time,
        original_trace_number,
        original_transmission_time,
        original_settlement_date,
        original_amount_minor,
        channel_order_id,
        refund_order_id,
        terminal_id,
        merchant_id,
        retrieval_reference_number,
        reason_code,
        currency_code,
        funds_effect_minor,
        fees_effect_minor,
        card_mask
    from {{ ref('stg_' ~ format ~ '__adjustments') }}
),
{% endfor %}
adjustments as (
    {{ all_of(channel_formats('adjustments')) }}
),

fee_records as (
    select
        adjustment_id,
        channel,
        file_id,
        line_number,
        accounting_date,
        adjustment_code,
        adjustment_type,
        transaction_at,
        acquiring_institution_id,
        trace_number,
        transmission_time,
        reason_code,
        currency_code,
        funds_effect_minor,
        row_number() over (
            partition by
                channel, accounting_date, adjustment_type, trace_number, transmission_time,
                currency_code
            order by file_id, line_number
        ) as place
    from {{ ref('stg_unionpay__fee_records') }}
),

fee_records_alone as (
    select
        fee_records.adjustment_id,
        fee_records.channel,
        fee_records.file_id,
        fee_records.line_number,
        fee_records.accounting_date,
        fee_records.adjustment_code,
        fee_records.adjustment_type,
        fee_records.transaction_at,
        fee_records.acquiring_institution_id,
        cast(null as text) as forwarding_institution_id,
        fee_records.trace_number,
        fee_records.transmission_time,
        cast(null as text) as original_trace_number,
        cast(null as text) as original_transmission_time,
        cast(null as date) as original_settlement_date,
        cast(null as bigint) as original_amount_minor,
        cast(null as text) as channel_order_id,
        cast(null as text) as refund_order_id,
        cast(null as text) as terminal_id,
        cast(null as text) as merchant_id,
        cast(null as text) as retrieval_reference_number,
        fee_records.reason_code,
        fee_records.currency_code,
        fee_records.funds_effect_minor,
        cast(0 as bigint) as fees_effect_minor,
        cast(null as text) as card_mask
    from fee_records
    left join adjustments
        on fee_records.channel = adjustments.channel
        and fee_records.accounting_date = adjustments.accounting_date
        and fee_records.adjustment_type = adjustments.adjustment_type
        and fee_records.trace_number = adjustments.trace_number
        and fee_records.transmission_time = adjustments.transmission_time
        and fee_records.currency_code = adjustments.currency_code
    where fee_records.place = 1 and adjustments.adjustment_id is null
),

final as (
    select * from adjustments
    union all
    select * from fee_records_alone
)

select * from final
