"""One database of its own for the dbt project: seeded, its tables made, one empty date closed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from tieout import database, transform
from tieout.settings import Settings, load_settings

DATABASE = "dbt_tests"
EMPTY_DATE = date(2026, 9, 1)


@pytest.fixture(scope="session")
def built(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of a database with the setup, and the close of a date without rows, built."""
    parts = urlsplit(database.ensure_server(settings))
    admin = urlunsplit(parts._replace(path="/postgres"))
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"create database {DATABASE}")
    own = replace(
        load_settings({"TIEOUT_HOME": str(tmp_path_factory.mktemp("dbt-home"))}),
        external_database_url=urlunsplit(parts._replace(path=f"/{DATABASE}")),
    )
    own.ensure_dirs()
    database.migrate(own)
    transform.seed(own)
    transform.build_close(own, EMPTY_DATE)
    try:
        yield own
    finally:
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(f"drop database {DATABASE} (force)")
