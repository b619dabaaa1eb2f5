with records as (
    select
        file_id,
        line_number,
        accounting_date,
        business_id,
        business_type,
        currency_code,
        amount_minor,
        balance_after_minor
    from {{ source('raw', 'alipay_account_bill') }}
),

landed_files as (
    {{ landed_files(['file_id', 'channel', 'slot']) }}
),

final as (
    select
        records.file_id || ':' || records.line_number as fund_line_id,
        landed_files.channel,
        records.file_id,
        records.line_number,
        records.accounting_date,
        {{ channel_account('landed_files.slot') }} as channel_account_id,
        'basic' as account_type,
        records.business_type,
        nullif(records.business_id, '') as fund_key,
        records.currency_code,
        records.amount_minor,
        records.balance_after_minor
    from records
    inner join landed_files on records.file_id = landed_files.file_id
)

select * from final
