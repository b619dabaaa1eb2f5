"""A partition is put in by who holds the lease of its date.

Two runs take turns by their leases. A run whose lease was taken over, because it was thought dead,
may still have a build under way: what it has computed is not put in any more. `swap_partition` asks
in the transaction that swaps, of who says it is the owner.
"""

from __future__ import annotations

from alembic import op

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None

REFUSAL = """
create function control.why_not_leased(key text, day date, goes_on boolean, owner text)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $body$
    -- What goes on after a payment is computed for several dates by a run of one.
    select case
        when exists (
            select 1
            from control.date_leases
            where owner_id = owner
                and case key
                    when 'accounting_date' then kind = 'accounting_close' and business_date = day
                    else
                        kind in ('settlement_payout', 'payout_outcomes')
                        and (business_date = day or goes_on)
                end
        ) then null
        else format(
            '%s holds no lease of %s %s',
            coalesce(nullif(owner, ''), 'nobody named'), replace(key, '_', ' '), day
        )
    end
$body$;
comment on function control.why_not_leased(text, date, boolean, text) is
'Why who computed a date may not put its partition in; null where it may (无租约).';
revoke execute on function control.why_not_leased(text, date, boolean, text) from public;
"""

# Looked at after what is sealed, whose refusal says more.
ASKED = """
    -- The administrator sets a home up and mends one; files are landed whenever they come.
    if schema_name <> 'raw' and not pg_has_role(session_user, 'tieout_owner', 'member') then
        reason := control.why_not_leased(key, day, not is_guarded, owner);
        if reason is not null then
            raise exception '% is not put into %: %', aside, parent, reason
            using
                errcode = 'lock_not_available',
                hint = 'Start it with tieout close, tieout pay or a DAG, which take the lease.';
        end if;
    end if;

    child_name := format("""

OLD = "control.swap_partition(regclass, regclass, date)"
NEW = "control.swap_partition(regclass, regclass, date, text)"
RIGHTS = f"""
drop function {OLD};
comment on function {NEW} is
'Put a table made aside in the place of a date''s partition, after a look at it (换入分区).';
revoke execute on function {NEW} from public;
grant execute on function {NEW} to tieout_ingest, tieout_transform;
"""
CHANGES = (
    ("day date)", "day date, owner text default null)"),
    ("\n    child_name := format(", ASKED),
)


def upgrade() -> None:
    """Create the question, and ask it where a partition is swapped."""
    op.execute(REFUSAL)
    connection = op.get_bind()
    definition = connection.exec_driver_sql(
        f"select pg_get_functiondef('{OLD}'::regprocedure)"
    ).scalar_one()
    for before, after in CHANGES:
        assert definition.count(before) == 1, definition
        definition = definition.replace(before, after)
    connection.exec_driver_sql(definition.replace("%", "%%"))
    op.execute(RIGHTS)
