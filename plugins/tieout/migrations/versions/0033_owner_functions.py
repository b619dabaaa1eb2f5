"""Decisions and payouts by functions of the owner, each row a link of a chain.

No step writes a decision, an instruction, an attempt, an event, a file put out or a seal any more:
it calls a function of `tieout_owner`, which derives what can be derived, asks for its evidence and
keeps the login that called. Each such row becomes a link of a hash chain at commit, so that a row
which the owner or the superuser edits afterwards is found (`tieout verify`). Where people have
logins, a decision is that of the login, whatever name is typed.
"""

from __future__ import annotations

from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

PERSONS = """
create table control.persons (
    person text primary key check (control.person_key(person) <> ''),
    database_login text unique,
    airflow_user text unique,
    is_active boolean not null default true,
    added_at timestamptz not null default now()
);
create unique index persons_are_different_people on control.persons (control.person_key(person));
comment on table control.persons is
'Who decides, and by which login of the database and of Airflow (人员与登录).';

create function control.keep_persons() returns trigger
language plpgsql
set search_path = pg_catalog
as $body$
begin
    if tg_op = 'UPDATE'
        and to_jsonb(new) - 'is_active' is not distinct from to_jsonb(old) - 'is_active'
    then
        return new;
    end if;
    raise exception 'person % stays who it is', old.person
    using errcode = 'restrict_violation', hint = 'A person who leaves is made inactive.';
end
$body$;
create trigger persons_stay
before update or delete on control.persons
for each row execute function control.keep_persons();
create trigger persons_no_truncate
before truncate on control.persons
for each statement execute function control.refuse_change();

create function control.deciding_person(typed_name text) returns text
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    known control.persons;
begin
    select * into known from control.persons where database_login = session_user;
    if known.person is null and exists (select 1 from control.persons) then
        raise exception 'the login % belongs to nobody who decides', session_user
        using
            errcode = 'restrict_violation',
            hint = 'Who decides comes with a login of their own: tieout people list.';
    end if;
    if known.person is not null and not known.is_active then
        raise exception '% does not decide any more', known.person
        using errcode = 'restrict_violation', hint = 'tieout people list';
    end if;
    if known.person is not null
        and coalesce(control.person_key(typed_name), '') not in (
            '', control.person_key(known.person)
        )
    then
        raise exception 'the login % is that of %, and cannot decide as another', session_user,
            known.person
        using errcode = 'restrict_violation', hint = 'Decide with your own name and login.';
    end if;
    if known.person is null and coalesce(control.person_key(typed_name), '') = '' then
        raise exception 'nobody is named who decides'
        using errcode = 'restrict_violation', hint = 'Give the name of the person.';
    end if;
    return coalesce(known.person, btrim(typed_name));
end
$body$;
comment on function control.deciding_person(text) is
'Whose decision it is: the login''s, once anybody has one; before that the name typed (决定人).';
"""

SIGNED = """
create function control.sign_decision() returns trigger
language plpgsql
set search_path = pg_catalog
as $body$
begin
    -- What a policy repeats is nobody's decision.
    if tg_table_name = 'new_attempts' then
        if new.requested_by = 'policy'
            and not pg_has_role(session_user, 'tieout_people', 'member')
        then
            return new;
        end if;
    end if;
    return jsonb_populate_record(
        new,
        jsonb_build_object(
            tg_argv[0], control.deciding_person(to_jsonb(new) ->> tg_argv[0]),
            'signed_by_login', session_user
        )
    );
end
$body$;
"""
# The function has compared what was typed; by a login that left its name out, the same person would
# let out what they hold.
HOLDS = """
create function payout.check_hold_release() returns trigger
language plpgsql
set search_path = pg_catalog
as $body$
begin
    if exists (
        select 1
        from payout.payout_holds as holds
        where
            holds.hold_id = new.hold_id
            and control.person_key(holds.held_by) = control.person_key(new.released_by)
    ) then
        raise exception 'hold % is of %: another person has to release it', new.hold_id,
            new.released_by
        using errcode = 'restrict_violation', hint = 'Ask a second person.';
    end if;
    return new;
end
$body$;
create trigger hold_releases_two_people before insert on payout.payout_hold_releases
for each row execute function payout.check_hold_release();
"""
# Named before the other triggers of its event: they compare what it has set.
LOGIN = "alter table {table} add column signed_by_login text"
SIGN = """
create trigger a_signed before insert on {table}
for each row execute function control.sign_decision('{column}');
"""

