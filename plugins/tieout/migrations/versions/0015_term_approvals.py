"""Terms change by approval, and a payee that came back is known.

Two people decide about changed terms, about the first date's list and about changed reference
data; nothing they decided is ever changed. A name counts as the same person's whatever its case,
width, blanks and invisible characters: logins come with the issue on roles. The reasons with which
payouts came back are kept by payee and version, so that a payment looks at one row a payee and not
at years of attempts.
"""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

PEOPLE = r"""
create function control.person_key(person_name text) returns text
language sql
immutable
set search_path = pg_catalog
as $body$
    -- Blanks, soft hyphen, fillers, zero-width, direction and variation characters.
    select lower(
        regexp_replace(
            normalize(person_name, nfkc),
            '[\s\u00AD\u034F\u061C\u115F\u1160\u17B4\u17B5\u180B-\u180F\u200B-\u200F\u2028-\u202E'
            || '\u2060-\u206F\u3164\uFE00-\uFE0F\uFEFF\uFFA0\uFFF9-\uFFFB]',
            '',
            'g'
        )
    )
$body$;
comment on function control.person_key(text) is
'Who a name stands for: the same key is the same person (人员识别).';
"""

TABLES = """
create table control.term_approvals (
    approval_id bigint generated always as identity primary key,
    subject text not null check (subject in ('changes', 'first_date_list', 'reference_data')),
    decision text not null check (decision in ('approve', 'reject')),
    approved_by_first text not null,
    approved_by_second text not null,
    reason text not null check (btrim(reason) <> ''),
    effective_on date,
    list_sha256 text check (list_sha256 ~ '^[0-9a-f]{64}$'),
    reference_sha256 text check (reference_sha256 ~ '^[0-9a-f]{64}$'),
    decided_at timestamptz not null default now(),
    constraint two_different_people check (
        control.person_key(approved_by_first) <> ''
        and control.person_key(approved_by_second) <> ''
        and control.person_key(approved_by_first) <> control.person_key(approved_by_second)
    ),
    constraint changes_have_their_date check (
        (subject = 'changes') = (effective_on is not null)
    ),
    constraint a_list_is_named_by_its_content check (
        (subject = 'first_date_list') = (list_sha256 is not null)
        and (subject in ('first_date_list', 'reference_data')) = (reference_sha256 is not null)
    ),
    constraint only_changes_are_rejected check (subject = 'changes' or decision = 'approve'),
    unique (approval_id, effective_on, decision)
);
create index term_approvals_by_subject on control.term_approvals (subject, approval_id);
comment on table control.term_approvals is
'What two people decided about terms: changes, the first list, reference data (条款审批).';

create table control.term_approval_items (
    approval_id bigint not null,
    change_id text not null
        check (change_id ~ '^(contract|fee_rate|payee):.+:[0-9]{8}:[0-9a-f]{32}$'),
    effective_on date not null,
    decision text not null,
    primary key (approval_id, change_id),
    -- What the decision says, once more: a close finds the changes of its date by an index.
    foreign key (approval_id, effective_on, decision)
    references control.term_approvals (approval_id, effective_on, decision)
);
create index term_approval_items_by_date on control.term_approval_items (effective_on);
create index term_approval_items_by_change on control.term_approval_items (change_id);
comment on table control.term_approval_items is
'The changes a decision of two people is about (条款审批明细).';

create table control.reference_versions (
    reference_sha256 text primary key check (reference_sha256 ~ '^[0-9a-f]{64}$'),
    content jsonb not null,
    recorded_at timestamptz not null default now()
);
comment on table control.reference_versions is
'Reference data as two people approved it, table by table (参考数据版本).';

create table payout.payee_returns (
    payee_id text not null,
    payee_version integer not null,
    reason_code text not null,
    returned_on date not null,
    attempt_id text not null references payout.attempts (attempt_id),
    primary key (payee_id, payee_version, reason_code)
);
comment on table payout.payee_returns is
'Reasons with which payouts to a payee failed or came back, each once, the first (收款人退汇).';

create index instructions_by_payee
on payout.instructions (payee_id, payee_version, payment_date);
"""

