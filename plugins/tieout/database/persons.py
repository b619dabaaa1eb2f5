"""People who decide: each with a login of the database, so that two people are two logins."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import psycopg
from psycopg import sql

from tieout.core.errors import DatabaseError
from tieout.core.private_files import write_private
from tieout.core.settings import Settings
from tieout.database.connections import connect, ensure_server
from tieout.database.logins import PEOPLE_GROUPS, give_login, url_as

__all__ = [
    "DECISION_ROLES", "add", "add_gateway", "give_role", "have_logins", "leave",
    "make_named_gateway", "speaking_for",
]  # fmt: skip

DECISION_ROLES: Final = ("officer", "supervisor")
"""Whose limits a person has; without one, an officer's."""


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
            [list(PEOPLE_GROUPS), login],
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
        give_login(connection, login, password, PEOPLE_GROUPS)
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
        for group in PEOPLE_GROUPS:
            connection.execute(
                sql.SQL("revoke {} from {}").format(sql.Identifier(group), sql.Identifier(row[0]))
            )


def have_logins(settings: Settings) -> bool:
    """Say whether people have logins, so that two people are two of these."""
    with connect(settings) as connection:
        row = connection.execute("select exists (select 1 from control.persons)").fetchone()
    return row is not None and bool(row[0])


def give_role(settings: Settings, person: str, role: str) -> None:
    """Give a person the limits of a role from now on (`reference.decision_limits`).

    Raises:
        DatabaseError: nobody of that name decides, or there is no such role.
    """
    with connect(settings, autocommit=True) as connection:
        try:
            row = connection.execute(
                "insert into control.person_roles (person, decision_role)"
                " select person, %s from control.persons"
                " where control.person_key(person) = control.person_key(%s) and is_active"
                " returning person",
                [role, person],
            ).fetchone()
        except psycopg.IntegrityError as error:
            raise _refused(person, f"{role} is no role: {' or '.join(DECISION_ROLES)}") from error
        if row is None:
            raise _refused(person, "nobody of that name decides")


def add_gateway(settings: Settings, login: str) -> Path:
    """Make the login with which Airflow's API server speaks for its users.

    Returns:
        The file with its URL and password (0600), for the API server alone.

    Raises:
        DatabaseError: the login is there already.
    """
    url = ensure_server(settings)
    with connect(settings, autocommit=True) as connection:
        if connection.execute("select 1 from pg_roles where rolname = %s", [login]).fetchone():
            raise _refused(login, "there is a login of that name, which may be somebody's")
        password = secrets.token_urlsafe(24)
        give_login(connection, login, password, PEOPLE_GROUPS)
        connection.execute(
            "insert into control.gateways (database_login, channel) values (%s, 'airflow')",
            [login],
        )
    path = settings.secrets_dir / "gateway.url"
    write_private(path, f"{url_as(url, login, password)}\n".encode())
    return path


def make_named_gateway(settings: Settings) -> bool:
    """Make the login that was named for the gateway (TIEOUT_DATABASE_URL_GATEWAY), where missing.

    Returns whether it was made now. One that is there is never changed.

    Raises:
        DatabaseError: the name is another login's, which would speak for everybody, or the URL has
            no name or password to make a login with.
    """
    parts = urlsplit(settings.gateway_url or "")
    login, password = unquote(parts.username or ""), unquote(parts.password or "")
    if not login or not password:
        raise _refused("the gateway", "its URL has no login and password to make it with")
    with connect(settings, autocommit=True) as connection:
        if connection.execute(
            "select 1 from control.gateways where database_login = %s", [login]
        ).fetchone():
            # A copied database knows its gateways; which logins may come in is the server's.
            give_login(connection, login, None, ())
            return False
        if connection.execute("select 1 from pg_roles where rolname = %s", [login]).fetchone():
            raise _refused(login, "there is a login of that name, which may be somebody's")
        give_login(connection, login, password, PEOPLE_GROUPS)
        connection.execute(
            "insert into control.gateways (database_login, channel) values (%s, 'airflow')",
            [login],
        )
    return True


def speaking_for(gateway_url: str, airflow_user: str) -> str:
    """Return the gateway's URL for what one user of Airflow decides.

    For any other login than a gateway's the user means nothing to the database.
    """
    escaped = airflow_user.replace("\\", "\\\\").replace(" ", "\\ ")
    options = quote(f"-c tieout.airflow_user={escaped}", safe="")
    parts = urlsplit(gateway_url)
    query = "&".join(filter(None, (parts.query, f"options={options}")))
    return urlunsplit(parts._replace(query=query))


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
