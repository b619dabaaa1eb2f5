"""A sealed date is computed again beside what was paid, from the versions that came since.

A late or corrected file of a sealed date lands in `raw_versions`, where no close reads. A
restatement is built in schemas of its own (`restate_work_*`), by views that show the date's rows
with the versions in place of what they correct, and the sealed tables for the dates before. It is
compared, and gets its name `restate_<date>_<n>_*`, in one transaction: until then it is nothing,
and the next one drops what is left of it.
"""

from __future__ import annotations

from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None

VERSIONS = """
alter table control.channel_files drop constraint channel_files_status_check;
alter table control.channel_files add constraint channel_files_status_check check (
    status in (
        'landed', 'quarantined', 'superseded', 'conflict', 'refused', 'unrecognised', 'version'
    )
);
alter table control.channel_files add constraint version_is_whole check (
    status <> 'version'
    or (
        channel is not null
        and file_kind is not null
        and accounting_date is not null
        and row_count is not null
        and totals_status is distinct from 'disagree'
    )
);

create schema raw_versions;
comment on schema raw_versions is
'Rows of files that came for a sealed date; only restatements read them (封存日文件版本).';
grant usage on schema raw_versions to tieout_ingest, tieout_transform;

create function control.keep_version() returns trigger
language plpgsql
set search_path = pg_catalog
as $body$
begin
    -- A new key makes another ciphertext of the same value.
    if tg_op = 'UPDATE'
        and to_jsonb(new) - tg_argv::text[] = to_jsonb(old) - tg_argv::text[]
    then
        return new;
    end if;
    raise exception '%.% is append-only: % refused', tg_table_schema, tg_table_name, tg_op
    using errcode = 'restrict_violation', hint = 'Another version is another file.';
end
$body$;

create function control.make_version_tables() returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    name text;
    encrypted text;
begin
    for name in
        select tables.relname
        from pg_class as tables
        where tables.relnamespace = 'raw'::regnamespace and tables.relkind = 'p'
        order by tables.relname
    loop
        select coalesce(string_agg(quote_literal(attname), ', '), '')
        into encrypted
        from pg_attribute
        where attrelid = format('raw.%I', name)::regclass
            and attnum > 0
            and not attisdropped
            and attname like '%\\_ciphertext';
        if to_regclass(format('raw_versions.%I', name)) is null then
            execute format(
                'create table raw_versions.%1$I'
                ' (like raw.%1$I including constraints including indexes including comments)',
                name
            );
            execute format(
                'create trigger versions_append_only before update or delete on raw_versions.%I'
                ' for each row execute function control.keep_version(%s)', name, encrypted
            );
            execute format(
                'create trigger versions_no_truncate before truncate on raw_versions.%I'
                ' for each statement execute function control.refuse_change()', name
            );
            execute format('grant select, insert on raw_versions.%I to tieout_ingest', name);
            execute format('grant select on raw_versions.%I to tieout_transform', name);
        end if;
    end loop;
end
$body$;
comment on function control.make_version_tables() is
'A table of versions for each raw table that has none yet (文件版本表).';
revoke execute on function control.make_version_tables() from public;
select control.make_version_tables();
"""

