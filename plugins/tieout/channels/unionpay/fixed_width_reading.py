"""What readings of fixed-width files of one settlement date have in common: one table each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import IO, ClassVar

import polars as pl

from tieout.channels.common.bill_dates import DayOfRecords
from tieout.channels.common.model import FileContext, Findings, Frames, ParsedFile
from tieout.channels.common.repeated_keys import RepeatedKeys
from tieout.channels.unionpay.common import required_date, settlement_day
from tieout.channels.unionpay.fixed_width import FixedWidthBlock, Layout, fixed_width_blocks

__all__ = ["FixedWidthReading"]


class FixedWidthReading(ABC):
    """Reads one raw table, a row a record, from records of fixed width.

    Raises:
        UnreadableFileError: the name states no settlement date.
    """

    table: ClassVar[str]
    layouts: ClassVar[Sequence[Layout]]
    # The column in minor units of which the sum is kept.
    total: ClassVar[str]
    # Whether the times of the records have to lie in the settlement day, and up to how much later.
    is_dated: ClassVar[bool] = False
    days_after: ClassVar[int] = 0
    # Columns of which no two records may have the same values, blank or not.
    key: ClassVar[Sequence[str]] = ()

    def __init__(self, context: FileContext) -> None:
        self.context = context
        self.settlement_date = required_date(context)
        self.findings = Findings()
        self.row_count = 0
        self._day: DayOfRecords = settlement_day(
            self.settlement_date,
            context.cutoffs.of_channel(context.channel or "unionpay"),
            days_after=self.days_after,
        )
        self._keys = RepeatedKeys()
        self._total_minor = 0
        self._currencies: set[str] = set()

    @abstractmethod
    def frame(self, block: FixedWidthBlock) -> pl.DataFrame:
        """Return the table's columns of some records; what speaks against them is flagged."""

    def first_line_number(self, stream: IO[bytes]) -> int:
        """Set the stream to where the records begin, and return the line they begin with."""
        stream.seek(0)
        return 1

    def blocks(self, stream: IO[bytes]) -> Iterator[Frames]:
        """Yield the rows block by block; see `Reading`."""
        line_number = self.first_line_number(stream)
        for block in fixed_width_blocks(
            stream,
            self.layouts,
            self.findings,
            block_rows=self.context.block_rows,
            first_line_number=line_number,
        ):
            frame = self.frame(block)
            self._count(frame, block)
            yield {self.table: frame}

    def _count(self, frame: pl.DataFrame, block: FixedWidthBlock) -> None:
        self.row_count += len(block)
        self._total_minor += int(frame[self.total].sum())
        self._currencies |= set(frame["currency_code"].drop_nulls().unique())
        if self.is_dated:
            self._day.count(frame["transmitted_at"])
        if self.key:
            self._keys.add(frame.select(pl.col(*self.key).fill_null("")), block.line_numbers)

    def finish(self) -> ParsedFile:
        """Return totals and findings of the whole file."""
        if self.key:
            reason = f"another line has the same {', '.join(self.key)}"
            self._keys.flag(self.findings, self.key[0], reason)
        self.findings.add(*self._day.problems())
        return ParsedFile(
            frames={},
            row_count=self.row_count,
            accounting_date=self.settlement_date,
            # Sums of several currencies say nothing.
            counted_total_minor=self._total_minor if len(self._currencies) <= 1 else None,
            bad_rows=self.findings.bad_rows,
        )
