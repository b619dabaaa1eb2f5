"""One step of a run: its date, its owner, its clock, and what is left behind when it fails.

A DAG's task calls `perform` with a function of `closing`, `reclosing`, `paying` or `answers` and
its context. The step's seconds and rows go to ``control.run_stages``; the text of a failure goes to
a small file of the home, where the command that started the run finds it. What goes to XCom is
counts and keys only.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from tieout import database
from tieout.core.errors import TieoutError
from tieout.core.settings import Settings, load_settings
from tieout.dates import days

__all__ = [
    "Failure",
    "GateFailedError",
    "Step",
    "await_files",
    "forget_failure",
    "listening",
    "note_failure",
    "perform",
    "poke",
    "read_failure",
]

Counts = dict[str, int]
PREFLIGHT = "preflight"
DATE_PARAMS = {
    days.ACCOUNTING_CLOSE: "accounting_date",
    days.ACCOUNTING_RECLOSE: "run_date",
    days.SETTLEMENT_PAYOUT: "payment_date",
    days.PAYOUT_OUTCOMES: "payment_date",
    days.FEE_BILLING: "business_date",
}
# What each step works as (docs/operations/roles.md); a step that is not here reads and orders as
# its run does.
_ROLES_OF_RUNS = {
    days.ACCOUNTING_CLOSE: "ingest",
    days.ACCOUNTING_RECLOSE: "ingest",
    days.SETTLEMENT_PAYOUT: "payout",
    days.PAYOUT_OUTCOMES: "payout",
    days.FEE_BILLING: "payout",
}
_ROLES_OF_STEPS = {
    (days.ACCOUNTING_CLOSE, "build"): "transform",
    (days.ACCOUNTING_CLOSE, "check"): "gate",
    (days.ACCOUNTING_CLOSE, "publish"): "transform",
    (days.ACCOUNTING_RECLOSE, "restate"): "transform",
    (days.SETTLEMENT_PAYOUT, "land_bank"): "ingest",
    (days.SETTLEMENT_PAYOUT, "gate"): "gate",
    (days.PAYOUT_OUTCOMES, "land"): "ingest",
    (days.FEE_BILLING, "land"): "ingest",
}
# Worth another try: the other side may be back in a minute. Everything else is data or a fault of
# ours, and comes out the same however often it is tried.
TRANSIENT_ERRORS = (psycopg.OperationalError, ConnectionError, TimeoutError)


@dataclass(frozen=True, slots=True)
class Step:
    """What a step function is given: the home, the run's kind and date, and who runs it.

    `now` (aware) is the clock at the edge: only what is due or late is asked of it. `waits` says
    whether the run may wait for what is not due yet; a command says at once what is missing.
    """

    settings: Settings
    kind: str
    day: date
    owner: str
    name: str
    now: datetime
    waits: bool = False

    @property
    def is_preflight(self) -> bool:
        """Whether a command only asks: it goes through the run that works on the date, if any."""
        return self.owner == PREFLIGHT


class GateFailedError(TieoutError):
    """The gate did not pass: nothing is paid on this date unless two people release it."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a run failed, as its failing step wrote it; `awaits_release`: the gate did not pass."""

    kind: str
    day: date
    stage: str
    what: str
    where: str
    why: str
    next_step: str
    awaits_release: bool = False

    def as_error(self) -> TieoutError:
        """Return the failure as the error a command prints."""
        kind = GateFailedError if self.awaits_release else TieoutError
        return kind(what=self.what, where=self.where, why=self.why, next_step=self.next_step)


Listener = Callable[[Step, str, float, Counts], None]
_listeners: list[Listener] = []


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Call ``listener(step, event, seconds, counts)`` for each step of this process.

    ``event`` is ``started``, ``done``, ``skipped`` or ``failed``.
    """
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def perform(function: Callable[[Step], Counts], context: Mapping[str, Any]) -> Counts:
    """Run one step of an Airflow run; return its counts for XCom.

    Raises:
        AirflowSkipException: there is nothing to do for the date.
        AirflowFailException: a TieoutError or a fault of ours; Airflow does not try again.
        psycopg.OperationalError, ConnectionError, TimeoutError: as they are; Airflow tries again.
    """
    from airflow.sdk.exceptions import (  # noqa: PLC0415  only inside a task
        AirflowFailException,
        AirflowSkipException,
    )

    settings = load_settings()
    step: Step | None = None
    try:
        # Before a role's login is asked for: a new home, or a program newer than its tables.
        database.migrate(settings)
        step = step_of(settings, context)
        with days.at_work(step.settings, step.owner):
            return run_step(function, step)
    except days.NothingToDo as reason:
        raise AirflowSkipException(str(reason)) from reason
    except days.NotYet:
        raise
    except Exception as error:
        note_failure(settings, step, error)
        if isinstance(error, TRANSIENT_ERRORS) or isinstance(error.__cause__, TRANSIENT_ERRORS):
            raise
        raise AirflowFailException(str(error)) from error


def poke(function: Callable[[Step], str | None], context: Mapping[str, Any]) -> bool:
    """Ask a waiting step once; ``function`` returns why the run has to wait, or None."""
    waiting: list[str] = []

    def ask(step: Step) -> Counts:
        reason = function(step)
        if reason is not None:
            waiting.append(reason)
            print(f"{step.kind} of {step.day} waits: {reason}")  # noqa: T201  the task's log
            left = read_failure(step.settings, step.kind, step.day)
            if left is not None and left.awaits_release:
                return {}  # what the gate found says more
            _write_failure(
                settings=step.settings,
                failure=Failure(
                    kind=step.kind,
                    day=step.day,
                    stage=step.name,
                    what=f"{step.kind} of {step.day} waited too long: {reason}",
                    where="control.accounting_days",
                    why="a date is built on the date before it",
                    next_step="finish the earlier date first",
                ),
            )
        return {}

    perform(ask, context)
    return not waiting


def await_files(function: Callable[[Step], Counts], context: Mapping[str, Any]) -> bool:
    """Run a step that may have to look again later; for a sensor that reschedules itself.

    Raises:
        AirflowRescheduleException: the step says `days.NotYet`; the next look is after the
            setting `files_poll_seconds`. No worker is held meanwhile.
    """
    from airflow.sdk.exceptions import AirflowRescheduleException  # noqa: PLC0415  inside a task

    try:
        perform(function, context)
    except days.NotYet as reason:
        print(f"waits: {reason}")  # noqa: T201  the task's log
        seconds = load_settings().files_poll_seconds
        raise AirflowRescheduleException(datetime.now(UTC) + timedelta(seconds=seconds)) from reason
    return True


def step_of(settings: Settings, context: Mapping[str, Any]) -> Step:
    """Read kind, date, owner and name of a step from an Airflow task's context."""
    kind = str(context["dag"].dag_id)
    name = str(context["task"].task_id)
    settings = settings.acting_as(role_of(kind, name))
    day = days.business_date(
        days.param_of(context.get("params"), DATE_PARAMS[kind]), context.get("logical_date")
    )
    owner = days.run_owner(context.get("run_id"))
    # A command does not wait, nor does a simulated week, whose days are not the clock's.
    waits = not owner.startswith(days.COMMAND_PREFIX) and days.sample_window(settings) is None
    return Step(settings, kind, day, owner, name, now=datetime.now(UTC), waits=waits)


