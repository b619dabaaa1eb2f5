"""The roles of the database: made where they are missing, before the first migration runs.

A group for each kind of work holds the rights; nobody logs in as a group. `tieout_owner` owns every
table and function and runs the migrations. Logins, which have passwords, are `tieout.database`'s.
Groups are the server's, not one database's: databases of one server share them.
"""

from __future__ import annotations

import contextlib
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql

__all__ = ["GROUPS", "OWNER", "adopt", "create", "create_role", "is_member"]

OWNER: Final = "tieout_owner"
STEPS: Final = ("tieout_ingest", "tieout_transform", "tieout_gate", "tieout_payout")
GROUPS: Final = (OWNER, *STEPS, "tieout_finance", "tieout_people", "tieout_airflow")
SCHEMAS: Final = (
    "control", "raw", "staging", "reference", "intermediate", "reconciliation", "ledger",
    "clearing", "settlement", "gate", "payout", "work_ingest", "work_transform",
)  # fmt: skip
"""Everything in them is the owner's, but what is built anew in each close."""
TRIES: Final = 5
ADOPTED_AT_ONCE: Final = 200
"""Objects that change their owner in one transaction: each takes locks until it ends."""

# What a build makes and drops belongs to its role, or to the owner, who is of that role.
_STRANGERS: Final[LiteralString] = """
    select
        case
            when relations.relkind in ('v', 'm') then 'view'
            when relations.relkind = 'S' then 'sequence'
            else 'table'
        end as kind,
        format('%%I.%%I', schemas.nspname, relations.relname) as name,
        wanted.owner
    from pg_catalog.pg_class as relations
    inner join pg_catalog.pg_namespace as schemas on relations.relnamespace = schemas.oid
    cross join lateral (
        select
            case
                when schemas.nspname = 'intermediate' then 'tieout_transform'
                else %(owner)s
            end as owner
    ) as wanted
    where
        schemas.nspname = any(%(schemas)s)
        and relations.relkind in ('r', 'p', 'v', 'm', 'S')
        and pg_catalog.pg_get_userbyid(relations.relowner) not in (wanted.owner, %(owner)s)
        -- A column's own sequence goes with its table.
        and not exists (
            select 1
            from pg_catalog.pg_depend as owned
            where
                owned.classid = 'pg_catalog.pg_class'::regclass
                and owned.objid = relations.oid
                and owned.deptype in ('a', 'i')
                and relations.relkind = 'S'
        )
    union all
    select
        'function',
        routines.oid::regprocedure::text,
        %(owner)s
    from pg_catalog.pg_proc as routines
    inner join pg_catalog.pg_namespace as schemas on routines.pronamespace = schemas.oid
    where
        schemas.nspname = any(%(schemas)s)
        and pg_catalog.pg_get_userbyid(routines.proowner) <> %(owner)s
    union all
    select
        'schema',
        format('%%I', schemas.nspname),
        %(owner)s
    from pg_catalog.pg_namespace as schemas
    where
        schemas.nspname = any(%(schemas)s)
        and pg_catalog.pg_get_userbyid(schemas.nspowner) <> %(owner)s
    limit %(limit)s
"""


def create(connection: psycopg.Connection[Any]) -> None:
    """Make the groups that are missing; let who migrates act as the owner of this database.

    Groups are the server's: another database of it may be migrated at the same moment, which no
    lock of this one keeps out. What was made meanwhile is found at the next try.

    Raises:
        psycopg.errors.InsufficientPrivilege: a group is missing, and this login may not make it.
    """
    for _ in range(TRIES - 1):
        with contextlib.suppress(psycopg.errors.InternalError, psycopg.IntegrityError):
            _create(connection)
            return
    _create(connection)


def _create(connection: psycopg.Connection[Any]) -> None:
    there = {
        str(row[0])
        for row in connection.execute(
            "select rolname from pg_roles where rolname = any(%s)", [list(GROUPS)]
        )
    }
    for name in GROUPS:
        if name in there:
            continue
        create_role(connection, name, "nologin")
    if not is_member(connection, OWNER):
        connection.execute(sql.SQL("grant {} to current_user").format(sql.Identifier(OWNER)))
    if not is_member(connection, STEPS[1], OWNER):
        # What a build has made aside is taken over by the owner's function.
        for name in ("tieout_transform", "tieout_ingest"):
            connection.execute(
                sql.SQL("grant {} to {}").format(sql.Identifier(name), sql.Identifier(OWNER))
            )
    database = sql.Identifier(connection.info.dbname)
    connection.execute(
        sql.SQL("grant create, connect, temporary on database {} to {}").format(
            database, sql.Identifier(OWNER)
        )
    )


def create_role(connection: psycopg.Connection[Any], name: str, kind: LiteralString) -> None:
    """Make a role, `login` or `nologin`; one that is there, or is made meanwhile, stays."""
    connection.execute(
        sql.SQL(
            "do $body$ begin create role {} {};"
            " exception when duplicate_object or unique_violation then null; end $body$"
        ).format(sql.Identifier(name), sql.SQL(kind))
    )


def is_member(connection: psycopg.Connection[Any], group: str, member: str | None = None) -> bool:
    """Say whether a role, by default who asks, is of a group."""
    row = connection.execute(
        "select pg_has_role(coalesce(%s, current_user), %s, 'member')", [member, group]
    ).fetchone()
    return row is not None and bool(row[0])


def adopt(connection: psycopg.Connection[Any]) -> int:
    """Give what older versions made to its owner, a part at a time; return how many objects.

    `connection` commits by itself. A home that has been migrated so has nothing left to adopt.
    """
    count = 0
    while True:
        found = connection.execute(
            _STRANGERS,
            {"owner": OWNER, "schemas": list(SCHEMAS), "limit": ADOPTED_AT_ONCE},
        ).fetchall()
        if not found:
            return count
        with connection.transaction():
            for kind, name, owner in found:
                # Kind and name are the catalog's own, quoted by it.
                connection.execute(f"alter {kind} {name} owner to {owner}")
        count += len(found)
