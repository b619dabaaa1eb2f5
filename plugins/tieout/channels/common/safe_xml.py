"""The one reader of XML that others wrote: whole messages, and messages read as they come.

The XML may come from anybody. No entity is ever expanded, no network or file is opened, and a
document type is refused whole. The library's own bounds stand: 256 levels, 10 MB in one text. Both
ways refuse the same, with the same reasons; a test sends hostile XML both ways.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import IO, Any, Final

from lxml import etree

from tieout.channels.common import packed_files, text_files
from tieout.channels.common.model import UnreadableFileError

__all__ = ["BYTES_MAX", "Element", "elements", "packed_root", "root"]

# lxml's stubs are not installed: an element is Any to the type checker.
Element = Any

# A tree takes about ten times its text in memory.
BYTES_MAX = 256 * 1024 * 1024

_HARDENED: Final[Mapping[str, bool]] = {
    "resolve_entities": False,
    "no_network": True,
    "load_dtd": False,
    "dtd_validation": False,
    "huge_tree": False,
    "remove_comments": True,
    "remove_pis": True,
}


def root(content: bytes) -> Element:
    """Return the root of a whole message.

    Raises:
        UnreadableFileError: not well-formed, too large or deep, or with a document type.
    """
    if len(content) > BYTES_MAX:
        raise UnreadableFileError("too_large", f"it is larger than {BYTES_MAX} bytes")
    try:
        found = etree.fromstring(content, etree.XMLParser(**_HARDENED))
    except (etree.XMLSyntaxError, ValueError) as error:
        raise _not_xml(error) from None
    _refuse_document_type(found)
    return found


def packed_root(content: bytes) -> Element:
    """Return the root of a whole message, or of the one message in a ZIP.

    Raises:
        UnreadableFileError: as `root` and `packed_files.only_member` do.
    """
    packed = io.BytesIO(content)
    if not packed_files.is_zip(packed):
        return root(content)
    with packed_files.only_member(packed, bytes_max=BYTES_MAX) as member:
        return root(member.read())


def elements(stream: IO[bytes]) -> Iterator[tuple[str, Element]]:
    """Yield the begin ("start") and the end ("end") of each element, from the stream's beginning.

    A document type is refused at the first one. What stands before an error is yielded first,
    wherever a piece ends. The caller empties what it has read, and bounds what it holds.

    Raises:
        UnreadableFileError: as `root` does.
    """
    stream.seek(0)
    events = etree.iterparse(_Pieces(stream), events=("start", "end"), **_HARDENED)
    is_first = True
    try:
        for event, element in events:
            if is_first:
                _refuse_document_type(element)
                is_first = False
            yield event, element
    except (etree.XMLSyntaxError, ValueError) as error:
        raise _not_xml(error) from None


class _Pieces:
    """Reads as many bytes at a time as every other format does."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def read(self, size: int) -> bytes:
        """Return the next bytes."""
        return self._stream.read(min(size, text_files.PIECE_BYTES))


def _not_xml(error: Exception) -> UnreadableFileError:
    """Return a refusal for the XML library's error, whose own text may quote the file."""
    line_number = getattr(error, "lineno", None) or 0
    return UnreadableFileError(
        "not_xml", "it is no well-formed XML; the file seems cut off or damaged",
        line_number=line_number,
    )  # fmt: skip


def _refuse_document_type(element: Element) -> None:
    if element.getroottree().docinfo.doctype:
        raise UnreadableFileError(
            "unsafe_xml", "it declares a document type, which a bank's message never does"
        )
