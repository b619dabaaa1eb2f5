"""Every decision of people takes two logins, within their limits; some people come by Airflow.

Terms and files were decided by two names in one row, or by one. Where people have logins, one asks
and another approves, each with their own. How much a person may let pass is reference data
(`reference.decision_limits`), by role or by name. Airflow's API server speaks for its users through
a login of its own, which is of nobody: the database finds the person by the user.
"""

from __future__ import annotations

from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None

PEOPLE = """
create table control.person_roles (
    grant_id bigint generated always as identity primary key,
    person text not null references control.persons (person),
    decision_role text not null check (decision_role in ('officer', 'supervisor')),
    given_by_login text not null default session_user,
    given_at timestamptz not null default now()
);
create index person_roles_by_person on control.person_roles (person, grant_id);
comment on table control.person_roles is
'Which limits a person has, the latest row counts; without one: officer (决定权限). Append-only.';

create table control.gateways (
    database_login text primary key,
    channel text not null check (channel in ('airflow')),
    added_at timestamptz not null default now()
);
comment on table control.gateways is
'Logins that speak for the users of another program, and for nobody themselves (网关登录).';

create function control.decision_role(wanted_person text) returns text
language sql
stable
set search_path = pg_catalog
as $body$
    select coalesce(
        (
            select roles.decision_role
            from control.person_roles as roles
            where control.person_key(roles.person) = control.person_key(wanted_person)
            order by roles.grant_id desc
            limit 1
        ),
        'officer'
    )
$body$;
comment on function control.decision_role(text) is
'By which limits a person decides (决定权限).';

create or replace function control.deciding_person(typed_name text) returns text
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    known control.persons;
    speaking_for text;
begin
    if exists (select 1 from control.gateways where database_login = session_user) then
        speaking_for := coalesce(current_setting('tieout.airflow_user', true), '');
        if speaking_for = '' then
            raise exception 'the login % speaks for users of Airflow, and none is named',
                session_user
            using errcode = 'restrict_violation', hint = 'Decide with a login of your own.';
        end if;
        select * into known from control.persons where airflow_user = speaking_for;
        if known.person is null then
            raise exception 'the user % of Airflow belongs to nobody who decides', speaking_for
            using
                errcode = 'restrict_violation',
                hint = 'tieout people add NAME --login LOGIN --airflow-user USER';
        end if;
    else
        select * into known from control.persons where database_login = session_user;
    end if;
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

create function control.signing_login() returns text
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $body$
    select session_user || case
        when exists (select 1 from control.gateways where database_login = session_user)
            then ' for Airflow user ' || coalesce(current_setting('tieout.airflow_user', true), '')
        else ''
    end
$body$;
comment on function control.signing_login() is
'The login that decides now and, where it is a gateway''s, for which user (签署登录).';

create or replace function control.sign_decision() returns trigger
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
            'signed_by_login', control.signing_login()
        )
    );
end
$body$;

alter table control.gate_decisions
alter column decided_by_login set default control.signing_login();
alter table payout.new_attempts
alter column decided_by_login set default control.signing_login();

create function control.name_signing_login() returns trigger
language plpgsql
set search_path = pg_catalog
as $body$
begin
    new.signed_by_login := control.signing_login();
    return new;
end
$body$;
create trigger b_channel before insert on control.gate_release_requests
for each row execute function control.name_signing_login();
"""

