"""What two people say an unexplained bank line is, and what the bank's answers left unsaid.

A decision is asked for by one person and approved by another; the gate of its payment date reads
it, and the close of the same date posts it. Two spellings of one name are one person.
"""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

TABLES = """
create table control.bank_line_decisions (
    decision_id bigint generated always as identity primary key,
    file_id text not null,
    line_number integer not null check (line_number > 0),
    booked_on date not null,
    bank_account_id text not null,
    currency_code text not null check (currency_code ~ '^[A-Z]{3}$'),
    line_kind text not null,
    channel text,
    amount_minor bigint not null check (amount_minor <> 0),
    taken_as text not null check (taken_as in ('claim_on_bank', 'bank_charge', 'own_error')),
    effective_on date not null,
    reason text not null check (btrim(reason) <> ''),
    requested_by text not null check (control.person_key(requested_by) <> ''),
    requested_at timestamptz not null default now(),
    constraint a_fee_period_has_a_channel check (
        line_kind <> 'period_fee' or channel is not null
    )
);
create index bank_line_decisions_by_line on control.bank_line_decisions (file_id, line_number);
create index bank_line_decisions_by_date on control.bank_line_decisions (effective_on);
comment on table control.bank_line_decisions is
'What a person says an unexplained bank line is (银行流水认领申请). Append-only.';

create table control.bank_line_approvals (
    decision_id bigint primary key references control.bank_line_decisions (decision_id),
    file_id text not null,
    line_number integer not null,
    approved_by text not null check (control.person_key(approved_by) <> ''),
    approved_at timestamptz not null default now(),
    constraint a_line_is_taken_once unique (file_id, line_number)
);
comment on table control.bank_line_approvals is
'The second person, without whom a bank line is not taken (银行流水认领复核). Append-only.';

create table payout.outcome_problems (
    run_date date not null,
    problem_no integer not null check (problem_no > 0),
    problem text not null check (btrim(problem) <> ''),
    primary key (run_date, problem_no)
);
comment on table payout.outcome_problems is
'What the latest outcomes run of a date did not understand or still waits for (付款结果待处理).';
"""

FUNCTIONS = """
create function control.check_bank_line_decision() returns trigger
language plpgsql
set search_path = pg_catalog
as $body$
declare
    line record;
begin
    perform reconciliation.require_open_date(new.effective_on);
    select bank_account_id, currency_code, amount_minor
    into line
    from raw.bank_statement_lines
    where
        accounting_date = new.booked_on
        and file_id = new.file_id
        and line_number = new.line_number;
    if line is null
        or line.bank_account_id <> new.bank_account_id
        or line.currency_code <> new.currency_code
    then
        raise exception 'there is no bank line %:% booked on %', new.file_id, new.line_number,
            new.booked_on
        using errcode = 'restrict_violation', hint = 'tieout bank-lines list';
    end if;
    if sign(new.amount_minor) = sign(line.amount_minor)
        and abs(new.amount_minor) > abs(line.amount_minor)
    then
        raise exception 'bank line %:% has % minor units, not %', new.file_id, new.line_number,
            line.amount_minor, new.amount_minor
        using errcode = 'restrict_violation', hint = 'tieout bank-lines list';
    end if;
    return new;
end
$body$;

create trigger bank_line_decisions_checked
before insert on control.bank_line_decisions
for each row execute function control.check_bank_line_decision();

create function control.check_bank_line_approval() returns trigger
language plpgsql
set search_path = pg_catalog
as $body$
declare
    decision control.bank_line_decisions;
begin
    select * into decision
    from control.bank_line_decisions
    where decision_id = new.decision_id;
    if decision.decision_id is null then
        raise exception 'there is no decision %', new.decision_id
        using errcode = 'foreign_key_violation';
    end if;
    if control.person_key(decision.requested_by) = control.person_key(new.approved_by) then
        raise exception 'decision % was asked for by %: another person has to approve it',
            new.decision_id, decision.requested_by
        using errcode = 'restrict_violation', hint = 'Ask a second person.';
    end if;
    perform reconciliation.require_open_date(decision.effective_on);
    new.file_id := decision.file_id;
    new.line_number := decision.line_number;
    return new;
end
$body$;

create trigger bank_line_approvals_checked
before insert on control.bank_line_approvals
for each row execute function control.check_bank_line_approval();
"""

APPEND_ONLY = """
create trigger {table}_append_only
before update or delete on control.{table}
for each row execute function control.refuse_change();
create trigger {table}_no_truncate
before truncate on control.{table}
for each statement execute function control.refuse_change();
"""


def upgrade() -> None:
    """Create the tables of decisions, what guards them, and the list of open problems."""
    op.execute(TABLES)
    op.execute(FUNCTIONS)
    for table in ("bank_line_decisions", "bank_line_approvals"):
        op.execute(APPEND_ONLY.format(table=table))
