"""One calendar: when each channel's accounting dates arrive, and when they are paid.

`control.arrival_calendar` says when the money of an accounting date arrives, and on which payment
date it is paid, for each channel by its own lag. Whatever asks (Python, dbt, the gate's folder of
checks, the database's own check of a decision, seals, undone payments) asks it. What a payment has
paid keeps the dates it was paid by, whatever the reference data says since.

It reads `reference`, which dbt loads, and gives nothing where that is not there yet.
"""

from __future__ import annotations

from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

CALENDAR = """
alter table control.accounting_day_seals add column arrival_date date;
comment on table control.accounting_day_seals is
'Which payment paid which channel of an accounting date, and when it had to arrive (封存).';

create function control.arrival_calendar(first_date date, last_date date)
returns table (
    channel text, currency_code text, accounting_date date, arrival_date date, payment_date date
)
language plpgsql
stable
set search_path = pg_catalog
as $body$
begin
    if to_regclass('reference.channels') is null
        or to_regclass('reference.channel_currencies') is null
        or to_regclass('reference.calendar_days') is null
    then
        return;
    end if;
    return query
    with arrivals as (
        select
            channels.channel,
            currencies.currency_code,
            days.calendar_date as accounting_date,
            coalesce(
                seals.arrival_date,
                case channels.arrival_calendar
                    when 'working_day' then earliest.working_day_on_or_after
                    when 'calendar_day' then earliest.calendar_date
                end
            ) as arrival_date,
            seals.payment_date as paid_on
        from reference.channels as channels
        inner join reference.channel_currencies as currencies
            on channels.channel = currencies.channel
        cross join reference.calendar_days as days
        inner join reference.calendar_days as earliest
            on earliest.calendar_date = days.calendar_date + channels.arrival_lag_days
        left join control.accounting_day_seals as seals
            on
                seals.accounting_date = days.calendar_date
                and seals.channel = channels.channel
        where days.calendar_date between first_date and last_date
    )

    -- Never before the arrival, never before the day after the accounting date.
    select
        arrivals.channel::text,
        arrivals.currency_code::text,
        arrivals.accounting_date,
        arrivals.arrival_date,
        coalesce(arrivals.paid_on, payments.working_day_on_or_after)
    from arrivals
    inner join reference.calendar_days as payments
        on
            payments.calendar_date
            = greatest(arrivals.arrival_date, arrivals.accounting_date + 1);
end
$body$;
comment on function control.arrival_calendar(date, date) is
'When the money of each channel''s accounting dates arrives and is paid (到账与付款日历).';

create function control.operating_window()
returns table (first_accounting_date date, last_accounting_date date)
language sql
stable
set search_path = pg_catalog
as $body$
    select
        windows.first_accounting_date,
        windows.last_accounting_date
    from raw.platform_operating_window as windows
    inner join control.channel_files as files on windows.file_id = files.file_id
    where files.status = 'landed'
    order by windows.accounting_date desc, windows.file_id asc, windows.line_number asc
    limit 1
$body$;
comment on function control.operating_window() is
'First and last accounting date by the newest landed file; no last while it goes on (营业窗口).';

-- Of a sealed date a channel is paid later where its money comes later. A channel that no payment
-- has paid before did not exist then, and waits for nothing.
create function control.unpaid_dates()
returns table (payment_date date, channel text, accounting_date date)
language plpgsql
stable
set search_path = pg_catalog
as $body$
begin
    return query
    select
        calendar.payment_date,
        calendar.channel,
        calendar.accounting_date
    from (
        select
            min(days.accounting_date) filter (where days.state = 'closed') as first_closed,
            max(days.accounting_date) as last_known
        from control.accounting_days as days
        where days.state in ('closed', 'sealed')
    ) as bounds
    cross join lateral control.arrival_calendar(
        least(bounds.first_closed, bounds.last_known - 40), bounds.last_known
    ) as calendar
    inner join control.accounting_days as days
        on days.accounting_date = calendar.accounting_date
    where
        days.state in ('closed', 'sealed')
        and not exists (
            select 1
            from control.accounting_day_seals as seals
            where
                seals.accounting_date = calendar.accounting_date
                and seals.channel = calendar.channel
        )
        and (
            days.state = 'closed'
            or exists (
                select 1
                from control.accounting_day_seals as seals
                where
                    seals.channel = calendar.channel
                    and seals.accounting_date < calendar.accounting_date
            )
            or not exists (
                select 1
                from control.accounting_days as earlier
                where earlier.accounting_date < calendar.accounting_date
            )
        )
    group by calendar.payment_date, calendar.channel, calendar.accounting_date;
end
$body$;
comment on function control.unpaid_dates() is
'Which channels of closed dates wait for which payment date (待付的会计日期).';

create or replace function control.first_paid_date(wanted_payment_date date) returns date
language plpgsql
stable
set search_path = pg_catalog
as $body$
begin
    if to_regclass('reference.calendar_days') is null then
        return wanted_payment_date - 1;
    end if;
    return least(
        coalesce(
            (
                select previous_working_day
                from reference.calendar_days
                where calendar_date = wanted_payment_date
            ),
            wanted_payment_date - 1
        ),
        (
            select min(calendar.accounting_date)
            from control.operating_window() as operating_window
            cross join lateral control.arrival_calendar(
                greatest(operating_window.first_accounting_date, wanted_payment_date - 40),
                least(operating_window.last_accounting_date, wanted_payment_date)
            ) as calendar
            where calendar.payment_date = wanted_payment_date
        )
    );
end
$body$;
comment on function control.first_paid_date(date) is
'The first accounting date a payment date pays or builds on (首个被支付会计日).';
"""

