"""A clearing session is frozen in one transaction, and two people open it again.

What closes a date freezes its sessions that have a cutoff: which entries they have, and with what
amounts. A build of the date reads that, gives what came later to the next session, and is refused
where a frozen entry would change. Builds and freezes of a date take turns under one lock.
"""

from __future__ import annotations

from alembic import op

revision = "0047"
down_revision = "0046"
branch_labels = None
depends_on = None

TABLES = """
create table control.clearing_session_freezes (
    freeze_id bigint generated always as identity primary key,
    accounting_date date not null references control.accounting_days (accounting_date),
    clearing_session_type text not null
        check (clearing_session_type in ('transaction', 'adjustment', 'service_fee')),
    clearing_session_no integer not null check (clearing_session_no > 0),
    entry_count bigint not null check (entry_count >= 0),
    frozen_by text not null,
    frozen_at timestamptz not null default now()
);
create index clearing_session_freezes_by_date
on control.clearing_session_freezes (accounting_date);
comment on table control.clearing_session_freezes is
'Clearing sessions that a close froze, those without an entry too (清算场次冻结). Append-only.';

create table control.clearing_session_members (
    freeze_id bigint not null references control.clearing_session_freezes (freeze_id),
    entry_id text not null,
    transaction_amount_minor bigint not null,
    fee_amount_minor bigint not null,
    clearing_amount_minor bigint not null,
    primary key (freeze_id, entry_id)
);
comment on table control.clearing_session_members is
'Entries of a frozen session, with their amounts in minor units (冻结场次明细). Append-only.';

create table control.clearing_session_reopenings (
    request_id bigint generated always as identity primary key,
    accounting_date date not null,
    reason text not null check (btrim(reason) <> ''),
    requested_by text not null check (control.person_key(requested_by) <> ''),
    requested_at timestamptz not null default now(),
    signed_by_login text not null
);
comment on table control.clearing_session_reopenings is
'Dates whose frozen sessions one person asks to be opened (清算场次解冻申请). Append-only.';

create table control.clearing_session_reopening_approvals (
    request_id bigint primary key references control.clearing_session_reopenings (request_id),
    last_freeze_id bigint not null references control.clearing_session_freezes (freeze_id),
    approved_by text not null check (control.person_key(approved_by) <> ''),
    approved_at timestamptz not null default now(),
    signed_by_login text not null
);
comment on table control.clearing_session_reopening_approvals is
'The second person, and up to which freeze the date is open again (清算场次解冻复核). Append-only.';
"""

# A freeze holds until two people open its date; the close after that freezes anew.
VIEWS = """
create view control.frozen_clearing_sessions as
select
    freezes.freeze_id,
    freezes.accounting_date,
    freezes.clearing_session_type,
    freezes.clearing_session_no,
    freezes.entry_count
from control.clearing_session_freezes as freezes
where
    not exists (
        select 1
        from control.clearing_session_reopenings as requests
        inner join control.clearing_session_reopening_approvals as approvals using (request_id)
        where requests.accounting_date = freezes.accounting_date
            and approvals.last_freeze_id >= freezes.freeze_id
    );
comment on view control.frozen_clearing_sessions is
'Clearing sessions whose freeze holds (已冻结清算场次).';

create view control.frozen_clearing_entries as
select
    sessions.accounting_date,
    sessions.clearing_session_type,
    sessions.clearing_session_no,
    members.entry_id,
    members.transaction_amount_minor,
    members.fee_amount_minor,
    members.clearing_amount_minor
from control.frozen_clearing_sessions as sessions
inner join control.clearing_session_members as members on sessions.freeze_id = members.freeze_id;
comment on view control.frozen_clearing_entries is
'Entries of the clearing sessions whose freeze holds (已冻结清算明细).';
"""

