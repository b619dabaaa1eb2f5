"""Paying again: a new attempt is a function of the owner with its evidence, or there is none.

`payout.new_attempt` looks at everything itself, in the transaction that makes the attempt: what the
bank's statements say of the attempts before, whom the account is paid to now, what the reason's
policy and the limits of a day allow. Nobody inserts a second attempt by hand: its grounds stand in
`payout.new_attempts`, which only the function writes. With it come what a person stops
(`payout.payout_holds`), what is open (`payout.open_attempts`) and what the bank was asked
(`payout.inquiries`).
"""

from __future__ import annotations

from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

# dbt loads a seed into the table that is there.
REFERENCE = """
alter table if exists reference.payee_return_reasons
add column if not exists reason_en text,
add column if not exists policy text
"""

TABLES = """
create table payout.new_attempts (
    attempt_id text primary key
        references payout.attempts (attempt_id) deferrable initially deferred,
    previous_attempt_id text not null unique references payout.attempts (attempt_id),
    statement_id text not null,
    paid_on date not null,
    currency_code text not null,
    amount_minor bigint not null check (amount_minor > 0),
    payee_id text not null,
    payee_version integer not null,
    account_number_token text not null,
    account_name_token text not null,
    bank_code text not null,
    previous_status text not null check (previous_status in ('failed', 'returned')),
    reason_code text,
    policy text check (policy in ('retry', 'await_payee', 'stop')),
    evidence text not null,
    evidence_file_id text not null references control.channel_files (file_id),
    evidence_line_number integer not null,
    requested_by text not null check (control.person_key(requested_by) <> ''),
    reason text not null check (btrim(reason) <> ''),
    decided_by_login text not null default session_user,
    decided_at timestamptz not null default now(),
    constraint new_attempt_evidence check (
        evidence = case previous_status
            when 'failed' then 'statement_without_debit'
            else 'credit_line'
        end
    ),
    foreign key (payee_id, payee_version)
        references control.payee_versions (payee_id, payee_version)
);
create index new_attempts_by_day on payout.new_attempts (paid_on, currency_code);
create index new_attempts_by_statement on payout.new_attempts (statement_id);
comment on table payout.new_attempts is
'Why a statement is paid again: evidence, payee, who decided (再次代付依据). Append-only.';

create table payout.payout_holds (
    hold_id bigint generated always as identity primary key,
    statement_id text not null,
    reason text not null check (btrim(reason) <> ''),
    held_by text not null check (control.person_key(held_by) <> ''),
    held_by_login text not null default session_user,
    held_at timestamptz not null default now()
);
create index payout_holds_by_statement on payout.payout_holds (statement_id);
comment on table payout.payout_holds is
'A person stops a statement from being paid, or paid again (暂停代付). Append-only.';

create table payout.payout_hold_releases (
    hold_id bigint primary key references payout.payout_holds (hold_id),
    reason text not null check (btrim(reason) <> ''),
    released_by text not null check (control.person_key(released_by) <> ''),
    released_by_login text not null default session_user,
    released_at timestamptz not null default now()
);
comment on table payout.payout_hold_releases is
'A second person lets a stopped statement be paid (解除暂停代付). Append-only.';

create table payout.open_attempts (
    attempt_id text primary key references payout.attempts (attempt_id) on delete cascade,
    status text not null,
    since date not null
);
comment on table payout.open_attempts is
'The last attempt of each instruction while it has not paid: kept by events (未了代付).';

create table payout.inquiries (
    attempt_id text not null references payout.attempts (attempt_id),
    inquiry_no integer not null check (inquiry_no > 0),
    asked_on date not null,
    file_path text not null,
    primary key (attempt_id, inquiry_no)
);
create index inquiries_by_date on payout.inquiries (asked_on);
alter table payout.outcome_problems add column is_told boolean not null default false;

comment on table payout.inquiries is
'When the bank was asked about an unknown payout, and in which file (代付查询). Append-only.';
"""

OPEN = """
create function payout.note_open_attempts() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
begin
    with latest as (
        select distinct on (new_rows.attempt_id)
            new_rows.attempt_id,
            new_rows.status,
            new_rows.business_date
        from new_rows
        order by new_rows.attempt_id, new_rows.event_no desc
    ),

    ended as (
        delete from payout.open_attempts as opened
        using latest
        where opened.attempt_id = latest.attempt_id and latest.status = 'paid'
    )

    insert into payout.open_attempts as opened (attempt_id, status, since)
    select latest.attempt_id, latest.status, latest.business_date
    from latest
    inner join payout.attempts as attempts on latest.attempt_id = attempts.attempt_id
    where
        latest.status <> 'paid'
        and not exists (
            select 1
            from payout.attempts as later
            where
                later.instruction_id = attempts.instruction_id
                and later.attempt_no > attempts.attempt_no
        )
    on conflict (attempt_id) do update
    set status = excluded.status, since = excluded.since;
    return null;
end
$body$;

create trigger attempt_events_note_open
after insert on payout.attempt_events
referencing new table as new_rows
for each statement execute function payout.note_open_attempts();

insert into payout.open_attempts (attempt_id, status, since)
select latest.attempt_id, latest.status, latest.business_date
from (
    select distinct on (attempts.instruction_id)
        attempts.attempt_id,
        events.status,
        events.business_date
    from payout.attempts as attempts
    inner join payout.attempt_events as events on attempts.attempt_id = events.attempt_id
    order by attempts.instruction_id, attempts.attempt_no desc, events.event_no desc
) as latest
where latest.status <> 'paid';
"""

