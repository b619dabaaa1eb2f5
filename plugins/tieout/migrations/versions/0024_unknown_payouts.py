"""Payouts that are unknown are found by an index, so that each evening names them however old."""

from __future__ import annotations

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

INDEX = """
create index attempt_events_unknown on payout.attempt_events (attempt_id)
where status = 'unknown'
"""


def upgrade() -> None:
    """Index the few attempts that ever were unknown."""
    op.execute(INDEX)
