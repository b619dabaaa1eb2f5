-- Every posting is booked by a rule in use, to accounts of the chart (会计科目). A posting to an
-- unknown account would stand in no report.
{{ config(tags=['close']) }}

select
    posting_id,
    rule,
    debit_account,
    credit_account
from {{ ref('postings') }}
where
    accounting_date = {{ accounting_date() }}
    and (
        debit_account not in (
            select known.ledger_account from {{ ref('chart_of_accounts') }} as known
        )
        or credit_account not in (
            select known.ledger_account from {{ ref('chart_of_accounts') }} as known
        )
        or rule not in (
            select known.rule from {{ ref('posting_rules') }} as known where known.is_used
        )
    )
