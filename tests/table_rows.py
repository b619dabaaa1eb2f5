"""The rows of every table of a home, to compare two homes, or one with itself."""

from __future__ import annotations

from tieout import database
from tieout.core.settings import Settings

__all__ = ["Rows", "differences", "rows_of"]

SCHEMAS = (
    "raw", "control", "reference", "reconciliation", "ledger", "clearing", "settlement", "gate",
    "payout",
)  # fmt: skip
# Who works now and how long a step took: not what came of it.
# A link is a hash of the clock, too.
_LEFT_OUT = {
    "control.alembic_version",
    "control.chain_links",
    "control.date_leases",
    "control.run_stages",
}
# The clock (a file's, too), random numbers, sequences (a crash leaves gaps), the run, the home.
_VOLATILE = (
    "account_name_ciphertext", "account_number_ciphertext", "closed_at", "closed_run_id",
    "created_at", "decided_at", "decided_by_login", "decision_id", "event_id", "file_url",
    "landed_at", "recorded_at", "sealed_at", "store_version",
)  # fmt: skip
Rows = dict[str, list[str]]


def rows_of(settings: Settings) -> Rows:
    """Return each table's rows as sorted texts, without the columns that no two runs share.

    A partition's rows stand under its parent, so that one which was never attached shows as a table
    of its own.
    """
    with database.connect(settings) as connection:
        names = connection.execute(
            "select schemas.nspname || '.' || tables.relname from pg_class as tables"
            " inner join pg_namespace as schemas on tables.relnamespace = schemas.oid"
            " where schemas.nspname = any(%s) and tables.relkind in ('r', 'p')"
            " and not tables.relispartition order by 1",
            [list(SCHEMAS)],
        ).fetchall()
        return {
            name: [
                str(text)
                for (text,) in connection.execute(
                    f"select (to_jsonb(t) - %s::text[])::text from {name} as t order by 1",
                    [list(_VOLATILE)],
                ).fetchall()
            ]
            for (name,) in names
            if name not in _LEFT_OUT
        }


def differences(expected: Rows, found: Rows) -> list[str]:
    """Say of each table that differs, how; a few rows of each side."""
    said = []
    for name in sorted({*expected, *found}):
        one, other = expected.get(name), found.get(name)
        if one is None or other is None:
            said.append(f"{name}: only {'expected' if other is None else 'found'}")
        elif one != other:
            missing = sorted(set(one) - set(other))[:2]
            surplus = sorted(set(other) - set(one))[:2]
            said.append(
                f"{name}: {len(one)} rows expected, {len(other)} found;"
                f" missing {missing}, surplus {surplus}"
            )
    return said