# Their checks write and lock what the person may only read.
OWNERS_CHECKS = """
do $body$
declare
    routine regprocedure;
begin
    for routine in
        select distinct triggers.tgfoid::regprocedure
        from pg_trigger as triggers
        where
            not triggers.tgisinternal
            and triggers.tgname <> 'a_signed'
            and triggers.tgrelid = any(array[{tables}]::regclass[])
    loop
        execute format(
            'alter function %s security definer set search_path = pg_catalog, pg_temp', routine
        );
    end loop;
end
$body$;
"""

DECISIONS = """
alter table control.gate_decisions
add column decided_by_login text,
add column release_id bigint unique;
alter table control.gate_decisions alter column decided_by_login set default session_user;

create table control.gate_release_requests (
    release_id bigint generated always as identity primary key,
    payment_date date not null,
    decision_id bigint not null references control.gate_decisions (decision_id),
    reason text not null check (btrim(reason) <> ''),
    requested_by text not null check (control.person_key(requested_by) <> ''),
    requested_at timestamptz not null default now(),
    signed_by_login text not null
);
create index gate_release_requests_by_date
on control.gate_release_requests (payment_date, release_id);
comment on table control.gate_release_requests is
'Who asks to pay a date although its gate failed; another person approves (放行申请). Append-only.';
create trigger gate_release_requests_append_only
before update or delete on control.gate_release_requests
for each row execute function control.refuse_change();
create trigger gate_release_requests_no_truncate
before truncate on control.gate_release_requests
for each statement execute function control.refuse_change();
alter table control.gate_decisions
add constraint gate_decisions_release
foreign key (release_id) references control.gate_release_requests (release_id);

create function gate.decide(
    wanted_payment_date date,
    wanted_outcome text,
    findings jsonb,
    checked_fingerprint text,
    decided_by text
) returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    covered record;
    stored_id bigint;
begin
    perform control.lock_payment_date(wanted_payment_date);
    if wanted_outcome is null or wanted_outcome not in ('passed', 'failed') then
        raise exception 'the gate says passed or failed, not %', wanted_outcome
        using errcode = 'restrict_violation', hint = 'A release takes two people.';
    end if;
    if wanted_outcome = 'passed'
        and jsonb_array_length(findings -> 'failures') is distinct from 0
    then
        raise exception 'payment date % has not passed: something does not hold',
            wanted_payment_date
        using errcode = 'restrict_violation', hint = 'Run the gate again.';
    end if;
    select 0 as statement_count, 0 as payout_amount_minor into covered;
    if to_regclass('settlement.settlement_statements') is not null then
        select
            count(*) as statement_count,
            coalesce(sum(statements.payout_amount_minor), 0)::bigint as payout_amount_minor
        into covered
        from settlement.settlement_statements as statements
        where
            statements.payment_date = wanted_payment_date
            and statements.payable_status = 'payable'
            and statements.payout_amount_minor > 0;
    end if;
    if wanted_outcome = 'passed'
        and checked_fingerprint is distinct from gate.statement_fingerprint(wanted_payment_date)
    then
        raise exception 'payment date % cannot be passed: its statements are not those that were '
            'checked', wanted_payment_date
        using errcode = 'restrict_violation', hint = 'Run the gate again.';
    end if;
    insert into control.gate_decisions (
        payment_date, outcome, fingerprint, statements_covered, payout_amount_minor, detail,
        decided_by
    )
    values (
        wanted_payment_date,
        wanted_outcome,
        gate.statement_fingerprint(wanted_payment_date),
        covered.statement_count,
        covered.payout_amount_minor,
        findings,
        decide.decided_by
    )
    returning decision_id into stored_id;
    return stored_id;
end
$body$;
comment on function gate.decide(date, text, jsonb, text, text) is
'Stores what the gate found; the database compares it with its own tables (闸门决定).';

-- Who has changed by what a date is matched and classified does not also let it pass.
create function gate.refuse_who_changed_reference(deciding text, wanted_payment_date date)
returns void
language plpgsql
set search_path = pg_catalog
as $body$
begin
    if exists (
        select 1
        from control.term_approvals as approvals
        where
            approvals.subject = 'reference_data'
            and control.person_key(deciding) in (
                control.person_key(approvals.approved_by_first),
                control.person_key(approvals.approved_by_second)
            )
            and approvals.decided_at > coalesce(
                (
                    select max(decisions.decided_at)
                    from control.gate_decisions as decisions
                    where
                        decisions.payment_date < wanted_payment_date
                        and decisions.outcome in ('passed', 'released')
                ),
                '-infinity'
            )
    ) then
        raise exception '% approved reference data since the last payment', deciding
        using
            errcode = 'restrict_violation',
            hint = 'Who changes reference data does not release the date it counts for.';
    end if;
end
$body$;

create function gate.request_release(
    wanted_payment_date date, given_reason text, typed_name text default null
) returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    latest control.gate_decisions;
    asking text;
    stored_id bigint;
begin
    perform control.lock_payment_date(wanted_payment_date);
    if coalesce(btrim(given_reason), '') = '' then
        raise exception 'no reason was given'
        using errcode = 'restrict_violation', hint = 'Say why the date may be paid.';
    end if;
    select *
    into latest
    from control.gate_decisions
    where payment_date = wanted_payment_date
    order by decision_id desc
    limit 1;
    if latest.outcome is distinct from 'failed' then
        raise exception 'its latest gate decision is %', coalesce(latest.outcome, 'missing')
        using errcode = 'restrict_violation', hint = 'Only a failed gate is released.';
    end if;
    if latest.fingerprint is distinct from gate.statement_fingerprint(wanted_payment_date) then
        raise exception 'its statements changed since the gate failed'
        using
            errcode = 'restrict_violation',
            hint = 'Run the gate again, and read what it says now.';
    end if;
    asking := control.deciding_person(typed_name);
    perform gate.refuse_who_changed_reference(asking, wanted_payment_date);
    insert into control.gate_release_requests (
        payment_date, decision_id, reason, requested_by, signed_by_login
    )
    values (
        wanted_payment_date,
        latest.decision_id,
        btrim(given_reason),
        asking,
        session_user
    )
    returning release_id into stored_id;
    return stored_id;
end
$body$;
comment on function gate.request_release(date, text, text) is
'The first of two people asks to pay a date although its gate failed (放行申请).';

create function gate.approve_release(wanted_release_id bigint, typed_name text default null)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    request control.gate_release_requests;
    latest control.gate_decisions;
    approver text;
    stored_id bigint;
begin
    select * into request from control.gate_release_requests where release_id = wanted_release_id;
    if request.release_id is null then
        raise exception 'nobody asked for release %', wanted_release_id
        using errcode = 'restrict_violation', hint = 'tieout gate list';
    end if;
    perform control.lock_payment_date(request.payment_date);
    approver := control.deciding_person(typed_name);
    if control.person_key(approver) = control.person_key(request.requested_by) then
        raise exception 'release % was asked for by %: it takes two different people',
            wanted_release_id, request.requested_by
        using errcode = 'restrict_violation', hint = 'Ask a second person.';
    end if;
    perform gate.refuse_who_changed_reference(approver, request.payment_date);
    select *
    into latest
    from control.gate_decisions
    where payment_date = request.payment_date
    order by decision_id desc
    limit 1;
    if latest.decision_id is distinct from request.decision_id then
        raise exception 'release % is of decision %; the latest, %, says %', wanted_release_id,
            request.decision_id, latest.decision_id, latest.outcome
        using
            errcode = 'restrict_violation',
            hint = 'Read what the gate says now; ask again where it still fails.';
    end if;
    insert into control.gate_decisions (
        payment_date, outcome, fingerprint, statements_covered, payout_amount_minor, detail,
        decided_by, released_by_first, released_by_second, release_reason, release_id
    )
    values (
        latest.payment_date,
        'released',
        latest.fingerprint,
        latest.statements_covered,
        latest.payout_amount_minor,
        latest.detail,
        request.requested_by,
        request.requested_by,
        approver,
        request.reason,
        request.release_id
    )
    returning decision_id into stored_id;
    return stored_id;
end
$body$;
comment on function gate.approve_release(bigint, text) is
'The second person releases a payment date, on the statements and failures as they are (放行复核).';
"""

