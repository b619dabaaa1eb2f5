"""Runs a DAG for one business date and waits for its end, whoever has to execute it.

While a scheduler works on the home, the run goes through it. Otherwise the DAG runs in this
process (`dag.test`): dbt and Great Expectations are imported once for a whole week of dates. The
two must never meet: `dag.test` on the tables of a live scheduler would run tasks twice, so the
DAGs are paused while a command runs them, and the scheduler of `tieout ui` starts under the same
lock.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from datetime import time as time_of_day
from pathlib import Path
from typing import Any, TextIO

from tieout import database
from tieout.core.errors import TieoutError
from tieout.core.settings import Settings
from tieout.dates import days
from tieout.runs import airflow_home, answers, billing, closing, paying, steps

__all__ = ["RunResult", "logical_date_of", "run"]

# The hour of the schedule of each DAG: every way of starting a date shares one logical date.
SCHEDULE_HOURS = {
    days.ACCOUNTING_CLOSE: 10,
    days.SETTLEMENT_PAYOUT: 11,
    days.PAYOUT_OUTCOMES: 20,
    days.FEE_BILLING: 14,
}
READY: dict[str, Callable[[steps.Step], object]] = {
    days.ACCOUNTING_CLOSE: closing.ready,
    days.SETTLEMENT_PAYOUT: paying.ready,
    days.PAYOUT_OUTCOMES: answers.ready,
    days.FEE_BILLING: billing.ready,
}
POLL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended: ``done`` or ``skipped`` (then ``reason`` says why), and its seconds."""

    kind: str
    day: date
    state: str
    seconds: float
    reason: str = ""


def logical_date_of(kind: str, day: date) -> datetime:
    """Return the logical date of a business date's run: its schedule's hour in Shanghai."""
    return datetime.combine(day, time_of_day(SCHEDULE_HOURS[kind]), tzinfo=days.BUSINESS_TIME_ZONE)


def run(settings: Settings, kind: str, day: date) -> RunResult:
    """Run the DAG ``kind`` for ``day`` and wait; a date with nothing to do is not started at all.

    The caller holds `days.command_owner`.

    Raises:
        TieoutError: the run failed, or cannot start; the failing step's own words.
    """
    started = time.perf_counter()
    now = datetime.now(days.BUSINESS_TIME_ZONE)
    asking = database.working_as(settings, steps.role_of(kind, "ready"))
    preflight = steps.Step(asking, kind, day, owner=steps.PREFLIGHT, name="ready", now=now)
    try:
        reason = READY[kind](preflight)
    except days.NothingToDo as nothing:
        return RunResult(kind, day, "skipped", time.perf_counter() - started, str(nothing))
    if isinstance(reason, str):
        raise days.DateNotReadyError(
            what=f"{kind} of {day} cannot start: {reason}",
            where="control.accounting_days",
            why="a date is computed from the dates before it, one after the other",
            next_step="finish the earlier date first; `tieout status` shows them all",
        )
    airflow_home.enter(settings)
    steps.forget_failure(settings, kind, day)
    if airflow_home.scheduler_is_alive(settings):
        state = _run_through_scheduler(settings, kind, day)
    else:
        days.release_dead(asking)
        state = _run_here(settings, kind, day)
    if state != "success":
        failure = steps.read_failure(settings, kind, day)
        if failure is not None:
            raise failure.as_error()
        raise TieoutError(
            what=f"{kind} of {day} ended as {state}",
            where=str(log_path(settings, kind, day)),
            why="no step left a cause",
            next_step="read the log",
        )
    return RunResult(kind, day, "done", time.perf_counter() - started)


def log_path(settings: Settings, kind: str, day: date) -> Path:
    """Return where everything a run in this process prints goes."""
    return settings.logs_dir / f"{kind}_{day:%Y%m%d}.log"


# --- in this process ----------------------------------------------------------------------------


def _run_here(settings: Settings, kind: str, day: date) -> str:
    """Run the DAG with `dag.test`; return the run's state."""
    with (
        _output_to(log_path(settings, kind, day)) as terminal,
        steps.listening(_reporter(terminal)),
    ):
        pause(kind, paused=True)
        dag = _load_dag(settings, kind)
        logical_date = logical_date_of(kind, day)
        try:
            return str(dag.test(logical_date=logical_date).state.value)
        finally:
            # A run cut off by Ctrl-C must not be picked up by a scheduler later.
            _fail_unfinished(kind, logical_date)


def _load_dag(settings: Settings, kind: str) -> Any:
    """Import a DAG file and return its DAG."""
    path = settings.project_dir / "dags" / f"{kind}.py"
    name = f"tieout_dag_{kind}"
    module = sys.modules.get(name)
    if module is None:
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise TieoutError(
                what=f"there is no DAG {kind}",
                where=str(path),
                why="the file cannot be imported",
                next_step="check TIEOUT_PROJECT_DIR",
            )
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return module.DAG


def pause(kind: str, *, paused: bool) -> None:
    """Pause or unpause a DAG that Airflow knows already (a new one is paused from its creation)."""
    from airflow.models.dag import DagModel  # noqa: PLC0415
    from airflow.utils.session import create_session  # noqa: PLC0415

    with create_session() as session:
        model = session.get(DagModel, kind)
        if model is not None and model.is_paused != paused:
            model.is_paused = paused


