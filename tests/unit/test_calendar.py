"""The calendar of arrivals and payments: each channel by its own lag, what was paid as it was."""

from __future__ import annotations

from datetime import date, timedelta

import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import payment_world
from oracle_cycles import due_on
from parts import examples
from payment_world import World
from tieout import database
from tieout.dates import days, workdays

THU, FRI, SAT, SUN = (date(2026, 9, day) for day in (24, 25, 26, 27))
MON, TUE, WED = (date(2026, 9, day) for day in (28, 29, 30))
WINDOW = days.OperatingWindow(THU, SUN)


@pytest.fixture
def slow(world: World) -> World:
    """A world in which one channel's money takes two days."""
    world.execute("update reference.channels set arrival_lag_days = 2 where channel = 'alipay'")
    return world


def dated(world: World) -> dict[str, list[tuple[date, date, date]]]:
    """Accounting, arrival and payment date by channel."""
    found: dict[str, list[tuple[date, date, date]]] = {}
    for channel, *dates in world.rows(
        "select channel, accounting_date, arrival_date, payment_date"
        " from control.arrival_calendar(%s, %s) order by accounting_date",
        (SUN, MON),
    ):
        found.setdefault(channel, []).append(tuple(dates))
    return found


def test_each_channel_has_its_own_lag_and_calendar(slow: World) -> None:
    assert dated(slow) == {
        "alipay": [(SUN, TUE, TUE), (MON, WED, WED)],
        "unionpay": [(SUN, MON, MON), (MON, TUE, TUE)],
        "wechat": [(SUN, MON, MON), (MON, TUE, TUE)],
    }


def test_a_lag_of_no_day_is_not_paid_before_the_date_is_over(world: World) -> None:
    world.execute(
        "update reference.channels set arrival_lag_days = 0, arrival_calendar = 'calendar_day'"
    )
    assert dated(world)["wechat"] == [(SUN, SUN, MON), (MON, MON, TUE)]


def test_a_payment_date_needs_what_it_pays_and_what_its_books_stand_on(slow: World) -> None:
    covered = {day: days.covered_dates(slow.settings, day, WINDOW) for day in (MON, TUE, WED)}
    assert covered == {MON: [THU, FRI, SAT, SUN], TUE: [SUN], WED: []}
    due = days.due_dates(slow.settings, TUE, WINDOW)
    assert [(each.channel, each.accounting_date) for each in due] == [("alipay", SUN)]
    assert days.payment_dates_of(slow.settings, SUN) == [MON, TUE]


def test_the_database_demands_the_inputs_of_a_slow_channel_s_dates(slow: World) -> None:
    assert slow.value("select control.first_paid_date(%s)", (TUE,)) == SUN
    slow.execute("update reference.channels set arrival_lag_days = 1")
    assert slow.value("select control.first_paid_date(%s)", (TUE,)) == MON


def test_without_reference_data_nothing_is_due(world: World) -> None:
    world.execute("drop table reference.channels cascade")
    assert days.paid_dates(world.settings, THU, SUN) == []
    assert days.covered_dates(world.settings, MON, WINDOW) == [THU, FRI, SAT, SUN]


# --- settlement cycles ----------------------------------------------------------------------------

CYCLES = ("T+1", "T+2", "T+5", "T+20", "weekly:MON", "weekly:FRI", "weekly:SUN", "monthly:1",
          "monthly:15", "monthly:28", "monthly:last")  # fmt: skip


def list_days(world: World, first: date, works: dict[date, bool]) -> None:
    """Make the world's calendar these days, each with the working days next to it."""
    listed = sorted(works)
    rows = [
        (
            day,
            works[day],
            max((other for other in listed if other < day and works[other]), default=None),
            min((other for other in listed if other >= day and works[other]), default=None),
            min((other for other in listed if other > day and works[other]), default=None),
        )
        for day in listed
        if day >= first
    ]
    with database.connect(world.settings) as connection, connection.cursor() as cursor:
        cursor.execute("truncate reference.calendar_days")
        with cursor.copy("copy reference.calendar_days from stdin") as copy:
            for row in rows:
                copy.write_row(row)


def differing(world: World, works: dict[date, bool], first: date, last: date) -> list[object]:
    """What the database and the oracle say of each cycle and accounting date, where they differ.

    Of each date twice: paid on the next working day, and by a channel whose money takes longer.
    """
    found = world.rows(
        """
        select cycles.cycle, days.calendar_date, payments.working_day_on_or_after,
            control.due_date(
                cycles.cycle, days.calendar_date, payments.working_day_on_or_after
            )
        from unnest(%s::text[]) as cycles (cycle)
        cross join reference.calendar_days as days
        cross join (values (1), (4)) as lags (lag_days)
        inner join reference.calendar_days as payments
            on payments.calendar_date = days.calendar_date + lags.lag_days
        where days.calendar_date between %s and %s
        """,
        (list(CYCLES), first, last),
    )
    assert len(found) == 2 * len(CYCLES) * ((last - first).days + 1)
    return [
        (cycle, day, said, expected)
        for cycle, day, paid_on, said in found
        if said != (expected := due_on(cycle, day, paid_on, works.__getitem__))
    ]


def test_cycles_pay_on_the_days_that_the_oracle_finds_over_two_years(world: World) -> None:
    """With both years' make-up working days."""
    first, last = workdays.FIRST_SEED_DATE, date(2026, 12, 31)
    span = [first + timedelta(days=step) for step in range((last - first).days + 1)]
    works = {day: workdays.is_working_day(day) for day in span}
    assert any(works[day] and day.weekday() == 6 for day in span), "no make-up Sunday"
    list_days(world, first, works)
    assert differing(world, works, date(2025, 2, 10), date(2026, 11, 20)) == []


@hypothesis_settings(
    deadline=None, max_examples=examples(8), suppress_health_check=list(HealthCheck)
)
@given(
    breaks=st.lists(st.tuples(st.integers(0, 120), st.integers(1, 9)), max_size=3),
    made_up=st.sets(st.integers(0, 130), max_size=8),
)
def test_cycles_pay_on_the_days_that_the_oracle_finds_in_any_calendar(
    world: World, breaks: list[tuple[int, int]], made_up: set[int]
) -> None:
    first = date(2026, 1, 1)
    span = [first + timedelta(days=step) for step in range(240)]
    works = {day: day.weekday() < 5 for day in span}
    for start, length in breaks:
        works |= dict.fromkeys(span[start : start + length], False)
    works |= dict.fromkeys((span[step] for step in made_up), True)
    list_days(world, first, works)
    assert differing(world, works, first + timedelta(days=40), first + timedelta(days=130)) == []


@pytest.mark.parametrize("cycle", ["T+20", "weekly:FRI", "monthly:15", "monthly:last"])
def test_a_due_date_past_the_list_is_refused_and_none_made_earlier(
    world: World, cycle: str
) -> None:
    world.execute("delete from reference.calendar_days where calendar_date > '2026-09-24'")
    with pytest.raises(psycopg.errors.NoDataFound, match="nobody knows when") as refused:
        world.value("select control.due_date(%s, '2026-09-23', '2026-09-24')", (cycle,))
    assert "ends on 2026-09-24" in (refused.value.diag.message_detail or "")


@pytest.mark.parametrize(
    "cycle", ["T+0", "D0", "T+21", "weekly", "weekly:fri", "monthly:29", "monthly:", "", None]
)
def test_no_other_cycle_has_a_due_date(world: World, cycle: str | None) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="is no settlement cycle"):
        world.value("select control.due_date(%s, '2026-09-24', '2026-09-28')", (cycle,))


assert payment_world.PAYMENT_DATE == MON
