"""Two people dispose of a suspended adjustment: charge an account, absorb it, tie it to an item.

The decisions stand beside those about open items, so that one trigger asks for the second person,
one keeps the closed dates and one rule holds for two decisions of one date.
"""

from __future__ import annotations

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

KINDS = """
alter table reconciliation.actions
drop constraint actions_action_kind_check,
drop constraint actions_suspense_item_id_check,
drop constraint two_items_where_two_are_needed,
drop constraint an_account_where_one_is_charged,
add constraint actions_action_kind_check check (
    action_kind in (
        'assign', 'pair', 'offset', 'adjust', 'write_off', 'charge', 'absorb', 'tie'
    )
),
add constraint actions_suspense_item_id_check check (suspense_item_id ~ '^[SCA]:.'),
add constraint two_items_where_two_are_needed check (
    (action_kind in ('pair', 'offset', 'tie')) = (second_item_id is not null)
    and second_item_id is distinct from suspense_item_id
),
add constraint an_account_where_one_is_charged check (
    (action_kind in ('adjust', 'charge')) = (account_id is not null)
),
add constraint adjustments_have_kinds_of_their_own check (
    (action_kind in ('charge', 'absorb', 'tie')) = (suspense_item_id like 'A:%')
);
comment on column reconciliation.actions.suspense_item_id is
'Open item (S:, C:), or suspended adjustment (A:) that is decided about (挂账项或待定差错).';
"""

# Tables that an earlier version built get what their contracts have now; only new dates fill it.
TABLES = """
do $$
begin
    if to_regclass('clearing.suspended_adjustments') is not null then
        alter table clearing.suspended_adjustments
            add column account_id text,
            add column original_voucher_id text,
            add column decision_id text,
            add column approvers text,
            drop constraint if exists suspended_known_status,
            add constraint suspended_known_status check (
                status in ('suspended', 'applied', 'charged', 'absorbed')
            ),
            add constraint suspended_charged check (
                (status = 'charged') = (account_id is not null)
                and (original_voucher_id is null or status = 'charged')
            ),
            add constraint suspended_decided_by_two check (
                (decision_id is null) = (approvers is null)
                and (status not in ('charged', 'absorbed') or approvers is not null)
                and (status <> 'suspended' or approvers is null)
            );
    end if;
    if to_regclass('reconciliation.applied_actions') is not null then
        alter table reconciliation.applied_actions
            drop constraint if exists actions_known_kind,
            add constraint actions_known_kind check (
                action_kind in (
                    'pair', 'offset', 'adjust', 'write_off', 'charge', 'absorb', 'tie'
                )
            );
    end if;
end
$$
"""


def upgrade() -> None:
    """Let a decision be about a suspended adjustment, by kinds of its own."""
    op.execute(KINDS)
    op.execute(TABLES)
