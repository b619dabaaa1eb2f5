{{ config(materialized='ephemeral') }}

{#-
    Nothing is paid before its contract's cycle says so. Each due date is found a second time, by
    looking at each working day whether the cycle pays on it, from the contracts of the accounting
    date and the calendar as it is now; and each payout is held against what is backed less what is
    not due, added up from the entries.
-#}
with contracts as (
    select
        snapshot_date,
        contract_id,
        merchant_id,
        account_id,
        settlement_cycle,
        effective_from,
        effective_to
    from {{ ref('int_terms__contracts') }}
    where snapshot_date >= {{ days_back(payment_date()) }}
        and snapshot_date < {{ payment_date() }}
        and settlement_cycle <> 'T+1'
),

current_contracts as (
    select *
    from contracts
    where {{ in_force('snapshot_date') }}
),

clearing_entries as (
    select
        accounting_date,
        entry_id,
        merchant_id,
        account_id,
        currency_code
    from {{ ref('clearing_entries') }}
    where accounting_date >= {{ days_back(payment_date()) }}
        and accounting_date < {{ payment_date() }}
        and payment_date = {{ payment_date() }}
        and clearing_amount_minor > 0
),

due_dates as (
    select
        accounting_date,
        entry_id,
        account_id,
        settlement_session_type,
        currency_code,
        settlement_cycle,
        clearing_amount_minor,
        payment_date,
        due_on
    from {{ ref('due_dates') }}
    where accounting_date >= {{ cycle_days_back(payment_date()) }}
        and accounting_date < {{ payment_date() }}
        and payment_date <= {{ payment_date() }}
        and due_on >= {{ payment_date() }}
),

holds as (
    select
        entry_id,
        closing_amount_minor
    from {{ ref('holds') }}
    where payment_date = {{ payment_date() }} and closing_amount_minor <> 0
),

backed_rollforward as (
    select
        account_id,
        settlement_session_type,
        currency_code,
        frozen_amount_minor,
        payout_amount_minor,
        closing_amount_minor
    from {{ ref('backed_rollforward') }}
    where payment_date = {{ payment_date() }}
),

calendar_days as (
    select
        calendar_date,
        previous_working_day,
        next_working_day,
        row_number() over (order by calendar_date) as day_no
    from {{ ref('calendar_days') }}
    where is_working_day
),

channels as (
    select distinct currency_code
    from {{ ref('channel_currencies') }}
),

paid_dates as (
    select
        clearing_entries.accounting_date,
        max(calendar_days.day_no) as day_no
    from clearing_entries
    left join calendar_days
        on clearing_entries.accounting_date >= calendar_days.calendar_date
    group by clearing_entries.accounting_date
),

-- Which cycles the accounting dates that are paid now ask for.
cycles as (
    select distinct
        paid_dates.accounting_date,
        paid_dates.day_no,
        contracts.settlement_cycle
    from contracts
    inner join paid_dates on contracts.snapshot_date = paid_dates.accounting_date
),

-- A cycle pays on a working day that is its named day, or the first one after it; T+N on the Nth
-- after the accounting date, and what was not there yet on any later one.
pay_days as (
    select
        cycles.accounting_date,
        cycles.settlement_cycle,
        calendar_days.calendar_date as pays_on
    from cycles
    inner join calendar_days
        on calendar_days.calendar_date >= {{ payment_date() }}
        and calendar_days.calendar_date <= cycles.accounting_date + 92
    cross join lateral (
        select
            bool_or(to_char(passed.day, 'DY') = split_part(cycles.settlement_cycle, ':', 2))
                as has_weekday,
            bool_or(
                cast(extract(day from passed.day) as text)
                = split_part(cycles.settlement_cycle, ':', 2)
            ) as has_month_day
        from generate_series(
            calendar_days.previous_working_day + interval '1 day',
            calendar_days.calendar_date,
            interval '1 day'
        ) as passed (day)
    ) as named
    where
        case
            when cycles.settlement_cycle = 'monthly:last'
                -- The list ends with a year.
                then date_trunc('month', calendar_days.next_working_day)
                    is distinct from date_trunc('month', calendar_days.calendar_date)
            when cycles.settlement_cycle like 'monthly:%' then named.has_month_day
            when cycles.settlement_cycle like 'weekly:%' then named.has_weekday
            else calendar_days.day_no - cycles.day_no
                >= cast(split_part(cycles.settlement_cycle, '+', 2) as integer)
        end
),

expected_dates as (
    select
        accounting_date,
        settlement_cycle,
        min(pays_on) as due_on
    from pay_days
    group by accounting_date, settlement_cycle
),

-- What each entry that is stated now should have: no row where it is due now.
expected_entries as (
    select
        clearing_entries.entry_id,
        clearing_entries.currency_code,
        expected_dates.due_on
    from clearing_entries
    inner join current_contracts
        on clearing_entries.accounting_date = current_contracts.snapshot_date
        and clearing_entries.merchant_id = current_contracts.merchant_id
        and clearing_entries.account_id = current_contracts.account_id
    left join expected_dates
        on clearing_entries.accounting_date = expected_dates.accounting_date
        and current_contracts.settlement_cycle = expected_dates.settlement_cycle
    where expected_dates.due_on is distinct from {{ payment_date() }}
),

wrong_entries as (
    select
        expected_entries.currency_code,
        expected_entries.entry_id
    from expected_entries
    left join due_dates on expected_entries.entry_id = due_dates.entry_id
    where expected_entries.due_on is distinct from due_dates.due_on
),

entry_counts as (
    select
        currency_code,
        count(*) as wrong_count,
        min(entry_id) as first_entry_id
    from wrong_entries
    group by currency_code
),

entry_checks as (
    select
        channels.currency_code || ' entries' as subject,
        entry_counts.currency_code is null as holds,
        coalesce('due on another date (到期日不符): ' || entry_counts.first_entry_id, '') as detail,
        coalesce(entry_counts.wrong_count, 0) as measured,
        '0' as expected
    from channels
    left join entry_counts on channels.currency_code = entry_counts.currency_code
),

later_amounts as (
    select
        due_dates.account_id,
        due_dates.settlement_session_type,
        due_dates.currency_code,
        sum(
            greatest(due_dates.clearing_amount_minor - coalesce(holds.closing_amount_minor, 0), 0)
        ) as amount_minor
    from due_dates
    left join holds on due_dates.entry_id = holds.entry_id
    where due_dates.due_on > {{ payment_date() }}
    group by due_dates.account_id, due_dates.settlement_session_type, due_dates.currency_code
),

early_payouts as (
    select
        backed_rollforward.currency_code,
        backed_rollforward.account_id,
        backed_rollforward.payout_amount_minor,
        later_amounts.amount_minor
    from backed_rollforward
    inner join later_amounts
        on backed_rollforward.account_id = later_amounts.account_id
        and backed_rollforward.settlement_session_type = later_amounts.settlement_session_type
        and backed_rollforward.currency_code = later_amounts.currency_code
    where backed_rollforward.payout_amount_minor > greatest(
        backed_rollforward.closing_amount_minor + backed_rollforward.payout_amount_minor
        - backed_rollforward.frozen_amount_minor - later_amounts.amount_minor,
        0
    )
),

payout_counts as (
    select
        currency_code,
        count(*) as early_count,
        (array_agg(
            account_id || ', paid ' || payout_amount_minor || ', not due ' || amount_minor
            order by account_id
        ))[1] as first_payout
    from early_payouts
    group by currency_code
),

payout_checks as (
    select
        channels.currency_code || ' payouts' as subject,
        payout_counts.currency_code is null as holds,
        coalesce('paid before it is due (提前付款): ' || payout_counts.first_payout, '') as detail,
        coalesce(payout_counts.early_count, 0) as measured,
        '0' as expected
    from channels
    left join payout_counts on channels.currency_code = payout_counts.currency_code
),

final as (
    {{ check_rows('nothing_paid_before_due', ['entry_checks', 'payout_checks']) }}
)

select * from final
