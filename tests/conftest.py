"""One home for the whole session: its own folder, its own embedded server, migrated."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from xdist.scheduler import LoadFileScheduling

import database_copies
import one_thread
import parts
import prepared_homes
from samples_folder import SAMPLES
from tieout import database
from tieout.core.settings import Settings, load_settings


def pytest_addoption(parser: pytest.Parser) -> None:
    """How many random weeks the SQL is compared with the oracle on, and which."""
    group = parser.getgroup("tieout")
    group.addoption(
        "--worlds", type=int, default=parts.WORLDS, help="random weeks to close (tests/integration)"
    )
    group.addoption(
        "--paid-worlds",
        type=int,
        default=parts.PAID_WORLDS,
        help="random accounts to close and pay (tests/integration/test_oracle_payouts.py)",
    )
    group.addoption(
        "--write-defects", action="store_true", help="write docs/formats/defects.md anew"
    )
    group.addoption(
        "--write-samples", action="store_true", help="write docs/formats/samples.md anew"
    )
    group.addoption(
        "--world-seed", type=int, default=None, help="draw other weeks than CI's; any number"
    )
    group.addoption(
        "--days", type=int, default=parts.DAYS, help="wrong days to draw (tests/attacks)"
    )
    group.addoption(
        "--examples",
        type=int,
        default=parts.EXAMPLES,
        help="of a hundred examples that a property can be tried on, how many to draw",
    )
    group.addoption(
        "--backfill-days",
        type=int,
        default=parts.BACKFILL_DAYS,
        help="dates that Airflow's own backfill closes, at least four",
    )
    group.addoption("--seed", type=int, default=1, help="draw other days than CI's; any number")
    group.addoption(
        "--stack",
        choices=("none", "short", "full"),
        default="none",
        help="the stack in containers (tests/stack), which needs a container engine",
    )
    group.addoption("--only", type=int, default=None, help="play one of the drawn days, by number")


def pytest_configure(config: pytest.Config) -> None:
    """Forget the caller's settings: tests never touch a developer's home or database."""
    assert os.environ[one_thread.VARIABLE]
    parts.draw(config.getoption("examples"))
    for name in [name for name in os.environ if name.startswith(("TIEOUT_", "AIRFLOW_"))]:
        del os.environ[name]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the stack where nobody asked for it; put long files first where workers share."""
    left = parts.stack_left_out([item.nodeid for item in items], config.getoption("stack"))
    if left:
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid in left])
        items[:] = [item for item in items if item.nodeid not in left]
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: parts.place_of(item.nodeid))


class FilesTogether(LoadFileScheduling):
    """Keeps a file's tests in one worker, since they share servers; injections and days do not.

    Not `--dist=loadgroup`: xdist 3.8 writes groups into a place that pytest 9 does not read.
    """

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(parts.APART):
            return nodeid
        scope: str = super()._split_scope(nodeid)
        return scope


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FilesTogether:
    """Share the tests out among the workers, in the order of `parts.place_of`."""
    config.option.loadscopereorder = False  # xdist's own order counts tests, not minutes
    return FilesTogether(config, log)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say what each part took beside its budget, and loudly where no real samples were there."""
    reports = [
        report
        for of_outcome in terminalreporter.stats.values()
        for report in of_outcome
        if isinstance(report, pytest.TestReport)
    ]
    workers = config.getoption("numprocesses", None) or 1
    terminalreporter.section("parts and budgets (docs/testing.md)")
    for line in parts.table(((each.nodeid, each.duration) for each in reports), workers):
        terminalreporter.line(line)
    drawn = [config.getoption(name) for name in ("days", "worlds", "examples", "backfill_days")]
    for line in parts.left_out(*drawn):
        terminalreporter.line(line)
    if config.getoption("stack") == "none":
        terminalreporter.line(
            "NOT RUN: the stack in containers (tests/stack); bin/stack-engine, make stack-test",
            red=True,
            bold=True,
        )
    if not SAMPLES.is_dir():
        terminalreporter.line(
            f"NO REAL SAMPLES in {SAMPLES}: their tests were skipped. SAMPLES_DIR=<folder> names "
            "another one",
            red=True,
            bold=True,
        )


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A folder that all workers of this run share."""
    return prepared_homes.shared_folder(tmp_path_factory, hasattr(request.config, "workerinput"))


@pytest.fixture(scope="session")
def prepared_home(run_folder: Path) -> Path:
    """A stopped home with its database, Airflow's tables and the reference data, to be copied."""
    return prepared_homes.once(run_folder / "prepared", prepared_homes.make)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A fresh TIEOUT_HOME with a running, migrated database; stopped at the end."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIEOUT_HOME", str(folder))
        settings = load_settings()
        try:
            prepared_homes.start_carelessly(settings)
            database.migrate(settings)
            database_copies.keep_migrated(settings)
            yield folder
        finally:
            database.stop_server(settings)


@pytest.fixture(scope="session")
def settings(home: Path) -> Settings:
    """The settings of the session's home (TIEOUT_HOME is set to it for the whole session)."""
    return load_settings({"TIEOUT_HOME": str(home)})


@pytest.fixture
def connection(settings: Settings) -> Iterator[psycopg.Connection[Any]]:
    """A connection whose work is rolled back: tests do not see one another's rows."""
    with database.connect(settings) as opened:
        try:
            yield opened
        finally:
            opened.rollback()


@pytest.fixture
def new_home(tmp_path: Path) -> Iterator[Settings]:
    """Settings of a home of this test's own, not started; stopped at the end."""
    settings = load_settings({"TIEOUT_HOME": str(tmp_path / "home")})
    try:
        yield settings
    finally:
        database.stop_server(settings)