HOLDS = """
create function payout.is_held(wanted_statement_id text) returns boolean
language sql
stable
set search_path = pg_catalog
as $body$
    select exists (
        select 1
        from payout.payout_holds as holds
        where
            holds.statement_id = wanted_statement_id
            and not exists (
                select 1
                from payout.payout_hold_releases as releases
                where releases.hold_id = holds.hold_id
            )
    )
$body$;
comment on function payout.is_held(text) is
'Whether a person has stopped the statement from being paid (是否暂停代付).';

-- Of the instruction, else of the statement, which dbt makes; NULL where there is neither.
create function payout.payment_date_of(wanted_statement_id text) returns date
language plpgsql
stable
set search_path = pg_catalog
as $body$
declare
    found_date date;
begin
    select instructions.payment_date
    into found_date
    from payout.instructions as instructions
    where instructions.statement_id = wanted_statement_id;
    if found_date is null and to_regclass('settlement.settlement_statements') is not null then
        select max(statements.payment_date)
        into found_date
        from settlement.settlement_statements as statements
        where statements.statement_id = wanted_statement_id;
    end if;
    return found_date;
end
$body$;

create function payout.hold(wanted_statement_id text, wanted_by text, wanted_reason text)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    day date := payout.payment_date_of(wanted_statement_id);
    new_hold_id bigint;
begin
    if day is null then
        raise exception 'there is no settlement statement %', wanted_statement_id
        using errcode = 'restrict_violation', hint = 'tieout payouts list';
    end if;
    -- A submission of the date is over, or finds the hold.
    perform control.lock_payment_date(day);
    if payout.is_held(wanted_statement_id) then
        raise exception 'statement % is held already', wanted_statement_id
        using errcode = 'restrict_violation', hint = 'tieout payouts show ' || wanted_statement_id;
    end if;
    insert into payout.payout_holds (statement_id, reason, held_by)
    values (wanted_statement_id, wanted_reason, wanted_by)
    returning hold_id into new_hold_id;
    return new_hold_id;
end
$body$;
comment on function payout.hold(text, text, text) is
'Stop a statement from being paid, or paid again, until a second person says so (暂停代付).';

create function payout.release_hold(wanted_statement_id text, wanted_by text, wanted_reason text)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    held payout.payout_holds;
begin
    perform control.lock_payment_date(payout.payment_date_of(wanted_statement_id));
    select holds.*
    into held
    from payout.payout_holds as holds
    where
        holds.statement_id = wanted_statement_id
        and not exists (
            select 1
            from payout.payout_hold_releases as releases
            where releases.hold_id = holds.hold_id
        )
    order by holds.hold_id
    limit 1
    for update;
    if held.hold_id is null then
        raise exception 'statement % is not held', wanted_statement_id
        using errcode = 'restrict_violation', hint = 'tieout payouts list --state held';
    end if;
    if control.person_key(held.held_by) = control.person_key(wanted_by) then
        raise exception 'statement % is held by %: another person has to release it',
            wanted_statement_id, held.held_by
        using errcode = 'restrict_violation', hint = 'Ask a second person.';
    end if;
    insert into payout.payout_hold_releases (hold_id, reason, released_by)
    values (held.hold_id, wanted_reason, wanted_by);
    return held.hold_id;
end
$body$;
comment on function payout.release_hold(text, text, text) is
'A second person lets a held statement be paid (解除暂停代付).';
"""

