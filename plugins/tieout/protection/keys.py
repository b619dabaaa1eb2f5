"""Which keys the stored tokens and ciphertexts are of; adding, replacing and removing keys.

A token cannot be made anew under another key, since the number it was made from is not kept.
Nothing needs it to be: no rule of reconciliation compares tokens (match_rules.csv; a test holds
that). A search asks for the number's token under every key we hold, a payee's version is compared
under the key it is on record with (`tieout.landing.payee_register`), and a token key stays as long
as rows carry its id. A ciphertext can be made anew (`re_encrypt`),
after which its old key can go.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

import psycopg
from psycopg import sql

from tieout import database
from tieout.core.settings import Settings
from tieout.files import archive
from tieout.protection import tokens
from tieout.protection.key_ring import (
    KIND_NAMES,
    KeyKind,
    SecretsError,
    add_key,
    key_ring,
    remove_key,
)

__all__ = [
    "FoundRow",
    "KeyUse",
    "find",
    "re_encrypt",
    "remove",
    "rotate",
    "usage",
]

KeyState = Literal["current", "known", "missing"]

# How a column says by its name what it holds; and what a value of ours looks like. The platform's
# own tokens (`card_token` of its vouchers) have no key id and are none of ours.
_SUFFIXES: dict[KeyKind, str] = {"token": "_token", "data": "_ciphertext"}
_PATTERNS: dict[KeyKind, str] = {
    "token": r"^[0-9a-f]{8}\.[0-9a-f]{64}$",
    "data": r"^[0-9a-f]{8}\.(gAAAA|bound\.)",
}
# Views, and tables that every close makes anew from those that count.
_SCHEMAS_LEFT_OUT = ("pg_catalog", "information_schema", "staging", "intermediate")
VALUES_PER_STATEMENT = 1_000
# Ciphertexts that open in their own row only: by which columns (the field's name is the column's).
_BOUND_TO = {
    (schema, "platform_payees"): ("payee_id", "payee_version") for schema in ("raw", "raw_versions")
}


@dataclass(frozen=True, slots=True)
class KeyUse:
    """One key: how many stored values and kept files are of it. A missing one opens nothing."""

    kind: KeyKind
    key_id: str
    state: KeyState
    source: str
    value_count: int
    file_count: int
    tables: tuple[str, ...]

    @property
    def is_used(self) -> bool:
        """Say whether anything stored is of this key."""
        return self.value_count + self.file_count > 0


@dataclass(frozen=True, slots=True)
class FoundRow:
    """A row that carries a number's token. Nothing of the number is in it."""

    table: str
    column: str
    key_id: str
    accounting_date: date | None
    file_name: str | None
    line_number: int | None


@dataclass(frozen=True, slots=True)
class _Column:
    schema: str
    table: str
    name: str

    @property
    def place(self) -> sql.Composed:
        return sql.SQL("{}").format(sql.Identifier(self.schema, self.table))


def usage(settings: Settings) -> list[KeyUse]:
    """Return every key that is held or used: token keys first, each ring in its order."""
    uses = []
    with database.connect(settings, autocommit=True) as connection:
        for kind in KIND_NAMES:
            ring = key_ring(settings, kind)
            values = _value_counts(connection, kind)
            files = archive.kept_key_ids(settings) if kind == "data" else {}
            used = {name for name in (*values, *files) if name}
            for known_id in (*ring.ids, *sorted(used - set(ring.ids))):
                tables = values.get(known_id, {})
                uses.append(
                    KeyUse(
                        kind,
                        known_id,
                        _state(known_id, ring.ids),
                        ring.source,
                        sum(tables.values()),
                        files.get(known_id, 0),
                        tuple(sorted(tables)),
                    )
                )
    return uses


def rotate(settings: Settings, kinds: Sequence[KeyKind] = KIND_NAMES) -> list[str]:
    """Make a new current key of each kind; return their ids.

    Raises:
        SecretsError: the keys are not the home's own.
    """
    return [add_key(settings, kind).ids[0] for kind in kinds]


def re_encrypt(settings: Settings) -> tuple[int, int]:
    """Put every ciphertext and kept file under the current data key; return how many of each.

    Safe to stop and to repeat: each statement leaves whole values behind.

    Raises:
        SecretsError: a ciphertext is of a key we do not hold.
    """
    current = tokens.data_key_ids(settings)[0]
    value_count = 0
    with database.connect(settings, autocommit=True) as connection:
        for column in _columns(connection, "data"):
            while old := _old_ciphertexts(connection, column, current):
                new = [_renewed(settings, text, place) for text, *place in old]
                statement = sql.SQL(
                    "update {table} as kept set {name} = renewed.new"
                    " from unnest(%s::text[], %s::text[]) as renewed (old, new)"
                    " where kept.{name} = renewed.old"
                ).format(table=column.place, name=sql.Identifier(column.name))
                texts = [text for text, *_ in old]
                value_count += connection.execute(statement, [texts, new]).rowcount
    return value_count, archive.re_encrypt(settings)


