"""A lease says itself whether its owner works.

Whether an Airflow run still worked was read in Airflow's own database, with a login that may write
there: a step that was taken over could make itself a user who decides. A step holds a lock of this
database while it runs, and says so of its leases when it begins.
"""

from __future__ import annotations

from alembic import op

revision = "0051"
down_revision = "0050"
branch_labels = None
depends_on = None

LIFE = """
alter table control.date_leases
add column renewed_at timestamptz not null default clock_timestamp();
comment on column control.date_leases.renewed_at is
'When a step of its owner last began (最近一次续租时间).';

create function control.is_at_work(owner text, renewed_at timestamptz) returns boolean
language sql
volatile
set search_path = pg_catalog, pg_temp
as $body$
    -- The lock of a step, and of a command, falls with its session. Between two steps of a run of
    -- Airflow nobody holds it: 15 minutes are many times what a run waits for its next try or look.
    select
        exists (
            select 1
            from pg_locks as locks
            inner join pg_database as databases on locks.database = databases.oid
            where
                databases.datname = current_database()
                and locks.locktype = 'advisory'
                and locks.classid = 29152
                and locks.objid = (hashtext(owner)::bigint & 4294967295)::oid
                and locks.objsubid = 2
                and locks.granted
        )
        or (
            not starts_with(owner, 'command:')
            and renewed_at > clock_timestamp() - interval '15 minutes'
        )
$body$;
comment on function control.is_at_work(text, timestamptz) is
'Whether the owner of a lease still works: by its lock, or by when it last said so (是否在岗).';
"""


def upgrade() -> None:
    """Let a lease say when its owner last worked."""
    op.execute(LIFE)


def downgrade() -> None:
    """Refuse: a run of the program before would ask Airflow's database for whom it cannot know."""
    raise NotImplementedError("0051 is not undone")
