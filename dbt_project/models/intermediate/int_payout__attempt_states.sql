{{ config(materialized='view', schema='intermediate', tags=['setup']) }}

{#-
    Every state that an attempt to pay went through, with what it means for the money, and whether
    the attempt held money before. An attempt without an event was created. Events are numbered
    without a gap, so the state before is the event before.
-#}
with attempts as (
    select
        attempt_id,
        instruction_id,
        attempt_no,
        end_to_end_id,
        batch_message_id
    from {{ source('payout', 'attempts') }}
),

instructions as (
    select
        instruction_id,
        statement_id,
        payment_date,
        account_id,
        currency_code,
        amount_minor
    from {{ source('payout', 'instructions') }}
),

attempt_events as (
    select
        attempt_id,
        event_no,
        status,
        business_date,
        source_file_id
    from {{ source('payout', 'attempt_events') }}
),

events_before as (
    select
        attempt_id,
        event_no,
        status
    from {{ source('payout', 'attempt_events') }}
),

payout_states as (
    select
        status,
        holds_money,
        is_live,
        is_awaited
    from {{ ref('payout_states') }}
),

states_before as (
    select
        status,
        holds_money
    from {{ ref('payout_states') }}
),

final as (
    select
        attempts.attempt_id,
        coalesce(attempt_events.event_no, 0) as event_no,
        payout_states.status,
        attempt_events.business_date,
        attempt_events.source_file_id,
        payout_states.holds_money,
        coalesce(states_before.holds_money, false) as held_money_before,
        payout_states.is_live,
        payout_states.is_awaited,
        attempts.attempt_no,
        attempts.end_to_end_id,
        attempts.batch_message_id,
        attempts.instruction_id,
        instructions.statement_id,
        instructions.payment_date,
        instructions.account_id,
        instructions.currency_code,
        instructions.amount_minor
    from attempts
    inner join instructions on attempts.instruction_id = instructions.instruction_id
    left join attempt_events on attempts.attempt_id = attempt_events.attempt_id
    inner join payout_states
        on coalesce(attempt_events.status, 'created') = payout_states.status
    left join events_before
        on attempt_events.attempt_id = events_before.attempt_id
        and attempt_events.event_no - 1 = events_before.event_no
    left join states_before on events_before.status = states_before.status
)

select * from final
