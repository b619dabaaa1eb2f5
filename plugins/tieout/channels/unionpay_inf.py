"""UnionPay INF: offline transactions of IC cards, accepted or rejected (formats.md §1.8).

One string of bytes without separators or line ends: a header, records 300 and 301, a trailer. A
record's line number is its place in the string, the header being 1. Of the trailer, and of the
records 002 and 003 of a file of rejections, only code and length are known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

import numpy as np
import polars as pl

from tieout.channels.fixed_width import FixedWidthFile, Layout
from tieout.channels.model import (
    BUSINESS_TIME_ZONE,
    BadRow,
    FileContext,
    ParsedFile,
    UnreadableFileError,
)
from tieout.channels.unionpay_common import (
    blank_zeros,
    card_columns,
    require_keys,
    required_date,
)
from tieout.channels.unionpay_fields import (
    check_codes,
    currency_codes,
    signed_minor,
    unsigned_minor,
)
from tieout.channels.unionpay_institution_layouts import (
    INF_DETAIL,
    INF_HEADER,
    INF_RECORD_BYTES,
)

__all__ = ["DAYS_AFTER_MAX", "RAW_TABLE", "parse_accepted", "parse_rejected"]

RAW_TABLE = "unionpay_inf"

HEADER_CODE, TRAILER_CODE = b"000", b"001"
DETAIL_CODES = (b"300", b"301")
# Only a file of rejections has these.
REJECTION_CODES = (b"002", b"003")
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
_KEYS = (
    "acquiring_institution_id",
    "forwarding_institution_id",
    "trace_number",
    "transmission_time",
    "merchant_id",
)


@dataclass(frozen=True, slots=True)
class _Record:
    """Where a record lies: its number (1-based), code, first byte and length."""

    number: int
    code: bytes
    start: int
    length_bytes: int


def parse_accepted(content: bytes, context: FileContext) -> ParsedFile:
    """Return the table `unionpay_inf` of a file …B: one row a record 300 or 301, fen, unsigned.

    Raises:
        UnreadableFileError: the name states no date, or records cannot be told from one another.
    """
    return _parse(content, context, batch_kind="accepted", codes=())


def parse_rejected(content: bytes, context: FileContext) -> ParsedFile:
    """Return the table `unionpay_inf` of a file …R; as for accepted ones.

    Raises:
        UnreadableFileError: the name states no date, or records cannot be told from one another.
    """
    return _parse(content, context, batch_kind="rejected", codes=REJECTION_CODES)


def _parse(
    content: bytes, context: FileContext, *, batch_kind: str, codes: Sequence[bytes]
) -> ParsedFile:
    batch_date = required_date(context)
    records = _records(content, {HEADER_CODE, TRAILER_CODE, *DETAIL_CODES, *codes})
    file = _file(content, INF_DETAIL, [one for one in records if one.code in DETAIL_CODES])
    header = _file(content, INF_HEADER, records[:1])
    texts = file.texts(_TEXTS)
    require_keys(file, texts, _KEYS)
    check_codes(file, texts["region_flag"], REGION_FLAGS)
    frame = texts.with_columns(
        blank_zeros("reason_code"),
        pl.Series("line_number", file.line_numbers),
        pl.lit(batch_kind).alias("batch_kind"),
        _transmitted_at(file, texts["transmission_time"], batch_date),
        _transaction_dates(file, batch_date),
        currency_codes(file, "currency").alias("currency_code"),
        _amounts(file),
        signed_minor(file, "own_fee"),
    ).hstack(card_columns(file, context))
    return ParsedFile(
        frames={RAW_TABLE: frame},
        row_count=len(file),
        accounting_date=batch_date,
        counted_total_minor=int(frame["amount_minor"].sum()),
        bad_rows=(
            *_header_problems(header, batch_date),
            *_order_problems(records),
            *file.findings.bad_rows,
        ),
    )


# --- records out of the string --------------------------------------------------------------------


def _records(content: bytes, codes: set[bytes]) -> list[_Record]:
    """Return the records in order. The last one may be followed by one line end."""
    end = len(content.removesuffix(b"\n").removesuffix(b"\r"))
    records: list[_Record] = []
    start = 0
    while start < end:
        key, number = content[start : start + KEY_BYTES], len(records) + 1
        length = INF_RECORD_BYTES.get(key)
        if length is None or key[:3] not in codes:
            raise UnreadableFileError(
                "unknown_record", "no known record begins here", line_number=number
            )
        if start + length > end:
            raise UnreadableFileError(
                "truncated",
                f"the record has {end - start} bytes, {length} expected; the file seems cut off",
                line_number=number,
            )
        records.append(_Record(number, key[:3], start, length))
        start += length
    if not records:
        raise UnreadableFileError("no_header", "an empty batch has a header and a trailer")
    return records


def _file(content: bytes, layout: Layout, records: Sequence[_Record]) -> FixedWidthFile:
    """Return records of one length as a matrix of bytes."""
    fitting = [one for one in records if one.length_bytes == layout.length_bytes]
    starts = np.array([one.start for one in fitting], dtype=np.int64)
    everything = np.frombuffer(content, dtype=np.uint8)
    places = starts[:, np.newaxis] + np.arange(layout.length_bytes, dtype=np.int64)
    numbers = np.array([one.number for one in fitting], dtype=np.int64)
    file = FixedWidthFile(layout, everything[places], numbers)
    file.check_form()
    return file


def _order_problems(records: Sequence[_Record]) -> list[BadRow]:
    """Return findings where the string does not begin and end as it has to, once each."""
    problems = []
    codes = [one.code for one in records]
    if codes[0] != HEADER_CODE:
        problems.append(BadRow(1, "", "no_header", "the first record has to be the header, 000"))
    if codes[-1] != TRAILER_CODE:
        reason = "the last record has to be the trailer, 001; the file seems cut off"
        problems.append(BadRow(records[-1].number, "", "no_trailer", reason))
    between = [one for one in records[1:-1] if one.code in {HEADER_CODE, TRAILER_CODE}]
    problems += [
        BadRow(one.number, "", "misplaced_record", "a header or trailer inside the batch")
        for one in between
    ]
    return problems


def _header_problems(header: FixedWidthFile, batch_date: date) -> list[BadRow]:
    texts = header.texts(["institution_id", "batch_date"])
    require_keys(header, texts, ("institution_id",))
    header.findings.flag(
        ~(texts["batch_date"] == batch_date.strftime("%Y%m%d")).fill_null(False),
        "batch_date",
        "wrong_date",
        f"it has to be the date in the file's name, {batch_date}",
    )
    return header.findings.bad_rows


# --- values ---------------------------------------------------------------------------------------


def _amounts(file: FixedWidthFile) -> pl.Series:
    amounts = unsigned_minor(file, "amount")
    file.findings.flag(
        amounts == 0, "amount", "no_amount", "an offline transaction without an amount is none"
    )
    return amounts


def _transmitted_at(file: FixedWidthFile, texts: pl.Series, batch_date: date) -> pl.Series:
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
    file.findings.flag(
        times.is_null(), "transmission_time", "not_a_time", "it has to be MMDDhhmmss"
    )
    earliest = datetime.combine(batch_date - timedelta(days=PLAUSIBLE_AGE_DAYS), time())
    file.findings.flag(
        (times < earliest).fill_null(False),
        "transmission_time",
        "implausible_date",
        f"no record of a batch of {batch_date} is of then",
    )
    return times.dt.replace_time_zone(BUSINESS_TIME_ZONE, ambiguous="earliest", non_existent="null")


def _transaction_dates(file: FixedWidthFile, batch_date: date) -> pl.Series:
    """Return the date the card's chip was given; it has a year, yymmdd."""
    texts = file.texts(["transaction_date"])["transaction_date"]
    value = pl.col("value")
    digits = pl.when(value.str.contains("^[0-9]{6}$")).then(value)
    dates = (
        texts.to_frame("value")
        .select(digits.str.to_date("%y%m%d", strict=False).alias(texts.name))
        .to_series()
    )
    latest = batch_date + timedelta(days=DAYS_AFTER_MAX)
    file.findings.flag(
        ~(dates <= latest).fill_null(False),
        "transaction_date",
        "not_a_date",
        f"it has to be yymmdd and not after {latest}",
    )
    return dates