def _fail_unfinished(kind: str, logical_date: datetime) -> None:
    from airflow.models.dagrun import DagRun  # noqa: PLC0415
    from airflow.utils.session import create_session  # noqa: PLC0415
    from airflow.utils.state import DagRunState  # noqa: PLC0415
    from sqlalchemy import select  # noqa: PLC0415

    with create_session() as session:
        found = session.scalar(
            select(DagRun).where(DagRun.dag_id == kind, DagRun.logical_date == logical_date)
        )
        if found is not None and found.state in {DagRunState.QUEUED, DagRunState.RUNNING}:
            found.state = DagRunState.FAILED


@contextmanager
def _output_to(path: Path) -> Iterator[TextIO]:
    """Send what this process prints to a file, libraries' output too; yield the terminal."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    try:
        with path.open("ab") as log, os.fdopen(os.dup(saved[1]), "w", buffering=1) as terminal:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
            try:
                yield terminal
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os.dup2(saved[0], 1)
                os.dup2(saved[1], 2)
    finally:
        os.close(saved[0])
        os.close(saved[1])


def _reporter(terminal: TextIO) -> steps.Listener:
    """Return a listener that writes one line for each finished step."""

    def report(step: steps.Step, event: str, seconds: float, counts: steps.Counts) -> None:
        if event == "started" or step.name in {"ready", "claim", "release"}:
            return
        shown = ", ".join(f"{name} {count:,}" for name, count in counts.items())
        mark = {"done": "", "skipped": "nothing to do ", "failed": "FAILED "}[event]
        terminal.write(f"    {step.name:<10} {seconds:6.1f} s  {mark}{shown}\n")

    return report


# --- through a live scheduler -------------------------------------------------------------------


def _run_through_scheduler(settings: Settings, kind: str, day: date) -> str:
    """Have the scheduler run the date, and wait; return the run's state.

    A run of that logical date that is queued or running is waited for, not doubled; one that has
    ended is cleared, so that the date keeps one run.
    """
    with _output_to(log_path(settings, kind, day)) as terminal:
        _refuse_paused(kind)
        run_id = _start_run(kind, logical_date_of(kind, day))
        terminal.write(f"    through the scheduler: run {run_id}\n")
        shown: set[str] = set()
        since = datetime.now().astimezone() - timedelta(seconds=5)
        while True:
            state = _run_state(kind, run_id)
            _show_stages(settings, terminal, kind, day, run_id, since, shown)
            if state not in {"queued", "running"}:
                return state
            if not airflow_home.scheduler_is_alive(settings):
                raise TieoutError(
                    what=f"the scheduler ended while {kind} of {day} was running",
                    where=f"run {run_id}",
                    why="no heartbeat",
                    next_step="start it again, or run the command again without one",
                )
            time.sleep(POLL_SECONDS)


def _refuse_paused(kind: str) -> None:
    from airflow.models.dag import DagModel  # noqa: PLC0415
    from airflow.utils.session import create_session  # noqa: PLC0415

    with create_session() as session:
        model = session.get(DagModel, kind)
        is_paused = model is None or model.is_paused
    if is_paused:
        raise TieoutError(
            what=f"the DAG {kind} is paused (or not parsed yet)",
            where="Airflow's metadata database",
            why="a scheduler is running, so the date has to go through it",
            next_step="unpause it in the UI, or stop the scheduler",
        )


def _start_run(kind: str, logical_date: datetime) -> str:
    from airflow.api.common.trigger_dag import trigger_dag  # noqa: PLC0415
    from airflow.models.dagbag import DBDagBag  # noqa: PLC0415
    from airflow.models.dagrun import DagRun  # noqa: PLC0415
    from airflow.utils.session import create_session  # noqa: PLC0415
    from airflow.utils.types import DagRunTriggeredByType  # noqa: PLC0415
    from sqlalchemy import select  # noqa: PLC0415

    with create_session() as session:
        found = session.scalar(
            select(DagRun).where(DagRun.dag_id == kind, DagRun.logical_date == logical_date)
        )
        if found is not None:
            if found.state not in {"queued", "running"}:
                dag = DBDagBag().get_latest_version_of_dag(kind, session=session)
                if dag is not None:
                    dag.clear(run_id=found.run_id, session=session)
            return str(found.run_id)
    started = trigger_dag(
        dag_id=kind, triggered_by=DagRunTriggeredByType.CLI, logical_date=logical_date
    )
    if started is None:
        raise TieoutError(
            what=f"{kind} could not be triggered",
            where="Airflow's metadata database",
            why="no run was created",
            next_step="look at the UI",
        )
    return str(started.run_id)


def _run_state(kind: str, run_id: str) -> str:
    from airflow.models.dagrun import DagRun  # noqa: PLC0415
    from airflow.utils.session import create_session  # noqa: PLC0415
    from sqlalchemy import select  # noqa: PLC0415

    with create_session() as session:
        state = session.scalar(
            select(DagRun.state).where(DagRun.dag_id == kind, DagRun.run_id == run_id)
        )
    return "deleted" if state is None else str(getattr(state, "value", state))


def _show_stages(  # noqa: PLR0917  one caller
    settings: Settings,
    terminal: TextIO,
    kind: str,
    day: date,
    run_id: str,
    since: datetime,
    shown: set[str],
) -> None:
    with database.connect(settings) as connection:
        rows = connection.execute(
            """
            select stage, seconds, row_count
            from control.run_stages
            where kind = %s and business_date = %s and run_id = %s and finished_at >= %s
            order by finished_at, stage
            """,
            [kind, day, run_id, since],
        ).fetchall()
    for stage, seconds, row_count in rows:
        if stage not in shown and stage not in {"ready", "claim", "release"}:
            shown.add(stage)
            rows_text = "" if row_count is None else f"rows {row_count:,}"
            terminal.write(f"    {stage:<10} {float(seconds):6.1f} s  {rows_text}\n")
