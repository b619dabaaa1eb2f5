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
    {{ landed_files() }}
),

-- What was owed at go-live is of the first accounting date: a file of a later one counts nothing.
closed_days as (
    select min(accounting_date) as first_closed_date
    from {{ source('control', 'accounting_days') }}
    where state in ('closed', 'sealed')
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
    cross join closed_days
    where
        closed_days.first_closed_date is null
        or records.accounting_date <= closed_days.first_closed_date
)

select * from final
