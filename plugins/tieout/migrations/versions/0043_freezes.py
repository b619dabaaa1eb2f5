"""A register of freezes: what the platform says of each, and what two people decide.

The platform's file may say kind, order, who ordered it, session and what was released. People add
freezes of their own, release a part or all of one, and write a waiting charge off: one asks,
another approves. What counts from a date is an input of the gate. Two payees of one account and
currency in force at once do not land, whoever writes the rows.
"""

from __future__ import annotations

from alembic import op

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None

DELIVERED = """
alter table raw.platform_freezes
    add column freeze_kind text
        check (freeze_kind in ('judicial', 'risk', 'own_charge', 'merchant_request')),
    add column order_number text,
    add column issued_by text,
    add column settlement_session_type text
        check (settlement_session_type in ('transaction', 'foreign_card')),
    add column released_amount_minor bigint
        check (released_amount_minor between 0 and amount_minor);
comment on column raw.platform_freezes.freeze_kind is
'judicial, risk, own_charge or merchant_request; null: the reason says it (冻结类别).';
comment on column raw.platform_freezes.order_number is
'Number of the order it stands on (冻结文书号).';
comment on column raw.platform_freezes.issued_by is 'Who ordered it (冻结机关).';
comment on column raw.platform_freezes.settlement_session_type is
'The only session it takes from; null: all of the account (结算场次类型).';
comment on column raw.platform_freezes.released_amount_minor is
'Part released so far; null: none, minor units (已解冻金额).';
alter table raw_versions.platform_freezes
    add column freeze_kind text,
    add column order_number text,
    add column issued_by text,
    add column settlement_session_type text,
    add column released_amount_minor bigint;
"""

TABLES = """
create table control.freeze_requests (
    request_id bigint generated always as identity primary key,
    action text not null check (action in ('freeze', 'release', 'write_off')),
    freeze_id text not null,
    account_id text not null,
    currency_code text not null check (currency_code ~ '^[A-Z]{3}$'),
    amount_minor bigint not null check (amount_minor > 0),
    freeze_kind text check (freeze_kind in ('judicial', 'risk', 'own_charge', 'merchant_request')),
    order_number text,
    issued_by text,
    settlement_session_type text
        check (settlement_session_type in ('transaction', 'foreign_card')),
    effective_on date not null,
    effective_to date,
    reason text not null check (btrim(reason) <> ''),
    requested_by text not null check (control.person_key(requested_by) <> ''),
    requested_at timestamptz not null default now(),
    signed_by_login text not null,
    constraint a_freeze_says_its_kind check ((action = 'freeze') = (freeze_kind is not null)),
    constraint an_order_has_its_number check (
        freeze_kind is distinct from 'judicial'
        or (coalesce(btrim(order_number), '') <> '' and coalesce(btrim(issued_by), '') <> '')
    ),
    constraint a_freeze_ends_after_it_begins check (effective_to > effective_on)
);
create index freeze_requests_by_freeze on control.freeze_requests (freeze_id);
create index freeze_requests_by_date on control.freeze_requests (effective_on);
comment on table control.freeze_requests is
'What one person asks to be frozen, released or written off (冻结解冻申请). Append-only.';

create table control.freeze_approvals (
    request_id bigint primary key references control.freeze_requests (request_id),
    approved_by text not null check (control.person_key(approved_by) <> ''),
    approved_at timestamptz not null default now(),
    signed_by_login text not null
);
comment on table control.freeze_approvals is
'The second person, without whom no freeze begins or ends (冻结解冻复核). Append-only.';
"""