# As 0014 has it, but for the groups that there have to be, which come from the calendar.
DECISIONS = """
create or replace function control.why_not_passed(wanted_payment_date date) returns text
language plpgsql
stable
set search_path = pg_catalog
as $body$
declare
    found_text text;
begin
    select string_agg(names.name, ', ' order by names.name)
    into found_text
    from unnest(
        array[
            'gate.balance_equation', 'gate.gate_checks', 'settlement.settlement_statements',
            'reference.channels', 'reference.channel_currencies', 'reference.calendar_days',
            'reference.required_gate_checks'
        ]
    ) as names (name)
    where to_regclass(names.name) is null;
    if found_text is not null then
        return 'there is no table ' || found_text;
    end if;

    -- Which groups there have to be is read from calendar and operating window, not from the table
    -- that is checked: that would agree with itself.
    with operating_window as (
        select
            windows.first_accounting_date,
            coalesce(windows.last_accounting_date, date '9999-12-31') as last_accounting_date
        from raw.platform_operating_window as windows
        inner join control.channel_files as files on windows.file_id = files.file_id
        where files.status = 'landed'
        order by windows.accounting_date desc, windows.file_id asc, windows.line_number asc
        limit 1
    ),

    expected as (
        select
            calendar.channel,
            calendar.currency_code,
            calendar.accounting_date,
            calendar.arrival_date
        from operating_window
        cross join lateral control.arrival_calendar(
            greatest(operating_window.first_accounting_date, wanted_payment_date - 40),
            least(operating_window.last_accounting_date, wanted_payment_date)
        ) as calendar
        where calendar.payment_date = wanted_payment_date
    ),

    missing as (
        select
            expected.channel || ' ' || expected.currency_code || ' of '
            || to_char(expected.accounting_date, 'YYYY-MM-DD') as name
        from expected
        where (
            select count(*)
            from gate.balance_equation as equation
            where
                equation.payment_date = wanted_payment_date
                and equation.channel = expected.channel
                and equation.currency_code = expected.currency_code
                and equation.arrival_date = expected.arrival_date
                and expected.accounting_date = any(equation.accounting_dates)
        ) <> 1
    )

    select
        case
            when not exists (select 1 from expected) then 'it pays no accounting date'
            else 'the balance equation has not one arrival group of ' || min(missing.name)
        end
    into found_text
    from missing;
    if found_text is not null then
        return found_text;
    end if;

    select format('the residual of %s is %s', min(arrival_group_id), coalesce(
        min(residual_minor)::text, 'missing'
    ))
    into found_text
    from gate.balance_equation
    where payment_date = wanted_payment_date and residual_minor is distinct from 0
    having count(*) > 0;
    if found_text is not null then
        return found_text;
    end if;

    if not exists (select 1 from reference.required_gate_checks) then
        return 'no check is required of it: reference.required_gate_checks is empty';
    end if;
    select 'the check ' || min(required.check_name) || ' has no result'
    into found_text
    from reference.required_gate_checks as required
    where not exists (
        select 1
        from gate.gate_checks as checks
        where
            checks.payment_date = wanted_payment_date
            and checks.check_name = required.check_name
    )
    having count(*) > 0;
    if found_text is not null then
        return found_text;
    end if;
    select format('the check %s does not hold', min(check_name))
    into found_text
    from gate.gate_checks
    where payment_date = wanted_payment_date and holds is distinct from true
    having count(*) > 0;
    return found_text;
end
$body$;
"""

