"""Whom we pay and what the gate read are part of its decision, and the database checks both.

What a payee's version says is kept in one register and never changes; the fingerprint of the
statements covers it. A decision that passes is refused where the gate's own tables contradict it,
and keeps what it was made from; nothing is instructed, attempted, put out or sealed once that has
changed. What is put into the outbox is on record before it is there.
"""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

PAYEES = """
-- NULL in the rows of files that landed before; no file that lands now leaves it out.
alter table raw.platform_payees add column account_name_token text;

create table control.payee_versions (
    payee_id text not null,
    payee_version integer not null check (payee_version > 0),
    account_id text not null,
    currency_code text not null,
    bank_code text not null,
    account_number_token text not null,
    account_name_token text not null,
    effective_from date not null,
    file_id text not null
        references control.channel_files (file_id) deferrable initially deferred,
    line_number integer not null,
    accounting_date date not null,
    primary key (payee_id, payee_version)
);
comment on table control.payee_versions is
'What each version of a payee says, and the row that said it first (收款人版本登记).';

create function control.keep_payee_version() returns trigger
language plpgsql
set search_path = pg_catalog
as $body$
begin
    if tg_op <> 'DELETE' then
        raise exception 'payee % version % never changes', old.payee_id, old.payee_version
        using
            errcode = 'restrict_violation',
            hint = 'Another account, name, bank or currency is another version.';
    end if;
    if exists (
        select 1
        from payout.instructions
        where payee_id = old.payee_id and payee_version = old.payee_version
    ) then
        raise exception 'payee % version % was paid: it never changes', old.payee_id,
            old.payee_version
        using errcode = 'restrict_violation';
    end if;
    if exists (
        select 1
        from control.channel_files
        where file_id = old.file_id and status = 'landed'
    ) then
        raise exception 'payee % version % stands in the landed file %', old.payee_id,
            old.payee_version, old.file_id
        using
            errcode = 'restrict_violation',
            hint = 'Only what a file said that no longer counts is replaced.';
    end if;
    return old;
end
$body$;

create trigger payee_versions_kept
before update or delete on control.payee_versions
for each row execute function control.keep_payee_version();
create trigger payee_versions_no_truncate
before truncate on control.payee_versions
for each statement execute function control.refuse_change();

-- NULL in instructions of before; the guard accepts no new one without them.
alter table payout.instructions
add column account_number_token text,
add column account_name_token text,
add column bank_code text;
"""

FINGERPRINT = """
create or replace function gate.statement_fingerprint(wanted_payment_date date) returns text
language plpgsql
stable
set search_path = pg_catalog
as $body$
declare
    result text;
begin
    -- dbt makes the table with its first build; before that there is nothing to pay.
    if to_regclass('settlement.settlement_statements') is null then
        return null;
    end if;
    select encode(
        sha256(
            convert_to(
                coalesce(
                    string_agg(
                        format(
                            '%s|%s|%s|%s|%s|%s|%s|%s',
                            statements.statement_id,
                            statements.payout_amount_minor,
                            statements.currency_code,
                            statements.payee_id,
                            statements.payee_version,
                            payees.account_number_token,
                            payees.account_name_token,
                            payees.bank_code
                        ),
                        E'\\n' order by statements.statement_id collate "C"
                    ),
                    ''
                ),
                'UTF8'
            )
        ),
        'hex'
    )
    into result
    from settlement.settlement_statements as statements
    left join control.payee_versions as payees
        on
            statements.payee_id = payees.payee_id
            and statements.payee_version = payees.payee_version
    where
        statements.payment_date = wanted_payment_date
        and statements.payable_status = 'payable'
        and statements.payout_amount_minor > 0;
    return result;
end
$body$;
"""

