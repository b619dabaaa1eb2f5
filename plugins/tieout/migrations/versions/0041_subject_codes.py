"""Accounts of the chart have the code of the finance system's books.

The chart is reference data that dbt loads; a home of before gets the column here, and its codes
with the next load.
"""

from __future__ import annotations

from alembic import op

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column where the chart is there; dbt makes it else."""
    op.execute(
        "alter table if exists reference.chart_of_accounts"
        " add column if not exists subject_code text"
    )
