"""What is known of a payment date whose gate failed, as it is read: nothing here is computed.

Amounts are integers in minor units, signed as in their tables. A residual is what arrived minus
what the files explain (docs/domain.md#balance-equation).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

__all__ = [
    "BankLine",
    "ChannelRecord",
    "Charge",
    "DateTotal",
    "Facts",
    "FileContent",
    "Group",
    "OpenItem",
    "Row",
    "Waiting",
]


@dataclass(frozen=True, slots=True)
class Row:
    """A row somebody can look at: its table and id, the file and line it came from, its amount."""

    table: str
    row_id: str
    amount_minor: int
    file_name: str | None = None
    line_number: int | None = None

    @property
    def place(self) -> str:
        """``file:line`` where the file is known."""
        if self.file_name is None:
            return ""
        return (
            self.file_name if self.line_number is None else f"{self.file_name}:{self.line_number}"
        )


@dataclass(frozen=True, slots=True)
class BankLine:
    """A line of the bank's statement; unclassified ones have no group and no channel."""

    row: Row
    booking_date: date
    arrival_group_id: str | None


@dataclass(frozen=True, slots=True)
class OpenItem:
    """A record that only one side has; ``cost_minor`` is the channel's, on the channel's side.

    ``linked_row_id`` names the other item of a mismatched pair.
    """

    row: Row
    side: str
    opened_on: date
    break_reason: str | None
    linked_row_id: str | None
    cost_minor: int


@dataclass(frozen=True, slots=True)
class ChannelRecord:
    """A record of the channel's file that found its transaction."""

    row: Row
    cost_minor: int


@dataclass(frozen=True, slots=True)
class Charge:
    """A brand fee, a fee record or an adjustment; the row's amount is + when taken from us.

    ``content`` tells two records of one charge from two charges. ``is_suspended``: nobody has
    decided about it yet.
    """

    row: Row
    term: str
    content: str
    is_suspended: bool = False


@dataclass(frozen=True, slots=True)
class FileContent:
    """What a file of channel records holds: its digest does not depend on the order of lines."""

    row: Row
    accounting_date: date
    record_count: int
    digest: str


@dataclass(frozen=True, slots=True)
class DateTotal:
    """What the channel's files of one accounting date say it pays."""

    accounting_date: date
    net_minor: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """A file that is owed and not landed, or that waits for a person."""

    row: Row
    accounting_date: date
    status: str


@dataclass(frozen=True, slots=True)
class Group:
    """An arrival group: its equation, and the rows that its terms are made of.

    ``terms`` maps each term of the equation to its amount, ``bank_arrival`` included.
    """

    arrival_group_id: str
    channel: str
    currency_code: str
    arrival_date: date
    accounting_dates: tuple[date, ...]
    is_expected: bool
    residual_minor: int
    terms: Mapping[str, int]
    lines: tuple[BankLine, ...] = ()
    items: tuple[OpenItem, ...] = ()
    records: tuple[ChannelRecord, ...] = ()
    record_count: int = 0
    charges: tuple[Charge, ...] = ()
    files: tuple[FileContent, ...] = ()
    totals: tuple[DateTotal, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    cost_rates: tuple[int, ...] = ()

    @property
    def arrival_minor(self) -> int:
        """What the bank paid."""
        return self.terms.get("bank_arrival", 0)

    @property
    def owed_minor(self) -> int:
        """What would have had to arrive for the equation to close."""
        return self.arrival_minor - self.residual_minor


@dataclass(frozen=True, slots=True)
class Facts:
    """All groups of a payment date, and the bank lines that are in none of them.

    ``unclassified``: no rule names them. ``strays``: they name a group of another payment date.
    """

    payment_date: date
    groups: tuple[Group, ...]
    unclassified: tuple[BankLine, ...] = ()
    strays: tuple[BankLine, ...] = ()
