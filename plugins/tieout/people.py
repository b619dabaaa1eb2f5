"""Names of people who decide: two of them are two people, however a name is written."""

from __future__ import annotations

import unicodedata
from typing import Final

__all__ = ["is_same_person", "person_key"]

# Letters that show nothing and that Unicode does not call format characters.
_INVISIBLE: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")


def person_key(name: str) -> str:
    """Return what a name is compared by: no case, width, blanks or invisible characters.

    The database's `control.person_key` compares in the same way. Letters of other alphabets that
    look alike stay different people until there are logins.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return "".join(
        letter
        for letter in folded
        if letter not in _INVISIBLE
        and not letter.isspace()
        and unicodedata.category(letter) not in {"Cf", "Cc", "Zs"}
        and not "\ufe00" <= letter <= "\ufe0f"
    )


def is_same_person(first: str, second: str) -> bool:
    """Say whether two names are one person's."""
    return person_key(first) == person_key(second)
