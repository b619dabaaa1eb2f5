"""Logins: with which name and password each kind of work reaches the database.

Every step of a run works as one role (`core.settings.Settings.acting_as`): it may do what that kind
of work needs, and no more (docs/operations/roles.md). The rights belong to groups of the server,
`tieout_ingest` and so on (`tieout.migrations.roles`); each database has a login of its own in each,
so that two homes on one server do not reach one another.

A login's password is derived from the administrator's, so that every process that may make the
logins makes the same ones; the home keeps them in `secrets/database.json` for those that may not.
Where the administrator has none (peer or certificate), they are drawn once and kept there.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, LiteralString
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import psycopg
from psycopg import sql

from tieout.core.errors import DatabaseError
from tieout.core.private_files import write_private
from tieout.core.settings import Settings
from tieout.migrations import MIGRATION_LOCK
from tieout.migrations.roles import OWNER, create_role, is_member
from tieout.server.databases import open_url

__all__ = [
    "PEOPLE_GROUPS",
    "ROLES",
    "ensure",
    "ensure_airflow",
    "give_login",
    "give_metadata",
    "is_complete",
    "is_known",
    "make_named_airflow",
    "role_url",
    "url_as",
]

ROLES: Final = ("ingest", "transform", "gate", "payout", "finance", "people")
"""The roles that log in; the owner works through the administrator's login."""

PEOPLE_GROUPS: Final = ("tieout_people", "tieout_finance")
"""What a person may: call the decision functions, and read."""

AIRFLOW: Final = "airflow"
"""The role of Airflow's own database; it reaches no money, and no step's role reaches its."""

# What stands in a metadata database of before, when it was the administrator's.
_AIRFLOW_OBJECTS: Final[LiteralString] = """
    select
        case relations.relkind when 'v' then 'view' when 'S' then 'sequence' else 'table' end,
        relations.oid::regclass::text
    from pg_class as relations
    where
        relations.relnamespace = 'public'::regnamespace
        and relations.relkind in ('r', 'p', 'v', 'S')
        and relations.relowner <> %(owner)s::regrole
        and not exists (
            select 1
            from pg_depend
            where
                pg_depend.classid = 'pg_class'::regclass
                and pg_depend.objid = relations.oid
                and pg_depend.deptype in ('a', 'i')
                and relations.relkind = 'S'
        )
    union all
    select 'type', types.oid::regtype::text
    from pg_type as types
    where
        types.typnamespace = 'public'::regnamespace
        and types.typtype in ('e', 'd')
        and types.typowner <> %(owner)s::regrole
    union all
    select 'function', routines.oid::regprocedure::text
    from pg_proc as routines
    where
        routines.pronamespace = 'public'::regnamespace
        and routines.proowner <> %(owner)s::regrole
"""
_DERIVATION: Final = b"tieout database login 1:"


def role_url(settings: Settings, admin_url: str, role: str) -> str:
    """Return the URL of the database for one role, whose login the home has made.

    Raises:
        DatabaseError: the home knows no password of that role.
    """
    login = _login(admin_url, role)
    password = _kept(settings).get(login)
    if password is None:
        raise DatabaseError(
            what=f"this home has no password for the database login {login}",
            where=str(_path(settings)),
            why=f"steps work as the role {role}; migrating makes its login",
            next_step="python -m tieout.migrations, or name the login in "
            f"TIEOUT_DATABASE_URL_{role.upper()} (docs/operations/roles.md)",
        )
    return url_as(admin_url, login, password)


def url_as(admin_url: str, login: str, password: str) -> str:
    """Return the administrator's URL for another login."""
    parts = urlsplit(admin_url)
    address = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{quote(login)}:{quote(password)}@{address}"))


def is_known(settings: Settings, admin_url: str, role: str) -> bool:
    """Say whether the home keeps a password of the role's login of this database."""
    return _login(admin_url, role) in _kept(settings)


