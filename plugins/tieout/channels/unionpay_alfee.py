"""UnionPay ALFEE: the brand service fee of each transaction (formats.md §1.3). No totals inside."""

from __future__ import annotations

from datetime import date

import polars as pl

from tieout.channels.fixed_width import FixedWidthFile, read_fixed_width
from tieout.channels.model import FileContext, ParsedFile
from tieout.channels.unionpay_common import (
    card_columns,
    check_kinds,
    check_transmission_times,
    misdated_file,
    require_keys,
    required_date,
    transaction_types,
    transmitted_at,
)
from tieout.channels.unionpay_layouts import ALFEE

__all__ = ["RAW_TABLE", "brand_fee_frame", "parse"]

RAW_TABLE = "unionpay_alfee"

_TEXTS = (
    "acquiring_institution_id",
    "forwarding_institution_id",
    "trace_number",
    "transmission_time",
    "message_type",
    "processing_code",
    "pos_condition_code",
    "terminal_id",
    "merchant_id",
    "retrieval_reference_number",
)
_KEYS = (
    "acquiring_institution_id",
    "forwarding_institution_id",
    "trace_number",
    "transmission_time",
)


def parse(content: bytes, context: FileContext) -> ParsedFile:
    """Return the table `unionpay_alfee`: one row a record, fen, brand fee + = the acquirer pays.

    Raises:
        UnreadableFileError: the name states no settlement date.
    """
    settlement_date = required_date(context)
    file = read_fixed_width(content, (ALFEE,))
    frame = brand_fee_frame(file, context, settlement_date)
    return ParsedFile(
        frames={RAW_TABLE: frame},
        row_count=len(file),
        accounting_date=settlement_date,
        counted_total_minor=int(frame["brand_fee_minor"].sum()),
        bad_rows=(
            *file.findings.bad_rows,
            *misdated_file(frame["transmitted_at"], settlement_date),
        ),
    )


def brand_fee_frame(
    file: FixedWidthFile, context: FileContext, settlement_date: date
) -> pl.DataFrame:
    """Return the columns of `raw.unionpay_alfee` from records that have the fields of ALFEE.

    What speaks against the records is added to the file's findings.
    """
    texts = file.texts(_TEXTS)
    require_keys(file, texts, _KEYS)
    check_kinds(file, texts, transaction_types(texts))
    times = transmitted_at(texts["transmission_time"], settlement_date)
    check_transmission_times(file, times, settlement_date)
    brand_fee, unsigned = file.signed_numbers("brand_fee")
    file.findings.flag(
        unsigned, "brand_fee", "missing_sign", "the sign is blank, so the direction is not known"
    )
    return (
        texts.drop("pos_condition_code")
        .with_columns(
            pl.Series("line_number", file.line_numbers),
            times.alias("transmitted_at"),
            pl.lit("CNY").alias("currency_code"),
            pl.Series("amount_minor", file.numbers("amount")),
            pl.Series("brand_fee_minor", brand_fee),
        )
        .hstack(card_columns(file, context))
    )