def role_of(kind: str, name: str) -> str:
    """Return the database role that a step of a run works as."""
    return _ROLES_OF_STEPS.get((kind, name), _ROLES_OF_RUNS[kind])


def run_step(function: Callable[[Step], Counts], step: Step) -> Counts:
    """Run a step as its role, tell the listeners, and keep its seconds and rows."""
    step = replace(step, settings=step.settings.acting_as(role_of(step.kind, step.name)))
    _tell(step, "started", 0.0, {})
    started = time.perf_counter()
    try:
        counts = function(step)
    except (days.NothingToDo, days.NotYet):
        _tell(step, "skipped", time.perf_counter() - started, {})
        raise
    except Exception:
        _tell(step, "failed", time.perf_counter() - started, {})
        raise
    seconds = time.perf_counter() - started
    _record_stage(step, seconds, counts)
    _tell(step, "done", seconds, counts)
    return counts


def _tell(step: Step, event: str, seconds: float, counts: Counts) -> None:
    for listener in list(_listeners):
        listener(step, event, seconds, counts)


def _record_stage(step: Step, seconds: float, counts: Counts) -> None:
    with database.connect(step.settings) as connection:
        connection.execute(
            """
            insert into control.run_stages
                (kind, business_date, stage, run_id, seconds, row_count, finished_at)
            values (%s, %s, %s, %s, %s, %s, now())
            """,
            [step.kind, step.day, step.name, step.owner, f"{seconds:.3f}", counts.get("rows")],
        )


# --- the text of a failure ----------------------------------------------------------------------


def failure_path(settings: Settings, kind: str, day: date) -> Path:
    """Return where the cause of a failed run of that kind and date is kept."""
    return settings.logs_dir / "failures" / f"{kind}_{day:%Y%m%d}.json"


def forget_failure(settings: Settings, kind: str, day: date) -> None:
    """Drop the cause an earlier run of the date left."""
    failure_path(settings, kind, day).unlink(missing_ok=True)


def read_failure(settings: Settings, kind: str, day: date) -> Failure | None:
    """Return the cause the last run of the date left, or None."""
    path = failure_path(settings, kind, day)
    return read_failure_file(path) if path.is_file() else None


def read_failure_file(path: Path) -> Failure:
    """Return the cause a failed run left in ``path``."""
    noted = json.loads(path.read_text(encoding="utf-8"))
    return Failure(**{**noted, "day": date.fromisoformat(noted["day"])})


def note_failure(settings: Settings, step: Step | None, error: BaseException) -> None:
    """Leave the cause of a step's failure where the command that waits for it looks."""
    if step is None:
        return
    if isinstance(error, TieoutError):
        parts = (error.what, error.where, error.why, error.next_step)
    else:
        parts = (
            f"{step.kind} of {step.day} failed in step {step.name}",
            f"{type(error).__module__}.{type(error).__name__}",
            str(error).strip() or "no text",
            f"read {settings.logs_dir}/{step.kind}_{step.day:%Y%m%d}.log",
        )
    awaits_release = isinstance(error, GateFailedError)
    _write_failure(settings, Failure(step.kind, step.day, step.name, *parts, awaits_release))


def _write_failure(settings: Settings, failure: Failure) -> None:
    path = failure_path(settings, failure.kind, failure.day)
    path.parent.mkdir(parents=True, exist_ok=True)
    noted = {name: getattr(failure, name) for name in Failure.__slots__}
    noted["day"] = failure.day.isoformat()
    path.write_text(json.dumps(noted, ensure_ascii=False, indent=1), encoding="utf-8")
