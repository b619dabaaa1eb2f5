"""Airflow over a range with a paid date: it stays, the open ones are closed, what came is restated.

`airflow backfill create` on a running scheduler, and then `accounting_reclose` by its clock. The
first of three dates was paid, the second was closed, the third never begun; for the first a
corrected file has come since.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import psycopg
import pytest

import builds
import day_states
import prepared_homes
from tieout import database, landing
from tieout.core.settings import Settings
from tieout.runs import restating

from .conftest import tieout
from .test_backfill import (
    BACKFILL_SECONDS_MAX,
    RECLOSE_SECONDS_MAX,
    airflow_rows,
    backfill,
    failed_runs,
    let_the_clock_strike,
    scheduling,
    wait_for,
)
from .test_restatement import query, sealed_rows

pytestmark = pytest.mark.timeout(1800)

DATES = ["2026-09-28", "2026-09-29", "2026-09-30"]
SEALED, OPEN = date(2026, 9, 28), DATES[1:]


@pytest.fixture(scope="module")
def running(prepared_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A home with three dates, the first paid and the second closed, and `tieout ui` on it."""
    home = tmp_path_factory.mktemp("sealed_backfill") / "home"
    settings = prepared_homes.copy(prepared_home, home)
    try:
        prepared_homes.start_carelessly(settings)
        done = tieout(
            home, "simulate", "--from", DATES[0], "--days", "3", "--transactions", "60",
            "--merchants", "10",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        for day in map(date.fromisoformat, DATES[:2]):
            landing.land(settings, through_date=day)
            builds.close(settings, day)
            with database.connect(settings) as connection:
                day_states.set_state(connection, day, "closed")
        with database.connect(settings) as connection:
            day_states.set_state(connection, SEALED, "sealed")
        with scheduling(settings):
            begun(settings)
            yield settings
    finally:
        database.stop_server(settings)


def begun(settings: Settings) -> None:
    """Wait for the run that the scheduler begins with; no other closes dates meanwhile."""
    runs = "select distinct state from dag_run where dag_id = 'accounting_reclose'"
    wait_for(lambda: airflow_rows(settings, runs) == [("success",)], 600, settings.home / "ui.log")
    pause(settings, is_paused=True)


def pause(settings: Settings, *, is_paused: bool) -> None:
    url = database.airflow_url(settings).replace("postgresql+psycopg2://", "postgresql://")
    with psycopg.connect(url) as connection:
        changed = connection.execute(
            "update dag set is_paused = %s where dag_id = 'accounting_reclose'", [is_paused]
        )
        assert changed.rowcount == 1


def correct_terminal(settings: Settings, day: str) -> None:
    """Have the platform correct a terminal, which changes no amount."""
    number = day.replace("-", "")
    path = settings.home / f"inbox/platform/{number}/source_vouchers_{number}.csv"
    header, first, rest = path.read_text(encoding="utf-8").split("\n", 2)
    cells = first.split(",")
    cells[header.split(",").index("terminal_id")] = "88888888"
    path.write_text("\n".join([header, ",".join(cells), rest]), encoding="utf-8")


def task_states(settings: Settings, dag_id: str, run_id: str) -> dict[str, str]:
    return dict(
        airflow_rows(
            settings,
            f"select task_id, state from task_instance where dag_id = '{dag_id}'"
            f" and run_id = '{run_id}'",
        )
    )


def task_log(settings: Settings, dag_id: str, run_id: str, task_id: str) -> str:
    folder = settings.logs_dir / "airflow" / f"dag_id={dag_id}" / f"run_id={run_id}"
    files = sorted((folder / f"task_id={task_id}").glob("*.log"))
    assert files, folder
    return "\n".join(path.read_text(encoding="utf-8") for path in files)


def test_a_backfill_leaves_what_is_paid_and_closes_what_is_open(running: Settings) -> None:
    paid = sealed_rows(running, SEALED)
    for day in DATES[:2]:
        correct_terminal(running, day)
    counted = "select accounting_date::text, close_count from control.accounting_days"
    before = dict(query(running, counted))
    assert before[DATES[0]] > 0
    assert before[DATES[1]] > 0
    backfill(running, DATES[0], DATES[-1])
    runs = (
        "select run_id, state from dag_run where dag_id = 'accounting_close'"
        " and backfill_id = (select max(id) from backfill) order by logical_date"
    )
    wait_for(
        lambda: (
            [row[1] for row in airflow_rows(running, runs)] == ["success"] * 3
            or failed_runs(running)
        ),
        BACKFILL_SECONDS_MAX,
        running.home / "ui.log",
    )
    assert not failed_runs(running)
    # Byte for byte what was paid on; the others in order, with what came since.
    assert sealed_rows(running, SEALED) == paid
    after = dict(query(running, counted))
    assert [after[day] - before.get(day, 0) for day in DATES] == [0, 1, 1]
    closed = query(
        running,
        "select accounting_date::text from control.accounting_days"
        " where state = 'closed' order by closed_at",
    )
    assert [day for (day,) in closed] == OPEN
    terminals = "select terminal_id from raw.platform_source_vouchers where accounting_date = %s"
    found = [("88888888",) in query(running, terminals, day) for day in DATES[:2]]
    assert found == [False, True]
    # Skipped, and why, and what to do about it.
    run_ids = [row[0] for row in airflow_rows(running, runs)]
    work = ("ready", "claim", "land", "build", "check")
    for run_id, expected in zip(run_ids, ("skipped", "success", "success"), strict=True):
        states = task_states(running, "accounting_close", run_id)
        assert {states[name] for name in work} == {expected}, states
    said = task_log(running, "accounting_close", run_ids[0], "ready")
    assert f"{SEALED} is sealed, unchanged: money was paid on it" in said
    assert f"tieout restate {SEALED}" in said


def test_the_scheduler_restates_the_paid_date_for_which_a_file_came(running: Settings) -> None:
    # The backfill's own landing has kept the file's version.
    assert [one.accounting_date for one in restating.waiting(running)] == [SEALED]
    paid = sealed_rows(running, SEALED)
    kept = "select restatement_id, asked_by from control.restatements where state = 'kept'"
    before = query(running, kept)
    pause(running, is_paused=False)
    let_the_clock_strike(running, "accounting_reclose")
    wait_for(
        lambda: len(query(running, kept)) > len(before) or failed_runs(running),
        RECLOSE_SECONDS_MAX,
        running.home / "ui.log",
    )
    assert not failed_runs(running)
    ((number, run_id),) = set(query(running, kept)) - set(before)
    assert run_id.startswith("scheduled__")
    wait_for(
        lambda: task_states(running, "accounting_reclose", run_id)["restate"] == "success",
        60,
        running.home / "ui.log",
    )
    said = task_log(running, "accounting_reclose", run_id, "restate")
    assert f"{SEALED} is sealed and unchanged; restated" in said
    assert f"tieout restate show {SEALED}" in said
    assert restating.waiting(running) == []
    assert sealed_rows(running, SEALED) == paid
    differing = query(
        running,
        "select distinct table_name from control.restatement_differences where restatement_id = %s",
        number,
    )
    assert ("clearing.clearing_entries",) not in differing, "a terminal changes no amount"
