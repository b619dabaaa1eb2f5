"""Amounts as text to integers in minor units. Exact: digits are moved, nothing is divided.

A float never appears: 0.29 * 100 is 28.999999999999996.
"""

from __future__ import annotations

import re

import polars as pl

__all__ = ["CURRENCY_EXPONENTS", "NUMERIC_CURRENCIES", "minor_units", "minor_units_of"]

# ISO 4217 minor-unit digits of the currencies met so far. An unknown currency is an error, because
# a wrong exponent is an amount wrong by a factor of ten.
CURRENCY_EXPONENTS = {
    "AUD": 2, "CAD": 2, "CHF": 2, "CNY": 2, "EUR": 2, "GBP": 2, "HKD": 2, "JPY": 0, "KRW": 0,
    "MOP": 2, "NZD": 2, "SEK": 2, "SGD": 2, "THB": 2, "TWD": 2, "USD": 2,
}  # fmt: skip
# The same currencies by their ISO 4217 digits, as card networks write them.
NUMERIC_CURRENCIES = {
    "036": "AUD", "124": "CAD", "156": "CNY", "344": "HKD", "392": "JPY", "410": "KRW",
    "446": "MOP", "554": "NZD", "702": "SGD", "752": "SEK", "756": "CHF", "764": "THB",
    "826": "GBP", "840": "USD", "901": "TWD", "978": "EUR",
}  # fmt: skip

# 15 digits before the point keep the result inside 64 bits.
_AMOUNT = r"^([+-]?)(\d{1,15})(?:\.(\d+))?$"
_AMOUNT_PATTERN = re.compile(_AMOUNT, re.ASCII)


def minor_units(amount: pl.Expr, *, exponent: int = 2) -> pl.Expr:
    """Return the amount (text, major units) in minor units as Int64; NULL where it is not exact.

    `12`, `12.3`, `-12.30`, `0.04000` are amounts; `1,000.00`, `1e3`, `.5`, `5.`, ` 5`, blanks, and
    a fraction of a minor unit other than zeros are not.
    """
    # [0-9] and not \d: full-width digits are no digits here. A pattern without groups, and Polars'
    # own decimals, are six times as fast as taking the digits apart.
    fraction = rf"\.[0-9]{{1,{exponent}}}0*" if exponent else r"\.0+"
    is_exact = amount.str.contains(rf"^[+-]?[0-9]{{1,15}}(?:{fraction})?$")
    decimals = pl.when(is_exact).then(amount.str.strip_prefix("+"))
    return decimals.cast(pl.Decimal(38, exponent), strict=False).to_physical().cast(pl.Int64)


def minor_units_of(amount: str, *, exponent: int = 2) -> int | None:
    """Return one amount in minor units, or None where it is not exact. Same rules as the column."""
    match = _AMOUNT_PATTERN.match(amount)
    if match is None or amount.endswith("\n"):
        return None
    sign, whole, fraction = match[1], match[2], match[3] or ""
    if fraction[exponent:].strip("0"):
        return None
    value = int(whole + fraction[:exponent].ljust(exponent, "0"))
    return -value if sign == "-" else value