LIMITS = """
create function control.require_limit(
    wanted_kind text, deciding text, wanted_currency text, decided_amount_minor bigint
) returns void
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    known control.persons;
    decision_limit record;
begin
    select *
    into known
    from control.persons
    where control.person_key(person) = control.person_key(deciding);
    -- Before anybody has a login, a name proves nobody; afterwards nobody else comes so far.
    if known.person is null then
        return;
    end if;
    if to_regclass('reference.decision_limits') is null then
        raise exception 'the limits of people are not loaded'
        using errcode = 'restrict_violation', hint = 'The next tieout close loads them.';
    end if;
    select limits.limit_minor, true as is_given
    into decision_limit
    from reference.decision_limits as limits
    where
        limits.decision_kind = wanted_kind
        and limits.currency_code = wanted_currency
        and case limits.holder_kind
            when 'person' then control.person_key(limits.holder) = control.person_key(known.person)
            else limits.holder = control.decision_role(known.person)
        end
    order by limits.holder_kind = 'person' desc, limits.limit_minor nulls last
    limit 1;
    if decision_limit.is_given is not true then
        raise exception '% has no limit for % in %', known.person, wanted_kind, wanted_currency
        using
            errcode = 'restrict_violation',
            hint = 'reference.decision_limits says who may let how much pass.';
    end if;
    if abs(decided_amount_minor::numeric) > decision_limit.limit_minor then
        raise exception '% may let % % pass (minor units, %), not %', known.person,
            decision_limit.limit_minor, wanted_currency, wanted_kind, abs(decided_amount_minor)
        using
            errcode = 'restrict_violation',
            hint = 'Ask somebody with a higher limit: tieout people list.';
    end if;
end
$body$;
comment on function control.require_limit(text, text, text, bigint) is
'Refuses what is beyond a person''s limit (决定限额).';

create function control.limit_release() returns trigger
language plpgsql
set search_path = pg_catalog
as $body$
declare
    paid record;
begin
    if to_regclass('settlement.settlement_statements') is not null then
        for paid in
            select
                statements.currency_code,
                sum(statements.payout_amount_minor)::bigint as payout_amount_minor
            from settlement.settlement_statements as statements
            where
                statements.payment_date = new.payment_date
                and statements.payable_status = 'payable'
                and statements.payout_amount_minor > 0
            group by statements.currency_code
        loop
            perform control.require_limit(
                'gate_release', new.released_by_second, paid.currency_code,
                paid.payout_amount_minor
            );
        end loop;
    end if;
    return new;
end
$body$;
create trigger b_limited before insert on control.gate_decisions
for each row when (new.outcome = 'released' and new.released_by_second is not null)
execute function control.limit_release();

create function reconciliation.limit_approval() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    latest_close date;
    decided record;
    item record;
begin
    if not exists (select 1 from control.persons) then
        return new;
    end if;
    select max(accounting_date)
    into latest_close
    from control.accounting_days
    where state in ('closed', 'sealed');
    for decided in
        select items.suspense_item_id
        from reconciliation.actions as actions
        cross join lateral (
            values (actions.suspense_item_id), (actions.second_item_id)
        ) as items (suspense_item_id)
        where actions.action_id = new.action_id and items.suspense_item_id is not null
    loop
        if decided.suspense_item_id like 'A:%' then
            select suspended.currency_code, suspended.funds_effect_minor as amount_minor
            into item
            from clearing.suspended_adjustments as suspended
            where
                suspended.accounting_date = latest_close
                and suspended.adjustment_id = substr(decided.suspense_item_id, 3);
        else
            select items.currency_code, items.amount_minor
            into item
            from reconciliation.suspense_items as items
            where
                items.accounting_date = latest_close
                and items.suspense_item_id = decided.suspense_item_id;
        end if;
        if item.amount_minor is null then
            raise exception 'decision % is about %, which no closed date knows: its amount is not '
                'known', new.action_id, decided.suspense_item_id
            using errcode = 'restrict_violation', hint = 'tieout suspense list';
        end if;
        perform control.require_limit(
            'open_item', new.approved_by, item.currency_code, item.amount_minor
        );
    end loop;
    return new;
end
$body$;
create trigger b_limited before insert on reconciliation.action_approvals
for each row execute function reconciliation.limit_approval();

create function control.limit_bank_line() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    decision control.bank_line_decisions;
begin
    select * into decision from control.bank_line_decisions where decision_id = new.decision_id;
    perform control.require_limit(
        'bank_line', new.approved_by, decision.currency_code, decision.amount_minor
    );
    return new;
end
$body$;
create trigger b_limited before insert on control.bank_line_approvals
for each row execute function control.limit_bank_line();

create function payout.limit_undo() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    undone record;
begin
    for undone in
        select instructions.currency_code, sum(instructions.amount_minor)::bigint as amount_minor
        from payout.instructions
        where instructions.payment_date = new.payment_date
        group by instructions.currency_code
    loop
        perform control.require_limit(
            'undo_payment', new.approved_by, undone.currency_code, undone.amount_minor
        );
    end loop;
    return new;
end
$body$;
create trigger b_limited before insert on payout.undo_approvals
for each row execute function payout.limit_undo();

create function payout.limit_new_attempt() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
begin
    if new.requested_by is distinct from 'policy' then
        perform control.require_limit(
            'new_attempt', new.requested_by, new.currency_code, new.amount_minor
        );
    end if;
    return new;
end
$body$;
create trigger b_limited before insert on payout.new_attempts
for each row execute function payout.limit_new_attempt();
"""