TABLES = """
-- Nothing was ever written to it: a row was a difference. Now a row is a restatement.
drop table control.restatements;
create table control.restatements (
    restatement_id bigint generated always as identity primary key,
    accounting_date date not null references control.accounting_days (accounting_date),
    restatement_no integer not null check (restatement_no > 0),
    state text not null check (state in ('building', 'kept', 'failed')),
    asked_by text not null check (btrim(asked_by) <> ''),
    asked_by_login text not null default session_user,
    began_at timestamptz not null default now(),
    ended_at timestamptz,
    failure text,
    findings text[] not null default '{}',
    only_sealed_count integer,
    only_restated_count integer,
    changed_count integer,
    unique (accounting_date, restatement_no),
    constraint restatements_counted check (
        (state = 'kept') = (
            only_sealed_count is not null
            and only_restated_count is not null
            and changed_count is not null
        )
    ),
    constraint restatements_failed check ((state = 'failed') = (failure is not null)),
    constraint restatements_ended check ((state = 'building') = (ended_at is null))
);
create unique index restatements_one_in_work on control.restatements (state)
where state = 'building';
comment on table control.restatements is
'One row a computation of a sealed date beside the sealed one (重述).';
comment on column control.restatements.restatement_no is
'Counts the restatements of the date; stands in the names of its schemas (重述序号)';
comment on column control.restatements.state is
'building, kept with its rows, or failed without any (状态)';
comment on column control.restatements.findings is
'Invariants of a close that the rows do not hold; such a date would not close (不变量违反)';
comment on column control.restatements.only_sealed_count is
'Rows that the sealed date has and the restated one has not (仅封存行数)';
comment on column control.restatements.only_restated_count is
'Rows that the restated date has and the sealed one has not (仅重述行数)';
comment on column control.restatements.changed_count is
'Rows of one key that differ in a value (变动行数)';

create table control.restatement_files (
    restatement_id bigint not null references control.restatements (restatement_id),
    file_id text not null references control.channel_files (file_id),
    replaced_file_id text references control.channel_files (file_id),
    primary key (restatement_id, file_id)
);
create index restatement_files_by_file on control.restatement_files (file_id);
comment on table control.restatement_files is
'The versions that a restatement read, and the landed file that each corrects (重述文件).';

create table control.restatement_differences (
    restatement_id bigint not null references control.restatements (restatement_id),
    difference_no integer not null check (difference_no > 0),
    table_name text not null,
    row_key jsonb not null,
    kind text not null check (kind in ('only_sealed', 'only_restated', 'changed')),
    changed_columns text[] not null,
    sealed_row jsonb,
    restated_row jsonb,
    primary key (restatement_id, difference_no),
    constraint differences_rows check (
        (kind = 'only_sealed') = (restated_row is null)
        and (kind = 'only_restated') = (sealed_row is null)
        and (kind = 'changed') = (cardinality(changed_columns) > 0)
    )
);
create index restatement_differences_by_table
on control.restatement_differences (restatement_id, table_name);
comment on table control.restatement_differences is
'Row by row what differs between a sealed date and its restatement (重述差异).';

create table control.restatement_sums (
    restatement_id bigint not null references control.restatements (restatement_id),
    account_id text not null,
    clearing_session_type text not null,
    currency_code text not null,
    sealed_amount_minor bigint not null,
    restated_amount_minor bigint not null,
    difference_minor bigint not null,
    primary key (restatement_id, account_id, clearing_session_type, currency_code),
    constraint sums_difference check (
        difference_minor = restated_amount_minor - sealed_amount_minor
    )
);
comment on table control.restatement_sums is
'What each account was cleared, and would be, where that differs, + to it (重述清算差额).';

create trigger restatement_files_append_only
before update or delete on control.restatement_files
for each row execute function control.refuse_change();
create trigger restatement_differences_append_only
before update or delete on control.restatement_differences
for each row execute function control.refuse_change();
create trigger restatement_sums_append_only
before update or delete on control.restatement_sums
for each row execute function control.refuse_change();

create function control.keep_restatements() returns trigger
language plpgsql
set search_path = pg_catalog
as $body$
begin
    if tg_op = 'UPDATE' and old.state = 'building' and new.state <> 'building'
        and (new.restatement_id, new.accounting_date, new.restatement_no, new.asked_by)
        = (old.restatement_id, old.accounting_date, old.restatement_no, old.asked_by)
    then
        return new;
    end if;
    raise exception 'restatement % stays as it is', old.restatement_id
    using errcode = 'restrict_violation', hint = 'Restate the date again: tieout restate DATE.';
end
$body$;
create trigger restatements_stay
before update or delete on control.restatements
for each row execute function control.keep_restatements();
"""

