"""UnionPay ACOMA: general transactions under agency clearing 代理清算.

Format: docs/formats/unionpay-acoma.md.

The first 34 fields are ACOM's. No real record was found. The rows have a table of their own: under
agency clearing UnionPay pays the merchants (inferred from ZPSUM, §1.5), so that no arrival of ours
stands against them.
"""

from __future__ import annotations

import polars as pl

from tieout.channels.unionpay.acomn import transaction_frame
from tieout.channels.unionpay.fields import (
    check_codes,
    check_same_day,
    currency_codes,
    signed_minor,
)
from tieout.channels.unionpay.fixed_width import FixedWidthBlock
from tieout.channels.unionpay.fixed_width_reading import FixedWidthReading
from tieout.channels.unionpay.institution_layouts import ACOMA, SERVICE_ROLES

__all__ = ["RAW_TABLE", "AcomaReading"]

RAW_TABLE = "unionpay_acoma"

# R: reversed, or the reversal itself; A: the original (one public program). Blank: neither.
REVERSAL_FLAGS = ("R", "A")
# C: voided, or the void itself. A as above (inferred).
VOID_FLAGS = ("C", "A")
_TEXTS = (
    "sender_clearing_institution_id",
    "receiver_clearing_institution_id",
    "reversal_flag",
    "void_flag",
    "clearing_session_number",
    "merchant_settlement_bank_id",
    *(f"service_role_{role}_institution_id" for role in SERVICE_ROLES),
)
_SIGNED = (
    "automatic_discount_fee",
    "merchant_fee",
    "settlement_bank_fee",
    *(f"service_role_{role}_fee" for role in SERVICE_ROLES),
    "custom_fee_1",
    "custom_fee_2",
    "custom_fee_3",
)


class AcomaReading(FixedWidthReading):
    """Reads `unionpay_acoma`: one row a record, amounts in fen, merchant side.

    Fees are + where their sign is D, − where it is C, as written.
    """

    table = RAW_TABLE
    layouts = (ACOMA,)
    total = "amount_minor"
    is_dated = True

    def frame(self, block: FixedWidthBlock) -> pl.DataFrame:
        """Return the table's columns of some records."""
        check_same_day(block, "settlement_date", self.settlement_date, "%m%d")
        return (
            transaction_frame(block, self.context, self.settlement_date)
            .drop("order_number")
            .with_columns(*_agency_columns(block))
        )


def _agency_columns(block: FixedWidthBlock) -> list[pl.Series]:
    texts = block.texts(_TEXTS)
    check_codes(block, texts["reversal_flag"], REVERSAL_FLAGS, may_be_blank=True)
    check_codes(block, texts["void_flag"], VOID_FLAGS, may_be_blank=True)
    return [
        *texts,
        currency_codes(block, "currency").alias("currency_code"),
        *(signed_minor(block, name) for name in _SIGNED),
    ]
