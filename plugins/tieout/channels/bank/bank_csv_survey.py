"""What a bank's CSV says before any of its rows is read: layout, header, facts, how long rows are.

Facts stand above the list or behind it, and only all rows say how long a row is, whose account they
are of and which day is the last: the file is read once for that, and again for its rows.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import IO, Literal

from tieout.channels.bank.bank_csv_layouts import Layout
from tieout.channels.common.bill_columns import PADDING
from tieout.channels.common.excerpts import masked_excerpt
from tieout.channels.common.model import BadRow, Findings, UnreadableFileError, file_problem
from tieout.channels.common.universal_lines import encoding_of, universal_lines

__all__ = ["Survey", "survey_of"]

_HEADER_WITHIN_LINES = 50
# What begins another fact of a line, read or not: 户名：, Name:. A time (23:59) is none.
_LABEL = re.compile(r"[^\W\d_][^:：]*[:：]")
# Columns of which the different texts of all rows say something of the statement.
_OF_STATEMENT = ("booking_date", "currency", "bank_account_id")

# The line on which it begins, and its cells.
Record = tuple[int, list[str]]


def survey_of(stream: IO[bytes], known: Sequence[Layout]) -> Survey:
    """Return what a file says in the one layout whose columns its header has.

    Raises:
        UnreadableFileError: not a text of one known layout, a malformed CSV, unknown columns.
    """
    found = []
    for layout in known:
        encoding = encoding_of(stream, layout.encodings)
        if encoding is not None:
            survey = Survey(layout, encoding)
            survey.read(_records(stream, layout, encoding))
            found += [survey] if survey.header else []
    if len(found) != 1:
        names = ", ".join(survey.layout.name for survey in found)
        raise UnreadableFileError(
            "unknown_layout",
            f"its header fits several layouts: {names}"
            if found
            else "no line has the columns of a layout of bank_csv_layouts.toml",
        )
    found[0].check_header()
    return found[0]


def _records(stream: IO[bytes], layout: Layout, encoding: str) -> Iterator[Record]:
    """Yield the records; a quoted cell may go on over several lines.

    Raises:
        UnreadableFileError: a malformed CSV.
    """
    lines = universal_lines(stream, encoding)
    reader = csv.reader(lines, delimiter=layout.delimiter, strict=True)
    line_number = 1
    try:
        for cells in reader:
            yield line_number, [_clean(cell) for cell in cells]
            line_number = reader.line_num + 1
    except csv.Error:
        raise UnreadableFileError(
            "bad_csv", "a quote opens or closes where none may", line_number=line_number
        ) from None


def _clean(cell: str) -> str:
    """Return a cell without blanks, tabs and the marks that keep a spreadsheet from counting."""
    text = cell.strip(PADDING).removeprefix("`")
    if text.startswith('="') and text.endswith('"'):
        text = text[2:-1]
    return text.strip(PADDING)


def _placed(
    layout: Layout, records: Iterator[Record]
) -> Iterator[tuple[Literal["fact", "row", "late row"], Record]]:
    """Yield the records behind the header that are not blank, and what each is.

    A row behind the first line that ends the list is late.
    """
    is_over = False
    for line_number, cells in records:
        if not any(cells):
            continue
        if cells[0].startswith(layout.trailer_starts):
            is_over = True
            yield "fact", (line_number, cells)
        else:
            yield "late row" if is_over else "row", (line_number, cells)


@dataclass(slots=True)
class _Rows:
    """How many rows of one length there are, and the different texts of some columns."""

    count: int = 0
    texts: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))


class Survey:
    """A file in one layout: what its header, the lines around the list and all rows say."""

    def __init__(self, layout: Layout, encoding: str) -> None:
        self.layout = layout
        self.header: list[str] = []
        self.header_line = 0
        # Where our columns stand in a row.
        self.positions: Mapping[str, int] = {}
        self.findings = Findings()
        self._encoding = encoding
        self._facts = _Facts(layout, self.findings)
        # Of the rows and the late ones: how many, and the least and the most cells of one.
        self._record_count = 0
        self._shortest = 0
        self._longest = 0
        self._of_header_length = _Rows()
        self._longer = _Rows()

    def read(self, records: Iterator[Record]) -> None:
        """Read the whole file, for its header, facts and rows.

        Raises:
            UnreadableFileError: a malformed CSV.
        """
        self._read_header(records)
        for place, (_, cells) in _placed(self.layout, records):
            if place == "fact":
                self._facts.add(cells)
            else:
                self._count(cells, is_late=place == "late row")

    def _read_header(self, records: Iterator[Record]) -> None:
        for line_number, cells in islice(records, _HEADER_WITHIN_LINES):
            positions = self.layout.positions(cells)
            if positions is not None:
                self.header, self.header_line, self.positions = cells, line_number, positions
                return
            self._facts.add(cells)

    def _count(self, cells: Sequence[str], *, is_late: bool) -> None:
        length, width = len(cells), len(self.header)
        self._shortest = min(self._shortest or length, length)
        self._longest = max(self._longest, length)
        self._record_count += 1
        if is_late or length < width or any(cells[width:]):
            return
        rows = self._of_header_length if length == width else self._longer
        rows.count += 1
        for name in _OF_STATEMENT:
            if name in self.positions:
                rows.texts[name].add(cells[self.positions[name]])

    def check_header(self) -> None:
        """Refuse columns that the layout does not name, or that are there twice.

        Raises:
            UnreadableFileError: there are such.
        """
        unknown = self.layout.unknown(self.header)
        twice = {name for name in self.header if name and self.header.count(name) > 1}
        if unknown or twice:
            names = ", ".join(sorted({*unknown, *twice}))
            raise UnreadableFileError(
                "unknown_column", f"columns the layout does not name once: {names}",
                line_number=self.header_line,
            )  # fmt: skip

    def facts(self) -> dict[str, str]:
        """Return what the lines around the list state; a fact stated twice is flagged."""
        return self._facts.stated()

    @property
    def row_count(self) -> int:
        """How many rows there are."""
        return self._rows.count

    def texts(self, column: str) -> set[str]:
        """Return the different texts of a column in all rows, without blank."""
        return self._rows.texts[column] - {""}

    @property
    def _rows(self) -> _Rows:
        is_longer = self._row_length > len(self.header)
        return self._longer if is_longer else self._of_header_length

    @property
    def _row_length(self) -> int:
        """How many cells a row has: the header's, or where a bank ends each with more commas.

        One row with a blank cell too many is one whose amount was cut in two by a comma.
        """
        is_uniform = self._record_count > 1 and self._shortest == self._longest
        return max(self._longest, len(self.header)) if is_uniform else len(self.header)

    def rows(self, stream: IO[bytes]) -> Iterator[Record]:
        """Yield the rows; those that are too long, short or late are flagged."""
        layout, width, length = self.layout, len(self.header), self._row_length
        records = _records(stream, layout, self._encoding)
        behind = (record for record in records if record[0] > self.header_line)
        for place, (line_number, cells) in _placed(layout, behind):
            if place == "late row":
                reason = "a line after the totals that end the list"
                self.findings.add(BadRow(line_number, "", "after_the_end", reason))
            elif place == "row" and (len(cells) != length or any(cells[width:])):
                reason = f"{len(cells)} columns, the header has {width}"
                self.findings.add(BadRow(line_number, "", "wrong_length", reason))
            elif place == "row":
                yield line_number, cells[:width]


class _Facts:
    """What the lines around the list state.

    A value ends where its line ends or the next label begins. What stands between is a part of it
    that was not read, such as the second half of 1,000.00 without quotes: that is flagged, and so
    is a fact stated twice, differently.
    """

    def __init__(self, layout: Layout, findings: Findings) -> None:
        self._layout = layout
        self._findings = findings
        self._found: dict[str, set[str]] = {}

    def add(self, cells: Sequence[str]) -> None:
        """Read one line."""
        line = " ".join(cell for cell in cells if cell)
        for name, pattern in self._layout.facts.items():
            for match in pattern.finditer(line):
                rest = line[match.end(1) :]
                if _ends_a_value(rest, self._layout):
                    self._found.setdefault(name, set()).add(match[1])
                    continue
                shown = masked_excerpt(f"{match[1]}{rest}")
                reason = (
                    f"'{shown}' is no value that ends with its line or before the next label "
                    "(名称：值); quote a cell that has a comma inside"
                )
                self._findings.add(file_problem("not_read_whole", reason, field=name))

    def stated(self) -> dict[str, str]:
        """Return the facts that have one value; flag the others."""
        for name, values in self._found.items():
            if len(values) > 1:
                shown = masked_excerpt(", ".join(sorted(values)))
                reason = f"it is stated twice, differently: {shown}"
                self._findings.add(file_problem("several_values", reason, field=name))
        return {name: next(iter(texts)) for name, texts in self._found.items() if len(texts) == 1}


def _ends_a_value(rest: str, layout: Layout) -> bool:
    """Say whether nothing, a label or another fact stands behind a value."""
    if not rest.strip(PADDING):
        return True
    behind = rest.lstrip(PADDING)
    if behind == rest:
        return False
    return _LABEL.match(behind) is not None or any(
        pattern.match(behind) for pattern in layout.facts.values()
    )
