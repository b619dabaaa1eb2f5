with records as (
    select
        file_id,
        line_number,
        accounting_date,
        adjustment_code,
        adjustment_type,
        transmitted_at,
        acquiring_institution_id,
        forwarding_institution_id,
        trace_number,
        transmission_time,
        original_trace_number,
        original_transmission_time,
        original_settlement_date,
        original_amount_minor,
        terminal_id,
        merchant_id,
        retrieval_reference_number,
        reason_code,
        currency_code,
        funds_effect_minor,
        interchange_receivable_minor,
        interchange_payable_minor,
        fee_receivable_minor,
        fee_payable_minor,
        card_mask
    from {{ source('raw', 'unionpay_aerrn') }}
),

landed_files as (
    {{ landed_files(['file_id', 'channel']) }}
),

final as (
    select
        records.file_id || ':' || records.line_number as adjustment_id,
        landed_files.channel,
        records.file_id,
        records.line_number,
        records.accounting_date,
        records.adjustment_code,
        records.adjustment_type,
        records.transmitted_at as transaction_at,
        records.acquiring_institution_id,
        records.forwarding_institution_id,
        records.trace_number,
        records.transmission_time,
        records.original_trace_number,
        records.original_transmission_time,
        records.original_settlement_date,
        records.original_amount_minor,
        cast(null as text) as channel_order_id,
        cast(null as text) as refund_order_id,
        records.terminal_id,
        records.merchant_id,
        records.retrieval_reference_number,
        records.reason_code,
        records.currency_code,
        records.funds_effect_minor,
        records.interchange_receivable_minor - records.interchange_payable_minor
        + records.fee_receivable_minor - records.fee_payable_minor as fees_effect_minor,
        records.card_mask
    from records
    inner join landed_files on records.file_id = landed_files.file_id
)

select * from final
