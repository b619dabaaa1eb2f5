"""UnionPay NCP: online debit and credit payments 无卡业务转接清算.

Format: docs/formats/unionpay-ncp.md.

COMTRX holds the transactions, ERRTRX errors and disputes. The first line is a version, and no
totals follow. No real record was found; a record's whole length is not known either.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import IO

import polars as pl

from tieout.channels.common.model import FileContext, UnreadableFileError
from tieout.channels.unionpay.aerrn import adjustment_types
from tieout.channels.unionpay.common import blank_zeros, require_keys
from tieout.channels.unionpay.fields import (
    account_tokens,
    check_codes,
    check_same_day,
    signed_minor,
    unsigned_minor,
)
from tieout.channels.unionpay.fixed_width import FixedWidthBlock
from tieout.channels.unionpay.fixed_width_reading import FixedWidthReading
from tieout.channels.unionpay.institution_layouts import NCP_COMTRX, NCP_ERRTRX

__all__ = ["TRANSACTION_CODES", "ErrorsReading", "TransactionsReading"]

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


class _NcpReading(FixedWidthReading):
    """Reads records behind a line that says the version of the form.

    Raises:
        UnreadableFileError: no settlement date in the name, or no version line.
    """

    total = "amount_minor"

    def first_line_number(self, stream: IO[bytes]) -> int:
        """Take the version off; line numbers are the file's."""
        stream.seek(0)
        version = stream.readline().strip()
        if not version or len(version) > VERSION_BYTES_MAX or not version.isascii():
            raise UnreadableFileError(
                "no_version", "the first line has to be the version of the form", line_number=1
            )
        return 2


class TransactionsReading(_NcpReading):
    """Reads `unionpay_ncp_comtrx`: one row a record, fen, amounts unsigned."""

    table = TRANSACTIONS_TABLE
    layouts = (NCP_COMTRX,)

    def frame(self, block: FixedWidthBlock) -> pl.DataFrame:
        """Return the table's columns of some records."""
        frame = _frame(block, self.context, self.settlement_date)
        return frame.with_columns(block.gbk_text("order_number"))


class ErrorsReading(_NcpReading):
    """Reads `unionpay_ncp_errtrx`: one row a record, fen, amounts unsigned."""

    table = ERRORS_TABLE
    layouts = (NCP_ERRTRX,)

    def frame(self, block: FixedWidthBlock) -> pl.DataFrame:
        """Return the table's columns of some records."""
        texts = block.texts(["adjustment_code", "reason_code"])
        return _frame(block, self.context, self.settlement_date).with_columns(
            texts["adjustment_code"],
            adjustment_types(block, texts["adjustment_code"]),
            texts.select(blank_zeros("reason_code")).to_series(),
            signed_minor(block, "dispute_fee"),
        )


def _frame(block: FixedWidthBlock, context: FileContext, settlement_date: date) -> pl.DataFrame:
    """Return what both files have. Accounts and agreements become tokens."""
    texts = block.texts(_TEXTS)
    require_keys(block, texts, ("transaction_id",))
    check_codes(block, texts["transaction_code"], TRANSACTION_CODES)
    check_same_day(block, "settlement_date", settlement_date, "%Y%m%d")
    kinds = texts["transaction_code"].replace_strict(
        list(TRANSACTION_CODES),
        list(TRANSACTION_CODES.values()),
        default=None,
        return_dtype=pl.String,
    )
    return texts.with_columns(
        blank_zeros("original_transaction_id"),
        pl.Series("line_number", block.line_numbers),
        kinds.alias("transaction_type"),
        block.gbk_text("channel_institution"),
        pl.lit("CNY").alias("currency_code"),
        *_money(block),
        *account_tokens(block, _ACCOUNTS, context.vault),
    )


def _money(block: FixedWidthBlock) -> list[pl.Series]:
    amounts = unsigned_minor(block, "amount")
    block.findings.flag(amounts == 0, "amount", "no_amount", "a payment without an amount is none")
    return [
        amounts,
        unsigned_minor(block, "original_amount", blank_is_zero=True),
        signed_minor(block, "network_fee"),
        signed_minor(block, "brand_fee"),
        unsigned_minor(block, "participation_fee_payable", blank_is_zero=True),
        unsigned_minor(block, "participation_fee_receivable", blank_is_zero=True),
    ]
