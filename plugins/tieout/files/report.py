"""What landing tells its caller."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal

from tieout.core.errors import TieoutError

__all__ = ["ANSWER_KINDS", "FileOutcome", "FileStatus", "LandingError", "LandingReport"]

FileStatus = Literal[
    "landed",  # now, by this call
    "already_landed",  # the same bytes, earlier
    "quarantined",
    "conflict",
    "refused",
    "superseded",
    "unrecognised",
    "version",  # of a sealed date: kept with its rows, for a restatement
    "waiting",  # it would open a date that a run works on: for the next landing
]
# The bank's answers to payouts: no accounting date owes one, and outcomes read them.
ANSWER_KINDS = ("pain002", "agency_answer")
PROBLEMS = ("quarantined", "conflict", "refused", "waiting")


class LandingError(TieoutError):
    """Landing cannot go on: a store cannot be read, a correction cannot be made."""


@dataclass(frozen=True, slots=True)
class FileOutcome:
    """What became of one file. One of an unknown name has no channel, kind or date."""

    file_id: str
    file_name: str
    channel: str | None
    file_kind: str | None
    accounting_date: date | None
    status: FileStatus
    row_count: int = 0
    reason: str | None = None

    def __str__(self) -> str:
        """Return one line: what, of which date, and why."""
        of = f" ({self.channel} {self.file_kind} of {self.accounting_date})" if self.channel else ""
        why = f": {self.reason}" if self.reason else ""
        return f"{self.file_name}{of} {self.status}{why}"


@dataclass(frozen=True, slots=True)
class LandingReport:
    """What became of each file, in the order of dates."""

    files: tuple[FileOutcome, ...]

    @property
    def problems(self) -> tuple[FileOutcome, ...]:
        """Return the files that were recognised and not accepted."""
        return tuple(file for file in self.files if file.status in PROBLEMS)

    @property
    def versions(self) -> tuple[FileOutcome, ...]:
        """Return the files of sealed dates, which restatements read."""
        return tuple(file for file in self.files if file.status == "version")

    @property
    def unrecognised(self) -> tuple[FileOutcome, ...]:
        """Return the files whose names we do not know; a misnamed file shows here."""
        return tuple(file for file in self.files if file.status == "unrecognised")

    @property
    def counts(self) -> Mapping[str, int]:
        """Return how many files of each status, and the rows landed by this call."""
        statuses = Counter(file.status for file in self.files)
        rows = sum(file.row_count for file in self.files if file.status == "landed")
        return {"files": len(self.files), **dict(sorted(statuses.items())), "rows": rows}
