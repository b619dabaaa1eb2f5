"""Rows into the partitions of the raw tables, by COPY, inside the caller's transaction."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

import polars as pl
import psycopg
from psycopg import sql

from tieout import database
from tieout.channels.common.model import Frames
from tieout.landing.row_spool import row_blocks

__all__ = ["copy_frames", "copy_version", "insert_rows", "lock_for_transaction"]

# Bounds the text of one COPY message, of which there are two at a time: 25 MB each of ACOMN rows.
ROWS_PER_MESSAGE = 50_000


def copy_frames(
    connection: psycopg.Connection[Any],
    frames: Frames,
    *,
    file_id: str,
    accounting_date: date,
) -> int:
    """Copy each frame into its raw table's partition of the date; return the rows copied.

    A partition that is not there yet is made aside, filled and only then attached: readers of the
    table are not disturbed, and with wal_level=minimal its rows write no WAL. Tables go in the
    order of their names, so that two landings cannot wait for one another.
    """
    return sum(
        _copy_into_partition(connection, table, blocks, accounting_date)
        for table, blocks in _located(frames, file_id, accounting_date)
    )


def copy_version(
    connection: psycopg.Connection[Any],
    frames: Frames,
    *,
    file_id: str,
    accounting_date: date,
) -> int:
    """Copy each frame into its table of versions, which no close reads; return the rows copied.

    They are a file's that came for a sealed date (docs/decisions/0063-restatements.md).
    """
    return sum(
        _copy(connection, sql.Identifier("raw_versions", table), blocks)
        for table, blocks in _located(frames, file_id, accounting_date)
    )


def _located(
    frames: Frames, file_id: str, accounting_date: date
) -> Iterator[tuple[str, Iterator[pl.DataFrame]]]:
    """Yield each table that gets rows, with its blocks of rows, at least one, and their place."""
    for table in sorted(frames):
        blocks = (block for block in row_blocks(frames, table) if not block.is_empty())
        first = next(blocks, None)
        if first is not None:
            yield (
                table,
                (
                    block.select(
                        pl.lit(file_id).alias("file_id"),
                        pl.lit(accounting_date).alias("accounting_date"),
                        pl.all(),
                    )
                    for block in itertools.chain([first], blocks)
                ),
            )


def lock_for_transaction(connection: psycopg.Connection[Any], name: str) -> None:
    """Wait until no other transaction holds the lock of that name, then hold it to the end."""
    connection.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", [name])


def insert_rows(
    connection: psycopg.Connection[Any],
    table: str,
    query: sql.Composable,
    values: Mapping[str, object],
    accounting_date: date,
) -> int:
    """Insert what a query gives, all columns in order, into a raw table's partition of the date.

    Returns:
        The rows inserted.
    """

    def fill(filled: sql.Composable) -> int:
        statement = sql.SQL("insert into {} {}").format(filled, query)
        return connection.execute(statement, values).rowcount

    return _fill_partition(connection, table, accounting_date, fill)


def _copy_into_partition(
    connection: psycopg.Connection[Any],
    table: str,
    blocks: Iterator[pl.DataFrame],
    accounting_date: date,
) -> int:
    """Copy blocks of rows, at least one, into the partition of the date; return the rows."""
    return _fill_partition(
        connection, table, accounting_date, lambda filled: _copy(connection, filled, blocks)
    )


def _fill_partition(
    connection: psycopg.Connection[Any],
    table: str,
    accounting_date: date,
    fill: Callable[[sql.Composable], int],
) -> int:
    partition = f"{table}_p{accounting_date:%Y%m%d}"
    lock_for_transaction(connection, f"tieout/partition/raw.{partition}")
    exists = database.has_table(connection, f"raw.{partition}")
    # Which is filled: the table, or one made aside. Made aside it has no index: attaching builds
    # them, once, over the whole of the rows.
    filled = sql.Identifier("raw", table) if exists else sql.Identifier("work_ingest", partition)
    if not exists:
        connection.execute(
            sql.SQL("create table {} (like {})").format(filled, sql.Identifier("raw", table))
        )
        # Whoever lands: the owner's function takes it over from the role.
        connection.execute(sql.SQL("alter table {} owner to tieout_ingest").format(filled))
    row_count = fill(filled)
    if not exists:
        connection.execute(
            "select control.swap_partition(%s::regclass, %s::regclass, %s)",
            [f"raw.{table}", f"work_ingest.{partition}", accounting_date],
        )
    else:
        # The close may follow at once, long before autovacuum does: without row counts its joins
        # would be planned for a handful of rows.
        connection.execute("select control.analyze(array[%s::regclass])", [f"raw.{partition}"])
    return row_count


def _copy(
    connection: psycopg.Connection[Any],
    partition: sql.Composable,
    blocks: Iterator[pl.DataFrame],
) -> int:
    slices = (rows for block in blocks for rows in block.iter_slices(ROWS_PER_MESSAGE))
    first = next(slices)
    row_count = len(first)
    columns = sql.SQL(", ").join(sql.Identifier(name) for name in first.columns)
    statement = sql.SQL("copy {} ({}) from stdin (format csv)").format(partition, columns)
    # While PostgreSQL takes one message, a thread makes the next: Polars lets go of Python's lock.
    with (
        ThreadPoolExecutor(max_workers=1) as ahead,
        connection.cursor() as cursor,
        cursor.copy(statement) as copy,
    ):
        message = ahead.submit(_message, first)
        for rows in slices:
            row_count += len(rows)
            ready, message = message, ahead.submit(_message, rows)
            copy.write(ready.result())
        copy.write(message.result())
    return row_count


def _message(rows: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    # An unquoted empty field is NULL. Frames hold no empty text: blanks are NULL.
    rows.write_csv(buffer, include_header=False, datetime_format="%Y-%m-%d %H:%M:%S%.6f%:z")
    return buffer.getvalue()
