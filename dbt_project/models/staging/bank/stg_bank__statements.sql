with records as (
    select
        file_id,
        line_number,
        accounting_date,
        statement_id,
        bank_account_id,
        statement_date,
        sequence_number,
        currency_code,
        opening_balance_minor,
        closing_balance_minor,
        entry_count
    from {{ source('raw', 'bank_statements') }}
),

landed_files as (
    {{ landed_files() }}
),

final as (
    select
        records.file_id,
        records.line_number,
        records.accounting_date as booked_on,
        records.statement_id,
        records.bank_account_id,
        records.statement_date,
        records.sequence_number,
        records.currency_code,
        records.opening_balance_minor,
        records.closing_balance_minor,
        records.entry_count
    from records
    inner join landed_files on records.file_id = landed_files.file_id
)

select * from final
