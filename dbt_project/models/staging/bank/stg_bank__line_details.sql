with records as (
    select
        file_id,
        line_number,
        accounting_date,
        detail_number,
        amount_minor,
        charge_amount_minor,
        end_to_end_id,
        counterparty_name,
        remittance_text,
        return_reason_code
    from {{ source('raw', 'bank_statement_line_details') }}
),

landed_files as (
    {{ landed_files() }}
),

final as (
    select
        records.file_id,
        records.line_number,
        records.accounting_date as booked_on,
        records.detail_number,
        records.amount_minor,
        records.charge_amount_minor,
        records.end_to_end_id,
        records.counterparty_name,
        records.remittance_text,
        records.return_reason_code
    from records
    inner join landed_files on records.file_id = landed_files.file_id
)

select * from final
