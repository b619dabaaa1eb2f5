"""UnionPay AERRA: errors and disputes under agency clearing 代理清算.

Format: docs/formats/unionpay-aerra.md.

The first fields are AERRN's. Two forms are known, of 2017 and 2020, and their ends only by widths
that two programs give differently: the record's length says which form a file has.
"""

from __future__ import annotations

import polars as pl

from tieout.channels.unionpay.aerrn import adjustment_frame
from tieout.channels.unionpay.fields import signed_minor
from tieout.channels.unionpay.fixed_width import FixedWidthBlock
from tieout.channels.unionpay.fixed_width_reading import FixedWidthReading
from tieout.channels.unionpay.institution_layouts import (
    AERRA_2017,
    AERRA_2020,
    SERVICE_ROLES,
)

__all__ = ["RAW_TABLE", "AerraReading"]

RAW_TABLE = "unionpay_aerra"

_TEXTS = ("original_transaction_type", "merchant_settlement_bank_id")
_SIGNED = ("merchant_fee", "settlement_bank_fee")


class AerraReading(FixedWidthReading):
    """Reads `unionpay_aerra`: one row a record, fen, from our cash side.

    Fees of the tail are + where their sign is D, − where it is C, as written; what the form of
    2017 does not have is NULL.
    """

    table = RAW_TABLE
    layouts = (AERRA_2020, AERRA_2017)
    total = "funds_effect_minor"

    def frame(self, block: FixedWidthBlock) -> pl.DataFrame:
        """Return the table's columns of some records."""
        frame = adjustment_frame(block, self.context, self.settlement_date)
        return frame.with_columns(
            *block.texts(_TEXTS),
            *(signed_minor(block, name) for name in _SIGNED),
            *_columns_of_2020(block),
        )


def _columns_of_2020(block: FixedWidthBlock) -> list[pl.Series]:
    """Return the form's year, and what only the later form has."""
    institutions = [f"service_role_{role}_institution_id" for role in SERVICE_ROLES]
    fees = [f"service_role_{role}_fee" for role in SERVICE_ROLES]
    rows = len(block)
    if "order_number" not in block.layout.widths:
        nothing = dict.fromkeys(["order_number", *institutions], pl.String())
        return [
            pl.Series("form_year", [2017] * rows, dtype=pl.Int32),
            *(pl.Series(name, [None] * rows, dtype=kind) for name, kind in nothing.items()),
            *(pl.Series(f"{name}_minor", [None] * rows, dtype=pl.Int64) for name in fees),
        ]
    return [
        pl.Series("form_year", [2020] * rows, dtype=pl.Int32),
        block.gbk_text("order_number"),
        *block.texts(institutions),
        *(signed_minor(block, name) for name in fees),
    ]
