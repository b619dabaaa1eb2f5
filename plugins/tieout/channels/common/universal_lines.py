"""Lines of bank texts, which end with CRLF, LF or a lone CR, in one of several encodings.

Which encoding it is, only the whole file says: it is decoded once to know it, and again to read it.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator, Sequence
from typing import IO

from tieout.channels.common import text_files
from tieout.channels.common.text_files import BYTE_ORDER_MARK

__all__ = ["encoding_of", "universal_lines"]


def encoding_of(stream: IO[bytes], encodings: Sequence[str]) -> str | None:
    """Return the first of the encodings in which the whole file is text; NUL is no text."""
    for encoding in encodings:
        try:
            if not any("\0" in text for text in _pieces(stream, encoding)):
                return encoding
        except UnicodeDecodeError:
            continue
    return None


def universal_lines(stream: IO[bytes], encoding: str) -> Iterator[str]:
    """Yield the lines with their ends as they are, without a byte order mark.

    Raises:
        UnicodeDecodeError: not of the encoding, which `encoding_of` says before.
    """
    rest, is_first = "", True
    for piece in _pieces(stream, encoding):
        text = rest + piece
        if is_first and text:
            text, is_first = text.removeprefix(BYTE_ORDER_MARK), False
        # Only CRLF, LF and CR end a line here; str.splitlines knows others.
        lines = list(io.StringIO(text, newline=""))
        rest = lines.pop() if lines and not lines[-1].endswith(("\n", "\r")) else ""
        yield from lines
    if rest:
        yield rest


def _pieces(stream: IO[bytes], encoding: str) -> Iterator[str]:
    """Yield the text piece by piece; none ends between CR and LF."""
    stream.seek(0)
    decoder = io.IncrementalNewlineDecoder(
        codecs.getincrementaldecoder(encoding)("strict"), translate=False
    )
    while piece := stream.read(text_files.PIECE_BYTES):
        yield decoder.decode(piece)
    yield decoder.decode(b"", final=True)
