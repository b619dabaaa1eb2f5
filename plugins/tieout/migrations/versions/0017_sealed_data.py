"""What is sealed stays: guards on the rows of sealed dates, not only on the row that says sealed.

A partition of a sealed accounting date, and a statement or gate partition of a payment date that
was paid, refuses every statement that would change it. The guards are per statement: a bulk load
pays one look at one row of `control.accounting_days`. A parent table has a guard of its own for
statements that name it, since those do not fire the guards of its partitions. New partitions get
theirs from who makes them: landing, and the materialization `dated_partition`.
"""

from __future__ import annotations

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

# The locks keep the answer true until the transaction ends: sealing waits for a build, and a build
# for sealing. Builds of one date do not wait for one another.
REASONS = """
create index accounting_day_seals_by_payment
on control.accounting_day_seals (payment_date);

create function control.is_paid(wanted_payment_date date) returns boolean
language sql
stable
set search_path = pg_catalog
as $body$
    select
        exists (
            select 1
            from payout.instructions as instructions
            inner join payout.attempts as attempts
                on instructions.instruction_id = attempts.instruction_id
            where instructions.payment_date = wanted_payment_date
        )
        or exists (
            select 1
            from control.accounting_day_seals as seals
            where seals.payment_date = wanted_payment_date
        )
$body$;
comment on function control.is_paid(date) is
'Whether an attempt to pay the payment date exists, or a date was sealed by it (已付).';

create function control.why_sealed(key text, day date) returns text
language plpgsql
set search_path = pg_catalog
as $body$
declare
    found_state text;
begin
    if key = 'accounting_date' then
        select days.state
        into found_state
        from control.accounting_days as days
        where days.accounting_date = day
        for share;
        if found_state = 'sealed' then
            return format('accounting date %s is sealed: money was paid on it', day);
        end if;
    elsif key = 'payment_date' then
        perform pg_advisory_xact_lock_shared(hashtextextended('tieout.payment.' || day, 0));
        if control.is_paid(day) then
            return format('payment date %s is paid: payouts were made from its statements', day);
        end if;
    else
        raise exception '% is no business date', key;
    end if;
    return null;
end
$body$;
comment on function control.why_sealed(text, date) is
'Why rows of a business date may not change any more; NULL where they may (封存原因).';

create function control.why_not_built(key text, day date, goes_on boolean) returns text
language plpgsql
set search_path = pg_catalog
as $body$
begin
    if key = 'accounting_date'
        and not exists (select 1 from control.accounting_days where accounting_date = day)
    then
        return format('accounting date %s is not known: no close of it was started', day);
    end if;
    if key = 'payment_date'
        and not exists (select 1 from control.accounting_days where accounting_date < day)
    then
        return format('payment date %s pays nothing: no accounting date before it is known', day);
    end if;
    return case when not goes_on then control.why_sealed(key, day) end;
end
$body$;
comment on function control.why_not_built(text, date, boolean) is
'Why a date''s rows are not computed now, or NULL; goes_on: also after the payment (不可重算原因).';
"""

GUARDS = """
create function control.refuse_sealed(relation text, key text, day date) returns void
language plpgsql
set search_path = pg_catalog
as $body$
declare
    reason text := control.why_sealed(key, day);
begin
    if reason is not null then
        raise exception '%; its rows in % stay as they are', reason, relation
        using
            errcode = 'restrict_violation',
            hint = 'Correct it by records of a later date; see docs/runbooks/sealed-date.md.';
    end if;
end
$body$;

create function control.keep_partition() returns trigger
language plpgsql
set search_path = pg_catalog
as $body$
begin
    perform control.refuse_sealed(
        format('%I.%I', tg_table_schema, tg_table_name), tg_argv[0], tg_argv[1]::date
    );
    return null;
end
$body$;

create function control.keep_partitions() returns trigger
language plpgsql
set search_path = pg_catalog
as $body$
declare
    changed text;
    day date;
begin
    changed := case tg_op
        when 'INSERT' then 'select %1$I from new_rows'
        when 'DELETE' then 'select %1$I from old_rows'
        else 'select %1$I from old_rows union select %1$I from new_rows'
    end;
    for day in
        execute format('select distinct %1$I from (' || changed || ') as changed', tg_argv[0])
    loop
        perform control.refuse_sealed(
            format('%I.%I', tg_table_schema, tg_table_name), tg_argv[0], day
        );
    end loop;
    return null;
end
$body$;

create function control.guard_partition(relation regclass, key text, day date) returns void
language plpgsql
set search_path = pg_catalog
as $body$
begin
    if not exists (
        select 1 from pg_trigger where tgrelid = relation and tgname = 'sealed_rows_stay'
    ) then
        execute format(
            'create trigger sealed_rows_stay'
            ' before insert or update or delete or truncate on %s'
            ' for each statement execute function control.keep_partition(%L, %L)',
            relation, key, day
        );
    end if;
end
$body$;
comment on function control.guard_partition(regclass, text, date) is
'Put the guard of sealed rows on a partition of that date, once (封存保护).';

create function control.guard_parent(relation regclass, key text) returns void
language plpgsql
set search_path = pg_catalog
as $body$
begin
    if exists (
        select 1 from pg_trigger where tgrelid = relation and tgname = 'sealed_rows_stay_insert'
    ) then
        return;
    end if;
    execute format(
        'create trigger sealed_rows_stay_insert after insert on %s'
        ' referencing new table as new_rows'
        ' for each statement execute function control.keep_partitions(%L)',
        relation, key
    );
    execute format(
        'create trigger sealed_rows_stay_update after update on %s'
        ' referencing old table as old_rows new table as new_rows'
        ' for each statement execute function control.keep_partitions(%L)',
        relation, key
    );
    execute format(
        'create trigger sealed_rows_stay_delete after delete on %s'
        ' referencing old table as old_rows'
        ' for each statement execute function control.keep_partitions(%L)',
        relation, key
    );
end
$body$;
comment on function control.guard_parent(regclass, text) is
'Put the guard of sealed rows on a partitioned table, for what names it, once (封存保护).';
"""

