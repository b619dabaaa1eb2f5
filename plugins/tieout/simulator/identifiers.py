"""Test identifiers that are valid by their own check digits and belong to nobody.

Sources: Luhn (ISO/IEC 7812-1) for card numbers; ISO 7064 MOD 11,10 for the 12-digit CNAPS bank
number (reproduced on 64 of 64 real codes, see docs/formats); UnionPay's published test card
prefixes.
"""

from __future__ import annotations

from collections.abc import Iterator

from stdnum import luhn
from stdnum.iso7064 import mod_11_10

# UnionPay's public test cards start like this; no bank issues cards in these ranges to people.
TEST_DEBIT_PREFIX = "621626100"
TEST_CREDIT_PREFIX = "622155881"
TEST_FOREIGN_PREFIX = "625094700"


def luhn_check_digit(body: str) -> str:
    """Return the digit that makes ``body`` + digit pass the Luhn test."""
    return str(luhn.calc_check_digit(body))


def is_luhn_valid(number: str) -> bool:
    """Say whether the last digit of ``number`` is its Luhn check digit."""
    return bool(luhn.is_valid(number))


def card_number(prefix: str, length: int, serial: int) -> str:
    """Return the Luhn-valid test card number with this prefix, length and serial."""
    body = prefix + str(serial).zfill(length - 1 - len(prefix))
    return body + luhn_check_digit(body)


def cnaps_check_digit(body: str) -> str:
    """Return the ISO 7064 MOD 11,10 check digit of the first 11 digits of a CNAPS number."""
    return str(mod_11_10.calc_check_digit(body))


def cnaps_number(bank: str, region: str, branch: int) -> str:
    """Return a valid 12-digit CNAPS number: bank 3, region 4, branch 4, check digit 1."""
    body = f"{bank}{region}{branch:04d}"
    return body + cnaps_check_digit(body)


def not_card_like(prefix: str, length: int, serial: int) -> str:
    """Return a number of ``length`` digits that fails Luhn, so that nobody takes it for a card."""
    body = prefix + str(serial).zfill(length - 1 - len(prefix))
    return body + str((int(luhn_check_digit(body)) + 1) % 10)


def merchant_codes() -> Iterator[tuple[str, str]]:
    """Yield (merchant code of 15 digits, its MCC): institution 3, region 4, MCC 4, serial 4.

    Codes that would pass the Luhn test are left out: 15 digits that pass look like a card number.
    """
    regions = ("3100", "1000", "5840", "5810", "3010", "7910", "6510", "4910")
    codes = ("5411", "5812", "5999", "5311", "5541", "7011", "5732", "4511")
    for serial in range(1, 10_000):
        for offset in range(len(regions)):
            mcc = codes[(serial + offset) % len(codes)]
            code = f"898{regions[offset]}{mcc}{serial:04d}"
            if not is_luhn_valid(code):
                yield code, mcc
