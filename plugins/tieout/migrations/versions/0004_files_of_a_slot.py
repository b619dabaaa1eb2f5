"""A file is its bytes in its place: equal bytes may be two files.

An empty ALFEE of Thursday and an empty one of Friday have the same bytes, and so has a platform
snapshot that did not change; both dates owe their own. So `sha256` is of the bytes alone and not
unique, and `file_id` is of place (channel, kind, date, account) and bytes. The same bytes in the
same place are still one file.
"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

CHANGE = """
alter table control.channel_files drop constraint channel_files_sha256_key;
alter table control.channel_files drop constraint file_id_is_of_the_bytes;
create index channel_files_by_bytes on control.channel_files (sha256);
comment on column control.channel_files.sha256 is 'SHA-256 of the bytes as they arrived.';
comment on column control.channel_files.file_id is
'First 16 hexadecimal digits of the SHA-256 of the place (channel, kind, date, account) and bytes.';
"""


def upgrade() -> None:
    """Let equal bytes stand for two dates."""
    op.execute(CHANGE)