RESTATEMENTS = """
create function control.limit_booking() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    booked record;
begin
    new.approved_by_login := control.signing_login();
    -- Gross: what is taken from one does not make room for what another is given.
    for booked in
        select bookings.currency_code, sum(abs(bookings.amount_minor))::bigint as amount_minor
        from control.restatement_bookings as bookings
        where bookings.request_id = new.request_id
        group by bookings.currency_code
    loop
        perform control.require_limit(
            'restatement', new.approved_by, booked.currency_code, booked.amount_minor
        );
    end loop;
    return new;
end
$body$;
create trigger b_limited before update on control.restatement_requests
for each row when (old.approved_by is null and new.approved_by is not null)
execute function control.limit_booking();
alter table control.restatement_requests
alter column requested_by_login set default control.signing_login();
"""

TERMS = """
create table control.term_requests (
    request_id bigint generated always as identity primary key,
    subject text not null check (subject in ('changes', 'first_date_list', 'reference_data')),
    decision text not null check (decision in ('approve', 'reject')),
    change_ids text[] not null default '{}',
    effective_on date,
    list_sha256 text check (list_sha256 ~ '^[0-9a-f]{64}$'),
    reference_sha256 text check (reference_sha256 ~ '^[0-9a-f]{64}$'),
    reason text not null check (btrim(reason) <> ''),
    requested_by text not null check (control.person_key(requested_by) <> ''),
    requested_at timestamptz not null default now(),
    signed_by_login text not null,
    constraint changes_are_named check (
        (subject = 'changes') = (cardinality(change_ids) > 0)
        and (subject = 'changes') = (effective_on is not null)
    ),
    constraint only_changes_are_rejected check (subject = 'changes' or decision = 'approve')
);
comment on table control.term_requests is
'What one person asks to be decided about terms; another approves (条款审批申请). Append-only.';
alter table control.term_approvals
add column request_id bigint unique references control.term_requests (request_id);

create function control.first_list_sha256() returns text
language plpgsql
stable
set search_path = pg_catalog
as $body$
declare
    found text;
begin
    select lists.first_list_sha256
    into found
    from clearing.term_lists as lists
    order by lists.accounting_date desc
    limit 1;
    return found;
end
$body$;
comment on function control.first_list_sha256() is
'The first date''s list as the latest close carries it (首日清单指纹).';

create function control.keep_reference() returns text
language sql
set search_path = pg_catalog
as $body$
    with now as (
        select control.reference_sha256() as sha256, control.reference_content() as content
    ),
    kept as (
        insert into control.reference_versions (reference_sha256, content)
        select sha256, content from now
        on conflict do nothing
    )
    select sha256 from now
$body$;
comment on function control.keep_reference() is
'Keeps the reference data as it is now; returns its number (保存参考数据版本).';

create function control.request_terms(
    wanted_subject text,
    wanted_decision text,
    wanted_change_ids text[],
    taking_effect_on date,
    given_reason text,
    typed_name text default null
) returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    asking text;
    stored_id bigint;
begin
    asking := control.deciding_person(typed_name);
    if taking_effect_on is not null then
        perform reconciliation.require_open_date(taking_effect_on);
    end if;
    insert into control.term_requests (
        subject, decision, change_ids, effective_on, list_sha256, reference_sha256, reason,
        requested_by, signed_by_login
    )
    select
        wanted_subject,
        wanted_decision,
        array(select distinct change_id from unnest(wanted_change_ids) as change_id order by 1),
        taking_effect_on,
        case when wanted_subject = 'first_date_list' then control.first_list_sha256() end,
        case
            when wanted_subject in ('first_date_list', 'reference_data')
                then control.keep_reference()
        end,
        btrim(given_reason),
        asking,
        control.signing_login()
    returning request_id into stored_id;
    return stored_id;
end
$body$;
comment on function control.request_terms(text, text, text[], date, text, text) is
'The first of two people asks for a decision about terms (条款审批申请).';

create function control.approve_terms(wanted_request_id bigint, typed_name text default null)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    request control.term_requests;
    approver text;
    stored_id bigint;
begin
    select * into request from control.term_requests where request_id = wanted_request_id;
    if request.request_id is null then
        raise exception 'nobody asked for decision % about terms', wanted_request_id
        using errcode = 'restrict_violation', hint = 'tieout terms decisions';
    end if;
    approver := control.deciding_person(typed_name);
    if control.person_key(approver) = control.person_key(request.requested_by) then
        raise exception 'request % is of %: it takes two different people', wanted_request_id,
            request.requested_by
        using errcode = 'restrict_violation', hint = 'Ask a second person.';
    end if;
    perform control.require_limit('terms', approver, 'XXX', 0);
    if request.subject <> 'changes'
        and request.reference_sha256 is distinct from control.reference_sha256()
    then
        raise exception 'request % is about other reference data than there is now',
            wanted_request_id
        using errcode = 'restrict_violation', hint = 'tieout terms reference; ask again.';
    end if;
    if request.subject = 'first_date_list'
        and request.list_sha256 is distinct from control.first_list_sha256()
    then
        raise exception 'request % is about another list than the latest close carries',
            wanted_request_id
        using errcode = 'restrict_violation', hint = 'tieout terms list; ask again.';
    end if;
    insert into control.term_approvals (
        subject, decision, approved_by_first, approved_by_second, reason, effective_on,
        list_sha256, reference_sha256, request_id
    )
    values (
        request.subject,
        request.decision,
        request.requested_by,
        approver,
        request.reason,
        request.effective_on,
        request.list_sha256,
        request.reference_sha256,
        request.request_id
    )
    returning approval_id into stored_id;
    insert into control.term_approval_items (approval_id, change_id, effective_on, decision)
    select stored_id, change_id, request.effective_on, request.decision
    from unnest(request.change_ids) as change_id;
    return stored_id;
end
$body$;
comment on function control.approve_terms(bigint, text) is
'The second person decides about terms what the first has asked for (条款审批复核).';

create function control.require_term_request() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
begin
    if new.request_id is null and exists (select 1 from control.persons) then
        raise exception 'terms are decided with two logins, not with two names'
        using errcode = 'restrict_violation', hint = 'tieout terms approve, without --second';
    end if;
    return new;
end
$body$;
create trigger a_signed before insert on control.term_approvals
for each row execute function control.require_term_request();
"""

