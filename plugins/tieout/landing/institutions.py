"""Whether a file is ours: the institution's numbers in it are those of reference data."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import polars as pl

from tieout.channels.common.excerpts import masked_excerpt
from tieout.channels.common.model import BadRow, ParsedFile
from tieout.channels.registry import RecognisedFile
from tieout.core.settings import Settings
from tieout.files.report import LandingError
from tieout.landing.row_spool import row_blocks

__all__ = ["ANOTHER_INSTITUTION", "OWN_INSTITUTIONS", "unless_of_another_institution"]

ANOTHER_INSTITUTION = "another_institution"

# dbt loads the same file as reference.own_institutions.
OWN_INSTITUTIONS = Path("dbt_project/seeds/reference/own_institutions.csv")
COLUMNS = ("channel", "file_kind", "field_name", "institution_id")
Kind = tuple[str, str]


def unless_of_another_institution(
    settings: Settings, file: RecognisedFile, parsed: ParsedFile
) -> ParsedFile:
    """Return the file, with a finding for each institution number in it that is not ours.

    Without one (UnionPay's files have no totals and no owner's name), another acquirer's file would
    land, and only its amounts would show it. Kinds that reference data says nothing of pass.

    Raises:
        LandingError: the list of our numbers cannot be used, or names a field the kind has not.
    """
    ours = _own_institutions(settings).get((file.channel, file.file_kind), {})
    found: list[BadRow] = []
    for field, numbers in ours.items():
        tables = [table for table in parsed.frames if _has_field(parsed, table, field)]
        if parsed.frames and not tables:
            raise _unusable(settings, f"{file.channel} {file.file_kind} has no field {field}")
        for table in tables:
            found += _of_others(row_blocks(parsed.frames, table), field, numbers)
    return replace(parsed, bad_rows=(*found, *parsed.bad_rows)) if found else parsed


def _has_field(parsed: ParsedFile, table: str, field: str) -> bool:
    return field in next(row_blocks(parsed.frames, table)).columns


def _of_others(
    blocks: Iterator[pl.DataFrame], field: str, numbers: frozenset[str]
) -> Iterator[BadRow]:
    """Yield one finding a foreign number, at its first line."""
    others = [
        block.filter(~pl.col(field).is_in(sorted(numbers)).fill_null(value=False))
        .group_by(field)
        .agg(pl.col("line_number").min(), pl.len().alias("row_count"))
        for block in blocks
    ]
    counted = (
        pl.concat(others)
        .group_by(field)
        .agg(pl.col("line_number").min(), pl.col("row_count").sum())
        .sort("line_number")
    )
    for number, line_number, row_count in counted.iter_rows():
        yield BadRow(
            line_number,
            field,
            ANOTHER_INSTITUTION,
            f"{masked_excerpt(str(number))} is no number of ours (reference.own_institutions); "
            f"{row_count} records have it",
        )


def _own_institutions(settings: Settings) -> dict[Kind, dict[str, frozenset[str]]]:
    """Return our numbers by kind of file and field."""
    with (settings.project_dir / OWN_INSTITUTIONS).open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        rows = list(reader)
    if tuple(reader.fieldnames or ()) != COLUMNS or not all(_is_whole(row) for row in rows):
        raise _unusable(settings, "its columns are others, or a row is not whole")
    found: dict[Kind, dict[str, frozenset[str]]] = {}
    for row in rows:
        fields = found.setdefault((row["channel"], row["file_kind"]), {})
        known = fields.get(row["field_name"], frozenset())
        fields[row["field_name"]] = known | {row["institution_id"]}
    return found


def _is_whole(row: Mapping[str | None, str | None]) -> bool:
    return None not in row and all(row.values())


def _unusable(settings: Settings, why: str) -> LandingError:
    return LandingError(
        what="the list of our institution numbers cannot be used",
        where=str(settings.project_dir / OWN_INSTITUTIONS),
        why=why,
        next_step=f"columns {', '.join(COLUMNS)}; no empty value",
    )
