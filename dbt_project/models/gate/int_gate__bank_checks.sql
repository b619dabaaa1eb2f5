{{ config(materialized='ephemeral') }}

{#-
    Gate checks on the bank's side: unbroken statements, no line nobody knows, money enough for
    the payouts. They read what the bank had said by the gate; the evening statement of the
    payment date itself must not change them, so that paying twice gives the same rows.
-#}
with statements as (
    select
        file_id,
        statement_id,
        bank_account_id,
        statement_date,
        sequence_number,
        currency_code,
        opening_balance_minor,
        closing_balance_minor
    from {{ ref('stg_bank__statements') }}
    where statement_date <= {{ payment_date() }}
),

bank_lines as (
    select
        file_id,
        line_number,
        statement_id,
        bank_account_id,
        statement_date,
        currency_code,
        amount_minor,
        line_kind,
        arrival_group_id
    from {{ ref('int_bank__classified_lines') }}
    where statement_date <= {{ payment_date() }}
),

taken_lines as (
    select
        file_id,
        line_number
    from {{ ref('int_bank__taken_lines') }}
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
        account_kind,
        currency_code,
        statement_calendar
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

-- A file may hold the statements of several accounts.
line_totals as (
    select
        file_id,
        statement_id,
        bank_account_id,
        sum(amount_minor) as amount_minor
    from bank_lines
    group by file_id, statement_id, bank_account_id
),

chained_statements as (
    select
        statements.*,
        lag(statements.closing_balance_minor) over (
            partition by statements.bank_account_id, statements.currency_code
            order by statements.statement_date, statements.sequence_number, statements.file_id
        ) as closing_before_minor,
        coalesce(line_totals.amount_minor, 0) as line_amount_minor
    from statements
    left join line_totals
        on statements.file_id = line_totals.file_id
        and statements.statement_id is not distinct from line_totals.statement_id
        and statements.bank_account_id = line_totals.bank_account_id
),

statement_breaks as (
    select
        chained_statements.*,
        statement_date > {{ previous_payment_date() }} as is_in_window,
        opening_balance_minor - coalesce(closing_before_minor, opening_balance_minor)
            as opening_difference_minor,
        opening_balance_minor + line_amount_minor - closing_balance_minor
            as movement_difference_minor
    from chained_statements
),

account_breaks as (
    select
        bank_account_id,
        currency_code,
        count(*) filter (where is_in_window) as statement_count,
        count(*) filter (
            where is_in_window
            and (opening_difference_minor <> 0 or movement_difference_minor <> 0)
        ) as break_count,
        string_agg(
            to_char(statement_date, 'YYYY-MM-DD') || ' no. ' || sequence_number
            || ': opening differs from the closing before by ' || opening_difference_minor
            || ', lines from the balances by ' || movement_difference_minor
            || ' (余额不连续)',
            '; ' order by statement_date, sequence_number, file_id
        ) filter (
            where is_in_window
            and (opening_difference_minor <> 0 or movement_difference_minor <> 0)
        ) as breaks
    from statement_breaks
    group by bank_account_id, currency_code
),

continuity_checks as (
    select
        'bank_statement_continuity' as check_name,
        coalesce(bank_accounts.bank_account_id, account_breaks.bank_account_id) || ' '
        || coalesce(bank_accounts.currency_code, account_breaks.currency_code) as subject,
        bank_accounts.bank_account_id is not null
        and coalesce(account_breaks.break_count, 0) = 0
        and (
            coalesce(account_breaks.statement_count, 0) > 0
            or bank_accounts.statement_calendar = 'when_it_moves'
        ) as holds,
        concat_ws(
            '; ',
            case
                when bank_accounts.bank_account_id is null
                    then 'no account of ours has this number and currency (未知账户)'
            end,
            case
                when coalesce(account_breaks.statement_count, 0) = 0
                    and bank_accounts.statement_calendar is distinct from 'when_it_moves'
                    then 'no statement since the payment date before (无对账单)'
            end,
            account_breaks.breaks
        ) as detail,
        cast(coalesce(account_breaks.break_count, 0) as text) as measured,
        '0' as expected
    from bank_accounts
    full join account_breaks
        on bank_accounts.bank_account_id = account_breaks.bank_account_id
        and bank_accounts.currency_code = account_breaks.currency_code
    union all
    -- Without any statement at all there is no account to be broken.
    select
        'bank_statement_continuity' as check_name,
        'all' as subject,
        count(*) filter (where statement_date > {{ previous_payment_date() }}) > 0 as holds,
        case
            when count(*) filter (where statement_date > {{ previous_payment_date() }}) > 0 then ''
            else 'no bank statement since the payment date before (无对账单)'
        end as detail,
        case
            when count(*) filter (where statement_date > {{ previous_payment_date() }}) > 0
                then 'present'
            else 'missing'
        end as measured,
        'present' as expected
    from statements
),

unknown_lines as (
    select
        bank_lines.file_id,
        bank_lines.line_number,
        bank_lines.statement_date,
        bank_lines.currency_code,
        bank_lines.amount_minor
    from bank_lines
    left join taken_lines
        on bank_lines.file_id = taken_lines.file_id
        and bank_lines.line_number = taken_lines.line_number
    where bank_lines.statement_date > {{ previous_payment_date() }}
        and taken_lines.file_id is null
        and (
            bank_lines.line_kind = 'unclassified'
            or (
                bank_lines.line_kind = 'channel_arrival'
                and bank_lines.arrival_group_id is null
            )
        )
),

unknown_line_checks as (
    select
        'no_unclassified_bank_line' as check_name,
        'all' as subject,
        count(*) = 0 as holds,
        -- The account and the text of an unknown line may name a person; file and line lead to it.
        coalesce(
            left(
                string_agg(
                    to_char(statement_date, 'YYYY-MM-DD') || ' ' || file_id || ':' || line_number
                    || ' ' || amount_minor || ' ' || currency_code,
                    '; ' order by statement_date, file_id, line_number
                ),
                500
            ),
            ''
        ) as detail,
        cast(count(*) as text) as measured,
        '0' as expected
    from unknown_lines
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
        'reserve_covers_payouts' as check_name,
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
    select * from continuity_checks
    union all
    select * from unknown_line_checks
    union all
    select * from reserve_checks
)

select * from final
