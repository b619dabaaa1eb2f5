"""Which files a date owes: one list, which landing, the close, dbt and the gate's checks ask."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest

import channel_files as make
from landing_world import own_database, place, put, whole_day
from tieout import database, landing
from tieout.channels.registry import expected_name
from tieout.core.settings import Settings
from tieout.files import cutoffs, expected

__all__ = ["own_database", "place"]

DAY = make.DAY  # a Thursday
HOLIDAY = date(2026, 9, 25)  # Mid-Autumn
SHANGHAI = ZoneInfo("Asia/Shanghai")


@pytest.fixture
def lists(place: Settings) -> Iterator[psycopg.Connection[Any]]:
    """A connection that may change the lists; they are as before after the test."""
    with database.connect(place, autocommit=True) as connection:
        connection.execute("create table public.kept as table reference.expected_files")
        connection.execute("create table public.kept_days as table reference.calendar_days")
        try:
            yield connection
        finally:
            connection.execute("truncate reference.expected_files, reference.calendar_days")
            connection.execute("insert into reference.expected_files table public.kept")
            connection.execute("insert into reference.calendar_days table public.kept_days")
            connection.execute("drop table public.kept, public.kept_days")


def owed(connection: psycopg.Connection[Any], first: date, last: date) -> set[tuple[Any, ...]]:
    """Return date, kind and part of the name of what is owed."""
    return set(
        connection.execute(
            "select accounting_date, file_kind, name_part from control.owed_files(%s, %s)",
            [first, last],
        ).fetchall()
    )


def list_only(connection: psycopg.Connection[Any], *rows: tuple[object, ...]) -> None:
    """Make these the whole list."""
    connection.execute("truncate reference.expected_files")
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into reference.expected_files values (%s, %s, %s, %s, %s, %s)", rows
        )


def test_each_listed_file_is_of_a_kind_we_can_land(place: Settings) -> None:
    files = expected.owed_files(place, DAY)
    assert len(files) == 13  # all but the opening balances, since nothing says it is the first
    for file in files:
        assert expected_name(file.channel, file.file_kind, DAY), file


def test_a_file_is_due_in_business_time(place: Settings) -> None:
    files = expected.owed_files(place, DAY)
    (due,) = [file.due_at for file in files if file.channel == "wechat"]
    assert due == datetime(2026, 9, 25, 10, 30, tzinfo=SHANGHAI)
    assert str(due.tzinfo) == "Asia/Shanghai"


def test_each_calendar_owes_on_its_own_dates(lists: psycopg.Connection[Any]) -> None:
    list_only(
        lists,
        ("bank", "daily", "every_day", 0, "by_person", None),
        ("bank", "weekday", "working_day", 0, "by_person", None),
        ("bank", "first", "first_accounting_date", 0, "by_person", None),
    )
    assert owed(lists, DAY, HOLIDAY) == {
        (DAY, "daily", ""),
        (DAY, "weekday", ""),
        (HOLIDAY, "daily", ""),
    }


def test_what_nobody_knows_is_owed(lists: psycopg.Connection[Any]) -> None:
    """A calendar that is not known, and a date that the calendar does not hold, let nothing out."""
    list_only(
        lists,
        ("bank", "moon", "every_moon", 0, "by_person", None),
        ("bank", "weekday", "working_day", 0, "by_person", ""),
    )
    assert owed(lists, HOLIDAY, HOLIDAY) == {(HOLIDAY, "moon", "")}
    lists.execute("delete from reference.calendar_days where calendar_date = %s", [HOLIDAY])
    assert owed(lists, HOLIDAY, HOLIDAY) == {(HOLIDAY, "moon", ""), (HOLIDAY, "weekday", "")}


def test_the_first_date_owes_the_opening_balances(
    place: Settings, lists: psycopg.Connection[Any]
) -> None:
    for name, content in whole_day().items():
        put(place, name, content)
    landing.land(place)
    opening = {row for row in owed(lists, DAY, DAY + timedelta(days=9)) if "opening" in row[1]}
    assert opening == {(DAY, "opening_balances", "")}


def test_a_window_that_moved_takes_nothing_from_the_first_date(
    place: Settings, lists: psycopg.Connection[Any]
) -> None:
    """The newest window may say another first date: what the first one said of itself counts on."""
    later = DAY + timedelta(days=1)
    for day in (DAY, later):
        for name, content in whole_day(day).items():
            if "operating_window" in name:
                put(place, name, content)
    landing.land(place)
    lists.execute(
        "update raw.platform_operating_window set first_accounting_date = %s"
        " where accounting_date = %s",
        [later, later],
    )
    opening = {row[0] for row in owed(lists, DAY, later) if "opening" in row[1]}
    assert opening == {DAY, later}


def test_of_two_merchants_the_one_whose_file_is_missing_is_named(
    place: Settings, lists: psycopg.Connection[Any]
) -> None:
    list_only(
        lists,
        *(
            ("wechat", "trade_bill", "every_day", 2070, "by_itself", f"channel_merchant_id={no}")
            for no in ("1900000109", "190000010")
        ),
    )
    put(place, "1900000109All2026-09-24.csv", make.wechat_bill([make.WECHAT_PAYMENT]))
    landing.land(place)
    assert [str(file) for file in landing.missing_files(place, DAY)] == [
        "wechat trade_bill channel_merchant_id=190000010 of 2026-09-24 "
        "(wechat/20260924/…All2026-09-24.csv), due 2026-09-25 10:30"
    ]


@pytest.mark.parametrize(
    ("slot", "name_part", "is_it"),
    [
        ("wechat/trade_bill/2026-09-24/merchant=1", "merchant=1", True),
        ("wechat/trade_bill/2026-09-24/merchant=12", "merchant=1", False),
        ("merchant=1/x", "merchant=1", True),
        ("wechat/trade_bill", "", True),
        ("wechat/trade_bill", None, True),
        (None, "", True),
        (None, "merchant=1", False),
    ],
)
def test_a_part_of_the_name_is_a_whole_part(
    connection: psycopg.Connection[Any], slot: str | None, name_part: str | None, is_it: bool
) -> None:
    row = connection.execute("select control.slot_has_part(%s, %s)", [slot, name_part]).fetchone()
    assert row == (is_it,)


def test_a_date_that_owes_nothing_is_an_error(
    place: Settings, lists: psycopg.Connection[Any]
) -> None:
    list_only(lists)
    for ask in (expected.owed_files, landing.missing_files):
        with pytest.raises(landing.LandingError, match=r"no file is owed for 2026-09-24"):
            ask(place, DAY)


def test_corrections_come_by_themselves_only_where_every_row_of_the_kind_says_so(
    place: Settings, lists: psycopg.Connection[Any]
) -> None:
    list_only(
        lists,
        ("wechat", "trade_bill", "every_day", 0, "by_itself", "merchant=1"),
        ("wechat", "trade_bill", "every_day", 0, "by_person", "merchant=2"),
        ("alipay", "trade_bill", "every_day", 0, "by_itself", None),
    )
    assert expected.correctable_kinds(place) == {("alipay", "trade_bill")}


def test_without_reference_data_nothing_lands_by_a_guess(
    settings: Settings, connection: psycopg.Connection[Any]
) -> None:
    """The session's database has seen its migrations only."""
    assert expected.correctable_kinds(settings) == frozenset()
    with pytest.raises(landing.LandingError, match="no file can land yet"):
        cutoffs.cutoffs(connection)
    with pytest.raises(landing.LandingError, match="the reference data is not loaded"):
        landing.missing_files(settings, DAY)
