-- What the ledger has as billed fees (应收手续费账单款) of an account is what its bills ask for, less
-- credit notes and what is under way or collected: an event that was forgotten or booked twice, or
-- a collection of another account's bill, shows here.
{{ config(tags=['close']) }}

with bills as (
    select
        bill_no,
        account_id,
        currency_code,
        due_amount_minor
    from {{ source('fee_bills', 'issued_bills') }}
    where issued_on <= {{ accounting_date() }}
),

credit_notes as (
    select
        requests.bill_no,
        sum(requests.amount_minor) as amount_minor
    from {{ source('fee_bills', 'credit_note_requests') }} as requests
    inner join {{ source('fee_bills', 'credit_note_approvals') }} as approvals
        on requests.credit_note_id = approvals.credit_note_id
    where approvals.business_date <= {{ accounting_date() }}
    group by requests.bill_no
),

collections as (
    select
        bill_no,
        sum(booked_amount_minor - booked_before_minor) as amount_minor
    from {{ ref('int_fees__collection_states') }}
    where business_date <= {{ accounting_date() }}
    group by bill_no
),

opening_balances as (
    select
        subledger_id as account_id,
        currency_code,
        sum(balance_minor) as opening_minor
    from {{ ref('stg_platform__opening_balances') }}
    where ledger_account = 'billed_fee_receivable' and accounting_date <= {{ accounting_date() }}
    group by subledger_id, currency_code
),

expected as (
    select
        account_id,
        currency_code,
        sum(expected_minor) as expected_minor
    from (
        select
            bills.account_id,
            bills.currency_code,
            bills.due_amount_minor - coalesce(credit_notes.amount_minor, 0)
            - coalesce(collections.amount_minor, 0) as expected_minor
        from bills
        left join credit_notes on bills.bill_no = credit_notes.bill_no
        left join collections on bills.bill_no = collections.bill_no
        union all
        select
            account_id,
            currency_code,
            opening_minor as expected_minor
        from opening_balances
    ) as parts
    group by account_id, currency_code
),

balances as (
    select
        subledger_id as account_id,
        currency_code,
        closing_amount_minor
    from {{ ref('account_balances') }}
    where accounting_date = {{ accounting_date() }} and ledger_account = 'billed_fee_receivable'
)

select
    coalesce(expected.account_id, balances.account_id) as account_id,
    coalesce(expected.currency_code, balances.currency_code) as currency_code,
    coalesce(expected.expected_minor, 0) as bills_minor,
    coalesce(balances.closing_amount_minor, 0) as ledger_minor
from expected
full outer join balances
    on expected.account_id = balances.account_id
    and expected.currency_code = balances.currency_code
where
    coalesce(expected.expected_minor, 0)
    is distinct from coalesce(balances.closing_amount_minor, 0)
