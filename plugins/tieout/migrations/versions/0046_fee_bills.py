"""Fee bills stand once, with their lines, and are collected by direct debit.

A bill was a sum that each payment date computed anew. Now the owner's functions make it from sealed
clearing entries: numbered, each entry in one bill for ever. They order each collection once, take
the bank's answers, and book as collected only what a landed line of the fee account says. Mandates
and credit notes are decisions of two people.
"""

from __future__ import annotations

from alembic import op

revision = "0046"
down_revision = "0045"
branch_labels = None
depends_on = None

BILLS = """
create table settlement.fee_periods (
    fee_period text primary key check (fee_period ~ '^[0-9]{4}-(0[1-9]|1[0-2])$'),
    issued_on date not null,
    bill_count integer not null check (bill_count >= 0)
);
comment on table settlement.fee_periods is
'Months whose fee bills were made (已出账账期). Append-only.';

create table settlement.issued_bills (
    bill_no integer primary key check (bill_no > 0),
    fee_period text not null references settlement.fee_periods (fee_period),
    account_id text not null,
    currency_code text not null,
    line_count integer not null check (line_count > 0),
    fee_amount_minor bigint not null,
    credit_brought_minor bigint not null check (credit_brought_minor <= 0),
    due_amount_minor bigint not null
        check (due_amount_minor = greatest(fee_amount_minor + credit_brought_minor, 0)),
    credit_carried_minor bigint not null
        check (credit_carried_minor = least(fee_amount_minor + credit_brought_minor, 0)),
    issued_on date not null,
    due_on date not null check (due_on >= issued_on),
    collection_method text not null check (collection_method in ('direct_debit', 'invoice')),
    unique (fee_period, account_id, currency_code)
);
create index issued_bills_by_account
on settlement.issued_bills (account_id, currency_code, bill_no);
comment on table settlement.issued_bills is
'Fee bills as they were made, numbered without a gap (手续费账单登记). Append-only.';

create table settlement.billed_fees (
    accounting_date date not null,
    entry_id text not null,
    bill_no integer not null references settlement.issued_bills (bill_no),
    fee_amount_minor bigint not null check (fee_amount_minor <> 0),
    primary key (accounting_date, entry_id)
);
create index billed_fees_by_bill on settlement.billed_fees (bill_no);
comment on table settlement.billed_fees is
'Which bill asks for the fee of a clearing entry: one, for ever (手续费账单明细登记). Append-only.';

create table settlement.mandate_requests (
    mandate_id bigint generated always as identity primary key,
    account_id text not null,
    currency_code text not null,
    mandate_reference text not null check (mandate_reference ~ '^[A-Za-z0-9-]{1,35}$'),
    signed_on date not null,
    effective_from date not null check (effective_from >= signed_on),
    payee_id text not null,
    payee_version integer not null,
    account_number_token text not null,
    requested_by text not null check (control.person_key(requested_by) <> ''),
    signed_by_login text not null default session_user,
    requested_at timestamptz not null default now(),
    foreign key (payee_id, payee_version)
        references control.payee_versions (payee_id, payee_version)
);
comment on table settlement.mandate_requests is
'Mandates to debit a merchant''s account, as a person entered them (代扣授权登记). Append-only.';

create table settlement.mandate_approvals (
    mandate_id bigint primary key references settlement.mandate_requests (mandate_id),
    known_from date not null,
    approved_by text not null check (control.person_key(approved_by) <> ''),
    signed_by_login text not null default session_user,
    approved_at timestamptz not null default now()
);
comment on table settlement.mandate_approvals is
'The second person, and the business date from which the mandate is known (授权复核). Append-only.';

create table settlement.mandate_ends (
    mandate_id bigint primary key references settlement.mandate_requests (mandate_id),
    reason text not null check (btrim(reason) <> ''),
    ended_by text not null check (control.person_key(ended_by) <> ''),
    signed_by_login text not null default session_user,
    ended_at timestamptz not null default now()
);
comment on table settlement.mandate_ends is
'Mandates that ended: one person is enough, it debits nobody (授权终止). Append-only.';

create table settlement.credit_note_requests (
    credit_note_id bigint generated always as identity primary key,
    bill_no integer not null references settlement.issued_bills (bill_no),
    amount_minor bigint not null check (amount_minor > 0),
    reason text not null check (btrim(reason) <> ''),
    requested_by text not null check (control.person_key(requested_by) <> ''),
    signed_by_login text not null default session_user,
    requested_at timestamptz not null default now()
);
comment on table settlement.credit_note_requests is
'What a person asks to take off a bill (贷项通知申请). Append-only.';

create table settlement.credit_note_approvals (
    credit_note_id bigint primary key references settlement.credit_note_requests (credit_note_id),
    credit_note_no integer not null unique check (credit_note_no > 0),
    business_date date not null,
    approved_by text not null check (control.person_key(approved_by) <> ''),
    signed_by_login text not null default session_user,
    approved_at timestamptz not null default now()
);
comment on table settlement.credit_note_approvals is
'The second person: the note has its number and is booked on the date (贷项通知). Append-only.';

create table settlement.collections (
    collection_id text primary key,
    bill_no integer not null references settlement.issued_bills (bill_no),
    attempt_no integer not null check (attempt_no between 1 and 99),
    mandate_id bigint not null references settlement.mandate_approvals (mandate_id),
    currency_code text not null,
    amount_minor bigint not null check (amount_minor > 0),
    message_id text not null,
    started_on date not null,
    unique (bill_no, attempt_no),
    check (
        collection_id
        = 'FB' || lpad(bill_no::text, 8, '0') || 'C' || lpad(attempt_no::text, 2, '0')
    )
);
create index collections_by_message on settlement.collections (message_id);
comment on table settlement.collections is
'Attempts to collect a bill; the id is the debit''s end-to-end id (代收指令). Append-only.';

create table settlement.collection_events (
    collection_id text not null references settlement.collections (collection_id),
    event_no integer not null check (event_no > 0),
    status text not null,
    business_date date not null,
    collected_minor bigint not null default 0 check (collected_minor >= 0),
    reason_code text,
    file_id text,
    line_number integer,
    recorded_at timestamptz not null default now(),
    primary key (collection_id, event_no),
    unique (file_id, line_number),
    -- Money is collected by a line of the bank, and by nothing else.
    check (
        (status in ('paid', 'part_paid'))
        = (collected_minor > 0 and file_id is not null and line_number is not null)
    ),
    check ((status in ('paid', 'part_paid')) = (collected_minor > 0))
);
create index collection_events_by_date on settlement.collection_events (business_date);
comment on table settlement.collection_events is
'What happened to a collection (代收事件). Append-only.';

create table settlement.collection_files (
    message_id text primary key,
    currency_code text not null,
    business_date date not null,
    file_path text not null,
    sha256 text not null check (sha256 ~ '^[0-9a-f]{64}$'),
    collection_count integer not null check (collection_count > 0),
    amount_minor bigint not null check (amount_minor > 0),
    recorded_at timestamptz not null default now()
);
comment on table settlement.collection_files is
'Direct-debit files that are on record, before they have their name (代收文件). Append-only.';

create table settlement.collection_reports (
    sha256 text primary key check (sha256 ~ '^[0-9a-f]{64}$'),
    message_id text not null references settlement.collection_files (message_id),
    file_name text not null,
    business_date date not null,
    recorded_at timestamptz not null default now()
);
comment on table settlement.collection_reports is
'Status reports on collections that were read, each once (代收回执). Append-only.';

create table settlement.bill_reminders (
    bill_no integer not null references settlement.issued_bills (bill_no),
    reminder_level integer not null check (reminder_level > 0),
    reminded_on date not null,
    open_amount_minor bigint not null check (open_amount_minor > 0),
    primary key (bill_no, reminder_level)
);
comment on table settlement.bill_reminders is
'Which reminder of an overdue bill was due, and of how much (催缴). Append-only.';
"""

