"""Fixed-width records built column by column in one byte matrix, for files of any size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

_BLANK = 0x20
_ZERO = 0x30


class Records:
    """``count`` records of ``width`` bytes and CRLF, blank until fields are written.

    Args:
        count: Number of records.
        width: Bytes of a record without its line end.
        fields: (first byte, width) of each field, in the order of the format's field numbers.
    """

    def __init__(self, count: int, width: int, fields: Sequence[tuple[int, int]]) -> None:
        self._fields = fields
        self._matrix = np.full((count, width + 2), _BLANK, dtype=np.uint8)
        self._matrix[:, width:] = np.frombuffer(b"\r\n", dtype=np.uint8)

    def text(self, number: int, value: str) -> None:
        """Write the same text into field ``number`` (from 1) of every record, left-aligned."""
        start, width = self._fields[number - 1]
        content = value.encode("gbk").ljust(width)
        if len(content) != width:
            raise ValueError(f"field {number} has {width} bytes, {value!r} needs more")
        self._matrix[:, start : start + width] = np.frombuffer(content, dtype=np.uint8)

    def digits(self, number: int, values: Any, skip: int = 0) -> None:
        """Write whole numbers, zero-filled, right-aligned; the first ``skip`` bytes stay."""
        start, width = self._fields[number - 1]
        left = np.asarray(values, dtype=np.int64)
        if left.size and (left.min() < 0 or left.max() >= 10 ** (width - skip)):
            raise ValueError(f"a number does not fit field {number} of {width} bytes")
        for place in range(start + width - 1, start + skip - 1, -1):
            self._matrix[:, place] = left % 10 + _ZERO
            left = left // 10

    def signed(self, number: int, values: Any) -> None:
        """Write X+n: D where the number is positive (the acquirer pays), else C, then digits.

        Zero is D with zeros.
        """
        start, _ = self._fields[number - 1]
        amounts = np.asarray(values, dtype=np.int64)
        self._matrix[:, start] = np.where(amounts >= 0, ord("D"), ord("C"))
        self.digits(number, np.abs(amounts), skip=1)

    def lookup(self, number: int, table: Sequence[str], indices: Any) -> None:
        """Write ``table[index]``, left-aligned, blank-filled; blanks where the index is < 0."""
        start, width = self._fields[number - 1]
        texts = [value.encode("gbk") for value in [*table, ""]]
        if max(map(len, texts)) > width:
            raise ValueError(f"field {number} has {width} bytes, a text needs more")
        rows = np.frombuffer(b"".join(text.ljust(width) for text in texts), dtype=np.uint8)
        wanted = np.asarray(indices, dtype=np.int64)
        wanted = np.where(wanted < 0, len(table), wanted)
        self._matrix[:, start : start + width] = rows.reshape(-1, width)[wanted]

    def texts(self, number: int, values: Sequence[str | None]) -> None:
        """Write one text a record, left-aligned, blank-filled."""
        distinct = sorted({value for value in values if value is not None})
        place = {value: index for index, value in enumerate(distinct)}
        self.lookup(number, distinct, [-1 if v is None else place[v] for v in values])

    def to_bytes(self) -> bytes:
        """Return the file."""
        return self._matrix.tobytes()