# The computed tables are there once a date was built; names are looked up when a function runs.
FUNCTIONS = """
create function control.hold_clearing_sessions(day date) returns void
language sql
set search_path = pg_catalog, pg_temp
as $body$
    select pg_advisory_xact_lock(hashtextextended('clearing sessions of ' || day::text, 0))
$body$;
comment on function control.hold_clearing_sessions(date) is
'Let no other build and no freeze of the date go on until the transaction ends (场次锁).';

create function control.built_clearing_entries(day date, kinds text [])
returns table (
    clearing_session_type text,
    clearing_session_no integer,
    entry_id text,
    transaction_amount_minor bigint,
    fee_amount_minor bigint,
    clearing_amount_minor bigint
)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $body$
begin
    return query
    select
        entries.clearing_session_type,
        entries.clearing_session_no,
        entries.entry_id,
        entries.transaction_amount_minor,
        entries.fee_amount_minor,
        entries.clearing_amount_minor
    from clearing.clearing_entries as entries
    where entries.accounting_date = day and entries.clearing_session_type = any(kinds);
    if 'service_fee' = any(kinds) then
        return query
        select
            'service_fee',
            fees.clearing_session_no,
            fees.entry_id,
            0::bigint,
            fees.fee_amount_minor,
            0::bigint
        from clearing.service_fee_entries as fees
        where fees.accounting_date = day;
    end if;
end
$body$;

create function control.refuse_changed_sessions(day date, kinds text []) returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $body$
declare
    found record;
begin
    if not exists (
        select 1 from control.frozen_clearing_sessions as sessions
        where sessions.accounting_date = day and sessions.clearing_session_type = any(kinds)
    ) then
        return;
    end if;
    with frozen as (
        select * from control.frozen_clearing_entries as entries
        where entries.accounting_date = day and entries.clearing_session_type = any(kinds)
    ),

    built as (
        select * from control.built_clearing_entries(day, kinds)
    ),

    changed as (
        select
            coalesce(frozen.clearing_session_type, built.clearing_session_type) as kind,
            coalesce(frozen.clearing_session_no, built.clearing_session_no) as number,
            coalesce(frozen.entry_id, built.entry_id) as entry_id,
            case
                when frozen.entry_id is null then 'was not in it'
                when built.entry_id is null then 'is gone'
                when built.clearing_session_no <> frozen.clearing_session_no
                    then 'is in session ' || built.clearing_session_no
                else format(
                    'had amount %s, fee %s and clears %s, has %s, %s and %s',
                    frozen.transaction_amount_minor, frozen.fee_amount_minor,
                    frozen.clearing_amount_minor, built.transaction_amount_minor,
                    built.fee_amount_minor, built.clearing_amount_minor
                )
            end as difference
        from frozen
        full outer join built
            on frozen.clearing_session_type = built.clearing_session_type
            and frozen.entry_id = built.entry_id
        where
            (
                frozen.entry_id is not null
                and (
                    built.entry_id is null
                    or built.clearing_session_no <> frozen.clearing_session_no
                    or built.transaction_amount_minor <> frozen.transaction_amount_minor
                    or built.fee_amount_minor <> frozen.fee_amount_minor
                    or built.clearing_amount_minor <> frozen.clearing_amount_minor
                )
            )
            or (
                frozen.entry_id is null
                and exists (
                    select 1 from control.frozen_clearing_sessions as sessions
                    where sessions.accounting_date = day
                        and sessions.clearing_session_type = built.clearing_session_type
                        and sessions.clearing_session_no = built.clearing_session_no
                )
            )
    )

    select
        changed.*,
        count(*) over () as entries
    into found
    from changed
    order by changed.kind collate "C", changed.number, changed.entry_id collate "C"
    limit 1;
    if found.entries > 0 then
        raise exception '% session % of % is frozen, and % would change: % %', found.kind,
            found.number, day,
            case found.entries when 1 then '1 entry' else found.entries || ' entries' end,
            found.entry_id, found.difference
        using
            errcode = 'restrict_violation',
            hint = 'Two people open the sessions of the date: tieout sessions reopen '
            || day || ' --reason TEXT (docs/runbooks/frozen-session.md).';
    end if;
end
$body$;
comment on function control.refuse_changed_sessions(date, text []) is
'Refuse entries of a date that differ from those its frozen sessions were closed with (场次校验).';

create function control.freeze_clearing_sessions(day date, owner text) returns integer
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    reason text;
    kinds constant text [] := array['transaction', 'adjustment', 'service_fee'];
    frozen integer;
begin
    if not pg_has_role(session_user, 'tieout_owner', 'member') then
        reason := control.why_not_leased('accounting_date', day, false, owner);
        if reason is not null then
            raise exception 'the clearing sessions of % are not frozen: %', day, reason
            using errcode = 'lock_not_available', hint = 'A close freezes them: tieout close DATE.';
        end if;
    end if;
    if to_regclass('reference.clearing_session_schedule') is null
        or to_regclass('clearing.service_fee_entries') is null then
        return 0;
    end if;
    -- What a build has under way is in it, or finds it frozen and goes to the next.
    perform control.hold_clearing_sessions(day);
    perform control.refuse_changed_sessions(day, kinds);
    with due as (
        select schedule.clearing_session_type, schedule.clearing_session_no
        from reference.clearing_session_schedule as schedule
        where
            schedule.cutoff_minutes is not null
            and schedule.effective_from <= day
            and (schedule.effective_to is null or schedule.effective_to > day)
            and not exists (
                select 1 from control.frozen_clearing_sessions as sessions
                where sessions.accounting_date = day
                    and sessions.clearing_session_type = schedule.clearing_session_type
                    and sessions.clearing_session_no = schedule.clearing_session_no
            )
    ),

    entries as (
        select built.*
        from due
        inner join control.built_clearing_entries(day, kinds) as built
            on due.clearing_session_type = built.clearing_session_type
            and due.clearing_session_no = built.clearing_session_no
    ),

    sessions as (
        insert into control.clearing_session_freezes (
            accounting_date, clearing_session_type, clearing_session_no, entry_count, frozen_by
        )
        select
            day,
            due.clearing_session_type,
            due.clearing_session_no,
            (
                select count(*) from entries
                where entries.clearing_session_type = due.clearing_session_type
                    and entries.clearing_session_no = due.clearing_session_no
            ),
            owner
        from due
        order by due.clearing_session_type collate "C", due.clearing_session_no
        returning freeze_id, clearing_session_type, clearing_session_no
    ),

    members as (
        insert into control.clearing_session_members (
            freeze_id, entry_id, transaction_amount_minor, fee_amount_minor, clearing_amount_minor
        )
        select
            sessions.freeze_id,
            entries.entry_id,
            entries.transaction_amount_minor,
            entries.fee_amount_minor,
            entries.clearing_amount_minor
        from sessions
        inner join entries
            on sessions.clearing_session_type = entries.clearing_session_type
            and sessions.clearing_session_no = entries.clearing_session_no
    )

    select count(*) into frozen from sessions;
    return frozen;
end
$body$;
comment on function control.freeze_clearing_sessions(date, text) is
'Freeze the sessions of a closed date that have a cutoff; return how many (冻结清算场次).';
"""