def is_complete(settings: Settings, admin_url: str) -> bool:
    """Say whether the home knows every login of this database that nobody named otherwise."""
    return all(role in settings.role_urls or is_known(settings, admin_url, role) for role in ROLES)


def ensure(settings: Settings, connection: psycopg.Connection[Any], admin_url: str) -> None:
    """Make the logins of this database, or give them the passwords that the home expects.

    `connection` commits by itself. Nobody else may connect to the database from now on.
    """
    connection.execute("select pg_advisory_lock(%s)", [MIGRATION_LOCK])
    kept = dict(_kept(settings))
    wanted = [role for role in ROLES if role not in settings.role_urls]
    for role in wanted:
        login = _login(admin_url, role)
        kept[login] = _password(admin_url, login, kept)
        _make(connection, login, kept[login])
        _grant(connection, login, (f"tieout_{role}",))
    database = sql.Identifier(connection.info.dbname)
    connection.execute(
        sql.SQL("revoke connect, temporary on database {} from public").format(database)
    )
    # A copied database keeps the rights on what is in it, and none on itself.
    connection.execute(
        sql.SQL("grant create, connect, temporary on database {} to {}").format(
            database, sql.Identifier(OWNER)
        )
    )
    for role in wanted:
        connection.execute(
            sql.SQL("grant connect, temporary on database {} to {}").format(
                database, sql.Identifier(_login(admin_url, role))
            )
        )
    for role, url in settings.role_urls.items():
        _ensure_named(connection, role, url)
    _keep(settings, kept)
    connection.execute("select pg_advisory_unlock(%s)", [MIGRATION_LOCK])


def _ensure_named(connection: psycopg.Connection[Any], role: str, url: str) -> None:
    """Make the login that somebody named for a role where it is missing; else let it connect."""
    parts = urlsplit(url)
    login, password = unquote(parts.username or ""), unquote(parts.password or "")
    if not login or not password:
        return  # how it comes in is the server's affair: a certificate, the system's account
    groups = PEOPLE_GROUPS if role == "people" else (f"tieout_{role}",)
    row = connection.execute(
        "select rolsuper or not rolcanlogin or not pg_has_role(oid, %s, 'member')"
        " from pg_roles where rolname = %s",
        [groups[0], login],
    ).fetchone()
    if row is None:
        give_login(connection, login, password, groups)
    elif not row[0]:
        give_login(connection, login, None, ())
    elif role != "people":  # who decides no more keeps a login
        raise DatabaseError(
            what=f"the login {login} cannot do the work of {role}",
            where=f"TIEOUT_DATABASE_URL_{role.upper()}",
            why=f"it is there, and a superuser, no login, or no member of {groups[0]}",
            next_step="name a login that is not there yet: it is made with the password you name; "
            f"or grant {groups[0]} to one of yours",
        )


def make_named_airflow(connection: psycopg.Connection[Any], url: str) -> bool:
    """Make the login that somebody named for Airflow where it is missing; False: it is theirs."""
    parts = urlsplit(url)
    login, password = unquote(parts.username or ""), unquote(parts.password or "")
    if not login or not password:
        return False
    row = connection.execute(
        "select exists (select 1 from pg_auth_members as members"
        " where members.member = pg_roles.oid and members.roleid = %s::regrole)"
        " from pg_roles where rolname = %s",
        [f"tieout_{AIRFLOW}", login],
    ).fetchone()
    if row is None:
        _make(connection, login, password)
        _grant(connection, login, (f"tieout_{AIRFLOW}",))
    return row is None or bool(row[0])


def ensure_airflow(
    settings: Settings, admin: psycopg.Connection[Any], metadata_url: str, admin_url: str
) -> None:
    """Make the login that owns Airflow's own database, and give it what is in there.

    `admin` is a connection to another database of the server, which commits by itself;
    `metadata_url` is the administrator's way into Airflow's.
    """
    login = _login(admin_url, AIRFLOW)
    admin.execute("select pg_advisory_lock(%s)", [MIGRATION_LOCK])
    kept = dict(_kept(settings))
    kept[login] = _password(admin_url, login, kept)
    _make(admin, login, kept[login])
    _grant(admin, login, (f"tieout_{AIRFLOW}",))
    give_metadata(admin, login, metadata_url)
    _keep(settings, kept)
    admin.execute("select pg_advisory_unlock(%s)", [MIGRATION_LOCK])


