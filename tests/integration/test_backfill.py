"""`airflow backfill create` over some dates, on a running scheduler in a home of its own.

Four dates, over a weekend's end; `--backfill-days 7` has the whole sample week.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

import parts
import prepared_homes
import true_outcomes
from tieout import database
from tieout.core.settings import Settings
from tieout.runs import airflow_home

from .conftest import environment_of, tieout
from .test_end_to_end import query

pytestmark = pytest.mark.timeout(1800)

LAST = date(2026, 9, 30)
READY_SECONDS_MAX = 300
BACKFILL_SECONDS_MAX = 1200
RECLOSE_SECONDS_MAX = 600


@pytest.fixture(scope="module")
def dates(request: pytest.FixtureRequest) -> list[str]:
    """The dates that are closed, in order; a file of the fourth last of them comes late."""
    count = request.config.getoption("backfill_days")
    assert count >= parts.BACKFILL_DAYS
    return [(LAST - timedelta(days=back)).isoformat() for back in reversed(range(count))]


@pytest.fixture(scope="module")
def running(
    prepared_home: Path, tmp_path_factory: pytest.TempPathFactory, dates: list[str]
) -> Iterator[Settings]:
    """A home with the dates' files, and `tieout ui` running on it."""
    home = tmp_path_factory.mktemp("backfill") / "home"
    settings = prepared_homes.copy(prepared_home, home)
    try:
        prepared_homes.start_carelessly(settings)
        done = tieout(
            home, "simulate", "--from", dates[0], "--days", str(len(dates)),
            "--transactions", "60", "--merchants", "10",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        with scheduling(settings):
            yield settings
    finally:
        database.stop_server(settings)


@contextmanager
def scheduling(settings: Settings) -> Iterator[None]:
    """Run `tieout ui` on a home, and stop it as a service manager does."""
    home, log = settings.home, settings.home / "ui.log"
    process: subprocess.Popen[bytes] | None = None
    try:
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "tieout.commands.cli", "ui"],
                env=environment_of(home),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        wait_for(lambda: "login" in log.read_text(), READY_SECONDS_MAX, log)
        yield
    finally:
        if process is not None:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0, log.read_text()
            assert not airflow_processes(settings), "nothing of Airflow is left behind"


def wait_for(condition: Any, seconds_max: float, log: Path) -> None:
    deadline = time.monotonic() + seconds_max
    while not condition():
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(1)


def airflow_processes(settings: Settings) -> list[str]:
    """Return the processes that name this home in their environment and are Airflow's."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes()
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if f"AIRFLOW_HOME={settings.airflow_dir}".encode() in environment and b"airflow" in command:
            found.append(command.replace(b"\0", b" ").decode())
    return found


def airflow_rows(settings: Settings, text: str) -> list[tuple[Any, ...]]:
    url = database.airflow_url(settings).replace("postgresql+psycopg2://", "postgresql://")
    with psycopg.connect(url) as connection:
        return connection.execute(text).fetchall()


def states(settings: Settings) -> dict[str, str]:
    rows = query(settings, "select accounting_date, state from control.accounting_days")
    return {str(day): state for day, state in rows}


def let_the_clock_strike(settings: Settings, dag_id: str) -> None:
    """Have the scheduler start the DAG's next scheduled run now, not at its hour."""
    url = database.airflow_url(settings).replace("postgresql+psycopg2://", "postgresql://")
    with psycopg.connect(url) as connection:
        changed = connection.execute(
            """
            update dag
            set
                next_dagrun = date_trunc('second', now()),
                next_dagrun_data_interval_start = date_trunc('second', now()),
                next_dagrun_data_interval_end = date_trunc('second', now()),
                next_dagrun_create_after = date_trunc('second', now())
            where dag_id = %s
            """,
            [dag_id],
        )
        assert changed.rowcount == 1


def failed_runs(settings: Settings) -> list[tuple[Any, ...]]:
    return airflow_rows(settings, "select dag_id, run_id from dag_run where state = 'failed'")


