"""Disputes are cases: what people decide about them, and the orders that leave for a channel.

A representment was bounded by all that had been given back of its sale: one beyond its chargeback
paid a merchant its refunds again. The register of what was given back knows each movement's kind
and account now. What two people decide about a case (an answer, an order to represent, that we
fight no more, that the channel refused an order) are functions of the owner; an order leaves once.
"""

from __future__ import annotations

from alembic import op

revision = "0045"
down_revision = "0044"
branch_labels = None
depends_on = None

# What is registered stays; what kind of adjustment it was is in its entry.
MOVEMENTS = """
alter table clearing.original_movements
add column adjustment_type text,
add column account_id text;
comment on column clearing.original_movements.adjustment_type is
'Kind of the adjustment that moved it; null for a voucher (差错类型).';
comment on column clearing.original_movements.account_id is
'Account that bore it or got it back (结算账户).';
do $$
begin
    if to_regclass('clearing.clearing_entries') is not null then
        alter table clearing.original_movements disable trigger user;
        update clearing.original_movements as movements
        set adjustment_type = entries.transaction_type, account_id = entries.account_id
        from clearing.clearing_entries as entries
        where
            movements.movement_kind = 'adjustment'
            and entries.accounting_date = movements.accounting_date
            and entries.entry_id = movements.movement_id;
        alter table clearing.original_movements enable trigger user;
    end if;
    if to_regclass('clearing.channel_adjustments') is not null then
        alter table clearing.channel_adjustments
        drop constraint if exists adjustments_suspended_reason,
        add constraint adjustments_suspended_reason check (
            suspended_reason is null
            or (
                disposition = 'suspended'
                and suspended_reason in (
                    'unknown_original', 'above_original', 'no_contract', 'beyond_chargeback',
                    'not_represented', 'case_final', 'case_accepted', 'after_suspended'
                )
            )
        );
    end if;
    if to_regclass('reference.adjustment_types') is not null then
        alter table reference.adjustment_types drop column if exists reply_days;
    end if;
end
$$
"""

TABLES = """
create table control.case_decisions (
    decision_id bigint generated always as identity primary key,
    decision_kind text not null
        check (decision_kind in ('answer', 'represent', 'accept', 'refused')),
    case_id text not null check (case_id ~ '^C[VA]:.'),
    channel text not null,
    currency_code text not null,
    -- What the channel shall give back, or what is given up; an answer moves nothing.
    amount_minor bigint not null check (amount_minor >= 0),
    record_id text not null,
    evidence_name text check (evidence_name ~ '^[A-Za-z0-9._-]{1,80}$'),
    evidence_sha256 text check (evidence_sha256 ~ '^[0-9a-f]{64}$'),
    effective_on date not null,
    reason text not null check (btrim(reason) <> ''),
    requested_by text not null check (control.person_key(requested_by) <> ''),
    requested_at timestamptz not null default now(),
    signed_by_login text not null default session_user,
    constraint evidence_where_we_speak check (
        (decision_kind in ('answer', 'represent')) = (evidence_sha256 is not null)
        and (evidence_sha256 is null) = (evidence_name is null)
    )
);
create index case_decisions_by_case on control.case_decisions (case_id);
create index case_decisions_by_date on control.case_decisions (effective_on);
comment on table control.case_decisions is
'What a person asks to be done about a case (案件处理申请).';

create table control.case_approvals (
    decision_id bigint primary key references control.case_decisions (decision_id),
    case_id text not null,
    effective_on date not null,
    approved_by text not null check (control.person_key(approved_by) <> ''),
    approved_at timestamptz not null default now(),
    signed_by_login text not null default session_user,
    -- Two decisions of one date about one case would need an order that nobody gave.
    unique (case_id, effective_on)
);
comment on table control.case_approvals is
'The second person, without whom nothing is decided about a case (案件处理复核).';

create table control.case_order_files (
    order_file_id bigint generated always as identity primary key,
    channel text not null,
    business_date date not null,
    file_no integer not null check (file_no > 0),
    file_name text not null unique,
    sha256 text not null check (sha256 ~ '^[0-9a-f]{64}$'),
    recorded_at timestamptz not null default now(),
    unique (channel, business_date, file_no)
);
comment on table control.case_order_files is
'Files of orders that left for a channel; on record before one can fetch it (案件指令文件).';

create table control.case_orders (
    decision_id bigint primary key references control.case_approvals (decision_id),
    order_file_id bigint not null references control.case_order_files (order_file_id),
    line_number integer not null check (line_number > 1),
    unique (order_file_id, line_number)
);
comment on table control.case_orders is
'Which file an order left in: each leaves once (案件指令).';
"""

