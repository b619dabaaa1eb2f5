"""UnionPay ICOMN, IERRN, ILFEE: the issuer's side of ACOMN, AERRN, ALFEE.

Format: docs/formats/unionpay-issuer.md.

Only the names are public. The layouts are taken to be the acquirer's, which is not verified: see
`unionpay_institution_layouts`. An acquirer's close reads none of them.
"""

from __future__ import annotations

import polars as pl

from tieout.channels.unionpay.acomn import transaction_frame
from tieout.channels.unionpay.aerrn import adjustment_frame
from tieout.channels.unionpay.alfee import brand_fee_frame
from tieout.channels.unionpay.fixed_width import FixedWidthBlock
from tieout.channels.unionpay.fixed_width_reading import FixedWidthReading
from tieout.channels.unionpay.institution_layouts import ICOMN, ICOMN_34, IERRN, ILFEE

__all__ = ["RAW_TABLES", "AdjustmentsReading", "BrandFeesReading", "TransactionsReading"]

RAW_TABLES = {"icomn": "unionpay_icomn", "ierrn": "unionpay_ierrn", "ilfee": "unionpay_ilfee"}


class TransactionsReading(FixedWidthReading):
    """Reads `unionpay_icomn`: one row a record, fen, signed from the merchant's side."""

    table = RAW_TABLES["icomn"]
    layouts = (ICOMN, ICOMN_34)
    total = "amount_minor"
    is_dated = True

    def frame(self, block: FixedWidthBlock) -> pl.DataFrame:
        """Return the table's columns of some records."""
        return transaction_frame(block, self.context, self.settlement_date)


class AdjustmentsReading(FixedWidthReading):
    """Reads `unionpay_ierrn`: one row a record, fen, amounts without a direction.

    The directions known are the acquirer's (the format's page): an issuer's are not derived.
    """

    table = RAW_TABLES["ierrn"]
    layouts = (IERRN,)
    total = "amount_minor"

    def frame(self, block: FixedWidthBlock) -> pl.DataFrame:
        """Return the table's columns of some records."""
        frame = adjustment_frame(block, self.context, self.settlement_date)
        return frame.with_columns(pl.col("funds_effect_minor").abs().alias("amount_minor")).drop(
            "funds_effect_minor"
        )


class BrandFeesReading(FixedWidthReading):
    """Reads `unionpay_ilfee`: one row a record, fen, brand fee + = sign D."""

    table = RAW_TABLES["ilfee"]
    layouts = (ILFEE,)
    total = "brand_fee_minor"
    is_dated = True

    def frame(self, block: FixedWidthBlock) -> pl.DataFrame:
        """Return the table's columns of some records."""
        return brand_fee_frame(block, self.context, self.settlement_date)
