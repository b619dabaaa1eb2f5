"""One execution of a date at a time, and what closing a date again opens: on a real database."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from types import SimpleNamespace

import pytest

import day_states
from tieout import database
from tieout.core.settings import Settings, load_settings
from tieout.dates import days
from tieout.runs import steps

CLOSE = days.ACCOUNTING_CLOSE
PAY = days.SETTLEMENT_PAYOUT
DAY_1, DAY_2, DAY_3 = date(2026, 9, 24), date(2026, 9, 25), date(2026, 9, 26)

HOLD_A_DATE = """
import sys, time
from datetime import date
from tieout.dates import days
from tieout.core.settings import load_settings
settings = load_settings()
with days.command_owner(settings) as owner:
    days.claim(settings, "accounting_close", date(2026, 9, 24), owner)
    print("held", flush=True)
    time.sleep(120)
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A home of this module's own: its dates are in nobody's way."""
    settings = load_settings({"TIEOUT_HOME": str(tmp_path_factory.mktemp("leases"))})
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


def set_state(settings: Settings, day: date, state: str) -> None:
    with database.connect(settings) as connection:
        day_states.set_state(connection, day, state)


def open_window(settings: Settings, first: date = DAY_1) -> None:
    """Note a sample week, which is where the window comes from while no file has landed."""
    (settings.home / "sample.json").write_text(
        f'{{"first_accounting_date": "{first}", "last_accounting_date": "2026-09-30"}}'
    )


def test_a_second_run_of_a_date_is_refused_while_the_first_lives(settings: Settings) -> None:
    open_window(settings)
    with days.command_owner(settings) as owner:
        days.claim(settings, CLOSE, DAY_1, owner)
        days.claim(settings, CLOSE, DAY_1, owner)  # the same run may come back
        with pytest.raises(days.DateBusyError, match="accounting_close of 2026-09-24 is running"):
            days.claim(settings, CLOSE, DAY_1, "manual__another")
        with pytest.raises(days.DateBusyError):
            days.require_lease(settings, CLOSE, DAY_1, "manual__another")
        days.release(settings, CLOSE, DAY_1, "manual__another")
        days.require_lease(settings, CLOSE, DAY_1, owner)
    # A command that has ended has given its dates back.
    days.claim(settings, CLOSE, DAY_1, "manual__another")


def test_a_killed_command_s_date_is_taken_over(settings: Settings) -> None:
    open_window(settings)
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD_A_DATE],
        env={**os.environ, "TIEOUT_HOME": str(settings.home)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline().strip() == "held"
        with pytest.raises(days.DateBusyError):
            days.claim(settings, CLOSE, DAY_1, "manual__after_it")
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    with days.command_owner(settings) as owner:  # waits until the server has noticed
        days.claim(settings, CLOSE, DAY_1, owner)
        days.require_lease(settings, CLOSE, DAY_1, owner)


def an_hour_later(settings: Settings) -> None:
    """Let an hour have passed since a step began or ended."""
    with database.connect(settings) as connection:
        connection.execute(
            "update control.date_leases set renewed_at = renewed_at - interval '1 h'"
        )


def test_an_airflow_run_that_is_gone_holds_nothing(settings: Settings) -> None:
    open_window(settings)
    days.claim(settings, CLOSE, DAY_1, "scheduled__gone")
    with pytest.raises(days.DateBusyError, match="belongs to scheduled__gone"):
        days.claim(settings, CLOSE, DAY_1, "scheduled__new")
    an_hour_later(settings)
    days.claim(settings, CLOSE, DAY_1, "scheduled__new")
    days.require_lease(settings, CLOSE, DAY_1, "scheduled__new")


def test_an_airflow_run_is_at_work_while_a_step_of_it_runs(settings: Settings) -> None:
    open_window(settings)
    days.claim(settings, CLOSE, DAY_1, "scheduled__long")
    an_hour_later(settings)
    assert [lease.is_alive for lease in days.leases(settings)] == [False]
    with days.at_work(settings, "scheduled__long"), days.at_work(settings, "scheduled__long"):
        an_hour_later(settings)  # that the step has taken so far
        assert [lease.is_alive for lease in days.leases(settings)] == [True]
        assert days.holder(settings, CLOSE, DAY_1, "scheduled__new") == "scheduled__long"
        with pytest.raises(days.DateBusyError):
            days.claim(settings, CLOSE, DAY_1, "scheduled__new")
    # Until its next step begins it is believed.
    assert days.holder(settings, CLOSE, DAY_1, "scheduled__new") == "scheduled__long"
    an_hour_later(settings)
    assert days.holder(settings, CLOSE, DAY_1, "scheduled__new") is None


def test_a_task_works_for_its_run(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIEOUT_HOME", str(settings.home))
    open_window(settings)
    days.claim(settings, CLOSE, DAY_1, "scheduled__long")
    an_hour_later(settings)

    def look(step: steps.Step) -> dict[str, int]:
        an_hour_later(settings)
        return {"alive": sum(lease.is_alive for lease in days.leases(step.settings))}

    context = {
        "dag": SimpleNamespace(dag_id=CLOSE),
        "task": SimpleNamespace(task_id="land"),
        "params": {"accounting_date": str(DAY_1)},
        "run_id": "scheduled__long",
    }
    assert steps.perform(look, context) == {"alive": 1}


def test_a_run_that_was_taken_over_does_not_renew_the_next_one_s_lease(settings: Settings) -> None:
    open_window(settings)
    days.claim(settings, CLOSE, DAY_1, "scheduled__gone")
    an_hour_later(settings)
    days.claim(settings, CLOSE, DAY_1, "scheduled__new")
    an_hour_later(settings)
    with days.at_work(settings, "scheduled__gone"):
        assert days.holder(settings, CLOSE, DAY_1, "scheduled__third") is None


def test_a_date_waits_for_the_date_before(settings: Settings) -> None:
    open_window(settings)
    assert days.missing_close(settings, DAY_1) is None, "the first date waits for nothing"
    assert days.missing_close(settings, DAY_2) == "2026-09-24 is open, not closed"
    with pytest.raises(days.DateNotReadyError, match="2026-09-24 is open"):
        days.claim(settings, CLOSE, DAY_2, "run")
    set_state(settings, DAY_1, "closed")
    days.claim(settings, CLOSE, DAY_2, "run")


def test_closing_a_date_again_opens_the_later_ones(settings: Settings) -> None:
    open_window(settings)
    for day in (DAY_1, DAY_2, DAY_3):
        set_state(settings, day, "closed")
    assert days.claim(settings, CLOSE, DAY_2, "run") == [DAY_3]
    states = [days.day_state(settings, day).state for day in (DAY_1, DAY_2, DAY_3)]
    assert states == ["closed", "open", "open"]
    assert days.mark_closed(settings, DAY_2, "run") == [DAY_3]
    assert days.day_state(settings, DAY_2).close_count == 2
    assert days.waiting_dates(settings, DAY_2) == [DAY_3]


def test_a_sealed_date_is_not_opened(settings: Settings) -> None:
    open_window(settings)
    set_state(settings, DAY_1, "sealed")
    with pytest.raises(days.NothingToDo, match="2026-09-24 is sealed, unchanged"):
        days.claim(settings, CLOSE, DAY_1, "run")
    assert days.day_state(settings, DAY_1).state == "sealed"
    with database.connect(settings) as connection:
        row = connection.execute("select count(*) from control.date_leases").fetchone()
    assert row == (0,), "a refused claim leaves no lease"


def test_only_the_holder_closes_a_date(settings: Settings) -> None:
    open_window(settings)
    days.claim(settings, CLOSE, DAY_1, "run")
    with pytest.raises(days.DateBusyError):
        days.mark_closed(settings, DAY_1, "another run")
    assert days.day_state(settings, DAY_1).state == "open"


def test_closing_and_paying_keep_out_of_each_other_s_way(settings: Settings) -> None:
    open_window(settings)
    for day in (DAY_1, DAY_2, DAY_3, date(2026, 9, 27)):
        set_state(settings, day, "closed")
    payment_date = date(2026, 9, 28)
    with days.command_owner(settings) as owner:
        days.claim(settings, PAY, payment_date, owner)
        with pytest.raises(days.DateBusyError, match="settlement_payout of 2026-09-28 is running"):
            days.claim(settings, CLOSE, DAY_1, "run")
        days.release(settings, PAY, payment_date, owner)
        days.claim(settings, CLOSE, DAY_1, owner)
        with pytest.raises(days.DateBusyError, match="accounting_close of 2026-09-24 is running"):
            days.claim(settings, PAY, payment_date, "run")


def test_a_payment_date_waits_for_its_dates_and_for_earlier_payments(settings: Settings) -> None:
    open_window(settings)
    assert days.missing_payment(settings, date(2026, 9, 28)) == (
        "not closed: 2026-09-24, 2026-09-25, 2026-09-26, 2026-09-27"
    )
    for number in range(24, 29):
        set_state(settings, date(2026, 9, number), "closed")
    assert days.missing_payment(settings, date(2026, 9, 28)) is None
    assert days.missing_payment(settings, date(2026, 9, 29)) == (
        "payment date 2026-09-28 (accounting date 2026-09-24) is not paid yet"
    )
    assert not days.is_paid(settings, date(2026, 9, 28))


def test_a_fingerprint_names_the_landed_files_up_to_the_date(settings: Settings) -> None:
    before = [days.inputs_fingerprint(settings, day) for day in (DAY_1, DAY_2)]
    sha256 = "ab" * 32
    with database.connect(settings) as connection:
        connection.execute(
            """
            insert into control.channel_files (
                file_id, file_name, file_url, sha256, size_bytes, channel, file_kind,
                accounting_date, row_count, totals_status, status
            )
            values (%s, 'a', 'file:///a', %s, 1, 'unionpay', 'acomn', %s, 1, 'agree', 'landed')
            """,
            [sha256[:16], sha256, DAY_2],
        )
    after = [days.inputs_fingerprint(settings, day) for day in (DAY_1, DAY_2)]
    assert after[0] == before[0], "a file of a later date is nothing to an earlier close"
    assert after[1] != before[1]
