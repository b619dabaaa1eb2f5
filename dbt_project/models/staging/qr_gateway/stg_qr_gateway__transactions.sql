{#-
    The QR gateway's bill counts only where reference data makes it a channel of its own
    (reference.channel_senders). Elsewhere its transactions are in UnionPay's ACOMN, and would count
    twice: then it lands as UnionPay's, and no row of it is here.
-#}
with records as (
    select
        file_id,
        line_number,
        accounting_date,
        transaction_at,
        transaction_type,
        currency_code,
        settlement_amount_minor,
        fee_minor,
        acquiring_institution_id,
        forwarding_institution_id,
        trace_number,
        transmission_time,
        platform_order_id,
        merchant_order_id,
        platform_refund_id,
        terminal_id,
        merchant_id
    from {{ source('raw', 'unionpay_qr_gateway_bill') }}
),

landed_files as (
    {{ landed_files(['file_id', 'channel']) }}
),

final as (
    select
        records.file_id || ':' || records.line_number as channel_record_id,
        landed_files.channel,
        records.file_id,
        records.line_number,
        records.accounting_date,
        records.transaction_at,
        records.transaction_type,
        records.currency_code,
        -- What the channel owes before its fee, signed: of a payment without a coupon its amount,
        -- of a refund what is given back. What is settled is that less the fee, and the parser held
        -- both against each other.
        records.settlement_amount_minor + records.fee_minor as amount_minor,
        -- Printed negative where it is given back.
        records.fee_minor as channel_cost_minor,
        records.acquiring_institution_id,
        records.forwarding_institution_id,
        records.trace_number,
        records.transmission_time,
        cast(null as text) as retrieval_reference_number,
        -- The gateway's own numbers: the order's in both kinds of row, the refund's in refunds.
        records.platform_order_id as channel_order_id,
        records.merchant_order_id,
        case when records.transaction_type = 'refund' then records.platform_refund_id end
            as refund_order_id,
        records.terminal_id,
        records.merchant_id as channel_merchant_id,
        cast(null as text) as card_region,
        cast(null as text) as card_token,
        cast(null as text) as card_mask
    from records
    inner join landed_files on records.file_id = landed_files.file_id
    where landed_files.channel <> 'unionpay'
)

select * from final
