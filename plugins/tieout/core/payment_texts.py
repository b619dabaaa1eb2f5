"""What a payment file can hold: the one definition that landing, the gate and the writer share.

A text that passes here can be written into pain.001 in each of its versions and reads back as it
was. It knows no payee: its answers name a field and a number of characters, never the text.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from typing import Final

__all__ = ["LENGTH_MAX", "address_text", "why_unwritable"]

LENGTH_MAX: Final[Mapping[str, int]] = {
    "account_name": 140,
    "account_number": 34,
    "bank_code": 35,
    "bank_name": 140,
    "building": 16,
    "clearing_system": 35,
    "country_code": 2,
    "end_to_end_id": 35,
    "message_id": 35,
    "post_code": 16,
    "remittance_text": 140,
    "street": 70,
    "town": 35,
}
"""Characters of each text, by the types of the public schemas (Max34Text, Max35Text, Max140Text).
The versions 001.03 and 001.09 agree on all of them."""

# Control characters and lone surrogates. XML 1.0 takes three of the first, tabs and line ends, and
# a reader may give them back as blanks.
_REFUSED_CATEGORIES: Final = frozenset({"Cc", "Cs"})


def address_text(
    town: str | None,
    country_code: str | None,
    post_code: str | None,
    street: str | None,
    building: str | None,
) -> str:
    """Return an address as one text, for its token; empty where nothing of it is stated.

    What stands in which part counts: a street is no building.
    """
    parts = [town, country_code, post_code, street, building]
    return json.dumps(parts, ensure_ascii=False) if any(parts) else ""


def why_unwritable(field: str, text: str) -> str | None:
    """Say why ``text`` cannot stand in the payment file as ``field``, or None where it can.

    Raises:
        KeyError: the payment file has no such field.
    """
    length_max = LENGTH_MAX[field]
    if not text.strip():
        return f"{field} is empty; a payment file takes 1 to {length_max} characters"
    if len(text) > length_max:
        return f"{field} has {len(text)} characters; a payment file takes 1 to {length_max} of them"
    if field == "country_code" and not re.fullmatch("[A-Z]{2}", text):
        return f"{field} is not two capital letters (ISO 3166)"
    for position, character in enumerate(text, start=1):
        if _is_refused(character):
            return (
                f"{field} has U+{ord(character):04X} as character {position}, which no payment "
                "file can hold"
            )
    return None


def _is_refused(character: str) -> bool:
    return unicodedata.category(character) in _REFUSED_CATEGORIES or _is_noncharacter(character)


def _is_noncharacter(character: str) -> bool:
    """Say whether Unicode keeps the number free of characters for good, as U+FFFE and U+FFFF."""
    number = ord(character)
    return 0xFDD0 <= number <= 0xFDEF or number & 0xFFFE == 0xFFFE