FUNCTIONS = """
create function control.check_case_decision(
    wanted_kind text, wanted_case_id text, wanted_amount_minor bigint, effective_on date
) returns record
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    latest_close date;
    found record;
begin
    if to_regclass('clearing.cases') is null then
        raise exception 'there is no case %', wanted_case_id
        using errcode = 'restrict_violation', hint = 'tieout close DATE makes cases.';
    end if;
    select max(accounting_date)
    into latest_close
    from control.accounting_days
    where state in ('closed', 'sealed');
    select
        cases.channel,
        cases.currency_code,
        cases.status,
        cases.is_request_open,
        cases.due_on,
        cases.disputed_minor,
        targets.record_id,
        latest_order.decision_id as ordered_by,
        latest_order.order_file_id
    into found
    from clearing.cases
    cross join lateral (
        values (
            case wanted_kind
                when 'answer' then cases.request_record_id
                when 'refused' then (
                    select decisions.record_id
                    from control.case_decisions as decisions
                    inner join control.case_orders as sent
                        on decisions.decision_id = sent.decision_id
                    where decisions.case_id = cases.case_id
                    order by decisions.decision_id desc
                    limit 1
                )
                else cases.status_record_id
            end
        )
    ) as targets (record_id)
    left join lateral (
        select
            decisions.decision_id,
            sent.order_file_id
        from control.case_decisions as decisions
        inner join control.case_approvals as approvals
            on decisions.decision_id = approvals.decision_id
        left join control.case_orders as sent on decisions.decision_id = sent.decision_id
        where
            decisions.case_id = cases.case_id
            and decisions.record_id = targets.record_id
            and decisions.decision_kind <> 'refused'
            -- What the channel refused may be ordered again.
            and not exists (
                select 1
                from control.case_decisions as refusals
                inner join control.case_approvals as approved
                    on refusals.decision_id = approved.decision_id
                where
                    refusals.case_id = cases.case_id
                    and refusals.record_id = decisions.record_id
                    and refusals.decision_kind = 'refused'
                    and refusals.decision_id > decisions.decision_id
            )
        order by decisions.decision_id desc
        limit 1
    ) as latest_order on true
    where cases.accounting_date = latest_close and cases.case_id = wanted_case_id;
    if found.status is null then
        raise exception 'the latest close knows no case %', wanted_case_id
        using errcode = 'restrict_violation', hint = 'tieout cases list';
    end if;
    if wanted_kind = 'refused' then
        if found.order_file_id is null then
            raise exception 'no order of case % is out: nothing can be refused', wanted_case_id
            using errcode = 'restrict_violation', hint = 'tieout cases show CASE';
        end if;
    elsif found.ordered_by is not null then
        raise exception 'case % has decision % already', wanted_case_id, found.ordered_by
        using errcode = 'restrict_violation', hint = 'tieout cases show CASE';
    elsif not (
        case wanted_kind
            when 'answer' then found.is_request_open
            when 'represent' then found.status = 'charged_back'
            else found.status in ('requested', 'overdue', 'charged_back')
        end
    ) then
        raise exception 'case % is %: % is not what comes next', wanted_case_id, found.status,
            wanted_kind
        using errcode = 'restrict_violation', hint = 'tieout cases show CASE';
    end if;
    if wanted_kind = 'represent' then
        if found.due_on < effective_on then
            raise exception 'case % was due on %: it is represented no more', wanted_case_id,
                found.due_on
            using errcode = 'restrict_violation', hint = 'tieout cases show CASE';
        end if;
        if coalesce(wanted_amount_minor, 0) not between 1 and found.disputed_minor then
            raise exception 'case % can be represented by 1 to % minor units, not by %',
                wanted_case_id, found.disputed_minor, wanted_amount_minor
            using errcode = 'restrict_violation', hint = 'No more than was charged back.';
        end if;
    end if;
    return found;
end
$body$;
comment on function control.check_case_decision(text, text, bigint, date) is
'Refuses what does not come next in a case, as of the latest close (案件处理校验).';

create function control.request_case(
    wanted_kind text,
    wanted_case_id text,
    wanted_amount_minor bigint,
    given_evidence_name text,
    given_evidence_sha256 text,
    taking_effect_on date,
    given_reason text,
    typed_name text default null
) returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    found record;
    stored_id bigint;
begin
    perform reconciliation.require_open_date(taking_effect_on);
    found := control.check_case_decision(
        wanted_kind, wanted_case_id, wanted_amount_minor, taking_effect_on
    );
    insert into control.case_decisions (
        decision_kind, case_id, channel, currency_code, amount_minor, record_id, evidence_name,
        evidence_sha256, effective_on, reason, requested_by, signed_by_login
    )
    values (
        wanted_kind,
        wanted_case_id,
        found.channel,
        found.currency_code,
        case wanted_kind
            when 'represent' then wanted_amount_minor
            when 'accept' then greatest(found.disputed_minor, 0)
            else 0
        end,
        found.record_id,
        given_evidence_name,
        given_evidence_sha256,
        taking_effect_on,
        btrim(given_reason),
        control.deciding_person(typed_name),
        control.signing_login()
    )
    returning decision_id into stored_id;
    return stored_id;
end
$body$;
comment on function control.request_case(text, text, bigint, text, text, date, text, text) is
'The first of two people asks for a decision about a case (案件处理申请).';

create function control.approve_case(wanted_decision_id bigint, typed_name text default null)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    decision control.case_decisions;
    found record;
    approver text;
begin
    select * into decision from control.case_decisions where decision_id = wanted_decision_id;
    if decision.decision_id is null then
        raise exception 'nobody asked for decision % about a case', wanted_decision_id
        using errcode = 'restrict_violation', hint = 'tieout cases decisions';
    end if;
    approver := control.deciding_person(typed_name);
    if control.person_key(approver) = control.person_key(decision.requested_by) then
        raise exception 'decision % was asked for by %: another person has to approve it',
            wanted_decision_id, decision.requested_by
        using errcode = 'restrict_violation', hint = 'Ask a second person.';
    end if;
    perform control.require_limit(
        'case', approver, decision.currency_code, decision.amount_minor
    );
    perform reconciliation.require_open_date(decision.effective_on);
    -- Two approvals of one case queue here, so that the second sees the first.
    perform pg_advisory_xact_lock(hashtext('case ' || decision.case_id));
    found := control.check_case_decision(
        decision.decision_kind, decision.case_id, decision.amount_minor, decision.effective_on
    );
    if found.record_id is distinct from decision.record_id then
        raise exception 'decision % is about an earlier record of case %', wanted_decision_id,
            decision.case_id
        using errcode = 'restrict_violation', hint = 'Ask again: tieout cases show CASE.';
    end if;
    insert into control.case_approvals (
        decision_id, case_id, effective_on, approved_by, signed_by_login
    )
    values (
        decision.decision_id, decision.case_id, decision.effective_on, approver,
        control.signing_login()
    );
end
$body$;
comment on function control.approve_case(bigint, text) is
'The second person approves a decision about a case (案件处理复核).';

create function control.case_orders_to_send(wanted_channel text)
returns setof control.case_decisions
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $body$
begin
    if to_regclass('clearing.cases') is null then
        return;
    end if;
    return query
    select decisions.*
    from control.case_decisions as decisions
    inner join control.case_approvals as approvals
        on decisions.decision_id = approvals.decision_id
    left join control.case_orders as sent on decisions.decision_id = sent.decision_id
    -- A record that came since has ended what the order is about.
    inner join clearing.cases
        on
            decisions.case_id = cases.case_id
            and decisions.record_id = case decisions.decision_kind
                when 'answer' then cases.request_record_id
                else cases.status_record_id
            end
    where
        cases.accounting_date = (
            select max(days.accounting_date)
            from control.accounting_days as days
            where days.state in ('closed', 'sealed')
        )
        and decisions.channel = wanted_channel
        and decisions.decision_kind in ('answer', 'represent')
        and sent.decision_id is null
    order by decisions.decision_id;
end
$body$;
comment on function control.case_orders_to_send(text) is
'Approved orders of a channel that have not left, and that no record has ended (待发案件指令).';

create function control.record_case_orders(
    wanted_channel text,
    wanted_date date,
    wanted_file_no integer,
    wanted_name text,
    wanted_sha256 text,
    decision_ids bigint[]
) returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    stored_id bigint;
    ready bigint[];
begin
    perform pg_advisory_xact_lock(hashtext('case orders ' || wanted_channel));
    select array_agg(orders.decision_id order by orders.decision_id)
    into ready
    from control.case_orders_to_send(wanted_channel) as orders;
    if ready is distinct from decision_ids then
        raise exception 'the orders of % changed while their file was written', wanted_channel
        using errcode = 'restrict_violation', hint = 'Run tieout cases send again.';
    end if;
    if wanted_file_no is distinct from (
        select coalesce(max(files.file_no), 0) + 1
        from control.case_order_files as files
        where files.channel = wanted_channel and files.business_date = wanted_date
    ) then
        raise exception 'file % of % for % is not the next one', wanted_file_no, wanted_channel,
            wanted_date
        using errcode = 'restrict_violation', hint = 'Run tieout cases send again.';
    end if;
    insert into control.case_order_files (channel, business_date, file_no, file_name, sha256)
    values (wanted_channel, wanted_date, wanted_file_no, wanted_name, wanted_sha256)
    returning order_file_id into stored_id;
    insert into control.case_orders (decision_id, order_file_id, line_number)
    select ordered.decision_id, stored_id, ordered.place + 1
    from unnest(decision_ids) with ordinality as ordered (decision_id, place);
    return stored_id;
end
$body$;
comment on function control.record_case_orders(text, date, integer, text, text, bigint[]) is
'Puts a file of orders on record before anybody can fetch it (案件指令登记).';
"""