# What the bank has said of one payment, wherever it stands: the details of a line, else the line.
EVIDENCE = """
create function payout.bank_parts(wanted_end_to_end_id text, first_date date)
returns table (
    file_id text, line_number integer, bank_account_id text, currency_code text,
    amount_minor bigint, charge_amount_minor bigint, is_return boolean, is_notified boolean
)
language sql
stable
set search_path = pg_catalog
as $body$
    with landed as (
        select files.file_id from control.channel_files as files where files.status = 'landed'
    ),

    details as (
        select
            lines.file_id,
            lines.line_number,
            lines.bank_account_id,
            lines.currency_code,
            details.amount_minor,
            coalesce(
                details.charge_amount_minor,
                case when lines.detail_count = 1 then lines.charge_amount_minor end
            ) as charge_amount_minor,
            lines.is_return or details.return_reason_code is not null as is_return
        from raw.bank_statement_line_details as details
        inner join raw.bank_statement_lines as lines
            on
                details.accounting_date = lines.accounting_date
                and details.file_id = lines.file_id
                and details.line_number = lines.line_number
        where
            details.accounting_date >= first_date
            and details.end_to_end_id = wanted_end_to_end_id
    ),

    whole_lines as (
        select
            lines.file_id,
            lines.line_number,
            lines.bank_account_id,
            lines.currency_code,
            lines.amount_minor,
            lines.charge_amount_minor,
            lines.is_return
        from raw.bank_statement_lines as lines
        where
            lines.accounting_date >= first_date
            and lines.end_to_end_id = wanted_end_to_end_id
            and not exists (
                select 1
                from details
                where
                    details.file_id = lines.file_id
                    and details.line_number = lines.line_number
            )
    ),

    notified as (
        select
            entries.file_id,
            entries.line_number,
            entries.bank_account_id,
            entries.currency_code,
            coalesce(details.amount_minor, entries.amount_minor) as amount_minor,
            coalesce(details.charge_amount_minor, entries.charge_amount_minor)
                as charge_amount_minor,
            entries.is_return or details.return_reason_code is not null as is_return
        from raw.bank_notification_entries as entries
        left join raw.bank_notification_details as details
            on
                entries.accounting_date = details.accounting_date
                and entries.file_id = details.file_id
                and entries.line_number = details.line_number
        where
            entries.accounting_date >= first_date
            and entries.entry_state in ('BOOK', 'PDNG')
            and wanted_end_to_end_id in (entries.end_to_end_id, details.end_to_end_id)
    )

    select parts.*
    from (
        select details.*, false as is_notified from details
        union all
        select whole_lines.*, false as is_notified from whole_lines
        union all
        select notified.*, true as is_notified from notified
    ) as parts
    inner join landed on parts.file_id = landed.file_id
$body$;
comment on function payout.bank_parts(text, date) is
'What landed files of the bank say of one payment, received positive (银行侧代付明细).';

-- The day is over where a statement of a later one goes on from its balance, without a gap.
create function payout.statement_after(
    wanted_bank_account_id text, sent_on date, ended_on date,
    out file_id text, out line_number integer, out why text
)
language plpgsql
stable
set search_path = pg_catalog
as $body$
declare
    found record;
begin
    for found in
        with landed as (
            select
                statements.file_id,
                statements.line_number,
                statements.statement_date,
                statements.sequence_number,
                statements.opening_balance_minor,
                lag(statements.closing_balance_minor) over (
                    order by
                        statements.statement_date, statements.sequence_number,
                        statements.file_id, statements.line_number
                ) as closing_before_minor
            from raw.bank_statements as statements
            inner join control.channel_files as files
                on statements.file_id = files.file_id and files.status = 'landed'
            where
                statements.bank_account_id = wanted_bank_account_id
                and statements.accounting_date >= sent_on - 40
                and statements.statement_date >= sent_on - 40
        )

        select landed.*
        from landed
        where landed.statement_date >= (
            select max(before.statement_date)
            from landed as before
            where before.statement_date <= sent_on
        )
        order by
            landed.statement_date, landed.sequence_number, landed.file_id, landed.line_number
    loop
        if found.statement_date > sent_on
            and found.opening_balance_minor is distinct from found.closing_before_minor
        then
            why := format(
                'the statements of account …%s do not join: that of %s does not begin where the '
                'one before it ended', right(wanted_bank_account_id, 4), found.statement_date
            );
            return;
        end if;
        if found.statement_date > ended_on then
            file_id := found.file_id;
            line_number := found.line_number;
            return;
        end if;
    end loop;
    why := format(
        'no statement of account …%s after %s has landed: the debit may still come',
        right(wanted_bank_account_id, 4), ended_on
    );
end
$body$;
comment on function payout.statement_after(text, date, date) is
'The landed statement that proves a day to be over, or why there is none (对账单覆盖).';

-- The versions of the latest close before the day, and what two people have decided since:
-- as int_settlement__account_payees has it.
create function payout.payee_in_force(
    wanted_account_id text, wanted_currency_code text, wanted_on date,
    out payee_id text, out payee_version integer, out is_confirmed boolean
)
language plpgsql
stable
set search_path = pg_catalog
as $body$
#variable_conflict use_column
begin
    with snapshot as (
        select max(terms.accounting_date) as accounting_date
        from clearing.payee_terms as terms
        where terms.accounting_date < wanted_on and terms.accounting_date >= wanted_on - 31
    ),

    decisions as (
        select distinct on (items.change_id)
            items.change_id,
            items.decision
        from control.term_approval_items as items
        cross join snapshot
        where
            items.effective_on > snapshot.accounting_date
            and items.effective_on <= wanted_on
        order by items.change_id, items.effective_on desc, items.approval_id desc
    ),

    versions as (
        select
            terms.payee_id,
            terms.payee_version,
            terms.payee_status,
            terms.effective_from,
            terms.confirmation <> 'waiting'
            or decisions.decision is not distinct from 'approve' as is_confirmed,
            row_number() over (
                partition by terms.payee_id
                order by terms.payee_version desc
            ) as version_order
        from clearing.payee_terms as terms
        inner join snapshot on terms.accounting_date = snapshot.accounting_date
        left join decisions on terms.change_id = decisions.change_id
        where
            terms.is_in_force
            and terms.account_id = wanted_account_id
            and terms.currency_code = wanted_currency_code
            and terms.effective_from <= wanted_on
            and (terms.effective_to is null or terms.effective_to > wanted_on)
            and decisions.decision is distinct from 'reject'
    )

    select versions.payee_id, versions.payee_version, versions.is_confirmed
    into payee_id, payee_version, is_confirmed
    from versions
    where versions.version_order = 1 and versions.payee_status = 'active'
    order by versions.effective_from desc, versions.payee_id
    limit 1;
end
$body$;
comment on function payout.payee_in_force(text, text, date) is
'Whom an account is paid to on a day, read anew, and whether two people confirmed it (现行收款人).';

-- A code that nobody has classified blocks: it is for a person to say that it is harmless.
create function payout.blocking_reason(wanted_payee_id text, wanted_payee_version integer)
returns text
language plpgsql
stable
set search_path = pg_catalog
as $body$
declare
    blocking text;
begin
    select returns.reason_code
    into blocking
    from payout.payee_returns as returns
    left join reference.payee_return_reasons as reasons
        on returns.reason_code = reasons.reason_code
    where
        returns.payee_id = wanted_payee_id
        and returns.payee_version = wanted_payee_version
        and reasons.blocks_payee is distinct from false
    order by returns.returned_on, returns.reason_code
    limit 1;
    return blocking;
end
$body$;
comment on function payout.blocking_reason(text, integer) is
'With which reason a payee version is blocked; NULL where it is not (收款人停用原因).';
"""

