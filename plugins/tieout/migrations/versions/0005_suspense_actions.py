"""What people decide about open items: asked for by one, approved by another, never changed."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TABLES = """
create table reconciliation.actions (
    action_id bigint generated always as identity primary key,
    action_kind text not null
        check (action_kind in ('assign', 'pair', 'offset', 'adjust', 'write_off')),
    suspense_item_id text not null check (suspense_item_id ~ '^[SC]:.'),
    second_item_id text check (second_item_id ~ '^[SC]:.'),
    account_id text,
    assigned_to text check (btrim(assigned_to) <> ''),
    effective_on date not null,
    reason text not null check (btrim(reason) <> ''),
    requested_by text not null check (btrim(requested_by) <> ''),
    requested_at timestamptz not null default now(),
    constraint two_items_where_two_are_needed check (
        (action_kind in ('pair', 'offset')) = (second_item_id is not null)
        and second_item_id is distinct from suspense_item_id
    ),
    constraint an_account_where_one_is_charged check (
        (action_kind = 'adjust') = (account_id is not null)
    ),
    constraint somebody_where_it_is_assigned check (
        (action_kind = 'assign') = (assigned_to is not null)
    )
);
create index actions_by_date on reconciliation.actions (effective_on, action_kind);
create index actions_by_item on reconciliation.actions (suspense_item_id);
comment on table reconciliation.actions is
'What people decide about open items, asked for by one person (挂账处理申请).';

create table reconciliation.action_approvals (
    action_id bigint primary key references reconciliation.actions (action_id),
    approved_by text not null check (btrim(approved_by) <> ''),
    approved_at timestamptz not null default now()
);
comment on table reconciliation.action_approvals is
'The second person, without whom a decision has no effect (挂账处理复核).';

-- Two decisions of one date about one item would need an order that nobody gave.
create table reconciliation.action_items (
    suspense_item_id text not null,
    effective_on date not null,
    action_id bigint not null references reconciliation.actions (action_id),
    primary key (suspense_item_id, effective_on)
);
comment on table reconciliation.action_items is
'Which items a decision ends, one decision an item and date (处理涉及挂账项).';
"""

FUNCTIONS = """
create function reconciliation.require_open_date(business_date date) returns void
language plpgsql
set search_path = pg_catalog
as $body$
begin
    -- The row is locked, so that the date is not closed between this check and our commit.
    perform 1
    from control.accounting_days
    where accounting_date = business_date and state <> 'open'
    for share;
    if found then
        raise exception 'accounting date % is closed: a decision cannot take effect on it',
            business_date
        using
            errcode = 'restrict_violation',
            hint = 'Let it take effect on the next date to be closed.';
    end if;
    -- A close reads the decisions once, at its beginning: one that comes now would be passed over.
    perform 1
    from control.date_leases
    where kind = 'accounting_close' and date_leases.business_date = require_open_date.business_date;
    if found then
        raise exception 'accounting date % is being closed', business_date
        using
            errcode = 'restrict_violation',
            hint = 'Wait until the close has ended; let it take effect on a later date if it held.';
    end if;
end
$body$;

create function reconciliation.check_action() returns trigger
language plpgsql
set search_path = pg_catalog
as $body$
begin
    if new.action_kind <> 'assign' then
        perform reconciliation.require_open_date(new.effective_on);
        insert into reconciliation.action_items (suspense_item_id, effective_on, action_id)
        select items.suspense_item_id, new.effective_on, new.action_id
        from (values (new.suspense_item_id), (new.second_item_id)) as items (suspense_item_id)
        where items.suspense_item_id is not null;
    end if;
    return new;
end
$body$;

create trigger actions_checked
after insert on reconciliation.actions
for each row execute function reconciliation.check_action();

create function reconciliation.check_approval() returns trigger
language plpgsql
set search_path = pg_catalog
as $body$
declare
    action reconciliation.actions;
begin
    select * into action
    from reconciliation.actions
    where action_id = new.action_id;
    if action.action_kind = 'assign' then
        raise exception 'an assignment needs no approval'
        using errcode = 'restrict_violation';
    end if;
    if lower(btrim(action.requested_by)) = lower(btrim(new.approved_by)) then
        raise exception 'decision % was asked for by %: another person has to approve it',
            new.action_id, action.requested_by
        using errcode = 'restrict_violation', hint = 'Ask a second person.';
    end if;
    perform reconciliation.require_open_date(action.effective_on);
    return new;
end
$body$;

create trigger approvals_checked
before insert on reconciliation.action_approvals
for each row execute function reconciliation.check_approval();
"""

APPEND_ONLY = """
create trigger {table}_append_only
before update or delete on reconciliation.{table}
for each row execute function control.refuse_change();
create trigger {table}_no_truncate
before truncate on reconciliation.{table}
for each statement execute function control.refuse_change();
"""


def upgrade() -> None:
    """Create the tables of decisions and what guards them."""
    op.execute(TABLES)
    op.execute(FUNCTIONS)
    for table in ("actions", "action_approvals", "action_items"):
        op.execute(APPEND_ONLY.format(table=table))
