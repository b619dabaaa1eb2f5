with records as (
    select
        file_id,
        line_number,
        accounting_date,
        transaction_at,
        transaction_type,
        currency_code,
        settlement_amount_minor,
        refund_amount_minor,
        fee_minor,
        channel_order_id,
        merchant_order_id,
        channel_refund_id,
        device_id,
        sub_merchant_id
    from {{ source('raw', 'wechat_trade_bill') }}
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
        -- What the channel owes: the settlement total (应结订单金额) of a payment, the refunded amount
        -- (退款金额) of a refund or revocation, which the bill prints positive.
        case
            when records.transaction_type = 'purchase' then records.settlement_amount_minor
            else -records.refund_amount_minor
        end as amount_minor,
        records.fee_minor as channel_cost_minor,
        cast(null as text) as acquiring_institution_id,
        cast(null as text) as forwarding_institution_id,
        cast(null as text) as trace_number,
        cast(null as text) as transmission_time,
        cast(null as text) as retrieval_reference_number,
        records.channel_order_id,
        records.merchant_order_id,
        -- Payment rows print 0 where a refund row has its id.
        nullif(records.channel_refund_id, '0') as refund_order_id,
        records.device_id as terminal_id,
        records.sub_merchant_id as channel_merchant_id,
        cast(null as text) as card_region,
        cast(null as text) as card_token,
        cast(null as text) as card_mask
    from records
    inner join landed_files on records.file_id = landed_files.file_id
)

select * from final