# What of a difference is booked, and who decides. A person asks, another approves; the next landing
# puts correcting vouchers on the open date. Vouchers that came late are there already.
BOOKINGS = """
create table control.restatement_requests (
    request_id bigint generated always as identity primary key,
    restatement_id bigint not null unique references control.restatements (restatement_id),
    reason text not null check (btrim(reason) <> ''),
    requested_by text not null,
    requested_by_login text not null default session_user,
    requested_at timestamptz not null default now(),
    approved_by text,
    approved_by_login text,
    approved_at timestamptz,
    constraint requests_two_people check (
        control.person_key(approved_by) <> control.person_key(requested_by)
    ),
    constraint requests_approved check (
        (approved_by is null) = (approved_at is null)
        and (approved_by is null) = (approved_by_login is null)
    )
);
comment on table control.restatement_requests is
'A request to book what a restatement differs by, and its approval (重述入账申请).';

create table control.restatement_bookings (
    request_id bigint not null references control.restatement_requests (request_id),
    voucher_id text not null,
    restatement_id bigint not null,
    difference_no integer not null,
    kind text not null check (kind in ('withdrawn', 'lowered', 'raised')),
    amount_minor bigint not null check (amount_minor <> 0),
    currency_code text not null,
    account_id text not null,
    correcting_voucher_id text not null unique,
    file_id text references control.channel_files (file_id),
    booked_on date,
    primary key (request_id, voucher_id),
    foreign key (restatement_id, difference_no)
    references control.restatement_differences (restatement_id, difference_no),
    constraint bookings_booked check ((file_id is null) = (booked_on is null)),
    constraint bookings_sign check ((kind = 'raised') = (amount_minor > 0))
);
create index restatement_bookings_by_voucher on control.restatement_bookings (voucher_id);
comment on table control.restatement_bookings is
'The correcting voucher of each difference, and the open date on which it stands (重述更正凭证).';
comment on column control.restatement_bookings.amount_minor is
'What is added to the voucher''s sum, minor units, + to the merchant (更正金额)';

create table control.carried_files (
    file_id text primary key references control.channel_files (file_id),
    sealed_date date not null,
    booked_on date not null,
    version_file_id text references control.channel_files (file_id),
    request_id bigint references control.restatement_requests (request_id),
    row_count integer not null check (row_count > 0),
    carried_at timestamptz not null default now(),
    constraint carried_from check (num_nonnulls(version_file_id, request_id) = 1)
);
create index carried_files_by_version on control.carried_files (version_file_id);
create index carried_files_by_request on control.carried_files (request_id);
comment on table control.carried_files is
'Vouchers of a sealed date that stand on an open one: late ones, or corrections (结转凭证文件).';
grant insert on control.carried_files to tieout_ingest;
create trigger carried_files_append_only
before update or delete on control.carried_files
for each row execute function control.refuse_change();

create function control.keep_booking() returns trigger
language plpgsql
set search_path = pg_catalog
as $body$
begin
    -- Each row is completed once, and in nothing else.
    if tg_op = 'UPDATE' and tg_table_name = 'restatement_requests' then
        if old.approved_by is null
            and to_jsonb(new) - array['approved_by', 'approved_by_login', 'approved_at']
            = to_jsonb(old) - array['approved_by', 'approved_by_login', 'approved_at']
        then
            return new;
        end if;
    elsif tg_op = 'UPDATE' then
        if to_jsonb(old) ->> 'file_id' is null
            and to_jsonb(new) - array['file_id', 'booked_on']
            = to_jsonb(old) - array['file_id', 'booked_on']
        then
            return new;
        end if;
    end if;
    raise exception '%.% is append-only: % refused', tg_table_schema, tg_table_name, tg_op
    using errcode = 'restrict_violation', hint = 'What was decided stays.';
end
$body$;
create trigger restatement_requests_stay
before update or delete on control.restatement_requests
for each row execute function control.keep_booking();
create trigger restatement_bookings_stay
before update or delete on control.restatement_bookings
for each row execute function control.keep_booking();

create function control.restatement_entries(id bigint)
returns table (
    difference_no integer,
    entry_id text,
    voucher_id text,
    account_id text,
    currency_code text,
    difference_minor bigint,
    kind text,
    booked_amount_minor bigint
)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $body$
    with entries as (
        select
            differences.difference_no,
            differences.sealed_row,
            differences.restated_row,
            coalesce(differences.restated_row, differences.sealed_row) as known_row,
            coalesce((differences.sealed_row ->> 'transaction_amount_minor')::bigint, 0)
                as sealed_minor,
            coalesce((differences.restated_row ->> 'transaction_amount_minor')::bigint, 0)
                as restated_minor
        from control.restatement_differences as differences
        where differences.restatement_id = id
            and differences.table_name = 'clearing.clearing_entries'
    ),

    judged as (
        select
            entries.*,
            entries.known_row ->> 'source_id' as voucher_id,
            registered.accounting_date as registered_on,
            entries.restated_minor - entries.sealed_minor - coalesce(before.amount_minor, 0)
                as rest_minor,
            coalesce(before.amount_minor, 0) as before_minor
        from entries
        left join control.voucher_register as registered
            on registered.source = 'platform'
            and registered.voucher_id = entries.known_row ->> 'source_id'
        left join lateral (
            select sum(bookings.amount_minor) as amount_minor
            from control.restatement_bookings as bookings
            inner join control.restatement_requests as requests
                on bookings.request_id = requests.request_id
            where bookings.voucher_id = entries.known_row ->> 'source_id'
                and requests.approved_by is not null
        ) as before on true
    ),

    told as (
        select
            judged.*,
            case
                when known_row ->> 'clearing_session_type' <> 'transaction' then 'by_people'
                -- It stands on the open date, with the file that brought it.
                when sealed_row is null
                    and registered_on > (
                        select accounting_date
                        from control.restatements
                        where restatement_id = id
                    ) then 'carried'
                when sealed_row is not null
                    and restated_row is not null
                    and sealed_minor = restated_minor
                    and sealed_row -> 'account_id' = restated_row -> 'account_id'
                    and sealed_row -> 'currency_code' = restated_row -> 'currency_code'
                    and before_minor = 0 then 'fee_or_text'
                when known_row ->> 'transaction_type'
                    not in ('purchase', 'preauth_completion') then 'by_people'
                when registered_on is null
                    or sealed_row is not null
                    and restated_row is not null
                    and (
                        sealed_row -> 'account_id' <> restated_row -> 'account_id'
                        or sealed_row -> 'merchant_id' <> restated_row -> 'merchant_id'
                        or sealed_row -> 'channel' <> restated_row -> 'channel'
                        or sealed_row -> 'currency_code' <> restated_row -> 'currency_code'
                    ) then 'by_people'
                when rest_minor = 0 then 'booked_before'
                when rest_minor > 0 then 'raised'
                when restated_row is null and before_minor = 0 then 'withdrawn'
                else 'lowered'
            end as told_kind
        from judged
    )

    select
        difference_no,
        known_row ->> 'entry_id',
        voucher_id,
        known_row ->> 'account_id',
        known_row ->> 'currency_code',
        restated_minor - sealed_minor,
        told_kind,
        case when told_kind in ('withdrawn', 'lowered', 'raised') then rest_minor else 0 end
    from told
    order by difference_no
$body$;
comment on function control.restatement_entries(bigint) is
'Each cleared entry that differs: what a booking would add, or what carries it already (重述去向).';

create function control.newest_restatement(day date) returns bigint
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $body$
    select restatement_id
    from control.restatements
    where accounting_date = day and state = 'kept'
    order by restatement_no desc
    limit 1
$body$;

create function control.request_booking(day date, reason text, typed_name text) returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    person text := control.deciding_person(typed_name);
    newest bigint := control.newest_restatement(day);
    id bigint;
begin
    if newest is null then
        raise exception 'accounting date % has no restatement', day
        using errcode = 'restrict_violation', hint = 'tieout restate DATE';
    end if;
    insert into control.restatement_requests (restatement_id, reason, requested_by)
    values (newest, request_booking.reason, person)
    returning request_id into id;
    insert into control.restatement_bookings (
        request_id, voucher_id, restatement_id, difference_no, kind, amount_minor, currency_code,
        account_id, correcting_voucher_id
    )
    select
        id, entries.voucher_id, newest, entries.difference_no, entries.kind,
        entries.booked_amount_minor, entries.currency_code, entries.account_id,
        entries.voucher_id || '-R' || newest
    from control.restatement_entries(newest) as entries
    where entries.booked_amount_minor <> 0;
    if not found then
        raise exception 'of restatement % nothing is left to book', newest
        using
            errcode = 'restrict_violation',
            hint = 'tieout restate show DATE says what carries each difference.';
    end if;
    return id;
end
$body$;
comment on function control.request_booking(date, text, text) is
'Ask to book what the newest restatement of a date differs by (重述入账申请).';

create function control.approve_booking(id bigint, typed_name text) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    person text := control.deciding_person(typed_name);
    request control.restatement_requests;
    day date;
begin
    select * into request from control.restatement_requests where request_id = id for update;
    if request.request_id is null or request.approved_by is not null then
        raise exception 'request % does not wait for approval', id
        using errcode = 'restrict_violation', hint = 'tieout restate list';
    end if;
    if control.person_key(person) = control.person_key(request.requested_by) then
        raise exception 'request % is of %: another person has to approve it', id,
            request.requested_by
        using errcode = 'restrict_violation', hint = 'Ask a second person.';
    end if;
    select accounting_date
    into day
    from control.restatements
    where restatement_id = request.restatement_id;
    -- One decision after another: what the first books, the second does not book again.
    perform pg_advisory_xact_lock(hashtextextended('tieout.restatement.' || day, 0));
    if request.restatement_id <> control.newest_restatement(day) then
        raise exception 'accounting date % was restated again since request %', day, id
        using errcode = 'restrict_violation', hint = 'Ask anew: tieout restate book DATE.';
    end if;
    update control.restatement_requests
    set approved_by = person, approved_by_login = session_user, approved_at = now()
    where request_id = id;
end
$body$;
comment on function control.approve_booking(bigint, text) is
'Approve another person''s request; the next landing books it (重述入账复核).';

create function control.note_booked(id bigint, of_file text, on_date date) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
begin
    if not exists (
        select 1
        from control.restatement_requests
        where request_id = id and approved_by is not null
    ) then
        raise exception 'request % is not approved', id using errcode = 'restrict_violation';
    end if;
    update control.restatement_bookings as bookings
    set file_id = of_file, booked_on = on_date
    from control.voucher_register as registered
    where bookings.request_id = id
        and registered.source = 'platform'
        and registered.voucher_id = bookings.correcting_voucher_id
        and registered.file_id = of_file
        and registered.accounting_date = on_date
        and registered.amount_minor = bookings.amount_minor
        and registered.account_id = bookings.account_id;
    if exists (
        select 1 from control.restatement_bookings where request_id = id and file_id is null
    ) then
        raise exception 'a correcting voucher of request % is not on %', id, on_date
        using errcode = 'restrict_violation';
    end if;
end
$body$;
comment on function control.note_booked(bigint, text, date) is
'Note the open date and file of the correcting vouchers, which stand there (重述入账登记).';

revoke execute on function
    control.restatement_entries(bigint),
    control.newest_restatement(date),
    control.request_booking(date, text, text),
    control.approve_booking(bigint, text),
    control.note_booked(bigint, text, date)
from public;
grant execute on function control.restatement_entries(bigint)
to tieout_ingest, tieout_transform, tieout_gate, tieout_payout, tieout_finance, tieout_people;
grant execute on function
    control.request_booking(date, text, text),
    control.approve_booking(bigint, text)
to tieout_people;
grant execute on function control.note_booked(bigint, text, date) to tieout_ingest;
"""

