with records as (
    select
        file_id,
        line_number,
        accounting_date,
        transmitted_at,
        transaction_type,
        currency_code,
        amount_minor,
        interchange_receivable_minor,
        interchange_payable_minor,
        network_fee_minor,
        acquiring_institution_id,
        forwarding_institution_id,
        trace_number,
        transmission_time,
        retrieval_reference_number,
        terminal_id,
        merchant_id,
        region_flag,
        card_token,
        card_mask
    from {{ source('raw', 'unionpay_acomn') }}
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
        records.transmitted_at as transaction_at,
        records.transaction_type,
        records.currency_code,
        records.amount_minor,
        -- Field 22 is what we pay the issuer, field 21 what we get back on reverse kinds, field 23
        -- the network's half: together what the channel keeps back of this record.
        records.interchange_payable_minor - records.interchange_receivable_minor
        + records.network_fee_minor as channel_cost_minor,
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
        -- Field 30: 0 is a domestic card, 1 a foreign one.
        case records.region_flag when '0' then 'domestic' when '1' then 'foreign' end
            as card_region,
        records.card_token,
        records.card_mask
    from records
    inner join landed_files on records.file_id = landed_files.file_id
)

select * from final
