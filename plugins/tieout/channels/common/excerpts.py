"""Excerpts of bad rows that people may read: no number of a card, an account or a person."""

from __future__ import annotations

import re

from tieout.channels.common.card_numbers import TRACK_DATA

__all__ = ["masked_excerpt"]

EXCERPT_CHARACTERS_MAX = 240

# Card numbers have 13 to 19 digits; a longer run may hold one. Blanks or hyphens between groups of
# four do not hide one. Nothing of the middle stays.
_NUMBER = re.compile(r"\d(?:[ -]?\d){12,}")
_UNBROKEN_NUMBER = re.compile(r"\d{13,}")
_TRACK = re.compile(TRACK_DATA)
# Opaque ids of people (WeChat openid: 28 characters of letters, digits, - and _).
_OPAQUE_ID = re.compile(r"(?=[\w-]*[A-Za-z])(?=[\w-]*\d)[\w-]{26,}", re.ASCII)


def masked_excerpt(line: str, *, numbers_may_be_grouped: bool = True) -> str:
    """Return the line, cut, with every run of 13 or more digits and every opaque id masked.

    In fixed-width records a blank parts two fields and never two groups of one number.
    """
    pattern = _NUMBER if numbers_may_be_grouped else _UNBROKEN_NUMBER
    # Before the numbers: of a track, what follows the number (expiry, check value) goes as well.
    text = pattern.sub(_mask_number, _TRACK.sub("***", line))
    text = _OPAQUE_ID.sub(lambda match: match[0][:4] + "***", text)
    text = "".join(c if c.isprintable() else "·" for c in text[: EXCERPT_CHARACTERS_MAX + 1])
    if len(text) > EXCERPT_CHARACTERS_MAX:
        return text[: EXCERPT_CHARACTERS_MAX - 1] + "…"
    return text


def _mask_number(match: re.Match[str]) -> str:
    """Keep length and last four only where digits run on; a grouped run loses all its digits."""
    text = match[0]
    if text.isdigit() and len(text) <= 19:
        return text[:6] + "*" * (len(text) - 10) + text[-4:]
    return re.sub(r"\d", "*", text)
