"""UnionPay ZSUM and ZPSUM: a merchant's totals, and what is transferred to it (formats.md §1.5).

For merchants for whom UnionPay clears itself (代理清算). No real file was found in public: widths
come from one acquirer's programs. X+n12 is read as + where the merchant receives (C), which is
inferred; what the totals are made of is not known, so nothing is added up here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from tieout.channels.bill_values import tokens
from tieout.channels.fixed_width import FixedWidthFile, Layout, read_fixed_width
from tieout.channels.model import FileContext, ParsedFile
from tieout.channels.unionpay_common import blank_zeros, require_keys, required_date
from tieout.channels.unionpay_layouts import ZPSUM, ZSUM
from tieout.secrets import mask_account

__all__ = [
    "FUND_TRANSFERS_TABLE",
    "MERCHANT_TOTALS_TABLE",
    "parse_fund_transfers",
    "parse_merchant_totals",
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


def parse_merchant_totals(content: bytes, context: FileContext) -> ParsedFile:
    """Return the table `unionpay_zsum`: one row a merchant, amounts in fen, + it receives.

    Raises:
        UnreadableFileError: the name states no settlement date.
    """
    file, texts = _read(content, ZSUM, ("merchant_id",), key=_TOTALS_KEY)
    frame = texts.with_columns(*_common(file), *_amounts(file, _TOTALS_AMOUNTS))
    return _parsed(file, MERCHANT_TOTALS_TABLE, frame, context, total="net_amount_minor")


def parse_fund_transfers(content: bytes, context: FileContext) -> ParsedFile:
    """Return the table `unionpay_zpsum`: one row a transfer, in fen, + the merchant receives.

    Of the account there is a token and a mask; names are not kept.

    Raises:
        UnreadableFileError: the name states no settlement date.
    """
    file, texts = _read(content, ZPSUM, _TRANSFERS_TEXTS, key=_TRANSFERS_KEY)
    counts = [
        pl.Series(name, file.numbers(name, blank_is_zero=True))
        for name in ("transaction_count", "adjustment_count")
    ]
    frame = texts.with_columns(
        blank_zeros("bank_code"),
        blank_zeros("second_bank_code"),
        file.gbk_text("bank_name"),
        *counts,
        *_common(file),
        *_amounts(file, _TRANSFERS_AMOUNTS),
    ).hstack(_accounts(file, context))
    return _parsed(file, FUND_TRANSFERS_TABLE, frame, context, total="credited_amount_minor")


def _read(
    content: bytes, layout: Layout, names: Sequence[str], *, key: tuple[str, ...]
) -> tuple[FixedWidthFile, pl.DataFrame]:
    file = read_fixed_width(content, (layout,))
    texts = file.texts(names)
    require_keys(file, texts, ("merchant_id",))
    is_again = ~texts.select(pl.struct(key)).to_series().is_first_distinct()
    file.findings.flag(
        is_again, "merchant_id", "duplicate_key", f"another line has the same {', '.join(key)}"
    )
    return file, texts


def _common(file: FixedWidthFile) -> list[pl.Series | pl.Expr]:
    return [pl.Series("line_number", file.line_numbers), pl.lit("CNY").alias("currency_code")]


def _amounts(file: FixedWidthFile, names: Sequence[str]) -> list[pl.Series]:
    """Return X+n12 fields as what the merchant receives; a blank sign proves only a zero."""
    columns = []
    for name in names:
        paid, is_unsigned = file.signed_numbers(name)
        file.findings.flag(
            is_unsigned, name, "missing_sign", f"{name} has no sign, and is not zero"
        )
        columns.append(pl.Series(f"{name}_minor", np.negative(paid)))
    return columns


def _accounts(file: FixedWidthFile, context: FileContext) -> pl.DataFrame:
    """Return token and mask of the account; the number itself stays in this function."""
    numbers = file.texts(["account_number"])["account_number"]
    known = numbers.drop_nulls().unique().to_list()
    masks = numbers.replace_strict(
        known, [mask_account(number) for number in known], default=None, return_dtype=pl.String
    )
    return pl.DataFrame(
        [tokens(numbers, context.vault, "account_number_token"), masks.alias("account_number_mask")]
    )


def _parsed(
    file: FixedWidthFile, table: str, frame: pl.DataFrame, context: FileContext, *, total: str
) -> ParsedFile:
    return ParsedFile(
        frames={table: frame},
        row_count=len(file),
        accounting_date=required_date(context),
        counted_total_minor=int(frame[total].sum()),
        bad_rows=tuple(file.findings.bad_rows),
    )
