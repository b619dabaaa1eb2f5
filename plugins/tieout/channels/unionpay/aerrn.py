"""UnionPay AERRN: error and dispute transactions of one settlement date.

Format: docs/formats/unionpay-aerrn.md.

No real record of this file was found in public: widths and codes come from three acquirers'
programs and one quoted specification. The format carries no totals.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import polars as pl

from tieout.channels.common.model import FileContext
from tieout.channels.unionpay.common import (
    blank_zeros,
    card_columns,
    check_transmission_times,
    original_dates,
    require_keys,
    transmitted_at,
)
from tieout.channels.unionpay.field_runs import KEYS
from tieout.channels.unionpay.fixed_width import FixedWidthBlock
from tieout.channels.unionpay.fixed_width_reading import FixedWidthReading
from tieout.channels.unionpay.layouts import AERRN

__all__ = ["ADJUSTMENT_CODES", "RAW_TABLE", "AerrnReading", "adjustment_frame", "adjustment_types"]

RAW_TABLE = "unionpay_aerrn"

# code: (our token, our cash: +1 the channel gives us, -1 it takes from us, 0 no money).
# Directions from the acquirer's side (the format's page). E26/E27, E33/E34 and E80 have no token
# yet and are bad rows.
ADJUSTMENT_CODES: Mapping[str, tuple[str, int]] = {
    "E00": ("inquiry", 0),
    "E02": ("inquiry_reply", 0),
    "E04": ("retrieval_request", 0),
    "E05": ("retrieval_fulfilment", 1),
    "E20": ("fee_collection", 1),
    "E22": ("debit_adjustment", 1),
    "E23": ("first_chargeback", -1),
    "E24": ("representment", 1),
    "E25": ("second_chargeback", -1),
    "E28": ("retrieval_request", 0),
    "E29": ("retrieval_fulfilment", -1),
    "E30": ("funds_disbursement", -1),
    "E31": ("exceptional_credit", 1),
    "E32": ("credit_adjustment", -1),
    "E73": ("exceptional_credit", -1),
    "E74": ("manual_refund", -1),
    "E75": ("funds_disbursement", 1),
    "E81": ("issuer_claim", -1),
    "E82": ("acquirer_chargeback", 1),
    "E84": ("manual_refund", -1),
}

_TEXTS = (
    "adjustment_code",
    "acquiring_institution_id",
    "forwarding_institution_id",
    "trace_number",
    "transmission_time",
    "terminal_id",
    "merchant_id",
    "retrieval_reference_number",
    "original_trace_number",
    "original_transmission_time",
    "original_settlement_date",
    "reason_code",
)


class AerrnReading(FixedWidthReading):
    """Reads `unionpay_aerrn`: one row a record, fen, from our cash side."""

    table = RAW_TABLE
    layouts = (AERRN,)
    total = "funds_effect_minor"

    def frame(self, block: FixedWidthBlock) -> pl.DataFrame:
        """Return the table's columns of some records."""
        return adjustment_frame(block, self.context, self.settlement_date)


def adjustment_frame(
    block: FixedWidthBlock, context: FileContext, settlement_date: date
) -> pl.DataFrame:
    """Return the columns of `raw.unionpay_aerrn` from records that have the fields of AERRN.

    What speaks against the records is added to the file's findings.
    """
    texts = block.texts(_TEXTS)
    require_keys(block, texts, KEYS)
    times = transmitted_at(texts["transmission_time"], settlement_date)
    check_transmission_times(block, times, settlement_date)
    return texts.with_columns(
        blank_zeros("original_trace_number"),
        blank_zeros("original_transmission_time"),
        blank_zeros("reason_code"),
        pl.Series("line_number", block.line_numbers),
        times.alias("transmitted_at"),
        original_dates(block, texts, settlement_date),
        pl.lit("CNY").alias("currency_code"),
        *_types_and_money(block, texts["adjustment_code"]),
    ).hstack(card_columns(block, context, is_required=False))


def adjustment_types(block: FixedWidthBlock, codes: pl.Series) -> pl.Series:
    """Return each record's adjustment type; a code that is not known is a finding and NULL."""
    types = codes.replace_strict(
        list(ADJUSTMENT_CODES),
        [token for token, _ in ADJUSTMENT_CODES.values()],
        default=None,
        return_dtype=pl.String,
    )
    block.findings.flag(
        types.is_null(),
        codes.name,
        "unknown_code",
        lambda position: f"adjustment code {codes[position]} is not known",
    )
    return types.alias("adjustment_type")


def _types_and_money(block: FixedWidthBlock, codes: pl.Series) -> list[pl.Series]:
    signs = codes.replace_strict(
        list(ADJUSTMENT_CODES),
        [sign for _, sign in ADJUSTMENT_CODES.values()],
        default=0,
        return_dtype=pl.Int64,
    ).to_numpy()
    types = adjustment_types(block, codes)
    amounts = block.numbers("amount", blank_is_zero=True)
    return [
        types,
        pl.Series("funds_effect_minor", amounts * signs, dtype=pl.Int64),
        *(
            pl.Series(f"{name}_minor", block.numbers(name, blank_is_zero=True))
            for name in (
                "original_amount",
                "interchange_receivable",
                "interchange_payable",
                "fee_receivable",
                "fee_payable",
            )
        ),
    ]