PAYOUTS = """
create function payout.instruct(wanted_payment_date date) returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    allowed bigint;
    created_count bigint;
begin
    perform control.lock_payment_date(wanted_payment_date);
    -- What has been instructed whole is not decided on again: after the first submission no later
    -- change voids it.
    if not exists (
        select 1
        from settlement.settlement_statements as statements
        where
            statements.payment_date = wanted_payment_date
            and statements.payable_status = 'payable'
            and statements.payout_amount_minor > 0
            and not exists (
                select 1
                from payout.instructions as present
                where present.statement_id = statements.statement_id
            )
    ) then
        return 0;
    end if;
    allowed := control.require_decision(wanted_payment_date);
    insert into payout.instructions (
        instruction_id, statement_id, payment_date, account_id, payee_id, payee_version,
        account_number_token, account_name_token, bank_code, currency_code, amount_minor,
        decision_id
    )
    select
        'I-' || statements.statement_id,
        statements.statement_id,
        statements.payment_date,
        statements.account_id,
        statements.payee_id,
        statements.payee_version,
        payees.account_number_token,
        payees.account_name_token,
        payees.bank_code,
        statements.currency_code,
        statements.payout_amount_minor,
        allowed
    from settlement.settlement_statements as statements
    left join control.payee_versions as payees
        on
            statements.payee_id = payees.payee_id
            and statements.payee_version = payees.payee_version
    where
        statements.payment_date = wanted_payment_date
        and statements.payable_status = 'payable'
        and statements.payout_amount_minor > 0
        and not exists (
            select 1
            from payout.instructions as present
            where present.statement_id = statements.statement_id
        )
    order by statements.statement_id;
    get diagnostics created_count = row_count;
    return created_count;
end
$body$;
comment on function payout.instruct(date) is
'One instruction for each payable statement of a date whose gate lets it be paid (生成代付指令).';

create function payout.start_attempts(wanted_payment_date date, payments_per_file integer)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    created_count bigint;
begin
    if payments_per_file is null or payments_per_file < 1 then
        raise exception 'a payment file holds at least one payment, not %', payments_per_file
        using errcode = 'restrict_violation';
    end if;
    perform control.lock_payment_date(wanted_payment_date);
    with waiting as (
        select
            instructions.instruction_id,
            instructions.currency_code,
            payout.end_to_end_id(instructions.statement_id, 1) as end_to_end_id,
            (
                row_number() over (
                    partition by instructions.currency_code order by instructions.statement_id
                ) - 1
            ) / payments_per_file as file_no
        from payout.instructions as instructions
        where
            instructions.payment_date = wanted_payment_date
            and not payout.is_held(instructions.statement_id)
            and not exists (
                select 1
                from payout.attempts as attempts
                where attempts.instruction_id = instructions.instruction_id
            )
    ),

    numbered as (
        select
            waiting.*,
            (
                select count(distinct attempts.batch_message_id)
                from payout.attempts as attempts
                inner join payout.instructions as instructions
                    on attempts.instruction_id = instructions.instruction_id
                where instructions.payment_date = wanted_payment_date
            ) + dense_rank() over (order by waiting.currency_code, waiting.file_no) as batch_no
        from waiting
    ),

    attempted as (
        insert into payout.attempts (
            attempt_id, instruction_id, attempt_no, end_to_end_id, batch_message_id, submitted_on
        )
        select
            'A-' || end_to_end_id,
            instruction_id,
            1,
            end_to_end_id,
            format(
                'PO%s-%s-A1', to_char(wanted_payment_date, 'YYYYMMDD'),
                lpad(batch_no::text, greatest(3, length(batch_no::text)), '0')
            ),
            wanted_payment_date
        from numbered
        order by end_to_end_id
        returning attempt_id
    )

    select count(*) into created_count from attempted;
    insert into payout.attempt_events (attempt_id, event_no, status, business_date)
    select attempts.attempt_id, 1, 'created', wanted_payment_date
    from payout.attempts as attempts
    inner join payout.instructions as instructions
        on attempts.instruction_id = instructions.instruction_id
    where
        instructions.payment_date = wanted_payment_date
        and not exists (
            select 1
            from payout.attempt_events as events
            where events.attempt_id = attempts.attempt_id
        )
    order by attempts.attempt_id;
    return created_count;
end
$body$;
comment on function payout.start_attempts(date, integer) is
'The first attempt of each instruction of a payment date, in files of so many payments (首次代付).';

create function payout.append_events(
    attempt_ids text[],
    statuses text[],
    reason_codes text[],
    details text[],
    on_date date,
    from_file_id text
) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    given record;
begin
    if from_file_id is not null
        and not exists (select 1 from control.channel_files where file_id = from_file_id)
    then
        raise exception 'no file % has come that could say so', from_file_id
        using errcode = 'restrict_violation', hint = 'What a bank says is in a file that landed.';
    end if;
    for given in
        select rows.*, attempts.batch_message_id
        from unnest(attempt_ids, statuses, reason_codes, details) with ordinality
            as rows (attempt_id, status, reason_code, detail, position)
        left join payout.attempts as attempts on rows.attempt_id = attempts.attempt_id
        order by rows.position
    loop
        if given.status = 'created' then
            raise exception 'attempt % is not created by an event', given.attempt_id
            using errcode = 'restrict_violation', hint = 'payout.start_attempts() makes attempts.';
        elsif given.status = 'submitted' and not exists (
            select 1
            from payout.outbox_files
            where batch_message_id = given.batch_message_id
        ) then
            raise exception 'attempt % was not submitted: no file % is on record',
                given.attempt_id, given.batch_message_id
            using errcode = 'restrict_violation', hint = 'A file is on record before it leaves.';
        elsif given.status in ('accepted', 'paid', 'failed', 'returned')
            and from_file_id is null
        then
            raise exception 'attempt % is not % without a file of the bank''s that says so',
                given.attempt_id, given.status
            using errcode = 'restrict_violation', hint = 'Name the file.';
        end if;
        insert into payout.attempt_events (
            attempt_id, event_no, status, business_date, source_file_id, reason_code, detail
        )
        select
            given.attempt_id,
            coalesce(max(events.event_no), 0) + 1,
            given.status,
            on_date,
            from_file_id,
            given.reason_code,
            given.detail
        from payout.attempt_events as events
        where events.attempt_id = given.attempt_id;
    end loop;
end
$body$;
comment on function payout.append_events(text[], text[], text[], text[], date, text) is
'What became of attempts, each with the file that says so, or the clock alone (代付事件).';

create function payout.record_file(
    new_batch_message_id text,
    wanted_payment_date date,
    new_path text,
    new_sha256 text,
    new_size_bytes bigint,
    new_payment_count integer,
    new_amount_minor bigint,
    new_currency_code text
) returns void
language sql
security definer
set search_path = pg_catalog, pg_temp
as $body$
    insert into payout.outbox_files (
        batch_message_id, payment_date, file_path, sha256, size_bytes, payment_count,
        amount_minor, currency_code
    )
    values (
        new_batch_message_id, wanted_payment_date, new_path, new_sha256, new_size_bytes,
        new_payment_count, new_amount_minor, new_currency_code
    )
$body$;
comment on function payout.record_file(text, date, text, text, bigint, integer, bigint, text) is
'Puts a payment file on record before it can be fetched (出款文件登记).';

create function control.seal(wanted_payment_date date, owner text) returns setof date
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    last_date date := wanted_payment_date - 1;
begin
    if not exists (
        select 1
        from control.date_leases
        where
            kind = 'settlement_payout'
            and business_date = wanted_payment_date
            and owner_id = owner
    ) then
        raise exception 'payment date % is not held by %', wanted_payment_date, owner
        using errcode = 'restrict_violation', hint = 'Who pays a date has taken it.';
    end if;
    select least(last_date, coalesce(windows.last_accounting_date, last_date))
    into last_date
    from control.operating_window() as windows;
    last_date := coalesce(last_date, wanted_payment_date - 1);

    return query
    update control.accounting_days as days
    set state = 'sealed'
    where days.accounting_date <= last_date and days.state = 'closed'
    returning days.accounting_date;

    insert into control.accounting_day_seals (
        accounting_date, channel, payment_date, arrival_date, sealed_at
    )
    select distinct
        calendar.accounting_date,
        calendar.channel,
        calendar.payment_date,
        calendar.arrival_date,
        now()
    from control.arrival_calendar(wanted_payment_date - 40, last_date) as calendar
    inner join control.accounting_days as days
        on days.accounting_date = calendar.accounting_date and days.state = 'sealed'
    where calendar.payment_date = wanted_payment_date
    on conflict (accounting_date, channel) do nothing;
end
$body$;
comment on function control.seal(date, text) is
'Seals what a payment date pays, with its first attempts; returns the dates sealed now (封存).';

-- In a session that has seen small tables, the checks of 20,000 new rows would each read all of
-- those before: half a minute instead of four seconds.
alter function payout.guard_attempt() set enable_seqscan = off;
alter function payout.guard_event() set enable_seqscan = off;
alter function payout.start_attempts(date, integer) set enable_seqscan = off;
alter function payout.append_events(text[], text[], text[], text[], date, text)
set enable_seqscan = off;

alter function control.keep_gate_expectations(jsonb)
security definer set search_path = pg_catalog, pg_temp;
"""

