"""Own money and client money: transfers between client reserve and own funds, and entries by hand.

Two people ask for a sweep (own money that was earned leaves the client reserve), a top-up (own
funds cover it) or an entry of the bank journal (补录). A sweep takes no more than what a payment
date has found to be ours in the reserve. The platform's advances may say that they failed.
"""

from __future__ import annotations

from alembic import op

revision = "0049"
down_revision = "0048"
branch_labels = None
depends_on = None

DELIVERED = """
alter table raw.platform_advances
    add column advance_status text check (advance_status in ('paid', 'failed'));
comment on column raw.platform_advances.advance_status is
'paid, or failed: the money did not reach the merchant; null: paid (垫款状态).';
alter table raw_versions.platform_advances add column advance_status text;
"""

TABLES = """
create table control.own_money_requests (
    request_id bigint generated always as identity primary key,
    request_no text not null unique generated always as (
        'OM' || case
            when request_id < 1000000 then lpad(request_id::text, 6, '0')
            else request_id::text
        end
    ) stored,
    entry_kind text not null
        check (entry_kind in ('fee_sweep', 'own_funds_top_up', 'manual_entry')),
    bank_account_id text,
    bank_reference text check (btrim(bank_reference) <> ''),
    booked_as text
        check (booked_as in ('own_capital', 'bank_charge', 'claim_on_bank', 'own_transfer')),
    currency_code text not null check (currency_code ~ '^[A-Z]{3}$'),
    amount_minor bigint not null check (amount_minor <> 0),
    effective_on date not null,
    expected_on date not null,
    reason text not null check (btrim(reason) <> ''),
    requested_by text not null check (control.person_key(requested_by) <> ''),
    requested_at timestamptz not null default now(),
    signed_by_login text not null,
    constraint an_entry_says_where_and_what check (
        case entry_kind
            when 'manual_entry'
                then bank_account_id is not null
                    and bank_reference is not null
                    and booked_as is not null
            else coalesce(bank_account_id, bank_reference, booked_as) is null
        end
    ),
    constraint a_transfer_is_above_zero check (entry_kind = 'manual_entry' or amount_minor > 0)
);
create index own_money_requests_by_date on control.own_money_requests (effective_on);
comment on table control.own_money_requests is
'Transfers between client reserve and own funds, and entries of the bank journal by hand, as one
person asks for them (自有资金划转与补录申请). Append-only.';

create table control.own_money_approvals (
    request_id bigint primary key references control.own_money_requests (request_id),
    approved_by text not null check (control.person_key(approved_by) <> ''),
    approved_at timestamptz not null default now(),
    signed_by_login text not null
);
comment on table control.own_money_approvals is
'The second person, without whom nothing is transferred or entered (自有资金划转与补录复核).
Append-only.';
"""

