"""`airflow backfill create` over the sample week, on a running scheduler in a home of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
import pytest

import prepared_homes
import true_outcomes
from tieout import database
from tieout.core.settings import Settings
from tieout.runs import airflow_home, restating
from tieout.simulator import sample

from .conftest import environment_of, tieout
from .test_restatement import query, sealed_rows

pytestmark = pytest.mark.timeout(1800)

DATES = [f"2026-09-{number}" for number in range(24, 31)]
READY_SECONDS_MAX = 300
BACKFILL_SECONDS_MAX = 1200
RECLOSE_SECONDS_MAX = 600


@pytest.fixture(scope="module")
def running(prepared_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A home with the week's files, and `tieout ui` running on it."""
    home = tmp_path_factory.mktemp("backfill") / "home"
    settings = prepared_homes.copy(prepared_home, home)
    log = home / "ui.log"
    process: subprocess.Popen[bytes] | None = None
    try:
        prepared_homes.start_carelessly(settings)
        done = tieout(home, "simulate", "--transactions", "60", "--merchants", "10")
        assert done.returncode == 0, done.stderr
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "tieout.commands.cli", "ui"],
                env=environment_of(home),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        wait_for(lambda: "login" in log.read_text(), READY_SECONDS_MAX, log)
        yield settings
    finally:
        if process is not None:
            process.send_signal(signal.SIGTERM)  # as a service manager stops it
            assert process.wait(60) == 0, log.read_text()
            assert not airflow_processes(settings), "nothing of Airflow is left behind"
        database.stop_server(settings)


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