def give_metadata(admin: psycopg.Connection[Any], login: str, metadata_url: str) -> None:
    """Make a login the owner of Airflow's own database and of what is in there.

    `admin` commits by itself; `metadata_url` is the administrator's way into that database.
    """
    name = urlsplit(metadata_url).path.lstrip("/")
    names = {"login": sql.Identifier(login), "name": sql.Identifier(name)}
    if not is_member(admin, login):
        admin.execute(sql.SQL("grant {login} to current_user").format(**names))
    admin.execute(sql.SQL("alter database {name} owner to {login}").format(**names))
    admin.execute(
        sql.SQL("revoke connect, temporary on database {name} from public").format(**names)
    )
    with open_url(metadata_url) as metadata:
        metadata.execute(sql.SQL("alter schema public owner to {login}").format(**names))
        for kind, found in metadata.execute(_AIRFLOW_OBJECTS, {"owner": login}).fetchall():
            # Kind and name are the catalog's own, quoted by it.
            metadata.execute(
                sql.SQL("alter {} {} owner to {}").format(
                    sql.SQL(kind), sql.SQL(found), names["login"]
                )
            )


def give_login(
    connection: psycopg.Connection[Any], login: str, password: str | None, groups: Sequence[str]
) -> None:
    """Make a login of somebody's, member of groups; without a password it is one that is there."""
    if password is not None:
        _make(connection, login, password)
    _grant(connection, login, groups)
    name, database = sql.Identifier(login), sql.Identifier(connection.info.dbname)
    connection.execute(sql.SQL("grant connect on database {} to {}").format(database, name))


def _make(connection: psycopg.Connection[Any], login: str, password: str) -> None:
    create_role(connection, login, "login")
    # The server is sent a verifier: the password itself stands in no statement and no log.
    verifier = sql.Literal(_verifier(connection, login, password))
    connection.execute(
        sql.SQL("alter role {} login password {}").format(sql.Identifier(login), verifier)
    )


def _grant(connection: psycopg.Connection[Any], login: str, groups: Sequence[str]) -> None:
    for group in groups:
        connection.execute(
            sql.SQL("grant {} to {}").format(sql.Identifier(group), sql.Identifier(login))
        )


def _verifier(connection: psycopg.Connection[Any], login: str, password: str) -> str:
    return connection.pgconn.encrypt_password(
        password.encode(), login.encode(), b"scram-sha-256"
    ).decode()


def _login(admin_url: str, role: str) -> str:
    return f"{urlsplit(admin_url).path.lstrip('/')}_{role}_login"


def _password(admin_url: str, login: str, kept: Mapping[str, str]) -> str:
    key = unquote(urlsplit(admin_url).password or "")
    if not key:
        return kept.get(login) or secrets.token_urlsafe(32)
    digest = hmac.new(key.encode(), _DERIVATION + login.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


# --- what the home keeps ------------------------------------------------------------------------


def _path(settings: Settings) -> Path:
    return settings.secrets_dir / "database.json"


def _kept(settings: Settings) -> Mapping[str, str]:
    try:
        kept: Mapping[str, str] = json.loads(_path(settings).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise DatabaseError(
            what="the home's database logins cannot be read",
            where=str(_path(settings)),
            why="the file is no JSON",
            next_step="remove it, then: python -m tieout.migrations",
        ) from error
    return kept


def _keep(settings: Settings, kept: Mapping[str, str]) -> None:
    """Write the passwords whole or not at all (0600 in a 0700 folder)."""
    write_private(_path(settings), json.dumps(dict(sorted(kept.items())), indent=1).encode())