def remove(settings: Settings, key_id: str) -> KeyUse:
    """Remove a key that is not current and that nothing is of.

    Raises:
        SecretsError: it is current, unknown, in use, or not the home's own.
    """
    known = [use for use in usage(settings) if use.key_id == key_id and use.state != "missing"]
    if not known:
        raise SecretsError(
            what=f"no key {key_id}",
            where="the keys at hand",
            why="there is no key of that id",
            next_step="`tieout keys list` shows the ids",
        )
    use = known[0]
    if use.is_used and use.state != "current":
        raise SecretsError(
            what=f"{use.kind} key {key_id} is not removed",
            where=", ".join(use.tables) or str(settings.archive_dir),
            why=f"{use.value_count} stored values and {use.file_count} kept files are of it",
            next_step="`tieout keys re-encrypt` puts them under the current key"
            if use.kind == "data"
            else "keep it: a token cannot be made anew, and without its key its rows are not found",
        )
    remove_key(settings, use.kind, key_id)
    return use


def find(settings: Settings, number: str) -> list[FoundRow]:
    """Return the rows that carry the number's token under any key we hold.

    `number` is a card number, an account number or a user id, in the clear; it goes no further.

    Raises:
        SecretsError: it is blank.
    """
    searched = tokens.account_search_tokens(number, settings=settings)
    digits = number.replace(" ", "").replace("-", "").strip()
    if digits.isascii() and digits.isdigit() and 8 <= len(digits) <= 19:
        searched += tokens.pan_search_tokens(digits, settings=settings)
    with database.connect(settings, autocommit=True) as connection:
        return [
            row
            for column in _columns(connection, "token")
            # The register has no row that a raw table has not.
            if column.schema in ("raw", "raw_versions")
            for row in _rows_with(connection, column, searched)
        ]


def _state(known_id: str, ids: Sequence[str]) -> KeyState:
    if known_id not in ids:
        return "missing"
    return "current" if known_id == ids[0] else "known"


def _columns(connection: psycopg.Connection[Any], kind: KeyKind) -> list[_Column]:
    """Return the columns that hold values of a ring, by their names; partitions by their parent."""
    rows = connection.execute(
        """
        select
            namespaces.nspname,
            tables.relname,
            columns.attname
        from pg_attribute as columns
        inner join pg_class as tables on columns.attrelid = tables.oid
        inner join pg_namespace as namespaces on tables.relnamespace = namespaces.oid
        where tables.relkind in ('r', 'p')
            and not tables.relispartition
            and not columns.attisdropped
            and columns.attnum > 0
            and columns.atttypid = 'text'::regtype
            and right(columns.attname, length(%(suffix)s)) = %(suffix)s
            and namespaces.nspname <> all(%(left_out)s)
        order by namespaces.nspname, tables.relname, columns.attname
        """,
        {"suffix": _SUFFIXES[kind], "left_out": list(_SCHEMAS_LEFT_OUT)},
    ).fetchall()
    return [_Column(*row) for row in rows]


def _value_counts(connection: psycopg.Connection[Any], kind: KeyKind) -> dict[str, dict[str, int]]:
    """Return how many values are of each key, by `schema.table`."""
    counts: dict[str, dict[str, int]] = {}
    for column in _columns(connection, kind):
        statement = sql.SQL(
            "select left({name}, 8), count(*) from {table} where {name} ~ %s group by 1"
        ).format(name=sql.Identifier(column.name), table=column.place)
        for found_id, count in connection.execute(statement, [_PATTERNS[kind]]):
            tables = counts.setdefault(found_id, {})
            place = f"{column.schema}.{column.table}"
            tables[place] = tables.get(place, 0) + count
    return counts


def _old_ciphertexts(
    connection: psycopg.Connection[Any], column: _Column, current: str
) -> list[tuple[str, ...]]:
    """Return ciphertexts under another key than the current one, each with its place if bound."""
    place: list[sql.Composable] = []
    if (column.schema, column.table) in _BOUND_TO:
        place = [
            sql.Literal(column.name.removesuffix(_SUFFIXES["data"])),
            *(
                sql.SQL("{}::text").format(sql.Identifier(name))
                for name in _BOUND_TO[column.schema, column.table]
            ),
        ]
    statement = sql.SQL(
        "select distinct {values} from {table} where {name} ~ %s and left({name}, 8) <> %s limit %s"
    ).format(
        values=sql.SQL(", ").join([sql.Identifier(column.name), *place]),
        name=sql.Identifier(column.name),
        table=column.place,
    )
    parameters = [_PATTERNS["data"], current, VALUES_PER_STATEMENT]
    return connection.execute(statement, parameters).fetchall()


def _renewed(settings: Settings, ciphertext: str, place: Sequence[str]) -> str:
    """Return a ciphertext under the current key, bound as it was."""
    if tokens.BOUND_MARK in ciphertext:
        return tokens.rotate_bound(ciphertext, place, settings=settings)
    return tokens.rotate(ciphertext, settings=settings)


def _rows_with(
    connection: psycopg.Connection[Any], column: _Column, searched: Sequence[str]
) -> Iterator[FoundRow]:
    statement = sql.SQL(
        "select left(found.{name}, 8), found.accounting_date, files.file_name, found.line_number"
        " from {table} as found"
        " left join control.channel_files as files on found.file_id = files.file_id"
        " where found.{name} = any(%s)"
        " order by found.accounting_date, files.file_name, found.line_number"
    ).format(name=sql.Identifier(column.name), table=column.place)
    for row in connection.execute(statement, [list(searched)]):
        yield FoundRow(f"{column.schema}.{column.table}", column.name, *row)
