{#-
    Every channel's adjustment records with one set of columns: the models after this one read
    it and name no channel. Of the channels there are, UnionPay alone sends such records.
-#}
with unionpay as (
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
    from {{ ref('stg_unionpay__adjustments') }}
),

final as (
    select * from unionpay
)

select * from final