STATES = """
create function settlement.collection_may_follow(current_status text, new_status text)
returns boolean
language sql
immutable
set search_path = pg_catalog
as $body$
    -- A bank may refuse and have debited: the history keeps both.
    select case coalesce(current_status, '')
        when '' then new_status = 'created'
        when 'created' then new_status = 'submitted'
        when 'submitted'
            then new_status in ('accepted', 'paid', 'part_paid', 'failed', 'unknown')
        when 'accepted' then new_status in ('paid', 'part_paid', 'failed', 'unknown')
        when 'unknown' then new_status in ('paid', 'part_paid', 'failed')
        when 'failed' then new_status in ('paid', 'part_paid')
        else false
    end
$body$;
comment on function settlement.collection_may_follow(text, text) is
'Which state of a collection may follow which (代收状态流转).';

create function settlement.collection_status(wanted_collection_id text) returns text
language sql
stable
set search_path = pg_catalog
as $body$
    select status
    from settlement.collection_events
    where collection_id = wanted_collection_id
    order by event_no desc
    limit 1
$body$;
comment on function settlement.collection_status(text) is
'The latest state of a collection (代收状态).';

create view settlement.bill_amounts as
select
    bills.bill_no,
    bills.due_amount_minor,
    coalesce(sums.collected_amount_minor, 0)::bigint as collected_amount_minor,
    coalesce(sums.under_way_amount_minor, 0)::bigint as under_way_amount_minor,
    coalesce(notes.credited_amount_minor, 0)::bigint as credited_amount_minor,
    (
        bills.due_amount_minor - coalesce(sums.collected_amount_minor, 0)
        - coalesce(notes.credited_amount_minor, 0)
    )::bigint as open_amount_minor,
    coalesce(sums.attempt_count, 0)::integer as attempt_count,
    sums.latest_status,
    sums.latest_on
from settlement.issued_bills as bills
left join lateral (
    select
        count(*) as attempt_count,
        sum(latest.collected_minor) as collected_amount_minor,
        sum(collections.amount_minor) filter (
            where latest.status in ('created', 'submitted', 'accepted', 'unknown')
        ) as under_way_amount_minor,
        (array_agg(latest.status order by collections.attempt_no desc))[1] as latest_status,
        (array_agg(latest.business_date order by collections.attempt_no desc))[1] as latest_on
    from settlement.collections as collections
    cross join lateral (
        select events.status, events.collected_minor, events.business_date
        from settlement.collection_events as events
        where events.collection_id = collections.collection_id
        order by events.event_no desc
        limit 1
    ) as latest
    where collections.bill_no = bills.bill_no
) as sums on true
left join lateral (
    select sum(requests.amount_minor) as credited_amount_minor
    from settlement.credit_note_requests as requests
    inner join settlement.credit_note_approvals as approvals
        on requests.credit_note_id = approvals.credit_note_id
    where requests.bill_no = bills.bill_no
) as notes on true;
comment on view settlement.bill_amounts is
'What of each bill is collected, under way, credited and open now (账单收取情况).';

create function settlement.require_open_date(day date) returns void
language plpgsql
stable
set search_path = pg_catalog
as $body$
begin
    if exists (
        select 1
        from control.accounting_days
        where accounting_date = day and state in ('closed', 'sealed')
    ) then
        raise exception 'accounting date % is closed: its ledger would miss what happens to bills',
            day
        using errcode = 'restrict_violation', hint = 'Give a date that is open.';
    end if;
end
$body$;
comment on function settlement.require_open_date(date) is
'Refuses a date whose postings are made (须为未关账日期).';

create function settlement.add_collection_event(
    wanted_collection_id text,
    new_status text,
    day date,
    new_collected_minor bigint default 0,
    new_reason_code text default null,
    of_file_id text default null,
    of_line_number integer default null
) returns boolean
language plpgsql
set search_path = pg_catalog
as $body$
declare
    current_status text := settlement.collection_status(wanted_collection_id);
begin
    -- Repeated, or late news of an earlier stage, changes nothing.
    if not settlement.collection_may_follow(current_status, new_status) then
        return false;
    end if;
    insert into settlement.collection_events (
        collection_id, event_no, status, business_date, collected_minor, reason_code, file_id,
        line_number
    )
    select
        wanted_collection_id, coalesce(max(event_no), 0) + 1, new_status, day,
        new_collected_minor, new_reason_code, of_file_id, of_line_number
    from settlement.collection_events
    where collection_id = wanted_collection_id;
    return true;
end
$body$;
comment on function settlement.add_collection_event(
    text, text, date, bigint, text, text, integer
) is
'Adds an event where the transitions allow it; says whether they did (代收事件登记).';
"""

