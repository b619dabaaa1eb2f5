"""What people see of the files that did not land: a list, and everything about one file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from tieout import database
from tieout.channels.common.model import BadRow
from tieout.core.settings import Settings
from tieout.files import archive
from tieout.files.report import LandingError

__all__ = ["HeldFile", "HeldFileDetail", "MadeDecision", "held_file", "held_files"]

HELD = ("quarantined", "conflict", "refused", "unrecognised")
NEXT_STEPS = {
    "quarantined": "ask the sender for a corrected file; after a fix of ours, or where its totals"
    " prove the rest: release; a file that should never have come: reject",
    "conflict": "ask the sender which file counts; release it to let it take the other's place,"
    " reject it to keep the other",
    "refused": "nothing is waiting for it; release it where that was wrong",
    "unrecognised": "put it into the inbox under its right name, or reject it",
    "superseded": "nothing; release it to put it back in its place",
    "version": "its date is sealed: `tieout restate DATE` says what would differ",
    "landed": "nothing; it counts; reject it where it should not have landed",
}


@dataclass(frozen=True, slots=True)
class HeldFile:
    """A file of the manifest. `age_days` are calendar days since it was first looked at."""

    file_id: str
    file_name: str
    file_url: str
    sha256: str
    size_bytes: int
    channel: str | None
    file_kind: str | None
    accounting_date: date | None
    status: str
    row_count: int | None
    control_totals: list[dict[str, Any]] | None
    totals_status: str | None
    landed_at: datetime
    reason: str | None
    age_days: int


@dataclass(frozen=True, slots=True)
class MadeDecision:
    """One row of `control.file_decisions`."""

    decision_id: int
    action: str
    status_before: str | None
    status_after: str
    replaced_file_id: str | None
    excluded_row_count: int
    reopened_dates: list[date]
    decided_by: str
    reason: str
    decided_at: datetime


@dataclass(frozen=True, slots=True)
class HeldFileDetail:
    """One file, its bad rows, the other files of its channel, kind and date, and decisions."""

    file: HeldFile
    bad_rows: tuple[BadRow, ...]
    versions: tuple[HeldFile, ...]
    decisions: tuple[MadeDecision, ...]
    kept_at: str
    next_step: str


_FILES = sql.SQL(
    """
    select
        file_id, file_name, file_url, sha256, size_bytes, channel, file_kind, accounting_date,
        status, row_count, control_totals, totals_status, landed_at, reason,
        greatest(%(today)s::date - (landed_at at time zone 'Asia/Shanghai')::date, 0) as age_days
    from control.channel_files
    """
)


def held_files(
    settings: Settings, *, today: date, day: date | None = None, channel: str | None = None
) -> list[HeldFile]:
    """Return the files that did not land, those that block a date first, oldest first."""
    query = _FILES + sql.SQL(
        """
        where status = any(%(statuses)s)
            and (%(day)s::date is null or accounting_date = %(day)s)
            and (%(channel)s::text is null or channel = %(channel)s)
        order by status = 'refused', landed_at, file_id
        """
    )
    values = {"statuses": list(HELD), "day": day, "channel": channel, "today": today}
    with database.connect(settings) as connection:
        return _files(connection, query, values)


def held_file(settings: Settings, file_id: str, *, today: date) -> HeldFileDetail:
    """Return everything on record about one file.

    Raises:
        LandingError: there is no such file.
    """
    with database.connect(settings) as connection:
        found = _files(
            connection,
            _FILES + sql.SQL("where file_id = %(file_id)s"),
            {"file_id": file_id, "today": today},
        )
        if not found:
            raise LandingError(
                what=f"no file {file_id}",
                where="control.channel_files",
                why="no file of that id was seen",
                next_step="tieout quarantine list",
            )
        file = found[0]
        versions = _versions(connection, file, today)
        bad_rows = connection.execute(
            """
            select
                coalesce(line_number, 0), coalesce(field, ''), reason_code, reason,
                coalesce(row_excerpt_masked, '')
            from control.quarantined_rows
            where file_id = %s
            order by line_number, quarantined_row_id
            """,
            [file_id],
        ).fetchall()
        decisions = _decisions(connection, file_id)
    path = archive.archive_path(settings, file.sha256)
    kept_at = str(path) if path.is_file() else f"{file.file_url} (no copy is kept)"
    return HeldFileDetail(
        file,
        tuple(BadRow(*row) for row in bad_rows),
        tuple(versions),
        tuple(decisions),
        kept_at,
        NEXT_STEPS[file.status],
    )


def _versions(
    connection: psycopg.Connection[Any], file: HeldFile, today: date
) -> Sequence[HeldFile]:
    if file.accounting_date is None:
        return ()
    query = _FILES + sql.SQL(
        """
        where channel = %(channel)s
            and file_kind = %(file_kind)s
            and accounting_date = %(accounting_date)s
            and file_id <> %(file_id)s
        order by landed_at, file_id
        """
    )
    values = {
        name: getattr(file, name) for name in ("channel", "file_kind", "accounting_date", "file_id")
    }
    return _files(connection, query, {**values, "today": today})


def _files(
    connection: psycopg.Connection[Any], query: sql.Composed, values: dict[str, Any]
) -> list[HeldFile]:
    with connection.cursor(row_factory=class_row(HeldFile)) as cursor:
        return cursor.execute(query, values).fetchall()


def _decisions(connection: psycopg.Connection[Any], file_id: str) -> list[MadeDecision]:
    columns = sql.SQL(", ").join(sql.Identifier(field.name) for field in fields(MadeDecision))
    query = sql.SQL(
        "select {} from control.file_decisions where file_id = %s or replaced_file_id = %s "
        "order by decision_id"
    ).format(columns)
    with connection.cursor(row_factory=class_row(MadeDecision)) as cursor:
        return cursor.execute(query, [file_id, file_id]).fetchall()
