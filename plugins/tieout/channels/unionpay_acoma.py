"""UnionPay ACOMA: general transactions under agency clearing 代理清算 (formats.md §1.2).

The first 34 fields are ACOM's. No real record was found. The rows have a table of their own: under
agency clearing UnionPay pays the merchants (inferred from ZPSUM, §1.5), so that no arrival of ours
stands against them.
"""

from __future__ import annotations

import polars as pl

from tieout.channels.fixed_width import FixedWidthFile, read_fixed_width
from tieout.channels.model import FileContext, ParsedFile
from tieout.channels.unionpay_acomn import transaction_frame
from tieout.channels.unionpay_common import misdated_file, required_date
from tieout.channels.unionpay_fields import (
    check_codes,
    check_same_day,
    currency_codes,
    signed_minor,
)
from tieout.channels.unionpay_institution_layouts import ACOMA, SERVICE_ROLES

__all__ = ["RAW_TABLE", "parse"]

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


def parse(content: bytes, context: FileContext) -> ParsedFile:
    """Return the table `unionpay_acoma`: one row a record, amounts in fen, merchant side.

    Fees are + where their sign is D, − where it is C, as written.

    Raises:
        UnreadableFileError: the name states no settlement date.
    """
    settlement_date = required_date(context)
    file = read_fixed_width(content, (ACOMA,))
    frame = (
        transaction_frame(file, context, settlement_date)
        .drop("order_number")
        .with_columns(*_agency_columns(file))
    )
    check_same_day(file, "settlement_date", settlement_date, "%m%d")
    return ParsedFile(
        frames={RAW_TABLE: frame},
        row_count=len(file),
        accounting_date=settlement_date,
        counted_total_minor=int(frame["amount_minor"].sum()),
        bad_rows=(
            *file.findings.bad_rows,
            *misdated_file(frame["transmitted_at"], settlement_date),
        ),
    )


def _agency_columns(file: FixedWidthFile) -> list[pl.Series]:
    texts = file.texts(_TEXTS)
    check_codes(file, texts["reversal_flag"], REVERSAL_FLAGS, may_be_blank=True)
    check_codes(file, texts["void_flag"], VOID_FLAGS, may_be_blank=True)
    return [
        *texts,
        currency_codes(file, "currency").alias("currency_code"),
        *(signed_minor(file, name) for name in _SIGNED),
    ]
