"""What every parser takes and gives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import IO, Literal, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from tieout.core.errors import TieoutError

__all__ = [
    "BLOCK_ROWS",
    "BUSINESS_TIME_ZONE",
    "ORDINARY_CUTOFF_MINUTES",
    "BadRow",
    "BlockFindings",
    "ControlTotal",
    "Cutoffs",
    "FileContext",
    "Findings",
    "Frames",
    "MaskedValues",
    "ParsedFile",
    "Parser",
    "Reading",
    "TotalsStatus",
    "UnreadableFileError",
    "Vault",
    "file_problem",
]

BUSINESS_TIME_ZONE = "Asia/Shanghai"

# A file of garbage would otherwise fill the quarantine table. The last kept row says how many more.
BAD_ROWS_PER_REASON_MAX = 1_000

# Records of one block: bounds what a parser holds of a file at a time, and is enough for whole
# columns to be computed at once.
BLOCK_ROWS = 100_000
ORDINARY_CUTOFF_MINUTES = 23 * 60

# The rows of one block by raw table: its columns without `file_id` and `accounting_date`.
Frames = Mapping[str, pl.DataFrame]

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
class Cutoffs:
    """When accounting days end, in minutes after midnight of Beijing, by channel.

    `platform`: of the platform's vouchers of a channel; `channel`: of the channel's own files. A
    channel that is not named has the ordinary cutoff.
    """

    platform: Mapping[str, int] = field(default_factory=dict)
    channel: Mapping[str, int] = field(default_factory=dict)

    def of_channel(self, channel: str) -> timedelta:
        """Return how long after its midnight a channel's own day ends."""
        return timedelta(minutes=self.channel.get(channel, ORDINARY_CUTOFF_MINUTES))


@dataclass(frozen=True, slots=True)
class FileContext:
    """What is known of a file before it is opened.

    `accounting_date` is the date in its name; None (a file outside any inbox) takes the date found
    inside. `name_parts` are other parts of the name that the content has to agree with, such as
    `bank_account_id`. `block_rows` is how many records a parser reads at a time; nothing that it
    gives depends on it. `cutoffs` say which times a date's records have; `channel` is whose file it
    is, by the sender's name where nothing else is known.
    """

    file_name: str
    accounting_date: date | None
    vault: Vault
    name_parts: Mapping[str, str] = field(default_factory=dict)
    block_rows: int = BLOCK_ROWS
    cutoffs: Cutoffs = field(default_factory=Cutoffs)
    channel: str | None = None


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

    See `tieout.channels.common.guard`. `first_line_number` is the file's line of the first of them.
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
    """What a file as a whole says: counts, totals, and everything that speaks against it.

    A parser hands the rows out block by block and gives this at the end, without `frames`; whoever
    wants all of them at once (`registry.parse_file`) puts them here. A file with bad rows has no
    frames: nothing of it lands.
    """

    frames: Frames
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


class Reading(Protocol):
    """One file being read: first its rows in blocks, then what is known of it as a whole.

    State between two blocks is explicit: attributes of the reading. The same file gives the same
    rows, findings and line numbers whatever the size of the blocks.
    """

    def blocks(self, stream: IO[bytes]) -> Iterator[Frames]:
        """Yield the rows of `context.block_rows` records at a time, at least one block.

        A block ends where a record ends. Blocks of a file that turns out bad are not to be kept.
        `stream` can be sought in, and is read from its beginning.

        Raises:
            UnreadableFileError: the file's form is broken; nothing else is said of it.
        """

    def finish(self) -> ParsedFile:
        """Return totals and findings of the whole file, without frames, once all blocks are read.

        Raises:
            UnreadableFileError: its end is broken, such as missing totals.
        """


Parser = Callable[[FileContext], Reading]
Reason = str | Callable[[int], str]


