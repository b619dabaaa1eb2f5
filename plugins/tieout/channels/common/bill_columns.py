"""Columns of a bill, found by their headings: order, spelling and number change over the years."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

import polars as pl

from tieout.channels.common.excerpts import masked_excerpt
from tieout.channels.common.model import BlockFindings, UnreadableFileError

__all__ = [
    "PADDING",
    "check_widths",
    "find_columns",
    "heading",
    "masked_record",
    "texts_by_column",
]

# What bills fill a value up with, at its ends; nothing else is ever dropped from one.
PADDING = " \t"

# Our column: the headings it may have, the usual one first.
Headings = Mapping[str, Sequence[str]]

# No name, phone or account has this form.
_TIME_OR_AMOUNT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}|-?[0-9]{1,9}\.[0-9]{1,6}"
)
_PARENTHESES = str.maketrans("（）", "()")


def heading(text: str) -> str:
    """Return a heading to compare: without padding around it, parentheses in ASCII."""
    return text.strip(PADDING).translate(_PARENTHESES)


def find_columns(
    header: Sequence[str],
    columns: Headings,
    *,
    ignored: Collection[str] = (),
    optional: Collection[str] = (),
    line_number: int = 1,
) -> dict[str, int]:
    """Return the position of each of our columns the header has.

    Args:
        header: the headings as they stand.
        columns: ours and their headings.
        ignored: headings that are known and not kept.
        optional: columns of ours that may be missing.
        line_number: the header's line.

    Raises:
        UnreadableFileError: a heading is missing, unknown, or there twice; it is named.
    """
    found = [heading(name) for name in header]
    ours = {heading(name): column for column, names in columns.items() for name in names}
    known = {*ours, *map(heading, ignored)}
    places = {ours[name]: place for place, name in enumerate(found) if name in ours}
    missing = [names[0] for column, names in columns.items() if column not in {*places, *optional}]
    unknown = [name for name in found if name not in known]
    # Two spellings of one column are as ambiguous as the same one twice.
    meanings = [ours.get(name, name) for name in found]
    doubled = sorted({name for name in found if meanings.count(ours.get(name, name)) > 1})
    if missing or unknown or doubled:
        twice = f"; twice {', '.join(doubled)}" if doubled else ""
        raise UnreadableFileError(
            "wrong_columns",
            "the bill's columns have changed: "
            f"missing {', '.join(missing) or 'none'}; "
            f"unknown {masked_excerpt(', '.join(unknown)) or 'none'}{twice}",
            line_number=line_number,
        )
    return places


def check_widths(
    counts: pl.Series, width: int, findings: BlockFindings, *, also: pl.Series | None = None
) -> None:
    """Flag each record with another number of values, or where `also` holds: it is none."""
    wrong = counts != width
    findings.flag(
        wrong if also is None else wrong | also,
        "",
        "wrong_column_count",
        lambda position: f"{counts[position]} values, {width} expected",
        is_form=True,
    )


def texts_by_column(
    cells: pl.Series, places: Mapping[str, int], columns: Collection[str]
) -> pl.DataFrame:
    """Return the columns as text without padding; NULL where blank or not in the bill."""

    def text(name: str) -> pl.Expr:
        if name not in places:
            return pl.lit(None, dtype=pl.String)
        return pl.col("cells").list.get(places[name]).str.strip_chars(PADDING).replace("", None)

    frame = cells.alias("cells").to_frame()
    return frame.with_columns(text(name).alias(name) for name in columns).drop("cells")


def masked_record(
    values: Sequence[str], places: Mapping[str, int], hidden: Collection[str], width: int
) -> str:
    """Return a record for people to read: columns we keep, and of these not the hidden ones.

    Of a record with too many or too few values nobody knows which column a value is of: only times
    and amounts are shown.
    """
    if len(values) == width:
        places_shown = {place for name, place in places.items() if name not in hidden}
    else:
        places_shown = {n for n, value in enumerate(values) if _TIME_OR_AMOUNT.fullmatch(value)}
    return masked_excerpt(
        ",".join(value if place in places_shown else "***" for place, value in enumerate(values))
    )
