"""What a bank writes about other people: names and numbers that must not stand in the clear."""

from __future__ import annotations

import re

from tieout.channels.common.guard import masked_text
from tieout.core.masks import mask_account, mask_name

__all__ = ["counterparty_shown", "remittance_shown"]

# In what is about a payee, any long number may be their account.
_LONG_NUMBER = re.compile(r"[0-9](?:[ ]?[0-9]){11,}")


def counterparty_shown(name: str | None, *, is_payee: bool) -> str | None:
    """Return the other side's name: channels in the clear, payees masked."""
    return mask_name(name) if name is not None and is_payee else name


def remittance_shown(text: str | None, *, is_payee: bool) -> str | None:
    """Return the text with every card number, track and long number of a payee masked.

    A text about others stays as it is: `tieout.channels.common.guard` looks at each text of
    each file, and counts what it masks.
    """
    if text is None or not is_payee:
        return text
    # Tracks first: without its number the rest of a track would not be known as one.
    guarded, _ = masked_text(text)
    return _LONG_NUMBER.sub(lambda match: mask_account(match[0]), guarded)