CHAINS = """
create table control.chain_links (
    chain text not null check (
        chain in (
            'decisions', 'instructions', 'attempts', 'new_attempts', 'events', 'files', 'undone'
        )
    ),
    payment_date date not null,
    link_no integer not null check (link_no > 0),
    row_key text not null,
    content_sha256 text not null check (content_sha256 ~ '^[0-9a-f]{64}$'),
    link_sha256 text not null check (link_sha256 ~ '^[0-9a-f]{64}$'),
    linked_at timestamptz not null default now(),
    primary key (chain, payment_date, link_no)
);
create index chain_links_by_key on control.chain_links (chain, row_key);
comment on table control.chain_links is
'What was decided and paid, each row linked to the one before by its hash (哈希链). Append-only.';
create trigger chain_links_append_only
before update or delete on control.chain_links
for each row execute function control.refuse_change();
create trigger chain_links_no_truncate
before truncate on control.chain_links
for each statement execute function control.refuse_change();

-- These four run inside control.link_row() only, under its search path; without one of their own
-- they become part of its statements, which counts at 20,000 rows.
create function control.chain_time(given text) returns text
language sql
stable
as $body$
    select to_char(given::timestamptz at time zone 'UTC', 'YYYY-MM-DD"T"HH24\\:MI\\:SS.US')
$body$;

-- The fields are named, so that a column of a later version changes no link.
create function control.chain_content(chain text, given jsonb) returns text
language sql
stable
as $body$
    select to_jsonb(
        case chain
            when 'decisions' then array[
                given ->> 'decision_id', given ->> 'payment_date', given ->> 'outcome',
                given ->> 'fingerprint', given ->> 'statements_covered',
                given ->> 'payout_amount_minor', (given -> 'detail')::text,
                given ->> 'decided_by', given ->> 'released_by_first',
                given ->> 'released_by_second', given ->> 'release_reason',
                given ->> 'decided_by_login', given ->> 'release_id',
                control.chain_time(given ->> 'decided_at')
            ]
            when 'instructions' then array[
                given ->> 'instruction_id', given ->> 'statement_id', given ->> 'payment_date',
                given ->> 'account_id', given ->> 'payee_id', given ->> 'payee_version',
                given ->> 'account_number_token', given ->> 'account_name_token',
                given ->> 'bank_code', given ->> 'currency_code', given ->> 'amount_minor',
                given ->> 'decision_id', control.chain_time(given ->> 'created_at')
            ]
            when 'attempts' then array[
                given ->> 'attempt_id', given ->> 'instruction_id', given ->> 'attempt_no',
                given ->> 'end_to_end_id', given ->> 'batch_message_id', given ->> 'submitted_on'
            ]
            when 'new_attempts' then array[
                given ->> 'attempt_id', given ->> 'previous_attempt_id', given ->> 'statement_id',
                given ->> 'paid_on', given ->> 'currency_code', given ->> 'amount_minor',
                given ->> 'payee_id', given ->> 'payee_version',
                given ->> 'account_number_token', given ->> 'account_name_token',
                given ->> 'bank_code', given ->> 'previous_status', given ->> 'reason_code',
                given ->> 'policy', given ->> 'evidence', given ->> 'evidence_file_id',
                given ->> 'evidence_line_number', given ->> 'requested_by', given ->> 'reason',
                given ->> 'decided_by_login', control.chain_time(given ->> 'decided_at')
            ]
            when 'events' then array[
                given ->> 'attempt_id', given ->> 'event_no', given ->> 'status',
                given ->> 'business_date', given ->> 'source_file_id', given ->> 'reason_code',
                given ->> 'detail', control.chain_time(given ->> 'recorded_at')
            ]
            when 'files' then array[
                given ->> 'batch_message_id', given ->> 'payment_date', given ->> 'file_path',
                given ->> 'sha256', given ->> 'size_bytes', given ->> 'payment_count',
                given ->> 'amount_minor', given ->> 'currency_code',
                control.chain_time(given ->> 'recorded_at')
            ]
            when 'undone' then array[
                given ->> 'undo_id', given ->> 'instruction_id', given ->> 'statement_id',
                given ->> 'end_to_end_id', given ->> 'payee_id', given ->> 'payee_version',
                given ->> 'currency_code', given ->> 'amount_minor'
            ]
        end
    )::text
$body$;
comment on function control.chain_content(text, jsonb) is
'A row as its link has it: its fields in order, as text (链上内容).';

create function control.chain_key(chain text, given jsonb) returns text
language sql
immutable
as $body$
    select case chain
        when 'decisions' then given ->> 'decision_id'
        when 'instructions' then given ->> 'instruction_id'
        when 'attempts' then given ->> 'attempt_id'
        when 'new_attempts' then given ->> 'attempt_id'
        when 'events' then (given ->> 'attempt_id') || '/' || (given ->> 'event_no')
        when 'files' then given ->> 'batch_message_id'
        when 'undone' then (given ->> 'undo_id') || '/' || (given ->> 'instruction_id')
    end
$body$;

create function control.add_link(wanted_chain text, wanted_payment_date date, given jsonb)
returns void
language plpgsql
as $body$
declare
    content text := encode(
        sha256(convert_to(control.chain_content(wanted_chain, given), 'UTF8')), 'hex'
    );
    last_no integer;
    last_sha256 text;
begin
    -- Taken at commit, after every other lock, and one for all chains: who waits here holds up
    -- nobody whom it waits for.
    perform pg_advisory_xact_lock(hashtextextended('tieout.chain', 0));
    select link_no, link_sha256
    into last_no, last_sha256
    from control.chain_links
    where chain = wanted_chain and payment_date = wanted_payment_date
    order by link_no desc
    limit 1;
    insert into control.chain_links (
        chain, payment_date, link_no, row_key, content_sha256, link_sha256
    )
    values (
        wanted_chain,
        wanted_payment_date,
        coalesce(last_no, 0) + 1,
        control.chain_key(wanted_chain, given),
        content,
        encode(
            sha256(
                convert_to(
                    format(
                        '%s|%s|%s|%s',
                        wanted_chain,
                        to_char(wanted_payment_date, 'YYYY-MM-DD'),
                        coalesce(last_sha256, ''),
                        content
                    ),
                    'UTF8'
                )
            ),
            'hex'
        )
    );
end
$body$;

create function control.link_row() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    wanted_date date;
begin
    if tg_argv[0] = 'events' then
        select instructions.payment_date
        into wanted_date
        from payout.attempts as attempts
        inner join payout.instructions as instructions
            on attempts.instruction_id = instructions.instruction_id
        where attempts.attempt_id = new.attempt_id;
    elsif tg_argv[0] = 'attempts' then
        select payment_date
        into wanted_date
        from payout.instructions
        where instruction_id = new.instruction_id;
    elsif tg_argv[0] = 'new_attempts' then
        select payment_date
        into wanted_date
        from payout.instructions
        where statement_id = new.statement_id;
    elsif tg_argv[0] = 'undone' then
        select payment_date into wanted_date from payout.undo_approvals where undo_id = new.undo_id;
    else
        wanted_date := new.payment_date;
    end if;
    -- What is gone again before the commit was undone in its own transaction.
    if wanted_date is not null then
        perform control.add_link(tg_argv[0], wanted_date, to_jsonb(new));
    end if;
    return null;
end
$body$;

create function control.chain_heads(wanted_payment_date date)
returns table (chain text, link_no integer, link_sha256 text)
language sql
stable
set search_path = pg_catalog
as $body$
    select distinct on (links.chain) links.chain, links.link_no, links.link_sha256
    from control.chain_links as links
    where links.payment_date = wanted_payment_date
    order by links.chain, links.link_no desc
$body$;
comment on function control.chain_heads(date) is
'The last link of each chain of a payment date, to be kept elsewhere (链头).';
"""
LINKED = """
create constraint trigger {name}_linked
after insert on {table}
deferrable initially deferred
for each row execute function control.link_row('{chain}');
"""
# What was there before gets its links in the order it came.
ADOPT = """
select control.add_link(
    'decisions', decisions.payment_date, to_jsonb(decisions)
) from (select * from control.gate_decisions order by decision_id) as decisions;
select control.add_link('instructions', instructions.payment_date, to_jsonb(instructions))
from (
    select * from payout.instructions order by payment_date, statement_id
) as instructions;
select control.add_link('attempts', attempts.payment_date, attempts.given)
from (
    select instructions.payment_date, to_jsonb(attempts) as given
    from payout.attempts as attempts
    inner join payout.instructions as instructions
        on attempts.instruction_id = instructions.instruction_id
    order by instructions.payment_date, attempts.attempt_id
) as attempts;
select control.add_link('events', events.payment_date, events.given)
from (
    select instructions.payment_date, to_jsonb(events) as given
    from payout.attempt_events as events
    inner join payout.attempts as attempts on events.attempt_id = attempts.attempt_id
    inner join payout.instructions as instructions
        on attempts.instruction_id = instructions.instruction_id
    order by events.event_id
) as events;
select control.add_link('new_attempts', grounds.payment_date, grounds.given)
from (
    select instructions.payment_date, to_jsonb(grounds) as given
    from payout.new_attempts as grounds
    inner join payout.instructions as instructions
        on grounds.statement_id = instructions.statement_id
    order by instructions.payment_date, grounds.attempt_id
) as grounds;
select control.add_link('files', files.payment_date, to_jsonb(files))
from (select * from payout.outbox_files order by payment_date, batch_message_id) as files;
select control.add_link('undone', undone.payment_date, undone.given)
from (
    select approvals.payment_date, to_jsonb(undone) as given
    from payout.undone_payouts as undone
    inner join payout.undo_approvals as approvals on undone.undo_id = approvals.undo_id
    order by undone.undo_id, undone.instruction_id
) as undone;
"""