# What is ours in the reserve by the latest payment date, less what was ordered since. The computed
# table is there once a payment date was built; names are looked up when the function runs.
DECISIONS = """
create function control.sweepable_minor(wanted_currency text) returns bigint
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    found record;
begin
    if to_regclass('gate.sweepable_funds') is null then
        return 0;
    end if;
    select funds.payment_date, funds.sweepable_amount_minor
    into found
    from gate.sweepable_funds as funds
    where
        funds.currency_code = wanted_currency
        and funds.payment_date = (
            select max(latest.payment_date) from gate.sweepable_funds as latest
        );
    if found.payment_date is null then
        return 0;
    end if;
    -- What the bank journal of that payment date did not know of yet.
    return found.sweepable_amount_minor - coalesce(
        (
            select sum(requests.amount_minor)
            from control.own_money_requests as requests
            inner join control.own_money_approvals as approvals using (request_id)
            where
                requests.entry_kind = 'fee_sweep'
                and requests.currency_code = wanted_currency
                and not exists (
                    select 1
                    from ledger.bank_journal as known
                    where
                        known.payment_date <= found.payment_date
                        and known.bank_journal_entry_id
                        = 'fee_sweep:' || requests.request_no || ':' || 'client_reserve'
                )
        ),
        0
    );
end
$body$;
comment on function control.sweepable_minor(text) is
'What of the client reserve two people may still sweep to own funds, minor units (可划出自有资金).';

create function control.refuse_own_money(request control.own_money_requests) returns void
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    sweepable bigint;
    kind text;
begin
    perform reconciliation.require_open_date(request.effective_on);
    if request.entry_kind = 'fee_sweep' then
        sweepable := control.sweepable_minor(request.currency_code);
        if request.amount_minor > sweepable then
            raise exception 'of the client reserve % minor units may be swept, not %',
                greatest(sweepable, 0), request.amount_minor
            using errcode = 'restrict_violation', hint = 'tieout own-money list';
        end if;
    elsif request.entry_kind = 'manual_entry' then
        select accounts.account_kind
        into kind
        from reference.bank_accounts as accounts
        where
            accounts.bank_account_id = request.bank_account_id
            and accounts.currency_code = request.currency_code;
        if kind is null then
            raise exception '% in % is no account of ours', request.bank_account_id,
                request.currency_code
            using errcode = 'restrict_violation', hint = 'reference.bank_accounts';
        end if;
        -- Own money comes into the reserve and leaves it by top-up and sweep alone.
        if request.booked_as = 'own_capital' and kind <> 'own_funds' then
            raise exception 'own capital is put into own funds, not into %',
                request.bank_account_id
            using errcode = 'restrict_violation', hint = 'tieout own-money top-up';
        end if;
        if request.booked_as = 'own_transfer' and kind = 'client_reserve' then
            raise exception 'nothing is transferred from or to the client reserve by hand'
            using
                errcode = 'restrict_violation',
                hint = 'tieout own-money sweep or top-up';
        end if;
    end if;
end
$body$;

create function control.request_own_money(
    wanted_kind text,
    wanted_account_id text,
    wanted_reference text,
    wanted_booking text,
    wanted_currency text,
    wanted_amount_minor bigint,
    taking_effect_on date,
    expecting_on date,
    given_reason text,
    typed_name text default null
) returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    asking text;
    request control.own_money_requests;
begin
    asking := control.deciding_person(typed_name);
    insert into control.own_money_requests (
        entry_kind, bank_account_id, bank_reference, booked_as, currency_code, amount_minor,
        effective_on, expected_on, reason, requested_by, signed_by_login
    )
    values (
        wanted_kind, wanted_account_id, btrim(wanted_reference), wanted_booking, wanted_currency,
        wanted_amount_minor, taking_effect_on, expecting_on, btrim(given_reason), asking,
        control.signing_login()
    )
    returning * into request;
    perform control.refuse_own_money(request);
    return request.request_id;
end
$body$;
comment on function control.request_own_money(
    text, text, text, text, text, bigint, date, date, text, text
) is 'The first of two people asks for a transfer or an entry (自有资金划转与补录申请).';

create function control.approve_own_money(wanted_request_id bigint, typed_name text default null)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    request control.own_money_requests;
    approver text;
begin
    -- One at a time, so that two sweeps together never exceed what is ours.
    lock table control.own_money_approvals in share row exclusive mode;
    select * into request from control.own_money_requests where request_id = wanted_request_id;
    if request.request_id is null then
        raise exception 'nobody asked for decision % about own money', wanted_request_id
        using errcode = 'restrict_violation', hint = 'tieout own-money decisions';
    end if;
    approver := control.deciding_person(typed_name);
    if control.person_key(approver) = control.person_key(request.requested_by) then
        raise exception 'request % is of %: it takes two different people', wanted_request_id,
            request.requested_by
        using errcode = 'restrict_violation', hint = 'Ask a second person.';
    end if;
    if exists (select 1 from control.own_money_approvals where request_id = wanted_request_id) then
        raise exception 'request % is approved already', wanted_request_id
        using errcode = 'restrict_violation', hint = 'tieout own-money decisions';
    end if;
    perform control.refuse_own_money(request);
    perform control.require_limit(
        'own_money', approver, request.currency_code, abs(request.amount_minor)
    );
    insert into control.own_money_approvals (request_id, approved_by, signed_by_login)
    values (wanted_request_id, approver, control.signing_login());
    return wanted_request_id;
end
$body$;
comment on function control.approve_own_money(bigint, text) is
'The second person decides about own money what the first has asked for (自有资金划转与补录复核).';
"""

# A decision counts from its date on; the gate of each later date reads it again. The list of inputs
# is taken as it stands, whatever another migration has added to it.
INPUTS = r"""
create function control.gate_input_own_money(wanted_payment_date date)
returns table (input_kind text, input_key text, content text)
language sql
stable
set search_path = pg_catalog
as $body$
    select
        'people' as input_kind,
        'control.own_money_requests' as input_key,
        encode(
            sha256(
                convert_to(
                    coalesce(
                        string_agg(
                            format(
                                '%s|%s|%s|%s|%s|%s|%s|%s',
                                requests.request_no, requests.entry_kind,
                                requests.bank_account_id, requests.bank_reference,
                                requests.booked_as, requests.amount_minor,
                                to_char(requests.effective_on, 'YYYY-MM-DD'),
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
    from control.own_money_requests as requests
    inner join control.own_money_approvals as approvals
        on requests.request_id = approvals.request_id
    where requests.effective_on <= wanted_payment_date
$body$;
comment on function control.gate_input_own_money(date) is
'What people decided about own money, as a gate of the date reads it (闸门输入).';

do $$
begin
    execute replace(
        pg_get_functiondef('control.gate_inputs(date)'::regprocedure),
        'select * from control.gate_input_reference()',
        E'select * from control.gate_input_own_money(wanted_payment_date)\n'
        || E'    union all\n    select * from control.gate_input_reference()'
    );
end
$$;
"""

