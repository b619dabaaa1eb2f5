"""The dbt project in a database of its own: seeded, tables made, an empty date closed and paid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

import builds
from database_copies import create_migrated
from tieout import database
from tieout.core.settings import Settings, load_settings
from tieout.runs import transform

DATABASE = "dbt_tests"
EMPTY_DATE = date(2026, 9, 1)
EMPTY_PAYMENT_DATE = date(2026, 9, 2)


@pytest.fixture(scope="session")
def built(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of a database with the setup, and the close of a date without rows, built."""
    parts = urlsplit(database.ensure_server(settings))
    admin = urlunsplit(parts._replace(path="/postgres"))
    with psycopg.connect(admin, autocommit=True) as connection:
        create_migrated(connection, DATABASE)
    own = replace(
        load_settings({"TIEOUT_HOME": str(tmp_path_factory.mktemp("dbt-home"))}),
        external_database_url=urlunsplit(parts._replace(path=f"/{DATABASE}")),
    )
    own.ensure_dirs()
    database.migrate(own)  # the logins of this database
    transform.seed(own)
    builds.close(own, EMPTY_DATE)
    # Unit tests take the columns of the models they give rows of from the tables.
    payment = {
        "TIEOUT_PAYMENT_DATE": EMPTY_PAYMENT_DATE.isoformat(),
        "TIEOUT_PREVIOUS_PAYMENT_DATE": EMPTY_DATE.isoformat(),
    }
    report = transform.run_dbt(own, ["run", "--select", "tag:payment"], payment)
    assert report.failures == ()
    try:
        yield own
    finally:
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(f"drop database {DATABASE} (force)")
