"""UnionPay AERRA: errors and disputes under agency clearing 代理清算 (formats.md §1.4, its tail).

The first fields are AERRN's. Two forms are known, of 2017 and 2020, and their ends only by widths
that two programs give differently: the record's length says which form a file has.
"""

from __future__ import annotations

import polars as pl

from tieout.channels.fixed_width import FixedWidthFile, read_fixed_width
from tieout.channels.model import FileContext, ParsedFile
from tieout.channels.unionpay_aerrn import adjustment_frame
from tieout.channels.unionpay_common import required_date
from tieout.channels.unionpay_fields import signed_minor
from tieout.channels.unionpay_institution_layouts import AERRA_2017, AERRA_2020, SERVICE_ROLES

__all__ = ["RAW_TABLE", "parse"]

RAW_TABLE = "unionpay_aerra"

_TEXTS = ("original_transaction_type", "merchant_settlement_bank_id")
_SIGNED = ("merchant_fee", "settlement_bank_fee")


def parse(content: bytes, context: FileContext) -> ParsedFile:
    """Return the table `unionpay_aerra`: one row a record, fen, from our cash side.

    Fees of the tail are + where their sign is D, − where it is C, as written; what the form of
    2017 does not have is NULL.

    Raises:
        UnreadableFileError: the name states no settlement date.
    """
    settlement_date = required_date(context)
    file = read_fixed_width(content, (AERRA_2020, AERRA_2017))
    frame = adjustment_frame(file, context, settlement_date).with_columns(
        *file.texts(_TEXTS),
        *(signed_minor(file, name) for name in _SIGNED),
        *_columns_of_2020(file),
    )
    return ParsedFile(
        frames={RAW_TABLE: frame},
        row_count=len(file),
        accounting_date=settlement_date,
        counted_total_minor=int(frame["funds_effect_minor"].sum()),
        bad_rows=tuple(file.findings.bad_rows),
    )


def _columns_of_2020(file: FixedWidthFile) -> list[pl.Series]:
    """Return the form's year, and what only the later form has."""
    institutions = [f"service_role_{role}_institution_id" for role in SERVICE_ROLES]
    fees = [f"service_role_{role}_fee" for role in SERVICE_ROLES]
    rows = len(file)
    if "order_number" not in file.layout.widths:
        nothing = dict.fromkeys(["order_number", *institutions], pl.String())
        return [
            pl.Series("form_year", [2017] * rows, dtype=pl.Int32),
            *(pl.Series(name, [None] * rows, dtype=kind) for name, kind in nothing.items()),
            *(pl.Series(f"{name}_minor", [None] * rows, dtype=pl.Int64) for name in fees),
        ]
    return [
        pl.Series("form_year", [2020] * rows, dtype=pl.Int32),
        file.gbk_text("order_number"),
        *file.texts(institutions),
        *(signed_minor(file, name) for name in fees),
    ]