RIGHTS = """
revoke insert, update, delete on
    control.gate_decisions,
    control.gate_decision_inputs,
    control.gate_expectations,
    control.accounting_day_seals,
    payout.instructions,
    payout.attempts,
    payout.attempt_events,
    payout.outbox_files
from tieout_gate, tieout_payout;
revoke update on control.accounting_days from tieout_payout;
revoke execute on function
    gate.decide(date, text, jsonb, text, text),
    gate.request_release(date, text, text),
    gate.approve_release(bigint, text),
    payout.instruct(date),
    payout.start_attempts(date, integer),
    payout.append_events(text[], text[], text[], text[], date, text),
    payout.record_file(text, date, text, text, bigint, integer, bigint, text),
    control.seal(date, text),
    control.add_link(text, date, jsonb),
    control.deciding_person(text),
    control.keep_gate_expectations(jsonb)
from public;
grant execute on function
    gate.decide(date, text, jsonb, text, text),
    control.keep_gate_expectations(jsonb)
to tieout_gate;
grant execute on function
    payout.instruct(date),
    payout.start_attempts(date, integer),
    payout.append_events(text[], text[], text[], text[], date, text),
    payout.record_file(text, date, text, text, bigint, integer, bigint, text),
    control.seal(date, text)
to tieout_payout;
grant execute on function
    gate.request_release(date, text, text),
    gate.approve_release(bigint, text)
to tieout_people;
grant execute on function control.deciding_person(text)
to tieout_ingest, tieout_people;
grant insert on
    reconciliation.actions,
    reconciliation.action_approvals,
    control.bank_line_decisions,
    control.bank_line_approvals,
    payout.undo_requests,
    payout.undo_approvals
to tieout_people;
grant select on control.persons, control.gate_release_requests, control.chain_links
to tieout_people, tieout_finance, tieout_gate, tieout_payout, tieout_ingest, tieout_transform;
"""

