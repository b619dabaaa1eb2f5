"""What a bank writes about other people: names and numbers that must not stand in the clear."""

from __future__ import annotations

import re

from stdnum import luhn

from tieout.secrets import mask_account, mask_name

__all__ = ["counterparty_shown", "remittance_shown"]

# A payment card: 16 to 19 digits, also in groups, that begin as cards do. Shorter numbers are
# merchant numbers and references, which name a line's channel and have to stay.
_CARD = re.compile(r"(?<![0-9A-Za-z])[3-6](?:[ -]?[0-9]){15,18}(?![0-9A-Za-z])")
# In what is about a payee, any long number may be their account.
_LONG_NUMBER = re.compile(r"[0-9](?:[ ]?[0-9]){11,}")


def counterparty_shown(name: str | None, *, is_payee: bool) -> str | None:
    """Return the other side's name: channels in the clear, payees masked."""
    return mask_name(name) if name is not None and is_payee else name


def remittance_shown(text: str | None, *, is_payee: bool) -> str | None:
    """Return the text with every card number masked, and with every long number of a payee."""
    if text is None:
        return None
    shown = _CARD.sub(_mask_card, text)
    return _LONG_NUMBER.sub(lambda match: mask_account(match[0]), shown) if is_payee else shown


def _mask_card(match: re.Match[str]) -> str:
    digits = re.sub(r"[ -]", "", match[0])
    return mask_account(digits) if luhn.is_valid(digits) else match[0]
