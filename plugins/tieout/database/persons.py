"""People who decide: each with a login of the database, so that two people are two logins."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Final
from urllib.parse import quote

import psycopg
from psycopg import sql

from tieout.core.errors import DatabaseError
from tieout.core.private_files import write_private
from tieout.core.settings import Settings
from tieout.database.connections import connect, ensure_server
from tieout.database.logins import give_login, url_as

__all__ = ["GROUPS", "add", "leave"]

GROUPS: Final = ("tieout_people", "tieout_finance")
"""What a person may: call the decision functions, and read."""


def add(settings: Settings, person: str, login: str, airflow_user: str | None) -> Path | None:
    """Put a person on record; make the login where there is none.

    Returns:
        The file with the new login's URL and password (0600); None where the login was there.

    Raises:
        DatabaseError: the login is a step's or the administrator's, the person or the login is on
            record already.
    """
    url = ensure_server(settings)
    with connect(settings, autocommit=True) as connection:
        row = connection.execute(
            "select rolsuper or rolname = any(array[current_user::text, session_user::text])"
            " or exists (select 1 from pg_auth_members as members inner join pg_roles as groups"
            " on members.roleid = groups.oid where members.member = pg_roles.oid"
            " and groups.rolname like 'tieout\\_%%' and groups.rolname <> all(%s))"
            " from pg_roles where rolname = %s",
            [list(GROUPS), login],
        ).fetchone()
        if row is not None and row[0]:
            raise _refused(person, f"{login} is the login of a step, of an owner or a superuser")
        try:
            connection.execute(
                "insert into control.persons (person, database_login, airflow_user)"
                " values (%s, %s, %s)",
                [person.strip(), login, airflow_user],
            )
        except psycopg.IntegrityError as error:
            raise _refused(person, str(error.diag.message_primary)) from error
        password = None if row is not None else secrets.token_urlsafe(24)
        give_login(connection, login, password, GROUPS)
    return None if password is None else _written(settings, url, login, password)


def leave(settings: Settings, person: str) -> None:
    """Let a person decide nothing any more; the login may not connect.

    Raises:
        DatabaseError: nobody of that name decides.
    """
    with connect(settings, autocommit=True) as connection:
        row = connection.execute(
            "update control.persons set is_active = false"
            " where control.person_key(person) = control.person_key(%s) and is_active"
            " returning database_login",
            [person],
        ).fetchone()
        if row is None:
            raise _refused(person, "nobody of that name decides")
        for group in GROUPS:
            connection.execute(
                sql.SQL("revoke {} from {}").format(sql.Identifier(group), sql.Identifier(row[0]))
            )


def _written(settings: Settings, admin_url: str, login: str, password: str) -> Path:
    path = settings.secrets_dir / "people" / f"{quote(login, safe='')}.url"
    write_private(path, f"{url_as(admin_url, login, password)}\n".encode())
    return path


def _refused(person: str, why: str) -> DatabaseError:
    return DatabaseError(
        what=f"{person} gets no login",
        where="control.persons",
        why=why,
        next_step="tieout people list; each person has one name and one login of their own",
    )
