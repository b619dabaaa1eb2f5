{{ config(materialized='ephemeral') }}

{#- Gate checks on the statements: what they carry, what they sum to, whom they pay, and once. -#}
with arrival_groups as (
    select distinct currency_code
    from {{ ref('int_calendar__arrival_groups') }}
),

last_date as (
    select max(accounting_date) as accounting_date
    from {{ ref('int_calendar__arrival_groups') }}
    where accounting_date >= {{ previous_payment_date() }}
        and accounting_date < {{ payment_date() }}
),

account_balances as (
    select
        account_id,
        currency_code,
        debit_amount_minor,
        credit_amount_minor
    from {{ ref('account_balances') }}
    where accounting_date >= {{ previous_payment_date() }}
        and accounting_date < {{ payment_date() }}
        and ledger_account = 'merchant_payable'
),

clearing_entries as (
    select
        account_id,
        currency_code,
        clearing_amount_minor
    from {{ ref('clearing_entries') }}
    where accounting_date >= {{ previous_payment_date() }}
        and accounting_date < {{ payment_date() }}
),

advances_settled as (
    select
        account_id,
        currency_code,
        advance_amount_minor
    from {{ ref('settlement_statements') }}
    where payment_date >= {{ previous_payment_date() }} and payment_date < {{ payment_date() }}
),

statements as (
    select
        statement_id,
        account_id,
        settlement_session_type,
        settlement_session_no,
        currency_code,
        settlement_amount_minor,
        adjustment_amount_minor,
        advance_amount_minor,
        previous_unsettled_amount_minor,
        payout_amount_minor,
        carried_forward_amount_minor,
        payable_status,
        payee_id,
        payee_version
    from {{ ref('settlement_statements') }}
    where payment_date = {{ payment_date() }}
),

statements_before as (
    select
        account_id,
        settlement_session_type,
        currency_code,
        carried_forward_amount_minor,
        row_number() over (
            partition by account_id, settlement_session_type, currency_code
            order by settlement_session_no desc
        ) as session_order
    from {{ ref('settlement_statements') }}
    where payment_date = {{ previous_payment_date() }}
),

opening_balances as (
    select
        ledger_account,
        subledger_id as account_id,
        currency_code,
        balance_minor
    from {{ ref('stg_platform__opening_balances') }}
    where accounting_date >= {{ previous_payment_date() }}
        and accounting_date < {{ payment_date() }}
        and ledger_account in ('merchant_payable', 'merchant_receivable')
),

statement_lines as (
    select
        payment_date,
        statement_id,
        entry_id,
        accounting_date,
        currency_code,
        clearing_amount_minor
    from {{ ref('statement_lines') }}
    where payment_date >= {{ previous_payment_date() }} - 14
        and payment_date <= {{ payment_date() }} + 14
),

clearing_entries_before as (
    select
        accounting_date,
        entry_id
    from {{ ref('clearing_entries') }}
    where accounting_date >= {{ previous_payment_date() }} - 31
        and accounting_date < {{ previous_payment_date() }}
        and payment_date = {{ previous_payment_date() }}
),

clearing_records as (
    select
        account_id,
        currency_code,
        transaction_count,
        clearing_amount_minor
    from {{ ref('clearing_records') }}
    where accounting_date >= {{ previous_payment_date() }}
        and accounting_date < {{ payment_date() }}
),

payees as (
    select
        payee_id,
        payee_version,
        account_id,
        currency_code,
        payee_status
    from {{ ref('stg_platform__payees') }}
    where snapshot_date = {{ latest_snapshot_before_payment(ref('stg_platform__payees')) }}
        and effective_from <= {{ payment_date() }}
        and (effective_to is null or effective_to > {{ payment_date() }})
),

instructions as (
    select
        instruction_id,
        statement_id,
        amount_minor
    from {{ source('payout', 'instructions') }}
    where payment_date = {{ payment_date() }}
),

attempt_events as (
    select
        attempt_id,
        business_date
    from {{ source('payout', 'attempt_events') }}
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

holding_states as (
    select
        attempt_id,
        event_no,
        business_date,
        holds_money,
        account_id,
        currency_code,
        amount_minor
    from {{ ref('int_payout__attempt_states') }}
),

expected_carries as (
    select
        account_id,
        settlement_session_type,
        currency_code,
        carried_forward_amount_minor as amount_minor
    from statements_before
    where session_order = 1
    union all
    select
        account_id,
        'transaction' as settlement_session_type,
        currency_code,
        -balance_minor as amount_minor
    from opening_balances
),

expected_totals as (
    select
        account_id,
        settlement_session_type,
        currency_code,
        sum(amount_minor) as amount_minor
    from expected_carries
    group by account_id, settlement_session_type, currency_code
),

first_sessions as (
    select
        account_id,
        settlement_session_type,
        currency_code,
        previous_unsettled_amount_minor
    from statements
    where settlement_session_no = 1
),

carry_differences as (
    select
        coalesce(first_sessions.account_id, expected_totals.account_id) as account_id,
        coalesce(first_sessions.currency_code, expected_totals.currency_code) as currency_code,
        coalesce(first_sessions.previous_unsettled_amount_minor, 0) as stated_amount_minor,
        coalesce(expected_totals.amount_minor, 0) as expected_amount_minor
    from first_sessions
    full join expected_totals
        on first_sessions.account_id = expected_totals.account_id
        and first_sessions.settlement_session_type = expected_totals.settlement_session_type
        and first_sessions.currency_code = expected_totals.currency_code
),

carry_checks as (
    select
        'statement_rollforward_exact' as check_name,
        arrival_groups.currency_code as subject,
        count(*) filter (
            where carry_differences.stated_amount_minor
            <> carry_differences.expected_amount_minor
        ) = 0 as holds,
        coalesce(
            'first account: ' || min(carry_differences.account_id) filter (
                where carry_differences.stated_amount_minor
                <> carry_differences.expected_amount_minor
            )
            || ' (上期未结与前一结算单结转不符)',
            ''
        ) as detail,
        cast(coalesce(sum(carry_differences.stated_amount_minor), 0) as text) as measured,
        cast(coalesce(sum(carry_differences.expected_amount_minor), 0) as text) as expected
    from arrival_groups
    left join carry_differences
        on arrival_groups.currency_code = carry_differences.currency_code
    group by arrival_groups.currency_code
),

-- Without the statements of the payment date before, nothing would be carried and nothing would
-- differ.
unstated_before as (
    select clearing_entries_before.entry_id
    from clearing_entries_before
    left join statement_lines
        on clearing_entries_before.entry_id = statement_lines.entry_id
        and clearing_entries_before.accounting_date = statement_lines.accounting_date
        and statement_lines.payment_date = {{ previous_payment_date() }}
    where statement_lines.entry_id is null
),

stated_before_checks as (
    select
        'statement_rollforward_exact' as check_name,
        'entries of the payment date before' as subject,
        count(*) = 0 as holds,
        case
            when count(*) = 0 then ''
            else 'entries of ' || to_char({{ previous_payment_date() }}, 'YYYY-MM-DD')
                || ' stand in no statement: pay that date first (前一付款日未出结算单)'
        end as detail,
        cast(count(*) as text) as measured,
        '0' as expected
    from unstated_before
),

lines_of_day as (
    select
        statement_id,
        currency_code,
        count(*) as line_count,
        sum(clearing_amount_minor) as clearing_amount_minor
    from statement_lines
    where payment_date = {{ payment_date() }}
    group by statement_id, currency_code
),

line_differences as (
    select
        coalesce(statements.currency_code, lines_of_day.currency_code) as currency_code,
        coalesce(statements.statement_id, lines_of_day.statement_id) as statement_id
    from statements
    full join lines_of_day on statements.statement_id = lines_of_day.statement_id
    where statements.statement_id is null
        or statements.settlement_amount_minor + statements.adjustment_amount_minor
        <> coalesce(lines_of_day.clearing_amount_minor, 0)
),

record_totals as (
    select
        account_id,
        currency_code,
        sum(clearing_amount_minor) as clearing_amount_minor
    from clearing_records
    group by account_id, currency_code
),

statement_totals as (
    select
        account_id,
        currency_code,
        sum(settlement_amount_minor + adjustment_amount_minor) as stated_amount_minor
    from statements
    group by account_id, currency_code
),

account_differences as (
    select
        coalesce(statement_totals.currency_code, record_totals.currency_code) as currency_code,
        coalesce(statement_totals.account_id, record_totals.account_id) as account_id,
        coalesce(statement_totals.stated_amount_minor, 0) as stated_amount_minor,
        coalesce(record_totals.clearing_amount_minor, 0) as clearing_amount_minor
    from statement_totals
    full join record_totals
        on statement_totals.account_id = record_totals.account_id
        and statement_totals.currency_code = record_totals.currency_code
),

record_counts as (
    select
        currency_code,
        sum(transaction_count) as entry_count
    from clearing_records
    group by currency_code
),

line_counts as (
    select
        currency_code,
        sum(line_count) as entry_count
    from lines_of_day
    group by currency_code
),

record_sum_checks as (
    select
        'statements_sum_to_clearing_records' as check_name,
        arrival_groups.currency_code || ' amount' as subject,
        count(*) filter (
            where account_differences.stated_amount_minor
            <> account_differences.clearing_amount_minor
        ) = 0 as holds,
        coalesce(
            'first account: ' || min(account_differences.account_id) filter (
                where account_differences.stated_amount_minor
                <> account_differences.clearing_amount_minor
            )
            || ' (结算单与清算清单不符)',
            ''
        ) as detail,
        cast(coalesce(sum(account_differences.stated_amount_minor), 0) as text) as measured,
        cast(coalesce(sum(account_differences.clearing_amount_minor), 0) as text) as expected
    from arrival_groups
    left join account_differences
        on arrival_groups.currency_code = account_differences.currency_code
    group by arrival_groups.currency_code
),

record_count_checks as (
    select
        'statements_sum_to_clearing_records' as check_name,
        arrival_groups.currency_code || ' entries' as subject,
        coalesce(line_counts.entry_count, 0) = coalesce(record_counts.entry_count, 0) as holds,
        case
            when coalesce(line_counts.entry_count, 0) = coalesce(record_counts.entry_count, 0)
                then ''
            else 'statement lines and clearing records count differently (笔数不符)'
        end as detail,
        cast(coalesce(line_counts.entry_count, 0) as text) as measured,
        cast(coalesce(record_counts.entry_count, 0) as text) as expected
    from arrival_groups
    left join line_counts on arrival_groups.currency_code = line_counts.currency_code
    left join record_counts on arrival_groups.currency_code = record_counts.currency_code
),

line_sum_checks as (
    select
        'statements_sum_to_clearing_records' as check_name,
        arrival_groups.currency_code || ' lines' as subject,
        count(line_differences.statement_id) = 0 as holds,
        coalesce(
            'first statement: ' || min(line_differences.statement_id) || ' (结算单与明细不符)',
            ''
        ) as detail,
        cast(count(line_differences.statement_id) as text) as measured,
        '0' as expected
    from arrival_groups
    left join line_differences on arrival_groups.currency_code = line_differences.currency_code
    group by arrival_groups.currency_code
),

unpayable as (
    select statements.statement_id
    from statements
    left join payees
        on statements.payee_id = payees.payee_id
        and statements.payee_version = payees.payee_version
        and statements.account_id = payees.account_id
        and statements.currency_code = payees.currency_code
        and payees.payee_status = 'active'
    where statements.payout_amount_minor <> 0 and payees.payee_id is null
),

withheld as (
    select
        count(*) as withheld_count,
        coalesce(string_agg(statement_id, ', ' order by statement_id), '') as statement_ids
    from statements
    where payable_status = 'withheld'
),

payee_checks as (
    select
        'payable_statement_has_payee' as check_name,
        'all' as subject,
        count(unpayable.statement_id) = 0 as holds,
        coalesce(
            'no valid payee (无有效收款人): ' || min(unpayable.statement_id) || '; ', ''
        )
        || 'withheld (暂缓支付) ' || withheld.withheld_count
        || case
            when withheld.withheld_count > 0 then ': ' || left(withheld.statement_ids, 500)
            else ''
        end as detail,
        cast(count(unpayable.statement_id) as text) as measured,
        '0' as expected
    from withheld
    left join unpayable on true
    group by withheld.withheld_count, withheld.statement_ids
),

lines_in_window as (
    select
        accounting_date,
        entry_id,
        count(*) as line_count
    from statement_lines
    where accounting_date >= {{ previous_payment_date() }}
        and accounting_date < {{ payment_date() }}
    group by accounting_date, entry_id
    having count(*) > 1
),

entry_twice_checks as (
    select
        'no_account_paid_twice' as check_name,
        'entries' as subject,
        count(*) = 0 as holds,
        coalesce('in two statements (重复结算): ' || min(entry_id), '') as detail,
        cast(count(*) as text) as measured,
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
        'no_account_paid_twice' as check_name,
        'statements' as subject,
        count(*) = 0 as holds,
        coalesce('two statements of one session (重复结算单): ' || min(account_id), '') as detail,
        cast(count(*) as text) as measured,
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
        'no_account_paid_twice' as check_name,
        'instructions' as subject,
        count(*) = 0 as holds,
        coalesce(
            'instructed before with another amount, or twice under way (指令与结算单不符): '
            || min(instruction_id),
            ''
        ) as detail,
        cast(count(*) as text) as measured,
        '0' as expected
    from wrong_instructions
),

-- An attempt under way or paid holds the merchant's money: what it held at the end of the closes
-- that this payment date pays, less what it held at the end of the close before them.
moved_attempts as (
    select distinct attempt_events.attempt_id
    from attempt_events
    inner join last_date on attempt_events.business_date <= last_date.accounting_date
    where attempt_events.business_date >= {{ previous_payment_date() }}
),

event_states as (
    select
        holding_states.attempt_id,
        holding_states.account_id,
        holding_states.currency_code,
        holding_states.amount_minor,
        holding_states.holds_money,
        holding_states.business_date >= {{ previous_payment_date() }} as is_in_window,
        row_number() over (
            partition by
                holding_states.attempt_id,
                holding_states.business_date >= {{ previous_payment_date() }}
            order by holding_states.event_no desc
        ) as event_order
    from moved_attempts
    inner join holding_states on moved_attempts.attempt_id = holding_states.attempt_id
    inner join last_date on holding_states.business_date <= last_date.accounting_date
),

-- The last event of the window against the last one before it.
attempt_states as (
    select
        attempt_id,
        account_id,
        currency_code,
        amount_minor,
        bool_or(holds_money) filter (where is_in_window) as is_holding,
        coalesce(bool_or(holds_money) filter (where not is_in_window), false) as was_holding
    from event_states
    where event_order = 1
    group by attempt_id, account_id, currency_code, amount_minor
),

payable_parts as (
    select
        account_id,
        currency_code,
        clearing_amount_minor as amount_minor
    from clearing_entries
    union all
    select
        account_id,
        currency_code,
        -advance_amount_minor as amount_minor
    from advances_settled
    union all
    select
        account_id,
        currency_code,
        -balance_minor as amount_minor
    from opening_balances
    where ledger_account = 'merchant_payable'
    union all
    select
        account_id,
        currency_code,
        case when is_holding then -1 else 1 end * amount_minor as amount_minor
    from attempt_states
    where is_holding <> was_holding
),

payable_expected as (
    select
        account_id,
        currency_code,
        sum(amount_minor) as amount_minor
    from payable_parts
    group by account_id, currency_code
),

payable_booked as (
    select
        account_id,
        currency_code,
        sum(credit_amount_minor) - sum(debit_amount_minor) as amount_minor
    from account_balances
    group by account_id, currency_code
),

payable_differences as (
    select
        coalesce(payable_booked.account_id, payable_expected.account_id) as account_id,
        coalesce(payable_booked.currency_code, payable_expected.currency_code) as currency_code,
        coalesce(payable_booked.amount_minor, 0) as booked_amount_minor,
        coalesce(payable_expected.amount_minor, 0) as expected_amount_minor
    from payable_booked
    full join payable_expected
        on payable_booked.account_id = payable_expected.account_id
        and payable_booked.currency_code = payable_expected.currency_code
),

-- Merchant payable = carried + stated and unpaid + cleared and not stated (rulings.md 13), as its
-- movement since the payment date before: the ledger against clearing, statements and payouts.
payable_checks as (
    select
        'merchant_payable_ties' as check_name,
        arrival_groups.currency_code as subject,
        count(*) filter (
            where payable_differences.booked_amount_minor
            <> payable_differences.expected_amount_minor
        ) = 0 as holds,
        coalesce(
            'first account: ' || min(payable_differences.account_id) filter (
                where payable_differences.booked_amount_minor
                <> payable_differences.expected_amount_minor
            )
            || ' (应付商户款与清算、结算、代付不符)',
            ''
        ) as detail,
        cast(coalesce(sum(payable_differences.booked_amount_minor), 0) as text) as measured,
        cast(coalesce(sum(payable_differences.expected_amount_minor), 0) as text) as expected
    from arrival_groups
    left join payable_differences
        on arrival_groups.currency_code = payable_differences.currency_code
    group by arrival_groups.currency_code
),

final as (
    select * from carry_checks
    union all
    select * from payable_checks
    union all
    select * from stated_before_checks
    union all
    select * from record_sum_checks
    union all
    select * from record_count_checks
    union all
    select * from line_sum_checks
    union all
    select * from payee_checks
    union all
    select * from entry_twice_checks
    union all
    select * from statement_twice_checks
    union all
    select * from instruction_checks
)

select * from final
