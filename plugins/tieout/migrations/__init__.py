"""The tables the program itself writes: raw, control, payout (dbt owns all others).

One file in `versions/` a change, never edited after a release. `tieout.database.migrate` runs them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["HEAD", "upgrade"]

# Any fixed number; `migrate` of two processes queue on it.
MIGRATION_LOCK: Final = 7_405_001
# The newest revision, so that a call with nothing to do need not import Alembic (a test compares).
HEAD: Final = "0053"


def upgrade(url: str, revision: str = "head") -> None:
    """Run the missing migrations in one transaction. `url` is `postgresql://…`."""
    import psycopg  # noqa: PLC0415
    from alembic import command  # noqa: PLC0415 - half a second to import
    from alembic.config import Config  # noqa: PLC0415

    from tieout.migrations import roles  # noqa: PLC0415

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("select pg_advisory_lock(%s)", [MIGRATION_LOCK])
        roles.create(connection)
        roles.adopt(connection)
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    config.attributes["url"] = url
    command.upgrade(config, revision)
