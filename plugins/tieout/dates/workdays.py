"""Working days of the banks that settle, from the public calendar of Mainland China.

Sources: the library ``chinesecalendar`` (2004 to the last year its version knows), and the seed
``announced_days``, which wins: the days of a year that the library does not have yet, or days on
which the banks differ. SQL reads the same days from the seed ``calendar_days``, which
``python -m tieout.dates.workdays`` writes; a test keeps the two equal, and so does each close.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Final

import chinese_calendar

from tieout.core.errors import TieoutError
from tieout.core.settings import PROJECT_DIR

ANNOUNCED_DAYS: Final = PROJECT_DIR / "dbt_project" / "seeds" / "reference" / "announced_days.csv"
ANNOUNCED_COLUMNS: Final = ("calendar_date", "is_working_day", "source")
# From so many days before the list's end on, closes and `tieout status` say that it ends.
WARNING_DAYS: Final = 60
# So many days before the list's end no date closes any more: what it pays may be due after it.
STOP_DAYS: Final = 14
FIRST_SEED_DATE = date(2025, 1, 1)
NEXT_STEP: Final = (
    "enter the announced days in announced_days.csv or upgrade chinesecalendar"
    " (docs/runbooks/calendar-ends.md)"
)
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
        TieoutError: the year is in no list yet, or the list of announced days cannot be read.
    """
    announced = announced_days()
    if day in announced:
        return announced[day]
    if day.year > _last_library_year():
        if day > known_through():
            raise TieoutError(
                what=f"no working-day calendar for {day.year}",
                where="tieout.dates.workdays",
                why=f"the list of working days ends on {known_through()}",
                next_step=NEXT_STEP,
            )
        return day.weekday() < 5
    try:
        return bool(chinese_calendar.is_workday(day))
    except NotImplementedError as error:
        raise TieoutError(
            what=f"no working-day calendar for {day.year}",
            where="tieout.dates.workdays",
            why="the library chinesecalendar begins in 2004",
            next_step="look for a wrong year in what was asked",
        ) from error


def known_through() -> date:
    """Return the last day of which it is known whether banks settle."""
    year = _last_library_year()
    announced = announced_days()
    while date(year + 1, 1, 1) in announced:
        year += 1
    return date(year, 12, 31)


def ends_soon(day: date) -> str | None:
    """Say that the list of working days ends soon after ``day``; None while it does not."""
    last = known_through()
    left = (last - day).days
    if left > WARNING_DAYS:
        return None
    return f"the list of working days ends on {last}, {left} days after {day}: {NEXT_STEP}"


def refuse_end_of_list(day: date) -> None:
    """Refuse a date so near to the end of the list that the next days are soon needed.

    Raises:
        TieoutError: no more than `STOP_DAYS` days after ``day`` are in the list.
    """
    last = known_through()
    if (last - day).days <= STOP_DAYS:
        raise TieoutError(
            what=f"no working-day calendar for {last.year + 1}",
            where="tieout.dates.workdays",
            why=f"the list of working days ends on {last}; from {STOP_DAYS} days before that no"
            " date closes without the next year's list",
            next_step=NEXT_STEP,
        )


@cache
def announced_days() -> Mapping[date, bool]:
    """Return the announced days and whether banks settle on them.

    A year that the library does not have begins and ends with its holidays: without 1 January and
    1 October the list is half of one.

    Raises:
        TieoutError: a line is not readable or a date stands twice, or a year's list is not whole.
    """
    with ANNOUNCED_DAYS.open(encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file)
    if tuple(head) != ANNOUNCED_COLUMNS:
        raise _unreadable(1, f"the first line is {','.join(ANNOUNCED_COLUMNS)}")
    found: dict[date, bool] = {}
    for number, row in enumerate(rows, start=2):
        try:
            text, word, source = row
            day = date.fromisoformat(text)
        except ValueError as error:
            raise _unreadable(number, "a line is date, true or false, source") from error
        if word not in ("true", "false") or not source or day in found:
            raise _unreadable(number, "true or false, with a source, and each date once")
        found[day] = word == "true"
    for year in sorted({day.year for day in found if day.year > _last_library_year()}):
        if found.get(date(year, 1, 1), True) or found.get(date(year, 10, 1), True):
            raise _unreadable(
                len(rows) + 1, f"{year} is not whole: 1 January and 1 October are holidays"
            )
    return found


def _last_library_year() -> int:
    return int(max(chinese_calendar.constants.holidays).year)


def _unreadable(line: int, why: str) -> TieoutError:
    return TieoutError(
        what="the list of announced days cannot be read",
        where=f"{ANNOUNCED_DAYS.name} line {line}",
        why=why,
        next_step="correct the line (docs/runbooks/calendar-ends.md)",
    )


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
    rows = calendar_rows(FIRST_SEED_DATE, known_through())
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(SEED_COLUMNS)
        writer.writerows(rows)
    return len(rows)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    sys.stdout.write(f"{write_seed(target)} days written to {target}\n")
