"""A home with everything in place but its first date: made once a run, copied for who needs one.

The database, Airflow's tables and the reference data take most of a minute to make and are not
what the tests of whole days are about. Workers share one: the first that needs it makes it.
"""

from __future__ import annotations

import fcntl
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tieout import database
from tieout.core.settings import Settings, load_settings
from tieout.runs import airflow_home, transform
from tieout.server import embedded

__all__ = ["copy", "make", "once", "server_options", "shared_folder", "start_carelessly"]

_HASHED_ONCE = "SCRAM-SHA-256$1:"
_CARELESS = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}


def shared_folder(factory: pytest.TempPathFactory, is_worker: bool) -> Path:
    """Return a folder of this run that all its workers share."""
    base = factory.getbasetemp()
    return base.parent if is_worker else base


def once(folder: Path, build: Callable[[Path], None]) -> Path:
    """Build a folder unless another worker has; wait where one is at it.

    What was left half-built, because building it failed, is built anew elsewhere.
    """
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder.with_suffix(".done")
        if not done.exists():
            if folder.exists():
                subprocess.run(["rm", "-rf", str(folder)], check=True)
            folder.mkdir()
            build(folder)
            done.touch()
    return folder


def make(home: Path) -> None:
    """Make the database, Airflow's tables and the reference data of a home, and stop it."""
    settings = load_settings({"TIEOUT_HOME": str(home)})
    try:
        start_carelessly(settings)
        database.migrate(settings)
        airflow_home.prepare(settings)
        transform.seed(settings)
    finally:
        database.stop_server(settings)


def copy(stopped: Path, home: Path) -> Settings:
    """Copy a stopped home to a place where nothing is; return the copy's settings."""
    assert not home.exists()
    # cp keeps the owner of the data folder, which is not ours when the tests run as root.
    subprocess.run(["cp", "-a", str(stopped), str(home)], check=True)
    return load_settings({"TIEOUT_HOME": str(home)})


def start_carelessly(settings: Settings) -> None:
    """Start the test's server without waiting for the disk: nobody misses it after a power cut.

    Commands of other processes find it running, and use it as it is.
    """
    with server_options(_CARELESS):
        url = database.ensure_server(settings)
    with psycopg.connect(url, autocommit=True) as connection:
        _shorten_login(connection)


def _shorten_login(connection: psycopg.Connection[object]) -> None:
    """Have the password hashed once at each login, not 4,096 times: tests log in by the thousand.

    Copies of the home have it from the first.
    """
    row = connection.execute("select rolpassword from pg_authid where rolname = user").fetchone()
    assert row is not None
    if connection.info.server_version >= 160_000 and not str(row[0]).startswith(_HASHED_ONCE):
        connection.execute("set scram_iterations = 1")
        connection.execute(
            sql.SQL("alter role current_user password {}").format(
                sql.Literal(connection.info.password)
            )
        )


@contextmanager
def server_options(options: Mapping[str, str]) -> Iterator[None]:
    """Start servers with other options than the product's meanwhile."""
    real = embedded._server_settings

    def changed(pg_dir: Path, port: int) -> Mapping[str, str]:
        return {**real(pg_dir, port), **options}

    embedded._server_settings = changed
    try:
        yield
    finally:
        embedded._server_settings = real