MAKING = """
create function settlement.unbilled_fees(period_start date)
returns table (
    accounting_date date,
    entry_id text,
    account_id text,
    currency_code text,
    fee_amount_minor bigint,
    collection_method text
)
language plpgsql
stable
set search_path = pg_catalog
as $body$
#variable_conflict use_column
declare
    next_start date := (period_start + interval '1 month')::date;
begin
    return query
    select
        entries.accounting_date,
        entries.entry_id,
        entries.account_id,
        entries.currency_code,
        entries.fee_amount_minor,
        methods.fee_collection_method
    from clearing.clearing_entries as entries
    left join (
        select distinct on (terms.account_id)
            terms.account_id,
            terms.fee_collection_method
        from clearing.contract_terms as terms
        where
            terms.accounting_date >= period_start
            and terms.accounting_date < next_start
            and terms.is_in_force
        order by
            terms.account_id, terms.accounting_date desc, terms.effective_from desc,
            terms.contract_id
    ) as methods
        on entries.account_id = methods.account_id
    where
        entries.accounting_date >= period_start
        and entries.accounting_date < next_start
        and entries.settlement_mode = 'gross'
        and entries.fee_amount_minor <> 0;
end
$body$;
comment on function settlement.unbilled_fees(date) is
'Fees billed apart of a month that begins on the date, with the way they are collected (待出账).';

create function settlement.credit_left(of_account_id text, of_currency_code text) returns bigint
language sql
stable
set search_path = pg_catalog
as $body$
    select coalesce(
        (
            select credit_carried_minor
            from settlement.issued_bills
            where account_id = of_account_id and currency_code = of_currency_code
            order by bill_no desc
            limit 1
        ),
        0
    )
$body$;
comment on function settlement.credit_left(text, text) is
'What the account''s last bill carried to the next, at most zero (结转贷项).';

create function settlement.issue_fee_bills(on_date date) returns integer
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    first_date date;
    period_start date;
    next_start date;
    period text;
    made_count integer := 0;
    period_count integer;
    last_no integer;
    nameless text;
begin
    perform settlement.require_open_date(on_date);
    perform pg_advisory_xact_lock(hashtextextended('tieout.fee_bills', 0));
    select min(accounting_date) into first_date
    from control.accounting_days
    where state in ('closed', 'sealed');
    select (to_date(max(fee_period) || '-01', 'YYYY-MM-DD') + interval '1 month')::date
    into period_start
    from settlement.fee_periods;
    period_start := coalesce(period_start, date_trunc('month', first_date)::date);
    while period_start is not null loop
        next_start := (period_start + interval '1 month')::date;
        -- Sealed entries never change: a bill asks for what was paid out on.
        exit when next_start > on_date or exists (
            select 1
            from generate_series(
                greatest(period_start, first_date), next_start - 1, interval '1 day'
            ) as wanted (day)
            left join control.accounting_days as days on wanted.day::date = days.accounting_date
            where days.state is distinct from 'sealed'
        );
        period := to_char(period_start, 'YYYY-MM');
        select lines.account_id into nameless
        from settlement.unbilled_fees(period_start) as lines
        where lines.collection_method is null
        limit 1;
        if nameless is not null then
            raise exception 'no contract of account % in % says how its fees are collected',
                nameless, period
            using errcode = 'restrict_violation', hint = 'Look at clearing.contract_terms.';
        end if;
        insert into settlement.fee_periods (fee_period, issued_on, bill_count)
        select period, on_date, count(distinct (lines.account_id, lines.currency_code))
        from settlement.unbilled_fees(period_start) as lines
        returning bill_count into period_count;
        select coalesce(max(bill_no), 0) into last_no from settlement.issued_bills;
        insert into settlement.issued_bills (
            bill_no, fee_period, account_id, currency_code, line_count, fee_amount_minor,
            credit_brought_minor, due_amount_minor, credit_carried_minor, issued_on, due_on,
            collection_method
        )
        select
            last_no + bills.place, period, bills.account_id, bills.currency_code,
            bills.line_count, bills.fee_amount_minor, bills.credit_minor,
            greatest(bills.fee_amount_minor + bills.credit_minor, 0),
            least(bills.fee_amount_minor + bills.credit_minor, 0),
            on_date, calendar.working_day_on_or_after, bills.collection_method
        from (
            select
                row_number() over (
                    order by lines.account_id collate "C", lines.currency_code collate "C"
                ) as place,
                lines.account_id,
                lines.currency_code,
                count(*) as line_count,
                sum(lines.fee_amount_minor)::bigint as fee_amount_minor,
                settlement.credit_left(lines.account_id, lines.currency_code) as credit_minor,
                max(lines.collection_method) as collection_method
            from settlement.unbilled_fees(period_start) as lines
            group by lines.account_id, lines.currency_code
        ) as bills
        -- Due on the 10th of the next month, or the first working day after it.
        inner join reference.calendar_days as calendar
            on greatest(next_start + 9, on_date) = calendar.calendar_date;
        insert into settlement.billed_fees (accounting_date, entry_id, bill_no, fee_amount_minor)
        select lines.accounting_date, lines.entry_id, bills.bill_no, lines.fee_amount_minor
        from settlement.unbilled_fees(period_start) as lines
        inner join settlement.issued_bills as bills
            on lines.account_id = bills.account_id
            and lines.currency_code = bills.currency_code
            and bills.fee_period = period;
        if (select count(*) from settlement.issued_bills where fee_period = period)
            <> period_count
        then
            raise exception 'the calendar does not know %', greatest(next_start + 9, on_date)
            using errcode = 'restrict_violation', hint = 'docs/runbooks/calendar-ends.md';
        end if;
        made_count := made_count + period_count;
        period_start := next_start;
    end loop;
    return made_count;
end
$body$;
comment on function settlement.issue_fee_bills(date) is
'Makes the bills of each ended period whose dates are sealed; returns how many (出账).';
"""