FILES = """
create table control.file_requests (
    request_id bigint generated always as identity primary key,
    file_id text not null references control.channel_files (file_id),
    action text not null check (action in ('release', 'reject')),
    status_before text not null,
    reason text not null check (btrim(reason) <> ''),
    requested_by text not null check (control.person_key(requested_by) <> ''),
    requested_at timestamptz not null default now(),
    signed_by_login text not null
);
create index file_requests_by_file on control.file_requests (file_id);
comment on table control.file_requests is
'Which file one person asks to be released or set aside (文件处理申请). Append-only.';

create table control.file_request_approvals (
    request_id bigint primary key references control.file_requests (request_id),
    approved_by text not null check (control.person_key(approved_by) <> ''),
    approved_at timestamptz not null default now(),
    signed_by_login text not null
);
comment on table control.file_request_approvals is
'The second person, without whom no file is released or set aside (文件处理复核). Append-only.';

create function control.check_file_request() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
begin
    select status into new.status_before from control.channel_files where file_id = new.file_id;
    return new;
end
$body$;
create trigger b_checked before insert on control.file_requests
for each row execute function control.check_file_request();

create function control.check_file_approval() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    request control.file_requests;
    status_now text;
begin
    select * into request from control.file_requests where request_id = new.request_id;
    if request.request_id is null then
        raise exception 'nobody asked for decision % about a file', new.request_id
        using errcode = 'restrict_violation', hint = 'tieout quarantine list';
    end if;
    if control.person_key(request.requested_by) = control.person_key(new.approved_by) then
        raise exception 'request % is of %: it takes two different people', new.request_id,
            request.requested_by
        using errcode = 'restrict_violation', hint = 'Ask a second person.';
    end if;
    select status into status_now from control.channel_files where file_id = request.file_id;
    if status_now is distinct from request.status_before then
        raise exception 'file % was % when request % was made, and is % now', request.file_id,
            request.status_before, new.request_id, status_now
        using errcode = 'restrict_violation', hint = 'tieout quarantine show; ask again.';
    end if;
    perform control.require_limit('file', new.approved_by, 'XXX', 0);
    return new;
end
$body$;
create trigger b_checked before insert on control.file_request_approvals
for each row execute function control.check_file_approval();

alter table control.file_decisions
add column request_id bigint unique references control.file_requests (request_id);
create function control.sign_file_decision() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    agreed record;
begin
    if new.action not in ('release', 'reject') or not exists (select 1 from control.persons) then
        return new;
    end if;
    select requests.request_id, requests.requested_by, approvals.approved_by, requests.reason
    into agreed
    from control.file_requests as requests
    inner join control.file_request_approvals as approvals using (request_id)
    where
        requests.file_id = new.file_id
        and requests.action = new.action
        and requests.status_before is not distinct from new.status_before
        and not exists (
            select 1
            from control.file_decisions as decisions
            where decisions.request_id = requests.request_id
        )
    order by requests.request_id desc
    limit 1;
    if agreed.request_id is null then
        raise exception 'file % is not decided about: it takes two logins', new.file_id
        using
            errcode = 'restrict_violation',
            hint = 'One asks (tieout quarantine release or reject), another approves.';
    end if;
    new.request_id := agreed.request_id;
    new.decided_by := agreed.requested_by || ', ' || agreed.approved_by;
    new.reason := agreed.reason;
    return new;
end
$body$;
create trigger a_signed before insert on control.file_decisions
for each row execute function control.sign_file_decision();
"""

