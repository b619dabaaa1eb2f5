"""Bills in the form WeChat Pay gave the trade: values behind backticks.

Format: docs/formats/wechat-trade-bill.md.

Every value starts with a backtick and values are split by ",`", so a comma inside a goods name does
no harm. Headings have no backticks. One line of totals stands at the end, under headings of its
own.
"""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import IO, ClassVar

import polars as pl

from tieout.channels.common.amounts import minor_units_of
from tieout.channels.common.bill_columns import PADDING, check_widths, heading
from tieout.channels.common.bill_reading import BillReading, Records
from tieout.channels.common.excerpts import masked_excerpt
from tieout.channels.common.model import (
    BlockFindings,
    ControlTotal,
    FileContext,
    Frames,
    UnreadableFileError,
)
from tieout.channels.common.packed_files import maybe_gunzipped
from tieout.channels.common.text_files import HeldBack, batches, lines_of, without_blank_end

__all__ = ["MARK", "BacktickReading", "BillLines", "count_of", "declared_totals", "total_in_fen"]

MARK = "`"


class BacktickReading(BillReading):
    """Reads a bill that has a header and totals, known by a heading each; the bytes may be in gzip.

    Raises:
        UnreadableFileError: not of the encoding, no header, other columns, or no totals at the end.
    """

    encoding: ClassVar[str] = "utf-8"
    first_heading: ClassVar[str]
    totals_heading: ClassVar[str]

    def __init__(self, context: FileContext, dated_by: str) -> None:
        super().__init__(context, dated_by)
        self.header: Sequence[str] = ()
        self.total_lines: tuple[str, str] | None = None

    @abstractmethod
    def places(self, header: Sequence[str]) -> Mapping[str, int]:
        """Return where each column stands."""

    @abstractmethod
    def control_totals(self, lines: tuple[str, str]) -> tuple[ControlTotal, ...]:
        """Compare the totals in the last two lines."""

    def blocks(self, stream: IO[bytes]) -> Iterator[Frames]:
        """Yield the rows block by block; see `Reading`."""
        with maybe_gunzipped(stream) as unpacked:
            yield from self.bill(unpacked)

    def bill(self, stream: IO[bytes]) -> Iterator[Frames]:
        """Yield the rows of the unpacked bill."""
        lines = BillLines(stream, self.encoding)
        self.header = lines.header()
        _require_header(self.header, self.first_heading)
        try:
            places = self.places(self.header)
        except UnreadableFileError:
            # A bill that is cut off says so before anything else.
            lines.skip()
            lines.totals(self.totals_heading)
            raise
        yield from self.frames(lines.blocks(self.width, self.context.block_rows), places)
        self.total_lines = lines.totals(self.totals_heading)

    @property
    def width(self) -> int:
        """How many values a record has."""
        return len(self.header)

    def cells(self, texts: Sequence[str], findings: BlockFindings) -> pl.Series:
        """Return the values of each record; lines that are no record are flagged."""
        lines = pl.Series("line", texts, dtype=pl.String)
        cells = lines.str.strip_prefix(MARK).str.split(f",{MARK}")
        check_widths(cells.list.len(), self.width, findings, also=~lines.str.starts_with(MARK))
        return cells

    def values(self, text: str) -> Sequence[str]:
        """Return the values of one record."""
        return text.removeprefix(MARK).split(f",{MARK}")

    def totals(self) -> tuple[ControlTotal, ...]:
        """Compare the totals, where there are; none where rows cannot be read, totals neither."""
        if self.total_lines is None:
            return ()
        try:
            return self.control_totals(self.total_lines)
        except UnreadableFileError:
            if self.findings:
                return ()
            raise


