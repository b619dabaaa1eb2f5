{{ config(materialized='ephemeral') }}

{#- No entry in two statements, no instruction that differs. -#}
with statements as (
    select
        statement_id,
        account_id,
        settlement_session_type,
        settlement_session_no,
        currency_code,
        payout_amount_minor
    from {{ ref('settlement_statements') }}
    where payment_date = {{ payment_date() }}
),

statement_lines as (
    select
        payment_date,
        entry_id,
        accounting_date
    from {{ ref('statement_lines') }}
    where payment_date >= {{ previous_payment_date() }} - 14
        and payment_date <= {{ payment_date() }} + 14
),

instructions as (
    select
        instruction_id,
        statement_id,
        amount_minor
    from {{ source('payout', 'instructions') }}
    where payment_date = {{ payment_date() }}
),

states_of_date as (
    select
        attempt_id,
        event_no,
        instruction_id,
        is_live
    from {{ ref('int_payout__attempt_states') }}
    where payment_date = {{ payment_date() }}
),

lines_in_window as (
    select
        accounting_date,
        entry_id,
        count(*) as line_count
    from statement_lines
    -- A slow channel's dates are older than the last payment date.
    where accounting_date >= {{ days_back(payment_date()) }}
        and accounting_date < {{ payment_date() }}
    group by accounting_date, entry_id
    having count(*) > 1
),

entry_twice_checks as (
    select
        'entries' as subject,
        count(*) = 0 as holds,
        coalesce('in two statements (重复结算): ' || min(entry_id), '') as detail,
        count(*) as measured,
        '0' as expected
    from lines_in_window
),

doubled_statements as (
    select
        account_id,
        settlement_session_type,
        settlement_session_no,
        currency_code
    from statements
    group by account_id, settlement_session_type, settlement_session_no, currency_code
    having count(*) > 1
),

statement_twice_checks as (
    select
        'statements' as subject,
        count(*) = 0 as holds,
        coalesce('two statements of one session (重复结算单): ' || min(account_id), '') as detail,
        count(*) as measured,
        '0' as expected
    from doubled_statements
),

latest_states as (
    select
        instruction_id,
        is_live,
        row_number() over (partition by attempt_id order by event_no desc) as event_order
    from states_of_date
),

live_attempts as (
    select
        instruction_id,
        count(*) as live_count
    from latest_states
    where event_order = 1 and is_live
    group by instruction_id
),

-- What was instructed earlier for this payment date must be what its statement still says.
wrong_instructions as (
    select instructions.instruction_id
    from instructions
    left join statements on instructions.statement_id = statements.statement_id
    left join live_attempts on instructions.instruction_id = live_attempts.instruction_id
    where statements.payout_amount_minor is distinct from instructions.amount_minor
        or coalesce(live_attempts.live_count, 0) > 1
),

instruction_checks as (
    select
        'instructions' as subject,
        count(*) = 0 as holds,
        coalesce(
            'instructed before with another amount, or twice under way (指令与结算单不符): '
            || min(instruction_id),
            ''
        ) as detail,
        count(*) as measured,
        '0' as expected
    from wrong_instructions
),

final as (
    {{ check_rows('no_account_paid_twice', [
        'entry_twice_checks',
        'statement_twice_checks',
        'instruction_checks',
    ]) }}
)

select * from final