# Names of one restatement in work; whoever begins the next drops what a crash left of them.
FUNCTIONS = """
create function control.restated_schema(day date, number integer, name text) returns text
language sql
immutable
set search_path = pg_catalog
as $body$
    select format('restate_%s_%s_%s', to_char(day, 'YYYYMMDD'), number, name)
$body$;
comment on function control.restated_schema(date, integer, text) is
'The schema in which the rows of a restatement are kept, for a schema of the sealed ones.';

create function control.restated_tables() returns table (schema_name text, table_name text)
language sql
stable
set search_path = pg_catalog
as $body$
    select schemas.nspname::text, tables.relname::text
    from pg_partitioned_table as partitioned
    inner join pg_class as tables on partitioned.partrelid = tables.oid
    inner join pg_namespace as schemas on tables.relnamespace = schemas.oid
    inner join pg_attribute as attributes
        on partitioned.partrelid = attributes.attrelid
        and partitioned.partattrs[0] = attributes.attnum
    where schemas.nspname in ('reconciliation', 'ledger', 'clearing')
        and attributes.attname = 'accounting_date'
    order by schemas.nspname, tables.relname
$body$;
comment on function control.restated_tables() is
'The tables of an accounting date, which a restatement computes and compares (重述表).';

create function control.drop_restatement_work() returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    name text;
begin
    foreach name in array array[
        'intermediate', 'staging', 'reconciliation', 'ledger', 'clearing', 'control', 'raw'
    ] loop
        execute format('drop schema if exists %I cascade', 'restate_work_' || name);
    end loop;
end
$body$;
comment on function control.drop_restatement_work() is
'Drop what a restatement in work has made, or one that was cut off has left (重述暂存清除).';

create function control.lock_restatement() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $body$
begin
    -- Who restates holds it for the session, so that a crash gives it back.
    if not pg_try_advisory_xact_lock(hashtextextended('tieout.restatement', 0)) then
        raise exception 'another restatement is being computed'
        using errcode = 'lock_not_available', hint = 'Try again when it has ended.';
    end if;
end
$body$;

create function control.begin_restatement(day date, asked_by text) returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    id bigint;
    replaced text[];
    versions text[];
    columns text;
    table_of record;
    ignored text[];
    name text;
begin
    perform control.lock_restatement();
    if not exists (
        select 1 from control.accounting_days where accounting_date = day and state = 'sealed'
    ) then
        raise exception 'accounting date % is not sealed', day
        using
            errcode = 'restrict_violation',
            hint = 'A date that is not paid is closed again: tieout close.';
    end if;
    perform control.drop_restatement_work();
    perform control.make_version_tables();
    update control.restatements
    set state = 'failed', failure = 'it was cut off', ended_at = clock_timestamp()
    where state = 'building';
    insert into control.restatements (accounting_date, restatement_no, state, asked_by)
    select day, coalesce(max(restatement_no), 0) + 1, 'building', begin_restatement.asked_by
    from control.restatements
    where accounting_date = day
    returning restatement_id into id;

    -- Of each place the newest version; what it corrects is what the sealed date was computed from.
    insert into control.restatement_files (restatement_id, file_id, replaced_file_id)
    select distinct on (versions_of.slot) id, versions_of.file_id, landed.file_id
    from control.channel_files as versions_of
    left join control.channel_files as landed
        on versions_of.slot = landed.slot and landed.status = 'landed'
    where versions_of.status = 'version'
        and coalesce(landed.booked_on, versions_of.accounting_date) = day
    order by versions_of.slot, versions_of.landed_at desc, versions_of.file_id;
    select
        coalesce(array_agg(file_id), '{}'),
        coalesce(array_agg(replaced_file_id) filter (where replaced_file_id is not null), '{}')
    into versions, replaced
    from control.restatement_files
    where restatement_id = id;

    foreach name in array array[
        'raw', 'control', 'staging', 'intermediate', 'reconciliation', 'ledger', 'clearing'
    ] loop
        execute format('create schema %I', 'restate_work_' || name);
        execute format('grant usage on schema %I to tieout_transform', 'restate_work_' || name);
    end loop;
    grant create on schema restate_work_staging, restate_work_intermediate to tieout_transform;

    for name in
        select tables.relname
        from pg_class as tables
        where tables.relnamespace = 'raw'::regnamespace and tables.relkind = 'p'
        order by tables.relname
    loop
        if cardinality(versions) = 0 then
            execute format(
                'create view restate_work_raw.%1$I as select * from raw.%1$I', name
            );
        else
            -- What a version repeats keeps the place that it has: ids are made of file and line, so
            -- that only what really differs is another row. Ciphertext is another one each time.
            select array_agg(attname::text)
            into ignored
            from pg_attribute
            where attrelid = format('raw.%I', name)::regclass
                and attnum > 0
                and (attname in ('file_id', 'line_number') or attname like '%\\_ciphertext');
            execute format(
                'create table restate_work_raw.%I as'
                ' with sealed as ('
                '     select landed as line, to_jsonb(landed) - $3 as content,'
                '         row_number() over ('
                '             partition by to_jsonb(landed) - $3 order by to_jsonb(landed)::text'
                '         ) as occurrence'
                '     from raw.%I as landed'
                '     where landed.accounting_date = $4 and landed.file_id = any($1)'
                ' ), version as ('
                '     select came as line, to_jsonb(came) - $3 as content,'
                '         row_number() over ('
                '             partition by to_jsonb(came) - $3 order by to_jsonb(came)::text'
                '         ) as occurrence'
                '     from raw_versions.%I as came'
                '     where came.file_id = any($2)'
                ' )'
                ' select (sealed.line).* from sealed'
                ' inner join version using (content, occurrence)'
                ' union all'
                ' select (version.line).* from version'
                ' left join sealed using (content, occurrence)'
                ' where sealed.content is null',
                name || '__of_the_date', name, name
            ) using replaced, versions, ignored, day;
            execute format(
                'create view restate_work_raw.%1$I as'
                ' select * from raw.%1$I where file_id <> all(%3$L::text[])'
                ' union all select * from restate_work_raw.%2$I',
                name, name || '__of_the_date', replaced
            );
            execute format('analyze restate_work_raw.%I', name || '__of_the_date');
        end if;
    end loop;

    -- Both count: of the one what the other repeats, of the other the rest.
    select string_agg(
        case
            when attname = 'status' then format(
                'case when file_id = any(%L::text[]) then %L else status end as status',
                versions, 'landed'
            )
            else quote_ident(attname)
        end,
        ', ' order by attnum
    )
    into columns
    from pg_attribute
    where attrelid = 'control.channel_files'::regclass and attnum > 0 and not attisdropped;
    execute 'create view restate_work_control.channel_files as select ' || columns
        || ' from control.channel_files';

    -- The vouchers as the date would have registered them; those of the dates before as they are.
    execute 'create table restate_work_control.vouchers_of_the_date'
        ' (like control.voucher_register including indexes)';
    alter table restate_work_control.vouchers_of_the_date alter column content_hash drop not null;
    insert into restate_work_control.vouchers_of_the_date
    select *
    from control.voucher_register
    where accounting_date = day and cardinality(versions) = 0;
    if cardinality(versions) > 0 then
        -- Of a voucher that stands twice the test of unique ids will tell.
        execute
            'insert into restate_work_control.vouchers_of_the_date'
            ' select ''platform'', vouchers.voucher_id, vouchers.accounting_date, vouchers.file_id,'
            ' vouchers.line_number, null, vouchers.transaction_type,'
            ' vouchers.transaction_status, vouchers.transaction_at, vouchers.merchant_id,'
            ' vouchers.account_id, vouchers.channel, vouchers.currency_code,'
            ' vouchers.amount_minor, vouchers.card_kind, vouchers.card_region,'
            ' vouchers.original_voucher_id, vouchers.acquiring_institution_id,'
            ' vouchers.forwarding_institution_id, vouchers.trace_number,'
            ' vouchers.transmission_time, vouchers.retrieval_reference_number,'
            ' vouchers.terminal_id, vouchers.channel_order_id, vouchers.refund_order_id,'
            ' vouchers.merchant_order_id, control.voucher_lookup_key('
            '     vouchers.channel, vouchers.channel_order_id, vouchers.refund_order_id,'
            '     vouchers.trace_number, vouchers.transmission_time, vouchers.merchant_order_id'
            ' )'
            ' from restate_work_raw.platform_source_vouchers as vouchers'
            ' inner join restate_work_control.channel_files as files'
            ' on vouchers.file_id = files.file_id and files.status = $2'
            ' where vouchers.accounting_date = $1'
            ' on conflict do nothing'
        using day, 'landed';
    end if;
    analyze restate_work_control.vouchers_of_the_date;
    execute format(
        'create view restate_work_control.voucher_register as'
        ' select * from control.voucher_register where accounting_date < %L'
        ' union all select * from restate_work_control.vouchers_of_the_date', day
    );

    for table_of in select * from control.restated_tables() loop
        execute format(
            'create table %I.%I (like %I.%I including constraints including indexes'
            ' including comments)',
            'restate_work_' || table_of.schema_name, table_of.table_name || '__rows',
            table_of.schema_name, table_of.table_name
        );
        execute format(
            'create view %1$I.%2$I as'
            ' select * from %3$I.%2$I where accounting_date < %5$L'
            ' union all select * from %1$I.%4$I',
            'restate_work_' || table_of.schema_name, table_of.table_name, table_of.schema_name,
            table_of.table_name || '__rows', day
        );
        execute format(
            'grant select, insert on %I.%I to tieout_transform',
            'restate_work_' || table_of.schema_name, table_of.table_name || '__rows'
        );
    end loop;
    foreach name in array array['raw', 'control', 'reconciliation', 'ledger', 'clearing'] loop
        execute format(
            'grant select on all tables in schema %I to tieout_transform', 'restate_work_' || name
        );
    end loop;
    return id;
end
$body$;
comment on function control.begin_restatement(date, text) is
'Make the schemas in which a sealed date is computed beside what was paid (重述开始).';

create function control.compare_restatement(id bigint, day date) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    table_of record;
    joined text;
    key_object text;
    parts text[] := '{}';
begin
    for table_of in select * from control.restated_tables() loop
        select
            string_agg(
                format('sealed.%1$I = restated.%1$I', attributes.attname), ' and '
                order by places.place
            ),
            string_agg(
                format('%1$L, coalesce(sealed.%1$I, restated.%1$I)', attributes.attname), ', '
                order by places.place
            )
        into joined, key_object
        from pg_index as indexes
        cross join lateral unnest(indexes.indkey::smallint[])
            with ordinality as places (number, place)
        inner join pg_attribute as attributes
            on indexes.indrelid = attributes.attrelid and places.number = attributes.attnum
        where indexes.indrelid
            = format('%I.%I', table_of.schema_name, table_of.table_name)::regclass
            and indexes.indisprimary;
        if joined is null then
            raise exception '%.% has no primary key to compare by', table_of.schema_name,
                table_of.table_name;
        end if;
        parts := parts || format(
            'select %1$L as table_name, jsonb_build_object(%5$s) as row_key,'
            ' case when sealed.accounting_date is null then null else to_jsonb(sealed) end'
            '     as sealed_row,'
            ' case when restated.accounting_date is null then null else to_jsonb(restated) end'
            '     as restated_row'
            ' from (select * from %2$I.%3$I where accounting_date = %7$L) as sealed'
            ' full join %4$I.%8$I as restated on %6$s'
            ' where sealed.accounting_date is null or restated.accounting_date is null'
            ' or sealed.* is distinct from restated.*',
            table_of.schema_name || '.' || table_of.table_name,
            table_of.schema_name, table_of.table_name,
            'restate_work_' || table_of.schema_name,
            key_object, joined, day, table_of.table_name || '__rows'
        );
    end loop;
    execute format(
        'insert into control.restatement_differences'
        ' select %L, row_number() over (order by found.table_name, found.row_key::text),'
        ' found.table_name, found.row_key,'
        ' case when found.sealed_row is null then %L when found.restated_row is null then %L'
        '     else %L end,'
        ' changed.columns, found.sealed_row, found.restated_row'
        ' from (%s) as found'
        ' cross join lateral ('
        '     select coalesce(array_agg(fields.key order by fields.key), %L) as columns'
        '     from jsonb_each(found.sealed_row) as fields'
        '     where found.restated_row is not null'
        '     and fields.value is distinct from found.restated_row -> fields.key'
        ' ) as changed',
        id, 'only_restated', 'only_sealed', 'changed', array_to_string(parts, ' union all '), '{}'
    );
    execute format(
        'insert into control.restatement_sums'
        ' select %L, account_id, clearing_session_type, currency_code,'
        ' sum(sealed_minor), sum(restated_minor), sum(restated_minor) - sum(sealed_minor)'
        ' from ('
        '     select account_id, clearing_session_type, currency_code,'
        '         clearing_amount_minor as sealed_minor, 0 as restated_minor'
        '     from clearing.clearing_records where accounting_date = %L'
        '     union all'
        '     select account_id, clearing_session_type, currency_code, 0, clearing_amount_minor'
        '     from restate_work_clearing.clearing_records__rows'
        ' ) as both_versions'
        ' group by account_id, clearing_session_type, currency_code'
        ' having sum(sealed_minor) <> sum(restated_minor)',
        id, day
    );
end
$body$;
comment on function control.compare_restatement(bigint, date) is
'Write row by row what differs, and the sums of each account (重述比较).';

create function control.keep_restatement(id bigint, findings text[]) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    restatement control.restatements;
    table_of record;
    name text;
    kept text;
begin
    perform control.lock_restatement();
    select * into restatement from control.restatements where restatement_id = id for update;
    if restatement.state is distinct from 'building' then
        raise exception 'restatement % is not being computed', id
        using errcode = 'restrict_violation', hint = 'tieout restate DATE';
    end if;
    perform control.compare_restatement(id, restatement.accounting_date);

    drop schema restate_work_intermediate cascade;
    drop schema restate_work_staging cascade;
    for table_of in select * from control.restated_tables() loop
        execute format(
            'drop view %I.%I', 'restate_work_' || table_of.schema_name, table_of.table_name
        );
        execute format(
            'alter table %I.%I rename to %I', 'restate_work_' || table_of.schema_name,
            table_of.table_name || '__rows', table_of.table_name
        );
        execute format(
            'revoke insert on %I.%I from tieout_transform',
            'restate_work_' || table_of.schema_name, table_of.table_name
        );
    end loop;
    drop schema restate_work_raw cascade;
    drop schema restate_work_control cascade;
    foreach name in array array['reconciliation', 'ledger', 'clearing'] loop
        kept := control.restated_schema(
            restatement.accounting_date, restatement.restatement_no, name
        );
        execute format('alter schema %I rename to %I', 'restate_work_' || name, kept);
        execute format(
            'comment on schema %I is %L', kept,
            format('%s of %s, restatement %s (重述)', name, restatement.accounting_date, id)
        );
        execute format(
            'grant usage on schema %I to tieout_ingest, tieout_transform, tieout_gate,'
            ' tieout_payout, tieout_finance', kept
        );
        execute format(
            'grant select on all tables in schema %I to tieout_ingest, tieout_transform,'
            ' tieout_gate, tieout_payout, tieout_finance', kept
        );
    end loop;
    update control.restatements
    set
        state = 'kept',
        ended_at = clock_timestamp(),
        findings = keep_restatement.findings,
        only_sealed_count = counted.only_sealed,
        only_restated_count = counted.only_restated,
        changed_count = counted.changed
    from (
        select
            count(*) filter (where kind = 'only_sealed') as only_sealed,
            count(*) filter (where kind = 'only_restated') as only_restated,
            count(*) filter (where kind = 'changed') as changed
        from control.restatement_differences
        where restatement_id = id
    ) as counted
    where restatement_id = id;
end
$body$;
comment on function control.keep_restatement(bigint, text[]) is
'Compare a restatement with the sealed date, and give its schemas their names (重述保存).';

create function control.fail_restatement(id bigint, why text) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
begin
    perform control.lock_restatement();
    update control.restatements
    set state = 'failed', failure = left(why, 2000), ended_at = clock_timestamp()
    where restatement_id = id and state = 'building';
    if found then
        perform control.drop_restatement_work();
    end if;
end
$body$;
comment on function control.fail_restatement(bigint, text) is
'Drop what a restatement made that cannot be computed, and keep why (重述失败).';

revoke execute on function
    control.drop_restatement_work(),
    control.lock_restatement(),
    control.begin_restatement(date, text),
    control.compare_restatement(bigint, date),
    control.keep_restatement(bigint, text[]),
    control.fail_restatement(bigint, text)
from public;
grant execute on function
    control.begin_restatement(date, text),
    control.keep_restatement(bigint, text[]),
    control.fail_restatement(bigint, text)
to tieout_transform;
"""


def upgrade() -> None:
    """Add the tables of versions and restatements, and the owner's functions for them."""
    op.execute(VERSIONS)
    op.execute(TABLES)
    op.execute(BOOKINGS)
    op.execute(FUNCTIONS)
