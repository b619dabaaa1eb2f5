{{ config(
    materialized='dated_partition', partition_by='payment_date', tags=['payment', 'outcomes'],
    pre_hook='{{ set_based() }}'
) }}

{#-
    Where the payout of each payable statement of the payment date stands (代付状态). The last
    attempt's latest event is the status, unless any attempt is paid: a bank that first refused
    and then paid has paid (docs/domain.md#transitions).
-#}
with settlement_statements as (
    select
        statement_id,
        account_id,
        currency_code,
        payout_amount_minor
    from {{ ref('settlement_statements') }}
    where payment_date = {{ payment_date() }} and payout_amount_minor > 0
),

instructions as (
    select
        instruction_id,
        statement_id,
        amount_minor
    from {{ source('payout', 'instructions') }}
    where payment_date = {{ payment_date() }}
),

attempts as (
    select
        attempt_id,
        instruction_id,
        attempt_no,
        end_to_end_id
    from {{ source('payout', 'attempts') }}
),

attempt_events as (
    select
        attempt_id,
        event_no,
        status
    from {{ source('payout', 'attempt_events') }}
),

attempts_of_date as (
    select
        attempts.attempt_id,
        attempts.instruction_id,
        attempts.attempt_no,
        attempts.end_to_end_id,
        row_number() over (
            partition by attempts.instruction_id
            order by attempts.attempt_no desc
        ) as attempt_order
    from instructions
    inner join attempts on instructions.instruction_id = attempts.instruction_id
),

events_of_date as (
    select
        attempts_of_date.attempt_id,
        attempt_events.status,
        row_number() over (
            partition by attempts_of_date.attempt_id
            order by attempt_events.event_no desc
        ) as event_order
    from attempts_of_date
    inner join attempt_events on attempts_of_date.attempt_id = attempt_events.attempt_id
),

attempt_states as (
    select
        attempts_of_date.instruction_id,
        attempts_of_date.attempt_no,
        attempts_of_date.end_to_end_id,
        attempts_of_date.attempt_order,
        coalesce(events_of_date.status, 'created') as status
    from attempts_of_date
    left join events_of_date
        on attempts_of_date.attempt_id = events_of_date.attempt_id
        and events_of_date.event_order = 1
),

instruction_states as (
    select
        instruction_id,
        count(*) as attempt_count,
        count(*) filter (where status = 'paid') as paid_count,
        max(status) filter (where attempt_order = 1) as last_status,
        max(attempt_no) filter (where attempt_order = 1) as last_attempt_no,
        max(end_to_end_id) filter (where attempt_order = 1) as end_to_end_id
    from attempt_states
    group by instruction_id
),

final as (
    select
        {{ payment_date() }} as payment_date,
        settlement_statements.statement_id,
        settlement_statements.account_id,
        settlement_statements.currency_code,
        settlement_statements.payout_amount_minor,
        instructions.instruction_id,
        coalesce(instruction_states.attempt_count, 0) as attempt_count,
        case
            when instructions.instruction_id is null then 'not_instructed'
            when instruction_states.instruction_id is null then 'instructed'
            when instruction_states.paid_count > 0 then 'paid'
            else instruction_states.last_status
        end as current_status,
        coalesce(instruction_states.paid_count * instructions.amount_minor, 0)
            as paid_amount_minor,
        instruction_states.last_attempt_no,
        instruction_states.end_to_end_id
    from settlement_statements
    left join instructions
        on settlement_statements.statement_id = instructions.statement_id
    left join instruction_states
        on instructions.instruction_id = instruction_states.instruction_id
)

select * from final
