"""UnionPay ACOMN: the acquirer's general transactions of one settlement date.

Format: docs/formats/unionpay-acomn.md.

The format carries no totals: the bank's arrival is what proves it.
"""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl

from tieout.channels.common.model import FileContext
from tieout.channels.unionpay.common import (
    EFFECT_SIGNS,
    blank_zeros,
    card_columns,
    check_kinds,
    check_transmission_times,
    require_keys,
    transaction_types,
    transmitted_at,
)
from tieout.channels.unionpay.field_runs import KEYS_OF_MERCHANT, MESSAGE_TEXTS
from tieout.channels.unionpay.fixed_width import FixedWidthBlock
from tieout.channels.unionpay.fixed_width_reading import FixedWidthReading
from tieout.channels.unionpay.layouts import ACOMN, ACOMN_34

__all__ = ["RAW_TABLE", "AcomnReading", "transaction_frame"]

RAW_TABLE = "unionpay_acomn"

# Approved. Another code in a file of cleared transactions is something we have not understood.
RESPONSE_CODES = ("00",)
REGION_FLAGS = ("0", "1")

_TEXTS = (
    *MESSAGE_TEXTS,
    "issuer_institution_id",
    "region_flag",
    "original_trace_number",
    "original_transmission_time",
)


class AcomnReading(FixedWidthReading):
    """Reads `unionpay_acomn`: one row a record, amounts in fen, merchant side."""

    table = RAW_TABLE
    layouts = (ACOMN, ACOMN_34)
    total = "amount_minor"
    is_dated = True

    def frame(self, block: FixedWidthBlock) -> pl.DataFrame:
        """Return the table's columns of some records."""
        return transaction_frame(block, self.context, self.settlement_date)


def transaction_frame(
    block: FixedWidthBlock, context: FileContext, settlement_date: date
) -> pl.DataFrame:
    """Return the columns of `raw.unionpay_acomn` from records that have the fields of ACOM.

    What speaks against the records is added to the file's findings.
    """
    texts = block.texts(_TEXTS)
    require_keys(block, texts, KEYS_OF_MERCHANT)
    kinds = transaction_types(texts)
    check_kinds(block, texts, kinds)
    _check_codes(block, texts)
    times = transmitted_at(texts["transmission_time"], settlement_date)
    check_transmission_times(block, times, settlement_date)
    return texts.with_columns(
        blank_zeros("original_trace_number"),
        blank_zeros("original_transmission_time"),
        pl.Series("line_number", block.line_numbers),
        times.alias("transmitted_at"),
        kinds.alias("transaction_type"),
        _order_numbers(block),
        pl.lit("CNY").alias("currency_code"),
        *_money(block, kinds),
    ).hstack(card_columns(block, context))


def _check_codes(block: FixedWidthBlock, texts: pl.DataFrame) -> None:
    for name, known in (("response_code", RESPONSE_CODES), ("region_flag", REGION_FLAGS)):
        values = texts[name]
        unknown = ~values.is_in(list(known)).fill_null(False)
        block.findings.flag(
            unknown,
            name,
            "unknown_code",
            lambda position, name=name, values=values: f"{name} {values[position]} is not known",  # type: ignore[misc]
        )


def _order_numbers(block: FixedWidthBlock) -> pl.Series:
    """Return the order numbers; the form of 34 fields has none."""
    if "order_number" not in block.layout.widths:
        return pl.Series("order_number", [None] * len(block), dtype=pl.String)
    return block.gbk_text("order_number")


def _money(block: FixedWidthBlock, kinds: pl.Series) -> list[pl.Series]:
    """Return the amounts in fen: the transaction signed for the merchant, fees as the format says.

    The network fee is + where the acquirer pays. Its sign may be blank (seen on a real sale): a
    sale's fee is paid; for anything else a blank sign proves nothing.
    """
    signs = kinds.replace_strict(
        list(EFFECT_SIGNS), list(EFFECT_SIGNS.values()), default=0, return_dtype=pl.Int64
    ).to_numpy()
    amounts = block.numbers("amount")
    block.findings.flag(
        (amounts == 0) & (signs != 0),
        "amount",
        "no_amount",
        "a transaction that moves money has none",
    )
    network_fee, unsigned = block.signed_numbers("network_fee")
    block.findings.flag(
        unsigned & (signs <= 0) if len(block) else np.zeros(0, dtype=bool),
        "network_fee",
        "missing_sign",
        "the sign is blank, and only of a sale is its direction known",
    )
    return [
        pl.Series("amount_minor", amounts * signs, dtype=pl.Int64),
        pl.Series(
            "interchange_receivable_minor",
            block.numbers("interchange_receivable", blank_is_zero=True),
        ),
        pl.Series(
            "interchange_payable_minor", block.numbers("interchange_payable", blank_is_zero=True)
        ),
        pl.Series("network_fee_minor", network_fee),
    ]
