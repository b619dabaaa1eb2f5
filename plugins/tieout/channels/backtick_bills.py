"""Bills in the form WeChat Pay gave the trade: values behind backticks (formats.md §4.1, §4.2, §3).

Every value starts with a backtick and values are split by ",`", so a comma inside a goods name does
no harm. Headings have no backticks. One line of totals stands at the end, under headings of its
own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from tieout.channels.amounts import minor_units_of
from tieout.channels.bill_columns import check_widths, heading
from tieout.channels.model import BadRow, UnreadableFileError
from tieout.channels.packed_files import gunzipped, is_gzip
from tieout.channels.text_files import decoded_text

__all__ = [
    "BacktickBill",
    "bill_lines",
    "count_of",
    "declared_totals",
    "record_cells",
    "split_record",
    "unpacked_text",
    "with_totals",
]

MARK = "`"


@dataclass(frozen=True, slots=True)
class BacktickBill:
    """A bill's lines, told apart. `totals` are the two lines at the end; line 1 is the header."""

    header: tuple[str, ...]
    records: tuple[str, ...]
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
        raise UnreadableFileError(
            "missing_totals",
            "the last two lines are not the totals; the file seems cut off",
            line_number=len(lines),
        )
    return BacktickBill(header, tuple(lines[1:-2]), (lines[-2], lines[-1]))


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

    Raises:
        UnreadableFileError: a required one is missing, or a heading is unknown or there twice.
    """
    found = [heading(name) for name in lines[0].split(",")]
    values = split_record(lines[1])
    ours = {heading(theirs): name for name, headings in names.items() for theirs in headings}
    meanings = [ours.get(name, "") for name in found]
    missing = [names[name][0] for name in required if name not in meanings]
    if "" in meanings or missing or len(set(meanings)) < len(found) or len(values) != len(found):
        raise UnreadableFileError(
            "wrong_totals_columns",
            f"the totals' columns have changed: missing {', '.join(missing) or 'none'}",
        )
    return dict(zip(meanings, (value.strip() for value in values), strict=True))


def count_of(text: str) -> int | None:
    """Return a count; the official sample of the fund bill prints 20.0."""
    return minor_units_of(text, exponent=0)
