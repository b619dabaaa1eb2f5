"""Amounts as text to integers in minor units. Exact: digits are moved, nothing is divided.

A float never appears: 0.29 * 100 is 28.999999999999996.
"""

from __future__ import annotations

import polars as pl

from tieout.core.money import CURRENCY_EXPONENTS, WHOLE_DIGITS_MAX, minor_units_of

__all__ = [
    "amount_shown",
    "minor_units",
    "minor_units_of",
]


def minor_units(amount: pl.Expr, *, exponent: int = 2) -> pl.Expr:
    """Return the amount (text, major units) in minor units as Int64; NULL where it is not exact.

    What is exact is as `minor_units_of` says of one amount.
    """
    # [0-9] and not \d: full-width digits are no digits here. A pattern without groups, and Polars'
    # own decimals, are six times as fast as taking the digits apart.
    fraction = rf"\.[0-9]{{1,{exponent}}}0*" if exponent else r"\.0+"
    is_exact = amount.str.contains(rf"^[+-]?[0-9]{{1,{WHOLE_DIGITS_MAX}}}(?:{fraction})?$")
    decimals = pl.when(is_exact).then(amount.str.strip_prefix("+"))
    return decimals.cast(pl.Decimal(38, exponent), strict=False).to_physical().cast(pl.Int64)


def amount_shown(amount_minor: int, currency_code: str) -> str:
    """Return an amount as people read it: `-1,234.50 CNY`, with its currency's decimals."""
    exponent = CURRENCY_EXPONENTS[currency_code]
    whole, fraction = divmod(abs(amount_minor), 10**exponent)
    decimals = f".{fraction:0{exponent}d}" if exponent else ""
    return f"{'-' if amount_minor < 0 else ''}{whole:,}{decimals} {currency_code}"