DECISIONS = """
create function control.request_session_reopening(
    day date, given_reason text, typed_name text default null
) returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    stored_id bigint;
begin
    perform reconciliation.require_open_date(day);
    if not exists (
        select 1 from control.frozen_clearing_sessions as sessions
        where sessions.accounting_date = day
    ) then
        raise exception 'no clearing session of % is frozen', day
        using errcode = 'restrict_violation', hint = 'tieout sessions list';
    end if;
    insert into control.clearing_session_reopenings (
        accounting_date, reason, requested_by, signed_by_login
    )
    values (
        day, btrim(given_reason), control.deciding_person(typed_name), control.signing_login()
    )
    returning request_id into stored_id;
    return stored_id;
end
$body$;
comment on function control.request_session_reopening(date, text, text) is
'The first of two people asks to open the frozen sessions of a date (清算场次解冻申请).';

create function control.approve_session_reopening(
    wanted_request_id bigint, typed_name text default null
) returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    request control.clearing_session_reopenings;
    approver text;
    last_freeze bigint;
begin
    select * into request
    from control.clearing_session_reopenings where request_id = wanted_request_id;
    if request.request_id is null then
        raise exception 'nobody asked for reopening %', wanted_request_id
        using errcode = 'restrict_violation', hint = 'tieout sessions decisions';
    end if;
    perform control.hold_clearing_sessions(request.accounting_date);
    approver := control.deciding_person(typed_name);
    if control.person_key(approver) = control.person_key(request.requested_by) then
        raise exception 'request % is of %: it takes two different people', wanted_request_id,
            request.requested_by
        using errcode = 'restrict_violation', hint = 'Ask a second person.';
    end if;
    perform reconciliation.require_open_date(request.accounting_date);
    select max(sessions.freeze_id) into last_freeze
    from control.frozen_clearing_sessions as sessions
    where sessions.accounting_date = request.accounting_date;
    if last_freeze is null then
        raise exception 'no clearing session of % is frozen', request.accounting_date
        using errcode = 'restrict_violation', hint = 'tieout sessions list';
    end if;
    insert into control.clearing_session_reopening_approvals (
        request_id, last_freeze_id, approved_by, signed_by_login
    )
    values (wanted_request_id, last_freeze, approver, control.signing_login());
    return wanted_request_id;
end
$body$;
comment on function control.approve_session_reopening(bigint, text) is
'The second person opens the frozen sessions of a date (清算场次解冻复核).';
"""

APPEND_ONLY = """
create trigger {name}_append_only
before update or delete on {table}
for each row execute function control.refuse_change();
create trigger {name}_no_truncate
before truncate on {table}
for each statement execute function control.refuse_change();
"""
KEPT = (
    "control.clearing_session_freezes",
    "control.clearing_session_members",
    "control.clearing_session_reopenings",
    "control.clearing_session_reopening_approvals",
)

RIGHTS = """
revoke execute on function
    control.hold_clearing_sessions(date),
    control.built_clearing_entries(date, text []),
    control.refuse_changed_sessions(date, text []),
    control.freeze_clearing_sessions(date, text),
    control.request_session_reopening(date, text, text),
    control.approve_session_reopening(bigint, text)
from public;
grant execute on function
    control.hold_clearing_sessions(date),
    control.built_clearing_entries(date, text []),
    control.refuse_changed_sessions(date, text []),
    control.freeze_clearing_sessions(date, text)
to tieout_transform;
grant execute on function
    control.request_session_reopening(date, text, text),
    control.approve_session_reopening(bigint, text)
to tieout_people;
grant select on
    control.clearing_session_freezes,
    control.clearing_session_members,
    control.clearing_session_reopenings,
    control.clearing_session_reopening_approvals,
    control.frozen_clearing_sessions,
    control.frozen_clearing_entries
to tieout_people, tieout_finance, tieout_gate, tieout_payout, tieout_ingest, tieout_transform;
"""


def upgrade() -> None:
    """Create what is kept of frozen sessions, and the functions that freeze and open them."""
    op.execute(TABLES)
    op.execute(VIEWS)
    op.execute(FUNCTIONS)
    op.execute(DECISIONS)
    for table in KEPT:
        op.execute(APPEND_ONLY.format(table=table, name=table.partition(".")[2]))
    op.execute(RIGHTS)
