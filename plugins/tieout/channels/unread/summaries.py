"""UnionPay ZSUM and ZPSUM: a merchant's totals, and what is transferred to it.

Format: docs/formats/unionpay-merchant-totals.md.

For merchants for whom UnionPay clears itself (代理清算). No real file was found in public: widths
come from one acquirer's programs. X+n12 is read as + where the merchant receives (C), which is
inferred; what the totals are made of is not known, so nothing is added up here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from tieout.channels.common.bill_values import tokens
from tieout.channels.common.model import FileContext
from tieout.channels.unionpay.common import blank_zeros, require_keys
from tieout.channels.unionpay.fixed_width import FixedWidthBlock
from tieout.channels.unionpay.fixed_width_reading import FixedWidthReading
from tieout.channels.unionpay.layouts import ZPSUM, ZSUM
from tieout.core.masks import mask_account

__all__ = [
    "FUND_TRANSFERS_TABLE",
    "MERCHANT_TOTALS_TABLE",
    "FundTransfersReading",
    "MerchantTotalsReading",
]

MERCHANT_TOTALS_TABLE, FUND_TRANSFERS_TABLE = "unionpay_zsum", "unionpay_zpsum"

# One line a merchant, and in ZPSUM one a merchant and code: inferred from what the files are for.
_TOTALS_KEY = ("merchant_id",)
_TRANSFERS_KEY = ("merchant_id", "code_2")

_TOTALS_AMOUNTS = ("amount", "fee", "net_amount")
_TRANSFERS_TEXTS = (
    "merchant_id",
    "code_2",
    "bank_code",
    "second_bank_code",
    "region_code",
    "flag_19",
    "responsible_party",
    "make_up_type",
)
_TRANSFERS_AMOUNTS = (
    "amount",
    "fee",
    "adjustment_amount",
    "adjustment_fee",
    "other_amount",
    "settlement_total",
    "offset_amount",
    "amount_20",
    "amount_21",
    "amount_22",
    "credited_amount",
)


class MerchantTotalsReading(FixedWidthReading):
    """Reads `unionpay_zsum`: one row a merchant, amounts in fen, + it receives."""

    table = MERCHANT_TOTALS_TABLE
    layouts = (ZSUM,)
    total = "net_amount_minor"
    key = _TOTALS_KEY

    def frame(self, block: FixedWidthBlock) -> pl.DataFrame:
        """Return the table's columns of some lines."""
        texts = block.texts(["merchant_id"])
        require_keys(block, texts, ("merchant_id",))
        return texts.with_columns(*_common(block), *_amounts(block, _TOTALS_AMOUNTS))


class FundTransfersReading(FixedWidthReading):
    """Reads `unionpay_zpsum`: one row a transfer, in fen, + the merchant receives.

    Of the account there is a token and a mask; names are not kept.
    """

    table = FUND_TRANSFERS_TABLE
    layouts = (ZPSUM,)
    total = "credited_amount_minor"
    key = _TRANSFERS_KEY

    def frame(self, block: FixedWidthBlock) -> pl.DataFrame:
        """Return the table's columns of some lines."""
        texts = block.texts(_TRANSFERS_TEXTS)
        require_keys(block, texts, ("merchant_id",))
        counts = [
            pl.Series(name, block.numbers(name, blank_is_zero=True))
            for name in ("transaction_count", "adjustment_count")
        ]
        return texts.with_columns(
            blank_zeros("bank_code"),
            blank_zeros("second_bank_code"),
            block.gbk_text("bank_name"),
            *counts,
            *_common(block),
            *_amounts(block, _TRANSFERS_AMOUNTS),
        ).hstack(_accounts(block, self.context))


def _common(block: FixedWidthBlock) -> list[pl.Series | pl.Expr]:
    return [pl.Series("line_number", block.line_numbers), pl.lit("CNY").alias("currency_code")]


def _amounts(block: FixedWidthBlock, names: Sequence[str]) -> list[pl.Series]:
    """Return X+n12 fields as what the merchant receives; a blank sign proves only a zero."""
    columns = []
    for name in names:
        paid, is_unsigned = block.signed_numbers(name)
        block.findings.flag(
            is_unsigned, name, "missing_sign", f"{name} has no sign, and is not zero"
        )
        columns.append(pl.Series(f"{name}_minor", np.negative(paid)))
    return columns


def _accounts(block: FixedWidthBlock, context: FileContext) -> pl.DataFrame:
    """Return token and mask of the account; the number itself stays in this function."""
    numbers = block.texts(["account_number"])["account_number"]
    known = numbers.drop_nulls().unique().to_list()
    masks = numbers.replace_strict(
        known, [mask_account(number) for number in known], default=None, return_dtype=pl.String
    )
    return pl.DataFrame(
        [tokens(numbers, context.vault, "account_number_token"), masks.alias("account_number_mask")]
    )