CHAINED = (
    ("control.gate_decisions", "decisions"),
    ("payout.instructions", "instructions"),
    ("payout.attempts", "attempts"),
    ("payout.new_attempts", "new_attempts"),
    ("payout.attempt_events", "events"),
    ("payout.outbox_files", "files"),
    ("payout.undone_payouts", "undone"),
)
SIGNED_TABLES = (
    ("reconciliation.actions", "requested_by"),
    ("reconciliation.action_approvals", "approved_by"),
    ("control.bank_line_decisions", "requested_by"),
    ("control.bank_line_approvals", "approved_by"),
    ("payout.undo_requests", "requested_by"),
    ("payout.undo_approvals", "approved_by"),
    ("payout.payout_holds", "held_by"),
    ("payout.payout_hold_releases", "released_by"),
    ("payout.new_attempts", "requested_by"),
)
KEEP_A_LOGIN = {"payout.payout_holds", "payout.payout_hold_releases", "payout.new_attempts"}


def upgrade() -> None:
    """Make the functions, take the rights, link what is there."""
    op.execute(PERSONS)
    op.execute(SIGNED)
    for table, column in SIGNED_TABLES:
        if table not in KEEP_A_LOGIN:
            op.execute(LOGIN.format(table=table))
        op.execute(SIGN.format(table=table, column=column))
    op.execute(HOLDS)
    tables = ", ".join(f"'{table}'" for table, _ in SIGNED_TABLES)
    op.execute(OWNERS_CHECKS.replace("{tables}", tables))
    op.execute(DECISIONS)
    op.execute(PAYOUTS)
    op.execute(CHAINS)
    op.execute(ADOPT)
    for table, chain in CHAINED:
        op.execute(LINKED.format(table=table, name=table.partition(".")[2], chain=chain))
    op.execute(RIGHTS)
