with records as (
    select
        file_id,
        line_number,
        accounting_date,
        first_accounting_date,
        last_accounting_date
    from {{ source('raw', 'platform_operating_window') }}
),

landed_files as (
    {{ landed_files() }}
),

final as (
    select
        records.file_id,
        records.line_number,
        records.accounting_date as snapshot_date,
        records.first_accounting_date,
        records.last_accounting_date
    from records
    inner join landed_files on records.file_id = landed_files.file_id
)

select * from final
