"""Amounts between minor units and the decimal text that payment messages carry; integers only.

The number of decimals is ISO 4217's. A currency that it does not list is an error, never one of
two decimals.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from iso4217 import Currency

from tieout.core.errors import TieoutError

# ISO 4217 of today, as the library `iso4217` carries the maintenance agency's table: one table for
# parsers, payments and pages. Codes without minor units (gold, XXX) are no currencies of an
# account. An unknown one is an error: a wrong exponent is an amount wrong by a factor of ten.
_WITH_MINOR_UNITS: Final = sorted(
    (currency for currency in Currency if currency.exponent is not None),
    key=lambda currency: currency.code,
)
CURRENCY_EXPONENTS: Final[Mapping[str, int]] = {
    currency.code: int(currency.exponent or 0) for currency in _WITH_MINOR_UNITS
}
# The same currencies by their three digits, as card networks write them.
NUMERIC_CURRENCIES: Final[Mapping[str, str]] = {
    f"{currency.number:03d}": currency.code for currency in _WITH_MINOR_UNITS
}

# That many digits before the point keep an amount inside 64 bits.
WHOLE_DIGITS_MAX: Final = 15
_DECIMAL_TEXT = re.compile(rf"([+-]?)([0-9]{{1,{WHOLE_DIGITS_MAX}}})(?:\.([0-9]+))?")


def decimals_of(currency_code: str) -> int:
    """Return the number of decimals of a currency.

    Raises:
        TieoutError: ISO 4217 has no such currency.
    """
    try:
        return CURRENCY_EXPONENTS[currency_code]
    except KeyError:
        raise TieoutError(
            what=f"currency {currency_code!r} has no known number of decimals",
            where="tieout.core.money",
            why="an amount in an unknown currency would be off by powers of ten",
            next_step="ask who wrote the code; where ISO 4217 has it, upgrade the library iso4217",
        ) from None


def decimal_text(amount_minor: int, currency_code: str) -> str:
    """Write minor units as decimal text: ``decimal_text(-5, "CNY")`` is ``-0.05``."""
    decimals = decimals_of(currency_code)
    sign = "-" if amount_minor < 0 else ""
    digits = str(abs(amount_minor)).rjust(decimals + 1, "0")
    if decimals == 0:
        return sign + digits
    return f"{sign}{digits[:-decimals]}.{digits[-decimals:]}"


def amount_text(amount_minor: int, currency_code: str) -> str:
    """Write an amount for people, ``1948.93 CNY``; a currency nobody knows stops no message."""
    if currency_code not in CURRENCY_EXPONENTS:
        return f"{amount_minor} minor units {currency_code}"
    return f"{decimal_text(amount_minor, currency_code)} {currency_code}"


def minor_units_of(amount: str, *, exponent: int = 2) -> int | None:
    """Return one amount (text, major units) in minor units, or None where it is not exact.

    `12`, `12.3`, `-12.30`, `0.04000` are amounts; `1,000.00`, `1e3`, `.5`, `5.`, ` 5`, blanks, and
    a fraction of a minor unit other than zeros are not.
    """
    match = _DECIMAL_TEXT.fullmatch(amount)
    if match is None:
        return None
    sign, whole, fraction = match[1], match[2], match[3] or ""
    if fraction[exponent:].strip("0"):
        return None
    value = int(whole + fraction[:exponent].ljust(exponent, "0"))
    return -value if sign == "-" else value


def minor_units(text: str, currency_code: str) -> int:
    """Read decimal text as minor units; more decimals than the currency has must be zeros.

    Raises:
        TieoutError: the text is not a plain decimal number, or is finer than one minor unit.
    """
    stripped = text.strip()
    value = minor_units_of(stripped, exponent=decimals_of(currency_code))
    if value is not None:
        return value
    if _DECIMAL_TEXT.fullmatch(stripped) is None:
        why = (
            f"it is not a plain decimal number of at most {WHOLE_DIGITS_MAX} digits before a point"
        )
        raise _unreadable(text, currency_code, why)
    raise _unreadable(text, currency_code, "it is finer than one minor unit")


def _unreadable(text: str, currency_code: str, why: str) -> TieoutError:
    return TieoutError(
        what=f"amount {text!r} {currency_code} cannot be read",
        where="tieout.core.money",
        why=why,
        next_step="ask the sender of the file for a corrected one",
    )
