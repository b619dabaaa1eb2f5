"""What the readings of the wallets' bills have in common: records to rows, and the end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import ClassVar

import polars as pl

from tieout.channels.common.bill_columns import masked_record
from tieout.channels.common.bill_dates import BillDates
from tieout.channels.common.model import (
    BadRow,
    BlockFindings,
    ControlTotal,
    FileContext,
    Findings,
    Frames,
    ParsedFile,
)

__all__ = ["BillReading", "Figures", "Records"]

# Some records of a bill, each with the line on which it begins.
Records = Sequence[tuple[int, str]]
# Stated number of rows, stated sum and our sum, in fen.
Figures = tuple[int | None, int | None, int | None]


class BillReading(ABC):
    """Reads a bill: some columns found by their headings, times, totals at its end."""

    # Columns of which people see nothing.
    hidden: ClassVar[Collection[str]]

    def __init__(self, context: FileContext, dated_by: str) -> None:
        self.context = context
        self.findings = Findings()
        self.dates = BillDates(context.accounting_date, dated_by)
        self.row_count = 0

    @property
    @abstractmethod
    def width(self) -> int:
        """How many values a record has."""

    @abstractmethod
    def cells(self, texts: Sequence[str], findings: BlockFindings) -> pl.Series:
        """Return the values of each record; lines that are no record are flagged."""

    @abstractmethod
    def values(self, text: str) -> Sequence[str]:
        """Return the values of one record, for people to see."""

    @abstractmethod
    def rows(
        self,
        cells: pl.Series,
        places: Mapping[str, int],
        line_numbers: Sequence[int],
        findings: BlockFindings,
    ) -> tuple[Frames, pl.Series]:
        """Return the tables' columns of some records, and their times; flag what is wrong."""

    def frames(
        self, batches_of_records: Iterable[Records], places: Mapping[str, int]
    ) -> Iterator[Frames]:
        """Yield the rows of the records; of a file with lines that are no records there are none.

        A bill without records gives one block without rows.
        """
        for records in batches_of_records:
            yield from self._block(records, places)
        if not self.row_count:
            yield from self._block([], places)

    def _block(self, records: Records, places: Mapping[str, int]) -> Iterator[Frames]:
        line_numbers = [number for number, _ in records]
        findings = self.findings.of_block(
            line_numbers,
            lambda position: masked_record(
                self.values(records[position][1]), places, self.hidden, self.width
            ),
        )
        cells = self.cells([text for _, text in records], findings)
        if self.findings.is_malformed:
            return
        frames, times = self.rows(cells, places, line_numbers, findings)
        self.dates.check(times, findings)
        self.row_count += len(times)
        yield frames

    def check_whole(self) -> None:  # noqa: B027 - a bill need not have more than its rows
        """Flag what only all rows together say."""

    @abstractmethod
    def totals(self) -> tuple[ControlTotal, ...]:
        """Compare the totals the bill states; none where they cannot be read.

        Raises:
            UnreadableFileError: the totals alone cannot be read.
        """

    def problems(self) -> list[BadRow]:
        """Return what else speaks against the bill as a whole."""
        return []

    @abstractmethod
    def figures(self, totals: tuple[ControlTotal, ...]) -> Figures:
        """Return what the manifest shows of the totals."""

    def date_inside(self) -> date | None:
        """Return the day of the bill."""
        return self.dates.date_inside()

    def finish(self) -> ParsedFile:
        """Return totals and findings of the whole file.

        Raises:
            UnreadableFileError: what ends or dates the bill cannot be read.
        """
        if self.findings.is_malformed:
            return ParsedFile({}, 0, None, bad_rows=self.findings.bad_rows)
        self.check_whole()
        totals = self.totals()
        self.findings.add(*self.dates.problems(), *self.problems())
        declared_row_count, declared_total_minor, counted_total_minor = self.figures(totals)
        return ParsedFile(
            frames={},
            row_count=self.row_count,
            accounting_date=self.date_inside(),
            totals=totals,
            declared_row_count=declared_row_count,
            declared_total_minor=declared_total_minor,
            counted_total_minor=counted_total_minor,
            bad_rows=self.findings.bad_rows,
        )
