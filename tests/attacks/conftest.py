"""One template home for a worker's attacks, and a copy of it for each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import attack_days
import attack_world
import prepared_homes
import table_rows
from attack_world import PAYMENT, Template, World
from tieout import database


@pytest.fixture(scope="session")
def template(
    run_folder: Path, prepared_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Template]:
    """A home whose first date is closed and paid; the next two dates lie in its inbox.

    One worker makes it, each has a copy with a server of its own.
    """

    def build(folder: Path) -> None:
        attack_world.build_template(folder / "home", prepared_home)

    made = prepared_homes.once(run_folder / "attacks", build) / "home"
    home = tmp_path_factory.mktemp("attacks") / "template"
    prepared_homes.copy(made, home)
    built = attack_world.open_template(home)
    try:
        yield built
    finally:
        database.stop_server(built.settings)


@pytest.fixture
def world(template: Template, tmp_path: Path) -> Iterator[World]:
    """A copy of the home for one attack."""
    with attack_world.copy_of(template, tmp_path / "home") as copied:
        yield copied


@pytest.fixture(scope="session")
def honest(template: Template, tmp_path_factory: pytest.TempPathFactory) -> attack_world.Outcome:
    """What an honest day pays and says; an attack is measured against it."""
    with attack_world.copy_of(template, tmp_path_factory.mktemp("honest") / "home") as copied:
        copied.must(copied.close_and_pay())
        return attack_world.outcome_of(copied, None)


CHUNK = 10


def _drawn(config: pytest.Config) -> list[tuple[int, tuple[str, ...]]]:
    """Return the days this run plays."""
    seed, count = int(config.getoption("seed")), int(config.getoption("days"))
    only = config.getoption("only")
    days = list(attack_days.drawn(seed, count))
    return days if only is None else [day for day in days if day[0] == int(only)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Share the days out into chunks, so that both workers play some."""
    if "chunk" in metafunc.fixturenames:
        days = _drawn(metafunc.config)
        chunks = [days[start : start + CHUNK] for start in range(0, len(days), CHUNK)]
        metafunc.parametrize("chunk", chunks, ids=[str(chunk[0][0]) for chunk in chunks])


@pytest.fixture
def drawn_days(request: pytest.FixtureRequest) -> list[tuple[int, tuple[str, ...]]]:
    """The days this run plays."""
    return _drawn(request.config)


@dataclass(frozen=True)
class Undisturbed:
    """What an honest day leaves: every table's rows, and the payment files with their hashes."""

    rows: table_rows.Rows
    files: dict[str, str]


@pytest.fixture(scope="session")
def undisturbed(template: Template, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """A home that nothing happened to; one that something did has to end like it."""
    with attack_world.copy_of(template, tmp_path_factory.mktemp("whole") / "home") as copied:
        copied.must(copied.close_and_pay())
        return Undisturbed(table_rows.rows_of(copied.settings), copied.payment_files(PAYMENT))
