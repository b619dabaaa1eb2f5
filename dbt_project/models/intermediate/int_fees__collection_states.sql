{{ config(materialized='view', schema='intermediate', tags=['setup']) }}

{#-
    Every state that a debit of a fee bill went through, with what of it is under way to the fee
    account or there, now and before: a debit that is out, its amount; one that was collected, what
    the bank's line says; else nothing. Ledger and bank journal book the change.
-#}
with collections as (
    select
        collection_id,
        bill_no,
        message_id,
        currency_code,
        amount_minor
    from {{ source('fee_bills', 'collections') }}
),

collection_events as (
    select
        collection_id,
        event_no,
        status,
        business_date,
        collected_minor
    from {{ source('fee_bills', 'collection_events') }}
),

issued_bills as (
    select
        bill_no,
        account_id
    from {{ source('fee_bills', 'issued_bills') }}
),

fee_accounts as (
    select
        bank_account_id,
        currency_code
    from {{ ref('bank_accounts') }}
    where account_kind = 'fee'
),

states as (
    select
        collections.collection_id,
        collection_events.event_no,
        collection_events.status,
        collection_events.business_date,
        collections.bill_no,
        collections.message_id,
        issued_bills.account_id,
        fee_accounts.bank_account_id,
        collections.currency_code,
        collections.amount_minor,
        case
            when collection_events.status in ('submitted', 'accepted', 'unknown')
                then collections.amount_minor
            else collection_events.collected_minor
        end as booked_amount_minor
    from collections
    inner join collection_events on collections.collection_id = collection_events.collection_id
    inner join issued_bills on collections.bill_no = issued_bills.bill_no
    left join fee_accounts on collections.currency_code = fee_accounts.currency_code
),

final as (
    select
        states.*,
        coalesce(
            lag(states.booked_amount_minor) over (
                partition by states.collection_id
                order by states.event_no
            ),
            0
        ) as booked_before_minor
    from states
)

select * from final