# What of a freeze two people may still release, and what of a charge still waits. The computed
# tables are there once a payment date was built; names are looked up when the function runs.
REST = """
create function control.freeze_rest(
    wanted_freeze_id text, out account_id text, out currency_code text, out rest_minor bigint
)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $body$
begin
    if to_regclass('settlement.freezes') is not null then
        select
            freezes.account_id,
            freezes.currency_code,
            freezes.ordered_amount_minor - freezes.delivered_release_amount_minor
        into account_id, currency_code, rest_minor
        from settlement.freezes
        where
            freezes.freeze_id = wanted_freeze_id
            and freezes.source = 'platform'
            and freezes.is_in_force
            and freezes.payment_date = (
                select max(latest.payment_date) from settlement.freezes as latest
            );
    end if;
    if account_id is null then
        select requests.account_id, requests.currency_code, requests.amount_minor
        into account_id, currency_code, rest_minor
        from control.freeze_requests as requests
        inner join control.freeze_approvals as approvals using (request_id)
        where requests.action = 'freeze' and requests.freeze_id = wanted_freeze_id;
    end if;
    rest_minor := rest_minor - coalesce(
        (
            select sum(requests.amount_minor)
            from control.freeze_requests as requests
            inner join control.freeze_approvals as approvals using (request_id)
            where requests.action = 'release' and requests.freeze_id = wanted_freeze_id
        ),
        0
    );
end
$body$;
comment on function control.freeze_rest(text) is
'What of a freeze in force two people may still release (可解冻余额).';

create function control.waiting_charge(
    wanted_entry_id text, out account_id text, out currency_code text, out waiting_minor bigint
)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $body$
begin
    if to_regclass('settlement.charges') is not null then
        select charges.account_id, charges.currency_code, charges.closing_amount_minor
        into account_id, currency_code, waiting_minor
        from settlement.charges
        where
            charges.entry_id = wanted_entry_id
            and charges.charge_status = 'waiting'
            and charges.payment_date = (
                select max(latest.payment_date) from settlement.charges as latest
            );
    end if;
end
$body$;
comment on function control.waiting_charge(text) is
'What of a charge waits after the latest payment date (待扣款余额).';
"""

