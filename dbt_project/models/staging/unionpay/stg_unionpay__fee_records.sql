with records as (
    select
        file_id,
        line_number,
        accounting_date,
        adjustment_code,
        adjustment_type,
        transmitted_at,
        sending_institution_id,
        trace_number,
        transmission_time,
        reason_code,
        currency_code,
        funds_effect_minor
    from {{ source('raw', 'unionpay_fcp') }}
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
        records.sending_institution_id as acquiring_institution_id,
        records.trace_number,
        records.transmission_time,
        records.reason_code,
        records.currency_code,
        records.funds_effect_minor
    from records
    inner join landed_files on records.file_id = landed_files.file_id
)

select * from final