SETUPS = """
create table control.setups (
    setup_id bigint generated always as identity primary key,
    setup_sha256 text not null check (setup_sha256 ~ '^[0-9a-f]{64}$'),
    loaded_at timestamptz not null default now(),
    loaded_by_login text not null default session_user
);
comment on table control.setups is
'Which reference data and models were set up (装载版本); the latest row counts. Append-only.';

-- Who may not read landed rows asks for the window, too: what is paid next depends on it.
alter function control.operating_window() security definer;
alter function control.operating_window() set search_path = pg_catalog, pg_temp;

create function control.first_list_counts(
    first_accounting_date date, out freezes bigint, out opening_balances bigint
)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $body$
    select
        (
            select count(*)
            from raw.platform_freezes as landed
            where landed.accounting_date = first_accounting_date
        ),
        (
            select count(*)
            from raw.platform_opening_balances as landed
            where landed.accounting_date = first_accounting_date
        )
$body$;
comment on function control.first_list_counts(date) is
'How many freezes and opening balances a first list has, for who may not read them (首日清单行数).';
"""

SIGN = """
create trigger a_signed before insert on {table}
for each row execute function control.sign_decision('{column}');
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
    "control.person_roles",
    "control.gateways",
    "control.term_requests",
    "control.file_requests",
    "control.file_request_approvals",
    "control.setups",
)

RIGHTS = """
revoke execute on function
    control.require_limit(text, text, text, bigint),
    control.request_terms(text, text, text[], date, text, text),
    control.approve_terms(bigint, text),
    control.keep_reference(),
    control.first_list_counts(date)
from public;
grant execute on function control.first_list_counts(date) to tieout_people, tieout_finance;
grant select on control.setups
to tieout_people, tieout_finance, tieout_gate, tieout_payout, tieout_ingest, tieout_transform;
grant execute on function
    control.request_terms(text, text, text[], date, text, text),
    control.approve_terms(bigint, text)
to tieout_people;
grant insert on control.file_requests, control.file_request_approvals to tieout_people;
grant select on
    control.person_roles,
    control.gateways,
    control.term_requests,
    control.file_requests,
    control.file_request_approvals
to tieout_people, tieout_finance, tieout_gate, tieout_payout, tieout_ingest, tieout_transform;
"""


def upgrade() -> None:
    """Make requests of terms and files, limits and the gateway's way to a person."""
    op.execute(PEOPLE)
    op.execute(LIMITS)
    op.execute(RESTATEMENTS)
    op.execute(TERMS)
    op.execute(FILES)
    op.execute(SETUPS)
    op.execute(SIGN.format(table="control.file_requests", column="requested_by"))
    op.execute(SIGN.format(table="control.file_request_approvals", column="approved_by"))
    for table in KEPT:
        op.execute(APPEND_ONLY.format(table=table, name=table.partition(".")[2]))
    op.execute(RIGHTS)