# Each part has a function of its own: a migration that adds a kind of input adds one, and replaces
# `control.gate_inputs`.
INPUTS = """
create table control.gate_decision_inputs (
    decision_id bigint not null references control.gate_decisions (decision_id),
    input_kind text not null,
    input_key text not null,
    content text not null,
    primary key (decision_id, input_kind, input_key)
);
comment on table control.gate_decision_inputs is
'What a decision of the gate was made from; it stands while this does (闸门决定的输入).';

create function control.first_paid_date(wanted_payment_date date) returns date
language plpgsql
stable
set search_path = pg_catalog
as $body$
begin
    if to_regclass('reference.calendar_days') is null then
        return wanted_payment_date - 1;
    end if;
    return coalesce(
        (
            select previous_working_day
            from reference.calendar_days
            where calendar_date = wanted_payment_date
        ),
        wanted_payment_date - 1
    );
end
$body$;
comment on function control.first_paid_date(date) is
'The first accounting date a payment date pays: the working day before it (首个被支付会计日).';

-- The files of the dates that are paid, and the bank's statements up to the payment date. Forty
-- days hold every chain of balances that a gate follows, holidays included.
create function control.gate_input_files(wanted_payment_date date)
returns table (input_kind text, input_key text, content text)
language sql
stable
set search_path = pg_catalog
as $body$
    select
        'file' as input_kind,
        files.file_id as input_key,
        concat_ws(
            ' ',
            files.sha256,
            files.booked_on,
            (
                select count(*)
                from control.file_decisions as decisions
                where decisions.file_id = files.file_id
            )
        ) as content
    from control.channel_files as files
    where
        files.status = 'landed'
        and files.accounting_date between wanted_payment_date - 40 and wanted_payment_date
        and case
            when files.channel = 'bank' then files.file_kind not in ('pain002', 'camt054')
            else
                files.accounting_date >= control.first_paid_date(wanted_payment_date)
                and files.accounting_date < wanted_payment_date
        end
$body$;

create function control.gate_input_closes(wanted_payment_date date)
returns table (input_kind text, input_key text, content text)
language sql
stable
set search_path = pg_catalog
as $body$
    select
        'close' as input_kind,
        dates.accounting_date::date::text as input_key,
        case
            when days.state is null or days.state = 'open' then 'open'
            else concat_ws(' ', 'closed', days.close_count, days.inputs_fingerprint)
        end as content
    from generate_series(
        control.first_paid_date(wanted_payment_date)::timestamp,
        wanted_payment_date::timestamp - interval '1 day',
        interval '1 day'
    ) as dates (accounting_date)
    left join control.accounting_days as days
        on dates.accounting_date::date = days.accounting_date
$body$;

-- What people decided with effect on the dates that are paid; without approval it has none.
create function control.gate_input_people(wanted_payment_date date)
returns table (input_kind text, input_key text, content text)
language sql
stable
set search_path = pg_catalog
as $body$
    select
        'people' as input_kind,
        'reconciliation.actions' as input_key,
        encode(
            sha256(
                convert_to(
                    coalesce(
                        string_agg(
                            format(
                                '%s|%s|%s|%s|%s|%s|%s',
                                actions.action_id,
                                actions.action_kind,
                                actions.suspense_item_id,
                                actions.second_item_id,
                                actions.account_id,
                                to_char(actions.effective_on, 'YYYY-MM-DD'),
                                approvals.approved_by
                            ),
                            E'\\n' order by actions.action_id
                        ),
                        ''
                    ),
                    'UTF8'
                )
            ),
            'hex'
        ) as content
    from reconciliation.actions as actions
    inner join reconciliation.action_approvals as approvals
        on actions.action_id = approvals.action_id
    where
        actions.effective_on >= control.first_paid_date(wanted_payment_date)
        and actions.effective_on < wanted_payment_date
$body$;

create function control.gate_input_reference()
returns table (input_kind text, input_key text, content text)
language plpgsql
stable
set search_path = pg_catalog
set datestyle = 'ISO, YMD'
set timezone = 'UTC'
as $body$
declare
    found record;
begin
    for found in
        select tables.relname
        from pg_class as tables
        where
            tables.relnamespace = to_regnamespace('reference')
            and tables.relkind in ('r', 'p')
        order by tables.relname
    loop
        input_kind := 'reference';
        input_key := found.relname;
        execute format(
            'select encode(sha256(convert_to(coalesce(string_agg(rows::text, E''\\n'''
            ' order by rows::text collate "C"), ''''), ''UTF8'')), ''hex'')'
            ' from reference.%I as rows',
            found.relname
        )
        into content;
        return next;
    end loop;
end
$body$;

create function control.gate_inputs(wanted_payment_date date)
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
    select * from control.gate_input_reference()
$body$;
comment on function control.gate_inputs(date) is
'What a gate of the payment date reads, as it is now: kind, key, content (闸门输入).';

-- A file that came since is of another place (the evening's statement, an answer): none of what the
-- gate read. One that belongs to a date that is paid opens the date, and so changes its close.
create function control.changed_gate_inputs(wanted_decision_id bigint)
returns table (input_kind text, input_key text, change text)
language sql
stable
set search_path = pg_catalog
as $body$
    with stored as (
        select input_kind, input_key, content
        from control.gate_decision_inputs
        where decision_id = wanted_decision_id
    ),

    present as (
        select inputs.input_kind, inputs.input_key, inputs.content
        from control.gate_decisions as decisions
        cross join lateral control.gate_inputs(decisions.payment_date) as inputs
        where decisions.decision_id = wanted_decision_id
    )

    select
        coalesce(stored.input_kind, present.input_kind) as input_kind,
        coalesce(stored.input_key, present.input_key) as input_key,
        case
            when present.input_key is null then 'does not count any more'
            when stored.input_key is null then 'is new'
            else 'has changed'
        end as change
    from stored
    full join present
        on stored.input_kind = present.input_kind and stored.input_key = present.input_key
    where
        exists (select 1 from stored)
        and stored.content is distinct from present.content
        and not (stored.input_key is null and present.input_kind = 'file')
    union all
    select 'decision' as input_kind, 'all' as input_key, 'has no inputs on record' as change
    where not exists (select 1 from stored)
$body$;

create function control.changed_gate_inputs_text(wanted_decision_id bigint) returns text
language sql
stable
set search_path = pg_catalog
as $body$
    with changed as (
        select
            shown.*,
            row_number() over (order by shown.input_kind, shown.input_key) as position
        from control.changed_gate_inputs(wanted_decision_id) as shown
    )

    select
        string_agg(
            format(
                '%s %s%s %s',
                changed.input_kind,
                changed.input_key,
                ' (' || files.file_name || ')',
                changed.change
            ),
            '; ' order by changed.position
        ) filter (where changed.position <= 3)
        || case when count(*) > 3 then format('; and %s more', count(*) - 3) else '' end
    from changed
    left join control.channel_files as files
        on changed.input_kind = 'file' and changed.input_key = files.file_id
$body$;
comment on function control.changed_gate_inputs_text(bigint) is
'Which inputs of a decision have changed since, in one line; NULL where none has (输入变更).';

create function control.store_gate_inputs() returns trigger
language plpgsql
set search_path = pg_catalog
as $body$
begin
    insert into control.gate_decision_inputs (decision_id, input_kind, input_key, content)
    select new.decision_id, inputs.input_kind, inputs.input_key, inputs.content
    from control.gate_inputs(new.payment_date) as inputs;
    return null;
end
$body$;

create trigger gate_decisions_keep_inputs
after insert on control.gate_decisions
for each row execute function control.store_gate_inputs();

-- Inputs come from the decision's own trigger, never from a statement of somebody's.
create function control.guard_gate_inputs() returns trigger
language plpgsql
set search_path = pg_catalog
as $body$
begin
    if pg_trigger_depth() < 2 then
        raise exception 'inputs of a decision are stored with the decision, by the database'
        using errcode = 'restrict_violation';
    end if;
    return new;
end
$body$;

create trigger gate_decision_inputs_guard
before insert on control.gate_decision_inputs
for each row execute function control.guard_gate_inputs();
"""

