"""Rails: the ways a bank takes payouts, each behind the same small interface.

A rail writes a batch as a file, reads that file back, and reads what the bank answers. Which one an
account is paid from, and what its bank takes, is reference data (`reference.payout_rails`). A new
rail is a module with an object of `Rail`, named in `RAILS` (docs/formats/agency-payout.md,
docs/formats/pain001.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tieout.core.errors import TieoutError
from tieout.payouts.rails import agency, iso20022
from tieout.payouts.rails.interface import Rail

__all__ = ["RAILS", "Rail", "answering", "of", "paying"]

RAILS: Final[Mapping[str, Rail]] = {
    rail.name: rail for rail in (iso20022.Pain001Rail(), agency.AgencyRail())
}
"""The rails by the name that `reference.payout_rails` gives them, the usual one first."""


def of(name: str) -> Rail:
    """Return the rail of that name.

    Raises:
        TieoutError: reference data names a rail this program does not have.
    """
    if name not in RAILS:
        raise TieoutError(
            what=f"there is no rail {name}",
            where="reference.payout_rails, rail",
            why=f"this program writes {', '.join(RAILS)}",
            next_step="correct the seed payout_rails and load it again",
        )
    return RAILS[name]


def paying(file_name: str) -> Rail | None:
    """Return the rail whose payment file has that name; None where none has."""
    return next((rail for rail in RAILS.values() if rail.message_id(file_name) is not None), None)


def answering(file_name: str) -> Rail | None:
    """Return the rail whose answers have that name; None where none has."""
    return next((rail for rail in RAILS.values() if rail.is_answer(file_name)), None)
