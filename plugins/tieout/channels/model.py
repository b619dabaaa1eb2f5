"""What every parser takes and gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from tieout.errors import TieoutError

__all__ = [
    "BUSINESS_TIME_ZONE",
    "BadRow",
    "ControlTotal",
    "FileContext",
    "Findings",
    "MaskedValues",
    "ParsedFile",
    "TotalsStatus",
    "UnreadableFileError",
    "Vault",
    "file_problem",
]

BUSINESS_TIME_ZONE = "Asia/Shanghai"

# A file of garbage would otherwise fill the quarantine table. The last kept row says how many more.
BAD_ROWS_PER_REASON_MAX = 1_000

TotalsStatus = Literal["agree", "none_in_format", "disagree"]
BoolArray = npt.NDArray[np.bool_]


class Vault(Protocol):
    """The keys, as far as parsers need them. `tieout.landing.vault` has the real one."""

    def card_tokens(self, card_numbers: Sequence[str]) -> list[str]:
        """Return one keyed token a card number, in order."""

    def account_tokens(self, values: Sequence[str]) -> list[str]:
        """Return one keyed token a bank account number, name or user id, in order."""

    def encrypt(self, text: str, place: Sequence[str]) -> str:
        """Return ciphertext that only the holder of the data key opens, and only at `place`."""


@dataclass(frozen=True, slots=True)
class FileContext:
    """What is known of a file before it is opened.

    `accounting_date` is the date in its name; None (a file outside any inbox) takes the date found
    inside. `name_parts` are other parts of the name that the content has to agree with, such as
    `bank_account_id`.
    """

    file_name: str
    accounting_date: date | None
    vault: Vault
    name_parts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BadRow:
    """One reason why a file cannot be believed. Line 0 is the file as a whole.

    `excerpt` is masked: no card number, account number, name or user id in the clear.
    """

    line_number: int
    field: str
    reason_code: str
    reason: str
    excerpt: str = ""


@dataclass(frozen=True, slots=True)
class MaskedValues:
    """Texts of one field in which something was masked: `kind` card_number or track_data.

    See `tieout.channels.guard`. `first_line_number` is the file's line of the first of them.
    """

    table: str
    field: str
    kind: str
    row_count: int
    first_line_number: int


@dataclass(frozen=True, slots=True)
class ControlTotal:
    """One total the file states about itself, beside ours.

    Both in minor units of `currency_code`; without one they are counts, or of no known currency.
    """

    name: str
    declared: int | None
    counted: int
    currency_code: str | None = None

    @property
    def agrees(self) -> bool:
        """Say whether both are the same; a total that could not be read never agrees."""
        return self.declared is not None and self.declared == self.counted


@dataclass(frozen=True, slots=True)
class ParsedFile:
    """A file's rows and everything that speaks against them.

    `frames` maps a raw table's name to its rows: the columns of that table without `file_id` and
    `accounting_date`, which landing adds. A file with bad rows has no frames: nothing of it lands.
    """

    frames: Mapping[str, pl.DataFrame]
    row_count: int
    accounting_date: date | None
    totals: tuple[ControlTotal, ...] = ()
    declared_row_count: int | None = None
    declared_total_minor: int | None = None
    counted_total_minor: int | None = None
    bad_rows: tuple[BadRow, ...] = ()
    masked: tuple[MaskedValues, ...] = ()

    def __post_init__(self) -> None:
        """Drop the rows of a bad file."""
        if self.bad_rows:
            object.__setattr__(self, "frames", {})

    @property
    def totals_status(self) -> TotalsStatus:
        """Compare every total the file carries; a format without any says so."""
        if not self.totals:
            return "none_in_format"
        return "agree" if all(total.agrees for total in self.totals) else "disagree"

    @property
    def is_good(self) -> bool:
        """Say whether every row and every total holds."""
        return not self.bad_rows and self.totals_status != "disagree"


class UnreadableFileError(TieoutError):
    """The file's form is broken, so that rows cannot be told from one another."""

    def __init__(self, reason_code: str, reason: str, *, line_number: int = 0) -> None:
        super().__init__(
            what=f"the file cannot be read ({reason_code})",
            where=f"line {line_number}" if line_number else "the file as a whole",
            why=reason,
            next_step="ask the sender for the file again",
        )
        self.reason_code = reason_code
        self.line_number = line_number

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle by code and reason."""
        return _rebuild_unreadable, (self.reason_code, self.why, self.line_number)

    def as_parsed_file(self) -> ParsedFile:
        """Return a file without rows and with this as its only finding."""
        bad_row = BadRow(self.line_number, "", self.reason_code, self.why)
        return ParsedFile(frames={}, row_count=0, accounting_date=None, bad_rows=(bad_row,))


def _rebuild_unreadable(reason_code: str, reason: str, line_number: int) -> UnreadableFileError:
    return UnreadableFileError(reason_code, reason, line_number=line_number)


def file_problem(reason_code: str, reason: str, *, field: str = "") -> BadRow:
    """Return a finding about the file as a whole (line 0)."""
    return BadRow(0, field, reason_code, reason)


Reason = str | Callable[[int], str]


class Findings:
    """Collects bad rows of one table of records.

    Positions are 0-based within the records; `line_numbers` turns them into lines of the file and
    `excerpt` into masked text.
    """

    def __init__(
        self,
        line_numbers: Sequence[int] | npt.NDArray[np.int64],
        excerpt: Callable[[int], str] | None = None,
    ) -> None:
        self._line_numbers = line_numbers
        self._excerpt = excerpt or (lambda _position: "")
        self.bad_rows: list[BadRow] = []

    def flag(
        self, bad: BoolArray | pl.Series, field: str, reason_code: str, reason: Reason
    ) -> None:
        """Add one finding for each True; NULL counts as True, because it proves nothing."""
        mask = bad.fill_null(True).to_numpy() if isinstance(bad, pl.Series) else bad
        positions = np.flatnonzero(mask)
        for position in positions[:BAD_ROWS_PER_REASON_MAX].tolist():
            text = reason(position) if callable(reason) else reason
            self.bad_rows.append(
                BadRow(
                    int(self._line_numbers[position]),
                    field,
                    reason_code,
                    text,
                    self._excerpt(position),
                )
            )
        more = len(positions) - BAD_ROWS_PER_REASON_MAX
        if more > 0:
            self.bad_rows.append(
                file_problem(reason_code, f"{more} more rows for the same reason", field=field)
            )
