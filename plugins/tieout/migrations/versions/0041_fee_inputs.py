"""Clearing entries carry what decided their tier.

What was cleared before the upgrade was priced by the base tier, and says so with a volume that is
not known: nobody had added a month up.
"""

from __future__ import annotations

from alembic import op

revision = "0041"
down_revision = "0037"
branch_labels = None
depends_on = None

# A table that an earlier version built gets what its contract has now; only new dates fill it.
TABLES = """
do $$
begin
    if to_regclass('clearing.clearing_entries') is not null then
        alter table clearing.clearing_entries
            add column tier_from_minor bigint,
            add column tier_volume_minor bigint,
            add constraint entries_tier check (
                tier_from_minor is null or tier_from_minor <= greatest(tier_volume_minor, 0)
            );
    end if;
end
$$
"""


def upgrade() -> None:
    """Give the table of entries the columns that its contract has now."""
    op.execute(TABLES)
