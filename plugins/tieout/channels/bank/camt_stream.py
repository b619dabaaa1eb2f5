"""A bank's message read entry by entry (camt.053, camt.054).

Format: docs/formats/camt053.md.

A tree of a whole message takes about ten times its text in memory. What stands around the entries
(Ntry) is small and says what they are of, before them or behind them; so a message is read once for
that, and again for its entries, of which one is held at a time.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import IO

from lxml import etree

from tieout.channels.bank.iso20022 import child, local_name
from tieout.channels.common import packed_files, safe_xml
from tieout.channels.common.model import UnreadableFileError
from tieout.channels.common.safe_xml import Element

__all__ = ["ENTRY", "MessageStream", "maybe_zipped"]

ENTRY = "Ntry"
# An entry that books a batch of 100,000 payments has about three million elements. In memory an
# element with its text takes about 400 bytes.
HELD_ELEMENTS_MAX = 5_000_000

# ISO's own names, those of its SWIFT variants, and the national ones of Switzerland
# (http://www.six-interbank-clearing.com/de/camt.053.001.04.ch.02.xsd).
_NAMESPACE = re.compile(
    r"(?:urn:iso:std:iso:20022:tech:xsd:|urn:swift:xsd:|"
    r"https?://www\.six-interbank-clearing\.com/[a-z]{2}/)"
    r"(?P<name>[a-z]{4}\.\d{3}\.001)\.(?P<version>\d{2})(?P<variant>(?:\.[A-Za-z0-9]+)*)"
)


@contextmanager
def maybe_zipped(stream: IO[bytes]) -> Iterator[IO[bytes]]:
    """Give the bytes of the one file in a ZIP, else the bytes as they are.

    Raises:
        UnreadableFileError: as `packed_files.only_member` does.
    """
    if packed_files.is_zip(stream):
        with packed_files.only_member(stream) as member:
            yield member
    else:
        yield stream


class MessageStream:
    """A message of groups of entries, such as the statements (Stmt) of a camt.053.

    The XML may come from anybody: `safe_xml` reads it.
    """

    def __init__(self, stream: IO[bytes], *, element_name: str, group_name: str) -> None:
        self._stream = stream
        self._element_name = element_name
        self._group_name = group_name

    def without_entries(self, *, name: str, versions: Collection[str]) -> Element:
        """Return the message's own element, whatever the namespace's exact form.

        Of each group's entries at most an empty element is in it. A Document without any namespace
        is taken by its element, because some banks leave it out; one in a namespace of another
        message or of an unknown version is not.

        Args:
            name: such as `camt.053.001`.
            versions: the two digits that are known.

        Raises:
            UnreadableFileError: unsafe, damaged or too large XML, another message, or an unknown
                version.
        """
        place = _Place(self._element_name, self._group_name)
        for _ in self._read(place):
            pass
        problem = f"it is no {name} of {', '.join(versions)}"
        if place.document is None:
            raise UnreadableFileError("unknown_version", problem)
        namespace = etree.QName(place.document).namespace
        message = place.message
        if namespace:
            match = _NAMESPACE.fullmatch(namespace)
            if match is None or match["name"] != name or match["version"] not in versions:
                raise UnreadableFileError("unknown_version", problem)
        elif message is None:
            raise UnreadableFileError("unknown_version", f"{problem}, and it has no namespace")
        if message is None or child(message, "GrpHdr") is None:
            raise UnreadableFileError(
                "missing_element", f"{self._element_name} or its GrpHdr is missing"
            )
        return message

    def entries(self) -> Iterator[tuple[int, Element]]:
        """Yield each entry with the position of its group; it is emptied when the next is asked.

        Raises:
            UnreadableFileError: unsafe, damaged or too large XML.
        """
        yield from self._read(_Place(self._element_name, self._group_name))

    def _read(self, place: _Place) -> Iterator[tuple[int, Element]]:
        held, held_before_entry = 0, 0
        for event, element in safe_xml.elements(self._stream):
            if event == "start":
                place.begin(element)
                if place.is_entry(element):
                    held_before_entry = held
                held += 1
                if held > HELD_ELEMENTS_MAX:
                    reason = f"more than {HELD_ELEMENTS_MAX} elements in one {ENTRY} and around all"
                    raise UnreadableFileError("too_large", reason)
            elif place.is_entry(element):
                yield place.position, element
                place.forget(element)
                held = held_before_entry


class _Place:
    """Where in a message reading is: which of its elements is which.

    Of elements that may stand there once, the first is taken.
    """

    def __init__(self, element_name: str, group_name: str) -> None:
        self._element_name = element_name
        self._group_name = group_name
        self._root: Element | None = None
        self._group: Element | None = None
        self._emptied: Element | None = None
        self.document: Element | None = None
        self.message: Element | None = None
        # Of the group in the message, from 0.
        self.position = -1

    def begin(self, element: Element) -> None:
        """Go on to an element that begins."""
        name = local_name(element)
        if self._root is None:
            self._root = element
            # SWIFT's networks and some banks wrap header and document into one element.
            self.document = element if name == "Document" else None
        elif self.document is None:
            if name == "Document" and element.getparent() is self._root:
                self.document = element
        elif self.message is None:
            if name == self._element_name and element.getparent() is self.document:
                self.message = element
        elif name == self._group_name and element.getparent() is self.message:
            self._group, self._emptied = element, None
            self.position += 1

    def is_entry(self, element: Element) -> bool:
        """Say whether an element is an entry of the group at hand."""
        return (
            self._group is not None
            and local_name(element) == ENTRY
            and element.getparent() is self._group
        )

    def forget(self, entry: Element) -> None:
        """Empty an entry that was read, and take the one before it away.

        The parser still writes behind the last one: that one has to stay where it is.
        """
        entry.clear(keep_tail=True)
        if self._group is not None and self._emptied is not None:
            self._group.remove(self._emptied)
        self._emptied = entry
