"""The stack of docker-compose.yml in containers: built, started, torn down at the end."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

import containers
from containers import Engine, Stack
from tieout.core.settings import Settings, load_settings
from tieout.simulator import sample
from tieout.simulator.sample import SampleOptions

# Three working days in a row; each is paid on the day after it.
FIRST, SECOND, THIRD, FOURTH = (date(2026, 9, day) for day in (21, 22, 23, 24))
OPTIONS = SampleOptions(first=FIRST, days=3, transactions=300)


@pytest.fixture(scope="session")
def engine() -> Engine:
    """The container engine; without one these tests fail, because they were asked for."""
    found = containers.find_engine()
    if found is None:
        pytest.fail("no container engine answers; next: bin/stack-engine, or start docker")
    return found


@pytest.fixture(scope="session")
def images(engine: Engine) -> Engine:
    """The engine with the images built from this project."""
    began = time.monotonic()
    subprocess.run(
        [str(containers.PROJECT / "bin/stack-build")],
        check=True,
        timeout=1200,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    print(f"images are built: {time.monotonic() - began:.0f} s")
    return engine


@pytest.fixture(scope="session")
def senders(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The platform, the channels and the bank: their files of three dates, outside the stack."""
    settings = load_settings({"TIEOUT_HOME": str(tmp_path_factory.mktemp("senders"))})
    sample.simulate(settings, OPTIONS, None)
    return settings


@pytest.fixture(scope="session")
def stack(images: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The running stack."""
    folder: Path = tmp_path_factory.mktemp("stack")
    with containers.stack(images, folder) as found:
        began = time.monotonic()
        found.start("postgres", "tieout-migrate", "airflow-migrate", "sftp", "airflow-users")
        found.start("api-server", "dag-processor", "triggerer", "docs", "scheduler")
        print(f"the stack is up: {time.monotonic() - began:.0f} s")
        yield found
