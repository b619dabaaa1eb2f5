"""Airflow with its UI for one home: three processes on loopback, stopped together.

`airflow standalone` listens on all addresses at fixed ports and leaves children behind; here the
api-server, the scheduler and the dag-processor run in process groups of their own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tieout.core.errors import TieoutError
from tieout.core.settings import Settings
from tieout.dates import days
from tieout.runs import airflow_home

__all__ = ["Services", "serving"]

COMMANDS: dict[str, Sequence[str]] = {
    "api-server": ("api-server",),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
}
DAGS = (
    days.ACCOUNTING_CLOSE,
    days.ACCOUNTING_RECLOSE,
    days.SETTLEMENT_PAYOUT,
    days.PAYOUT_OUTCOMES,
    days.FEE_BILLING,
)
READY_SECONDS_MAX = 300
STOP_SECONDS_MAX = 15


@dataclass
class Services:
    """The running processes of one home's Airflow."""

    settings: Settings
    login: airflow_home.Login
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def ended(self) -> str | None:
        """Return the name of a process that ended by itself, or None."""
        for name, process in self.processes.items():
            if process.poll() is not None:
                return name
        return None

    def stop(self) -> None:
        """End every process group: asked first, then killed."""
        for process in reversed(list(self.processes.values())):
            _signal_group(process, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS_MAX
        for process in self.processes.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, deadline - time.monotonic()))
        for process in self.processes.values():
            # Workers outlive a scheduler that was killed; the group does not.
            _signal_group(process, signal.SIGKILL)
            process.wait()
        self.processes.clear()


@contextmanager
def serving(settings: Settings) -> Iterator[Services]:
    """Start the home's Airflow, wait until it answers, unpause the DAGs; stop it at the end.

    Starts under the lock of commands: no command runs a DAG in its own process meanwhile, and those
    that come later see the scheduler and go through it.
    """
    airflow_home.enter(settings)
    if airflow_home.scheduler_is_alive(settings):
        raise TieoutError(
            what="a scheduler of this home is running already",
            where=airflow_home.login(settings).url,
            why="two would share one set of ports and folders",
            next_step="open the address above, or stop the other one first",
        )
    services: Services | None = None
    try:
        with days.command_owner(settings):
            airflow_home.renew_port(settings)
            os.environ.update(airflow_home.environment(settings))
            services = Services(settings, airflow_home.login(settings))
            _fail_abandoned_runs()
            for name, arguments in COMMANDS.items():
                services.processes[name] = _start(settings, name, arguments)
            _wait_ready(services)
        yield services
    finally:
        if services is not None:
            services.stop()
            _pause_all(paused=True)


def _start(settings: Settings, name: str, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    log = settings.logs_dir / f"airflow_{name}.log"
    environment = {**os.environ, **airflow_home.environment(settings)}
    # The tasks belong to their Airflow runs, not to this command.
    environment.pop(days.OWNER_VARIABLE, None)
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "airflow", *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _wait_ready(services: Services) -> None:
    """Wait for the API, the scheduler's heartbeat and the parsed DAGs; then unpause the DAGs."""
    deadline = time.monotonic() + READY_SECONDS_MAX
    while time.monotonic() < deadline:
        name = services.ended()
        if name is not None:
            raise TieoutError(
                what=f"Airflow's {name} ended while it was starting",
                where=str(services.settings.logs_dir / f"airflow_{name}.log"),
                why="see its log",
                next_step="read the log, then start again",
            )
        if (
            _answers(services.login.url)
            and airflow_home.scheduler_is_alive(services.settings)
            and _pause_all(paused=False)
        ):
            return
        time.sleep(0.5)
    raise TieoutError(
        what=f"Airflow was not ready within {READY_SECONDS_MAX} s",
        where=str(services.settings.logs_dir),
        why="the API, the scheduler or the DAGs are missing",
        next_step="read airflow_*.log there",
    )


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/api/v2/monitor/health", timeout=2) as answer:  # noqa: S310
            return int(answer.status) == 200
    except (urllib.error.URLError, OSError):
        return False


def _pause_all(*, paused: bool) -> bool:
    """Pause or unpause the DAGs; False while one of them is not parsed yet."""
    from airflow.models.dag import DagModel  # noqa: PLC0415
    from airflow.utils.session import create_session  # noqa: PLC0415

    with create_session() as session:
        models = [session.get(DagModel, dag_id) for dag_id in DAGS]
        for model in models:
            if model is not None:
                model.is_paused = paused
        return all(model is not None for model in models)


def _fail_abandoned_runs() -> None:
    """End the runs of a killed command, so that the scheduler does not take them up."""
    from airflow.models.dagrun import DagRun  # noqa: PLC0415
    from airflow.utils.session import create_session  # noqa: PLC0415
    from airflow.utils.state import DagRunState  # noqa: PLC0415
    from airflow.utils.types import DagRunTriggeredByType  # noqa: PLC0415
    from sqlalchemy import select  # noqa: PLC0415

    with create_session() as session:
        found = session.scalars(
            select(DagRun).where(
                DagRun.triggered_by == DagRunTriggeredByType.TEST,
                DagRun.state.in_([DagRunState.QUEUED, DagRunState.RUNNING]),
            )
        )
        for dag_run in found:
            dag_run.state = DagRunState.FAILED


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
