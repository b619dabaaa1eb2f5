"""When a contract's cycle pays, in plain Python, written from docs/domain.md#settlement-cycles.

Day after day it is asked whether the cycle pays on it; nothing here knows how the database finds
the date.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

__all__ = ["due_on"]

ONE_DAY = timedelta(days=1)
WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")


def due_on(cycle: str, accounting_date: date, paid_on: date, works: Callable[[date], bool]) -> date:
    """Return the first date from ``paid_on`` on, when the money can be there, that the cycle pays.

    ``works``: whether the banks settle on a day.
    """
    day = paid_on
    while not _pays(cycle, accounting_date, day, works):
        day += ONE_DAY
    return day


def _pays(cycle: str, accounting_date: date, day: date, works: Callable[[date], bool]) -> bool:
    if not works(day):
        return False
    kind, _, named = cycle.partition(":")
    if kind == "weekly":
        return any(WEEKDAYS[each.weekday()] == named for each in _since_last(day, works))
    if kind == "monthly" and named == "last":
        later = day + ONE_DAY
        while not works(later):
            later += ONE_DAY
        return later.month != day.month
    if kind == "monthly":
        return any(each.day == int(named) for each in _since_last(day, works))
    passed, reached = accounting_date, 0
    while passed < day:
        passed += ONE_DAY
        reached += works(passed)
    return reached >= int(cycle.removeprefix("T+"))


def _since_last(day: date, works: Callable[[date], bool]) -> list[date]:
    """A working day and the days without work just before it, whose payments it makes up."""
    days = [day]
    while not works(days[-1] - ONE_DAY):
        days.append(days[-1] - ONE_DAY)
    return days
