"""One calendar: a knob of the reference data is turned, and dates are closed and paid by it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Final, LiteralString

import pytest

import prepared_homes
import true_outcomes
from attack_world import World
from tieout import database
from tieout.commands import overview
from tieout.dates import days
from tieout.simulator import Funds, sample, simulate

pytestmark = pytest.mark.slow

MON = date(2026, 9, 21)
TUE, WED, THU = (MON + timedelta(days=step) for step in range(1, 4))
SLOW: Final = "unionpay"
LAG_DAYS: Final = "2"


@contextmanager
def two_dates(
    stopped: Path, home: Path, knob: LiteralString, funds: Funds, payment_dates: Sequence[date]
) -> Iterator[World]:
    """Close and pay Monday and Tuesday of an acquirer, with one knob of its channels turned."""
    settings = prepared_homes.copy(stopped, home)
    try:
        prepared_homes.start_carelessly(settings)
        with database.connect(settings) as connection:
            connection.execute(knob)
        options = sample.SampleOptions(seed=7, first=MON, days=2, transactions=60, merchants=8)
        simulate(
            settings.inbox_url.removeprefix("file://"), 7, MON, 2, 60, 8, [], settings.truth_dir,
            deliver_through=TUE, funds=funds,
        )  # fmt: skip
        sample.note_sample(settings, options)
        world = World(settings)
        world.must(world.close(MON))
        sample.approve_first_list(settings, lambda _: None)
        for payment_date in payment_dates:
            world.must(world.pay(payment_date))
            world.evening(payment_date)
            if payment_date == TUE:
                world.must(world.close(TUE))
        yield world
    finally:
        database.stop_server(settings)


@pytest.fixture(scope="module")
def late(prepared_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Monday and Tuesday, closed and paid with a channel whose money takes two days."""
    knob: LiteralString = (
        f"update reference.channels set arrival_lag_days = {LAG_DAYS} where channel = '{SLOW}'"
    )
    home = tmp_path_factory.mktemp("late") / "home"
    funds = Funds(lags=((SLOW, int(LAG_DAYS)),))
    with two_dates(prepared_home, home, knob, funds, (TUE, WED, THU)) as world:
        yield world


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


# --- cutoffs --------------------------------------------------------------------------------------


def demand_the_truth(world: World) -> None:
    """Demand of each record the outcome that the simulator played, and that all of it is paid."""
    expected = true_outcomes.true_results(world.settings)
    found = true_outcomes.computed_results(world.settings)
    assert sorted(expected - found)[:5] == []
    assert sorted(found - expected)[:5] == []
    assert min(world.total_paid(day) for day in (TUE, WED)) > 0


def sales(world: World, day: date, channel: str, hours: tuple[str, str], outcome: str) -> int:
    """Count a channel's sales of some hours that ended so on a date."""
    ((count,),) = world.rows(
        """
        select count(*)
        from reconciliation.reconciliation_results as results
        inner join raw.platform_source_vouchers as vouchers
            on results.system_transaction_id = vouchers.voucher_id
        where results.accounting_date = %s and results.channel = %s and results.outcome = %s
            and (vouchers.transaction_at at time zone 'Asia/Shanghai')::time
                between %s::time and %s::time
        """,
        [day, channel, outcome, *hours],
    )
    return int(count)


def test_a_channel_that_cuts_at_half_past_ten(
    prepared_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A sale of the last hour is in one file of it and no more, and in doubt where it is missed."""
    knob: LiteralString = (
        "update reference.channels set cutoff_minutes = 1350 where channel = 'wechat'"
    )
    home = tmp_path_factory.mktemp("early") / "home"
    funds = Funds(wechat_cutoff_minutes=1350)
    with two_dates(prepared_home, home, knob, funds, (TUE, WED)) as world:
        last_hour = ("23:00", "23:59:59")
        assert sales(world, TUE, "wechat", last_hour, "matched") > 0
        # One that its file lacks: the file before had ended by then, and cannot have had it.
        assert sales(world, TUE, "wechat", last_hour, "system_in_doubt") == 1
        assert sales(world, TUE, "wechat", last_hour, "system_one_sided") == 0
        demand_the_truth(world)


def test_a_platform_that_cuts_at_ten(
    prepared_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A sale after ten in the evening is the next date's, for every channel."""
    knob: LiteralString = (
        "update reference.channels set platform_cutoff_minutes = 1320,"
        " cutoff_minutes = cutoff_minutes - 60"
    )
    home = tmp_path_factory.mktemp("ten") / "home"
    funds = Funds(cutoff_minutes=1320)
    with two_dates(prepared_home, home, knob, funds, (TUE, WED)) as world:
        assert sales(world, MON, "unionpay", ("21:00", "22:00"), "matched") > 0
        demand_the_truth(world)
