"""The tables the program itself writes: raw, control, payout (dbt owns all others).

One file in `versions/` a change, never edited after a release. `tieout.database.migrate` runs them.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["HEAD", "upgrade"]

# The newest revision, so that a call with nothing to do need not import Alembic (a test compares).
HEAD = "0028"


def upgrade(url: str, revision: str = "head") -> None:
    """Run the missing migrations in one transaction. `url` is `postgresql://…`."""
    from alembic import command  # noqa: PLC0415 - half a second to import
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    config.attributes["url"] = url
    command.upgrade(config, revision)
