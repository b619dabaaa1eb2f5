"""The databases of a server: opened by their URL, made where they are missing."""

from __future__ import annotations

import contextlib
from typing import Any
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from tieout.core.errors import DatabaseError

__all__ = ["create_databases", "open_url"]


def open_url(url: str, **kwargs: Any) -> psycopg.Connection[Any]:
    """Open a connection; `kwargs` go to `psycopg.connect`. Raises DatabaseError: no answer."""
    try:
        return psycopg.connect(url, **kwargs)
    except psycopg.OperationalError as error:
        parts = urlsplit(url)
        raise DatabaseError(
            what="the database does not answer",
            where=f"{parts.hostname}:{parts.port or 5432}{parts.path}",
            why=str(error).strip().splitlines()[-1],
            next_step="check TIEOUT_DATABASE_URL and that the server runs; without that variable "
            "the embedded server is used",
        ) from error


def create_databases(admin_url: str, names: list[str]) -> None:
    """Make the databases that are missing, through a connection to any other of that server."""
    with open_url(admin_url, autocommit=True) as connection:
        for name in names:
            found = connection.execute("select 1 from pg_database where datname = %s", [name])
            if found.fetchone() is not None:
                continue
            # Another process may make it between the question and the answer.
            with contextlib.suppress(
                psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation
            ):
                try:
                    connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
                except psycopg.errors.InsufficientPrivilege as error:
                    raise DatabaseError(
                        what=f"the database {name} is missing and may not be made",
                        where=f"{connection.info.host}:{connection.info.port}",
                        why=str(error).strip(),
                        next_step=f"create the database {name}, or name another one in "
                        "TIEOUT_AIRFLOW_DATABASE_URL",
                    ) from error
