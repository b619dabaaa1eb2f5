"""A file read whole, for whoever wants all its rows at once."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import replace

import polars as pl

from tieout.channels.model import FileContext, Frames, ParsedFile, Parser

__all__ = ["joined", "read_whole"]


def read_whole(parser: Parser, content: bytes, context: FileContext) -> ParsedFile:
    """Return what a parser gives of a file, with all its rows.

    Raises:
        UnreadableFileError: the file's form is broken.
    """
    reading = parser(context)
    blocks = list(reading.blocks(io.BytesIO(content)))
    return replace(reading.finish(), frames=joined(blocks))


def joined(blocks: Iterable[Frames]) -> dict[str, pl.DataFrame]:
    """Return the rows of all blocks by table, in order."""
    by_table: dict[str, list[pl.DataFrame]] = {}
    for frames in blocks:
        for table, frame in frames.items():
            by_table.setdefault(table, []).append(frame)
    return {table: pl.concat(frames, rechunk=True) for table, frames in by_table.items()}
