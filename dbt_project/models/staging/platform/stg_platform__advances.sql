with records as (
    select
        file_id,
        line_number,
        accounting_date,
        advance_id,
        account_id,
        advanced_on,
        for_accounting_date,
        currency_code,
        amount_minor,
        advance_fee_minor,
        advance_status
    from {{ source('raw', 'platform_advances') }}
),

landed_files as (
    {{ landed_files() }}
),

final as (
    select
        records.file_id,
        records.line_number,
        records.accounting_date as snapshot_date,
        records.advance_id,
        records.account_id,
        records.advanced_on,
        records.for_accounting_date,
        records.currency_code,
        records.amount_minor,
        records.advance_fee_minor,
        coalesce(records.advance_status, 'paid') as advance_status
    from records
    inner join landed_files on records.file_id = landed_files.file_id
)

select * from final