class Findings:
    """Collects what speaks against one file, over all its blocks.

    Findings are in the order of lines, and within a line of field and reason, values that cannot be
    read first. Records of a wrong length go before all others, which may follow from them, and
    broken balances behind; those about the file as a whole stand last. Of one field and reason the
    first are kept and the rest are counted. So they do not depend on where a block ends.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], list[BadRow]] = {}
        self._counts: Counter[tuple[str, str]] = Counter()
        self._of_file: list[BadRow] = []
        self._of_file_counts: Counter[tuple[str, str]] = Counter()
        self._forms: set[tuple[str, str]] = set()

    def __len__(self) -> int:
        """Return how many there are, kept or only counted."""
        return self._counts.total() + self._of_file_counts.total()

    def of_block(
        self,
        line_numbers: Sequence[int] | npt.NDArray[np.int64],
        excerpt: Callable[[int], str] | None = None,
    ) -> BlockFindings:
        """Return what collects the findings of some of the file's records.

        Args:
            line_numbers: the file's line of each record, ascending.
            excerpt: masked text of the record at a position, for people to see.
        """
        return BlockFindings(self, line_numbers, excerpt or (lambda _position: ""))

    def add(self, *bad_rows: BadRow) -> None:
        """Add findings that were made elsewhere."""
        for row in bad_rows:
            if row.line_number:
                self.add_rows([row], 1, is_form=False)
            else:
                key = (row.field, row.reason_code)
                self._of_file_counts[key] += 1
                if self._of_file_counts[key] <= BAD_ROWS_PER_REASON_MAX:
                    self._of_file.append(row)

    def add_lines_of(self, other: Findings) -> None:
        """Add the findings of lines that were collected apart."""
        for key, rows in other._kept.items():
            self.add_rows(rows, other._counts[key], is_form=key in other._forms)

    def add_rows(self, rows: Sequence[BadRow], row_count: int, *, is_form: bool) -> None:
        """Add findings of one field and reason, by line; `row_count` is how many have it in all.

        What `is_form` says that a line is no record at all: then values prove nothing, and the
        findings of that kind stand alone.
        """
        if not rows:
            return
        key = (rows[0].field, rows[0].reason_code)
        kept = self._kept.setdefault(key, [])
        # Findings come by line, mostly: once there are enough, the later ones are only counted.
        if len(kept) < BAD_ROWS_PER_REASON_MAX or rows[0].line_number < kept[-1].line_number:
            kept += rows
            kept.sort(key=lambda row: row.line_number)
            del kept[BAD_ROWS_PER_REASON_MAX:]
        self._counts[key] += row_count
        if is_form:
            self._forms.add(key)

    @property
    def is_malformed(self) -> bool:
        """Say whether lines were found that are no records."""
        return bool(self._forms)

    @property
    def bad_rows(self) -> tuple[BadRow, ...]:
        """All findings in order; what is more than the most that are kept is one of the file."""
        keys = self._forms or self._kept
        kept = [row for key, rows in self._kept.items() if key in keys for row in rows]
        more = _more({key: count for key, count in self._counts.items() if key in keys})
        of_file = [] if self._forms else [*self._of_file, *_more(self._of_file_counts)]
        return (*sorted(kept, key=_place_of), *more, *of_file)


def _more(counts: Mapping[tuple[str, str], int]) -> list[BadRow]:
    """Return how many more findings there are of those of which not all are kept."""
    return [
        file_problem(
            code, f"{count - BAD_ROWS_PER_REASON_MAX} more rows for the same reason", field=name
        )
        for (name, code), count in sorted(counts.items())
        if count > BAD_ROWS_PER_REASON_MAX
    ]


def _place_of(row: BadRow) -> tuple[int, int, bool, str, str]:
    """Return what findings are ordered by: causes before what may only follow from them."""
    rank = {"wrong_length": 0, "balance_break": 2}.get(row.reason_code, 1)
    cannot_be_read = row.reason_code.startswith("not_a")
    return rank, row.line_number, not cannot_be_read, row.field, row.reason_code


class BlockFindings:
    """Collects the findings of some of a file's records.

    Positions are 0-based within the records.
    """

    def __init__(
        self,
        findings: Findings,
        line_numbers: Sequence[int] | npt.NDArray[np.int64],
        excerpt: Callable[[int], str],
    ) -> None:
        self.of_file = findings
        self._line_numbers = line_numbers
        self._excerpt = excerpt

    def flag(
        self,
        bad: BoolArray | pl.Series,
        field: str,
        reason_code: str,
        reason: Reason,
        *,
        is_form: bool = False,
    ) -> None:
        """Add one finding for each True; NULL counts as True, because it proves nothing."""
        mask = bad.fill_null(True).to_numpy() if isinstance(bad, pl.Series) else bad
        positions = np.flatnonzero(mask)
        rows = [
            BadRow(
                int(self._line_numbers[position]),
                field,
                reason_code,
                reason(position) if callable(reason) else reason,
                self._excerpt(position),
            )
            for position in positions[:BAD_ROWS_PER_REASON_MAX].tolist()
        ]
        self.of_file.add_rows(rows, len(positions), is_form=is_form)
