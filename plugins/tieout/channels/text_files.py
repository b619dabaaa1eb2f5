"""Bytes of a text file to text, strictly: a byte that is not of the encoding is an error."""

from __future__ import annotations

from tieout.channels.model import UnreadableFileError

__all__ = ["decoded_text"]

BYTE_ORDER_MARK = "\ufeff"


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
