"""The date of a run: one function, and every way of starting a run agrees in it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from tieout import database
from tieout.core.errors import TieoutError
from tieout.core.settings import Settings
from tieout.dates import days
from tieout.runs import runner
from tieout.simulator import sample

SHANGHAI = timezone(timedelta(hours=8))


@pytest.mark.parametrize(
    ("way", "param", "logical_date", "expected"),
    [
        # The run that starts on 25 September 10:00 in Shanghai has this logical date.
        ("scheduled", None, datetime(2026, 9, 24, 2, tzinfo=UTC), date(2026, 9, 24)),
        ("backfill", None, datetime(2026, 9, 30, 2, tzinfo=UTC), date(2026, 9, 30)),
        ("airflow dags test", None, datetime(2026, 9, 24, tzinfo=UTC), date(2026, 9, 24)),
        ("dag.test", None, datetime(2026, 9, 24, 10, tzinfo=SHANGHAI), date(2026, 9, 24)),
        ("the UI, param", "2026-09-26", datetime(2026, 11, 1, tzinfo=UTC), date(2026, 9, 26)),
        ("the API, no logical date", "2026-09-26", None, date(2026, 9, 26)),
        ("empty param", "", datetime(2026, 9, 24, 2, tzinfo=UTC), date(2026, 9, 24)),
        # 16:00 UTC is the next day in Shanghai; `ds` would be a day behind.
        ("evening in UTC", None, datetime(2026, 9, 24, 16, tzinfo=UTC), date(2026, 9, 25)),
        ("year's end", None, datetime(2026, 12, 31, 20, tzinfo=UTC), date(2027, 1, 1)),
    ],
)
def test_every_way_of_starting_a_run_gives_its_date(
    way: str, param: object, logical_date: datetime | None, expected: date
) -> None:
    assert days.business_date(param, logical_date) == expected, way


@pytest.mark.parametrize(
    ("param", "logical_date"),
    [
        (None, None),
        ("", None),
        ("24.09.2026", None),
        ("2026-02-30", None),
        (None, datetime(2026, 9, 24)),  # noqa: DTZ001  the naive date is the case
    ],
)
def test_a_run_without_a_usable_date_fails(param: object, logical_date: datetime | None) -> None:
    with pytest.raises(TieoutError) as caught:
        days.business_date(param, logical_date)
    assert caught.value.next_step


@pytest.mark.parametrize("kind", sorted(runner.SCHEDULE_HOURS))
def test_a_command_uses_the_logical_date_of_the_schedule(kind: str) -> None:
    day = date(2026, 9, 24)
    logical_date = runner.logical_date_of(kind, day)
    assert days.business_date(None, logical_date) == day
    assert logical_date.utcoffset() == timedelta(hours=8)


@pytest.mark.parametrize(
    ("payment_date", "expected"),
    [
        (date(2026, 9, 25), []),  # Mid-Autumn
        (date(2026, 9, 27), []),  # a Sunday
        (date(2026, 9, 28), [24, 25, 26, 27]),
        (date(2026, 9, 29), [28]),
        (date(2026, 9, 30), [29]),
        (date(2026, 10, 1), []),  # National Day
        (date(2026, 10, 8), [30]),  # a week ahead
        (date(2026, 10, 9), []),  # nothing after the last accounting date
        (date(2026, 9, 24), []),  # nothing before the first
    ],
)
def test_a_payment_date_pays_the_dates_since_the_working_day_before(
    payment_date: date, expected: list[int], settings: Settings
) -> None:
    """Before the first close has loaded the reference data, too (tests/unit/test_calendar.py)."""
    window = days.OperatingWindow(date(2026, 9, 24), date(2026, 9, 30))
    covered = days.covered_dates(settings, payment_date, window)
    assert [day.day for day in covered] == expected


def test_without_a_window_every_date_is_a_business_date(settings: Settings) -> None:
    assert days.covered_dates(settings, date(2026, 10, 8), None)[0] == date(2026, 9, 30)
    assert len(days.covered_dates(settings, date(2026, 10, 8), None)) == 8


def test_the_sample_week_runs_in_the_clock_s_order(settings: Settings) -> None:
    database.migrate(settings)
    events = [
        f"{event.kind.split('_')[1]} {event.day.day}"
        for event in sample.clock_order(settings, date(2026, 9, 24), date(2026, 9, 30))
    ]
    assert events == [
        *["close 24", "close 25", "close 26", "close 27"],
        *["payout 28", "answers 28", "outcomes 28", "close 28"],
        *["payout 29", "answers 29", "outcomes 29", "close 29"],
        *["payout 30", "answers 30", "outcomes 30", "close 30"],
        *["payout 8", "answers 8", "outcomes 8"],
    ]