class BillLines:
    """A bill told apart as it is read: perhaps a header, records, the two lines at the end.

    Lines that are blank at the end of the file are none.
    """

    def __init__(self, stream: IO[bytes], encoding: str) -> None:
        self._lines = HeldBack(without_blank_end(lines_of(stream, encoding)), 2)
        self._numbered = enumerate(self._lines, start=1)
        self._first: str | None = None
        self._count = 0

    def header(self) -> tuple[str, ...]:
        """Return the headings of the first line; nothing where it has none, or is a record."""
        self._first = next((line for _, line in self._numbered), None)
        if self._first is None and self._lines.tail:
            # A bill of one or two lines: the first of them is the header, if any is.
            self._first = self._lines.tail.pop(0)
        if self._first is None:
            return ()
        self._count = 1
        return () if self._first.startswith(MARK) else tuple(self._first.split(","))

    def blocks(
        self, width: int, block_rows: int, *, totals_heading: str | None = None
    ) -> Iterator[Records]:
        """Yield the records behind the header, so many at a time, and not the last two lines.

        With `totals_heading` the last two lines are records, too, unless the first begins with it.
        """
        first = [] if self._first is None or not self._first.startswith(MARK) else [self._first]
        numbered = itertools.chain(enumerate(first, start=1), self._numbered)
        records = _whole_records(self._counted(numbered, totals_heading), width)
        yield from batches(records, block_rows)

    def _counted(
        self, numbered: Iterable[tuple[int, str]], totals_heading: str | None
    ) -> Iterator[tuple[int, str]]:
        for number, line in numbered:
            self._count = number
            yield number, line
        tail = self._lines.tail
        has_totals = len(tail) == 2 and tail[0].startswith(totals_heading or "")
        while totals_heading is not None and not has_totals and tail:
            self._count += 1
            yield self._count, tail.pop(0)

    @property
    def tail(self) -> Sequence[str]:
        """The last two lines, or fewer, when all records were read."""
        return self._lines.tail

    @property
    def line_count(self) -> int:
        """How many lines the bill has, when all records were read."""
        return self._count + len(self.tail)

    def skip(self) -> None:
        """Read on to the last two lines."""
        for _ in self._numbered:
            self._count += 1

    def totals(self, totals_heading: str) -> tuple[str, str]:
        """Return the last two lines, which have to be the totals, known by a heading.

        Raises:
            UnreadableFileError: they are not.
        """
        tail = self.tail
        if len(tail) < 2 or not tail[0].startswith(totals_heading) or not tail[1].startswith(MARK):
            last = [*([] if self._first is None else [self._first]), *tail][-2:]
            shown = " and ".join(repr(masked_excerpt(line)[:80]) for line in last)
            raise UnreadableFileError(
                "missing_totals",
                "the last two lines have to be the totals, a line that begins with "
                f"{totals_heading} and a line of values that begins with a backtick; found "
                f"{shown}: the file is cut off, or its end has another form",
                line_number=self.line_count,
            )
        return tail[0], tail[1]


def _require_header(header: Sequence[str], first_heading: str) -> None:
    """Refuse a bill without a header, known by a heading.

    Raises:
        UnreadableFileError: there is none.
    """
    if first_heading not in map(heading, header):
        raise UnreadableFileError(
            "missing_header", f"the first line has no column {first_heading}", line_number=1
        )


def _whole_records(numbered: Iterable[tuple[int, str]], width: int) -> Iterator[tuple[int, str]]:
    """Yield the records and the lines on which they begin.

    A value may hold a line end (a goods name that somebody typed so): then a record is too short,
    and the next line begins with no backtick. Only such a line goes on with the record before.
    """
    begun: tuple[int, str] | None = None
    for number, line in numbered:
        if begun is not None:
            if not line.startswith(MARK) and _value_count(begun[1]) < width:
                begun = (begun[0], f"{begun[1]}\n{line}")
                continue
            yield begun
        begun = (number, line)
    if begun is not None:
        yield begun


def _value_count(record: str) -> int:
    return record.count(f",{MARK}") + 1


def declared_totals(
    lines: tuple[str, str], names: Mapping[str, Sequence[str]], *, required: Collection[str]
) -> dict[str, str]:
    """Return the stated totals by our names, as text.

    Programs that saved a bill again pad both lines with commas to the width of the records.

    Raises:
        UnreadableFileError: a required one is missing, a heading is unknown or there twice, or
            there are not as many values as headings.
    """
    stems = [line.rstrip(f",{PADDING}") for line in lines]
    paddings = [line.count(",", len(stem)) for line, stem in zip(lines, stems, strict=True)]
    found = [heading(name) for name in stems[0].split(",")]
    values = stems[1].removeprefix(MARK).split(f",{MARK}")
    ours = {heading(theirs): name for name, headings in names.items() for theirs in headings}
    meanings = [ours.get(name, "") for name in found]
    said = {
        "missing": [names[name][0] for name in required if name not in meanings],
        "unknown": [name for name in found if name not in ours],
        "twice": [name for name in found if name in ours and meanings.count(ours[name]) > 1],
    }
    wrong = [
        f"{what} {masked_excerpt(', '.join(headings))}"
        for what, headings in said.items()
        if headings
    ]
    if len(values) != len(found) or paddings[0] != paddings[1]:
        wrong.append(
            f"{len(found)} headings and {paddings[0]} commas behind them, "
            f"{len(values)} values and {paddings[1]}"
        )
    if wrong:
        raise UnreadableFileError(
            "wrong_totals_columns",
            f"the totals' columns are not as they have to be: {'; '.join(wrong)}",
        )
    return dict(zip(meanings, (value.strip(PADDING) for value in values), strict=True))


def count_of(name: str, text: str) -> int:
    """Return a stated count; the official sample of the fund bill prints 20.0.

    Raises:
        UnreadableFileError: it is no count.
    """
    return _stated(name, text, minor_units_of(text, exponent=0), "a whole number")


def total_in_fen(name: str, text: str) -> int:
    """Return a stated sum in fen.

    Raises:
        UnreadableFileError: it is not in yuan, exact to the fen.
    """
    return _stated(name, text, minor_units_of(text), "yuan with a point, exact to the fen")


def _stated(name: str, text: str, number: int | None, form: str) -> int:
    if number is None:
        raise UnreadableFileError(
            "wrong_total", f"the total {name} has to be {form}; found {masked_excerpt(text)[:40]!r}"
        )
    return number
