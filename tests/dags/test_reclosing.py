"""The order in which dates are closed again, and what the DAG `accounting_reclose` leaves alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta

import pytest

import day_states
from reference_lists import load_lists
from tieout import database
from tieout.core.errors import TieoutError
from tieout.core.settings import Settings, load_settings
from tieout.dates import days
from tieout.runs import closing, reclosing, steps

FIRST, SECOND, THIRD, FOURTH = (date(2026, 9, number) for number in range(24, 28))
# Four in the afternoon of the 27th in Shanghai: the closes up to the 26th were due.
NOW = datetime(2026, 9, 27, 8, tzinfo=UTC)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A home of this module's own: its dates are in nobody's way."""
    settings = load_settings({"TIEOUT_HOME": str(tmp_path_factory.mktemp("reclosing"))})
    (settings.home / "sample.json").write_text(
        f'{{"first_accounting_date": "{FIRST}", "last_accounting_date": "2026-09-30"}}'
    )
    try:
        database.migrate(settings)
        yield settings
    finally:
        database.stop_server(settings)


@pytest.fixture
def settings(home: Settings) -> Settings:
    """The home without any date."""
    with database.connect(home) as connection:
        connection.execute("truncate control.date_leases")
        day_states.forget_dates(connection)
    return home


# A run has begun a date and not closed it; a date was closed and is open again.
WORDS = {"begun": "open", "reopened": "closed"}


def set_states(settings: Settings, *states: str) -> None:
    """Give the dates from the first on their states."""
    with database.connect(settings) as connection:
        for number, state in enumerate(states):
            day = FIRST + timedelta(days=number)
            day_states.set_state(connection, day, WORDS.get(state, state))
            if state == "reopened":
                day_states.set_state(connection, day, "open")


@dataclass
class Closing:
    """Closes a date by its state alone. The first try of one in `opens` opens those, and fails."""

    settings: Settings
    opens: dict[date, tuple[date, ...]] = field(default_factory=dict)
    nothing_to_do: frozenset[date] = frozenset()
    tried: list[date] = field(default_factory=list)

    def __call__(self, day: date) -> bool:
        self.tried.append(day)
        if day in self.nothing_to_do:
            return False
        if day in self.opens:
            with database.connect(self.settings) as connection:
                for opened in self.opens.pop(day):
                    day_states.set_state(connection, opened, "open")
            raise TieoutError(what=f"{day} does not close")
        days.claim(self.settings, days.ACCOUNTING_CLOSE, day, "test")
        days.mark_closed(self.settings, day, "test")
        days.release(self.settings, days.ACCOUNTING_CLOSE, day, "test")
        return True


def test_what_a_file_opened_comes_before_what_was_asked_for(settings: Settings) -> None:
    set_states(settings, "closed", "reopened", "reopened")
    by_state = Closing(settings)
    assert list(reclosing.in_order(settings, [FOURTH], by_state)) == [SECOND, THIRD, FOURTH]
    assert by_state.tried == [SECOND, THIRD, FOURTH]


def test_a_date_asked_for_again_brings_the_later_closed_ones(settings: Settings) -> None:
    set_states(settings, "closed", "closed", "closed")
    assert list(reclosing.in_order(settings, [SECOND], Closing(settings))) == [SECOND, THIRD]


def test_what_a_run_itself_opened_is_closed_and_then_the_date_once_more(
    settings: Settings,
) -> None:
    set_states(settings, "closed", "closed")
    by_state = Closing(settings, opens={THIRD: (FIRST, SECOND)})
    assert list(reclosing.in_order(settings, [THIRD], by_state)) == [FIRST, SECOND, THIRD]
    assert by_state.tried == [THIRD, FIRST, SECOND, THIRD]


def test_a_date_that_opens_nothing_ends_the_order_with_its_error(settings: Settings) -> None:
    set_states(settings, "closed", "reopened")
    by_state = Closing(settings, opens={SECOND: ()})
    with pytest.raises(TieoutError, match="2026-09-25 does not close"):
        list(reclosing.in_order(settings, [THIRD], by_state))
    assert by_state.tried == [SECOND]


def test_a_date_that_opens_the_same_dates_again_does_not_go_on_for_ever(
    settings: Settings,
) -> None:
    set_states(settings, "closed", "closed")

    def close(day: date) -> bool:
        if day == THIRD:
            by_state.opens[THIRD] = (SECOND,)
        return by_state(day)

    by_state = Closing(settings)
    with pytest.raises(TieoutError, match="2026-09-26 does not close"):
        list(reclosing.in_order(settings, [THIRD], close))
    assert by_state.tried == [THIRD, SECOND, THIRD]


