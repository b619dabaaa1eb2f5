"""Which files a date owes, and which of them are not here or not good."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import psycopg

from tieout import database
from tieout.channels.registry import expected_name
from tieout.landing.report import FileOutcome, LandingError
from tieout.settings import Settings

__all__ = ["ExpectedFile", "MissingFile", "expected_files", "missing_files", "problem_files"]

# One source for Python and SQL: dbt loads the same file as reference.expected_files.
EXPECTED_FILES = Path("dbt_project/seeds/reference/expected_files.csv")
CALENDARS = ("every_day", "first_accounting_date")


@dataclass(frozen=True, slots=True)
class ExpectedFile:
    """A kind of file a channel owes; `calendar` says for which dates."""

    channel: str
    file_kind: str
    calendar: str


@dataclass(frozen=True, slots=True)
class MissingFile:
    """A file a channel owes for a date and that has not come."""

    channel: str
    file_kind: str
    accounting_date: date

    def __str__(self) -> str:
        """Return channel, kind, date and the name it would have."""
        name = expected_name(self.channel, self.file_kind, self.accounting_date)
        return f"{self.channel} {self.file_kind} of {self.accounting_date} ({name})"


def expected_files(settings: Settings) -> tuple[ExpectedFile, ...]:
    """Return what channels owe.

    Raises:
        LandingError: the seed is empty or names a calendar we do not know.
    """
    path = settings.project_dir / EXPECTED_FILES
    with path.open(encoding="utf-8", newline="") as stream:
        files = tuple(ExpectedFile(**row) for row in csv.DictReader(stream))
    unknown = sorted({file.calendar for file in files} - set(CALENDARS))
    if not files or unknown:
        raise LandingError(
            what="the list of expected files cannot be used",
            where=str(path),
            why=f"it is empty, or has unknown calendars: {', '.join(unknown) or 'none'}",
            next_step=f"use one of {', '.join(CALENDARS)} in the column calendar",
        )
    return files


def missing_files(settings: Settings, accounting_date: date) -> tuple[MissingFile, ...]:
    """Return the files owed for the date of which none came, good or bad (see `problem_files`)."""
    database.migrate(settings)
    with database.connect(settings, autocommit=True) as connection:
        rows = connection.execute(
            """
            select distinct channel, file_kind
            from control.channel_files
            where accounting_date = %s
                and status in ('landed', 'quarantined', 'conflict')
            """,
            [accounting_date],
        ).fetchall()
        is_first = _is_first_date(connection, accounting_date)
    present = {(channel, kind) for channel, kind in rows}
    return tuple(
        MissingFile(file.channel, file.file_kind, accounting_date)
        for file in expected_files(settings)
        if (file.channel, file.file_kind) not in present
        and (file.calendar == "every_day" or is_first)
    )


def problem_files(settings: Settings, accounting_date: date) -> tuple[FileOutcome, ...]:
    """Return the files of the date that are quarantined or in conflict, with why."""
    database.migrate(settings)
    with database.connect(settings, autocommit=True) as connection:
        rows = connection.execute(
            """
            select
                file_id, file_name, channel, file_kind, accounting_date, status,
                coalesce(row_count, 0), reason
            from control.channel_files
            where accounting_date = %s
                and status in ('quarantined', 'conflict')
            order by channel, file_kind, file_name, file_id
            """,
            [accounting_date],
        ).fetchall()
    return tuple(FileOutcome(*row) for row in rows)


def _is_first_date(connection: psycopg.Connection[Any], accounting_date: date) -> bool:
    """Say whether the operating window that landed for the date begins with it."""
    row = connection.execute(
        """
        select 1
        from raw.platform_operating_window as windows
        inner join control.channel_files as files on windows.file_id = files.file_id
        where windows.accounting_date = %(day)s
            and windows.first_accounting_date = %(day)s
            and files.status = 'landed'
        """,
        {"day": accounting_date},
    ).fetchone()
    return row is not None
