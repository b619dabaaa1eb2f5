"""The checks that Great Expectations makes are an input of the gate's decision, too.

They are files of the program. Each version of them that a gate was run with stays on record, whole;
a decision keeps the digest of each file, and does not stand under others.
"""

from __future__ import annotations

from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

EXPECTATIONS = r"""
create table control.gate_expectations (
    version_no bigint generated always as identity primary key,
    checks jsonb not null check (jsonb_typeof(checks) = 'object' and checks <> '{}'),
    recorded_at timestamptz not null default now()
);
comment on table control.gate_expectations is
'The gate''s expectations, each version a gate was run with; the last is in force (闸门规则).';

create trigger gate_expectations_append_only
before update or delete on control.gate_expectations
for each row execute function control.refuse_change();
create trigger gate_expectations_no_truncate
before truncate on control.gate_expectations
for each statement execute function control.refuse_change();

create function control.keep_gate_expectations(wanted_checks jsonb) returns void
language sql
set search_path = pg_catalog
as $body$
    insert into control.gate_expectations (checks)
    select wanted_checks
    where wanted_checks is distinct from (
        select latest.checks
        from control.gate_expectations as latest
        order by latest.version_no desc
        limit 1
    )
$body$;
comment on function control.keep_gate_expectations(jsonb) is
'Puts the gate''s expectations on record, where those on record are others (登记闸门规则).';

create function control.gate_input_expectations()
returns table (input_kind text, input_key text, content text)
language sql
stable
set search_path = pg_catalog
as $body$
    select
        'expectation' as input_kind,
        checks.key as input_key,
        encode(sha256(convert_to(checks.value, 'UTF8')), 'hex') as content
    from (
        select versions.checks
        from control.gate_expectations as versions
        order by versions.version_no desc
        limit 1
    ) as latest
    cross join lateral jsonb_each_text(latest.checks) as checks
$body$;
comment on function control.gate_input_expectations() is
'The expectations in force, as a gate of any date reads them (闸门输入).';

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
    select * from control.gate_input_reference()
    union all
    select * from control.gate_input_expectations()
$body$;
"""


def upgrade() -> None:
    """Let the gate's inputs hold its expectations; older decisions keep what they stored."""
    op.execute(EXPECTATIONS)
