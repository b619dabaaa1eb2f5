"""Names of people who decide: two of them are two people, however a name is written."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

__all__ = ["is_same_person", "person_key"]

# Blanks, controls, fillers, and all that shows nothing or only directs what stands beside it: a
# list, so that it is the same whatever version of Unicode Python and the database know. Migration
# 0023 has it a second time.
_LEFT_OUT: Final = re.compile(
    "[\x00-\x20\x7f-\xa0\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890-\u0891\u08e2\u115f-\u1160"
    "\u1680\u17b4-\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def person_key(name: str) -> str:
    """Return what a name is compared by: no case, width, blanks or invisible characters.

    The database's `control.person_key` compares in the same way. Letters of other alphabets that
    look alike stay different people until there are logins.
    """
    folded = unicodedata.normalize("NFKC", name).casefold().replace("i\u0307", "i")
    # What stood apart by something invisible is one letter only after that is gone.
    return unicodedata.normalize("NFKC", _LEFT_OUT.sub("", unicodedata.normalize("NFKC", folded)))


def is_same_person(first: str, second: str) -> bool:
    """Say whether two names are one person's."""
    return person_key(first) == person_key(second)
