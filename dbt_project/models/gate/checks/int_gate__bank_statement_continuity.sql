{{ config(materialized='ephemeral') }}

{#-
    Each account's statements open where the last closed; an account that sends one each payment
    date has; no account that is not ours. Read is what the bank had said by the gate: the
    evening statement of the payment date itself must not change it, so that paying twice gives
    the same rows.
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
        statement_id,
        bank_account_id,
        amount_minor
    from {{ ref('int_bank__classified_lines') }}
    where statement_date <= {{ payment_date() }}
),

bank_accounts as (
    select
        bank_account_id,
        currency_code,
        statement_calendar
    from {{ ref('bank_accounts') }}
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

final as (
    {{ check_rows('bank_statement_continuity', ['continuity_checks']) }}
)

select * from final
