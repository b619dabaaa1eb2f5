"""UnionPay INF: offline transactions of IC cards, accepted or rejected.

Format: docs/formats/unionpay-inf.md.

One string of bytes without separators or line ends: a header, records 300 and 301, a trailer. A
record's line number is its place in the string, the header being 1. Of the trailer, and of the
records 002 and 003 of a file of rejections, only code and length are known.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import IO, ClassVar

import numpy as np
import polars as pl

from tieout.channels.common.model import (
    BUSINESS_TIME_ZONE,
    BadRow,
    FileContext,
    Findings,
    Frames,
    ParsedFile,
    UnreadableFileError,
)
from tieout.channels.common.text_files import batches
from tieout.channels.unionpay.common import (
    blank_zeros,
    card_columns,
    require_keys,
    required_date,
)
from tieout.channels.unionpay.field_runs import KEYS_OF_MERCHANT
from tieout.channels.unionpay.fields import (
    check_codes,
    currency_codes,
    signed_minor,
    unsigned_minor,
)
from tieout.channels.unionpay.fixed_width import FixedWidthBlock, Layout
from tieout.channels.unionpay.institution_layouts import (
    INF_DETAIL,
    INF_HEADER,
    INF_RECORD_BYTES,
)

__all__ = ["DAYS_AFTER_MAX", "RAW_TABLE", "AcceptedReading", "RejectedReading"]

RAW_TABLE = "unionpay_inf"

HEADER_CODE, TRAILER_CODE = b"000", b"001"
DETAIL_CODES = (b"300", b"301")
# Only a file of rejections has these.
REJECTION_CODES = frozenset({b"002", b"003"})
KEY_BYTES = 7

# Cards are used without a line to the network, so a record may be old; a year is ours (no source
# states a limit). The one known record is a day later than the date of its header.
PLAUSIBLE_AGE_DAYS = 366
DAYS_AFTER_MAX = 1
REGION_FLAGS = ("0", "1")

_TEXTS = (
    "record_code",
    "transmission_time",
    "trace_number",
    "authorisation_code",
    "authorisation_date",
    "retrieval_reference_number",
    "acquiring_institution_id",
    "forwarding_institution_id",
    "merchant_category_code",
    "terminal_id",
    "merchant_id",
    "reason_code",
    "unionpay_serial_number",
    "receiving_institution_id",
    "issuer_institution_id",
    "transaction_channel",
    "pos_condition_code",
    "region_flag",
    "pos_entry_mode",
    "card_sequence_number",
    "chip_response_code",
    "chip_transaction_type",
)


@dataclass(frozen=True, slots=True)
class _Record:
    """One record: its number (1-based), code and bytes."""

    number: int
    code: bytes
    content: bytes


class _InfReading:
    """Reads `unionpay_inf`: one row a record 300 or 301, fen, unsigned.

    Raises:
        UnreadableFileError: the name states no date, or records cannot be told from one another.
    """

    batch_kind: ClassVar[str]
    codes: ClassVar[frozenset[bytes]] = frozenset()

    def __init__(self, context: FileContext) -> None:
        self._context = context
        self._batch_date = required_date(context)
        self._findings = Findings()
        self._last: _Record | None = None
        self._row_count = 0
        self._total_minor = 0

    def blocks(self, stream: IO[bytes]) -> Iterator[Frames]:
        """Yield the rows block by block; see `Reading`."""
        known = {HEADER_CODE, TRAILER_CODE, *DETAIL_CODES, *self.codes}
        in_order = self._in_order(_records(stream, known))
        details = (record for record in in_order if record.code in DETAIL_CODES)
        for records in batches(details, self._context.block_rows):
            yield {RAW_TABLE: self._frame(self._block(INF_DETAIL, records))}
        if not self._row_count:
            yield {RAW_TABLE: self._frame(self._block(INF_DETAIL, []))}

    def _in_order(self, records: Iterator[_Record]) -> Iterator[_Record]:
        """Pass records on; flag a header or trailer where it has no place, and check the header."""
        for record in records:
            before, self._last = self._last, record
            if before is None:
                self._check_header(record)
            elif before.number > 1 and before.code in {HEADER_CODE, TRAILER_CODE}:
                self._flag(before, "misplaced_record", "a header or trailer inside the batch")
            yield record

    def _check_header(self, record: _Record) -> None:
        if record.code != HEADER_CODE:
            self._flag(record, "no_header", "the first record has to be the header, 000")
        header = self._block(INF_HEADER, [record])
        texts = header.texts(["institution_id", "batch_date"])
        require_keys(header, texts, ("institution_id",))
        header.findings.flag(
            ~(texts["batch_date"] == self._batch_date.strftime("%Y%m%d")).fill_null(False),
            "batch_date",
            "wrong_date",
            f"it has to be the date in the file's name, {self._batch_date}",
        )

    def _flag(self, record: _Record, reason_code: str, reason: str) -> None:
        self._findings.add(BadRow(record.number, "", reason_code, reason))

    def _block(self, layout: Layout, records: Sequence[_Record]) -> FixedWidthBlock:
        """Return those of the records that have the layout's length as a matrix of bytes."""
        fitting = [one for one in records if len(one.content) == layout.length_bytes]
        matrix = np.frombuffer(b"".join(one.content for one in fitting), dtype=np.uint8)
        numbers = np.array([one.number for one in fitting], dtype=np.int64)
        block = FixedWidthBlock(
            layout, matrix.reshape(len(fitting), layout.length_bytes), numbers, self._findings
        )
        block.check_form()
        return block

    def _frame(self, block: FixedWidthBlock) -> pl.DataFrame:
        texts = block.texts(_TEXTS)
        require_keys(block, texts, KEYS_OF_MERCHANT)
        check_codes(block, texts["region_flag"], REGION_FLAGS)
        frame = texts.with_columns(
            blank_zeros("reason_code"),
            pl.Series("line_number", block.line_numbers),
            pl.lit(self.batch_kind).alias("batch_kind"),
            _transmitted_at(block, texts["transmission_time"], self._batch_date),
            _transaction_dates(block, self._batch_date),
            currency_codes(block, "currency").alias("currency_code"),
            _amounts(block),
            signed_minor(block, "own_fee"),
        ).hstack(card_columns(block, self._context))
        self._row_count += len(block)
        self._total_minor += int(frame["amount_minor"].sum())
        return frame

    def finish(self) -> ParsedFile:
        """Return totals and findings of the whole file."""
        if self._last is None:
            raise AssertionError("no record was read")
        if self._last.code != TRAILER_CODE:
            reason = "the last record has to be the trailer, 001; the file seems cut off"
            self._flag(self._last, "no_trailer", reason)
        return ParsedFile(
            frames={},
            row_count=self._row_count,
            accounting_date=self._batch_date,
            counted_total_minor=self._total_minor,
            bad_rows=self._findings.bad_rows,
        )


