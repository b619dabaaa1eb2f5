"""Working days: the library's, what was announced since, and where the list ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path

import chinese_calendar
import pytest

from payment_world import World
from tieout.core.errors import TieoutError
from tieout.dates import days, workdays

LAST_YEAR = max(chinese_calendar.constants.holidays).year
NEW_YEAR, NATIONAL_DAY = date(LAST_YEAR + 1, 1, 1), date(LAST_YEAR + 1, 10, 1)
Announce = Callable[[str], None]


@pytest.fixture
def announce(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Announce]:
    """Have other announced days."""
    path = tmp_path / "announced_days.csv"
    monkeypatch.setattr(workdays, "ANNOUNCED_DAYS", path)

    def write(lines: str, head: str = "calendar_date,is_working_day,source\n") -> None:
        path.write_text(head + lines, encoding="utf-8")
        workdays.announced_days.cache_clear()

    yield write
    workdays.announced_days.cache_clear()


def next_year() -> str:
    """A year whose first Saturday is worked, in a week whose Monday is not."""
    saturday = NEW_YEAR + timedelta(days=(5 - NEW_YEAR.weekday()) % 7)
    return (
        f"{NEW_YEAR},false,No. 1\n{NATIONAL_DAY},false,No. 1\n"
        f"{saturday},true,No. 1\n{saturday + timedelta(days=2)},false,No. 1\n"
    )


def test_the_list_ends_with_the_library_s_last_year_where_nothing_is_announced(
    announce: Announce,
) -> None:
    announce("")
    assert workdays.known_through() == date(LAST_YEAR, 12, 31)
    with pytest.raises(TieoutError, match=f"no working-day calendar for {LAST_YEAR + 1}") as ended:
        workdays.is_working_day(NEW_YEAR)
    assert f"ends on {LAST_YEAR}-12-31" in ended.value.why
    assert "calendar-ends.md" in ended.value.next_step
    with pytest.raises(TieoutError):
        workdays.next_working_day(date(LAST_YEAR, 12, 31))


def test_an_announced_year_goes_on_with_its_make_up_days(announce: Announce) -> None:
    announce(next_year())
    assert workdays.known_through() == date(LAST_YEAR + 1, 12, 31)
    saturday = NEW_YEAR + timedelta(days=(5 - NEW_YEAR.weekday()) % 7)
    assert workdays.is_working_day(saturday)
    assert not workdays.is_working_day(saturday + timedelta(days=1))
    assert workdays.next_working_day(saturday) == saturday + timedelta(days=3)
    assert workdays.next_working_day(date(LAST_YEAR, 12, 31)) > NEW_YEAR
    rows = workdays.calendar_rows(NEW_YEAR, NEW_YEAR + timedelta(days=20))
    assert (saturday.isoformat(), "true") in {row[:2] for row in rows}


def test_what_is_announced_wins_over_the_library(announce: Announce) -> None:
    day = date(2026, 9, 24)
    announce("")
    assert workdays.is_working_day(day)
    announce(f"{day},false,the bank's own notice\n")
    assert not workdays.is_working_day(day)
    assert workdays.known_through() == date(LAST_YEAR, 12, 31)


@pytest.mark.parametrize(
    ("lines", "where"),
    [
        ("2027-02-30,false,x\n", "line 2"),
        ("2026-09-24,no,x\n", "line 2"),
        ("2026-09-24,false,\n", "line 2"),
        ("2026-09-24,false\n", "line 2"),
        ("2026-09-24,false,x\n2026-09-24,true,x\n", "line 3"),
        (f"{NEW_YEAR},false,x\n", "line 2"),
        (f"{NATIONAL_DAY},false,x\n", "line 2"),
        (f"{NEW_YEAR},true,x\n{NATIONAL_DAY},false,x\n", "line 3"),
    ],
)
def test_a_list_that_is_wrong_or_half_of_one_is_refused(
    announce: Announce, lines: str, where: str
) -> None:
    announce(lines)
    with pytest.raises(TieoutError, match="cannot be read") as refused:
        workdays.is_working_day(date(2026, 9, 24))
    assert refused.value.where.endswith(where)


def test_a_list_with_other_columns_is_refused(announce: Announce) -> None:
    announce("", "date,is_working_day,source\n")  # type: ignore[call-arg]
    with pytest.raises(TieoutError, match="cannot be read"):
        workdays.known_through()


def test_it_is_said_from_sixty_days_before_the_end(announce: Announce) -> None:
    announce("")
    last = workdays.known_through()
    assert workdays.ends_soon(last - timedelta(days=61)) is None
    said = workdays.ends_soon(last - timedelta(days=60))
    assert said is not None
    assert f"ends on {last}, 60 days after" in said


def test_no_date_closes_from_two_weeks_before_the_end(announce: Announce) -> None:
    announce("")
    last = workdays.known_through()
    workdays.refuse_end_of_list(last - timedelta(days=15))
    for left in (14, 0):
        with pytest.raises(TieoutError, match="no working-day calendar for") as stopped:
            workdays.refuse_end_of_list(last - timedelta(days=left))
        assert f"ends on {last}; from 14 days before" in stopped.value.why
        assert "calendar-ends.md" in stopped.value.next_step
    announce(next_year())
    workdays.refuse_end_of_list(last)


def test_a_close_stops_where_nobody_knows_when_it_is_paid(world: World) -> None:
    """Before it computes: the next working day of the list's last day is in no list."""
    days.refuse_unknown_calendar(world.settings, date(2026, 9, 24))
    for day in (17, 31):
        with pytest.raises(TieoutError, match="no working-day calendar"):
            days.refuse_unknown_calendar(world.settings, date(LAST_YEAR, 12, day))


def test_a_close_stops_where_the_reference_data_has_other_days(world: World) -> None:
    world.execute(
        "update reference.calendar_days set next_working_day = '2026-09-29'"
        " where calendar_date = '2026-09-24'"
    )
    with pytest.raises(TieoutError, match="are not those of the reference data") as refused:
        days.refuse_unknown_calendar(world.settings, date(2026, 9, 24))
    assert "2026, 9, 29" in refused.value.why
    with pytest.raises(TieoutError, match="are not those of the reference data"):
        days.refuse_unknown_calendar(world.settings, date(2026, 3, 2))
