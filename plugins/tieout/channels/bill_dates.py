"""Is a file of the date its name says? By the times of its records, of which a few may be late."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

import polars as pl

from tieout.channels.model import BadRow, Findings, file_problem

__all__ = ["LATE_DAYS_MAX", "check_bill_dates", "date_inside", "misdated"]

# A channel may put a record into a later day's bill. A week is ours (no source states a limit).
LATE_DAYS_MAX = 7
# From this many records on, at least half have to be of the date; of fewer, one.
HALF_APPLIES_FROM = 20


def misdated(times: pl.Series, opens: datetime, closes: datetime, field: str) -> list[BadRow]:
    """Return a finding when the records do not lie in the day the file is named for.

    Yesterday's file under today's name has only plausible rows, one by one.
    """
    local = times.dt.replace_time_zone(None).drop_nulls()
    inside = int(((local >= opens) & (local < closes)).sum())
    enough = inside * 2 >= len(local) if len(local) >= HALF_APPLIES_FROM else inside >= 1
    if enough or local.is_empty():
        return []
    reason = f"{inside} of {len(local)} records lie in the day the file's name says"
    return [file_problem("wrong_date", reason, field=field)]


def check_bill_dates(
    times: pl.Series, accounting_date: date | None, findings: Findings
) -> list[BadRow]:
    """Check a bill of calendar days: flag records of another time, return what the whole shows."""
    if accounting_date is None:
        return []
    opens = datetime.combine(accounting_date, time())
    closes = opens + timedelta(days=1)
    local = times.dt.replace_time_zone(None)
    outside = (local < opens - timedelta(days=LATE_DAYS_MAX)) | (local >= closes)
    findings.flag(
        outside.fill_null(False),
        times.name,
        "wrong_date",
        f"no record in the bill of {accounting_date} is of that day",
    )
    return misdated(times, opens, closes, times.name)


def date_inside(times: pl.Series, accounting_date: date | None) -> date | None:
    """Return the date in the file's name, which `check_bill_dates` has held against the records.

    Without a name: the date most records are of, the later one of two; None without records.
    """
    if accounting_date is not None:
        return accounting_date
    days = times.dt.date().drop_nulls().rename("day").to_frame()
    if days.is_empty():
        return None
    counted = days.group_by("day").len().sort("len", "day")
    last: date = counted["day"][-1]
    return last