FUNCTIONS = """
create function control.check_term_approval() returns trigger
language plpgsql
set search_path = pg_catalog
as $body$
begin
    if new.effective_on is not null then
        perform reconciliation.require_open_date(new.effective_on);
    end if;
    return new;
end
$body$;

create trigger term_approvals_checked
before insert on control.term_approvals
for each row execute function control.check_term_approval();

create function control.check_term_approval_item() returns trigger
language plpgsql
set search_path = pg_catalog
as $body$
begin
    -- Only the decision's own transaction may say what it is about.
    perform 1
    from control.term_approvals
    where
        approval_id = new.approval_id
        and subject = 'changes'
        and xmin = pg_current_xact_id()::xid;
    if not found then
        raise exception 'decision % takes no more changes', new.approval_id
        using errcode = 'restrict_violation', hint = 'Decide about the change by itself.';
    end if;
    return new;
end
$body$;

create trigger term_approval_items_checked
before insert on control.term_approval_items
for each row execute function control.check_term_approval_item();

create function control.reference_content() returns jsonb
language plpgsql
stable
set search_path = pg_catalog
as $body$
declare
    result jsonb := '{}';
    table_name text;
    table_rows jsonb;
begin
    for table_name in
        select classes.relname
        from pg_class as classes
        inner join pg_namespace as spaces on classes.relnamespace = spaces.oid
        where spaces.nspname = 'reference' and classes.relkind in ('r', 'p')
        order by classes.relname collate "C"
    loop
        execute format(
            'select coalesce(jsonb_agg(to_jsonb(rows) order by to_jsonb(rows)::text collate "C"),'
            ' ''[]''::jsonb) from reference.%I as rows', table_name
        ) into table_rows;
        result := result || jsonb_build_object(table_name, table_rows);
    end loop;
    return result;
end
$body$;
comment on function control.reference_content() is
'Every row of the reference data, by table (参考数据内容).';

create function control.reference_sha256() returns text
language sql
stable
set search_path = pg_catalog
as $body$
    select encode(sha256(convert_to(control.reference_content()::text, 'UTF8')), 'hex')
$body$;
comment on function control.reference_sha256() is
'The reference data in one number: any other row differs (参考数据指纹).';

create function payout.note_payee_returns() returns trigger
language plpgsql
set search_path = pg_catalog
as $body$
begin
    insert into payout.payee_returns
        (payee_id, payee_version, reason_code, returned_on, attempt_id)
    select distinct on (instructions.payee_id, instructions.payee_version, new_rows.reason_code)
        instructions.payee_id,
        instructions.payee_version,
        new_rows.reason_code,
        new_rows.business_date,
        new_rows.attempt_id
    from new_rows
    inner join payout.attempts on new_rows.attempt_id = attempts.attempt_id
    inner join payout.instructions on attempts.instruction_id = instructions.instruction_id
    where new_rows.status in ('failed', 'returned') and new_rows.reason_code is not null
    order by
        instructions.payee_id,
        instructions.payee_version,
        new_rows.reason_code,
        new_rows.business_date,
        new_rows.event_id
    on conflict do nothing;
    return null;
end
$body$;

create trigger attempt_events_note_payee_returns
after insert on payout.attempt_events
referencing new table as new_rows
for each statement execute function payout.note_payee_returns();

insert into payout.payee_returns
    (payee_id, payee_version, reason_code, returned_on, attempt_id)
select distinct on (instructions.payee_id, instructions.payee_version, events.reason_code)
    instructions.payee_id,
    instructions.payee_version,
    events.reason_code,
    events.business_date,
    events.attempt_id
from payout.attempt_events as events
inner join payout.attempts on events.attempt_id = attempts.attempt_id
inner join payout.instructions on attempts.instruction_id = instructions.instruction_id
where events.status in ('failed', 'returned') and events.reason_code is not null
order by
    instructions.payee_id,
    instructions.payee_version,
    events.reason_code,
    events.business_date,
    events.event_id
on conflict do nothing;
"""

APPEND_ONLY = """
create trigger {name}_append_only
before update or delete on {table}
for each row execute function control.refuse_change();
create trigger {name}_no_truncate
before truncate on {table}
for each statement execute function control.refuse_change();
"""


def upgrade() -> None:
    """Create the tables of decisions and returned payees, and what guards and fills them."""
    op.execute(PEOPLE)
    op.execute(TABLES)
    op.execute(FUNCTIONS)
    for table in (
        "control.term_approvals",
        "control.term_approval_items",
        "control.reference_versions",
        "payout.payee_returns",
    ):
        op.execute(APPEND_ONLY.format(table=table, name=table.split(".")[1]))
