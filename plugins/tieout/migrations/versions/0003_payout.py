"""Payout instructions, attempts and their events, and what may never happen to them.

The rules stand here, below every program, so that they hold even when a person runs a statement by
hand: nothing is instructed without the gate's latest decision on exactly these statements, an
instruction has one live attempt, an attempt's history only grows and only along its transitions.
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLES = """
create table payout.instructions (
    instruction_id text primary key,
    statement_id text not null unique,
    payment_date date not null,
    account_id text not null,
    payee_id text not null,
    payee_version integer not null,
    currency_code text not null check (currency_code ~ '^[A-Z]{3}$'),
    amount_minor bigint not null check (amount_minor > 0),
    decision_id bigint not null references control.gate_decisions (decision_id),
    created_at timestamptz not null default now(),
    constraint instruction_is_of_the_statement check (instruction_id = 'I-' || statement_id)
);
create index instructions_by_payment_date on payout.instructions (payment_date);
comment on table payout.instructions is
'One row a payable statement that the gate let through (代付指令). Append-only.';

create table payout.attempts (
    attempt_id text primary key,
    instruction_id text not null references payout.instructions (instruction_id),
    attempt_no integer not null check (attempt_no > 0),
    end_to_end_id text not null unique check (length(end_to_end_id) between 1 and 35),
    batch_message_id text not null,
    submitted_on date not null,
    unique (instruction_id, attempt_no)
);
create index attempts_by_batch on payout.attempts (batch_message_id);
comment on table payout.attempts is
'One row an attempt to pay an instruction; its state is its latest event (代付尝试). Append-only.';

create table payout.attempt_events (
    event_id bigint generated always as identity primary key,
    attempt_id text not null references payout.attempts (attempt_id),
    event_no integer not null check (event_no > 0),
    status text not null check (
        status in ('created', 'submitted', 'accepted', 'paid', 'failed', 'unknown', 'returned')
    ),
    business_date date not null,
    source_file_id text,
    reason_code text,
    detail text,
    recorded_at timestamptz not null default now(),
    unique (attempt_id, event_no)
);
create index attempt_events_by_date on payout.attempt_events (business_date);
comment on table payout.attempt_events is
'What happened to an attempt, in order (代付事件). Append-only.';
"""

# Text order "C": the same bytes on every server, whatever its locale.
FINGERPRINT = """
create function gate.statement_fingerprint(wanted_payment_date date) returns text
language plpgsql
stable
set search_path = pg_catalog
as $body$
declare
    result text;
begin
    -- dbt makes the table with its first build; before that there is nothing to pay.
    if to_regclass('settlement.settlement_statements') is null then
        return null;
    end if;
    select encode(
        sha256(
            convert_to(
                coalesce(
                    string_agg(
                        format(
                            '%s|%s|%s|%s|%s',
                            statements.statement_id,
                            statements.payout_amount_minor,
                            statements.currency_code,
                            statements.payee_id,
                            statements.payee_version
                        ),
                        E'\\n' order by statements.statement_id collate "C"
                    ),
                    ''
                ),
                'UTF8'
            )
        ),
        'hex'
    )
    into result
    from settlement.settlement_statements as statements
    where
        statements.payment_date = wanted_payment_date
        and statements.payable_status = 'payable'
        and statements.payout_amount_minor > 0;
    return result;
end
$body$;
comment on function gate.statement_fingerprint(date) is
'What a payment date would pay, in one number (指纹): any other statement, amount, payee differs.';
"""

# One check a statement, not a row: the fingerprint reads all statements of the date.
INSTRUCTION_GUARD = """
create function payout.guard_instructions() returns trigger
language plpgsql
set search_path = pg_catalog
as $body$
declare
    payment record;
    decision record;
    bad record;
begin
    for payment in
        select distinct payment_date from new_rows order by payment_date
    loop
        perform control.lock_payment_date(payment.payment_date);
        -- The lock keeps the statements as they are until this transaction ends.
        if to_regclass('settlement.settlement_statements') is null then
            raise exception 'payment date % has no statements', payment.payment_date
            using errcode = 'restrict_violation';
        end if;
        lock table settlement.settlement_statements in access share mode;

        select decision_id, outcome, fingerprint
        into decision
        from control.gate_decisions
        where payment_date = payment.payment_date
        order by decision_id desc
        limit 1;
        if decision is null or decision.outcome not in ('passed', 'released') then
            raise exception 'payment date % may not be paid: the gate %', payment.payment_date,
                coalesce('says ' || decision.outcome, 'has not decided')
            using
                errcode = 'restrict_violation',
                hint = 'Run the gate of the payment date.';
        end if;
        if decision.fingerprint
            is distinct from gate.statement_fingerprint(payment.payment_date)
        then
            raise exception 'payment date % may not be paid: its statements are not those the '
                'gate decided on (decision %)', payment.payment_date, decision.decision_id
            using
                errcode = 'restrict_violation',
                hint = 'Statements were rebuilt after the decision. Run the gate again.';
        end if;

        select new_rows.statement_id
        into bad
        from new_rows
        where
            new_rows.payment_date = payment.payment_date
            and new_rows.decision_id is distinct from decision.decision_id
        order by new_rows.statement_id
        limit 1;
        if found then
            raise exception 'instruction of statement % does not name the latest decision (%)',
                bad.statement_id, decision.decision_id
            using errcode = 'restrict_violation';
        end if;
    end loop;

    select new_rows.statement_id
    into bad
    from new_rows
    left join settlement.settlement_statements as statements
        on
            new_rows.payment_date = statements.payment_date
            and new_rows.statement_id = statements.statement_id
    where
        statements.payable_status is distinct from 'payable'
        or statements.payout_amount_minor is distinct from new_rows.amount_minor
        or statements.account_id is distinct from new_rows.account_id
        or statements.currency_code is distinct from new_rows.currency_code
        or statements.payee_id is distinct from new_rows.payee_id
        or statements.payee_version is distinct from new_rows.payee_version
    order by new_rows.statement_id
    limit 1;
    if found then
        raise exception 'instruction of statement % differs from the statement', bad.statement_id
        using
            errcode = 'restrict_violation',
            hint = 'Amount, currency, account and payee come from the payable statement.';
    end if;
    return null;