WEIGH = """
create type payout.new_attempt_grounds as (
    refusal text,
    why text,
    next_step text,
    statement_id text,
    instruction_id text,
    payment_date date,
    currency_code text,
    amount_minor bigint,
    attempt_no integer,
    previous_attempt_id text,
    previous_status text,
    reason_code text,
    policy text,
    payee_id text,
    payee_version integer,
    account_number_token text,
    account_name_token text,
    bank_code text,
    evidence text,
    evidence_file_id text,
    evidence_line_number integer
);
comment on type payout.new_attempt_grounds is
'What a new attempt stands on, or why there is none: refusal, why, next step (再次代付依据).';

create function payout.weigh_policy(
    grounds payout.new_attempt_grounds, is_person boolean, decided_since timestamptz
) returns payout.new_attempt_grounds
language plpgsql
stable
set search_path = pg_catalog
as $body$
begin
    select reasons.policy
    into grounds.policy
    from reference.payee_return_reasons as reasons
    where reasons.reason_code = grounds.reason_code;
    if grounds.policy is null and not is_person then
        grounds.refusal := 'no_policy';
        grounds.why := case
            when grounds.reason_code is null then 'the bank gave no reason: a person decides'
            else format('nobody has classified reason %s: a person decides', grounds.reason_code)
        end;
    elsif grounds.policy = 'await_payee' and not is_person then
        grounds.refusal := 'await_payee';
        grounds.why := format('reason %s waits for a corrected payee', grounds.reason_code);
    elsif grounds.policy = 'stop' and not (
        is_person
        and exists (
            select 1
            from payout.payout_holds as holds
            inner join payout.payout_hold_releases as releases on holds.hold_id = releases.hold_id
            where holds.statement_id = grounds.statement_id and holds.held_at >= decided_since
        )
    ) then
        grounds.refusal := 'stop';
        grounds.why := format(
            'reason %s stops the payout: two people decide, one holds it, the other releases it',
            grounds.reason_code
        );
    end if;
    if grounds.refusal is not null then
        grounds.next_step := 'tieout payouts show ' || grounds.statement_id;
    end if;
    return grounds;
end
$body$;

create function payout.weigh_payee(
    grounds payout.new_attempt_grounds, account_id text, wanted_on date
) returns payout.new_attempt_grounds
language plpgsql
stable
set search_path = pg_catalog
as $body$
declare
    payee record;
    registered control.payee_versions;
    before record;
    blocking text;
begin
    select * into payee
    from payout.payee_in_force(account_id, grounds.currency_code, wanted_on);
    grounds.next_step :=
        'have the platform deliver a corrected payee, close its date, let two people confirm it';
    if payee.payee_id is null then
        grounds.refusal := 'no_payee';
        grounds.why := format('account %s has no payee in force on %s', account_id, wanted_on);
        return grounds;
    end if;
    blocking := payout.blocking_reason(payee.payee_id, payee.payee_version);
    if blocking is not null then
        grounds.refusal := 'payee_blocked';
        grounds.why := format(
            'payee %s version %s is blocked by reason %s until a newer version lands',
            payee.payee_id, payee.payee_version, blocking
        );
        return grounds;
    end if;
    select
        coalesce(attempted.payee_id, instructions.payee_id) as payee_id,
        coalesce(attempted.payee_version, instructions.payee_version) as payee_version
    into before
    from payout.instructions as instructions
    left join payout.new_attempts as attempted
        on attempted.attempt_id = grounds.previous_attempt_id
    where instructions.instruction_id = grounds.instruction_id;
    if grounds.policy = 'await_payee'
        and (payee.payee_id, payee.payee_version) = (before.payee_id, before.payee_version)
    then
        grounds.refusal := 'payee_same';
        grounds.why := format(
            'payee %s version %s is the one that reason %s came for',
            payee.payee_id, payee.payee_version, grounds.reason_code
        );
        return grounds;
    end if;
    if payee.is_confirmed is distinct from true then
        grounds.refusal := 'payee_unconfirmed';
        grounds.why := format(
            'payee %s version %s waits for two people', payee.payee_id, payee.payee_version
        );
        grounds.next_step := 'tieout terms list, then approve';
        return grounds;
    end if;
    select versions.*
    into registered
    from control.payee_versions as versions
    where
        versions.payee_id = payee.payee_id
        and versions.payee_version = payee.payee_version
        and versions.account_id = weigh_payee.account_id
        and versions.currency_code = grounds.currency_code;
    if registered.payee_id is null then
        grounds.refusal := 'no_payee';
        grounds.why := format(
            'payee %s version %s is not registered for account %s', payee.payee_id,
            payee.payee_version, account_id
        );
        return grounds;
    end if;
    grounds.payee_id := registered.payee_id;
    grounds.payee_version := registered.payee_version;
    grounds.account_number_token := registered.account_number_token;
    grounds.account_name_token := registered.account_name_token;
    grounds.bank_code := registered.bank_code;
    grounds.next_step := null;
    return grounds;
end
$body$;

-- Of every attempt before, not of the last alone: any of them may have paid.
create function payout.weigh_evidence(grounds payout.new_attempt_grounds)
returns payout.new_attempt_grounds
language plpgsql
stable
set search_path = pg_catalog
as $body$
declare
    reserve text[];
    attempted record;
    covering record;
    said record;
    undetailed record;
begin
    select array_agg(accounts.bank_account_id)
    into reserve
    from reference.bank_accounts as accounts
    where
        accounts.account_kind = 'client_reserve'
        and accounts.currency_code = grounds.currency_code;
    grounds.next_step := 'wait for the bank''s statement, land it: tieout outcomes DATE';
    if coalesce(array_length(reserve, 1), 0) <> 1 then
        grounds.refusal := 'no_account';
        grounds.why := format(
            '%s client-reserve accounts in %s', coalesce(array_length(reserve, 1), 0),
            grounds.currency_code
        );
        return grounds;
    end if;
    for attempted in
        select
            attempts.attempt_id,
            attempts.attempt_no,
            attempts.end_to_end_id,
            attempts.batch_message_id,
            attempts.submitted_on,
            ended.status,
            greatest(attempts.submitted_on, ended.business_date) as ended_on
        from payout.attempts as attempts
        cross join lateral (
            select events.status, events.business_date
            from payout.attempt_events as events
            where events.attempt_id = attempts.attempt_id
            order by events.event_no desc
            limit 1
        ) as ended
        where attempts.instruction_id = grounds.instruction_id
        order by attempts.attempt_no desc
    loop
        select
            count(*) filter (where parts.amount_minor < 0) as debit_count,
            count(*) filter (where parts.amount_minor < 0 and not parts.is_notified)
                as stated_debit_count,
            count(*) filter (
                where
                    parts.is_return
                    and not parts.is_notified
                    and parts.currency_code = grounds.currency_code
                    and parts.bank_account_id = reserve[1]
                    and payout.amount_of_return(
                        parts.amount_minor, parts.charge_amount_minor, grounds.amount_minor
                    ) = grounds.amount_minor
            ) as return_count,
            min(parts.file_id || ':' || parts.line_number) filter (where parts.amount_minor < 0)
                as debit_line,
            min(array[parts.file_id, parts.line_number::text]) filter (
                where
                    parts.is_return
                    and not parts.is_notified
                    and parts.currency_code = grounds.currency_code
                    and parts.bank_account_id = reserve[1]
                    and payout.amount_of_return(
                        parts.amount_minor, parts.charge_amount_minor, grounds.amount_minor
                    ) = grounds.amount_minor
            ) as return_line
        into said
        from payout.bank_parts(attempted.end_to_end_id, attempted.submitted_on - 1) as parts;
        if attempted.status = 'returned' then
            if said.return_count = 0 then
                grounds.refusal := 'no_credit';
                grounds.why := format(
                    'no statement of account …%s shows the credit of payment %s yet',
                    right(reserve[1], 4), attempted.end_to_end_id
                );
                return grounds;
            end if;
            if said.stated_debit_count > said.return_count then
                grounds.refusal := 'debit_seen';
                grounds.why := format(
                    'payment %s was debited more often than it came back (line %s)',
                    attempted.end_to_end_id, said.debit_line
                );
                return grounds;
            end if;
        else
            if said.debit_count > 0 then
                grounds.refusal := 'debit_seen';
                grounds.why := format(
                    'payment %s was debited (line %s): it has been paid',
                    attempted.end_to_end_id, said.debit_line
                );
                grounds.next_step := 'tieout outcomes DATE reads the debit';
                return grounds;
            end if;
            -- A debit of the whole file that names no payment: it may hold this one, unless its
            -- amount is that of the others.
            select lines.file_id, lines.line_number
            into undetailed
            from raw.bank_statement_lines as lines
            inner join control.channel_files as files
                on lines.file_id = files.file_id and files.status = 'landed'
            where
                lines.accounting_date >= attempted.submitted_on - 1
                and lines.batch_message_id = attempted.batch_message_id
                and lines.amount_minor < 0
                and not exists (
                    select 1
                    from raw.bank_statement_line_details as details
                    where
                        details.accounting_date = lines.accounting_date
                        and details.file_id = lines.file_id
                        and details.line_number = lines.line_number
                        and details.end_to_end_id is not null
                )
                and -lines.amount_minor <> (
                    select coalesce(sum(instructions.amount_minor), 0)
                    from payout.attempts as others
                    inner join payout.instructions as instructions
                        on others.instruction_id = instructions.instruction_id
                    where
                        others.batch_message_id = attempted.batch_message_id
                        and payout.latest_status(others.attempt_id) in ('paid', 'returned')
                )
            order by lines.file_id, lines.line_number
            limit 1;
            if found then
                grounds.refusal := 'debit_seen';
                grounds.why := format(
                    'line %s:%s debits file %s without naming its payments, and is more than the '
                    'others', undetailed.file_id, undetailed.line_number,
                    attempted.batch_message_id
                );
                return grounds;
            end if;
            select * into covering
            from payout.statement_after(reserve[1], attempted.submitted_on, attempted.ended_on);
            if covering.file_id is null then
                grounds.refusal := 'no_statement';
                grounds.why := covering.why;
                return grounds;
            end if;
        end if;
        if attempted.attempt_id = grounds.previous_attempt_id then
            if attempted.status = 'returned' then
                grounds.evidence := 'credit_line';
                grounds.evidence_file_id := said.return_line[1];
                grounds.evidence_line_number := said.return_line[2];
            else
                grounds.evidence := 'statement_without_debit';
                grounds.evidence_file_id := covering.file_id;
                grounds.evidence_line_number := covering.line_number;
            end if;
        end if;
    end loop;
    grounds.next_step := null;
    return grounds;
end
$body$;

create function payout.weigh_limits(
    grounds payout.new_attempt_grounds, wanted_on date, last_event_on date
) returns payout.new_attempt_grounds
language plpgsql
stable
set search_path = pg_catalog
as $body$
declare
    limits record;
    today record;
    last_statement_on date;
begin
    select
        rules.statement_attempt_limit,
        rules.day_attempt_limit,
        rules.day_amount_limit_minor
    into limits
    from reference.payout_retry_limits as rules
    where rules.currency_code = grounds.currency_code;
    select count(*) as attempt_count, coalesce(sum(attempts.amount_minor), 0) as amount_minor
    into today
    from payout.new_attempts as attempts
    where attempts.paid_on = wanted_on and attempts.currency_code = grounds.currency_code;
    -- The bank's clock: a day far ahead would have limits of its own.
    select max(statements.statement_date)
    into last_statement_on
    from raw.bank_statements as statements
    inner join control.channel_files as files
        on statements.file_id = files.file_id and files.status = 'landed'
    where statements.accounting_date >= wanted_on - 62;
    grounds.next_step := 'tieout payouts retry on another working day';
    if wanted_on < last_event_on then
        grounds.refusal := 'wrong_date';
        grounds.why := format('%s lies before the payment''s end on %s', wanted_on, last_event_on);
    elsif last_statement_on is null or wanted_on > last_statement_on + 10 then
        grounds.refusal := 'wrong_date';
        grounds.why := format(
            '%s lies more than 10 days after the bank''s last statement (%s)', wanted_on,
            coalesce(last_statement_on::text, 'none')
        );
    elsif wanted_on < last_statement_on then
        grounds.refusal := 'wrong_date';
        grounds.why := format(
            '%s is over: the bank''s last statement is of %s', wanted_on, last_statement_on
        );
    elsif not exists (
        select 1
        from reference.calendar_days as days
        where days.calendar_date = wanted_on and days.is_working_day
    ) then
        grounds.refusal := 'wrong_date';
        grounds.why := format('%s is no working day', wanted_on);
    elsif limits is null then
        grounds.refusal := 'no_limit';
        grounds.why := format(
            'reference.payout_retry_limits has no row for %s', grounds.currency_code
        );
    elsif grounds.attempt_no > limits.statement_attempt_limit then
        grounds.refusal := 'limit';
        grounds.why := format(
            'it had %s attempts, the limit of a statement is %s', grounds.attempt_no - 1,
            limits.statement_attempt_limit
        );
    elsif today.attempt_count >= limits.day_attempt_limit then
        grounds.refusal := 'limit';
        grounds.why := format(
            '%s payments were repeated on %s, the limit of a day is %s', today.attempt_count,
            wanted_on, limits.day_attempt_limit
        );
    elsif today.amount_minor + grounds.amount_minor > limits.day_amount_limit_minor then
        grounds.refusal := 'limit';
        grounds.why := format(
            'with it %s minor units %s would be repeated on %s, the limit of a day is %s',
            today.amount_minor + grounds.amount_minor, grounds.currency_code, wanted_on,
            limits.day_amount_limit_minor
        );
    else
        grounds.next_step := null;
    end if;
    return grounds;
end
$body$;

create function payout.weigh_new_attempt(
    wanted_statement_id text, wanted_on date, is_person boolean
) returns payout.new_attempt_grounds
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    grounds payout.new_attempt_grounds;
    instruction payout.instructions;
    stated record;
    latest record;
    blocking record;
begin
    grounds.statement_id := wanted_statement_id;
    grounds.next_step := 'tieout payouts list';
    select * into instruction
    from payout.instructions
    where statement_id = wanted_statement_id;
    if instruction.instruction_id is null then
        grounds.refusal := 'unknown_statement';
        grounds.why := format('statement %s was never instructed', wanted_statement_id);
        return grounds;
    end if;
    grounds.next_step := 'tieout payouts show ' || wanted_statement_id;
    grounds.instruction_id := instruction.instruction_id;
    grounds.payment_date := instruction.payment_date;
    grounds.currency_code := instruction.currency_code;
    grounds.amount_minor := instruction.amount_minor;
    select
        attempts.attempt_id,
        attempts.attempt_no,
        coalesce(events.status, 'created') as status,
        events.reason_code,
        events.business_date,
        events.recorded_at
    into latest
    from payout.attempts as attempts
    left join lateral (
        select present.status, present.reason_code, present.business_date, present.recorded_at
        from payout.attempt_events as present
        where present.attempt_id = attempts.attempt_id
        order by present.event_no desc
        limit 1
    ) as events on true
    where attempts.instruction_id = instruction.instruction_id
    order by attempts.attempt_no desc
    limit 1;
    if latest.attempt_id is null then
        grounds.refusal := 'never_attempted';
        grounds.why := 'it was never attempted: its payment date makes the first attempt';
        grounds.next_step := 'tieout pay ' || instruction.payment_date;
        return grounds;
    end if;
    grounds.attempt_no := latest.attempt_no + 1;
    grounds.previous_attempt_id := latest.attempt_id;
    grounds.previous_status := latest.status;
    grounds.reason_code := latest.reason_code;
    select attempts.attempt_no, payout.latest_status(attempts.attempt_id) as status
    into blocking
    from payout.attempts as attempts
    where
        attempts.instruction_id = instruction.instruction_id
        and coalesce(payout.latest_status(attempts.attempt_id), 'created')
        not in ('failed', 'returned')
    order by attempts.attempt_no desc
    limit 1;
    if found then
        grounds.refusal := case when blocking.status = 'paid' then 'paid' else 'open' end;
        grounds.why := format(
            'its attempt %s is %s%s', blocking.attempt_no, coalesce(blocking.status, 'created'),
            case when blocking.status = 'paid' then '' else ' and may still pay' end
        );
        return grounds;
    end if;
    if payout.is_held(wanted_statement_id) then
        grounds.refusal := 'held';
        grounds.why := 'a person holds it';
        return grounds;
    end if;
    select statements.payout_amount_minor, statements.currency_code, statements.account_id
    into stated
    from settlement.settlement_statements as statements
    where
        statements.payment_date = instruction.payment_date
        and statements.statement_id = wanted_statement_id;
    if (stated.payout_amount_minor, stated.currency_code, stated.account_id)
        is distinct from
        (instruction.amount_minor, instruction.currency_code, instruction.account_id)
    then
        grounds.refusal := 'statement_changed';
        grounds.why := 'its instruction is not what the statement says';
        return grounds;
    end if;
    grounds := payout.weigh_policy(grounds, is_person, latest.recorded_at);
    if grounds.refusal is null then
        grounds := payout.weigh_payee(grounds, instruction.account_id, wanted_on);
    end if;
    if grounds.refusal is null then
        grounds := payout.weigh_evidence(grounds);
    end if;
    if grounds.refusal is null then
        grounds := payout.weigh_limits(grounds, wanted_on, latest.business_date);
    end if;
    return grounds;
end
$body$;
comment on function payout.weigh_new_attempt(text, date, boolean) is
'What a new attempt of a statement would stand on, or why it is refused (再次代付核查).';
"""

