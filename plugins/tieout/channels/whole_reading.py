"""Formats that are read whole: a bank's XML and CSV, which say in one place what holds in another.

A statement's facts stand before or after its entries, its balances run through all of them, and one
has thousands of entries where a channel's file has millions. They take the form of every other
reading, within a bound on their size.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from typing import IO

from tieout.channels.model import FileContext, Frames, ParsedFile, UnreadableFileError

__all__ = ["WHOLE_BYTES_MAX", "WholeReading"]

# A tree of XML takes about ten times its text in memory; a statement of 100,000 entries has about
# 100 MB.
WHOLE_BYTES_MAX = 256 * 1024 * 1024


class WholeReading(ABC):
    """Reads a file at once and gives its rows in blocks."""

    def __init__(self, context: FileContext) -> None:
        self.context = context
        self._parsed: ParsedFile | None = None

    @abstractmethod
    def parsed(self, content: bytes) -> ParsedFile:
        """Return the whole file.

        Raises:
            UnreadableFileError: its form is broken.
        """

    def blocks(self, stream: IO[bytes]) -> Iterator[Frames]:
        """Yield the rows block by block; see `Reading`."""
        stream.seek(0)
        content = stream.read(WHOLE_BYTES_MAX + 1)
        if len(content) > WHOLE_BYTES_MAX:
            raise UnreadableFileError("too_large", f"it is larger than {WHOLE_BYTES_MAX} bytes")
        parsed = self.parsed(content)
        self._parsed = replace(parsed, frames={})
        slices = {
            table: list(frame.iter_slices(self.context.block_rows)) or [frame]
            for table, frame in parsed.frames.items()
        }
        for pieces in itertools.zip_longest(*slices.values()):
            yield {
                table: piece
                for table, piece in zip(slices, pieces, strict=True)
                if piece is not None
            }

    def finish(self) -> ParsedFile:
        """Return totals and findings of the whole file."""
        if self._parsed is None:
            raise AssertionError("no block was read")
        return self._parsed
