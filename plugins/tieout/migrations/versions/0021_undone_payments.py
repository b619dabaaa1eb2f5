"""A way back before anything has left: a payment date's instructions and attempts are undone.

Two people undo them while no file of the date is on record. What was instructed and attempted moves
to `payout.undone_payouts`, with an event that says so, and the dates it sealed are closed again. In
the same step: what the payment file cannot hold of a payee, and how much of a payout came back when
the bank took its charge from it.
"""

from __future__ import annotations

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

TABLES = """
create table payout.unwritable_payees (
    payment_date date not null,
    payee_id text not null,
    payee_version integer not null,
    reason text not null check (btrim(reason) <> ''),
    primary key (payment_date, payee_id, payee_version)
);
comment on table payout.unwritable_payees is
'Payees whom no payment file can name, as the payment date found them; no clear text (无法写入).';

create table payout.undo_requests (
    undo_id bigint generated always as identity primary key,
    payment_date date not null,
    reason text not null check (btrim(reason) <> ''),
    requested_by text not null check (control.person_key(requested_by) <> ''),
    requested_at timestamptz not null default now()
);
create index undo_requests_by_date on payout.undo_requests (payment_date);
comment on table payout.undo_requests is
'Who asks to undo a payment date of which nothing has left (撤销付款申请). Append-only.';

create table payout.undo_approvals (
    undo_id bigint primary key references payout.undo_requests (undo_id),
    payment_date date not null,
    approved_by text not null check (control.person_key(approved_by) <> ''),
    approved_at timestamptz not null default now()
);
comment on table payout.undo_approvals is
'The second person, by whose row the payment date is undone (撤销付款复核). Append-only.';

create table payout.undone_payouts (
    undo_id bigint not null references payout.undo_approvals (undo_id),
    instruction_id text not null,
    statement_id text not null,
    end_to_end_id text,
    payee_id text not null,
    payee_version integer not null,
    currency_code text not null,
    amount_minor bigint not null,
    instruction jsonb not null,
    attempt jsonb,
    events jsonb not null,
    primary key (undo_id, instruction_id)
);
comment on table payout.undone_payouts is
'What was undone: instruction, attempt, its events and the last one, undone (已撤销). Append-only.';
"""

FUNCTIONS = """
create function payout.amount_of_return(
    stated_minor bigint, charge_minor bigint, ordered_minor bigint
) returns bigint
language sql
immutable
as $body$
    -- Chrgs are signed as the account moves: what the bank took is below zero.
    select case
        when charge_minor < 0 and stated_minor - charge_minor = ordered_minor then ordered_minor
        else stated_minor
    end
$body$;
comment on function payout.amount_of_return(bigint, bigint, bigint) is
'How much of a payout came back: the bank may state it before or after its charge (退汇金额).';

-- The transaction's own time: an approval of this transaction has it, and no other.
create function payout.undone_now(wanted_payment_date date) returns boolean
language sql
stable
set search_path = pg_catalog
as $body$
    select exists (
        select 1
        from payout.undo_approvals
        where payment_date = wanted_payment_date and approved_at = now()
    )
$body$;
comment on function payout.undone_now(date) is
'Whether this transaction undoes the payment date (是否正在撤销).';

create function payout.why_not_undone(wanted_payment_date date) returns text
language plpgsql
stable
set search_path = pg_catalog
as $body$
declare
    found_date date;
    found_id text;
begin
    if payout.is_submitted(wanted_payment_date) then
        return 'a payment file of it is on record, and the bank may have it';
    end if;
    select attempts.end_to_end_id
    into found_id
    from payout.instructions as instructions
    inner join payout.attempts as attempts
        on instructions.instruction_id = attempts.instruction_id
    where
        instructions.payment_date = wanted_payment_date
        and coalesce(payout.latest_status(attempts.attempt_id), 'created') <> 'created'
    order by attempts.end_to_end_id
    limit 1;
    if found_id is not null then
        return format('the bank was heard about payment %s', found_id);
    end if;
    if not exists (
        select 1 from payout.instructions where payment_date = wanted_payment_date
    ) then
        return 'nothing of it was instructed';
    end if;
    select min(later.payment_date)
    into found_date
    from (
        select payment_date from payout.instructions
        union all
        select payment_date from control.accounting_day_seals
    ) as later
    where later.payment_date > wanted_payment_date;
    if found_date is not null then
        return format('payment date %s was paid from what it carried forward', found_date);
    end if;
    return null;
end
$body$;
comment on function payout.why_not_undone(date) is
'Why a payment date stays as it is; NULL where two people may undo it (不可撤销原因).';

create function payout.check_undo() returns trigger
language plpgsql
set search_path = pg_catalog
as $body$
declare
    request payout.undo_requests;
    reason text;
begin
    if tg_table_name = 'undo_approvals' then
        select * into request from payout.undo_requests where undo_id = new.undo_id;
        if request.undo_id is null then
            raise exception 'nobody asked for undo %', new.undo_id
            using errcode = 'foreign_key_violation';
        end if;
        if control.person_key(request.requested_by) = control.person_key(new.approved_by) then
            raise exception 'undo % was asked for by %: another person has to approve it',
                new.undo_id, request.requested_by
            using errcode = 'restrict_violation', hint = 'Ask a second person.';
        end if;
        new.payment_date := request.payment_date;
        new.approved_at := now();
    end if;
    perform control.lock_payment_date(new.payment_date);
    reason := payout.why_not_undone(new.payment_date);
    if reason is not null then
        raise exception 'payment date % is not undone: %', new.payment_date, reason
        using
            errcode = 'restrict_violation',
            hint = 'Only a payment of which nothing has left is undone.';
    end if;
    return new;
end
$body$;
create trigger undo_requests_checked
before insert on payout.undo_requests
for each row execute function payout.check_undo();
create trigger undo_approvals_checked
before insert on payout.undo_approvals
for each row execute function payout.check_undo();

-- The rows that go are in undone_payouts before they go; the event of each says who undid it.
create function payout.undo() returns trigger
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

    update control.accounting_days as days
    set state = 'closed'
    from control.accounting_day_seals as seals
    where
        seals.accounting_date = days.accounting_date
        and seals.payment_date = new.payment_date
        and days.state = 'sealed';
    delete from control.accounting_day_seals where payment_date = new.payment_date;
    return null;
end
$body$;
create trigger undo_approvals_undo
after insert on payout.undo_approvals
for each row execute function payout.undo();
"""

