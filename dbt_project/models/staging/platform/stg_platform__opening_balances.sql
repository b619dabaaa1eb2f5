with records as (
    select
        file_id,
        line_number,
        accounting_date,
        ledger_account,
        subledger_id,
        currency_code,
        balance_minor
    from {{ source('raw', 'platform_opening_balances') }}
),

landed_files as (
    select file_id
    from {{ source('control', 'channel_files') }}
    where status = 'landed'
),

final as (
    select
        records.file_id,
        records.line_number,
        records.accounting_date,
        records.ledger_account,
        records.subledger_id,
        records.currency_code,
        records.balance_minor
    from records
    inner join landed_files on records.file_id = landed_files.file_id
)

select * from final
