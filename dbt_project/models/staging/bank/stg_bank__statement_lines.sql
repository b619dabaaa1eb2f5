with records as (
    select
        file_id,
        line_number,
        accounting_date,
        statement_id,
        bank_account_id,
        statement_date,
        entry_reference,
        booking_date,
        value_date,
        currency_code,
        amount_minor,
        charge_amount_minor,
        is_reversal,
        is_return,
        bank_transaction_code,
        counterparty_name,
        end_to_end_id,
        remittance_text,
        batch_message_id,
        detail_count
    from {{ source('raw', 'bank_statement_lines') }}
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
        records.entry_reference,
        records.booking_date,
        records.value_date,
        records.currency_code,
        records.amount_minor,
        records.charge_amount_minor,
        records.is_reversal,
        records.is_return,
        records.bank_transaction_code,
        records.counterparty_name,
        records.end_to_end_id,
        records.remittance_text,
        records.batch_message_id,
        records.detail_count
    from records
    inner join landed_files on records.file_id = landed_files.file_id
)

select * from final
