"""Working days of the banks that settle, from the public calendar of Mainland China.

Source: the library ``chinesecalendar`` (2004 to the last year the State Council has announced).
SQL reads the same days from the seed ``calendar_days``, which
``python -m tieout.dates.workdays`` writes; a test keeps the two equal. A bank calendar that differs
from the public one is changed in the seed.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import chinese_calendar

from tieout.core.errors import TieoutError

FIRST_SEED_DATE = date(2025, 1, 1)
LAST_SEED_DATE = date(2026, 12, 31)
SEED_COLUMNS = (
    "calendar_date",
    "is_working_day",
    "previous_working_day",
    "working_day_on_or_after",
    "next_working_day",
)


def is_working_day(day: date) -> bool:
    """Say whether banks settle on ``day``; make-up Saturdays and Sundays count.

    Raises:
        TieoutError: the year is not in the published calendar yet.
    """
    try:
        return bool(chinese_calendar.is_workday(day))
    except NotImplementedError as error:
        raise TieoutError(
            what=f"no working-day calendar for {day.year}",
            where="tieout.dates.workdays",
            why="the public holiday calendar of that year is not in the chinesecalendar library",
            next_step="upgrade chinesecalendar, then run `python -m tieout.dates.workdays`",
        ) from error


def next_working_day(day: date) -> date:
    """Return the first working day strictly after ``day``."""
    return working_day_on_or_after(day + timedelta(days=1))


def previous_working_day(day: date) -> date:
    """Return the last working day strictly before ``day``."""
    candidate = day - timedelta(days=1)
    while not is_working_day(candidate):
        candidate -= timedelta(days=1)
    return candidate


def working_day_on_or_after(day: date) -> date:
    """Return ``day`` where it is a working day, else the first one after it."""
    candidate = day
    while not is_working_day(candidate):
        candidate += timedelta(days=1)
    return candidate


def calendar_rows(first: date, last: date) -> list[tuple[str, str, str, str, str]]:
    """Return the seed's rows for ``first``..``last``; blank where the next year would be needed."""
    rows = []
    day = first
    while day <= last:
        rows.append(
            (
                day.isoformat(),
                str(is_working_day(day)).lower(),
                previous_working_day(day).isoformat(),
                _iso_or_blank(working_day_on_or_after, day),
                _iso_or_blank(next_working_day, day),
            )
        )
        day += timedelta(days=1)
    return rows


def _iso_or_blank(rule: Callable[[date], date], day: date) -> str:
    """Return the rule's date, or blank where it lies in a year that is not published yet."""
    try:
        return rule(day).isoformat()
    except TieoutError:
        return ""


def write_seed(path: Path) -> int:
    """Write the seed ``calendar_days.csv``; return its number of days."""
    rows = calendar_rows(FIRST_SEED_DATE, LAST_SEED_DATE)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(SEED_COLUMNS)
        writer.writerows(rows)
    return len(rows)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    sys.stdout.write(f"{write_seed(target)} days written to {target}\n")
