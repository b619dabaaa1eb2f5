"""Schemas, and the control tables: files, dates, leases, decisions of the gate."""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMAS = (
    "raw",
    "control",
    "payout",
    "reference",
    "staging",
    "intermediate",
    "reconciliation",
    "ledger",
    "clearing",
    "settlement",
    "gate",
)

TABLES = """
create table control.channel_files (
    file_id text primary key check (file_id ~ '^[0-9a-f]{16}$'),
    file_name text not null,
    file_url text not null,
    sha256 text not null unique check (sha256 ~ '^[0-9a-f]{64}$'),
    size_bytes bigint not null check (size_bytes >= 0),
    channel text,
    file_kind text,
    accounting_date date,
    booked_on date,
    row_count integer check (row_count >= 0),
    declared_row_count integer,
    declared_total_minor bigint,
    counted_total_minor bigint,
    control_totals jsonb,
    totals_status text check (totals_status in ('agree', 'none_in_format', 'disagree')),
    status text not null
        check (status in ('landed', 'quarantined', 'superseded', 'conflict', 'refused')),
    supersedes text references control.channel_files (file_id),
    reason text,
    landed_at timestamptz not null default now(),
    constraint file_id_is_of_the_bytes check (file_id = left(sha256, 16)),
    -- A file counts only when it is known what it is and its totals do not contradict it.
    constraint landed_is_whole check (
        status <> 'landed'
        or (
            channel is not null
            and file_kind is not null
            and accounting_date is not null
            and row_count is not null
            and totals_status is not null
            and totals_status <> 'disagree'
        )
    )
);
create index channel_files_by_date
on control.channel_files (accounting_date, channel, file_kind);
-- The second file of a slot with other bytes is a conflict; two that count would double a day.
create unique index channel_files_one_landed_a_slot
on control.channel_files (channel, file_kind, accounting_date)
where status = 'landed' and channel in ('platform', 'unionpay');
create unique index channel_files_one_landed_a_name
on control.channel_files (channel, file_kind, accounting_date, file_name)
where status = 'landed';
comment on table control.channel_files is
'One row a file that was seen, by its bytes (文件清单). Only status landed counts.';

create table control.quarantined_rows (
    quarantined_row_id bigint generated always as identity primary key,
    file_id text not null
        references control.channel_files (file_id) deferrable initially deferred,
    line_number integer,
    field text,
    reason_code text not null,
    reason text not null,
    row_excerpt_masked text,
    quarantined_at timestamptz not null default now()
);
create index quarantined_rows_by_file on control.quarantined_rows (file_id, line_number);
comment on table control.quarantined_rows is
'Rows that kept their whole file from landing, masked (隔离行).';

create table control.accounting_days (
    accounting_date date primary key,
    state text not null default 'open' check (state in ('open', 'closed', 'sealed')),
    closed_run_id text,
    close_count integer not null default 0 check (close_count >= 0),
    inputs_fingerprint text,
    closed_at timestamptz
);
comment on table control.accounting_days is
'State of each accounting date: open, closed, sealed by a payment (会计日期状态).';

create table control.accounting_day_seals (
    accounting_date date not null,
    channel text not null,
    payment_date date not null,
    sealed_at timestamptz not null default now(),
    primary key (accounting_date, channel)
);
comment on table control.accounting_day_seals is
'Which payment sealed which channel of an accounting date (封存).';

create table control.date_leases (
    kind text not null,
    business_date date not null,
    owner_id text not null,
    leased_at timestamptz not null default now(),
    primary key (kind, business_date)
);
comment on table control.date_leases is
'Who works on a date now; one owner a date (日期占用).';

create table control.gate_decisions (
    decision_id bigint generated always as identity primary key,
    payment_date date not null,
    outcome text not null check (outcome in ('passed', 'failed', 'released')),
    fingerprint text,
    statements_covered integer,
    payout_amount_minor bigint,
    detail jsonb not null default '{}',
    decided_by text not null,
    released_by_first text,
    released_by_second text,
    release_reason text,
    decided_at timestamptz not null default now(),
    constraint what_pays_is_fixed check (
        outcome = 'failed'
        or (
            fingerprint is not null
            and statements_covered is not null
            and payout_amount_minor is not null
        )
    ),
    constraint a_release_needs_two_people check (
        outcome <> 'released'
        or (
            released_by_first is not null
            and released_by_second is not null
            and lower(btrim(released_by_first)) <> lower(btrim(released_by_second))
            and btrim(release_reason) is not null
            and btrim(release_reason) <> ''
        )
    )
);
create index gate_decisions_latest on control.gate_decisions (payment_date, decision_id desc);
comment on table control.gate_decisions is
'Every decision of the gate; the latest of a payment date counts (闸门决定).';

create table control.run_stages (
    run_stage_id bigint generated always as identity primary key,
    kind text not null,
    business_date date not null,
    stage text not null,
    run_id text not null,
    seconds numeric not null check (seconds >= 0),
    row_count bigint,
    finished_at timestamptz not null default now()
);
create index run_stages_by_date on control.run_stages (business_date, kind, stage);
comment on table control.run_stages is
'How long each step of a run took, and how many rows (步骤耗时).';

create table control.restatements (
    restatement_id bigint generated always as identity primary key,
    accounting_date date not null,
    table_name text not null,
    row_key text not null,
    sealed_row jsonb,
    recomputed_row jsonb,
    reported_at timestamptz not null default now()
);
comment on table control.restatements is
'Rows of a sealed date that a recomputation would change (重述).';
"""

# Text of an exception a person may see: what, and what to do.
FUNCTIONS = """
create function control.refuse_change() returns trigger
language plpgsql
set search_path = pg_catalog
as $body$
begin
    raise exception '%.% is append-only: % refused', tg_table_schema, tg_table_name, tg_op
    using
        errcode = 'restrict_violation',
        hint = 'Write a new row that says what changed; the history stays.';
end
$body$;

create function control.keep_seal() returns trigger
language plpgsql
set search_path = pg_catalog
as $body$
begin
    if old.state = 'sealed' and (tg_op = 'DELETE' or new.state <> 'sealed') then
        raise exception 'accounting date % is sealed: money was paid on it', old.accounting_date
        using
            errcode = 'restrict_violation',
            hint = 'Correct it by records of a later date; see control.restatements.';
    end if;
    return case when tg_op = 'DELETE' then old else new end;
end
$body$;

create trigger accounting_days_keep_seal
before update or delete on control.accounting_days
for each row execute function control.keep_seal();

-- A decision and the instructions it allows are put in order by the payment date.
create function control.lock_payment_date(payment_date date) returns void
language sql
set search_path = pg_catalog
as $body$
    select pg_advisory_xact_lock(hashtextextended('tieout.payment.' || payment_date, 0))
$body$;

create function control.order_decision() returns trigger
language plpgsql
set search_path = pg_catalog
as $body$
begin
    perform control.lock_payment_date(new.payment_date);
    return new;
end
$body$;

create trigger gate_decisions_in_order
before insert on control.gate_decisions
for each row execute function control.order_decision();
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
    """Create the schemas and the control tables."""
    for schema in SCHEMAS:
        op.execute(f"create schema if not exists {schema}")
    op.execute(TABLES)
    op.execute(FUNCTIONS)
    for schema, table in (("control", "gate_decisions"), ("control", "accounting_day_seals")):
        op.execute(APPEND_ONLY.format(schema=schema, table=table))
