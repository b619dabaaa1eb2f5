{{ config(materialized='public_view', tags=['views']) }}

{#-
    The bills of fees billed apart (手续费账单): each stands once, with what of it is collected, under
    way, credited and open now. Nothing is computed of what a bill asks for: it is as it was made
    (docs/domain.md#collection-of-fee-bills). Whether it is overdue is a question of a date: the due
    date, and the reminders that were sent.
-#}
with issued_bills as (
    select
        bill_no,
        fee_period,
        account_id,
        currency_code,
        line_count,
        fee_amount_minor,
        credit_brought_minor,
        due_amount_minor,
        credit_carried_minor,
        issued_on,
        due_on,
        collection_method
    from {{ source('fee_bills', 'issued_bills') }}
),

bill_amounts as (
    select
        bill_no,
        collected_amount_minor,
        under_way_amount_minor,
        credited_amount_minor,
        open_amount_minor,
        attempt_count,
        latest_status
    from {{ source('fee_bills', 'bill_amounts') }}
),

reminders as (
    select
        bill_no,
        max(reminder_level) as reminder_level
    from {{ source('fee_bills', 'bill_reminders') }}
    group by bill_no
),

final as (
    select
        issued_bills.bill_no,
        issued_bills.fee_period,
        issued_bills.account_id,
        issued_bills.currency_code,
        issued_bills.line_count,
        issued_bills.fee_amount_minor,
        issued_bills.credit_brought_minor,
        issued_bills.due_amount_minor,
        issued_bills.credit_carried_minor,
        issued_bills.issued_on,
        issued_bills.due_on,
        issued_bills.collection_method,
        bill_amounts.collected_amount_minor,
        bill_amounts.under_way_amount_minor,
        bill_amounts.credited_amount_minor,
        bill_amounts.open_amount_minor,
        bill_amounts.attempt_count,
        coalesce(reminders.reminder_level, 0) as reminder_level,
        case
            when issued_bills.due_amount_minor = 0 then 'credit'
            when bill_amounts.open_amount_minor < 0 then 'overpaid'
            when bill_amounts.open_amount_minor = 0 and bill_amounts.collected_amount_minor > 0
                then 'paid'
            when bill_amounts.open_amount_minor = 0 then 'credited'
            when bill_amounts.latest_status = 'unknown' then 'unknown'
            when bill_amounts.under_way_amount_minor > 0 then 'collecting'
            when bill_amounts.collected_amount_minor > 0 then 'part_paid'
            when bill_amounts.latest_status = 'failed' then 'failed'
            when bill_amounts.latest_status = 'returned' then 'returned'
            else 'open'
        end as status
    from issued_bills
    inner join bill_amounts on issued_bills.bill_no = bill_amounts.bill_no
    left join reminders on issued_bills.bill_no = reminders.bill_no
)

select * from final
