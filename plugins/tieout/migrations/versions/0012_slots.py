"""The manifest says of which place a file is.

A place (slot) is the channel, kind and date of a file, and what else its name says: the merchant,
the account, the number behind the date. The index took kind and date alone for the place of
UnionPay's files, and so refused a second merchant's ZM of a date.
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

from tieout.migrations.file_slots import slot_of

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

CHANGE = """
alter table control.channel_files add column slot text;
comment on column control.channel_files.slot is
'Place of which one good file counts: channel, kind, date and parts of the name (文件位).';
drop index control.channel_files_one_landed_a_slot;
create unique index channel_files_one_landed_a_slot
on control.channel_files (slot)
where status = 'landed';
create index channel_files_by_slot on control.channel_files (slot);
"""


def upgrade() -> None:
    """Add the column, fill it from the names, and let the index be of it."""
    op.execute(CHANGE)
    connection = op.get_bind()
    files = connection.execute(
        text("select file_id, file_name from control.channel_files where channel is not null")
    ).all()
    if not files:
        return
    for file_id, file_name in files:
        slot = slot_of(file_name)
        if slot is not None:
            connection.execute(
                text("update control.channel_files set slot = :slot where file_id = :file_id"),
                {"slot": slot, "file_id": file_id},
            )