def backfill(settings: Settings, *options: str) -> None:
    """Have Airflow's own command create a backfill of the week."""
    done = subprocess.run(
        [
            *[sys.executable, "-m", "airflow", "backfill", "create"],
            *["--dag-id", "accounting_close"],
            *["--from-date", "2026-09-24T02:00:00", "--to-date", "2026-09-30T02:00:00"],
            *["--max-active-runs", "1", *options],
        ],
        env={**environment_of(settings.home), **airflow_home.environment(settings)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_backfill_closes_the_week_in_order(running: Settings) -> None:
    backfill(running)
    deadline = time.monotonic() + BACKFILL_SECONDS_MAX
    while set(states(running).values()) != {"closed"} or len(states(running)) < len(DATES):
        assert not failed_runs(running), list((running.logs_dir / "failures").glob("*"))
        assert time.monotonic() < deadline, states(running)
        time.sleep(2)
    rows = query(
        running,
        "select accounting_date, closed_run_id, close_count from control.accounting_days "
        "order by closed_at",
    )
    assert [str(row[0]) for row in rows] == DATES, "each date was closed after the one before"
    assert all(row[1].startswith("backfill__") for row in rows)
    assert [row[2] for row in rows] == [1] * len(DATES)


def test_the_result_is_the_simulator_s_truth(running: Settings) -> None:
    count = query(running, "select count(*) from reconciliation.reconciliation_results")
    assert count[0][0] == true_outcomes.true_results(running).total()


def test_runs_outside_the_week_are_skipped_not_failed(running: Settings) -> None:
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


def test_the_scheduler_closes_again_what_a_late_file_opened(running: Settings) -> None:
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
    assert [row[0] for row in order] == DATES[3:]
    assert {row[1].partition("__")[0] for row in order} == {"scheduled"}
    assert query(running, "select * from control.date_leases") == []
    assert not failed_runs(running)


def correct_terminal(settings: Settings, day: str) -> None:
    """Have the platform correct a terminal, which changes no amount."""
    number = day.replace("-", "")
    path = settings.home / f"inbox/platform/{number}/source_vouchers_{number}.csv"
    header, first, rest = path.read_text(encoding="utf-8").split("\n", 2)
    cells = first.split(",")
    cells[header.split(",").index("terminal_id")] = "88888888"
    path.write_text("\n".join([header, ",".join(cells), rest]), encoding="utf-8")


def task_log(settings: Settings, dag_id: str, run_id: str, task_id: str) -> str:
    folder = settings.logs_dir / "airflow" / f"dag_id={dag_id}" / f"run_id={run_id}"
    files = sorted((folder / f"task_id={task_id}").glob("*.log"))
    return "\n".join(path.read_text(encoding="utf-8") for path in files)


SEALED, OPEN = DATES[:4], DATES[4:]


def test_a_backfill_leaves_what_is_paid_and_closes_what_is_open_again(running: Settings) -> None:
    sample.approve_first_list(running, lambda _: None)
    done = tieout(running.home, "pay", "2026-09-28")
    assert done.returncode == 0, done.stderr
    assert states(running) == {
        **dict.fromkeys(SEALED, "sealed"),
        **dict.fromkeys(OPEN, "closed"),
    }
    paid = {day: sealed_rows(running, date.fromisoformat(day)) for day in SEALED}
    assert all(len(rows) > 40 for rows in paid.values())
    counts = "select accounting_date::text, close_count from control.accounting_days"
    before = dict(query(running, counts))
    correct_terminal(running, "2026-09-26")
    correct_terminal(running, "2026-09-29")
    backfill(running, "--reprocess-behavior", "completed")
    wanted = {day: before[day] + (day in OPEN) for day in DATES}
    log = running.home / "ui.log"
    ended = (
        "select count(*) from dag_run where dag_id = 'accounting_close'"
        " and run_type = 'backfill' and state = 'success'"
        " and backfill_id = (select max(id) from backfill)"
    )
    wait_for(
        lambda: airflow_rows(running, ended) == [(len(DATES),)] or failed_runs(running),
        BACKFILL_SECONDS_MAX,
        log,
    )
    assert not failed_runs(running)
    # Byte for byte what was paid on; the others in order, with what came since.
    assert {day: sealed_rows(running, date.fromisoformat(day)) for day in SEALED} == paid
    assert dict(query(running, counts)) == wanted
    closed = query(
        running,
        "select accounting_date::text from control.accounting_days"
        " where state = 'closed' order by closed_at",
    )
    assert [day for (day,) in closed] == OPEN
    terminals = "select terminal_id from raw.platform_source_vouchers where accounting_date = %s"
    assert [
        ("88888888",) in query(running, terminals, date.fromisoformat(day))
        for day in ("2026-09-26", "2026-09-29")
    ] == [False, True]
    # Skipped, and why, and what to do.
    runs = airflow_rows(
        running,
        "select run_id, logical_date::date::text from dag_run"
        " where dag_id = 'accounting_close' and run_type = 'backfill'",
    )
    for run_id, day in runs:
        tasks = dict(
            airflow_rows(
                running,
                "select task_id, state from task_instance where dag_id = 'accounting_close'"
                f" and run_id = '{run_id}'",
            )
        )
        expected = "skipped" if day in SEALED else "success"
        assert {tasks[name] for name in ("ready", "claim", "land", "build")} == {expected}, day
        if day in SEALED:
            said = task_log(running, "accounting_close", run_id, "ready")
            assert f"{day} is sealed, unchanged: money was paid on it" in said
            assert f"tieout restate {day}" in said


def test_the_scheduler_restates_a_paid_date_for_which_a_file_came(running: Settings) -> None:
    correct_terminal(running, "2026-09-25")
    days_of = [date.fromisoformat(day) for day in ("2026-09-25", "2026-09-26")]
    paid = [sealed_rows(running, day) for day in days_of]
    let_the_clock_strike(running, "accounting_reclose")
    kept = (
        "select accounting_date::text, restatement_no, state, asked_by"
        " from control.restatements order by accounting_date"
    )
    # That of the 26th came with the backfill.
    wait_for(
        lambda: len(query(running, kept)) == 2 or failed_runs(running), RECLOSE_SECONDS_MAX,
        running.home / "ui.log",
    )  # fmt: skip
    wait_for(
        lambda: all(row[2] != "building" for row in query(running, kept)), RECLOSE_SECONDS_MAX,
        running.home / "ui.log",
    )  # fmt: skip
    rows = query(running, kept)
    assert [row[:3] for row in rows] == [
        ("2026-09-25", 1, "kept"),
        ("2026-09-26", 1, "kept"),
    ]
    assert {row[3].partition("__")[0] for row in rows} == {"scheduled"}
    wait_for(
        lambda: (
            airflow_rows(
                running,
                "select state from task_instance where dag_id = 'accounting_reclose'"
                f" and task_id = 'restate' and run_id = '{rows[0][3]}'",
            )
            == [("success",)]
        ),
        60,
        running.home / "ui.log",
    )
    assert [sealed_rows(running, day) for day in days_of] == paid
    assert restating.waiting(running) == []
    differing = query(
        running,
        "select distinct table_name from control.restatement_differences"
        " inner join control.restatements using (restatement_id)"
        " where accounting_date = '2026-09-25'",
    )
    assert ("clearing.clearing_entries",) not in differing, "a terminal changes no amount"
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