DECISIONS = """
create function control.why_not_passed(wanted_payment_date date) returns text
language plpgsql
stable
set search_path = pg_catalog
as $body$
declare
    found_text text;
begin
    select string_agg(names.name, ', ' order by names.name)
    into found_text
    from unnest(
        array[
            'gate.balance_equation', 'gate.gate_checks', 'settlement.settlement_statements',
            'reference.channels', 'reference.channel_currencies', 'reference.calendar_days',
            'reference.required_gate_checks'
        ]
    ) as names (name)
    where to_regclass(names.name) is null;
    if found_text is not null then
        return 'there is no table ' || found_text;
    end if;

    -- Which groups there have to be is read from calendar and operating window, not from the table
    -- that is checked: that would agree with itself.
    with operating_window as (
        select
            windows.first_accounting_date,
            coalesce(windows.last_accounting_date, date '9999-12-31') as last_accounting_date
        from raw.platform_operating_window as windows
        inner join control.channel_files as files on windows.file_id = files.file_id
        where files.status = 'landed'
        order by windows.accounting_date desc, windows.file_id asc, windows.line_number asc
        limit 1
    ),

    arrivals as (
        select
            channels.channel,
            currencies.currency_code,
            days.calendar_date as accounting_date,
            case channels.arrival_calendar
                when 'working_day' then earliest.working_day_on_or_after
                when 'calendar_day' then earliest.calendar_date
            end as arrival_date
        from reference.channels as channels
        inner join reference.channel_currencies as currencies
            on channels.channel = currencies.channel
        cross join operating_window
        inner join reference.calendar_days as days
            on
                days.calendar_date between operating_window.first_accounting_date
                and operating_window.last_accounting_date
                and days.calendar_date between wanted_payment_date - 40 and wanted_payment_date
        inner join reference.calendar_days as earliest
            on earliest.calendar_date = days.calendar_date + channels.arrival_lag_days
    ),

    expected as (
        select
            arrivals.channel,
            arrivals.currency_code,
            arrivals.accounting_date,
            arrivals.arrival_date
        from arrivals
        inner join reference.calendar_days as payments
            on
                payments.calendar_date
                = greatest(arrivals.arrival_date, arrivals.accounting_date + 1)
        where payments.working_day_on_or_after = wanted_payment_date
    ),

    missing as (
        select
            expected.channel || ' ' || expected.currency_code || ' of '
            || to_char(expected.accounting_date, 'YYYY-MM-DD') as name
        from expected
        where (
            select count(*)
            from gate.balance_equation as equation
            where
                equation.payment_date = wanted_payment_date
                and equation.channel = expected.channel
                and equation.currency_code = expected.currency_code
                and equation.arrival_date = expected.arrival_date
                and expected.accounting_date = any(equation.accounting_dates)
        ) <> 1
    )

    select
        case
            when not exists (select 1 from expected) then 'it pays no accounting date'
            else 'the balance equation has not one arrival group of ' || min(missing.name)
        end
    into found_text
    from missing;
    if found_text is not null then
        return found_text;
    end if;

    select format('the residual of %s is %s', min(arrival_group_id), coalesce(
        min(residual_minor)::text, 'missing'
    ))
    into found_text
    from gate.balance_equation
    where payment_date = wanted_payment_date and residual_minor is distinct from 0
    having count(*) > 0;
    if found_text is not null then
        return found_text;
    end if;

    if not exists (select 1 from reference.required_gate_checks) then
        return 'no check is required of it: reference.required_gate_checks is empty';
    end if;
    select 'the check ' || min(required.check_name) || ' has no result'
    into found_text
    from reference.required_gate_checks as required
    where not exists (
        select 1
        from gate.gate_checks as checks
        where
            checks.payment_date = wanted_payment_date
            and checks.check_name = required.check_name
    )
    having count(*) > 0;
    if found_text is not null then
        return found_text;
    end if;
    select format('the check %s does not hold', min(check_name))
    into found_text
    from gate.gate_checks
    where payment_date = wanted_payment_date and holds is distinct from true
    having count(*) > 0;
    return found_text;
end
$body$;
comment on function control.why_not_passed(date) is
'What in the gate''s own tables contradicts a passed decision, or NULL (为何不得通过).';

create function control.guard_decision() returns trigger
language plpgsql
set search_path = pg_catalog
as $body$
declare
    reason text;
    latest record;
    covered record;
begin
    if new.outcome = 'failed' then
        return null;
    end if;
    if to_regclass('settlement.settlement_statements') is null then
        reason := 'there is no table settlement.settlement_statements';
    else
        select
            count(*) as statement_count,
            coalesce(sum(statements.payout_amount_minor), 0) as payout_amount_minor,
            min(statements.statement_id) filter (where payees.payee_id is null) as without_payee
        into covered
        from settlement.settlement_statements as statements
        left join control.payee_versions as payees
            on
                statements.payee_id = payees.payee_id
                and statements.payee_version = payees.payee_version
                and statements.account_id = payees.account_id
                and statements.currency_code = payees.currency_code
        where
            statements.payment_date = new.payment_date
            and statements.payable_status = 'payable'
            and statements.payout_amount_minor > 0;
        reason := case
            when new.fingerprint is distinct from gate.statement_fingerprint(new.payment_date)
                then 'its fingerprint is not that of the statements'
            when covered.statement_count <> new.statements_covered
                then format(
                    'it covers %s statements, there are %s', new.statements_covered,
                    covered.statement_count
                )
            when covered.payout_amount_minor <> new.payout_amount_minor
                then format(
                    'it covers %s minor units, the statements pay %s', new.payout_amount_minor,
                    covered.payout_amount_minor
                )
            when covered.without_payee is not null
                then format(
                    'the payee of statement %s is not registered for its account and currency',
                    covered.without_payee
                )
        end;
    end if;
    if reason is null and new.outcome = 'passed' then
        reason := control.why_not_passed(new.payment_date);
    end if;
    if reason is null and new.outcome = 'released' then
        select decision_id, outcome, fingerprint
        into latest
        from control.gate_decisions
        where payment_date = new.payment_date and decision_id <> new.decision_id
        order by decision_id desc
        limit 1;
        reason := case
            when latest is null then 'the gate has not decided'
            when latest.outcome <> 'failed'
                then format('the latest decision (%s) says %s', latest.decision_id, latest.outcome)
            when latest.fingerprint is distinct from new.fingerprint
                then 'the statements are not those the gate failed on'
            else control.changed_gate_inputs_text(latest.decision_id)
        end;
    end if;
    if reason is not null then
        raise exception 'payment date % cannot be %: %', new.payment_date, new.outcome, reason
        using
            errcode = 'restrict_violation',
            hint = 'Run the gate of the payment date; it says what does not hold.';
    end if;
    return null;
end
$body$;

create trigger gate_decisions_of_the_tables
after insert on control.gate_decisions
for each row execute function control.guard_decision();
"""