UNDO = """
-- The rows that go are in undone_payouts before they go; the event of each says who undid it.
create or replace function payout.undo() returns trigger
language plpgsql
set search_path = pg_catalog
as $body$
begin
    insert into payout.undone_payouts (
        undo_id, instruction_id, statement_id, end_to_end_id, payee_id, payee_version,
        currency_code, amount_minor, instruction, attempt, events
    )
    select
        new.undo_id,
        instructions.instruction_id,
        instructions.statement_id,
        attempts.end_to_end_id,
        instructions.payee_id,
        instructions.payee_version,
        instructions.currency_code,
        instructions.amount_minor,
        to_jsonb(instructions),
        to_jsonb(attempts),
        coalesce(
            (
                select jsonb_agg(to_jsonb(events) order by events.event_no)
                from payout.attempt_events as events
                where events.attempt_id = attempts.attempt_id
            ),
            '[]'
        ) || jsonb_build_array(
            jsonb_build_object(
                'status', 'undone',
                'detail', format('undo %s, approved by %s', new.undo_id, new.approved_by),
                'recorded_at', new.approved_at
            )
        )
    from payout.instructions as instructions
    left join payout.attempts as attempts
        on instructions.instruction_id = attempts.instruction_id
    where instructions.payment_date = new.payment_date;

    delete from payout.attempt_events as events
    using payout.attempts as attempts, payout.instructions as instructions
    where
        events.attempt_id = attempts.attempt_id
        and attempts.instruction_id = instructions.instruction_id
        and instructions.payment_date = new.payment_date;
    delete from payout.attempts as attempts
    using payout.instructions as instructions
    where
        attempts.instruction_id = instructions.instruction_id
        and instructions.payment_date = new.payment_date;
    delete from payout.instructions where payment_date = new.payment_date;

    -- A date that another payment paid a channel of stays sealed.
    update control.accounting_days as days
    set state = 'closed'
    where
        days.state = 'sealed'
        and days.accounting_date >= control.first_paid_date(new.payment_date)
        and days.accounting_date < new.payment_date
        and exists (
            select 1
            from control.accounting_day_seals as seals
            where
                seals.accounting_date = days.accounting_date
                and seals.payment_date = new.payment_date
        )
        and not exists (
            select 1
            from control.accounting_day_seals as seals
            where
                seals.accounting_date = days.accounting_date
                and seals.payment_date <> new.payment_date
        );
    delete from control.accounting_day_seals where payment_date = new.payment_date;
    return null;
end
$body$;
"""

# A statement's entries belong to its payment date: those of a sealed date may be paid later.
REGISTER = """
create function control.keep_paid_statements() returns trigger
language plpgsql
set search_path = pg_catalog
as $body$
declare
    paid record;
    reason text;
begin
    for paid in
        select distinct changed.payment_date from changed order by changed.payment_date
    loop
        reason := control.why_sealed('payment_date', paid.payment_date);
        if reason is not null then
            raise exception '%.%: %', tg_table_schema, tg_table_name, reason
            using errcode = 'integrity_constraint_violation';
        end if;
    end loop;
    return null;
end
$body$;
drop trigger statement_entries_sealed_insert on settlement.statement_entries;
drop trigger statement_entries_sealed_delete on settlement.statement_entries;
create trigger statement_entries_paid_insert
after insert on settlement.statement_entries
referencing new table as changed
for each statement execute function control.keep_paid_statements();
create trigger statement_entries_paid_delete
after delete on settlement.statement_entries
referencing old table as changed
for each statement execute function control.keep_paid_statements();
"""


def upgrade() -> None:
    """Create the calendar, and let the database's own checks read it."""
    op.execute(CALENDAR)
    op.execute(DECISIONS)
    op.execute(UNDO)
    op.execute(REGISTER)
