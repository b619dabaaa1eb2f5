"""Each kind of work gets the rights it needs: roles, and the owner's way to put a partition in.

Everything belongs to `tieout_owner` (roles.py has given it what was there). A step reads what its
work needs and writes only its own tables; none owns a table that stays. A partition is made aside
in a work schema, `control.swap_partition` looks at it, takes it over and puts it in its place.
"""

from __future__ import annotations

from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

SCHEMAS = """
create schema if not exists staging;
create schema if not exists reference;
create schema if not exists intermediate;
create schema if not exists ledger;
create schema if not exists clearing;
create schema if not exists settlement;
create schema if not exists gate;
create schema if not exists reconciliation;
create schema work_ingest;
create schema work_transform;
comment on schema work_ingest is
'Partitions of raw tables while landing fills them (落地暂存).';
comment on schema work_transform is
'Partitions while dbt computes them (计算暂存).';
"""

# A role's tables in control and payout are named: what is added later is nobody's until a migration
# says whose.
GRANTS = """
grant usage on schema
    control, raw, staging, reference, intermediate, reconciliation, ledger, clearing, settlement,
    gate, payout
to tieout_ingest, tieout_transform, tieout_gate, tieout_payout;
grant select on all tables in schema
    control, raw, staging, reference, intermediate, reconciliation, ledger, clearing, settlement,
    gate, payout
to tieout_ingest, tieout_transform, tieout_gate, tieout_payout;
alter default privileges in schema
    control, raw, staging, reference, intermediate, reconciliation, ledger, clearing, settlement,
    gate, payout
grant select on tables to tieout_ingest, tieout_transform, tieout_gate, tieout_payout;
grant usage on all sequences in schema
    control, reconciliation, payout
to tieout_ingest, tieout_transform, tieout_gate, tieout_payout;
alter default privileges in schema control, reconciliation, payout
grant usage on sequences to tieout_ingest, tieout_transform, tieout_gate, tieout_payout;

grant usage on schema
    control, reference, reconciliation, ledger, clearing, settlement, gate, payout
to tieout_finance, tieout_people;
grant select on all tables in schema
    control, reference, reconciliation, ledger, clearing, settlement, gate, payout
to tieout_finance;
alter default privileges in schema
    control, reference, reconciliation, ledger, clearing, settlement, gate, payout
grant select on tables to tieout_finance;

grant usage, create on schema work_ingest to tieout_ingest;
grant usage, create on schema work_transform to tieout_transform;
grant create on schema intermediate to tieout_transform;

grant insert, delete on control.date_leases
to tieout_ingest, tieout_transform, tieout_gate, tieout_payout;
grant update on control.date_leases
to tieout_ingest, tieout_transform, tieout_gate, tieout_payout;
grant insert on control.run_stages
to tieout_ingest, tieout_transform, tieout_gate, tieout_payout;

grant insert, update, delete on all tables in schema raw to tieout_ingest;
alter default privileges in schema raw
grant insert, update, delete on tables to tieout_ingest;
grant insert, update, delete on
    control.channel_files,
    control.quarantined_rows,
    control.payee_versions,
    control.voucher_register
to tieout_ingest;
grant insert on control.file_decisions to tieout_ingest;
grant insert, update on control.accounting_days to tieout_ingest;

grant insert, update on control.accounting_days to tieout_transform;
grant insert, delete on
    clearing.original_movements,
    settlement.statement_entries
to tieout_transform;

grant insert on
    control.gate_decisions,
    control.gate_decision_inputs,
    control.gate_expectations
to tieout_gate;

grant update on control.accounting_days to tieout_payout;
grant insert on control.accounting_day_seals to tieout_payout;
grant insert, update on control.channel_files to tieout_payout;
grant insert, delete on control.quarantined_rows to tieout_payout;
grant insert on
    payout.instructions,
    payout.attempts,
    payout.attempt_events,
    payout.outbox_files
to tieout_payout;
grant insert, delete on payout.outcome_problems, payout.unwritable_payees to tieout_payout;
"""

# They queue writers on rows that the writer may read only.
GUARDS = """
alter function payout.guard_attempt() security definer set search_path = pg_catalog, pg_temp;
alter function payout.guard_event() security definer set search_path = pg_catalog, pg_temp;
alter function payout.note_payee_returns() security definer set search_path = pg_catalog, pg_temp;
"""