NEW_ATTEMPT = """
create function payout.end_to_end_id(statement_id text, attempt_no integer) returns text
language plpgsql
immutable
set search_path = pg_catalog
as $body$
declare
    result text := statement_id || '-' || attempt_no;
begin
    -- An abbreviation could make two payments share an id.
    if result is null or length(result) > 35 or result !~ '^[A-Za-z0-9/\\-?:().,''+]+$' then
        raise exception 'statement % gives no valid end-to-end id: % has % characters',
            statement_id, result, length(result)
        using
            errcode = 'restrict_violation',
            hint = 'At most 35 characters, of the plain set of payment systems.';
    end if;
    return result;
end
$body$;
comment on function payout.end_to_end_id(text, integer) is
'The id that the bank sees, of statement and attempt (端到端标识).';

create function payout.new_attempt(
    wanted_statement_id text, wanted_on date, wanted_by text default null,
    wanted_reason text default null
) returns text
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    grounds payout.new_attempt_grounds;
    is_person boolean := pg_has_role(session_user, 'tieout_people', 'member');
    batch_head text;
    batch record;
    new_end_to_end_id text;
    new_attempt_id text;
begin
    if is_person
        and (
            coalesce(control.person_key(wanted_by), '') = ''
            or coalesce(btrim(wanted_reason), '') = ''
        )
    then
        raise exception 'a new attempt needs a name and a reason'
        using errcode = 'restrict_violation', constraint = 'nameless';
    end if;
    -- In this order everywhere: the payment date, the instruction, the day's limits.
    perform control.lock_payment_date(
        coalesce(payout.payment_date_of(wanted_statement_id), wanted_on)
    );
    perform 1
    from payout.instructions
    where statement_id = wanted_statement_id
    for update;
    perform pg_advisory_xact_lock(hashtextextended('tieout.new_attempts.' || wanted_on, 0));
    grounds := payout.weigh_new_attempt(wanted_statement_id, wanted_on, is_person);
    if grounds.refusal is not null then
        raise exception 'statement % is not paid again: %', wanted_statement_id, grounds.why
        using
            errcode = 'restrict_violation',
            constraint = grounds.refusal,
            hint = grounds.next_step;
    end if;

    -- A file of its own, of one payment date, one day and one currency; on record it is closed.
    batch_head := format(
        'PA%s-%s-%s-', to_char(wanted_on, 'YYYYMMDD'), to_char(grounds.payment_date, 'YYYYMMDD'),
        grounds.currency_code
    );
    select
        coalesce(max(right(batches.batch_message_id, 3)::integer), 0) as batch_no,
        coalesce(bool_and(batches.is_open) filter (where batches.batch_order = 1), false)
            as is_open
    into batch
    from (
        select
            attempts.batch_message_id,
            count(*) < 3000
            and not exists (
                select 1
                from payout.outbox_files as files
                where files.batch_message_id = attempts.batch_message_id
            ) as is_open,
            row_number() over (order by attempts.batch_message_id desc) as batch_order
        from payout.attempts as attempts
        where starts_with(attempts.batch_message_id, batch_head)
        group by attempts.batch_message_id
    ) as batches;
    new_end_to_end_id := payout.end_to_end_id(wanted_statement_id, grounds.attempt_no);
    new_attempt_id := 'A-' || new_end_to_end_id;

    insert into payout.new_attempts (
        attempt_id, previous_attempt_id, statement_id, paid_on, currency_code, amount_minor,
        payee_id, payee_version, account_number_token, account_name_token, bank_code,
        previous_status, reason_code, policy, evidence, evidence_file_id, evidence_line_number,
        requested_by, reason
    )
    values (
        new_attempt_id, grounds.previous_attempt_id, wanted_statement_id, wanted_on,
        grounds.currency_code, grounds.amount_minor, grounds.payee_id, grounds.payee_version,
        grounds.account_number_token, grounds.account_name_token, grounds.bank_code,
        grounds.previous_status, grounds.reason_code, grounds.policy, grounds.evidence,
        grounds.evidence_file_id, grounds.evidence_line_number,
        case when is_person then wanted_by else 'policy' end,
        case
            when is_person then wanted_reason
            else format('policy %s of reason %s', grounds.policy, grounds.reason_code)
        end
    );
    insert into payout.attempts (
        attempt_id, instruction_id, attempt_no, end_to_end_id, batch_message_id, submitted_on
    )
    values (
        new_attempt_id, grounds.instruction_id, grounds.attempt_no, new_end_to_end_id,
        batch_head || lpad((batch.batch_no + (not batch.is_open)::integer)::text, 3, '0'),
        wanted_on
    );
    delete from payout.open_attempts where attempt_id = grounds.previous_attempt_id;
    insert into payout.attempt_events (attempt_id, event_no, status, business_date, detail)
    values (
        new_attempt_id, 1, 'created', wanted_on,
        format('%s, after %s', grounds.evidence, grounds.previous_status)
    );
    return new_attempt_id;
end
$body$;
comment on function payout.new_attempt(text, date, text, text) is
'Pay a failed or returned statement again, with its evidence; raises where it has none (再次代付).';
"""

