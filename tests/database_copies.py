"""A database of its own for each test: a copy of one that was prepared once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from tieout import database
from tieout.core.settings import Settings, load_settings

__all__ = ["copied", "create_migrated", "keep_migrated"]

MIGRATED = "migrated"


def keep_migrated(settings: Settings) -> None:
    """Keep a copy of a home's database while it is as its migrations made it."""
    url = database.ensure_server(settings)
    source = urlsplit(url).path.lstrip("/")
    with psycopg.connect(url.rpartition("/")[0] + "/postgres", autocommit=True) as connection:
        _copy(connection, source, MIGRATED)


def create_migrated(connection: psycopg.Connection[object], name: str) -> None:
    """Make a database as the migrations make one, on a server that keeps one."""
    _copy(connection, MIGRATED, name)


def _copy(connection: psycopg.Connection[object], source: str, name: str) -> None:
    # A library may still hold an idle connection; a database in use is no template.
    connection.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [source]
    )
    connection.execute(
        sql.SQL("create database {} template {}").format(
            sql.Identifier(name), sql.Identifier(source)
        )
    )


@contextmanager
def copied(template: Settings, home: Path, name: str) -> Iterator[Settings]:
    """Give a home the copy ``name`` of the template's database; drop it at the end."""
    parts = urlsplit(database.ensure_server(template))
    source = parts.path.lstrip("/")
    admin = urlunsplit(parts._replace(path="/postgres"))
    with psycopg.connect(admin, autocommit=True) as connection:
        _copy(connection, source, name)
    settings = replace(
        load_settings({"TIEOUT_HOME": str(home)}),
        external_database_url=urlunsplit(parts._replace(path=f"/{name}")),
    )
    settings.ensure_dirs()
    try:
        yield settings
    finally:
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(sql.SQL("drop database {} (force)").format(sql.Identifier(name)))
