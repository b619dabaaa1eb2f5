"""Fixed-width records cut by bytes: UnionPay's institution and merchant files.

Fields are joined by exactly one blank (0x20). Widths count bytes of GBK, where one Chinese
character takes two: the record is cut first and a field is decoded after. Source:
docs/formats/unionpay-acomn.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import IO

import numpy as np
import numpy.typing as npt
import polars as pl

from tieout.channels.common.excerpts import masked_excerpt
from tieout.channels.common.model import BLOCK_ROWS, Findings

__all__ = ["FixedWidthBlock", "Layout", "fixed_width_blocks"]

BLANK, ZERO, NINE, CREDIT, DEBIT = (ord(c) for c in " 09CD")
LAST_PRINTABLE = 0x7E
UNIT_SEPARATOR = 0x1F
BLOCK_BYTES = 16 * 1024**2
UNREAD_TAIL = "unread_tail"
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]
ByteArray = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Layout:
    """A record's fields in order with their widths in bytes, joined by one blank each.

    `gbk_fields` may hold Chinese, everything else is ASCII. `card_fields` hold card numbers, of
    which excerpts show the mask; `hidden_fields` hold names, accounts or card data of people, of
    which they show nothing. `separator_bytes` is 0 where fields touch. The records of an
    `is_open_ended` layout may be longer than its fields: what follows is not known, and not read.
    """

    name: str
    widths: Mapping[str, int]
    gbk_fields: frozenset[str] = frozenset()
    card_fields: frozenset[str] = frozenset()
    hidden_fields: frozenset[str] = frozenset()
    separator_bytes: int = 1
    is_open_ended: bool = False

    @cached_property
    def offsets(self) -> Mapping[str, int]:
        """The first byte (0-based) of each field."""
        offsets, position = {}, 0
        for name, width in self.widths.items():
            offsets[name] = position
            position += width + self.separator_bytes
        return offsets

    @property
    def length_bytes(self) -> int:
        """The record's length without its line end."""
        return sum(self.widths.values()) + self.separator_bytes * (len(self.widths) - 1)

    @cached_property
    def separators(self) -> Sequence[int]:
        """The positions that have to be blank."""
        if not self.separator_bytes:
            return []
        return [offset - 1 for offset in self.offsets.values()][1:]

    def fitted(self, length_bytes: int) -> Layout | None:
        """Return this layout for records of that length, or None where it does not fit."""
        if length_bytes == self.length_bytes:
            return self
        tail_bytes = length_bytes - self.length_bytes - self.separator_bytes
        if not self.is_open_ended or tail_bytes < 1:
            return None
        return replace(
            self,
            widths={**self.widths, UNREAD_TAIL: tail_bytes},
            gbk_fields=self.gbk_fields | {UNREAD_TAIL},
            hidden_fields=self.hidden_fields | {UNREAD_TAIL},
        )