DECISIONS = """
create function control.request_freeze(
    wanted_kind text,
    wanted_account_id text,
    wanted_currency text,
    wanted_amount_minor bigint,
    wanted_order_number text,
    wanted_issuer text,
    wanted_session_type text,
    taking_effect_on date,
    ending_on date,
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
    perform reconciliation.require_open_date(taking_effect_on);
    if not exists (
        select 1 from raw.platform_contracts as contracts
        where contracts.account_id = wanted_account_id
    ) then
        raise exception 'no contract names the account %', wanted_account_id
        using errcode = 'restrict_violation', hint = 'A freeze is of a settlement account.';
    end if;
    if not exists (
        select 1 from reference.channel_currencies as known
        where known.currency_code = wanted_currency
    ) then
        raise exception 'no channel settles in %', wanted_currency
        using errcode = 'restrict_violation', hint = 'reference.channel_currencies';
    end if;
    insert into control.freeze_requests (
        action, freeze_id, account_id, currency_code, amount_minor, freeze_kind, order_number,
        issued_by, settlement_session_type, effective_on, effective_to, reason, requested_by,
        signed_by_login
    )
    values (
        'freeze',
        'P:' || nextval(pg_get_serial_sequence('control.freeze_requests', 'request_id')),
        wanted_account_id, wanted_currency, wanted_amount_minor, wanted_kind,
        nullif(btrim(wanted_order_number), ''), nullif(btrim(wanted_issuer), ''),
        wanted_session_type, taking_effect_on, ending_on, btrim(given_reason), asking,
        control.signing_login()
    )
    returning request_id into stored_id;
    return stored_id;
end
$body$;
comment on function control.request_freeze(
    text, text, text, bigint, text, text, text, date, date, text, text
) is 'The first of two people asks to freeze a part of an account (冻结申请).';

create function control.refuse_freeze_end(request control.freeze_requests) returns void
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    found record;
begin
    if request.action = 'write_off' then
        select * into found from control.waiting_charge(request.freeze_id);
        if found.waiting_minor is distinct from request.amount_minor then
            raise exception 'charge % waits with % minor units, not with %', request.freeze_id,
                coalesce(found.waiting_minor, 0), request.amount_minor
            using errcode = 'restrict_violation', hint = 'tieout freezes list';
        end if;
    elsif request.action = 'release' then
        select * into found from control.freeze_rest(request.freeze_id);
        if found.account_id is null then
            raise exception 'no freeze % is in force', request.freeze_id
            using errcode = 'restrict_violation', hint = 'tieout freezes list';
        end if;
        if request.amount_minor > found.rest_minor then
            raise exception 'of freeze % are % minor units left, not %', request.freeze_id,
                found.rest_minor, request.amount_minor
            using errcode = 'restrict_violation', hint = 'tieout freezes list';
        end if;
    end if;
end
$body$;

create function control.request_freeze_end(
    wanted_action text,
    wanted_freeze_id text,
    wanted_amount_minor bigint,
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
    found record;
    request control.freeze_requests;
begin
    asking := control.deciding_person(typed_name);
    perform reconciliation.require_open_date(taking_effect_on);
    if wanted_action = 'write_off' then
        select account_id, currency_code, waiting_minor as rest_minor
        into found from control.waiting_charge(wanted_freeze_id);
    else
        select account_id, currency_code, rest_minor
        into found from control.freeze_rest(wanted_freeze_id);
    end if;
    if found.account_id is null then
        raise exception 'nothing of % can be ended: it is not in force, or waits for nothing',
            wanted_freeze_id
        using errcode = 'restrict_violation', hint = 'tieout freezes list';
    end if;
    insert into control.freeze_requests (
        action, freeze_id, account_id, currency_code, amount_minor, effective_on, reason,
        requested_by, signed_by_login
    )
    values (
        wanted_action, wanted_freeze_id, found.account_id, found.currency_code,
        coalesce(wanted_amount_minor, found.rest_minor), taking_effect_on, btrim(given_reason),
        asking, control.signing_login()
    )
    returning * into request;
    perform control.refuse_freeze_end(request);
    return request.request_id;
end
$body$;
comment on function control.request_freeze_end(text, text, bigint, date, text, text) is
'The first of two people asks to release a freeze, or to write a charge off (解冻、核销申请).';

create function control.approve_freeze(wanted_request_id bigint, typed_name text default null)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    request control.freeze_requests;
    approver text;
begin
    -- One at a time of a freeze, so that two releases together never exceed it.
    lock table control.freeze_approvals in share row exclusive mode;
    select * into request from control.freeze_requests where request_id = wanted_request_id;
    if request.request_id is null then
        raise exception 'nobody asked for decision % about freezes', wanted_request_id
        using errcode = 'restrict_violation', hint = 'tieout freezes decisions';
    end if;
    approver := control.deciding_person(typed_name);
    if control.person_key(approver) = control.person_key(request.requested_by) then
        raise exception 'request % is of %: it takes two different people', wanted_request_id,
            request.requested_by
        using errcode = 'restrict_violation', hint = 'Ask a second person.';
    end if;
    if exists (select 1 from control.freeze_approvals where request_id = wanted_request_id) then
        raise exception 'request % is approved already', wanted_request_id
        using errcode = 'restrict_violation', hint = 'tieout freezes decisions';
    end if;
    perform reconciliation.require_open_date(request.effective_on);
    perform control.refuse_freeze_end(request);
    -- To freeze lets nothing pass; to release, or to write off, does.
    perform control.require_limit(
        'freeze', approver, request.currency_code,
        case request.action when 'freeze' then 0 else request.amount_minor end
    );
    insert into control.freeze_approvals (request_id, approved_by, signed_by_login)
    values (wanted_request_id, approver, control.signing_login());
    return wanted_request_id;
end
$body$;
comment on function control.approve_freeze(bigint, text) is
'The second person decides about a freeze what the first has asked for (冻结解冻复核).';
"""