DECISIONS = """
create function settlement.request_mandate(
    of_account_id text,
    of_currency_code text,
    new_reference text,
    on_payee_id text,
    on_payee_version integer,
    new_signed_on date,
    new_effective_from date,
    typed_name text
) returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    payee control.payee_versions;
    id bigint;
begin
    select * into payee
    from control.payee_versions
    where payee_id = on_payee_id and payee_version = on_payee_version;
    if payee.account_id is distinct from of_account_id
        or payee.currency_code is distinct from of_currency_code
    then
        raise exception 'payee % version % is no payee of account % in %', on_payee_id,
            on_payee_version, of_account_id, of_currency_code
        using errcode = 'restrict_violation', hint = 'tieout terms list shows payees.';
    end if;
    insert into settlement.mandate_requests (
        account_id, currency_code, mandate_reference, signed_on, effective_from, payee_id,
        payee_version, account_number_token, requested_by
    )
    values (
        of_account_id, of_currency_code, new_reference, new_signed_on, new_effective_from,
        on_payee_id, on_payee_version, payee.account_number_token, typed_name
    )
    returning mandate_id into id;
    return id;
end
$body$;
comment on function settlement.request_mandate(
    text, text, text, text, integer, date, date, text
) is
'Enter a mandate to debit the account of a payee; another person approves it (代扣授权申请).';

create function settlement.approve_mandate(id bigint, typed_name text) returns date
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    request settlement.mandate_requests;
    from_date date;
begin
    select * into request from settlement.mandate_requests where mandate_id = id;
    if request.mandate_id is null
        or exists (select 1 from settlement.mandate_approvals where mandate_id = id)
        or exists (select 1 from settlement.mandate_ends where mandate_id = id)
    then
        raise exception 'mandate % does not wait for approval', id
        using errcode = 'restrict_violation', hint = 'tieout bills mandates';
    end if;
    -- What a date states may lie back; the business has known it only since its last close.
    select greatest(request.effective_from, max(accounting_date) + 1)
    into from_date
    from control.accounting_days
    where state in ('closed', 'sealed');
    from_date := coalesce(from_date, request.effective_from);
    insert into settlement.mandate_approvals (mandate_id, known_from, approved_by)
    values (id, from_date, typed_name);
    return from_date;
end
$body$;
comment on function settlement.approve_mandate(bigint, text) is
'Approve another person''s mandate; returns the date from which it is known (代扣授权复核).';

create function settlement.end_mandate(id bigint, why text, typed_name text) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
begin
    insert into settlement.mandate_ends (mandate_id, reason, ended_by)
    values (id, why, typed_name);
end
$body$;
comment on function settlement.end_mandate(bigint, text, text) is
'End a mandate: nothing more is debited by it (代扣授权终止).';

create function settlement.credit_room(wanted_bill_no integer) returns bigint
language sql
stable
set search_path = pg_catalog
as $body$
    select greatest(open_amount_minor - under_way_amount_minor, 0)
    from settlement.bill_amounts
    where bill_no = wanted_bill_no
$body$;
comment on function settlement.credit_room(integer) is
'What of a bill may be credited: open, and not under way (可贷记余额).';

create function settlement.request_credit_note(
    of_bill_no integer, wanted_amount_minor bigint, why text, typed_name text
) returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    id bigint;
begin
    insert into settlement.credit_note_requests (bill_no, amount_minor, reason, requested_by)
    values (of_bill_no, wanted_amount_minor, why, typed_name)
    returning credit_note_id into id;
    return id;
end
$body$;
comment on function settlement.request_credit_note(integer, bigint, text, text) is
'Ask to take an amount off a bill; another person approves it (贷项通知申请).';

create function settlement.approve_credit_note(id bigint, on_date date, typed_name text)
returns integer
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    request settlement.credit_note_requests;
    bill settlement.issued_bills;
    room bigint;
    number integer;
begin
    perform settlement.require_open_date(on_date);
    select * into request from settlement.credit_note_requests where credit_note_id = id;
    if request.credit_note_id is null
        or exists (select 1 from settlement.credit_note_approvals where credit_note_id = id)
    then
        raise exception 'credit note % does not wait for approval', id
        using errcode = 'restrict_violation', hint = 'tieout bills show BILL';
    end if;
    perform pg_advisory_xact_lock(hashtextextended('tieout.fee_bills', 0));
    select * into bill from settlement.issued_bills where bill_no = request.bill_no;
    room := settlement.credit_room(request.bill_no);
    if request.amount_minor > room then
        raise exception 'of bill % only % % (minor units) may be credited, not %',
            request.bill_no, room, bill.currency_code, request.amount_minor
        using
            errcode = 'restrict_violation',
            hint = 'What is collected or under way is no longer open: tieout bills show BILL.';
    end if;
    select coalesce(max(credit_note_no), 0) + 1
    into number
    from settlement.credit_note_approvals;
    insert into settlement.credit_note_approvals (
        credit_note_id, credit_note_no, business_date, approved_by
    )
    values (id, number, on_date, typed_name);
    return number;
end
$body$;
comment on function settlement.approve_credit_note(bigint, date, text) is
'Approve another person''s credit note; returns its number (贷项通知复核).';

-- After the names are signed: whoever the login says asked and approved.
create function settlement.refuse_one_person() returns trigger
language plpgsql
set search_path = pg_catalog
as $body$
declare
    asked_by text;
    decided_currency text;
    decided_amount_minor bigint;
begin
    if tg_table_name = 'mandate_approvals' then
        select requested_by into asked_by
        from settlement.mandate_requests
        where mandate_id = new.mandate_id;
    else
        select requests.requested_by, bills.currency_code, requests.amount_minor
        into asked_by, decided_currency, decided_amount_minor
        from settlement.credit_note_requests as requests
        inner join settlement.issued_bills as bills on requests.bill_no = bills.bill_no
        where requests.credit_note_id = new.credit_note_id;
        perform control.require_limit(
            'credit_note', new.approved_by, decided_currency, decided_amount_minor
        );
    end if;
    if control.person_key(asked_by) = control.person_key(new.approved_by) then
        raise exception 'it was asked for by %: another person has to approve it', asked_by
        using errcode = 'restrict_violation', hint = 'Ask a second person.';
    end if;
    return new;
end
$body$;
create trigger b_two_people before insert on settlement.mandate_approvals
for each row execute function settlement.refuse_one_person();
create trigger b_two_people before insert on settlement.credit_note_approvals
for each row execute function settlement.refuse_one_person();
"""

