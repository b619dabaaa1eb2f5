with records as (
    select
        file_id,
        line_number,
        accounting_date,
        transaction_type,
        finished_at,
        currency_code,
        merchant_received_minor,
        service_fee_minor,
        channel_order_id,
        merchant_order_id,
        refund_request_id,
        terminal_id,
        store_id
    from {{ source('raw', 'alipay_trade_bill') }}
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
        records.finished_at as transaction_at,
        records.transaction_type,
        records.currency_code,
        -- The kind (业务类型) decides the sign: real files print refunds negative, one test positive.
        case
            when records.transaction_type = 'purchase' then abs(records.merchant_received_minor)
            else -abs(records.merchant_received_minor)
        end as amount_minor,
        -- Printed negative on a payment: what the channel keeps back is its opposite.
        -records.service_fee_minor as channel_cost_minor,
        cast(null as text) as acquiring_institution_id,
        cast(null as text) as forwarding_institution_id,
        cast(null as text) as trace_number,
        cast(null as text) as transmission_time,
        cast(null as text) as retrieval_reference_number,
        records.channel_order_id,
        records.merchant_order_id,
        nullif(records.refund_request_id, '') as refund_order_id,
        records.terminal_id,
        records.store_id as channel_merchant_id,
        cast(null as text) as card_region,
        cast(null as text) as card_token,
        cast(null as text) as card_mask
    from records
    inner join landed_files on records.file_id = landed_files.file_id
)

select * from final