def backfill(settings: Settings, first: str, last: str) -> None:
    """Have Airflow's own command create a backfill of closes."""
    done = subprocess.run(
        [
            *[sys.executable, "-m", "airflow", "backfill", "create"],
            *["--dag-id", "accounting_close"],
            *["--from-date", f"{first}T02:00:00", "--to-date", f"{last}T02:00:00"],
            *["--max-active-runs", "1"],
        ],
        env={**environment_of(settings.home), **airflow_home.environment(settings)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_backfill_closes_the_dates_in_order(running: Settings, dates: list[str]) -> None:
    backfill(running, dates[0], dates[-1])
    deadline = time.monotonic() + BACKFILL_SECONDS_MAX
    while set(states(running).values()) != {"closed"} or len(states(running)) < len(dates):
        assert not failed_runs(running), list((running.logs_dir / "failures").glob("*"))
        assert time.monotonic() < deadline, states(running)
        time.sleep(2)
    rows = query(
        running,
        "select accounting_date, closed_run_id, close_count from control.accounting_days "
        "order by closed_at",
    )
    assert [str(row[0]) for row in rows] == dates, "each date was closed after the one before"
    assert all(row[1].startswith("backfill__") for row in rows)
    assert [row[2] for row in rows] == [1] * len(dates)


def test_the_result_is_the_simulator_s_truth(running: Settings) -> None:
    count = query(running, "select count(*) from reconciliation.reconciliation_results")
    assert count[0][0] == true_outcomes.true_results(running).total()


def test_runs_outside_the_dates_are_skipped_not_failed(running: Settings) -> None:
    """The schedule starts "yesterday" by the clock at once; this home has no files for it."""
    rows = airflow_rows(
        running,
        "select dag_id, run_id, state from dag_run where run_id like 'scheduled__%'",
    )
    assert {row[0] for row in rows} >= {"accounting_close", "settlement_payout"}
    assert {row[2] for row in rows} == {"success"}
    skipped = airflow_rows(
        running,
        "select count(*) from task_instance where run_id like 'scheduled__%' "
        "and task_id = 'build' and state = 'skipped'",
    )
    assert skipped[0][0] >= 1


def test_a_command_goes_through_the_scheduler_and_replaces_the_date(running: Settings) -> None:
    results = "select * from reconciliation.reconciliation_results order by 1, 2, 3"
    before = query(running, results)
    done = tieout(running.home, "close", "2026-09-30")
    assert done.returncode == 0, done.stderr
    assert "through the scheduler" in done.stderr
    assert query(running, results) == before
    rows = query(
        running,
        "select close_count, state from control.accounting_days "
        "where accounting_date = '2026-09-30'",
    )
    assert rows == [(2, "closed")]
    assert query(running, "select * from control.date_leases") == []
    runs = airflow_rows(
        running,
        "select count(*) from dag_run where dag_id = 'accounting_close' "
        "and logical_date = '2026-09-30T02:00:00+00:00'",
    )
    assert runs == [(1,)], "every way of starting a date shares one run"


def test_the_scheduler_closes_again_what_a_late_file_opened(
    running: Settings, dates: list[str]
) -> None:
    """Nobody is at the command line: a file of the 27th is corrected, the 27th to 30th follow."""
    counts = (
        "select accounting_date::text, state, close_count from control.accounting_days "
        "order by accounting_date"
    )
    before = query(running, counts)
    path = running.home / "inbox/platform/20260927/source_vouchers_20260927.csv"
    # Another terminal changes no amount, so the date still ties out.
    header, first, rest = path.read_text(encoding="utf-8").split("\n", 2)
    cells = first.split(",")
    cells[header.split(",").index("terminal_id")] = "99999999"
    path.write_text("\n".join([header, ",".join(cells), rest]), encoding="utf-8")
    let_the_clock_strike(running, "accounting_reclose")
    wanted = [
        (day, "closed", count + 1 if day >= "2026-09-27" else count) for day, _, count in before
    ]
    log = running.home / "ui.log"
    wait_for(lambda: query(running, counts) == wanted, RECLOSE_SECONDS_MAX, log)
    order = query(
        running,
        "select accounting_date::text, closed_run_id from control.accounting_days "
        "where accounting_date >= '2026-09-27' order by closed_at",
    )
    assert [row[0] for row in order] == dates[-4:]
    assert {row[1].partition("__")[0] for row in order} == {"scheduled"}
    assert query(running, "select * from control.date_leases") == []
    assert not failed_runs(running)


def test_a_second_scheduler_is_refused(running: Settings) -> None:
    done = tieout(running.home, "ui")
    assert done.returncode == 1
    assert "running already" in done.stderr


def test_documents_are_shown_to_those_logged_in_only(running: Settings) -> None:
    login = airflow_home.login(running)
    page = running.docs_dir / "dbt" / "index.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("<h1>tables</h1>")
    address = f"{login.url}/tieout/docs/dbt/"
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(address, timeout=30)
    assert refused.value.code == 401
    body = json.dumps({"username": login.user_name, "password": login.password}).encode()
    asked = urllib.request.Request(
        f"{login.url}/auth/token", data=body, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(asked, timeout=30) as answer:
        token = json.load(answer)["access_token"]
    headers = {"Cookie": f"_token={token}"}
    with urllib.request.urlopen(
        urllib.request.Request(address, headers=headers), timeout=30
    ) as answer:
        assert answer.read() == b"<h1>tables</h1>"
    outside = urllib.request.Request(f"{address}..%2f..%2fsecrets/airflow.json", headers=headers)
    with pytest.raises(urllib.error.HTTPError) as missing:
        urllib.request.urlopen(outside, timeout=30)
    assert missing.value.code == 404
