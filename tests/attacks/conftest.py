"""One template home for a worker's attacks, and a copy of it for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import attack_world
from attack_world import Template, World
from tieout import database


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Template]:
    """A home whose first date is closed and paid; the next two dates lie in its inbox."""
    home = tmp_path_factory.mktemp("attacks") / "template"
    home.mkdir()
    built = attack_world.build_template(home)
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
