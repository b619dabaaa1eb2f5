"""A date computed outside any run: its lease is taken, and given back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

from tieout import database
from tieout.core.settings import Settings
from tieout.dates import days
from tieout.runs import transform

__all__ = ["OWNER", "close", "leased", "outcomes", "payment"]

OWNER = "a test"


@contextmanager
def leased(settings: Settings, kind: str, day: date) -> Iterator[str]:
    """Hold a date's lease without asking who else works; yield the owner's name."""
    with database.connect(settings) as connection:
        connection.execute(
            "insert into control.date_leases (kind, business_date, owner_id, leased_at)"
            " values (%s, %s, %s, now())",
            [kind, day, OWNER],
        )
    try:
        yield OWNER
    finally:
        days.release(settings, kind, day, OWNER)


def close(settings: Settings, day: date) -> transform.BuildReport:
    """Compute a close."""
    with leased(settings, days.ACCOUNTING_CLOSE, day) as owner:
        return transform.build_close(settings, day, owner)


def payment(settings: Settings, day: date) -> transform.BuildReport:
    """Compute a payment date."""
    with leased(settings, days.SETTLEMENT_PAYOUT, day) as owner:
        return transform.build_payment(settings, day, owner)


def outcomes(settings: Settings, day: date) -> transform.BuildReport:
    """Compute what became of a payment date."""
    with leased(settings, days.PAYOUT_OUTCOMES, day) as owner:
        return transform.build_outcomes(settings, day, owner)
