with records as (
    select
        file_id,
        line_number,
        accounting_date,
        accounting_voucher_id,
        source_voucher_id,
        account_id,
        currency_code,
        amount_minor,
        booked_at,
        fee_minor,
        transaction_type,
        direction,
        subject_code
    from {{ source('raw', 'platform_accounting_vouchers') }}
),

landed_files as (
    {{ landed_files() }}
),

final as (
    select
        records.file_id,
        records.line_number,
        records.accounting_date,
        records.accounting_voucher_id,
        records.source_voucher_id,
        records.account_id,
        records.currency_code,
        records.amount_minor,
        records.booked_at,
        records.fee_minor as stated_fee_minor,
        records.transaction_type,
        records.direction,
        records.subject_code
    from records
    inner join landed_files on records.file_id = landed_files.file_id
)

select * from final