end
$body$;

create trigger instructions_guard
after insert on payout.instructions
referencing new table as new_rows
for each statement execute function payout.guard_instructions();
"""

ATTEMPT_GUARD = """
create function payout.latest_status(wanted_attempt_id text) returns text
language sql
stable
set search_path = pg_catalog
as $body$
    select status
    from payout.attempt_events
    where attempt_id = wanted_attempt_id
    order by event_no desc
    limit 1
$body$;

create function payout.guard_attempt() returns trigger
language plpgsql
set search_path = pg_catalog
as $body$
declare
    previous record;
begin
    -- Two writers of one instruction queue here.
    perform 1 from payout.instructions where instruction_id = new.instruction_id for update;
    select attempt_id, attempt_no, payout.latest_status(attempt_id) as status
    into previous
    from payout.attempts
    where instruction_id = new.instruction_id
    order by attempt_no desc
    limit 1;
    if new.attempt_no <> coalesce(previous.attempt_no, 0) + 1 then
        raise exception 'attempt % of instruction % does not follow attempt %', new.attempt_no,
            new.instruction_id, coalesce(previous.attempt_no, 0)
        using errcode = 'restrict_violation';
    end if;
    if exists (
        select 1
        from payout.attempts
        where
            instruction_id = new.instruction_id
            and coalesce(payout.latest_status(attempt_id), 'created')
            not in ('failed', 'returned')
    ) then
        raise exception 'instruction % has an attempt that is % and may still pay',
            new.instruction_id, coalesce(previous.status, 'created')
        using
            errcode = 'restrict_violation',
            hint = 'A new attempt may start only after failed or returned.';
    end if;
    return new;
end
$body$;

create trigger attempts_guard
before insert on payout.attempts
for each row execute function payout.guard_attempt();

create table payout.attempt_transitions (
    from_status text not null,
    to_status text not null,
    primary key (from_status, to_status)
);
comment on table payout.attempt_transitions is
'Which status may follow which; none is an attempt without any event (状态流转).';
insert into payout.attempt_transitions (from_status, to_status)
values
('none', 'created'),
('created', 'submitted'),
('created', 'failed'),
('submitted', 'accepted'),
('submitted', 'paid'),
('submitted', 'failed'),
('submitted', 'unknown'),
('accepted', 'paid'),
('accepted', 'failed'),
('accepted', 'unknown'),
('unknown', 'paid'),
('unknown', 'failed'),
-- A bank may say failed and have paid: kept as history, and it blocks a new attempt.
('failed', 'paid'),
('paid', 'returned');

create function payout.guard_event() returns trigger
language plpgsql
set search_path = pg_catalog
as $body$
declare
    latest record;
begin
    perform 1 from payout.attempts where attempt_id = new.attempt_id for update;
    select event_no, status
    into latest
    from payout.attempt_events
    where attempt_id = new.attempt_id
    order by event_no desc
    limit 1;
    if new.event_no <> coalesce(latest.event_no, 0) + 1 then
        raise exception 'event % of attempt % does not follow event %', new.event_no,
            new.attempt_id, coalesce(latest.event_no, 0)
        using errcode = 'restrict_violation';
    end if;
    if not exists (
        select 1
        from payout.attempt_transitions
        where
            from_status = coalesce(latest.status, 'none')
            and to_status = new.status
    ) then
        raise exception 'attempt % cannot go from % to %', new.attempt_id,
            coalesce(latest.status, 'none'), new.status
        using errcode = 'restrict_violation';
    end if;
    return new;
end
$body$;

create trigger attempt_events_guard
before insert on payout.attempt_events
for each row execute function payout.guard_event();
"""

APPEND_ONLY = """
create trigger {table}_append_only
before update or delete on payout.{table}
for each row execute function control.refuse_change();
create trigger {table}_no_truncate
before truncate on payout.{table}
for each statement execute function control.refuse_change();
"""


def upgrade() -> None:
    """Create the payout tables and their guards."""
    op.execute(TABLES)
    op.execute(FINGERPRINT)
    op.execute(INSTRUCTION_GUARD)
    op.execute(ATTEMPT_GUARD)
    for table in ("instructions", "attempts", "attempt_events", "attempt_transitions"):
        op.execute(APPEND_ONLY.format(table=table))