APPEND_ONLY = """
create trigger {name}_append_only
before update or delete on control.{name}
for each row execute function control.refuse_change();
create trigger {name}_no_truncate
before truncate on control.{name}
for each statement execute function control.refuse_change();
"""

RIGHTS = """
revoke execute on function
    control.check_case_decision(text, text, bigint, date),
    control.request_case(text, text, bigint, text, text, date, text, text),
    control.approve_case(bigint, text),
    control.case_orders_to_send(text),
    control.record_case_orders(text, date, integer, text, text, bigint[])
from public;
grant execute on function
    control.request_case(text, text, bigint, text, text, date, text, text),
    control.approve_case(bigint, text),
    control.record_case_orders(text, date, integer, text, text, bigint[])
to tieout_people;
grant execute on function control.case_orders_to_send(text)
to tieout_people, tieout_finance, tieout_gate, tieout_payout, tieout_ingest, tieout_transform;
grant select on
    control.case_decisions,
    control.case_approvals,
    control.case_order_files,
    control.case_orders
to tieout_people, tieout_finance, tieout_gate, tieout_payout, tieout_ingest, tieout_transform;
"""


def upgrade() -> None:
    """Tell movements' kinds, and keep what people decide about cases."""
    op.execute(MOVEMENTS)
    op.execute(TABLES)
    op.execute(FUNCTIONS)
    for name in ("case_decisions", "case_approvals", "case_order_files", "case_orders"):
        op.execute(APPEND_ONLY.format(name=name))
    op.execute(RIGHTS)
