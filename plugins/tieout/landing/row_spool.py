"""The rows of one file between its parser and the database, in bounded memory.

A file's rows are copied only when the whole of it is known to be good: its totals stand at its end.
Until then they wait here, as blocks: in memory while they are few, else in a file without a name
below the home, which ends with the process. What is in it is what the raw tables hold: card numbers
and people's data are protected before.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

import polars as pl

from tieout.channels.common.model import Frames

__all__ = ["RowSpool", "row_blocks"]

MEMORY_BYTES_MAX = 64 * 1024**2


@dataclass(frozen=True, slots=True)
class _Spilled:
    """Where a block stands in the file: Arrow's IPC format."""

    offset_bytes: int
    size_bytes: int


class RowSpool(Mapping[str, pl.DataFrame]):
    """The rows of a file by raw table, to be added once and read as often as needed.

    As a mapping it gives each table whole: for tables that are small. `blocks` bounds memory.
    """

    def __init__(self, folder: Path, *, memory_bytes_max: int = MEMORY_BYTES_MAX) -> None:
        self._folder = folder
        self._memory_bytes_left = memory_bytes_max
        self._blocks: dict[str, list[pl.DataFrame | _Spilled]] = {}
        self._file: IO[bytes] | None = None

    def __enter__(self) -> RowSpool:
        """Return the spool."""
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """Let go of the rows."""
        self.close()

    def close(self) -> None:
        """Let go of the rows, in memory and on disk."""
        self._blocks.clear()
        if self._file is not None:
            self._file.close()
            self._file = None

    def add(self, frames: Frames) -> None:
        """Add a block's rows; an empty frame says only that its table is there."""
        for table, frame in frames.items():
            blocks = self._blocks.setdefault(table, [])
            if blocks and frame.is_empty():
                continue
            self._memory_bytes_left -= int(frame.estimated_size())
            blocks.append(self._spilled(frame) if self._memory_bytes_left < 0 else frame)

    def blocks(self, table: str) -> Iterator[pl.DataFrame]:
        """Yield a table's rows, block by block, in the order of the file."""
        for block in self._blocks[table]:
            yield self._read(block) if isinstance(block, _Spilled) else block

    def __getitem__(self, table: str) -> pl.DataFrame:
        """Return all rows of a table at once."""
        return pl.concat(self.blocks(table))

    def __iter__(self) -> Iterator[str]:
        """Yield the names of the tables."""
        return iter(self._blocks)

    def __len__(self) -> int:
        """Return the number of tables."""
        return len(self._blocks)

    def _spilled(self, frame: pl.DataFrame) -> _Spilled:
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - closed by close
        offset_bytes = self._file.seek(0, io.SEEK_END)
        frame.write_ipc(self._file)
        return _Spilled(offset_bytes, self._file.tell() - offset_bytes)

    def _read(self, block: _Spilled) -> pl.DataFrame:
        if self._file is None:
            raise AssertionError("the spool is closed")
        self._file.seek(block.offset_bytes)
        return pl.read_ipc(io.BytesIO(self._file.read(block.size_bytes)))


def row_blocks(frames: Frames, table: str) -> Iterator[pl.DataFrame]:
    """Yield a table's rows in blocks, where they are in blocks; whole, where they are whole."""
    if isinstance(frames, RowSpool):
        yield from frames.blocks(table)
    else:
        yield frames[table]
