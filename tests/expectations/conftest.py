"""A world for each test of the gate: see ``payment_world``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import payment_world
import pytest

from tieout import database
from tieout.settings import Settings


@pytest.fixture(scope="session")
def payment_template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Build the template database once."""
    settings = payment_world.build_template(tmp_path_factory.mktemp("payment-template"))
    yield settings
    database.stop_server(settings)


@pytest.fixture
def world(payment_template: Settings, tmp_path: Path) -> Iterator[payment_world.World]:
    """Give the test a payment date at which everything holds."""
    with payment_world.copy_of(payment_template, tmp_path) as copied:
        payment_world.fill(copied)
        yield copied
