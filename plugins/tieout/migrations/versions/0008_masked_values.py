"""A file says what of its texts was masked before it landed.

Card numbers and tracks that people wrote into remarks, references and the like never reach the
database; how many there were, and where, is for whoever talks to the sender.
"""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

CHANGE = """
alter table control.channel_files
add column masked_values jsonb not null default '[]'
check (jsonb_typeof(masked_values) = 'array');
comment on column control.channel_files.masked_values is
'Texts masked on the way in: table, field, kind (card_number, track_data), row_count, '
'first_line_number (入库前遮蔽的文本).';
"""


def upgrade() -> None:
    """Add the column; files of before have none."""
    op.execute(CHANGE)
