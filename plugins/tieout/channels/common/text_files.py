"""Bytes of a text file to lines, strictly and a piece at a time.

A byte that is not of the encoding is an error, told where reading comes to it: what a file says
before that does not depend on how much of it is read at once.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import IO, Generic, TypeVar

from tieout.channels.common.model import UnreadableFileError

__all__ = ["PIECE_BYTES", "HeldBack", "batches", "decoded_text", "lines_of", "without_blank_end"]

BYTE_ORDER_MARK = "\ufeff"
# What is read and decoded at a time.
PIECE_BYTES = 1 << 20
T = TypeVar("T")


def lines_of(stream: IO[bytes], encoding: str) -> Iterator[str]:
    """Yield the lines without their ends (CRLF or LF) and without a byte order mark.

    A line end at the end of the file begins no line. The stream is read from its beginning.

    Raises:
        UnreadableFileError: a byte that is not of the encoding, or NUL, with its line.
    """
    stream.seek(0)
    rest, line_number = "", 1
    for text in _decoded(stream, encoding):
        lines = (rest + text).split("\n")
        rest = lines.pop()
        for line in lines:
            yield _checked(line, line_number)
            line_number += 1
    if rest:
        yield _checked(rest, line_number)


def _decoded(stream: IO[bytes], encoding: str) -> Iterator[str]:
    """Yield the text piece by piece; what stands before a bad byte is yielded first."""
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    line_number = 1
    while True:
        piece = stream.read(PIECE_BYTES)
        try:
            text = decoder.decode(piece, final=not piece)
        except UnicodeDecodeError as error:
            before = error.object[: error.start].decode(encoding)
            yield before
            raise UnreadableFileError(
                "wrong_encoding",
                f"the text is not {encoding}",
                line_number=line_number + before.count("\n"),
            ) from None
        yield text
        line_number += text.count("\n")
        if not piece:
            return


def _checked(line: str, line_number: int) -> str:
    if line_number == 1:
        line = line.removeprefix(BYTE_ORDER_MARK)
    if "\0" in line:
        raise UnreadableFileError("wrong_encoding", "a NUL character", line_number=line_number)
    return line.removesuffix("\r")


def without_blank_end(lines: Iterable[str], padding: str | None = None) -> Iterator[str]:
    """Yield the lines but the blank ones at the end; blank is white space, or `padding` alone."""
    blank: list[str] = []
    for line in lines:
        if not line.strip(padding):
            blank.append(line)
            continue
        yield from blank
        blank.clear()
        yield line


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield the items in lists of that size, the last one shorter; none where there are none."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


class HeldBack(Generic[T]):
    """Passes items on except the last `count`, which are in `tail` when all others were taken.

    What a file ends with (totals) can so be told from its records without reading it whole.
    """

    def __init__(self, items: Iterable[T], count: int) -> None:
        self._items = items
        self._count = count
        self.tail: list[T] = []

    def __iter__(self) -> Iterator[T]:
        """Yield each item as soon as `count` others stand behind it."""
        for item in self._items:
            self.tail.append(item)
            if len(self.tail) > self._count:
                yield self.tail.pop(0)


def decoded_text(content: bytes, encoding: str) -> str:
    """Return the text without a byte order mark.

    Raises:
        UnreadableFileError: a byte that is not of the encoding, or NUL, with its line.
    """
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line_number = content.count(b"\n", 0, error.start) + 1
        raise UnreadableFileError(
            "wrong_encoding", f"the text is not {encoding}", line_number=line_number
        ) from None
    if "\0" in text:
        line_number = text.count("\n", 0, text.index("\0")) + 1
        raise UnreadableFileError("wrong_encoding", "a NUL character", line_number=line_number)
    return text.removeprefix(BYTE_ORDER_MARK)
