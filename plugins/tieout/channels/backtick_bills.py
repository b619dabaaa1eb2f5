"""Bills in the form WeChat Pay gave the trade: values behind backticks (formats.md §4.1, §4.2, §3).

Every value starts with a backtick and values are split by ",`", so a comma inside a goods name does
no harm. Headings have no backticks. One line of totals stands at the end, under headings of its
own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from tieout.channels.amounts import minor_units_of
from tieout.channels.bill_columns import PADDING, check_widths, heading
from tieout.channels.excerpts import masked_excerpt
from tieout.channels.model import BadRow, ControlTotal, Findings, UnreadableFileError
from tieout.channels.packed_files import gunzipped, is_gzip
from tieout.channels.text_files import decoded_text

__all__ = [
    "BacktickBill",
    "bill_lines",
    "count_of",
    "declared_totals",
    "readable_totals",
    "record_cells",
    "split_record",
    "total_in_fen",
    "unpacked_text",
    "whole_records",
    "with_totals",
]

MARK = "`"


@dataclass(frozen=True, slots=True)
class BacktickBill:
    """A bill's lines, told apart. `totals` are the two lines at the end; line 1 is the header.

    `line_numbers` are the lines on which the records begin.
    """

    header: tuple[str, ...]
    records: Sequence[str]
    line_numbers: Sequence[int]
    totals: tuple[str, str]


def unpacked_text(content: bytes, encoding: str) -> str:
    """Return the text of a bill that comes as it is or in gzip, whatever its name says."""
    return decoded_text(gunzipped(content) if is_gzip(content) else content, encoding)


def bill_lines(text: str) -> list[str]:
    """Return the lines without their ends (CRLF or LF) and without blank lines at the end."""
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def with_totals(text: str, *, first_heading: str, totals_heading: str) -> BacktickBill:
    """Return a bill that has to have a header and totals, known by a heading each.

    Raises:
        UnreadableFileError: there is no header, or the last two lines are not the totals.
    """
    lines = bill_lines(text)
    header = tuple(lines[0].split(",")) if lines else ()
    if first_heading not in map(heading, header):
        raise UnreadableFileError(
            "missing_header", f"the first line has no column {first_heading}", line_number=1
        )
    if len(lines) < 3 or not lines[-2].startswith(totals_heading) or not lines[-1].startswith(MARK):
        shown = " and ".join(repr(masked_excerpt(line)[:80]) for line in lines[-2:])
        raise UnreadableFileError(
            "missing_totals",
            f"the last two lines have to be the totals, a line that begins with {totals_heading} "
            f"and a line of values that begins with a backtick; found {shown}: the file is cut "
            "off, or its end has another form",
            line_number=len(lines),
        )
    records, line_numbers = whole_records(lines[1:-2], len(header), first_line_number=2)
    return BacktickBill(header, records, line_numbers, (lines[-2], lines[-1]))


def whole_records(
    lines: Sequence[str], width: int, *, first_line_number: int
) -> tuple[Sequence[str], Sequence[int]]:
    """Return the records and the lines on which they begin.

    A value may hold a line end (a goods name that somebody typed so): then a record is too short,
    and the next line begins with no backtick. Only such a line goes on with the record before.
    """
    if all(line.startswith(MARK) for line in lines):
        return lines, range(first_line_number, first_line_number + len(lines))
    records, line_numbers = list[str](), list[int]()
    for line_number, line in enumerate(lines, start=first_line_number):
        is_rest = records and not line.startswith(MARK) and _value_count(records[-1]) < width
        if is_rest:
            records[-1] += f"\n{line}"
        else:
            records.append(line)
            line_numbers.append(line_number)
    return records, line_numbers


def _value_count(record: str) -> int:
    return record.count(f",{MARK}") + 1


def record_cells(
    records: Sequence[str], width: int, line_numbers: Sequence[int]
) -> tuple[pl.Series, list[BadRow]]:
    """Return each record as a list of values, and findings about lines that are no record."""
    lines = pl.Series("line", records, dtype=pl.String)
    cells = lines.str.strip_prefix(MARK).str.split(f",{MARK}")
    malformed = check_widths(
        cells.list.len(), width, line_numbers, also=~lines.str.starts_with(MARK)
    )
    return cells, malformed


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
        if findings.bad_rows:
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