COLLECTING = """
create function settlement.mandate_of(wanted_bill_no integer) returns bigint
language sql
stable
set search_path = pg_catalog
as $body$
    -- The latest that two people entered replaces the others, also before it may be used.
    select requests.mandate_id
    from settlement.issued_bills as bills
    inner join settlement.mandate_requests as requests
        on bills.account_id = requests.account_id and bills.currency_code = requests.currency_code
    inner join settlement.mandate_approvals as approvals
        on requests.mandate_id = approvals.mandate_id
    where bills.bill_no = wanted_bill_no
    order by requests.mandate_id desc
    limit 1
$body$;
comment on function settlement.mandate_of(integer) is
'The mandate by which a bill would be debited (适用授权).';

create function settlement.why_not_debited(wanted_bill_no integer, on_date date) returns text
language plpgsql
stable
set search_path = pg_catalog
as $body$
declare
    bill settlement.issued_bills;
    amounts settlement.bill_amounts;
    limits record;
    mandate record;
begin
    select * into bill from settlement.issued_bills where bill_no = wanted_bill_no;
    select * into amounts from settlement.bill_amounts where bill_no = wanted_bill_no;
    select * into limits
    from reference.fee_collection_limits
    where currency_code = bill.currency_code;
    if bill.bill_no is null then
        return 'no_bill';
    elsif amounts.open_amount_minor <= 0 then
        return 'nothing_open';
    elsif amounts.latest_status in ('created', 'submitted', 'accepted', 'unknown') then
        return 'under_way';
    elsif bill.collection_method <> 'direct_debit' then
        return 'invoice';
    elsif on_date < bill.due_on then
        return 'not_due';
    elsif limits.attempts_max is null then
        return 'no_limits';
    elsif amounts.attempt_count >= limits.attempts_max then
        return 'attempts_spent';
    elsif on_date < amounts.latest_on + limits.attempt_gap_days then
        return 'too_soon';
    end if;
    select
        requests.*,
        approvals.known_from,
        ends.mandate_id is not null as is_ended
    into mandate
    from settlement.mandate_requests as requests
    inner join settlement.mandate_approvals as approvals
        on requests.mandate_id = approvals.mandate_id
    left join settlement.mandate_ends as ends on requests.mandate_id = ends.mandate_id
    where requests.mandate_id = settlement.mandate_of(wanted_bill_no);
    if mandate.mandate_id is null or mandate.is_ended then
        return 'no_mandate';
    elsif on_date < mandate.known_from + limits.mandate_notice_days then
        return 'mandate_too_new';
    end if;
    -- The merchant signed for one account. Another, or one that waits for people, is not debited.
    if exists (
        select 1
        from control.payee_versions as later
        where
            later.payee_id = mandate.payee_id
            and later.payee_version > mandate.payee_version
    ) or not exists (
        select 1
        from clearing.payee_terms as terms
        where
            terms.payee_id = mandate.payee_id
            and terms.payee_version = mandate.payee_version
            and terms.account_id = bill.account_id
            and terms.account_number_token = mandate.account_number_token
            and terms.is_in_force
            and terms.payee_status = 'active'
            and terms.confirmation <> 'waiting'
            and terms.accounting_date = (
                select max(days.accounting_date)
                from control.accounting_days as days
                where days.state in ('closed', 'sealed') and days.accounting_date <= on_date
            )
    ) then
        return 'payee_changed';
    end if;
    return null;
end
$body$;
comment on function settlement.why_not_debited(integer, date) is
'Why a bill is not debited on a date; NULL where it is (不代收原因).';

create function settlement.start_collections(on_date date) returns integer
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    bill record;
    next_attempt integer;
    id text;
    file_no integer;
    started_count integer := 0;
begin
    perform settlement.require_open_date(on_date);
    perform pg_advisory_xact_lock(hashtextextended('tieout.fee_bills', 0));
    for bill in
        select bills.bill_no, bills.currency_code, amounts.open_amount_minor, amounts.attempt_count
        from settlement.issued_bills as bills
        inner join settlement.bill_amounts as amounts on bills.bill_no = amounts.bill_no
        where amounts.open_amount_minor > 0
            and settlement.why_not_debited(bills.bill_no, on_date) is null
        order by bills.bill_no
    loop
        next_attempt := bill.attempt_count + 1;
        id := 'FB' || lpad(bill.bill_no::text, 8, '0') || 'C' || lpad(next_attempt::text, 2, '0');
        select count(*) + 1
        into file_no
        from settlement.collection_files
        where currency_code = bill.currency_code and business_date = on_date;
        insert into settlement.collections (
            collection_id, bill_no, attempt_no, mandate_id, currency_code, amount_minor,
            message_id, started_on
        )
        values (
            id, bill.bill_no, next_attempt, settlement.mandate_of(bill.bill_no),
            bill.currency_code, bill.open_amount_minor,
            'FB-' || to_char(on_date, 'YYYYMMDD') || '-' || bill.currency_code || '-' || file_no,
            on_date
        );
        perform settlement.add_collection_event(id, 'created', on_date);
        started_count := started_count + 1;
    end loop;
    return started_count;
end
$body$;
comment on function settlement.start_collections(date) is
'Orders a debit of each bill that may be debited, once; returns how many (发起代收).';

create function settlement.record_collection_file(
    of_message_id text, new_path text, new_sha256 text, new_count integer, new_amount_minor bigint
) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    ordered record;
    known settlement.collection_files;
    member record;
begin
    perform pg_advisory_xact_lock(hashtextextended('tieout.fee_bills', 0));
    select
        count(*)::integer as collection_count,
        sum(amount_minor)::bigint as amount_minor,
        min(currency_code) as currency_code,
        min(started_on) as started_on
    into ordered
    from settlement.collections
    where message_id = of_message_id;
    if (ordered.collection_count, ordered.amount_minor)
        is distinct from (new_count, new_amount_minor)
    then
        raise exception 'file % has % debits of %, ordered are % of %', of_message_id, new_count,
            new_amount_minor, ordered.collection_count, ordered.amount_minor
        using errcode = 'restrict_violation', hint = 'Do not send it.';
    end if;
    select * into known from settlement.collection_files where message_id = of_message_id;
    if known.message_id is not null then
        if (known.sha256, known.file_path) is distinct from (new_sha256, new_path) then
            raise exception 'file % is on record with other content', of_message_id
            using errcode = 'restrict_violation', hint = 'Find out which of the two the bank has.';
        end if;
        return;
    end if;
    perform settlement.require_open_date(ordered.started_on);
    insert into settlement.collection_files (
        message_id, currency_code, business_date, file_path, sha256, collection_count,
        amount_minor
    )
    values (
        of_message_id, ordered.currency_code, ordered.started_on, new_path, new_sha256, new_count,
        new_amount_minor
    );
    for member in
        select collection_id, started_on
        from settlement.collections
        where message_id = of_message_id
        order by collection_id
    loop
        perform settlement.add_collection_event(
            member.collection_id, 'submitted', member.started_on
        );
    end loop;
end
$body$;
comment on function settlement.record_collection_file(text, text, text, integer, bigint) is
'Puts a direct-debit file on record before it has its name; debits are submitted (代收文件登记).';

create function settlement.apply_collection_report(
    of_message_id text, of_sha256 text, of_file_name text, answers jsonb, on_date date
) returns integer
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    answer record;
    changed_count integer := 0;
begin
    perform settlement.require_open_date(on_date);
    perform pg_advisory_xact_lock(hashtextextended('tieout.fee_bills', 0));
    if not exists (
        select 1 from settlement.collection_files where message_id = of_message_id
    ) then
        raise exception 'there is no direct-debit file %', of_message_id
        using errcode = 'restrict_violation', hint = 'Ask the bank which file it answers.';
    end if;
    insert into settlement.collection_reports (sha256, message_id, file_name, business_date)
    values (of_sha256, of_message_id, of_file_name, on_date)
    on conflict (sha256) do nothing;
    if not found then
        return 0;
    end if;
    for answer in
        select *
        from jsonb_to_recordset(answers) as told (
            collection_id text, status text, reason_code text, amount_minor bigint
        )
        order by collection_id
    loop
        -- A report says at most that a debit is under way; paid is what the account shows.
        if answer.status not in ('accepted', 'failed')
            or not exists (
                select 1
                from settlement.collections as collections
                where
                    collections.collection_id = answer.collection_id
                    and collections.message_id = of_message_id
                    and collections.amount_minor
                    = coalesce(answer.amount_minor, collections.amount_minor)
            )
        then
            raise exception 'report on % says % of debit %, which the file does not have like that',
                of_message_id, answer.status, answer.collection_id
            using errcode = 'restrict_violation', hint = 'Ask the bank what it means.';
        end if;
        if settlement.add_collection_event(
            answer.collection_id, answer.status, on_date, 0, answer.reason_code
        ) then
            changed_count := changed_count + 1;
        end if;
    end loop;
    return changed_count;
end
$body$;
comment on function settlement.apply_collection_report(text, text, text, jsonb, date) is
'Applies what a bank says of a direct-debit file, once; returns how much changed (代收回执处理).';

create function settlement.apply_collected_lines(on_date date) returns integer
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    line record;
    changed_count integer := 0;
begin
    perform settlement.require_open_date(on_date);
    perform pg_advisory_xact_lock(hashtextextended('tieout.fee_bills', 0));
    for line in
        select distinct on (collections.collection_id)
            collections.collection_id,
            lines.file_id,
            lines.line_number,
            lines.amount_minor,
            case
                when lines.amount_minor = collections.amount_minor then 'paid' else 'part_paid'
            end as status
        from settlement.collections as collections
        inner join raw.bank_statement_lines as lines
            on lines.remittance_text = 'FEEBILL ' || collections.collection_id
            and collections.currency_code = lines.currency_code
            and lines.amount_minor between 1 and collections.amount_minor
            and lines.accounting_date >= collections.started_on
        inner join control.channel_files as files
            on lines.file_id = files.file_id and files.status = 'landed'
        inner join reference.bank_accounts as accounts
            on lines.bank_account_id = accounts.bank_account_id
            and accounts.account_kind = 'fee'
        where
            lines.statement_date <= on_date
            and settlement.collection_status(collections.collection_id)
            in ('submitted', 'accepted', 'unknown', 'failed')
        order by
            collections.collection_id, lines.statement_date, lines.file_id, lines.line_number
    loop
        if settlement.add_collection_event(
            line.collection_id, line.status, on_date, line.amount_minor, null, line.file_id,
            line.line_number
        ) then
            changed_count := changed_count + 1;
        end if;
    end loop;
    return changed_count;
end
$body$;
comment on function settlement.apply_collected_lines(date) is
'What a landed line of the fee account shows is collected; returns how many (代收入账).';

create function settlement.mark_silent_collections(on_date date) returns integer
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    silent record;
    changed_count integer := 0;
begin
    perform settlement.require_open_date(on_date);
    perform pg_advisory_xact_lock(hashtextextended('tieout.fee_bills', 0));
    for silent in
        select collections.collection_id
        from settlement.collections as collections
        inner join reference.fee_collection_limits as limits
            on collections.currency_code = limits.currency_code
        where
            collections.started_on + limits.answer_due_days <= on_date
            and settlement.collection_status(collections.collection_id)
            in ('submitted', 'accepted')
        order by collections.collection_id
    loop
        perform settlement.add_collection_event(silent.collection_id, 'unknown', on_date);
        changed_count := changed_count + 1;
    end loop;
    return changed_count;
end
$body$;
comment on function settlement.mark_silent_collections(date) is
'Collections that were not answered in time are unknown; returns how many (逾期未回).';

create function settlement.remind_of_bills(on_date date) returns integer
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    reminded_count integer;
begin
    perform pg_advisory_xact_lock(hashtextextended('tieout.fee_bills', 0));
    -- Whom the bank may have debited is not reminded; nor is anybody twice at a level.
    insert into settlement.bill_reminders (
        bill_no, reminder_level, reminded_on, open_amount_minor
    )
    select bills.bill_no, max(steps.reminder_level), on_date, max(amounts.open_amount_minor)
    from settlement.issued_bills as bills
    inner join settlement.bill_amounts as amounts on bills.bill_no = amounts.bill_no
    inner join reference.fee_reminders as steps
        on bills.currency_code = steps.currency_code
        and bills.due_on + steps.days_overdue <= on_date
    where amounts.open_amount_minor > 0 and amounts.under_way_amount_minor = 0
    group by bills.bill_no
    on conflict (bill_no, reminder_level) do nothing;
    get diagnostics reminded_count = row_count;
    return reminded_count;
end
$body$;
comment on function settlement.remind_of_bills(date) is
'Puts reminders that are due on record, each level of a bill once; returns how many (催缴登记).';
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

# A home of before has a table where the view of the bills now stands: its sums are in the entries.
COMPUTED = """
do $$
begin
    if to_regclass('settlement.fee_bills') is not null then
        drop table settlement.fee_bills;
    end if;
    if exists (
        select 1
        from pg_constraint
        where conrelid = to_regclass('ledger.bank_journal') and conname = 'bank_journal_kind'
    ) then
        alter table ledger.bank_journal drop constraint bank_journal_kind;
        alter table ledger.bank_journal add constraint bank_journal_kind check (
            entry_kind in (
                'channel_arrival', 'payout', 'payout_failed', 'payout_return', 'period_fee',
                'fee_collection', 'fee_collection_ended'
            )
        );
    end if;
    if exists (
        select 1
        from pg_constraint
        where
            conrelid = to_regclass('reconciliation.bank_match_lines')
            and conname = 'bank_match_lines_kind'
    ) then
        alter table reconciliation.bank_match_lines drop constraint bank_match_lines_kind;
        alter table reconciliation.bank_match_lines add constraint bank_match_lines_kind check (
            item_kind in (
                'channel_arrival', 'payout_debit', 'payout', 'payout_failed', 'payout_return',
                'period_fee', 'fee_collection', 'fee_collection_ended', 'bank_charge',
                'bank_interest', 'unclassified'
            )
        );
    end if;
