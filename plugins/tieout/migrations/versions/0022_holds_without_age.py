"""A hold carries the arrival group it waits for, so that it ends by its money and not by its age.

What was held before the upgrade names no group: `settlement.holds` of paid dates does not change.
Such a hold goes on until no group of its channel and currency is short any more.
"""

from __future__ import annotations

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

# A table that an earlier version built gets what its contract has now; only new dates fill it.
TABLES = """
do $$
begin
    if to_regclass('settlement.holds') is not null then
        alter table settlement.holds add column arrival_group_id text;
    end if;
end
$$
"""


def upgrade() -> None:
    """Give the table of holds the column that its contract has now."""
    op.execute(TABLES)
