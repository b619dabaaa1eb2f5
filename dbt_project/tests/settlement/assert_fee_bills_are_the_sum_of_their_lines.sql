-- A fee bill (手续费账单) is a list that sums: its fees are those of its lines, and its credit is
-- what the account's bill before carried. Numbers have no gap.
{{ config(tags=['payment']) }}

with bills as (
    select
        bill_no,
        account_id,
        line_count,
        fee_amount_minor,
        credit_brought_minor,
        coalesce(
            lag(credit_carried_minor) over (
                partition by account_id, currency_code
                order by bill_no
            ),
            0
        ) as credit_left_minor,
        row_number() over (order by bill_no) as place
    from {{ source('fee_bills', 'issued_bills') }}
),

billed_fees as (
    select
        bill_no,
        count(*) as line_count,
        sum(fee_amount_minor) as fee_amount_minor
    from {{ source('fee_bills', 'billed_fees') }}
    group by bill_no
)

select
    bills.bill_no,
    bills.account_id,
    bills.place,
    bills.fee_amount_minor as stated_minor,
    billed_fees.fee_amount_minor as line_minor
from bills
left join billed_fees on bills.bill_no = billed_fees.bill_no
where bills.line_count is distinct from billed_fees.line_count
    or bills.fee_amount_minor is distinct from billed_fees.fee_amount_minor
    or bills.credit_brought_minor is distinct from bills.credit_left_minor
    or bills.bill_no is distinct from bills.place
