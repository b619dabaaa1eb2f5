"""What is drawn for the histories of a soak: every choice follows from the seed and a name.

Nothing here remembers anything: a wave, a file or a payment asked for twice gets the same answer,
whatever else was asked before. So a history can be played again with all others honest.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

__all__ = [
    "ACCIDENTS",
    "ARRIVALS",
    "CLASSES",
    "PAYMENTS",
    "REPORTS",
    "REPORT_CLASSES",
    "STATEMENTS",
    "Draws",
]

FIRST: Final = date(2026, 9, 21)  # the accounting date, a Monday
PAYMENT: Final = date(2026, 9, 22)
# The bank's working days from the payment date on; what is sent from QUIET_FROM on is simply paid.
# On the last two nothing is cut off: what was sent on the day before is answered there.
EVENINGS: Final = (
    PAYMENT,
    date(2026, 9, 23),
    date(2026, 9, 24),
    date(2026, 9, 28),
    date(2026, 9, 29),
    date(2026, 9, 30),
    date(2026, 10, 8),
    date(2026, 10, 9),
    date(2026, 10, 10),
    date(2026, 10, 12),
)
LAST: Final = EVENINGS[-1]
QUIET_FROM: Final = 4
# Nothing of what an earlier attempt is drawn to do happens later than here.
DONE_BY: Final = 6
# From here on every run goes through.
CALM_FROM: Final = 8
PEOPLE_ON: Final = (EVENINGS[3], EVENINGS[4])

PAYMENTS: Final = (
    "paid",
    "refused",
    "refused_for_its_payee",
    "refused_for_good",
    "refused_without_reason",
    "not_found_then_paid",
    "duplicate_after_paying",
    "silent_paid",
    "silent_not_paid",
    "paid_on_paper",
    "debited_twice",
    "returned",
    "returned_late",
    "returned_in_part",
    "returned_twice",
    "one_fen_off",
    "under_anothers_id",
)
"""What becomes of a payment at the bank."""

REPORTS: Final = (
    "whole",
    "none",
    "twice",
    "again_next_day",
    "late",
    "cut",
    "cut_then_whole",
    "contradicted",
    "of_another_file",
    "of_another_count",
)
"""What the bank does with its status report on a payment file."""

STATEMENTS: Final = ("whole", "twice", "cut_then_whole", "late", "again_next_day", "no_details")
"""What the bank does with the statement of a day."""

ARRIVALS: Final = ("ties", "one_fen_off", "swapped_channels", "another_group", "cut")
"""What is wrong with the arrivals of the payment date, before the gate."""

CLASSES: Final = {
    "paid": "honest",
    "refused": "refused",
    "refused_for_its_payee": "refused",
    "refused_for_good": "refused",
    "refused_without_reason": "refused",
    "not_found_then_paid": "contradicted by its money",
    "duplicate_after_paying": "contradicted by its money",
    "paid_on_paper": "contradicted by its money",
    "silent_paid": "silent",
    "silent_not_paid": "silent",
    "debited_twice": "another sum",
    "returned_twice": "another sum",
    "one_fen_off": "another sum",
    "under_anothers_id": "another sum",
    "returned_in_part": "another sum",
    "returned": "returned",
    "returned_late": "returned",
}
"""The kinds of payments by what they have in common: pairs are promised of classes."""

REPORT_CLASSES: Final = {
    "whole": "whole",
    "none": "missing",
    "late": "missing",
    "cut": "missing",
    "twice": "again",
    "again_next_day": "again",
    "cut_then_whole": "again",
    "contradicted": "wrong",
    "of_another_file": "wrong",
    "of_another_count": "wrong",
}

ACCIDENTS: Final = ("process", "server", "full_disk", "unwritable_outbox", "two_runs")

DEATHS: Final = ("process", "server", "two_runs")

# Reasons by the policy that the reference data gives them.
RETRIED: Final = ("AB05", "AM04", "ED05", "TM01")
AWAITING_PAYEE: Final = ("AC01", "AC04", "BE01")
STOPPED: Final = ("AM09", "MS03", "RR04")
UNCLASSIFIED: Final = ("ZZ99",)
ANY: Final = (*RETRIED, *AWAITING_PAYEE, *STOPPED, *UNCLASSIFIED)

INQUIRY_ANSWERS: Final = ("pays_now", "refuses", "not_found_then_pays", "nothing")


@dataclass(frozen=True)
class Draws:
    """All choices of one wave; ``only``: the one history that is not paid honestly.

    ``turn`` counts the waves of its sort, with kills or without: the arrivals of every second are
    wrong, each time in another way.
    """

    seed: int
    wave: int
    first_history: int
    has_kills: bool
    only: int | None = None
    turn: int = 0

    def chance(self, *names: object) -> random.Random:
        """Return the dice of a name."""
        return random.Random("/".join(map(str, (self.seed, self.wave, *names))))

    @property
    def arrival(self) -> str:
        """What is wrong with the morning's arrivals; in every second wave nothing."""
        if self.only is not None or self.turn % 2 == 0:
            return ARRIVALS[0]
        wrong = ARRIVALS[1:]
        return wrong[(self.turn // 2 + self.seed + self.has_kills) % len(wrong)]

    def statement(self, place: int) -> str:
        """What the bank does with the statement of an evening; the last two are whole."""
        if place >= DONE_BY:
            return STATEMENTS[0]
        dice = self.chance("statement", place)
        return STATEMENTS[0] if dice.random() < 0.4 else dice.choice(STATEMENTS[1:])

    def report(self, message_id: str, place: int) -> str:
        """What the bank does with its report on a file."""
        if place >= QUIET_FROM:
            return REPORTS[0]
        dice = self.chance("report", message_id)
        return REPORTS[0] if dice.random() < 0.25 else dice.choice(REPORTS[1:])

    def payment(self, history: int, attempt_no: int, place: int) -> str:
        """What becomes of an attempt: the first is seldom simply paid, the third always."""
        is_honest = self.only is not None and history != self.only
        if is_honest or attempt_no > 2 or place >= QUIET_FROM:
            return PAYMENTS[0]
        dice = self.chance("payment", history, attempt_no)
        honest = 0.1 if attempt_no == 1 else 0.5
        return PAYMENTS[0] if dice.random() < honest else dice.choice(PAYMENTS[1:])

    def reason(self, history: int, attempt_no: int, among: Sequence[str]) -> str:
        """Which reason the bank gives."""
        return self.chance("reason", history, attempt_no).choice(among)

    def delay(self, history: int, attempt_no: int, first: int, last: int) -> int:
        """How many evenings later something happens."""
        return self.chance("delay", history, attempt_no).randint(first, last)

    def inquiry_answer(self, history: int, attempt_no: int) -> str:
        """What the bank answers where it has neither paid nor said anything."""
        return self.chance("inquiry", history, attempt_no).choice(INQUIRY_ANSWERS)

    def person_acts(self, history: int) -> bool:
        """Whether people decide about what waits for them, or leave it."""
        return self.chance("person", history).random() < 0.6

    def is_fetched_away(self) -> bool:
        """Whether the bank takes payment files out of the outbox, or copies them."""
        return self.chance("fetched").random() < 0.5