PAYING = """
create table payout.outbox_files (
    batch_message_id text primary key,
    payment_date date not null,
    file_path text not null unique,
    sha256 text not null check (sha256 ~ '^[0-9a-f]{64}$'),
    size_bytes bigint not null check (size_bytes > 0),
    payment_count integer not null check (payment_count > 0),
    amount_minor bigint not null check (amount_minor > 0),
    currency_code text not null check (currency_code ~ '^[A-Z]{3}$'),
    recorded_at timestamptz not null default now()
);
create index outbox_files_by_payment_date on payout.outbox_files (payment_date);
comment on table payout.outbox_files is
'Each payment file, on record before it can be fetched; none is put out twice (出款文件登记).';

create function payout.is_submitted(wanted_payment_date date) returns boolean
language sql
stable
set search_path = pg_catalog
as $body$
    select
        exists (
            select 1
            from payout.outbox_files
            where payment_date = wanted_payment_date
        )
        or exists (
            select 1
            from payout.instructions as instructions
            inner join payout.attempts as attempts
                on instructions.instruction_id = attempts.instruction_id
            inner join payout.attempt_events as events
                on attempts.attempt_id = events.attempt_id
            where
                instructions.payment_date = wanted_payment_date
                and events.status = 'submitted'
        )
$body$;
comment on function payout.is_submitted(date) is
'Whether anything of the payment date may have reached the bank (是否已提交).';

create function control.require_decision(wanted_payment_date date) returns bigint
language plpgsql
set search_path = pg_catalog
as $body$
declare
    decision record;
    changed text;
begin
    perform control.lock_payment_date(wanted_payment_date);
    -- The lock keeps the statements as they are until this transaction ends.
    if to_regclass('settlement.settlement_statements') is null then
        raise exception 'payment date % has no statements', wanted_payment_date
        using errcode = 'restrict_violation';
    end if;
    lock table settlement.settlement_statements in access share mode;

    select decision_id, outcome, fingerprint
    into decision
    from control.gate_decisions
    where payment_date = wanted_payment_date
    order by decision_id desc
    limit 1;
    if decision is null or decision.outcome not in ('passed', 'released') then
        raise exception 'payment date % may not be paid: the gate %', wanted_payment_date,
            coalesce('says ' || decision.outcome, 'has not decided')
        using
            errcode = 'restrict_violation',
            hint = 'Run the gate of the payment date.';
    end if;
    if decision.fingerprint is distinct from gate.statement_fingerprint(wanted_payment_date) then
        raise exception 'payment date % may not be paid: its statements are not those the '
            'gate decided on (decision %)', wanted_payment_date, decision.decision_id
        using
            errcode = 'restrict_violation',
            hint = 'Statements were rebuilt after the decision. Run the gate again.';
    end if;
    changed := control.changed_gate_inputs_text(decision.decision_id);
    if changed is not null then
        raise exception 'payment date % may not be paid: since the gate decided (decision %), %',
            wanted_payment_date, decision.decision_id, changed
        using
            errcode = 'restrict_violation',
            hint = 'The gate has to run again, on what is there now.';
    end if;
    return decision.decision_id;
end
$body$;
comment on function control.require_decision(date) is
'The decision that lets a payment date be paid now; raises where none stands (有效闸门决定).';

create or replace function payout.guard_instructions() returns trigger
language plpgsql
set search_path = pg_catalog
as $body$
declare
    payment record;
    allowed bigint;
    bad record;
begin
    for payment in
        select distinct payment_date from new_rows order by payment_date
    loop
        allowed := control.require_decision(payment.payment_date);
        select new_rows.statement_id
        into bad
        from new_rows
        where
            new_rows.payment_date = payment.payment_date
            and new_rows.decision_id is distinct from allowed
        order by new_rows.statement_id
        limit 1;
        if found then
            raise exception 'instruction of statement % does not name the latest decision (%)',
                bad.statement_id, allowed
            using errcode = 'restrict_violation';
        end if;
    end loop;

    select new_rows.statement_id
    into bad
    from new_rows
    left join settlement.settlement_statements as statements
        on
            new_rows.payment_date = statements.payment_date
            and new_rows.statement_id = statements.statement_id
    where
        statements.payable_status is distinct from 'payable'
        or statements.payout_amount_minor is distinct from new_rows.amount_minor
        or statements.account_id is distinct from new_rows.account_id
        or statements.currency_code is distinct from new_rows.currency_code
        or statements.payee_id is distinct from new_rows.payee_id
        or statements.payee_version is distinct from new_rows.payee_version
    order by new_rows.statement_id
    limit 1;
    if found then
        raise exception 'instruction of statement % differs from the statement', bad.statement_id
        using
            errcode = 'restrict_violation',
            hint = 'Amount, currency, account and payee come from the payable statement.';
    end if;

    select new_rows.statement_id
    into bad
    from new_rows
    left join control.payee_versions as payees
        on
            new_rows.payee_id = payees.payee_id
            and new_rows.payee_version = payees.payee_version
    where
        payees.account_id is distinct from new_rows.account_id
        or payees.currency_code is distinct from new_rows.currency_code
        or payees.account_number_token is distinct from new_rows.account_number_token
        or payees.account_name_token is distinct from new_rows.account_name_token
        or payees.bank_code is distinct from new_rows.bank_code
    order by new_rows.statement_id
    limit 1;
    if found then
        raise exception 'instruction of statement % differs from its registered payee',
            bad.statement_id
        using
            errcode = 'restrict_violation',
            hint = 'Account, name and bank come from control.payee_versions.';
    end if;
    return null;
end
$body$;

-- First attempts only: what the bank may have is never voided, and a second attempt has its own
-- evidence.
create function payout.guard_first_attempts() returns trigger
language plpgsql
set search_path = pg_catalog
as $body$
declare
    payment record;
begin
    for payment in
        select distinct instructions.payment_date
        from new_rows
        inner join payout.instructions as instructions
            on new_rows.instruction_id = instructions.instruction_id
        where new_rows.attempt_no = 1
        order by instructions.payment_date
    loop
        if not payout.is_submitted(payment.payment_date) then
            perform control.require_decision(payment.payment_date);
        end if;
    end loop;
    return null;
end
$body$;

create trigger attempts_guard_decision
after insert on payout.attempts
referencing new table as new_rows
for each statement execute function payout.guard_first_attempts();

-- The decision was asked for with the attempts; here it is only that the file is of them.
create function payout.guard_outbox_file() returns trigger
language plpgsql
set search_path = pg_catalog
as $body$
declare
    attempted record;
begin
    select
        count(*) as payment_count,
        coalesce(sum(instructions.amount_minor), 0) as amount_minor,
        min(instructions.currency_code) as lowest_currency,
        max(instructions.currency_code) as highest_currency,
        min(instructions.payment_date) as first_date,
        max(instructions.payment_date) as last_date
    into attempted
    from payout.attempts as attempts
    inner join payout.instructions as instructions
        on attempts.instruction_id = instructions.instruction_id
    where attempts.batch_message_id = new.batch_message_id;
    if attempted.payment_count <> new.payment_count
        or attempted.amount_minor <> new.amount_minor
        or attempted.lowest_currency is distinct from new.currency_code
        or attempted.highest_currency is distinct from new.currency_code
        or attempted.first_date is distinct from new.payment_date
        or attempted.last_date is distinct from new.payment_date
    then
        raise exception 'file % is not that of its attempts: % payments of % minor units',
            new.batch_message_id, attempted.payment_count, attempted.amount_minor
        using errcode = 'restrict_violation';
    end if;
    return new;
end
$body$;

create trigger outbox_files_guard
before insert on payout.outbox_files
for each row execute function payout.guard_outbox_file();

create function control.guard_seals() returns trigger
language plpgsql
set search_path = pg_catalog
as $body$
declare
    payment record;
begin
    for payment in
        select distinct payment_date from new_rows order by payment_date
    loop
        if not payout.is_submitted(payment.payment_date) then
            perform control.require_decision(payment.payment_date);
        end if;
    end loop;
    return null;
end
$body$;

create trigger accounting_day_seals_guard
after insert on control.accounting_day_seals
referencing new table as new_rows
for each statement execute function control.guard_seals();
"""

APPEND_ONLY = """
create trigger {table}_append_only
before update or delete on {schema}.{table}
for each row execute function control.refuse_change();
create trigger {table}_no_truncate
before truncate on {schema}.{table}
for each statement execute function control.refuse_change();
"""


def upgrade() -> None:
    """Register payees' versions, tie decisions to their inputs, record what is put out."""
    op.execute(PAYEES)
    op.execute(FINGERPRINT)
    op.execute(INPUTS)
    op.execute(DECISIONS)
    op.execute(PAYING)
    for schema, table in (("control", "gate_decision_inputs"), ("payout", "outbox_files")):
        op.execute(APPEND_ONLY.format(schema=schema, table=table))
