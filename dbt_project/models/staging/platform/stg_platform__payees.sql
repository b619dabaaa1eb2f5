with records as (
    select
        file_id,
        line_number,
        accounting_date,
        payee_id,
        payee_version,
        account_id,
        bank_name,
        bank_code,
        account_number_ciphertext,
        account_number_mask,
        account_number_token,
        account_name_ciphertext,
        account_name_mask,
        currency_code,
        payee_status,
        effective_from,
        effective_to
    from {{ source('raw', 'platform_payees') }}
),

landed_files as (
    {{ landed_files() }}
),

final as (
    select
        records.file_id,
        records.line_number,
        records.accounting_date as snapshot_date,
        records.payee_id,
        records.payee_version,
        records.account_id,
        records.bank_name,
        records.bank_code,
        records.account_number_ciphertext,
        records.account_number_mask,
        records.account_number_token,
        records.account_name_ciphertext,
        records.account_name_mask,
        records.currency_code,
        records.payee_status,
        records.effective_from,
        records.effective_to
    from records
    inner join landed_files on records.file_id = landed_files.file_id
)

select * from final
