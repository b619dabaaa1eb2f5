"""The way to the database: the embedded server of this home, or the one TIEOUT_DATABASE_URL names.

Connections, migrations, and what to tell a person of the database's refusals and of its silence.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit, urlunsplit

import psycopg
from psycopg import sql

from tieout.core.errors import DatabaseError, TieoutError
from tieout.core.settings import Settings
from tieout.database import logins
from tieout.migrations.roles import create as create_roles
from tieout.server.databases import create_databases, open_url
from tieout.server.embedded import AIRFLOW_DATABASE, DATABASE, MINIMUM_MAJOR, ensure_embedded

__all__ = [
    "airflow_url",
    "connect",
    "ensure_server",
    "explained",
    "has_administrator",
    "has_table",
    "insert",
    "lost",
    "make_airflow_database",
    "make_logins",
    "migrate",
    "refusal",
    "session_url",
    "went_away",
    "working_as",
]

Refusal = TypeVar("Refusal", bound=TieoutError)
# As whom commands work that name no role, where nobody is the administrator.
_READERS = ("people", "finance")


def ensure_server(settings: Settings) -> str:
    """Return the URL of the database `tieout`; start the embedded server when it is down.

    With an external database nothing is started. Raises DatabaseError with the server's own words
    when it does not come up, and where this process was given logins of roles and no
    administrator's.
    """
    if settings.external_database_url is not None:
        return settings.external_database_url
    if not has_administrator(settings):
        raise DatabaseError(
            what="this process knows no administrator of the database",
            where="TIEOUT_DATABASE_URL",
            why=f"it was given the logins of {', '.join(sorted(settings.role_urls))} only",
            next_step="do this where the database is installed (docker compose run --rm "
            "tieout-migrate …), or name the role's login (docs/operations/roles.md)",
        )
    return ensure_embedded(settings)


def has_administrator(settings: Settings) -> bool:
    """Say whether this process reaches the database as its administrator.

    It does not where it was given logins of roles, no TIEOUT_DATABASE_URL, and the home has no
    server of its own: nothing is started, made or migrated then.
    """
    return (
        settings.external_database_url is not None
        or not settings.role_urls
        or (settings.pg_dir / "data").exists()
    )


def working_as(settings: Settings, role: str) -> Settings:
    """Return the settings for a command's own work: as a role where nobody is the administrator."""
    if settings.role is not None or has_administrator(settings):
        return settings
    return settings.acting_as(role)


def session_url(settings: Settings) -> str:
    """Return the URL of the database `tieout` for the role whose work is done.

    The embedded server is started when it is down. Without a role it is the administrator's, and
    where this process knows none, a reader's. Raises DatabaseError where there is no such login.
    """
    role = settings.role
    if role is None:
        if has_administrator(settings):
            return ensure_server(settings)
        role = next((each for each in _READERS if each in settings.role_urls), None)
    # Who names the login has named the server with it, and may know no administrator.
    named = None if role is None else settings.role_urls.get(role)
    if named is not None or role is None:
        return named or ensure_server(settings)
    return logins.role_url(settings, ensure_server(settings), role)


def connect(settings: Settings, **kwargs: Any) -> psycopg.Connection[Any]:
    """Open a psycopg connection to the database `tieout`; its session is in UTC.

    `kwargs` go to `psycopg.connect` (autocommit, row_factory…). The embedded server is started when
    it is down. Raises DatabaseError when an external database cannot be reached.
    """
    try:
        connection = open_url(session_url(settings), **kwargs)
    except DatabaseError:
        if settings.external_database_url is not None:
            raise
        # It was going down while we asked: killed or stopped a moment ago.
        time.sleep(0.5)
        connection = open_url(session_url(settings), **kwargs)
    if connection.info.parameter_status("in_hot_standby") == "on":
        refused = _replica(connection.info)
        connection.close()
        raise refused
    with connection.cursor() as cursor:
        cursor.execute("set time zone 'UTC'")
    if not connection.autocommit:
        connection.commit()
    return connection


def _replica(info: psycopg.ConnectionInfo) -> DatabaseError:
    return DatabaseError(
        what="the database is a replica",
        where=f"{info.host}:{info.port}/{info.dbname}",
        why="it is in recovery: it takes no writes, and may be behind the one that does",
        next_step="name the primary in TIEOUT_DATABASE_URL",
    )


def has_table(connection: psycopg.Connection[Any], name: str) -> bool:
    """Say whether there is a table or view of that name, `schema.table`."""
    row = connection.execute("select to_regclass(%s)", [name]).fetchone()
    return row is not None and row[0] is not None


def insert(
    connection: psycopg.Connection[Any],
    table: str,
    values: Mapping[str, object],
    *,
    returning: str,
) -> int:
    """Insert a row of named values into `schema.table`; return the number it was given."""
    query = sql.SQL("insert into {} ({}) values ({}) returning {}").format(
        sql.Identifier(*table.split(".")),
        sql.SQL(", ").join(map(sql.Identifier, values)),
        sql.SQL(", ").join(map(sql.Placeholder, values)),
        sql.Identifier(returning),
    )
    row = connection.execute(query, dict(values)).fetchone()
    assert row is not None, "insert … returning returns its row"
    return int(row[0])


def refusal(
    kind: type[Refusal], what: str, error: psycopg.Error, *, where: str = "", next_step: str
) -> Refusal:
    """Return the database's refusal in its own words; ``next_step`` where it gives no hint."""
    said = error.diag
    return kind(
        what=what,
        where=where,
        why=said.message_primary or type(error).__name__,
        next_step=said.message_hint or next_step,
    )


