"""UnionPay ALFEE: the brand service fee of each transaction.

No totals inside. Format: docs/formats/unionpay-alfee.md.
"""

from __future__ import annotations

from datetime import date

import polars as pl

from tieout.channels.common.model import FileContext
from tieout.channels.unionpay.common import (
    card_columns,
    check_kinds,
    check_transmission_times,
    require_keys,
    transaction_types,
    transmitted_at,
)
from tieout.channels.unionpay.field_runs import KEYS
from tieout.channels.unionpay.fixed_width import FixedWidthBlock
from tieout.channels.unionpay.fixed_width_reading import FixedWidthReading
from tieout.channels.unionpay.layouts import ALFEE

__all__ = ["RAW_TABLE", "AlfeeReading", "brand_fee_frame"]

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


class AlfeeReading(FixedWidthReading):
    """Reads `unionpay_alfee`: one row a record, fen, brand fee + = the acquirer pays."""

    table = RAW_TABLE
    layouts = (ALFEE,)
    total = "brand_fee_minor"
    is_dated = True

    def frame(self, block: FixedWidthBlock) -> pl.DataFrame:
        """Return the table's columns of some records."""
        return brand_fee_frame(block, self.context, self.settlement_date)


def brand_fee_frame(
    block: FixedWidthBlock, context: FileContext, settlement_date: date
) -> pl.DataFrame:
    """Return the columns of `raw.unionpay_alfee` from records that have the fields of ALFEE.

    What speaks against the records is added to the file's findings.
    """
    texts = block.texts(_TEXTS)
    require_keys(block, texts, KEYS)
    check_kinds(block, texts, transaction_types(texts))
    times = transmitted_at(texts["transmission_time"], settlement_date)
    check_transmission_times(block, times, settlement_date)
    brand_fee, unsigned = block.signed_numbers("brand_fee")
    block.findings.flag(
        unsigned, "brand_fee", "missing_sign", "the sign is blank, so the direction is not known"
    )
    return (
        texts.drop("pos_condition_code")
        .with_columns(
            pl.Series("line_number", block.line_numbers),
            times.alias("transmitted_at"),
            pl.lit("CNY").alias("currency_code"),
            pl.Series("amount_minor", block.numbers("amount")),
            pl.Series("brand_fee_minor", brand_fee),
        )
        .hstack(card_columns(block, context))
    )
