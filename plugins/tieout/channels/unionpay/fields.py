"""Fields several of UnionPay's other institution files have: codes, currencies, signed fees."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date

import polars as pl

from tieout.channels.common.model import Vault
from tieout.channels.unionpay.fixed_width import FixedWidthBlock
from tieout.core.money import NUMERIC_CURRENCIES

__all__ = [
    "account_tokens",
    "check_codes",
    "check_same_day",
    "currency_codes",
    "signed_minor",
    "unsigned_minor",
]


def unsigned_minor(block: FixedWidthBlock, name: str, *, blank_is_zero: bool = False) -> pl.Series:
    """Return an amount in minor units as `<name>_minor`; anything but digits is a finding."""
    values = block.numbers(name, blank_is_zero=blank_is_zero)
    return pl.Series(f"{name}_minor", values, dtype=pl.Int64)


def signed_minor(block: FixedWidthBlock, name: str) -> pl.Series:
    """Return a fee with sign in minor units as `<name>_minor`: D +, C −, blanks 0.

    A fee whose sign is blank is a finding: its direction is not known.
    """
    values, unsigned = block.signed_numbers(name)
    block.findings.flag(
        unsigned, name, "missing_sign", "the sign is blank, so the direction is not known"
    )
    return pl.Series(f"{name}_minor", values, dtype=pl.Int64)


def check_codes(
    block: FixedWidthBlock, values: pl.Series, known: Collection[str], *, may_be_blank: bool = False
) -> None:
    """Flag codes that are not among the known ones. `values` is named like its field."""
    is_known = values.is_in(list(known)).fill_null(may_be_blank)
    block.findings.flag(
        ~is_known,
        values.name,
        "unknown_code",
        lambda position: f"{values.name} {values[position]} is not known",
    )


def currency_codes(block: FixedWidthBlock, name: str, *, may_be_blank: bool = False) -> pl.Series:
    """Return ISO 4217 letters for a field of ISO 4217 digits; what is not known is a finding."""
    digits = block.texts([name])[name]
    check_codes(block, digits, NUMERIC_CURRENCIES, may_be_blank=may_be_blank)
    return digits.replace_strict(
        list(NUMERIC_CURRENCIES),
        list(NUMERIC_CURRENCIES.values()),
        default=None,
        return_dtype=pl.String,
    )


def check_same_day(block: FixedWidthBlock, name: str, day: date, form: str) -> None:
    """Flag records whose date is not the one in the file's name. `form` is as of strftime."""
    stated = block.texts([name])[name]
    block.findings.flag(
        ~(stated == day.strftime(form)).fill_null(False),
        name,
        "wrong_date",
        f"it has to be the settlement date in the file's name, {day}",
    )


def account_tokens(block: FixedWidthBlock, names: Sequence[str], vault: Vault) -> list[pl.Series]:
    """Return `<name>_token` for fields with accounts; the accounts stay in this function."""
    texts = block.texts(names)
    columns = []
    for name in names:
        known = texts[name].drop_nulls().unique().to_list()
        columns.append(
            texts[name]
            .replace_strict(
                known, vault.account_tokens(known), default=None, return_dtype=pl.String
            )
            .alias(f"{name}_token")
        )
    return columns