SWAP = """
create function control.analyze(relations regclass[]) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    relation regclass;
begin
    foreach relation in array relations loop
        execute format('analyze %s', relation);
    end loop;
end
$body$;
comment on function control.analyze(regclass[]) is
'Count the rows of tables for the planner; only their owner may (统计).';

create function control.refuse_aside(parent regclass, aside regclass, maker text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $body$
declare
    reason text;
begin
    select case
        when tables.relkind <> 'r' then 'it is no plain table'
        when tables.relpersistence <> 'p' then 'it is not kept through a crash'
        when not pg_has_role(tables.relowner, maker, 'member') then
            format('it belongs to %s, and %s makes such tables', tables.relowner::regrole, maker)
        when tables.relispartition or tables.relhassubclass then 'it is a part of another table'
        when tables.relhasrules then 'it has a rule'
        when tables.relhastriggers then 'it has a trigger or a foreign key'
        when tables.relhasindex then 'it has an index'
        when tables.relrowsecurity or tables.relforcerowsecurity
            or exists (select 1 from pg_policy where polrelid = aside)
            then 'it has a policy'
        when tables.relchecks > 0
            or exists (select 1 from pg_constraint where conrelid = aside and contype <> 'n')
            then 'it has a constraint'
        when tables.reloptions is not null then 'it has storage options'
        when tables.relacl is not null then 'others have been granted rights on it'
        when exists (
            select 1 from pg_attribute
            where attrelid = aside and attnum > 0
                and (atthasdef or attidentity <> '' or attgenerated <> '' or attisdropped)
        ) then 'a column of it is computed, or was dropped'
        when exists (
            select 1
            from pg_depend
            where refclassid = 'pg_class'::regclass and refobjid = aside
                and deptype = 'n' and classid <> 'pg_constraint'::regclass
        ) then 'something is built on it'
        when (
            select array_agg(
                row(attname, atttypid, atttypmod, attcollation)::text order by attnum
            )
            from pg_attribute
            where attrelid = aside and attnum > 0
        ) is distinct from (
            select array_agg(
                row(attname, atttypid, atttypmod, attcollation)::text order by attnum
            )
            from pg_attribute
            where attrelid = parent and attnum > 0 and not attisdropped
        ) then 'its columns are not those of the table'
    end
    into reason
    from pg_class as tables
    where tables.oid = aside;
    if reason is not null then
        raise exception '% is not put into %: %', aside, parent, reason
        using
            errcode = 'object_not_in_prerequisite_state',
            hint = 'A partition is made aside as a bare table; what it needs it is given here.';
    end if;
end
$body$;

create function control.swap_partition(parent regclass, aside regclass, day date) returns regclass
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    key text;
    keys text;
    maker text;
    schema_name text;
    table_name text;
    child_name text;
    child regclass;
    is_guarded boolean;
    reason text;
    demands text;
begin
    select schemas.nspname, tables.relname, attributes.attname
    into schema_name, table_name, key
    from pg_partitioned_table as partitioned
    inner join pg_class as tables on partitioned.partrelid = tables.oid
    inner join pg_namespace as schemas on tables.relnamespace = schemas.oid
    inner join pg_attribute as attributes
        on partitioned.partrelid = attributes.attrelid
        and partitioned.partattrs[0] = attributes.attnum
    where partitioned.partrelid = parent
        and partitioned.partstrat = 'l'
        and partitioned.partnatts = 1
        and attributes.atttypid = 'date'::regtype;
    if key is null then
        raise exception '% is not cut into dates', parent
        using errcode = 'wrong_object_type', hint = 'Only a table of one partition a date.';
    end if;
    maker := case when schema_name = 'raw' then 'tieout_ingest' else 'tieout_transform' end;
    if not pg_has_role(session_user, maker, 'member') then
        raise exception '% does not put partitions into %', session_user, parent
        using errcode = 'insufficient_privilege', hint = 'Work as ' || maker || '.';
    end if;
    -- Looked at twice: what is somebody else's may not be locked; nothing is added to what is.
    perform control.refuse_aside(parent, aside, maker);
    execute format('lock table %s in access exclusive mode', aside);
    perform control.refuse_aside(parent, aside, maker);

    -- A table without the guard goes on after the payment: it says what became of it.
    is_guarded := exists (
        select 1 from pg_trigger where tgrelid = parent and tgname = 'sealed_rows_stay_insert'
    );
    reason := case
        when schema_name = 'raw' then control.why_sealed(key, day)
        else control.why_not_built(key, day, not is_guarded)
    end;
    if reason is not null then
        raise exception '%; its rows in % stay as they are', reason, parent
        using
            errcode = 'restrict_violation',
            hint = 'Correct it by records of a later date; see docs/runbooks/sealed-date.md.';
    end if;

    child_name := format(
        case when schema_name = 'raw' then '%s_p%s' else '%s_%s' end,
        table_name, to_char(day, 'YYYYMMDD')
    );
    child := to_regclass(format('%I.%I', schema_name, child_name));
    select string_agg(quote_ident(attributes.attname), ', ' order by places.place)
    into keys
    from pg_index as indexes
    cross join lateral unnest(indexes.indkey::smallint[]) with ordinality as places (number, place)
    inner join pg_attribute as attributes
        on indexes.indrelid = attributes.attrelid and places.number = attributes.attnum
    where indexes.indrelid = parent and indexes.indisprimary;

    execute format('alter table %s owner to tieout_owner', aside);
    -- One scan for all that the table demands; the bound spares the attaching another.
    select string_agg(demand, ', ' order by place, demand)
    into demands
    from (
        select
            1 as place,
            format(
                'add constraint %I check (%I is not null and %I = date %L)',
                child_name || '_bound', key, key, day
            ) as demand
        union all
        select 2, format('alter column %I set not null', attname)
        from pg_attribute
        where attrelid = parent and attnum > 0 and attnotnull and not attisdropped
        union all
        select 3, format('add constraint %I %s', conname, pg_get_constraintdef(oid))
        from pg_constraint
        where conrelid = parent and contype = 'c'
        union all
        select 4, format('add constraint %I primary key (%s)', child_name || '_pkey', keys)
        where keys is not null and schema_name <> 'raw'
    ) as all_demands;

    if child is not null
        and exists (select 1 from pg_inherits where inhparent = parent and inhrelid = child)
    then
        if schema_name = 'raw' then
            raise exception 'the partition % is there: files are added to it', child
            using errcode = 'duplicate_table', hint = 'Copy into the table itself.';
        end if;
        -- To drop the old partition would lock the tables its foreign keys point to, which other
        -- models read. Emptied, it gets a new file: nothing bloats, nobody sees it empty. What the
        -- rows have to be, it demands itself.
        execute format('truncate table %s', child);
        execute format(
            'insert into %s select * from %s%s',
            child, aside, coalesce(' order by ' || keys, '')
        );
        execute format('drop table %s', aside);
    else
        if child is not null then
            execute format('drop table %s', child);
        end if;
        execute format('alter table %s %s', aside, demands);
        if (select relname from pg_class where oid = aside) <> child_name then
            execute format('alter table %s rename to %I', aside, child_name);
        end if;
        execute format('alter table %s set schema %I', aside, schema_name);
        child := aside;
        execute format('alter table %s attach partition %s for values in (%L)', parent, child, day);
        execute format('alter table %s drop constraint %I', child, child_name || '_bound');
    end if;
    if is_guarded then
        perform control.guard_partition(child, key, day);
    end if;
    execute format('analyze %s', child);
    return child;
end
$body$;
comment on function control.swap_partition(regclass, regclass, date) is
'Put a table made aside in the place of a date''s partition, after a look at it (换入分区).';

revoke execute on function
    control.analyze(regclass[]),
    control.swap_partition(regclass, regclass, date)
from public;
grant execute on function control.analyze(regclass[])
to tieout_ingest, tieout_transform, tieout_gate, tieout_payout;
grant execute on function control.swap_partition(regclass, regclass, date)
to tieout_ingest, tieout_transform;
"""


def upgrade() -> None:
    """Create the work schemas, the rights, and the way in."""
    op.execute(SCHEMAS)
    op.execute(GRANTS)
    op.execute(GUARDS)
    op.execute(SWAP)
