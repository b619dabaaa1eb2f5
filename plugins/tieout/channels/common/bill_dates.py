"""Is a file of the date its name says? By the times of its records, of which a few may be late."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime, time, timedelta

import polars as pl

from tieout.channels.common.model import BadRow, BlockFindings, file_problem

__all__ = ["LATE_DAYS_MAX", "BillDates", "DayOfRecords"]

# A channel may put a record into a later day's bill. A week is ours (no source states a limit).
LATE_DAYS_MAX = 7
# From this many records on, at least half have to be of the date; of fewer, one.
HALF_APPLIES_FROM = 20


class DayOfRecords:
    """Counts how many of a file's records lie in its day.

    Yesterday's file under today's name has only plausible rows, one by one.
    """

    def __init__(self, opens: datetime, closes: datetime, field: str) -> None:
        self._opens = opens
        self._closes = closes
        self._field = field
        self._inside = 0
        self._count = 0

    def count(self, times: pl.Series) -> None:
        """Count the times of some records, in any time zone's own clock; NULL is no time."""
        local = times.dt.replace_time_zone(None).drop_nulls()
        self._inside += int(((local >= self._opens) & (local < self._closes)).sum())
        self._count += len(local)

    def problems(self) -> list[BadRow]:
        """Return a finding when the records do not lie in the day the file is named for."""
        inside, count = self._inside, self._count
        enough = inside * 2 >= count if count >= HALF_APPLIES_FROM else inside >= 1
        if enough or not count:
            return []
        reason = f"{inside} of {count} records lie in the day the file's name says"
        return [file_problem("wrong_date", reason, field=self._field)]


class BillDates:
    """Holds the times of a bill of calendar days against the date in its name."""

    def __init__(self, accounting_date: date | None, field: str) -> None:
        self._accounting_date = accounting_date
        self._field = field
        self._days: Counter[date] = Counter()
        opens = datetime.combine(accounting_date or date.min, time())
        self._opens, self._closes = opens, opens + timedelta(days=1)
        self._day = DayOfRecords(opens, self._closes, field)

    def check(self, times: pl.Series, findings: BlockFindings) -> None:
        """Flag records of another time, and count what `problems` and `date_inside` say."""
        if self._accounting_date is None:
            days = times.dt.date().drop_nulls().value_counts(name="count")
            self._days.update(dict(days.iter_rows()))
            return
        local = times.dt.replace_time_zone(None)
        earliest = self._opens - timedelta(days=LATE_DAYS_MAX)
        outside = (local < earliest) | (local >= self._closes)
        findings.flag(
            outside.fill_null(False),
            self._field,
            "wrong_date",
            f"no record in the bill of {self._accounting_date} is of that day",
        )
        self._day.count(times)

    def problems(self) -> list[BadRow]:
        """Return what the records as a whole show."""
        return [] if self._accounting_date is None else self._day.problems()

    def date_inside(self) -> date | None:
        """Return the date in the file's name, which `problems` holds against the records.

        Without a name: the date most records are of, the later one of two; None without records.
        """
        if self._accounting_date is not None:
            return self._accounting_date
        return max(self._days, key=lambda day: (self._days[day], day), default=None)