# What a posting may come from; a home of before its first load has no table yet.
POSTING_SOURCES = """
do $$
begin
    if exists (
        select 1
        from pg_constraint
        where conrelid = to_regclass('ledger.postings') and conname = 'posting_source'
    ) then
        alter table ledger.postings drop constraint posting_source;
        alter table ledger.postings add constraint posting_source check (
            case source_kind
                when 'file_line' then file_id is not null and line_number is not null
                when 'action' then decision_id is not null
                when 'bank_line_decision' then decision_id is not null
                when 'term_change' then decision_id is not null
                when 'credit_note' then decision_id is not null
                when 'own_money' then decision_id is not null
                else source_kind in (
                    'payout_event', 'statement', 'channel_totals', 'fee_bill', 'collection_event',
                    'not_recorded'
                )
            end
        );
    end if;
end
$$;
"""

# Tables that an earlier version built get what their contracts have now; only new dates fill them.
COMPUTED = """
do $$
declare
    changed record;
begin
    for changed in
        select conrelid::regclass as name, conname, pg_get_constraintdef(oid) as definition
        from pg_constraint
        where
            (conrelid = to_regclass('ledger.bank_journal') and conname = 'bank_journal_kind')
            or (
                conrelid = to_regclass('reconciliation.bank_match_lines')
                and conname = 'bank_match_lines_kind'
            )
    loop
        execute format('alter table %s drop constraint %I', changed.name, changed.conname);
        execute format(
            'alter table %s add constraint %I %s', changed.name, changed.conname,
            replace(
                changed.definition,
                '''period_fee''::text',
                '''period_fee''::text, ''advance''::text, ''advance_failed''::text, '
                || '''fee_sweep''::text, ''own_funds_top_up''::text, ''manual_entry''::text'
            )
        );
    end loop;
    if exists (
        select 1
        from pg_constraint
        where
            conrelid = to_regclass('ledger.bank_journal')
            and conname = 'bank_journal_source'
    ) then
        alter table ledger.bank_journal drop constraint bank_journal_source;
        alter table ledger.bank_journal add constraint bank_journal_source check (
            (entry_kind = 'channel_arrival') = (arrival_group_id is not null)
            and (
                entry_kind in (
                    'channel_arrival', 'period_fee', 'advance', 'advance_failed', 'fee_sweep',
                    'own_funds_top_up', 'manual_entry'
                )
            ) = (attempt_id is null)
        );
    end if;
    if exists (
        select 1
        from pg_constraint
        where conrelid = to_regclass('settlement.advances') and conname = 'advances_signs'
    ) then
        alter table settlement.advances drop constraint advances_signs;
        alter table settlement.advances add constraint advances_signs check (
            sign(principal_amount_minor) * sign(advance_fee_amount_minor) >= 0
        );
        alter table settlement.advances add column stated_fee_amount_minor bigint;
    end if;
    if to_regclass('settlement.settlement_statements') is not null then
        alter table settlement.settlement_statements
            drop constraint if exists statements_advance_fee;
    end if;
    if to_regclass('gate.reserve_proof') is not null then
        alter table gate.reserve_proof
            add column own_funds_amount_minor bigint,
            add column booked_own_funds_amount_minor bigint not null default 0,
            add column own_funds_difference_minor bigint not null default 0,
            add column topped_up_amount_minor bigint not null default 0;
        alter table gate.reserve_proof
            alter column booked_own_funds_amount_minor drop default,
            alter column own_funds_difference_minor drop default,
            alter column topped_up_amount_minor drop default;
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
KEPT = ("control.own_money_requests", "control.own_money_approvals")

RIGHTS = """
revoke execute on function
    control.sweepable_minor(text),
    control.refuse_own_money(control.own_money_requests),
    control.request_own_money(
        text, text, text, text, text, bigint, date, date, text, text
    ),
    control.approve_own_money(bigint, text)
from public;
grant execute on function
    control.sweepable_minor(text),
    control.request_own_money(
        text, text, text, text, text, bigint, date, date, text, text
    ),
    control.approve_own_money(bigint, text)
to tieout_people;
grant select on control.own_money_requests, control.own_money_approvals
to tieout_people, tieout_finance, tieout_gate, tieout_payout, tieout_ingest, tieout_transform;
"""


def upgrade() -> None:
    """Give people their decisions about own money, and advances their failure."""
    op.execute(DELIVERED)
    op.execute(TABLES)
    op.execute(DECISIONS)
    op.execute(INPUTS)
    op.execute(POSTING_SOURCES)
    op.execute(COMPUTED)
    for table in KEPT:
        op.execute(APPEND_ONLY.format(table=table, name=table.partition(".")[2]))
    op.execute(RIGHTS)