GUARD = """
create function payout.guard_new_attempts() returns trigger
language plpgsql
set search_path = pg_catalog
as $body$
declare
    bad record;
begin
    select instructions.statement_id
    into bad
    from new_rows
    inner join payout.instructions as instructions
        on new_rows.instruction_id = instructions.instruction_id
    where payout.is_held(instructions.statement_id)
    order by instructions.statement_id
    limit 1;
    if found then
        raise exception 'statement % is held: a person stops it from being paid', bad.statement_id
        using
            errcode = 'restrict_violation',
            hint = 'A second person releases it: tieout payouts release.';
    end if;
    select new_rows.attempt_id
    into bad
    from new_rows
    inner join payout.instructions as instructions
        on new_rows.instruction_id = instructions.instruction_id
    left join payout.new_attempts as grounds on new_rows.attempt_id = grounds.attempt_id
    where
        new_rows.attempt_no > 1
        and (
            grounds.statement_id is distinct from instructions.statement_id
            or grounds.paid_on is distinct from new_rows.submitted_on
            or new_rows.end_to_end_id
            is distinct from instructions.statement_id || '-' || new_rows.attempt_no
        )
    order by new_rows.attempt_id
    limit 1;
    if found then
        raise exception 'attempt % has no evidence: a new attempt is made by payout.new_attempt()',
            bad.attempt_id
        using errcode = 'restrict_violation', hint = 'tieout payouts retry';
    end if;
    return null;
end
$body$;

create trigger attempts_guard_new
after insert on payout.attempts
referencing new table as new_rows
for each statement execute function payout.guard_new_attempts();
"""

GRANTS = """
revoke execute on function
    payout.hold(text, text, text),
    payout.release_hold(text, text, text),
    payout.new_attempt(text, date, text, text),
    payout.weigh_new_attempt(text, date, boolean)
from public;
grant execute on function
    payout.hold(text, text, text),
    payout.release_hold(text, text, text)
to tieout_people;
grant execute on function payout.new_attempt(text, date, text, text)
to tieout_payout, tieout_people;
grant execute on function payout.weigh_new_attempt(text, date, boolean)
to tieout_payout, tieout_people, tieout_finance;
grant insert on payout.inquiries to tieout_payout;
grant update (is_told) on payout.outcome_problems to tieout_payout;
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
    """Create what paying again stands on, and the function that does it."""
    op.execute(REFERENCE)
    op.execute(TABLES)
    op.execute(OPEN)
    op.execute(HOLDS)
    op.execute(EVIDENCE)
    op.execute(WEIGH)
    op.execute(NEW_ATTEMPT)
    op.execute(GUARD)
    op.execute(GRANTS)
    for table in ("new_attempts", "payout_holds", "payout_hold_releases", "inquiries"):
        op.execute(APPEND_ONLY.format(table=table))