end
$$
"""

SIGNED = (
    ("mandate_requests", "requested_by"),
    ("mandate_approvals", "approved_by"),
    ("mandate_ends", "ended_by"),
    ("credit_note_requests", "requested_by"),
    ("credit_note_approvals", "approved_by"),
)
SIGN = """
create trigger a_signed before insert on settlement.{table}
for each row execute function control.sign_decision('{column}');
"""
KEPT = (
    "fee_periods",
    "issued_bills",
    "billed_fees",
    "mandate_requests",
    "mandate_approvals",
    "mandate_ends",
    "credit_note_requests",
    "credit_note_approvals",
    "collections",
    "collection_events",
    "collection_files",
    "collection_reports",
    "bill_reminders",
)
APPEND_ONLY = """
create trigger {table}_append_only
before update or delete on settlement.{table}
for each row execute function control.refuse_change();
create trigger {table}_no_truncate
before truncate on settlement.{table}
for each statement execute function control.refuse_change();
grant select on settlement.{table}
to tieout_people, tieout_finance, tieout_gate, tieout_payout, tieout_ingest, tieout_transform;
"""

RIGHTS = """
grant select on settlement.bill_amounts
to tieout_people, tieout_finance, tieout_gate, tieout_payout, tieout_ingest, tieout_transform;
revoke execute on function
    settlement.add_collection_event(text, text, date, bigint, text, text, integer),
    settlement.issue_fee_bills(date),
    settlement.request_mandate(text, text, text, text, integer, date, date, text),
    settlement.approve_mandate(bigint, text),
    settlement.end_mandate(bigint, text, text),
    settlement.request_credit_note(integer, bigint, text, text),
    settlement.approve_credit_note(bigint, date, text),
    settlement.start_collections(date),
    settlement.record_collection_file(text, text, text, integer, bigint),
    settlement.apply_collection_report(text, text, text, jsonb, date),
    settlement.apply_collected_lines(date),
    settlement.mark_silent_collections(date),
    settlement.remind_of_bills(date)
from public;
grant execute on function
    settlement.issue_fee_bills(date),
    settlement.start_collections(date),
    settlement.record_collection_file(text, text, text, integer, bigint),
    settlement.apply_collection_report(text, text, text, jsonb, date),
    settlement.apply_collected_lines(date),
    settlement.mark_silent_collections(date),
    settlement.remind_of_bills(date)
to tieout_payout;
grant execute on function
    settlement.request_mandate(text, text, text, text, integer, date, date, text),
    settlement.approve_mandate(bigint, text),
    settlement.end_mandate(bigint, text, text),
    settlement.request_credit_note(integer, bigint, text, text),
    settlement.approve_credit_note(bigint, date, text)
to tieout_people;
"""


def upgrade() -> None:
    """Make bills, mandates, credit notes and collections."""
    op.execute(BILLS)
    op.execute(STATES)
    op.execute(MAKING)
    for table, column in SIGNED:
        op.execute(SIGN.format(table=table, column=column))
    op.execute(DECISIONS)
    op.execute(COLLECTING)
    op.execute(POSTING_SOURCES)
    op.execute(COMPUTED)
    for table in KEPT:
        op.execute(APPEND_ONLY.format(table=table))
    op.execute(RIGHTS)
