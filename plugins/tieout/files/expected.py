"""Which files a date owes, and which of them are not here or not good."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg

from tieout import database
from tieout.channels.common.model import BUSINESS_TIME_ZONE
from tieout.channels.registry import expected_name
from tieout.core.settings import Settings
from tieout.dates import workdays
from tieout.files.report import FileOutcome, LandingError

__all__ = [
    "ExpectedFile",
    "MissingFile",
    "correctable_kinds",
    "expected_files",
    "missing_files",
    "problem_files",
]

# One source for Python and SQL: dbt loads the same file as reference.expected_files.
EXPECTED_FILES = Path("dbt_project/seeds/reference/expected_files.csv")
CALENDARS = ("every_day", "working_day", "first_accounting_date")
CORRECTIONS = ("by_itself", "by_person")
COLUMNS = ("channel", "file_kind", "calendar", "due_minutes", "correction", "name_part")
_NAME_PART = re.compile(r"[a-z_]+=[^/=]+")


@dataclass(frozen=True, slots=True)
class ExpectedFile:
    """A kind of file a channel owes.

    `calendar` says for which dates. It is due `due_minutes` after the date's midnight in
    Asia/Shanghai. `correction` says whether a corrected one may take its place by itself.
    `name_part` tells it from others of its kind, as a place has it (`RecognisedFile.slot`); "" is
    any of them.
    """

    channel: str
    file_kind: str
    calendar: str
    due_minutes: int
    correction: str
    name_part: str = ""

    def due_at(self, accounting_date: date) -> datetime:
        """Return when the date's file has to be here."""
        midnight = datetime.combine(accounting_date, time(), tzinfo=ZoneInfo(BUSINESS_TIME_ZONE))
        return midnight + timedelta(minutes=self.due_minutes)

    def is_owed(self, accounting_date: date, *, is_first: bool) -> bool:
        """Say whether the date owes one; `is_first` for the business's first date."""
        if self.calendar == "working_day":
            return workdays.is_working_day(accounting_date)
        return self.calendar == "every_day" or is_first

    def is_in(self, channel: str, file_kind: str, slot: str | None) -> bool:
        """Say whether a file of that place is the one owed."""
        is_kind = (self.channel, self.file_kind) == (channel, file_kind)
        return is_kind and (not self.name_part or f"/{self.name_part}/" in f"/{slot}/")


@dataclass(frozen=True, slots=True)
class MissingFile:
    """A file a channel owes for a date and that has not come."""

    channel: str
    file_kind: str
    accounting_date: date
    due_at: datetime
    name_part: str = ""

    def __str__(self) -> str:
        """Return channel, kind, date, the name it would have, and when it is due."""
        name = expected_name(self.channel, self.file_kind, self.accounting_date)
        due = f"due {self.due_at:%Y-%m-%d %H:%M}"
        which = f" {self.name_part}" if self.name_part else ""
        return f"{self.channel} {self.file_kind}{which} of {self.accounting_date} ({name}), {due}"

    def lateness(self, now: datetime) -> str:
        """Return how late it is at `now` (aware), or that it is not due yet."""
        minutes = int((now - self.due_at).total_seconds() // 60)
        if minutes < 0:
            return "not due yet"
        return f"late for {minutes // 60} h {minutes % 60:02d} min"


def expected_files(settings: Settings) -> tuple[ExpectedFile, ...]:
    """Return what channels owe.

    Raises:
        LandingError: the seed is empty, or says something we do not know.
    """
    path = settings.project_dir / EXPECTED_FILES
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    wrong = sorted({problem for row in rows if (problem := _problem(row)) is not None})
    if not rows or wrong:
        raise LandingError(
            what="the list of expected files cannot be used",
            where=str(path),
            why="; ".join(wrong) or "it is empty",
            next_step=f"columns {', '.join(COLUMNS)}; calendar: {', '.join(CALENDARS)}; "
            f"correction: {', '.join(CORRECTIONS)}",
        )
    return tuple(
        ExpectedFile(
            row["channel"],
            row["file_kind"],
            row["calendar"],
            int(row["due_minutes"]),
            row["correction"],
            row["name_part"],
        )
        for row in rows
    )


def _problem(row: dict[str, str]) -> str | None:
    if set(row) != set(COLUMNS) or None in row.values():
        return "a row has other columns"
    if row["calendar"] not in CALENDARS:
        return f"unknown calendar {row['calendar']!r}"
    if row["correction"] not in CORRECTIONS:
        return f"unknown correction {row['correction']!r}"
    if row["name_part"] and not _NAME_PART.fullmatch(row["name_part"]):
        return f"name_part {row['name_part']!r} is not written name=value"
    if not (row["due_minutes"].isascii() and row["due_minutes"].isdigit()):
        return f"due_minutes {row['due_minutes']!r} is not a whole number"
    return None


def correctable_kinds(settings: Settings) -> frozenset[tuple[str, str]]:
    """Return channel and kind of the files whose corrections need no person."""
    files = expected_files(settings)
    by_person = {(file.channel, file.file_kind) for file in files if file.correction == "by_person"}
    return frozenset((file.channel, file.file_kind) for file in files) - by_person


def missing_files(settings: Settings, accounting_date: date) -> tuple[MissingFile, ...]:
    """Return the files owed for the date of which none came, good or bad (see `problem_files`)."""
    database.migrate(settings)
    with database.connect(settings, autocommit=True) as connection:
        rows = connection.execute(
            """
            select distinct channel, file_kind, slot
            from control.channel_files
            where accounting_date = %s
                and status in ('landed', 'quarantined', 'conflict')
            """,
            [accounting_date],
        ).fetchall()
        is_first = _is_first_date(connection, accounting_date)
    return tuple(
        MissingFile(
            file.channel,
            file.file_kind,
            accounting_date,
            file.due_at(accounting_date),
            file.name_part,
        )
        for file in expected_files(settings)
        if not any(file.is_in(*row) for row in rows)
        and file.is_owed(accounting_date, is_first=is_first)
    )


def problem_files(settings: Settings, accounting_date: date) -> tuple[FileOutcome, ...]:
    """Return the files of the date that are quarantined or in conflict, with why.

    The bank's answers to payouts are none of them: no close and no gate reads them as files.
    """
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
                and file_kind is distinct from 'pain002'
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
