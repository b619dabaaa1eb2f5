with records as (
    select
        file_id,
        line_number,
        accounting_date,
        freeze_id,
        account_id,
        currency_code,
        amount_minor,
        reason_code,
        effective_from,
        effective_to
    from {{ source('raw', 'platform_freezes') }}
),

landed_files as (
    {{ landed_files() }}
),

final as (
    select
        records.file_id,
        records.line_number,
        records.accounting_date as snapshot_date,
        records.freeze_id,
        records.account_id,
        records.currency_code,
        records.amount_minor,
        records.reason_code,
        records.effective_from,
        records.effective_to
    from records
    inner join landed_files on records.file_id = landed_files.file_id
)

select * from final
