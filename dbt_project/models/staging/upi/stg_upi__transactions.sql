{#-
    ICOMN of UnionPay International counts only where reference data makes it a channel of its own
    (reference.channel_senders). Elsewhere nobody knows whether ACOMN has its transactions, too:
    then it lands as UnionPay's, and no row of it is here.
-#}
with records as (
    select
        file_id,
        line_number,
        accounting_date,
        transmitted_at,
        transaction_type,
        transaction_currency_code,
        transaction_amount_minor,
        currency_code,
        settlement_amount_minor,
        settlement_rate,
        fee_receivable_minor,
        fee_payable_minor,
        signed_fee_1_minor,
        signed_fee_2_minor,
        acquiring_institution_id,
        forwarding_institution_id,
        trace_number,
        transmission_time,
        retrieval_reference_number,
        terminal_id,
        merchant_id,
        card_token,
        card_mask
    from {{ source('raw', 'unionpay_upi_icomn') }}
),

landed_files as (
    {{ landed_files(['file_id', 'channel']) }}
),

-- Amounts are unsigned as written: the kind says the direction.
transaction_types as (
    select
        transaction_type,
        amount_sign
    from {{ ref('transaction_types') }}
),

final as (
    select
        records.file_id || ':' || records.line_number as channel_record_id,
        landed_files.channel,
        records.file_id,
        records.line_number,
        records.accounting_date,
        records.transmitted_at as transaction_at,
        records.transaction_type,
        records.currency_code,
        records.settlement_amount_minor * transaction_types.amount_sign as amount_minor,
        -- By our reading: in the currency of settlement, of every fee what we pay less what we get.
        records.fee_payable_minor - records.fee_receivable_minor
        + records.signed_fee_1_minor + records.signed_fee_2_minor as channel_cost_minor,
        records.acquiring_institution_id,
        records.forwarding_institution_id,
        records.trace_number,
        records.transmission_time,
        records.retrieval_reference_number,
        cast(null as text) as channel_order_id,
        cast(null as text) as merchant_order_id,
        cast(null as text) as refund_order_id,
        records.terminal_id,
        records.merchant_id as channel_merchant_id,
        'foreign' as card_region,
        records.card_token,
        records.card_mask,
        -- What settles in its own currency has none of these.
        case
            when records.transaction_currency_code <> records.currency_code
                then records.transaction_currency_code
        end as transaction_currency_code,
        case
            when records.transaction_currency_code <> records.currency_code
                then records.transaction_amount_minor * transaction_types.amount_sign
        end as transaction_amount_minor,
        case
            when records.transaction_currency_code <> records.currency_code
                then records.settlement_rate
        end as exchange_rate
    from records
    inner join landed_files on records.file_id = landed_files.file_id
    inner join transaction_types
        on records.transaction_type = transaction_types.transaction_type
    where landed_files.channel <> 'unionpay'
)

select * from final
