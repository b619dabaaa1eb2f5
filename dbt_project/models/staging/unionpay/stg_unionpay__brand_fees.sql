with records as (
    select
        file_id,
        line_number,
        accounting_date,
        acquiring_institution_id,
        forwarding_institution_id,
        trace_number,
        transmission_time,
        merchant_id,
        currency_code,
        amount_minor,
        brand_fee_minor
    from {{ source('raw', 'unionpay_alfee') }}
),

landed_files as (
    {{ landed_files(['file_id', 'channel']) }}
),

final as (
    select
        records.file_id || ':' || records.line_number as brand_fee_id,
        landed_files.channel,
        records.file_id,
        records.line_number,
        records.accounting_date,
        records.acquiring_institution_id,
        records.forwarding_institution_id,
        records.trace_number,
        records.transmission_time,
        records.merchant_id,
        records.currency_code,
        records.amount_minor,
        records.brand_fee_minor
    from records
    inner join landed_files on records.file_id = landed_files.file_id
)

select * from final
