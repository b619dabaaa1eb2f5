"""A file read whole, for whoever wants all its rows at once."""

from __future__ import annotations

import io
from dataclasses import replace

import polars as pl

from tieout.channels.common.model import ParsedFile, Reading

__all__ = ["read_whole"]


def read_whole(reading: Reading, content: bytes) -> ParsedFile:
    """Return what a reading gives of a file, with all its rows by table.

    Raises:
        UnreadableFileError: the file's form is broken.
    """
    by_table: dict[str, list[pl.DataFrame]] = {}
    for frames in reading.blocks(io.BytesIO(content)):
        for table, frame in frames.items():
            by_table.setdefault(table, []).append(frame)
    joined = {table: pl.concat(frames, rechunk=True) for table, frames in by_table.items()}
    return replace(reading.finish(), frames=joined)