class FixedWidthBlock:
    """Some records of one file as a matrix of bytes, one row a record."""

    def __init__(
        self, layout: Layout, records: ByteArray, line_numbers: IntArray, findings: Findings
    ) -> None:
        self.layout = layout
        self.records = records
        self.line_numbers = line_numbers
        self.findings = findings.of_block(line_numbers, self._excerpt)

    def __len__(self) -> int:
        """Return the number of records."""
        return int(self.records.shape[0])

    def _blocks(self) -> Iterator[slice]:
        """Yield runs of records that fit a processor's cache: far faster than all at once."""
        rows = max(BLOCK_BYTES // self.layout.length_bytes, 1)
        for start in range(0, len(self), rows):
            yield slice(start, start + rows)

    @cached_property
    def _foreign_columns(self) -> BoolArray:
        """Which bytes of the layout are not printable ASCII in some record."""
        columns = np.zeros(self.layout.length_bytes, dtype=bool)
        for block in self._blocks():
            rows = self.records[block]
            if rows.min() < BLANK or rows.max() > LAST_PRINTABLE:
                columns |= _is_foreign(rows).any(axis=0)
        return columns

    def field_bytes(self, name: str) -> ByteArray:
        """Return a field as a matrix of bytes."""
        return self.records[:, self._columns(name)]

    def texts(self, names: Sequence[str]) -> pl.DataFrame:
        """Return ASCII fields as text without padding; all blanks are NULL."""
        if not len(self):
            return pl.DataFrame(schema=dict.fromkeys(names, pl.String))
        has_foreign = any(self._foreign_columns[self._columns(name)].any() for name in names)
        blocks = [self._texts(self.records[block], names, has_foreign) for block in self._blocks()]
        return pl.concat(blocks, rechunk=True)

    def _texts(self, rows: ByteArray, names: Sequence[str], has_foreign: bool) -> pl.DataFrame:
        # Of all ways to make texts of bytes, Polars' reader of lines is the quickest.
        widths = [self.layout.widths[name] for name in names]
        lines = np.full((len(rows), sum(widths) + len(names)), UNIT_SEPARATOR, dtype=np.uint8)
        end = 0
        for name, width in zip(names, widths, strict=True):
            field = rows[:, self._columns(name)]
            if has_foreign:
                # They are findings already; here they must not break the fields beside them.
                field = np.where(_is_foreign(field), np.uint8(ord("?")), field)
            lines[:, end : end + width] = field
            end += width + 1
        lines[:, -1] = ord("\n")
        frame = pl.read_csv(
            lines.tobytes(),
            has_header=False,
            separator=chr(UNIT_SEPARATOR),
            quote_char=None,
            schema=dict.fromkeys(names, pl.String),
            empty_string_is_null=False,
        )
        return frame.select(pl.all().str.strip_chars(" ").replace("", None))

    def gbk_text(self, name: str) -> pl.Series:
        """Return a field that may hold Chinese; all blanks, and what is no GBK, are NULL."""
        texts = self.texts([name])[name]
        columns = self._columns(name)
        if not self._foreign_columns[columns].any():
            return texts
        decoded = pl.Series(name, self._gbk_lines(name), dtype=pl.String).str.strip_chars(" ")
        is_foreign = pl.Series(_is_foreign(self.records[:, columns]).any(axis=1))
        return decoded.replace("", None).zip_with(is_foreign, texts)

    def _gbk_lines(self, name: str) -> list[str]:
        """Decode a field of every record at once; one by one, and what can be, where one is bad."""
        content = self.field_bytes(name)
        try:
            # A line's end is never part of a character of GBK, so each field decodes by itself.
            return _as_lines(content).tobytes().decode("gb18030").split("\n")[:-1]
        except UnicodeDecodeError:
            return [row.tobytes().decode("gb18030", errors="ignore") for row in content]

    def _columns(self, name: str) -> slice:
        start = self.layout.offsets[name]
        return slice(start, start + self.layout.widths[name])

    def numbers(self, name: str, *, blank_is_zero: bool = False) -> IntArray:
        """Return an unsigned field as integers; anything but digits is flagged and becomes 0."""
        digits = self.field_bytes(name)
        values, bad = _digits_to_numbers(digits, blank_is_zero=blank_is_zero)
        self.findings.flag(bad, name, "not_a_number", self._found(name, "digits only"))
        return values

    def _found(self, name: str, form: str) -> Callable[[int], str]:
        """Return the reason of a finding: what stands in a field, and the form it has to have."""
        content = self.field_bytes(name)

        def reason(position: int) -> str:
            text = masked_excerpt(content[position].tobytes().decode("gb18030", errors="replace"))
            return f"found {text!r}; {name} has to be {form}"

        return reason

    def signed_numbers(self, name: str) -> tuple[IntArray, BoolArray]:
        """Return an X+n field as (D +, C −, blank sign +) and where the sign is blank.

        The sign is the channel's: D, the institution pays; C, it receives. A field of blanks is 0.
        """
        content = self.field_bytes(name)
        letters = content[:, 0]
        values, bad = _digits_to_numbers(content[:, 1:], blank_is_zero=True)
        # A sign in front of nothing is what is left of an amount.
        bad |= (letters != BLANK) & (content[:, 1:] == BLANK).all(axis=1)
        unknown = ~np.isin(letters, (CREDIT, DEBIT, BLANK))
        self.findings.flag(bad, name, "not_a_number", self._found(name, "a sign and digits"))
        self.findings.flag(
            unknown & ~bad, name, "unknown_sign", f"the sign of {name} has to be C or D"
        )
        signed = np.where(letters == CREDIT, -values, values)
        return signed, (letters == BLANK) & (values != 0)

    def check_form(self) -> None:
        """Flag records that are out of line, hold NUL bytes, or are not of the encoding."""
        layout = self.layout
        shifted = np.zeros(len(self), dtype=bool)
        for block in self._blocks():
            shifted[block] = (self.records[block][:, layout.separators] != BLANK).any(axis=1)
        self.findings.flag(
            shifted, "", "misaligned", "a separator between fields is not where it has to be"
        )
        if not self._foreign_columns.any():
            return
        ascii_columns = np.ones(layout.length_bytes, dtype=bool)
        for name in layout.gbk_fields:
            ascii_columns[self._columns(name)] = False
        if (self._foreign_columns & ascii_columns).any():
            self.findings.flag(
                np.logical_or.reduce(_is_foreign(self.records[:, ascii_columns]), axis=1),
                "",
                "wrong_encoding",
                "a field of codes and digits holds other characters",
            )
        for name in sorted(layout.gbk_fields):
            self._check_gbk(name)

    def _check_gbk(self, name: str) -> None:
        content = self.field_bytes(name)
        try:
            _as_lines(content).tobytes().decode("gb18030")
        except UnicodeDecodeError:
            bad = np.array([not _is_gbk(row.tobytes()) for row in content])
            self.findings.flag(bad, name, "wrong_encoding", f"{name} is not GBK text")
        # GBK text it would be, but no database takes it.
        self.findings.flag(
            np.logical_or.reduce(content == 0, axis=1),
            name,
            "wrong_encoding",
            f"{name} holds a byte of value 0",
        )

    def _excerpt(self, position: int) -> str:
        record = bytearray(self.records[position].tobytes())
        for name in self.layout.card_fields:
            start = self.layout.offsets[name]
            end = start + self.layout.widths[name]
            record[start:end] = _masked_digits(bytes(record[start:end]))
        for name in self.layout.hidden_fields:
            start = self.layout.offsets[name]
            end = start + self.layout.widths[name]
            record[start:end] = bytes(
                BLANK if byte == BLANK else ord("*") for byte in record[start:end]
            )
        text = bytes(record).decode("gb18030", errors="replace")
        return masked_excerpt(text, numbers_may_be_grouped=False)


def fixed_width_blocks(
    stream: IO[bytes],
    layouts: Sequence[Layout],
    findings: Findings,
    *,
    block_rows: int = BLOCK_ROWS,
    first_line_number: int = 1,
) -> Iterator[FixedWidthBlock]:
    """Cut a file into records, check their form, and yield them in blocks; at least one block.

    Args:
        stream: the file, where its records begin; it can be sought in.
        layouts: the forms it may have, the one of our days first. One is chosen for the whole file
            by the length of its first record; records of another length are findings.
        findings: what speaks against the file, to which is added.
        block_rows: records of a block.
        first_line_number: the line the records begin with, where a heading stands before them.
    """
    start = stream.tell()
    first = stream.readline().removesuffix(b"\n").rstrip(b"\r")
    stream.seek(start)
    layout = _layout_of(len(first), layouts)
    line_number, is_first = first_line_number, True
    while True:
        piece = stream.read((layout.length_bytes + 2) * block_rows)
        if not piece and not is_first:
            return
        is_first = False
        block = _read_uniform(piece, layout, line_number, findings)
        if block is None:
            # A piece ends where a line ends, whatever lengths the lines have.
            piece += b"" if piece.endswith(b"\n") else stream.readline()
            block = _read_line_by_line(piece, layout, line_number, findings, _is_at_end(stream))
        line_number += piece.count(b"\n")
        block.check_form()
        yield block


def _is_at_end(stream: IO[bytes]) -> bool:
    place = stream.tell()
    is_at_end = not stream.read(1)
    stream.seek(place)
    return is_at_end


def _layout_of(length_bytes: int, layouts: Sequence[Layout]) -> Layout:
    """Return the layout for records of that length; an exact one goes before an open-ended one."""
    exact = [layout for layout in layouts if layout.length_bytes == length_bytes]
    fitted = [found for layout in layouts if (found := layout.fitted(length_bytes)) is not None]
    return [*exact, *fitted, layouts[0]][0]


def _read_uniform(
    content: bytes, layout: Layout, first_line_number: int, findings: Findings
) -> FixedWidthBlock | None:
    """Read records of which every line has the same length and CRLF, or return None."""
    stride = layout.length_bytes + 2
    if len(content) % stride:
        return None
    lines = np.frombuffer(content, dtype=np.uint8).reshape(-1, stride)
    ends_well = (lines[:, -2] == ord("\r")).all() and (lines[:, -1] == ord("\n")).all()
    if not ends_well or content.count(b"\n") != len(lines) or content.count(b"\r") != len(lines):
        return None
    numbers = np.arange(len(lines), dtype=np.int64) + first_line_number
    return FixedWidthBlock(layout, lines[:, :-2], numbers, findings)


def _read_line_by_line(
    content: bytes, layout: Layout, first_line_number: int, findings: Findings, is_last: bool
) -> FixedWidthBlock:
    lines = content.split(b"\n")
    if lines and not lines[-1]:
        lines.pop()
    records, numbers, wrong = [], [], []
    for number, line in enumerate(lines, start=first_line_number):
        record = line.removesuffix(b"\r")
        if len(record) == layout.length_bytes:
            records.append(record)
            numbers.append(number)
        else:
            wrong.append((number, record))
    matrix = np.frombuffer(b"".join(records), dtype=np.uint8)
    block = FixedWidthBlock(
        layout,
        matrix.reshape(len(records), layout.length_bytes),
        np.array(numbers, dtype=np.int64),
        findings,
    )
    last_line = first_line_number + len(lines) - 1 if is_last else 0
    _flag_wrong_lengths(layout, findings, wrong, last_line=last_line)
    return block


def _flag_wrong_lengths(
    layout: Layout, findings: Findings, wrong: Sequence[tuple[int, bytes]], *, last_line: int
) -> None:
    """Flag records of another length; `last_line` is the file's last one, 0 where it is not here.

    A cut can leave part of a card number: every run of digits goes from what is shown. Where names
    stand, too, nothing tells them from the rest.
    """

    def excerpt(position: int) -> str:
        if layout.hidden_fields:
            return "***"
        masked = _masked_digits(wrong[position][1])
        return masked_excerpt(masked.decode("gb18030", errors="replace"))

    def reason(position: int) -> str:
        number, record = wrong[position]
        seems_cut = "; the file seems cut off" if number == last_line else ""
        return f"the record has {len(record)} bytes, {layout.length_bytes} expected{seems_cut}"

    of_wrong = findings.of_block([number for number, _ in wrong], excerpt)
    of_wrong.flag(np.ones(len(wrong), dtype=bool), "", "wrong_length", reason)


def _as_lines(rows: ByteArray) -> ByteArray:
    """Return the rows with a line's end behind each."""
    lines = np.full((rows.shape[0], rows.shape[1] + 1), ord("\n"), dtype=np.uint8)
    lines[:, :-1] = rows
    return lines


def _is_foreign(content: ByteArray) -> BoolArray:
    """Say where a byte is not printable ASCII: one below the blank wraps around to far above."""
    foreign: BoolArray = (content - np.uint8(BLANK)) > LAST_PRINTABLE - BLANK
    return foreign


def _is_gbk(content: bytes) -> bool:
    try:
        content.decode("gb18030")
    except UnicodeDecodeError:
        return False
    return True


def _digits_to_numbers(digits: ByteArray, *, blank_is_zero: bool) -> tuple[IntArray, BoolArray]:
    """Return the numbers and where they are none. At most 18 digits, so 64 bits hold them."""
    # Position by position over all records: each is one run of memory.
    columns = np.ascontiguousarray(digits.T)
    values = np.zeros(digits.shape[0], dtype=np.int64)
    is_number = np.ones(digits.shape[0], dtype=bool)
    for column in columns:
        digit = column - np.uint8(ZERO)
        is_number &= digit <= NINE - ZERO
        values *= 10
        values += digit
    values[~is_number] = 0
    if not blank_is_zero:
        return values, ~is_number
    is_blank: BoolArray = np.logical_and.reduce(columns == BLANK, axis=0)
    return values, ~is_number & ~is_blank


def _masked_digits(content: bytes) -> bytes:
    """Keep the first six and last four of 13 or more digits, nothing of fewer."""
    digits = content.strip()
    if digits.isdigit() and 13 <= len(digits) <= 19:
        masked = digits[:6] + b"*" * (len(digits) - 10) + digits[-4:]
        return masked.ljust(len(content))
    return bytes(ord("*") if ZERO <= byte <= NINE else byte for byte in content)
