"""Which files a date owes, and which of them are not here or not good."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import LiteralString
from zoneinfo import ZoneInfo

from tieout import database
from tieout.channels.common.model import BUSINESS_TIME_ZONE
from tieout.channels.registry import expected_name
from tieout.core.settings import Settings
from tieout.files.report import ANSWER_KINDS, FileOutcome, LandingError

__all__ = [
    "OwedFile",
    "correctable_kinds",
    "missing_files",
    "owed_files",
    "problem_files",
]


@dataclass(frozen=True, slots=True)
class OwedFile:
    """A file a channel owes for a date, until `due_at` (aware, Asia/Shanghai).

    `name_part` tells it from others of its kind, as a place has it (`RecognisedFile.slot`); "" is
    any of them.
    """

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


def owed_files(settings: Settings, accounting_date: date) -> tuple[OwedFile, ...]:
    """Return what the channels owe for the date (`control.owed_files()`).

    Raises:
        LandingError: nothing is owed: the list is empty, or not loaded yet.
    """
    return _owed(settings, accounting_date, _EVERY)


def missing_files(settings: Settings, accounting_date: date) -> tuple[OwedFile, ...]:
    """Return the files owed for the date of which none came, good or bad (see `problem_files`).

    Raises:
        LandingError: nothing is owed: the list is empty, or not loaded yet.
    """
    return _owed(settings, accounting_date, _MISSING)


_EVERY = "true"
_MISSING = """
    not exists (
        select 1
        from control.channel_files as files
        where
            files.channel = owed.channel
            and files.file_kind = owed.file_kind
            and files.accounting_date = owed.accounting_date
            and files.status in ('landed', 'quarantined', 'conflict')
            and control.slot_has_part(files.slot, owed.name_part)
    )
"""


def _owed(
    settings: Settings, accounting_date: date, condition: LiteralString
) -> tuple[OwedFile, ...]:
    """Return the owed files that meet a condition of ours; refuse a list that owes nothing."""
    database.migrate(settings)
    with database.connect(settings, autocommit=True) as connection:
        rows = connection.execute(
            "select owed.channel, owed.file_kind, owed.accounting_date, owed.due_at,"
            f" owed.name_part, {condition} from control.owed_files(%(day)s, %(day)s) as owed"
            " order by owed.channel, owed.file_kind, owed.name_part",
            {"day": accounting_date},
        ).fetchall()
    if not rows:
        raise LandingError(
            what=f"no file is owed for {accounting_date}",
            where="reference.expected_files",
            why="a date that owes nothing would be complete without one; the list is empty, or the "
            "reference data is not loaded",
            next_step="mend the seed reference/expected_files.csv; the next close loads it",
        )
    zone = ZoneInfo(BUSINESS_TIME_ZONE)
    return tuple(
        OwedFile(channel, file_kind, day, due_at.astimezone(zone), name_part)
        for channel, file_kind, day, due_at, name_part, is_wanted in rows
        if is_wanted
    )


def correctable_kinds(settings: Settings) -> frozenset[tuple[str, str]]:
    """Return channel and kind of the files whose corrections need no person.

    None, where the reference data is not loaded yet: then a person decides.
    """
    with database.connect(settings, autocommit=True) as connection:
        if not database.has_table(connection, "reference.expected_files"):
            return frozenset()
        rows = connection.execute(
            "select channel, file_kind from reference.expected_files"
            " group by channel, file_kind having bool_and(correction = 'by_itself')"
        ).fetchall()
    return frozenset((str(channel), str(file_kind)) for channel, file_kind in rows)


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
                and coalesce(file_kind, '') <> all(%s)
            order by channel, file_kind, file_name, file_id
            """,
            [accounting_date, list(ANSWER_KINDS)],
        ).fetchall()
    return tuple(FileOutcome(*row) for row in rows)
