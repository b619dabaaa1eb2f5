"""The command line in homes of their own; the sample week, small, run once through it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import one_thread
import prepared_homes
import warm_commands
from tieout import database
from tieout.core.settings import Settings, load_settings
from warm_commands import WarmCommands

WEEK = ("--transactions", "300", "--stated-fees")


def environment_of(home: Path) -> dict[str, str]:
    """The environment of a person who set TIEOUT_HOME and nothing else of ours.

    Fixtures of other folders set TIEOUT_INBOX and Airflow's variables for this process; a command
    that inherited them would work in another test's home.
    """
    others = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TIEOUT_", "AIRFLOW_")) and name != one_thread.VARIABLE
    }
    return {**others, "TIEOUT_HOME": str(home)}


def tieout(
    home: Path, *arguments: str, timeout_seconds: int = 900
) -> subprocess.CompletedProcess[str]:
    """Run the command line as a person does, in a process of its own.

    In a `served_home` that process is forked from one that has imported everything.
    """
    if home in _served:
        return _served[home].run(arguments, timeout_seconds)
    return subprocess.run(
        [sys.executable, "-m", "tieout.commands.cli", *arguments],
        env=environment_of(home),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
        check=False,
    )


_served: dict[Path, WarmCommands] = {}


@contextmanager
def served_home(prepared_home: Path, home: Path) -> Iterator[Settings]:
    """Copy the prepared home, start its server and a process for its commands; stop both."""
    settings = prepared_homes.copy(prepared_home, home)
    try:
        prepared_homes.start_carelessly(settings)
        with warm_commands.serving(home, environment_of(home)) as commands:
            _served[home] = commands
            yield settings
    finally:
        _served.pop(home, None)
        database.stop_server(settings)


@pytest.fixture(scope="session")
def week(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A home in which the sample week was closed and paid by one command."""
    home = tmp_path_factory.mktemp("week")
    settings = load_settings({"TIEOUT_HOME": str(home)})
    try:
        done = tieout(home, "sample", *WEEK)
        assert done.returncode == 0, done.stderr + done.stdout
        yield settings
    finally:
        database.stop_server(settings)
