"""The command line of one home, from a process that has imported everything it takes.

A command of a person's own imports Airflow, dbt and Great Expectations and parses the dbt project:
half a minute of work that every one of them does alike. Here one process does it once, and forks
for each command: arguments, exit code, standard output and error are those of the command line, and
what one command leaves in memory no other sees. A run's steps follow one another without Airflow
(`direct_runs`). `tests/integration/test_end_to_end.py` and `make close` start the program itself.

As a program: `warm_commands.py HOME` reads a command a line (JSON) and answers with its exit code.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["WarmCommands", "serving"]


class WarmCommands:
    """Runs commands in a home; one after the other."""

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        """Start the process; it is ready when the first command is answered."""
        self.home = home
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(home)],
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def run(self, arguments: tuple[str, ...], timeout_seconds: float) -> Any:
        """Run a command; return what `subprocess.run` would."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with tempfile.TemporaryDirectory() as folder:
            said = Path(folder) / "stdout", Path(folder) / "stderr"
            asked = {"arguments": arguments, "stdout": str(said[0]), "stderr": str(said[1])}
            self._process.stdin.write(json.dumps(asked).encode() + b"\n")
            self._process.stdin.flush()
            ready, _, _ = select.select([self._process.stdout], [], [], timeout_seconds)
            if not ready:
                self.stop()
                raise subprocess.TimeoutExpired(arguments, timeout_seconds)
            answer = self._process.stdout.readline()
            assert answer, f"the process of {self.home} ended with {self._process.wait()}"
            texts = [path.read_text(encoding="utf-8") for path in said]
        return subprocess.CompletedProcess(arguments, int(answer), *texts)

    def stop(self) -> None:
        """End the process, and a command that is at work."""
        assert self._process.stdin is not None
        if self._process.poll() is None:
            self._process.terminate()
        self._process.stdin.close()
        self._process.wait(60)
        if self._process.stdout is not None:
            self._process.stdout.close()


@contextmanager
def serving(home: Path, environment: Mapping[str, str]) -> Iterator[WarmCommands]:
    """Have a process for the commands of a home whose server runs."""
    commands = WarmCommands(home, environment)
    try:
        yield commands
    finally:
        commands.stop()


# --- the process --------------------------------------------------------------------------------


def _warm_up() -> None:
    """Import what commands import, parse the dbt project; leave no connection and no thread."""
    import airflow.api_fastapi.core_api.app
    import airflow.api_fastapi.execution_api.app
    import airflow.models.dagrun
    import airflow.sdk.execution_time.supervisor
    import airflow.sdk.execution_time.task_runner
    import dbt.cli.main
    import great_expectations

    import direct_runs
    import tieout.gate
    import tieout.runs.answers
    import tieout.runs.closing
    import tieout.runs.paying
    import tieout.simulator
    import tieout.simulator.bank
    import tieout.simulator.bank_answers
    from tieout.core.settings import load_settings
    from tieout.runs import runner, transform

    runner._run_here = direct_runs.run_here
    settings = load_settings()
    for kind in runner.READY:
        runner._load_dag(settings, kind)
    transform.run_dbt(settings, ["parse"], transform._EPOCH)
    loaded = (airflow, dbt, great_expectations, tieout)
    assert all(module.__name__ in sys.modules for module in loaded)
    airflow.settings.dispose_orm()


def _serve() -> None:
    from tieout.commands import cli
    from tieout.core.settings import load_settings
    from tieout.runs import airflow_home

    # Answers have a way of their own: what libraries print goes to the terminal's error.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    airflow_home.enter(load_settings())
    _warm_up()
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            _become(asked, cli.main)
        _, status = os.waitpid(child, 0)
        answers.write(f"{os.waitstatus_to_exitcode(status)}\n")


def _become(asked: Mapping[str, Any], command_line: Any) -> None:
    """Be the command: its arguments, its output, its exit code."""
    from airflow import settings as airflow_settings

    code = 1
    try:
        for number, target in ((0, os.devnull), (1, asked["stdout"]), (2, asked["stderr"])):
            opened = os.open(target, os.O_RDWR | os.O_CREAT | os.O_TRUNC if number else os.O_RDONLY)
            os.dup2(opened, number)
            os.close(opened)
        sys.argv = ["tieout", *asked["arguments"]]
        airflow_settings.configure_orm()
        try:
            command_line()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


if __name__ == "__main__":
    os.environ["TIEOUT_HOME"] = sys.argv[1]
    _serve()
