"""Bills in the form WeChat Pay gave the trade: values behind backticks (formats.md §4.1, §4.2, §3).

Every value starts with a backtick and values are split by ",`", so a comma inside a goods name does
no harm. Headings have no backticks. One line of totals stands at the end, under headings of its
own.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

import polars as pl

from tieout.channels.amounts import minor_units_of
from tieout.channels.bill_columns import PADDING, check_widths, heading
from tieout.channels.excerpts import masked_excerpt
from tieout.channels.model import BlockFindings, ControlTotal, Findings, UnreadableFileError
from tieout.channels.text_files import HeldBack, batches, lines_of

__all__ = [
    "MARK",
    "BillLines",
    "Records",
    "count_of",
    "declared_totals",
    "readable_totals",
    "record_cells",
    "require_header",
    "split_record",
    "total_in_fen",
]

MARK = "`"


@dataclass(frozen=True, slots=True)
class Records:
    """Some records of a bill, and the lines on which they begin."""

    texts: Sequence[str]
    line_numbers: Sequence[int]


class BillLines:
    """A bill told apart as it is read: perhaps a header, records, the two lines at the end.

    Lines that are blank at the end of the file are none.
    """

    def __init__(self, stream: IO[bytes], encoding: str) -> None:
        self._lines = HeldBack(_without_blank_end(lines_of(stream, encoding)), 2)
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
        for batch in batches(
            _whole_records(self._counted(numbered, totals_heading), width), block_rows
        ):
            yield Records([text for _, text in batch], [number for number, _ in batch])

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

    def totals_of_all(self, totals_heading: str) -> tuple[str, str]:
        """Read on to the end and return the totals: a bill that is cut off says so first."""
        for _ in self._numbered:
            self._count += 1
        return self.totals(totals_heading)

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


def require_header(header: Sequence[str], first_heading: str) -> None:
    """Refuse a bill without a header, known by a heading.

    Raises:
        UnreadableFileError: there is none.
    """
    if first_heading not in map(heading, header):
        raise UnreadableFileError(
            "missing_header", f"the first line has no column {first_heading}", line_number=1
        )


def _without_blank_end(lines: Iterable[str]) -> Iterator[str]:
    blank: list[str] = []
    for line in lines:
        if not line.strip():
            blank.append(line)
            continue
        yield from blank
        blank.clear()
        yield line


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


def record_cells(records: Records, width: int, findings: BlockFindings) -> pl.Series:
    """Return each record as a list of values; lines that are no record are flagged."""
    lines = pl.Series("line", records.texts, dtype=pl.String)
    cells = lines.str.strip_prefix(MARK).str.split(f",{MARK}")
    check_widths(cells.list.len(), width, findings, also=~lines.str.starts_with(MARK))
    return cells


def split_record(record: str) -> list[str]:
    """Return one record's values."""
    return record.removeprefix(MARK).split(f",{MARK}")


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
    values = split_record(stems[1])
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


def readable_totals(
    findings: Findings, compare: Callable[[], tuple[ControlTotal, ...]]
) -> tuple[ControlTotal, ...]:
    """Return the totals; none where they cannot be read, and rows of the file neither.

    Raises:
        UnreadableFileError: the totals alone cannot be read.
    """
    try:
        return compare()
    except UnreadableFileError:
        if findings:
            return ()
        raise


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