# In place of "never": never, but by an approved undo of this transaction, and only what is kept in
# undone_payouts.
GUARDS = """
create function payout.refuse_change_but_undo() returns trigger
language plpgsql
set search_path = pg_catalog
as $body$
declare
    kept boolean := false;
begin
    if tg_op = 'DELETE' and tg_table_name = 'attempt_events' then
        select payout.undone_now(instructions.payment_date)
        into kept
        from payout.attempts as attempts
        inner join payout.instructions as instructions
            on attempts.instruction_id = instructions.instruction_id
        where attempts.attempt_id = old.attempt_id and old.status = 'created';
    elsif tg_op = 'DELETE' and tg_table_name = 'attempts' then
        select payout.undone_now(payment_date)
        into kept
        from payout.instructions
        where instruction_id = old.instruction_id;
    elsif tg_op = 'DELETE' then
        kept := payout.undone_now(old.payment_date);
    end if;
    if kept is not true then
        raise exception '%.% is append-only: % refused', tg_table_schema, tg_table_name, tg_op
        using errcode = 'restrict_violation', hint = 'tieout undo-payment, before anything left.';
    end if;
    return old;
end
$body$;

create or replace function control.keep_seal() returns trigger
language plpgsql
set search_path = pg_catalog
as $body$
declare
    is_undone boolean := false;
begin
    if tg_op = 'UPDATE' and old.state = 'sealed' and new.state = 'closed' then
        select bool_and(payout.undone_now(seals.payment_date))
        into is_undone
        from control.accounting_day_seals as seals
        where seals.accounting_date = old.accounting_date;
        is_undone := coalesce(is_undone, false)
            and to_jsonb(new) - 'state' = to_jsonb(old) - 'state';
    end if;
    if old.state = 'sealed'
        and not is_undone
        and (tg_op = 'DELETE' or new is distinct from old)
    then
        raise exception 'accounting date % is sealed: money was paid on it', old.accounting_date
        using
            errcode = 'restrict_violation',
            hint = 'Correct it by records of a later date; see control.restatements.';
    end if;
    if tg_op = 'UPDATE' and new.accounting_date <> old.accounting_date then
        raise exception 'accounting date % does not become another date', old.accounting_date
        using errcode = 'restrict_violation', hint = 'Each date has a row of its own.';
    end if;
    if tg_op = 'UPDATE' and old.state = 'open' and new.state = 'sealed' then
        raise exception 'accounting date % is open, and cannot be sealed', old.accounting_date
        using errcode = 'restrict_violation', hint = 'Close it first: tieout close.';
    end if;
    return case when tg_op = 'DELETE' then old else new end;
end
$body$;
"""

REPLACED = """
drop trigger {name}_append_only on {schema}.{name};
create trigger {name}_append_only
before update or delete on {schema}.{name}
for each row execute function payout.refuse_change_but_undo();
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
    """Create the tables, the way back, and what guards it."""
    op.execute(TABLES)
    op.execute(FUNCTIONS)
    op.execute(GUARDS)
    for schema, name in (
        ("payout", "instructions"),
        ("payout", "attempts"),
        ("payout", "attempt_events"),
        ("control", "accounting_day_seals"),
    ):
        op.execute(REPLACED.format(schema=schema, name=name))
    for table in ("undo_requests", "undo_approvals", "undone_payouts"):
        op.execute(APPEND_ONLY.format(table=table))
