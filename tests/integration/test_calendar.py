"""One calendar: a knob of the reference data is turned, and dates are closed and paid by it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

import prepared_homes
from attack_world import World
from tieout import database
from tieout.commands import overview
from tieout.dates import days
from tieout.simulator import Funds, sample, simulate

pytestmark = pytest.mark.slow

MON = date(2026, 9, 21)
TUE, WED, THU = (MON + timedelta(days=step) for step in range(1, 4))
SLOW, LAG_DAYS = "unionpay", 2


@pytest.fixture(scope="module")
def late(prepared_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Monday and Tuesday, closed and paid with a channel whose money takes two days."""
    settings = prepared_homes.copy(prepared_home, tmp_path_factory.mktemp("late") / "home")
    try:
        prepared_homes.start_carelessly(settings)
        with database.connect(settings) as connection:
            connection.execute(
                "update reference.channels set arrival_lag_days = %s where channel = %s",
                [LAG_DAYS, SLOW],
            )
        options = sample.SampleOptions(seed=7, first=MON, days=2, transactions=60, merchants=8)
        simulate(
            settings.inbox_url.removeprefix("file://"), 7, MON, 2, 60, 8, [], settings.truth_dir,
            deliver_through=TUE, funds=Funds(lags=((SLOW, LAG_DAYS),)),
        )  # fmt: skip
        sample.note_sample(settings, options)
        world = World(settings)
        world.must(world.close(MON))
        sample.approve_first_list(settings, lambda _: None)
        for payment_date in (TUE, WED, THU):
            world.must(world.pay(payment_date))
            world.evening(payment_date)
            if payment_date == TUE:
                world.must(world.close(TUE))
        yield world
    finally:
        database.stop_server(settings)


def test_a_slow_channel_is_paid_when_its_money_is_there(late: World) -> None:
    stated = late.rows(
        """
        select entries.channel, entries.accounting_date, lines.payment_date, count(*) > 0
        from settlement.statement_lines as lines
        inner join clearing.clearing_entries as entries
            on entries.entry_id = lines.entry_id
            and entries.accounting_date = lines.accounting_date
        where entries.clearing_session_type = 'transaction'
        group by entries.channel, entries.accounting_date, lines.payment_date
        order by entries.accounting_date, entries.channel, lines.payment_date
        """
    )
    assert stated == [
        ("alipay", MON, TUE, True),
        ("unionpay", MON, WED, True),
        ("wechat", MON, TUE, True),
        ("alipay", TUE, WED, True),
        ("unionpay", TUE, THU, True),
        ("wechat", TUE, WED, True),
    ]


def test_the_last_date_s_slow_money_is_paid_after_the_business_s_last_date(late: World) -> None:
    paid = {day: late.total_paid(day) for day in (TUE, WED, THU)}
    assert min(paid.values()) > 0
    assert days.first_unpaid(late.settings) is None
    groups = late.rows(
        "select payment_date, channel, residual_minor, line_count > 0 from gate.balance_equation"
        " where channel = %s order by payment_date",
        [SLOW],
    )
    assert groups == [(WED, SLOW, 0, True), (THU, SLOW, 0, True)]
    cleared = late.rows(
        "select count(*), sum(clearing_amount_minor) from clearing.clearing_entries"
    )
    stated = late.rows(
        "select count(*), sum(clearing_amount_minor) from settlement.statement_lines"
    )
    assert cleared == stated


def test_each_channel_s_seal_names_its_own_payment(late: World) -> None:
    seals = late.rows(
        "select accounting_date, channel, payment_date, arrival_date"
        " from control.accounting_day_seals order by accounting_date, channel"
    )
    assert seals == [
        (MON, "alipay", TUE, TUE),
        (MON, "unionpay", WED, WED),
        (MON, "wechat", TUE, TUE),
        (TUE, "alipay", WED, WED),
        (TUE, "unionpay", THU, THU),
        (TUE, "wechat", WED, WED),
    ]
    assert days.payment_dates_of(late.settings, MON) == [TUE, WED]


def test_the_days_show_every_payment(late: World) -> None:
    assert overview._payments_shown_on(late.settings, [MON, TUE]) == {MON: [TUE], TUE: [WED, THU]}


def test_a_lag_that_changes_changes_no_date_that_is_paid(late: World) -> None:
    with database.connect(late.settings) as connection:
        connection.execute("update reference.channels set arrival_lag_days = 4")
        rows = connection.execute(
            "select distinct channel, payment_date from control.arrival_calendar(%s, %s)"
            " order by channel",
            [MON, MON],
        ).fetchall()
        connection.rollback()
    assert rows == [("alipay", TUE), ("unionpay", WED), ("wechat", TUE)]
