{{ config(materialized='ephemeral') }}

{#-
    An attempt has the merchant's money while it is under way or paid; failed and returned give it
    back. What is booked is the change: an attempt that failed before it was submitted books
    nothing, one that was paid after it failed is booked again.
-#}
with attempt_states as (
    select
        attempt_id,
        event_no,
        status,
        holds_money,
        held_money_before,
        statement_id,
        account_id,
        currency_code,
        amount_minor,
        source_file_id
    from {{ ref('int_payout__attempt_states') }}
    where business_date = {{ accounting_date() }}
),

final as (
    select
        'payout_' || status as event_type,
        case when holds_money then 'under_way' else 'ended' end as posting_case,
        'PAY:' || attempt_id || ':' || event_no as posting_id,
        'PAY-' || attempt_id as voucher_id,
        statement_id as source_id,
        'payout_event' as source_kind,
        cast(null as text) as channel,
        cast(null as text) as settlement_mode,
        currency_code,
        amount_minor,
        account_id,
        cast(null as text) as arrival_group_id,
        cast(null as text) as bank_account_id,
        false as is_catch_up,
        source_file_id as file_id,
        cast(null as integer) as line_number,
        cast(null as text) as decision_id
    from attempt_states
    where holds_money is distinct from held_money_before
)

select * from final