class AcceptedReading(_InfReading):
    """Reads a file …B."""

    batch_kind = "accepted"


class RejectedReading(_InfReading):
    """Reads a file …R."""

    batch_kind = "rejected"
    codes = REJECTION_CODES


# --- records out of the string --------------------------------------------------------------------


def _records(stream: IO[bytes], codes: set[bytes]) -> Iterator[_Record]:
    """Yield the records in order. The last one may be followed by one line end."""
    end = _end_of(stream)
    number, place = 1, 0
    while place < end:
        key = stream.read(min(KEY_BYTES, end - place))
        length = INF_RECORD_BYTES.get(key)
        if length is None or key[:3] not in codes:
            raise UnreadableFileError(
                "unknown_record", "no known record begins here", line_number=number
            )
        if place + length > end:
            raise UnreadableFileError(
                "truncated",
                f"the record has {end - place} bytes, {length} expected; the file seems cut off",
                line_number=number,
            )
        yield _Record(number, key[:3], key + stream.read(length - len(key)))
        number, place = number + 1, place + length
    if number == 1:
        raise UnreadableFileError("no_header", "an empty batch has a header and a trailer")


def _end_of(stream: IO[bytes]) -> int:
    """Return where the last record ends, and set the stream to its beginning."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - 2))
    last = stream.read(2)
    stream.seek(0)
    return size - len(last) + len(last.removesuffix(b"\n").removesuffix(b"\r"))


# --- values ---------------------------------------------------------------------------------------


def _amounts(block: FixedWidthBlock) -> pl.Series:
    amounts = unsigned_minor(block, "amount")
    block.findings.flag(
        amounts == 0, "amount", "no_amount", "an offline transaction without an amount is none"
    )
    return amounts


def _transmitted_at(block: FixedWidthBlock, texts: pl.Series, batch_date: date) -> pl.Series:
    """Return MMDDhhmmss as the latest such time in Beijing up to a day after the batch's date."""
    latest = datetime.combine(batch_date + timedelta(days=DAYS_AFTER_MAX + 1), time())
    is_time = pl.col("time").str.contains("^[0-9]{10}$")
    candidates = []
    for year in (batch_date.year + 1, batch_date.year, batch_date.year - 1):
        text = pl.when(is_time).then(pl.concat_str([pl.lit(str(year)), pl.col("time")]))
        parsed = text.str.to_datetime("%Y%m%d%H%M%S", strict=False, time_unit="us")
        candidates.append(pl.when(parsed < latest).then(parsed))
    local = texts.to_frame("time").select(pl.coalesce(candidates).alias("transmitted_at"))
    times = local["transmitted_at"]
    block.findings.flag(
        times.is_null(), "transmission_time", "not_a_time", "it has to be MMDDhhmmss"
    )
    earliest = datetime.combine(batch_date - timedelta(days=PLAUSIBLE_AGE_DAYS), time())
    block.findings.flag(
        (times < earliest).fill_null(False),
        "transmission_time",
        "implausible_date",
        f"no record of a batch of {batch_date} is of then",
    )
    return times.dt.replace_time_zone(BUSINESS_TIME_ZONE, ambiguous="earliest", non_existent="null")


def _transaction_dates(block: FixedWidthBlock, batch_date: date) -> pl.Series:
    """Return the date the card's chip was given; it has a year, yymmdd."""
    texts = block.texts(["transaction_date"])["transaction_date"]
    value = pl.col("value")
    digits = pl.when(value.str.contains("^[0-9]{6}$")).then(value)
    dates = (
        texts.to_frame("value")
        .select(digits.str.to_date("%y%m%d", strict=False).alias(texts.name))
        .to_series()
    )
    latest = batch_date + timedelta(days=DAYS_AFTER_MAX)
    block.findings.flag(
        ~(dates <= latest).fill_null(False),
        "transaction_date",
        "not_a_date",
        f"it has to be yymmdd and not after {latest}",
    )
    return dates
