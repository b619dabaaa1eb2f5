"""The calendar of arrivals and payments: each channel by its own lag, what was paid as it was."""

from __future__ import annotations

from datetime import date

import pytest

import payment_world
from payment_world import World
from tieout.dates import days

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


assert payment_world.PAYMENT_DATE == MON
