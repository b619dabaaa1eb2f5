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

__all__ = ["copied"]


@contextmanager
def copied(template: Settings, home: Path, name: str) -> Iterator[Settings]:
    """Give a home the copy ``name`` of the template's database; drop it at the end."""
    parts = urlsplit(database.ensure_server(template))
    source = parts.path.lstrip("/")
    admin = urlunsplit(parts._replace(path="/postgres"))
    with psycopg.connect(admin, autocommit=True) as connection:
        # A library may still hold an idle connection; a database in use is no template.
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [source]
        )
        connection.execute(
            sql.SQL("create database {} template {}").format(
                sql.Identifier(name), sql.Identifier(source)
            )
        )
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
