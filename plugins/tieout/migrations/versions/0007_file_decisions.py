"""What became of each file by whose decision, and files whose names nobody knows, on record."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TABLES = """
alter table control.channel_files drop constraint channel_files_status_check;
alter table control.channel_files add constraint channel_files_status_check check (
    status in ('landed', 'quarantined', 'superseded', 'conflict', 'refused', 'unrecognised')
);
alter table control.channel_files add column store_version text;
alter table control.channel_files add column rows_digest text;
comment on column control.channel_files.store_version is
'What the store said of the file when it was last read (time of change, or its ETag).';
comment on column control.channel_files.rows_digest is
'Digest of the rows whatever their order; equal digests of a slot are the same records.';

create table control.file_decisions (
    decision_id bigint generated always as identity primary key,
    file_id text not null references control.channel_files (file_id),
    action text not null check (action in ('release', 'reject', 'correct', 'late')),
    status_before text,
    status_after text not null,
    replaced_file_id text references control.channel_files (file_id),
    excluded_row_count integer not null default 0 check (excluded_row_count >= 0),
    reopened_dates date[] not null default '{}',
    decided_by text not null check (btrim(decided_by) <> ''),
    reason text not null check (btrim(reason) <> ''),
    decided_at timestamptz not null default now()
);
create index file_decisions_by_file on control.file_decisions (file_id);
comment on table control.file_decisions is
'Releases, rejections, corrections, late files: who, why, dates opened (文件处理记录).';

create trigger file_decisions_append_only
before update or delete on control.file_decisions
for each row execute function control.refuse_change();
create trigger file_decisions_no_truncate
before truncate on control.file_decisions
for each statement execute function control.refuse_change();
"""


def upgrade() -> None:
    """Keep decisions about files, and files of unknown names."""
    op.execute(TABLES)