# What the database cannot tell from a forgery it refuses: a date begins open, and is closed before
# it is sealed.
DAYS = """
create or replace function control.keep_seal() returns trigger
language plpgsql
set search_path = pg_catalog
as $body$
begin
    if old.state = 'sealed' and (tg_op = 'DELETE' or new is distinct from old) then
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

create function control.begin_open() returns trigger
language plpgsql
set search_path = pg_catalog
as $body$
begin
    if new.state <> 'open'
        or new.close_count <> 0
        or new.closed_at is not null
        or new.closed_run_id is not null
        or new.inputs_fingerprint is not null
    then
        raise exception 'accounting date % begins open and never closed', new.accounting_date
        using errcode = 'restrict_violation', hint = 'Only a close closes it: tieout close.';
    end if;
    return new;
end
$body$;
create trigger accounting_days_begin_open
before insert on control.accounting_days
for each row execute function control.begin_open();

create function control.keep_dates() returns trigger
language plpgsql
set search_path = pg_catalog
as $body$
begin
    raise exception '%.% is not emptied: it says which dates are paid', tg_table_schema,
        tg_table_name
    using errcode = 'restrict_violation', hint = 'Nothing needs it empty.';
end
$body$;
create trigger accounting_days_no_truncate
before truncate on control.accounting_days
for each statement execute function control.keep_dates();

create function control.seal_sealed() returns trigger
language plpgsql
set search_path = pg_catalog
as $body$
begin
    if not exists (
        select 1
        from control.accounting_days as days
        where days.accounting_date = new.accounting_date and days.state = 'sealed'
    ) then
        raise exception 'accounting date % is not sealed', new.accounting_date
        using errcode = 'restrict_violation', hint = 'A seal is written with the state.';
    end if;
    return new;
end
$body$;
create trigger accounting_day_seals_are_sealed
before insert on control.accounting_day_seals
for each row execute function control.seal_sealed();
"""

# Tables by payment date outside settlement and gate go on after the payment: the bank's matches,
# its journal, the payouts' status.
EXISTING = """
do $body$
declare
    parent record;
    part record;
begin
    for parent in
        select
            tables.oid::regclass as relation,
            attributes.attname as key
        from pg_partitioned_table as partitioned
        inner join pg_class as tables on partitioned.partrelid = tables.oid
        inner join pg_namespace as schemas on tables.relnamespace = schemas.oid
        inner join pg_attribute as attributes
            on partitioned.partrelid = attributes.attrelid
            and partitioned.partattrs[0] = attributes.attnum
        where
            partitioned.partstrat = 'l'
            and (
                (
                    attributes.attname = 'accounting_date'
                    and schemas.nspname in (
                        'raw', 'reconciliation', 'ledger', 'clearing', 'settlement', 'gate'
                    )
                )
                or (
                    attributes.attname = 'payment_date'
                    and schemas.nspname in ('settlement', 'gate')
                )
            )
        order by schemas.nspname, tables.relname
    loop
        perform control.guard_parent(parent.relation, parent.key);
        for part in
            select
                children.oid::regclass as relation,
                substring(
                    pg_get_expr(children.relpartbound, children.oid) from '\\d{4}-\\d{2}-\\d{2}'
                )::date as day
            from pg_inherits as inherited
            inner join pg_class as children on inherited.inhrelid = children.oid
            where inherited.inhparent = parent.relation
            order by children.relname
        loop
            perform control.guard_partition(part.relation, parent.key, part.day);
        end loop;
    end loop;
end
$body$
"""


def upgrade() -> None:
    """Create the guards, and put them on what is there."""
    op.execute(REASONS)
    op.execute(GUARDS)
    op.execute(DAYS)
    op.execute(EXISTING)
