"""Names of people who decide: two of them are two people, however a name is written."""

from __future__ import annotations

import unicodedata

__all__ = ["is_same_person", "person_key"]


def person_key(name: str) -> str:
    """Return a name as it is compared: one form, one case, no blank and nothing unseen.

    The database's `control.person_key` compares in the same way (migration 0016).
    """
    folded = unicodedata.normalize("NFKC", name).casefold()
    return "".join(
        character
        for character in unicodedata.normalize("NFKC", folded)
        if not character.isspace() and unicodedata.category(character) not in {"Cf", "Zs", "Cc"}
    )


def is_same_person(first: str, second: str) -> bool:
    """Say whether two names are one person's."""
    return person_key(first) == person_key(second)
