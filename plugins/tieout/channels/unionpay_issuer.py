"""UnionPay ICOMN, IERRN, ILFEE: the issuer's side of ACOMN, AERRN, ALFEE (formats.md §0.1).

Only the names are public. The layouts are taken to be the acquirer's, which is not verified: see
`unionpay_institution_layouts`. An acquirer's close reads none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date

import polars as pl

from tieout.channels.fixed_width import FixedWidthFile, Layout, read_fixed_width
from tieout.channels.model import BadRow, FileContext, ParsedFile
from tieout.channels.unionpay_acomn import transaction_frame
from tieout.channels.unionpay_aerrn import adjustment_frame
from tieout.channels.unionpay_alfee import brand_fee_frame
from tieout.channels.unionpay_common import misdated_file, required_date
from tieout.channels.unionpay_institution_layouts import ICOMN, ICOMN_34, IERRN, ILFEE

__all__ = ["RAW_TABLES", "parse_adjustments", "parse_brand_fees", "parse_transactions"]

RAW_TABLES = {"icomn": "unionpay_icomn", "ierrn": "unionpay_ierrn", "ilfee": "unionpay_ilfee"}

FrameOf = Callable[[FixedWidthFile, FileContext, date], pl.DataFrame]


def parse_transactions(content: bytes, context: FileContext) -> ParsedFile:
    """Return the table `unionpay_icomn`: one row a record, fen, signed from the merchant's side.

    Raises:
        UnreadableFileError: the name states no settlement date.
    """
    return _parse(
        content,
        context,
        layouts=(ICOMN, ICOMN_34),
        frame_of=transaction_frame,
        file_kind="icomn",
        total="amount_minor",
    )


def parse_adjustments(content: bytes, context: FileContext) -> ParsedFile:
    """Return the table `unionpay_ierrn`: one row a record, fen, amounts without a direction.

    The directions known are the acquirer's (formats.md §1.4.1): an issuer's are not derived.

    Raises:
        UnreadableFileError: the name states no settlement date.
    """
    return _parse(
        content,
        context,
        layouts=(IERRN,),
        frame_of=_adjustments_without_direction,
        file_kind="ierrn",
        total="amount_minor",
        is_dated=False,
    )


def parse_brand_fees(content: bytes, context: FileContext) -> ParsedFile:
    """Return the table `unionpay_ilfee`: one row a record, fen, brand fee + = sign D.

    Raises:
        UnreadableFileError: the name states no settlement date.
    """
    return _parse(
        content,
        context,
        layouts=(ILFEE,),
        frame_of=brand_fee_frame,
        file_kind="ilfee",
        total="brand_fee_minor",
    )


def _parse(
    content: bytes,
    context: FileContext,
    *,
    layouts: Sequence[Layout],
    frame_of: FrameOf,
    file_kind: str,
    total: str,
    is_dated: bool = True,
) -> ParsedFile:
    settlement_date = required_date(context)
    file = read_fixed_width(content, layouts)
    frame = frame_of(file, context, settlement_date)
    misdated: list[BadRow] = []
    if is_dated:
        misdated = misdated_file(frame["transmitted_at"], settlement_date)
    return ParsedFile(
        frames={RAW_TABLES[file_kind]: frame},
        row_count=len(file),
        accounting_date=settlement_date,
        counted_total_minor=int(frame[total].sum()),
        bad_rows=(*file.findings.bad_rows, *misdated),
    )


def _adjustments_without_direction(
    file: FixedWidthFile, context: FileContext, settlement_date: date
) -> pl.DataFrame:
    frame = adjustment_frame(file, context, settlement_date)
    return frame.with_columns(pl.col("funds_effect_minor").abs().alias("amount_minor")).drop(
        "funds_effect_minor"
    )