@contextmanager
def explained(
    kind: type[Refusal],
    what: str,
    *,
    where: str = "",
    next_step: str,
    of: type[psycopg.Error] = psycopg.Error,
) -> Iterator[None]:
    """Say as `refusal` does what the database refuses in the block, of errors of a class."""
    try:
        yield
    except of as error:
        raise refusal(kind, what, error, where=where, next_step=next_step) from error


def lost(error: BaseException) -> DatabaseError | None:
    """Return what to tell a person of an error behind which the server went away, else None.

    Airflow, dbt and our own statements each wrap that in errors of their own, hundreds of lines of
    traceback; none of them says what to do.
    """
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        if isinstance(found, psycopg.OperationalError | psycopg.InterfaceError) or (
            type(found).__name__ in {"OperationalError", "InterfaceError"}
            and type(found).__module__.partition(".")[0] in {"psycopg2", "sqlalchemy"}
        ):
            return went_away(str(getattr(found, "orig", None) or found) or type(found).__name__)
        found = found.__cause__ or found.__context__
    return None


def went_away(words: str) -> DatabaseError:
    """Return what to tell a person where only the words of a lost connection are known."""
    lines = words.strip().splitlines()
    return DatabaseError(
        what="the database went away while the command worked",
        where="the PostgreSQL server: pg/server.log of the home, or TIEOUT_DATABASE_URL's",
        why=lines[0][:200] if lines else "no text",
        next_step="run the same command again: what was committed stays, and it goes on where it "
        "was",
    )


def airflow_url(settings: Settings) -> str:
    """Return the SQLAlchemy URL (psycopg2) of Airflow's own database; make it when missing.

    Embedded: the database `airflow`. External: TIEOUT_AIRFLOW_DATABASE_URL, else `<name>_airflow`
    beside the database of TIEOUT_DATABASE_URL. Its login owns that database and reaches no other.
    """
    url = settings.airflow_database_url or _own_airflow_url(settings)
    return "postgresql+psycopg2://" + url.partition("://")[2]


def _own_airflow_url(settings: Settings) -> str:
    admin_url = ensure_server(settings)
    parts = urlsplit(admin_url)
    name = AIRFLOW_DATABASE
    if settings.external_database_url is not None:
        name = f"{parts.path.lstrip('/') or DATABASE}_airflow"
    metadata_url = urlunsplit(parts._replace(path=f"/{name}"))
    if not logins.is_known(settings, admin_url, logins.AIRFLOW):
        create_databases(admin_url, [name])
        with open_url(admin_url, autocommit=True) as connection:
            create_roles(connection)
            logins.ensure_airflow(settings, connection, metadata_url, admin_url)
    own = urlsplit(logins.role_url(settings, admin_url, logins.AIRFLOW))
    return urlunsplit(own._replace(path=f"/{name}"))


def make_airflow_database(settings: Settings) -> None:
    """Make Airflow's own database and the login that owns it, where they are missing.

    A database that TIEOUT_AIRFLOW_DATABASE_URL names on another server, or with a login that is
    there and none of ours, is the operator's: it is left as it is.
    """
    if settings.airflow_database_url is None:
        _own_airflow_url(settings)
        return
    admin_url = ensure_server(settings)
    ours, named = urlsplit(admin_url), urlsplit(settings.airflow_database_url)
    if (ours.hostname, ours.port or 5432) != (named.hostname, named.port or 5432):
        return
    with open_url(admin_url, autocommit=True) as connection:
        create_roles(connection)
        if logins.make_named_airflow(connection, settings.airflow_database_url):
            create_databases(admin_url, [named.path.lstrip("/")])
            metadata_url = urlunsplit(ours._replace(path=named.path))
            logins.give_metadata(connection, unquote(named.username or ""), metadata_url)


def migrate(settings: Settings) -> bool:
    """Bring the tables that the program writes to the newest revision; False when they are.

    One query when there is nothing to do. Two racers are put in order by an advisory lock.
    """
    # Alembic takes half a second to import, and most calls find nothing to do.
    from tieout.migrations import HEAD, upgrade  # noqa: PLC0415

    if settings.external_database_url is None and settings.role_urls:
        # Who named the logins and no administrator installs elsewhere: no step migrates.
        return False
    url = ensure_server(settings)
    with open_url(url, autocommit=True) as connection:
        if _current_revision(connection) == HEAD:
            if not logins.is_complete(settings, url):
                logins.ensure(settings, connection, url)
            return False
        major = connection.info.server_version // 10_000
        if major < MINIMUM_MAJOR:
            raise DatabaseError(
                what=f"the server is PostgreSQL {major}",
                where="TIEOUT_DATABASE_URL",
                why=f"the tables need PostgreSQL {MINIMUM_MAJOR} or newer",
                next_step="use a newer server, or unset TIEOUT_DATABASE_URL for the embedded one",
            )
    upgrade(url)
    make_logins(settings)
    return True


def make_logins(settings: Settings) -> None:
    """Give every login of the database the password that the home keeps, or one it keeps now.

    For a home or a database that was copied without the other; `migrate` makes what is missing.
    Logins that were named (TIEOUT_DATABASE_URL_…) are made where they are missing, and never
    changed.
    """
    url = ensure_server(settings)
    with open_url(url, autocommit=True) as connection:
        logins.ensure(settings, connection, url)


def _current_revision(connection: psycopg.Connection[Any]) -> str | None:
    if not has_table(connection, "control.alembic_version"):
        return None
    row = connection.execute("select version_num from control.alembic_version").fetchone()
    return None if row is None else str(row[0])
