"""What freezes take and what charges wait for, in plain Python: written from docs/domain.md.

The rules of "Freezes", "Register of freezes" and "Charge beyond the balance", one account and
currency at a time, with loops where the SQL has sets. Amounts are minor units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

__all__ = ["Charge", "Freeze", "Outcome", "Session", "settle"]

SESSIONS = ("transaction", "foreign_card")
KINDS = ("judicial", "risk", "own_charge", "merchant_request")


@dataclass(frozen=True, slots=True)
class Session:
    """What a session has before charges: all that is booked, and how much of it is held."""

    balance: int
    held: int = 0


@dataclass(frozen=True, slots=True)
class Freeze:
    """A freeze in force; ``only`` names the one session it takes from."""

    freeze_id: str
    kind: str
    since: date
    amount: int
    only: str | None = None


@dataclass(frozen=True, slots=True)
class Charge:
    """A charge that is due; it waited before where ``waited`` is set."""

    entry_id: str
    amount: int
    since: date
    waited: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """Status of each charge, and (session, freeze) to what it covers and what it does not."""

    charges: Mapping[str, str]
    parts: Mapping[tuple[str, str], tuple[int, int]]


def _judge(
    sessions: Mapping[str, Session], freezes: Sequence[Freeze], charges: Sequence[Charge]
) -> dict[str, str]:
    booked = sum(session.balance for session in sessions.values())
    backed = booked - sum(session.held for session in sessions.values())
    others = sum(freeze.amount for freeze in freezes)
    waiting = 0
    status = {}
    for charge in sorted(charges, key=lambda one: (one.since, one.entry_id)):
        if charge.waited:
            enough = backed - others - waiting >= charge.amount
        else:
            enough = charge.amount <= booked
        status[charge.entry_id] = "charged" if enough else "waiting"
        if enough:
            booked -= charge.amount
            backed -= charge.amount
        else:
            waiting += charge.amount
    return status


def _backed(sessions: Mapping[str, Session], charged: int) -> dict[str, int]:
    """Return what is backed of each session once charged and once the negative one is covered."""
    left = {name: session.balance - session.held for name, session in sessions.items()}
    left["transaction"] = left.get("transaction", 0) - charged
    for needy in SESSIONS:
        for giver in SESSIONS:
            if left.get(needy, 0) < 0 < left.get(giver, 0):
                moved = min(-left[needy], left[giver])
                left[needy] += moved
                left[giver] -= moved
    return {name: max(amount, 0) for name, amount in left.items()}


def settle(
    sessions: Mapping[str, Session], freezes: Sequence[Freeze], charges: Sequence[Charge]
) -> Outcome:
    """Return what becomes of one account and currency on a payment date."""
    status = _judge(sessions, freezes, charges)
    charged = sum(one.amount for one in charges if status[one.entry_id] == "charged")
    left = _backed(sessions, charged)
    waiting = [
        Freeze(f"W:{one.entry_id}", "own_charge", one.since, one.amount)
        for one in charges
        if status[one.entry_id] == "waiting"
    ]
    parts: dict[tuple[str, str], tuple[int, int]] = {}
    in_order = sorted(
        [*freezes, *waiting], key=lambda one: (KINDS.index(one.kind), one.since, one.freeze_id)
    )
    for freeze in in_order:
        wanted = freeze.amount
        for name in SESSIONS:
            if freeze.only not in {None, name}:
                continue
            taken = min(wanted, left.get(name, 0))
            if taken:
                left[name] -= taken
                wanted -= taken
                parts[name, freeze.freeze_id] = (taken, 0)
        if wanted:
            stands_on = freeze.only or "transaction"
            covered, _ = parts.get((stands_on, freeze.freeze_id), (0, 0))
            parts[stands_on, freeze.freeze_id] = (covered, wanted)
    return Outcome(status, parts)
