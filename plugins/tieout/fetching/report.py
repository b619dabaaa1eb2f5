"""What fetching tells its caller, and how it fails."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal

from tieout.core.errors import TieoutError

__all__ = ["FetchError", "FetchOutcome", "FetchReport", "FetchStatus", "TransientFetchError"]

FetchStatus = Literal[
    "fetched",  # now, by this call
    "unchanged",  # the inbox had the same bytes already
    "other_version",  # the inbox had other bytes under this name; these lie beside them
    "growing",  # it changed while we looked; left for the next look
    "not_there",  # the source has no such file (yet)
    "no_bill",  # the channel says that there is no bill for the date
    "failed",
]


class FetchError(TieoutError):
    """A file could not be fetched. No part holds a password, a ticket or a signed URL."""


class TransientFetchError(FetchError):
    """The other side may answer in a moment: worth another try."""


@dataclass(frozen=True, slots=True)
class FetchOutcome:
    """What became of one file a source owes; `file_name` is empty where none was found."""

    source: str
    channel: str
    file_kind: str
    accounting_date: date
    status: FetchStatus
    file_name: str = ""
    reason: str = ""

    def __str__(self) -> str:
        """Return one line: what, of which date, from where, and why."""
        name = f" {self.file_name}" if self.file_name else ""
        why = f": {self.reason}" if self.reason else ""
        of = f"{self.channel} {self.file_kind} of {self.accounting_date}"
        return f"{of} from {self.source}{name} {self.status}{why}"


@dataclass(frozen=True, slots=True)
class FetchReport:
    """What became of each file each source owes. `errors` says why some failed."""

    outcomes: tuple[FetchOutcome, ...]
    errors: tuple[FetchError, ...] = ()

    @property
    def failed(self) -> tuple[FetchOutcome, ...]:
        """Return the files whose source did not answer, or answered wrongly."""
        return tuple(outcome for outcome in self.outcomes if outcome.status == "failed")

    @property
    def is_transient(self) -> bool:
        """Say whether another try in a moment may help with one of the failures."""
        return any(isinstance(error, TransientFetchError) for error in self.errors)

    @property
    def counts(self) -> Mapping[str, int]:
        """Return how many files of each status."""
        statuses = Counter(outcome.status for outcome in self.outcomes)
        return {"files": len(self.outcomes), **dict(sorted(statuses.items()))}
