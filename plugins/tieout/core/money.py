"""Amounts between minor units and the decimal text that payment messages carry; integers only.

The number of decimals is ISO 4217's. A currency that is not listed is an error, never two decimals.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from tieout.core.errors import TieoutError

CURRENCY_DECIMALS: Final[Mapping[str, int]] = {
    "AUD": 2,
    "CAD": 2,
    "CHF": 2,
    "CNY": 2,
    "EUR": 2,
    "GBP": 2,
    "HKD": 2,
    "JPY": 0,
    "KRW": 0,
    "MOP": 2,
    "SGD": 2,
    "THB": 2,
    "TWD": 2,
    "USD": 2,
}

_DECIMAL_TEXT = re.compile(r"([+-]?)([0-9]+)(?:\.([0-9]+))?")


def decimals_of(currency_code: str) -> int:
    """Return the number of decimals of a currency.

    Raises:
        TieoutError: the currency is not listed.
    """
    try:
        return CURRENCY_DECIMALS[currency_code]
    except KeyError:
        raise TieoutError(
            what=f"currency {currency_code!r} has no known number of decimals",
            where="tieout.core.money",
            why="an amount in an unknown currency would be off by powers of ten",
            next_step="add the currency with its ISO 4217 decimals to CURRENCY_DECIMALS",
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
    if currency_code not in CURRENCY_DECIMALS:
        return f"{amount_minor} minor units {currency_code}"
    return f"{decimal_text(amount_minor, currency_code)} {currency_code}"


def minor_units(text: str, currency_code: str) -> int:
    """Read decimal text as minor units; more decimals than the currency has must be zeros.

    Raises:
        TieoutError: the text is not a plain decimal number, or is finer than one minor unit.
    """
    decimals = decimals_of(currency_code)
    match = _DECIMAL_TEXT.fullmatch(text.strip())
    if match is None:
        raise _unreadable(text, currency_code, "it is not a plain decimal number")
    sign, whole, fraction = match.group(1), match.group(2), match.group(3) or ""
    if fraction[decimals:].strip("0"):
        raise _unreadable(text, currency_code, "it is finer than one minor unit")
    value = int(whole + fraction[:decimals].ljust(decimals, "0"))
    return -value if sign == "-" else value


def _unreadable(text: str, currency_code: str, why: str) -> TieoutError:
    return TieoutError(
        what=f"amount {text!r} {currency_code} cannot be read",
        where="tieout.core.money",
        why=why,
        next_step="ask the sender of the file for a corrected one",
    )
