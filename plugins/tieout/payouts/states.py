"""The life of a payout attempt: its states, its transitions, and what a report may do to it.

Pure functions, no database. The database's trigger on ``payout.attempt_events`` enforces the same
transitions once more; a test compares the two tables. The rule: docs/domain.md#transitions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

State = Literal["created", "submitted", "accepted", "paid", "failed", "unknown", "returned"]
STATES: Final[frozenset[str]] = frozenset(get_args(State))

TRANSITIONS: Final[Mapping[State | None, frozenset[State]]] = {
    None: frozenset({"created"}),
    "created": frozenset({"submitted", "failed"}),
    "submitted": frozenset({"accepted", "paid", "failed", "unknown"}),
    "accepted": frozenset({"paid", "failed", "unknown"}),
    "unknown": frozenset({"paid", "failed"}),
    # A bank may say "rejected" and have paid. The history keeps both, and a paid attempt blocks a
    # new one.
    "failed": frozenset({"paid"}),
    "paid": frozenset({"returned"}),
    "returned": frozenset(),
}
"""Which state may follow which; ``None`` is an attempt without any event."""

LIVE_STATES: Final[frozenset[State]] = frozenset(
    {"created", "submitted", "accepted", "paid", "unknown"}
)
"""While the latest attempt is in one of these, no second attempt may exist: it may have paid."""

_PROGRESS: Final[Mapping[State, int]] = {
    "created": 0,
    "submitted": 1,
    "accepted": 2,
    "unknown": 3,
    "failed": 4,
    "paid": 4,
    "returned": 5,
}


def may_follow(current: State | None, new: State) -> bool:
    """Say whether an event ``new`` is allowed after ``current``."""
    return new in TRANSITIONS[current]


_ACCEPTED_AFTER_REJECTION: Final = "the bank reports accepted after it had reported a rejection"


@dataclass(frozen=True)
class Step:
    """What one report does to one attempt.

    ``new`` is the event to append, or None. ``contradiction`` is a sentence for people when the
    report cannot be true together with what is known; it is set with or without an event.
    """

    new: State | None
    contradiction: str | None = None


def step(current: State | None, reported: State) -> Step:
    """Decide what a report ``reported`` does to an attempt that is ``current``.

    A repetition, and an older report that arrives late, change nothing. A report that contradicts
    what is known is only told to people: money that left is not undone by a message.
    """
    if current == reported or may_follow(current, reported):
        return Step(None if current == reported else reported)
    if current is None or current == "created":
        return Step(None, f"the bank reports {reported} for an attempt that was never submitted")
    if reported in ("accepted", "submitted", "created", "unknown"):
        # Late news of an earlier stage: true when it was written, and no news now. After a
        # rejection it is a contradiction, because a rejected payment is not accepted afterwards.
        if current == "failed" and reported == "accepted":
            return Step(None, "the bank reports accepted after it had reported a rejection")
        return Step(None)
    if reported == "returned" and current in ("submitted", "accepted", "unknown", "failed"):
        return Step(None, f"a return arrived for an attempt that is {current}, with no debit seen")
    return Step(None, f"the bank reports {reported} for an attempt that is {current}")


def combine(current: State | None, reported: frozenset[State]) -> Step:
    """Decide on several reports of one message about one attempt.

    Two different final outcomes in one message contradict each other: the attempt becomes
    ``unknown`` where the transitions allow it, and is queried; otherwise the later stage counts.
    """
    outcomes = reported & {"paid", "failed"}
    if len(outcomes) > 1:
        text = "one message reports both paid and failed"
        return Step("unknown" if may_follow(current, "unknown") else None, text)
    if not reported:
        return Step(None)
    latest = max(reported, key=lambda state: (_PROGRESS[state], state))
    return step(current, latest)


def may_start_attempt(last: State | None) -> bool:
    """Say whether a new attempt may start after the last attempt's state (None: no attempt yet)."""
    return last is None or last not in LIVE_STATES