# A decision counts from its date on; the gate of each later date reads it again.
INPUTS = r"""
create function control.gate_input_freezes(wanted_payment_date date)
returns table (input_kind text, input_key text, content text)
language sql
stable
set search_path = pg_catalog
as $body$
    select
        'people' as input_kind,
        'control.freeze_requests' as input_key,
        encode(
            sha256(
                convert_to(
                    coalesce(
                        string_agg(
                            format(
                                '%s|%s|%s|%s|%s|%s|%s',
                                requests.request_id, requests.action, requests.freeze_id,
                                requests.amount_minor,
                                to_char(requests.effective_on, 'YYYY-MM-DD'),
                                to_char(requests.effective_to, 'YYYY-MM-DD'),
                                approvals.approved_by
                            ),
                            E'\n' order by requests.request_id
                        ),
                        ''
                    ),
                    'UTF8'
                )
            ),
            'hex'
        ) as content
    from control.freeze_requests as requests
    inner join control.freeze_approvals as approvals on requests.request_id = approvals.request_id
    where requests.effective_on <= wanted_payment_date
$body$;
comment on function control.gate_input_freezes(date) is
'What people decided about freezes, as a gate of the date reads it (闸门输入).';

create or replace function control.gate_inputs(wanted_payment_date date)
returns table (input_kind text, input_key text, content text)
language sql
stable
set search_path = pg_catalog
as $body$
    select * from control.gate_input_files(wanted_payment_date)
    union all
    select * from control.gate_input_closes(wanted_payment_date)
    union all
    select * from control.gate_input_people(wanted_payment_date)
    union all
    select * from control.gate_input_decisions(wanted_payment_date)
    union all
    select * from control.gate_input_freezes(wanted_payment_date)
    union all
    select * from control.gate_input_reference()
    union all
    select * from control.gate_input_expectations()
$body$;
"""

# A table that an earlier version built gets what its contract has now; only new dates fill it.
# What stood frozen by the platform's file goes on as it was.
COMPUTED = """
do $$
begin
    if to_regclass('settlement.freezes') is not null then
        alter table settlement.freezes
            alter column snapshot_date drop not null,
            add column source text not null default 'platform',
            add column freeze_kind text not null default 'judicial',
            add column order_number text,
            add column issued_by text,
            add column settlement_session_type text,
            add column ordered_amount_minor bigint not null default 0,
            add column delivered_release_amount_minor bigint not null default 0,
            add column decided_release_amount_minor bigint not null default 0;
        update settlement.freezes
        set
            ordered_amount_minor = frozen_amount_minor,
            freeze_kind = case reason_code when 'court_order' then 'judicial' else 'risk' end;
        alter table settlement.freezes
            alter column source drop default,
            alter column freeze_kind drop default,
            alter column ordered_amount_minor drop default,
            alter column delivered_release_amount_minor drop default,
            alter column decided_release_amount_minor drop default;
    end if;
end
$$
"""

APPEND_ONLY = """
create trigger {name}_append_only
before update or delete on {table}
for each row execute function control.refuse_change();
create trigger {name}_no_truncate
before truncate on {table}
for each statement execute function control.refuse_change();
"""
KEPT = ("control.freeze_requests", "control.freeze_approvals")

RIGHTS = """
revoke execute on function
    control.freeze_rest(text),
    control.waiting_charge(text),
    control.refuse_freeze_end(control.freeze_requests),
    control.request_freeze(
        text, text, text, bigint, text, text, text, date, date, text, text
    ),
    control.request_freeze_end(text, text, bigint, date, text, text),
    control.approve_freeze(bigint, text)
from public;
grant execute on function
    control.request_freeze(
        text, text, text, bigint, text, text, text, date, date, text, text
    ),
    control.request_freeze_end(text, text, bigint, date, text, text),
    control.approve_freeze(bigint, text)
to tieout_people;
grant select on control.freeze_requests, control.freeze_approvals
to tieout_people, tieout_finance, tieout_gate, tieout_payout, tieout_ingest, tieout_transform;
"""


def upgrade() -> None:
    """Give the platform's freezes their columns, and people their decisions about them."""
    op.execute(DELIVERED)
    op.execute(TABLES)
    op.execute(REST)
    op.execute(DECISIONS)
    op.execute(INPUTS)
    op.execute(COMPUTED)
    for table in KEPT:
        op.execute(APPEND_ONLY.format(table=table, name=table.partition(".")[2]))
    op.execute(RIGHTS)
