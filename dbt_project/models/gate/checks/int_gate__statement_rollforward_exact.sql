{{ config(materialized='ephemeral') }}

{#- Previous unsettled = what the last statement carried. -#}
with arrival_groups as (
    select distinct currency_code
    from {{ ref('int_calendar__arrival_groups') }}
),

statements as (
    select
        account_id,
        settlement_session_type,
        settlement_session_no,
        currency_code,
        previous_unsettled_amount_minor
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
        entry_id,
        accounting_date
    from {{ ref('statement_lines') }}
    where payment_date >= {{ previous_payment_date() }} - 14
        and payment_date <= {{ payment_date() }} + 14
),

clearing_entries_before as (
    select
        accounting_date,
        entry_id
    from {{ ref('clearing_entries') }}
    where accounting_date >= {{ days_back(previous_payment_date()) }}
        and accounting_date < {{ previous_payment_date() }}
        and payment_date = {{ previous_payment_date() }}
),

charges_before as (
    select
        accounting_date,
        entry_id
    from {{ ref('charges') }}
    where payment_date = {{ previous_payment_date() }} and charge_status = 'waiting'
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
    {{ account_checks(
        'arrival_groups', 'carry_differences', 'stated_amount_minor', 'expected_amount_minor',
        says='(上期未结与前一结算单结转不符)'
    ) }}
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
    left join charges_before
        on clearing_entries_before.entry_id = charges_before.entry_id
        and clearing_entries_before.accounting_date = charges_before.accounting_date
    where statement_lines.entry_id is null and charges_before.entry_id is null
),

stated_before_checks as (
    select
        'entries of the payment date before' as subject,
        count(*) = 0 as holds,
        case
            when count(*) = 0 then ''
            else 'entries of ' || to_char({{ previous_payment_date() }}, 'YYYY-MM-DD')
                || ' stand in no statement: pay that date first (前一付款日未出结算单)'
        end as detail,
        count(*) as measured,
        '0' as expected
    from unstated_before
),

final as (
    {{ check_rows('statement_rollforward_exact', ['carry_checks', 'stated_before_checks']) }}
)

select * from final
