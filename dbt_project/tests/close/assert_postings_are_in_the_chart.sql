-- Every entry is booked to an account of the chart (会计科目). A posting to an unknown account would
-- stand in no report.
{{ config(tags=['close']) }}

select
    entry_id,
    ledger_account
from {{ ref('journal_entries') }}
where
    accounting_date = {{ accounting_date() }}
    and ledger_account not in (
        select known.ledger_account from {{ ref('chart_of_accounts') }} as known
    )
