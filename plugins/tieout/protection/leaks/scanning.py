"""Scan every place of a home; say where each leak is, masked. Memory does not grow with the home.

Two searches run over the same text: known values of the home's own files, in several encodings and
without any exception; and whatever looks like a card number (Luhn and a known range), except where
`reviewed.csv` says why that context is none.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import BinaryIO

from tieout.channels.common.card_numbers import find_card_numbers, find_track_data
from tieout.core.masks import mask_pan
from tieout.core.progress import step
from tieout.core.settings import Settings
from tieout.protection.leaks.known_values import KnownValue, collect
from tieout.protection.leaks.needles import Needles
from tieout.protection.leaks.places import (
    PAYMENT_FILES,
    NotScanned,
    Source,
    not_scanned,
    sources,
)

__all__ = ["Finding", "PlaceScanned", "ScanReport", "scan"]

REVIEWED_PATH = Path(__file__).with_name("reviewed.csv")
BLOCK_BYTES = 1 << 20
# Kept from block to block, so that nothing is missed where one ends. Longer than any form of a
# value, and than the contexts of `reviewed.csv`.
OVERLAP_BYTES = 1 << 10
# A longer line is no COPY statement, but a document in one line.
LINE_BYTES_MAX = 64 << 10
# How far around a number its context is read.
CONTEXT_CHARACTERS = 200
FINDINGS_KEPT_MAX = 10_000
# Texts searched in one call: building the search costs more than searching a small file.
BATCH_BYTES = 8 << 20

_COPY = re.compile(r"^COPY (\S+) \((.*)\) FROM stdin;$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Finding:
    """One leak. `masked` is all of the value that is shown."""

    place: str
    location: str
    kind: str
    masked: str
    encoding: str


@dataclass(slots=True)
class PlaceScanned:
    """What was read of one place."""

    place: str
    stream_count: int = 0
    byte_count: int = 0
    finding_count: int = 0
    reviewed_count: int = 0
    allowed_count: int = 0


@dataclass(frozen=True, slots=True)
class ScanReport:
    """What was scanned, what was looked for, what was found."""

    places: tuple[PlaceScanned, ...]
    left_out: tuple[NotScanned, ...]
    findings: tuple[Finding, ...]
    finding_count: int
    known_value_counts: tuple[tuple[str, int], ...]
    too_short_count: int
    in_all_forms: bool

    @property
    def is_clean(self) -> bool:
        """Say whether nothing was found."""
        return self.finding_count == 0


@dataclass(frozen=True, slots=True)
class _Reviewed:
    """A context in which what looks like a card number is none; `place` is a glob."""

    name: str
    place: str
    context: re.Pattern[str]


@dataclass(slots=True)
class _Block:
    """A part of a stream with what is needed to say where a character of it stands."""

    source: Source
    text: str
    # Characters at the front that the block before had as well.
    repeated: int
    # The line of the first character, 1-based.
    line_number: int
    is_last: bool
    # Of a dump: the table its first character belongs to, and the line of that table's COPY.
    table: _Table | None


@dataclass(frozen=True, slots=True)
class _Table:
    name: str
    columns: tuple[str, ...]
    copy_line: int


def scan(settings: Settings, *, known: Sequence[KnownValue] | None = None) -> ScanReport:
    """Scan a home: databases, logs, documents, everything else below its folder.

    Args:
        settings: the home.
        known: values to look for besides card numbers; default: those of the inbox's files.

    Raises:
        LeakScanError: a database cannot be dumped.
        LandingError: a store cannot be read.
    """
    with step("values to look for"):
        values = collect(settings) if known is None else list(known)
        searchable = [value for value in values if value.is_searchable]
        scanner = _Scanner(searchable)
    for place, streams in groupby(sources(settings), key=lambda source: source.place):
        with step(f"scan {place}"):
            scanner.scan(place, streams)
    kinds = sorted({value.kind for value in searchable})
    return ScanReport(
        places=tuple(scanner.places.values()),
        left_out=tuple(not_scanned(settings)),
        findings=tuple(scanner.findings),
        finding_count=sum(place.finding_count for place in scanner.places.values()),
        known_value_counts=tuple(
            (kind, sum(value.kind == kind for value in searchable)) for kind in kinds
        ),
        too_short_count=len(values) - len(searchable),
        in_all_forms=scanner.needles.in_all_forms,
    )


class _Scanner:
    """Counts and findings of one scan."""

    def __init__(self, values: Sequence[KnownValue]) -> None:
        self.needles = Needles(values)
        self.places: dict[str, PlaceScanned] = {}
        self.findings: list[Finding] = []
        # A payment file has to carry payees' accounts and names, and nothing else.
        self._payable = {value.text for value in values if value.kind != "card number"}
        self._accounts = {value.text for value in values if value.text.isdigit()}

    def scan(self, place: str, streams: Iterator[Source]) -> None:
        """Read streams of one place, and search them in batches."""
        batch: list[_Block] = []
        size = 0
        counts = self.places.setdefault(place, PlaceScanned(place))
        for source in streams:
            counts.stream_count += 1
            with source.open() as stream:
                for block in _blocks(source, stream):
                    counts.byte_count += len(block.text) - block.repeated
                    batch.append(block)
                    size += len(block.text)
                    if size >= BATCH_BYTES:
                        self._search(counts, batch)
                        batch, size = [], 0
        self._search(counts, batch)

    def _search(self, counts: PlaceScanned, blocks: Sequence[_Block]) -> None:
        hits = self.needles.find([block.text for block in blocks])
        for block, found in zip(blocks, hits, strict=True):
            covered: list[tuple[int, int]] = []
            for hit in sorted(found, key=lambda hit: (hit.start, -hit.end)):
                if not _is_new(block, hit.start, hit.end):
                    continue
                covered.append((hit.start, hit.end))
                value = hit.needle.value
                if counts.place == PAYMENT_FILES and value.text in self._payable:
                    counts.allowed_count += 1
                    continue
                self._add(
                    counts,
                    block,
                    hit.start,
                    kind=value.kind,
                    masked=value.masked,
                    encoding=hit.needle.encoding,
                )
            self._search_patterns(counts, block, covered)

    def _search_patterns(
        self, counts: PlaceScanned, block: _Block, covered: Sequence[tuple[int, int]]
    ) -> None:
        """Add what looks like a card number or a track and is no known value found already."""
        for start, end in find_track_data(block.text):
            if _is_new(block, start, end):
                self._add(counts, block, start, kind="track data", masked="***")
        for number in find_card_numbers(block.text):
            start, end = number.start, number.end
            if not _is_new(block, start, end) or any(
                first <= start and end <= last for first, last in covered
            ):
                continue
            if counts.place == PAYMENT_FILES and number.digits in self._accounts:
                counts.allowed_count += 1
            elif _is_reviewed(block, start, end):
                counts.reviewed_count += 1
            else:
                masked = mask_pan(number.digits)
                self._add(counts, block, start, kind="card number", masked=masked)

    def _add(
        self,
        counts: PlaceScanned,
        block: _Block,
        position: int,
        *,
        kind: str,
        masked: str,
        encoding: str = "plain",
    ) -> None:
        counts.finding_count += 1
        if len(self.findings) < FINDINGS_KEPT_MAX:
            location = _location(block, position)
            self.findings.append(Finding(counts.place, location, kind, masked, encoding))


def _blocks(source: Source, stream: BinaryIO) -> Iterator[_Block]:
    """Cut a stream into blocks that overlap."""
    tail, line_number, table = "", 1, None
    content = stream.read(BLOCK_BYTES)
    while content:
        following = stream.read(BLOCK_BYTES)
        text = tail + content.decode("latin-1")
        yield _Block(source, text, len(tail), line_number, not following, table)
        kept = _cut(text)
        if source.is_dump:
            table = _table_at(text, kept, line_number, table)
        line_number += text.count("\n", 0, kept)
        tail, content = text[kept:], following


def _cut(text: str) -> int:
    """Return where the next block begins: a line's beginning where one is near.

    So a COPY line of a dump is in one block whole, and its table is known.
    """
    limit = max(len(text) - OVERLAP_BYTES, 0)
    return text.rfind("\n", max(limit - LINE_BYTES_MAX, 0), limit) + 1 or limit


def _is_new(block: _Block, start: int, end: int) -> bool:
    """Say whether a hit is of this block: not the one before's, and not cut off by its end.

    The overlap belongs to both; a hit that ends within it, and does not touch the block's very end,
    was seen before. One that touches the end may go on: the next block has it whole.
    """
    if end == len(block.text) and not block.is_last:
        return False
    return end >= block.repeated or block.repeated == 0


def _table_at(text: str, position: int, line_number: int, before: _Table | None) -> _Table | None:
    """Return the table whose rows a character of a dump stands behind; `before` at the front."""
    table = before
    for match in _COPY.finditer(text, 0, position):
        copy_line = line_number + text.count("\n", 0, match.start())
        table = _Table(match[1], tuple(match[2].split(", ")), copy_line)
    return table


def _location(block: _Block, position: int) -> str:
    """Return file and line; of a dump table, column and the row's number in the dump."""
    line = block.line_number + block.text.count("\n", 0, position)
    if not block.source.is_dump:
        return f"{block.source.name}, line {line}"
    table = _table_at(block.text, position, block.line_number, block.table)
    if table is None:
        return f"{block.source.name}, dump line {line}"
    line_start = block.text.rfind("\n", 0, position) + 1
    column = block.text.count("\t", line_start, position)
    name = table.columns[column] if column < len(table.columns) else "?"
    return f"{table.name}.{name}, row {line - table.copy_line}"


def _is_reviewed(block: _Block, start: int, end: int) -> bool:
    """Say whether a reviewed context of this place holds the number whole."""
    first = max(start - CONTEXT_CHARACTERS, 0)
    window = block.text[first : end + CONTEXT_CHARACTERS]
    return any(
        match.start() + first <= start and end <= match.end() + first
        for rule in _reviewed()
        if fnmatchcase(block.source.place, rule.place)
        for match in rule.context.finditer(window)
    )


@cache
def _reviewed() -> tuple[_Reviewed, ...]:
    with REVIEWED_PATH.open(encoding="utf-8", newline="") as stream:
        return tuple(
            _Reviewed(row["name"], row["place"], re.compile(row["context"]))
            for row in csv.DictReader(stream)
        )
