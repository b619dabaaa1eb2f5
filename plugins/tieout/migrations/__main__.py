"""`python -m tieout.migrations`: bring the database this environment names to the newest revision.

Also makes Airflow's own database beside it, so that `airflow db migrate` can follow. `tieout
install` does the same and loads the reference data.
"""

from __future__ import annotations

import sys

from tieout import database
from tieout.core.errors import TieoutError
from tieout.core.progress import say
from tieout.core.settings import load_settings


def main() -> int:
    """Migrate; return the exit code."""
    settings = load_settings()
    try:
        changed = database.migrate(settings)
        database.make_logins(settings)
        database.make_airflow_database(settings)
    except TieoutError as error:
        say(str(error))
        return 1
    say("the tables are migrated" if changed else "the tables are up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
