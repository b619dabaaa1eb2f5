{{ config(materialized='ephemeral') }}

{#-
    The reserve's balance covers payouts and those under way. Read is what the bank had said by
    the gate, as in bank_statement_continuity.
-#}
with statements as (
    select
        file_id,
        bank_account_id,
        statement_date,
        sequence_number,
        currency_code,
        closing_balance_minor
    from {{ ref('stg_bank__statements') }}
    where statement_date <= {{ payment_date() }}
),

bank_lines as (
    select
        bank_account_id,
        statement_date,
        currency_code,
        amount_minor,
        line_kind
    from {{ ref('int_bank__classified_lines') }}
    where statement_date <= {{ payment_date() }}
),

settlement_statements as (
    select
        currency_code,
        payout_amount_minor
    from {{ ref('settlement_statements') }}
    where payment_date = {{ payment_date() }}
),

-- What is unknown for two months is a person's case by then, not a matter of the reserve.
attempt_states as (
    select
        instruction_id,
        attempt_no,
        event_no,
        currency_code,
        amount_minor,
        is_awaited
    from {{ ref('int_payout__attempt_states') }}
    where payment_date >= {{ payment_date() }} - 62
        and payment_date < {{ payment_date() }}
        and business_date < {{ payment_date() }}
),

bank_accounts as (
    select
        bank_account_id,
        account_kind
    from {{ ref('bank_accounts') }}
),

reserve_accounts as (
    select bank_account_id
    from bank_accounts
    where account_kind = 'client_reserve'
),

channels as (
    select distinct currency_code
    from {{ ref('channel_currencies') }}
),

-- The balance before today's payouts were debited: today's own debits and returns are taken out
-- again.
latest_statements as (
    select
        bank_account_id,
        currency_code,
        closing_balance_minor,
        row_number() over (
            partition by bank_account_id, currency_code
            order by statement_date desc, sequence_number desc, file_id desc
        ) as statement_order
    from statements
),

payout_movements as (
    select
        bank_lines.currency_code,
        sum(bank_lines.amount_minor) as amount_minor
    from bank_lines
    inner join reserve_accounts
        on bank_lines.bank_account_id = reserve_accounts.bank_account_id
    where bank_lines.statement_date = {{ payment_date() }}
        and bank_lines.line_kind in ('payout_debit', 'payout_return')
    group by bank_lines.currency_code
),

balances as (
    select
        latest_statements.currency_code,
        sum(latest_statements.closing_balance_minor) as closing_balance_minor
    from latest_statements
    inner join reserve_accounts
        on latest_statements.bank_account_id = reserve_accounts.bank_account_id
    where latest_statements.statement_order = 1
    group by latest_statements.currency_code
),

payouts as (
    select
        currency_code,
        sum(payout_amount_minor) as payout_amount_minor
    from settlement_statements
    group by currency_code
),

latest_states as (
    select
        currency_code,
        amount_minor,
        is_awaited,
        row_number() over (
            partition by instruction_id
            order by attempt_no desc, event_no desc
        ) as event_order
    from attempt_states
),

-- Earlier payouts that are still under way will be debited as well.
under_way as (
    select
        currency_code,
        sum(amount_minor) as under_way_amount_minor
    from latest_states
    where event_order = 1 and is_awaited
    group by currency_code
),

reserve_amounts as (
    select
        channels.currency_code,
        balances.closing_balance_minor - coalesce(payout_movements.amount_minor, 0)
            as reserve_amount_minor,
        coalesce(payouts.payout_amount_minor, 0) as payout_amount_minor,
        coalesce(under_way.under_way_amount_minor, 0) as under_way_amount_minor
    from channels
    left join balances on channels.currency_code = balances.currency_code
    left join payout_movements on channels.currency_code = payout_movements.currency_code
    left join payouts on channels.currency_code = payouts.currency_code
    left join under_way on channels.currency_code = under_way.currency_code
),

reserve_checks as (
    select
        currency_code as subject,
        coalesce(
            reserve_amount_minor >= payout_amount_minor + under_way_amount_minor, false
        ) as holds,
        'payouts (代付) ' || payout_amount_minor || ', under way from before (在途) '
        || under_way_amount_minor as detail,
        coalesce(cast(reserve_amount_minor as text), 'no balance') as measured,
        'at least ' || payout_amount_minor + under_way_amount_minor as expected
    from reserve_amounts
),

final as (
    {{ check_rows('reserve_covers_payouts', ['reserve_checks']) }}
)

select * from final
