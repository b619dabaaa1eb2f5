-- A bill (手续费账单) asks for what was cleared, and for all of it: each fee billed apart of a month
-- that has its bills stands in one of the account's bills with the cleared amount, and no line
-- stands for anything else.
{{ config(tags=['payment']) }}

with fee_periods as (
    select distinct fee_period
    from {{ source('fee_bills', 'issued_bills') }}
),

bills as (
    select
        bill_no,
        account_id,
        currency_code
    from {{ source('fee_bills', 'issued_bills') }}
),

billed_fees as (
    select
        billed.accounting_date,
        billed.entry_id,
        billed.bill_no,
        billed.fee_amount_minor,
        bills.account_id,
        bills.currency_code
    from {{ source('fee_bills', 'billed_fees') }} as billed
    inner join bills on billed.bill_no = bills.bill_no
    where billed.accounting_date >= {{ days_back(payment_date()) }}
),

cleared_fees as (
    select
        entries.accounting_date,
        entries.entry_id,
        entries.account_id,
        entries.currency_code,
        entries.fee_amount_minor
    from {{ ref('clearing_entries') }} as entries
    inner join fee_periods on to_char(entries.accounting_date, 'YYYY-MM') = fee_periods.fee_period
    where entries.accounting_date >= {{ days_back(payment_date()) }}
        and entries.settlement_mode = 'gross'
        and entries.fee_amount_minor <> 0
)

select
    coalesce(cleared_fees.accounting_date, billed_fees.accounting_date) as accounting_date,
    coalesce(cleared_fees.entry_id, billed_fees.entry_id) as entry_id,
    billed_fees.bill_no,
    cleared_fees.fee_amount_minor as cleared_minor,
    billed_fees.fee_amount_minor as billed_minor
from cleared_fees
full outer join billed_fees
    on cleared_fees.accounting_date = billed_fees.accounting_date
    and cleared_fees.entry_id = billed_fees.entry_id
where cleared_fees.fee_amount_minor is distinct from billed_fees.fee_amount_minor
    or cleared_fees.account_id is distinct from billed_fees.account_id
    or cleared_fees.currency_code is distinct from billed_fees.currency_code
