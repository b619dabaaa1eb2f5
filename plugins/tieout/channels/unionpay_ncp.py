"""UnionPay NCP: online debit and credit payments 无卡业务转接清算 (formats.md §1.9).

COMTRX holds the transactions, ERRTRX errors and disputes. The first line is a version, and no
totals follow. No real record was found; a record's whole length is not known either.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import polars as pl

from tieout.channels.fixed_width import FixedWidthFile, Layout, read_fixed_width
from tieout.channels.model import FileContext, ParsedFile, UnreadableFileError
from tieout.channels.unionpay_aerrn import adjustment_types
from tieout.channels.unionpay_common import blank_zeros, require_keys, required_date
from tieout.channels.unionpay_fields import (
    account_tokens,
    check_codes,
    check_same_day,
    signed_minor,
    unsigned_minor,
)
from tieout.channels.unionpay_institution_layouts import NCP_COMTRX, NCP_ERRTRX

__all__ = ["TRANSACTION_CODES", "parse_errors", "parse_transactions"]

TRANSACTIONS_TABLE = "unionpay_ncp_comtrx"
ERRORS_TABLE = "unionpay_ncp_errtrx"

# 借记支付, 贷记支付, 退款.
TRANSACTION_CODES: Mapping[str, str] = {
    "1001": "debit_payment",
    "1002": "debit_payment",
    "1003": "debit_payment",
    "1101": "credit_payment",
    "2001": "refund",
}
# A version is short: a record in its place means that the line is missing.
VERSION_BYTES_MAX = 64

_TEXTS = (
    "transaction_code",
    "transaction_id",
    "business_kind",
    "original_transaction_id",
    "sending_institution_id",
    "payer_institution_id",
    "payer_account_type",
    "payee_institution_id",
    "payee_account_type",
    "reserve_bank_id",
    "product_type",
    "merchant_id",
    "merchant_category_code",
    "sub_merchant_id",
    "sub_merchant_category_code",
    "terminal_type",
)
_ACCOUNTS = ("payer_account", "payee_account", "reserve_account", "agreement_number")


def parse_transactions(content: bytes, context: FileContext) -> ParsedFile:
    """Return the table `unionpay_ncp_comtrx`: one row a record, fen, amounts unsigned.

    Raises:
        UnreadableFileError: no settlement date in the name, or no version line.
    """
    settlement_date = required_date(context)
    file = _read(content, NCP_COMTRX)
    frame = _frame(file, context, settlement_date).with_columns(file.gbk_text("order_number"))
    return _parsed(file, frame, settlement_date, TRANSACTIONS_TABLE)


def parse_errors(content: bytes, context: FileContext) -> ParsedFile:
    """Return the table `unionpay_ncp_errtrx`: one row a record, fen, amounts unsigned.

    Raises:
        UnreadableFileError: no settlement date in the name, or no version line.
    """
    settlement_date = required_date(context)
    file = _read(content, NCP_ERRTRX)
    texts = file.texts(["adjustment_code", "reason_code"])
    frame = _frame(file, context, settlement_date).with_columns(
        texts["adjustment_code"],
        adjustment_types(file, texts["adjustment_code"]),
        texts.select(blank_zeros("reason_code")).to_series(),
        signed_minor(file, "dispute_fee"),
    )
    return _parsed(file, frame, settlement_date, ERRORS_TABLE)


def _read(content: bytes, layout: Layout) -> FixedWidthFile:
    """Take the version off and cut the rest into records; line numbers are the file's."""
    version, _, records = content.partition(b"\n")
    version = version.strip()
    if not version or len(version) > VERSION_BYTES_MAX or not version.isascii():
        raise UnreadableFileError(
            "no_version", "the first line has to be the version of the form", line_number=1
        )
    return read_fixed_width(records, (layout,), first_line_number=2)


def _frame(file: FixedWidthFile, context: FileContext, settlement_date: date) -> pl.DataFrame:
    """Return what both files have. Accounts and agreements become tokens."""
    texts = file.texts(_TEXTS)
    require_keys(file, texts, ("transaction_id",))
    check_codes(file, texts["transaction_code"], TRANSACTION_CODES)
    check_same_day(file, "settlement_date", settlement_date, "%Y%m%d")
    kinds = texts["transaction_code"].replace_strict(
        list(TRANSACTION_CODES),
        list(TRANSACTION_CODES.values()),
        default=None,
        return_dtype=pl.String,
    )
    return texts.with_columns(
        blank_zeros("original_transaction_id"),
        pl.Series("line_number", file.line_numbers),
        kinds.alias("transaction_type"),
        file.gbk_text("channel_institution"),
        pl.lit("CNY").alias("currency_code"),
        *_money(file),
        *account_tokens(file, _ACCOUNTS, context.vault),
    )


def _money(file: FixedWidthFile) -> list[pl.Series]:
    amounts = unsigned_minor(file, "amount")
    file.findings.flag(amounts == 0, "amount", "no_amount", "a payment without an amount is none")
    return [
        amounts,
        unsigned_minor(file, "original_amount", blank_is_zero=True),
        signed_minor(file, "network_fee"),
        signed_minor(file, "brand_fee"),
        unsigned_minor(file, "participation_fee_payable", blank_is_zero=True),
        unsigned_minor(file, "participation_fee_receivable", blank_is_zero=True),
    ]


def _parsed(
    file: FixedWidthFile, frame: pl.DataFrame, settlement_date: date, table: str
) -> ParsedFile:
    return ParsedFile(
        frames={table: frame},
        row_count=len(file),
        accounting_date=settlement_date,
        counted_total_minor=int(frame["amount_minor"].sum()),
        bad_rows=tuple(file.findings.bad_rows),
    )