def test_a_date_with_nothing_to_do_is_asked_once(settings: Settings) -> None:
    set_states(settings, "sealed")
    by_state = Closing(settings, nothing_to_do=frozenset({FIRST}))
    assert list(reclosing.in_order(settings, [FIRST, SECOND], by_state)) == [SECOND]
    assert by_state.tried == [FIRST, SECOND]


@pytest.mark.parametrize(
    ("states", "now", "waiting"),
    [
        # No run has begun any: that is a backfill's.
        ((), NOW, []),
        (("sealed", "closed"), NOW, []),
        (("begun",), NOW, [FIRST, SECOND, THIRD]),
        # At nine the close of the 26th is not due yet.
        (("begun",), NOW.replace(hour=1), [FIRST, SECOND]),
        (("sealed", "closed", "begun"), NOW, [THIRD]),
        # What was closed once waits whatever the clock says.
        (("sealed", "reopened", "reopened"), NOW - timedelta(days=3), [SECOND, THIRD]),
        (("closed", "closed", "closed"), NOW, []),
    ],
)
def test_which_dates_wait(
    settings: Settings, states: tuple[str, ...], now: datetime, waiting: list[date]
) -> None:
    set_states(settings, *states)
    assert reclosing.waiting_dates(settings, FOURTH, now) == waiting


def test_dates_after_the_business_ended_do_not_wait(settings: Settings) -> None:
    set_states(settings, *["closed"] * 7)
    later = datetime(2026, 10, 9, tzinfo=UTC)
    assert reclosing.waiting_dates(settings, date(2026, 10, 9), later) == []


def step(settings: Settings, name: str = "close") -> steps.Step:
    return steps.Step(settings, days.ACCOUNTING_RECLOSE, FOURTH, "scheduled__x", name, now=NOW)


def test_a_date_without_its_files_is_left_and_said(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    set_states(settings, "begun")
    with database.connect(settings) as connection:
        load_lists(connection)
    assert reclosing.close(step(settings)) == {"dates": 3, "closed_dates": 0}
    said = capsys.readouterr().err
    assert "wait to be closed: 2026-09-24, 2026-09-25, 2026-09-26" in said
    assert "held up: 2026-09-24 is not complete: alipay trade_bill of 2026-09-24" in said
    assert days.day_state(settings, FIRST).close_count == 0
    assert days.leases(settings) == []


def test_a_date_in_work_is_left_to_the_run_that_has_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reclosing, "_refuse_incomplete", lambda settings, day: None)
    with days.command_owner(settings) as owner:
        days.claim(settings, days.ACCOUNTING_CLOSE, FIRST, owner)
        counts = reclosing.close(step(settings))
        days.require_lease(settings, days.ACCOUNTING_CLOSE, FIRST, owner)
    assert counts == {"dates": 3, "closed_dates": 0}
    assert "2026-09-24 is being closed by command:" in capsys.readouterr().err


def test_a_run_waits_for_the_other_that_closes_its_date(settings: Settings) -> None:
    with days.command_owner(settings) as owner:
        days.claim(settings, days.ACCOUNTING_CLOSE, FIRST, owner)
        run = steps.Step(settings, days.ACCOUNTING_CLOSE, FIRST, "scheduled__y", "ready", now=NOW)
        assert closing.ready(run) == f"2026-09-24 is being closed by {owner}"
        # A command that only asks goes on, to wait for that run.
        assert closing.ready(replace(run, owner=steps.PREFLIGHT)) is None
    assert closing.ready(run) is None


def test_a_date_that_does_not_close_fails_the_run_and_tells_the_command(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_states(settings, "begun")
    monkeypatch.setattr(reclosing, "_refuse_incomplete", lambda settings, day: None)
    with pytest.raises(TieoutError, match="files are missing"):
        reclosing.close(step(settings))
    noted = steps.read_failure(settings, days.ACCOUNTING_CLOSE, FIRST)
    assert noted is not None
    assert noted.stage == "complete"
    assert days.leases(settings) == [], "the date is given back"


def test_nothing_waits_is_a_skip(settings: Settings) -> None:
    set_states(settings, "closed", "closed", "closed")
    with pytest.raises(days.NothingToDo, match="no date waits"):
        reclosing.close(step(settings))
    set_states(settings, "sealed", "sealed", "sealed")
    with pytest.raises(days.NothingToDo, match="is paid"):
        reclosing.ready(step(settings, "ready"))
