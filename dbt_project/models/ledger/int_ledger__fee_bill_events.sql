{{ config(materialized='ephemeral') }}

{#-
    Fee bills on the books: a bill turns fees of its period into a sum that is due, a credit note
    takes an amount off it, and a debit that goes out, ends unpaid or is collected changes what of
    it is under way. A bill that asks for nothing books nothing: its credit stays with the fees.
-#}
with issued_bills as (
    select
        bill_no,
        account_id,
        currency_code,
        due_amount_minor
    from {{ source('fee_bills', 'issued_bills') }}
    where issued_on = {{ accounting_date() }}
),

credited_bills as (
    select
        bill_no,
        account_id,
        currency_code
    from {{ source('fee_bills', 'issued_bills') }}
),

credit_note_requests as (
    select
        credit_note_id,
        bill_no,
        amount_minor
    from {{ source('fee_bills', 'credit_note_requests') }}
),

credit_note_approvals as (
    select
        credit_note_id,
        credit_note_no
    from {{ source('fee_bills', 'credit_note_approvals') }}
    where business_date = {{ accounting_date() }}
),

collection_states as (
    select
        collection_id,
        event_no,
        account_id,
        bank_account_id,
        currency_code,
        booked_amount_minor - booked_before_minor as amount_minor
    from {{ ref('int_fees__collection_states') }}
    where business_date = {{ accounting_date() }}
        and booked_amount_minor <> booked_before_minor
),

events as (
    select
        'fee_bill_issued' as event_type,
        'due' as posting_case,
        'BILL:' || bill_no as posting_id,
        'BILL-' || bill_no as voucher_id,
        cast(bill_no as text) as source_id,
        'fee_bill' as source_kind,
        currency_code,
        due_amount_minor as amount_minor,
        account_id,
        cast(null as text) as bank_account_id,
        cast(null as text) as decision_id
    from issued_bills
    union all
    select
        'fee_bill_credited' as event_type,
        'credit_note' as posting_case,
        'CREDIT:' || credit_note_approvals.credit_note_no as posting_id,
        'CREDIT-' || credit_note_approvals.credit_note_no as voucher_id,
        cast(credited_bills.bill_no as text) as source_id,
        'credit_note' as source_kind,
        credited_bills.currency_code,
        credit_note_requests.amount_minor,
        credited_bills.account_id,
        cast(null as text) as bank_account_id,
        cast(credit_note_approvals.credit_note_id as text) as decision_id
    from credit_note_approvals
    inner join credit_note_requests
        on credit_note_approvals.credit_note_id = credit_note_requests.credit_note_id
    inner join credited_bills on credit_note_requests.bill_no = credited_bills.bill_no
    union all
    select
        'fee_collection' as event_type,
        'under_way' as posting_case,
        'COLLECT:' || collection_id || ':' || event_no as posting_id,
        'COLLECT-' || collection_id as voucher_id,
        collection_id as source_id,
        'collection_event' as source_kind,
        currency_code,
        amount_minor,
        account_id,
        bank_account_id,
        cast(null as text) as decision_id
    from collection_states
),

final as (
    select
        event_type,
        posting_case,
        posting_id,
        voucher_id,
        source_id,
        source_kind,
        cast(null as text) as channel,
        cast(null as text) as settlement_mode,
        currency_code,
        amount_minor,
        account_id,
        cast(null as text) as arrival_group_id,
        bank_account_id,
        false as is_catch_up,
        cast(null as text) as file_id,
        cast(null as integer) as line_number,
        decision_id
    from events
)

select * from final
