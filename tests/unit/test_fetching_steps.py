"""Fetching inside a close, from the command line, and with Airflow's connections."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fetch_homes import ACOMN, DAY, FetchHome
from landing_world import own_database, place
from tieout import fetching
from tieout.core.settings import PROJECT_DIR, Settings
from tieout.fetching.report import FetchError, FetchOutcome, FetchReport, TransientFetchError
from tieout.runs import closing
from tieout.runs.steps import Step

__all__ = ["own_database", "place"]

NOW = datetime(2026, 9, 25, 2, 0, tzinfo=UTC)

FOLDER = """
[[source]]
name = "unionpay"
kind = "store"
url = "file://{folder}"
files = ["unionpay/acomn"]
settle_seconds = 0.01
"""


@pytest.fixture
def own_home(place: Settings) -> FetchHome:
    """A home whose sources the test writes; its database knows what is owed."""
    return FetchHome(place)


def step(home: FetchHome) -> Step:
    """Return the step of a close."""
    return Step(home.settings, "accounting_close", DAY, "test", "fetch", now=NOW)


def failing(monkeypatch: pytest.MonkeyPatch, error: FetchError, *kinds: tuple[str, str]) -> None:
    """Have the sources of these kinds fail."""
    outcomes = tuple(
        FetchOutcome("down", channel, kind, DAY, "failed", reason=error.what)
        for channel, kind in kinds
    )
    monkeypatch.setattr(
        fetching, "fetch", lambda *_args, **_options: FetchReport(outcomes, (error,))
    )


def test_without_sources_nothing_is_fetched(own_home: FetchHome) -> None:
    assert closing.fetch(step(own_home)) == {"files": 0}
    assert own_home.files() == {}


def test_a_close_fetches_its_files(own_home: FetchHome, tmp_path: Path) -> None:
    (tmp_path / "remote").mkdir()
    (tmp_path / "remote" / ACOMN).write_bytes(b"x")
    own_home.sources(FOLDER.format(folder=tmp_path / "remote"))
    assert closing.fetch(step(own_home)) == {"files": 1, "fetched": 1}
    assert list(own_home.files()) == [f"unionpay/20260924/{ACOMN}"]


def test_a_source_that_is_down_stops_a_date_that_lacks_its_file(
    own_home: FetchHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, FetchError(what="refused"), ("unionpay", "acomn"))
    with pytest.raises(closing.CloseError) as caught:
        closing.fetch(step(own_home))
    assert "1 files did not come from their sources" in caught.value.what
    assert (caught.value.where, caught.value.__cause__) == ("down", None)
    assert "unionpay acomn of 2026-09-24 from down failed: refused" in caught.value.why


def test_airflow_tries_again_what_may_work_in_a_moment(
    own_home: FetchHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, TransientFetchError(what="no answer"), ("unionpay", "acomn"))
    with pytest.raises(closing.CloseError) as caught:
        closing.fetch(step(own_home))
    assert isinstance(caught.value.__cause__, ConnectionError)


@pytest.mark.parametrize("name", [ACOMN, f"{ACOMN}.pgp"])
def test_a_file_that_came_another_way_is_enough(
    own_home: FetchHome, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    failing(monkeypatch, FetchError(what="refused"), ("unionpay", "acomn"))
    (own_home.inbox / name).write_bytes(b"x")
    assert closing.fetch(step(own_home)) == {"files": 1, "failed": 1}


def test_what_the_date_does_not_owe_stops_nothing(
    own_home: FetchHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, FetchError(what="refused"), ("bank", "camt053"))
    assert closing.fetch(step(own_home)) == {"files": 1, "failed": 1}


def test_a_list_that_is_not_understood_stops_the_close(own_home: FetchHome) -> None:
    own_home.sources("[[source]]\nname = 1\n")
    with pytest.raises(FetchError, match="not understood"):
        closing.fetch(step(own_home))


def tieout(home: FetchHome, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command line."""
    return subprocess.run(
        [sys.executable, "-m", "tieout.commands.cli", *arguments],
        env={**os.environ, "TIEOUT_HOME": str(home.settings.home), **environ},
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


def test_the_command_fetches(own_home: FetchHome, tmp_path: Path) -> None:
    done = tieout(own_home, "fetch")
    assert (done.returncode, done.stdout) == (0, "")
    assert "no sources:" in done.stderr
    (tmp_path / "remote").mkdir()
    (tmp_path / "remote" / ACOMN).write_bytes(b"x")
    own_home.sources(FOLDER.format(folder=tmp_path / "remote"))
    done = tieout(own_home, "fetch", "--date", "2026-09-24")
    assert (done.returncode, done.stdout.strip()) == (
        0,
        f"unionpay acomn of 2026-09-24 from unionpay {ACOMN} fetched",
    )
    assert list(own_home.files()) == [f"unionpay/20260924/{ACOMN}"]
    done = tieout(own_home, "fetch", "--source", "other")
    assert done.returncode == 1
    assert "there is no source other" in done.stderr


CONNECTION = """
import sys
from tieout.fetching.connections import airflow_connection
found = airflow_connection("bill_source")
print(found.host, found.port, found.login, found.password, found.extra["serial_number"])
assert "hunter2" not in repr(found) and "77" not in repr(found)
try:
    airflow_connection("none_of_this_name")
except Exception as error:
    print(type(error).__name__, error.next_step)
"""


@pytest.mark.slow
def test_a_connection_comes_from_airflow_s_environment(own_home: FetchHome) -> None:
    connection = {
        "conn_type": "http",
        "host": "127.0.0.1",
        "port": 8080,
        "login": "1900000001",
        "password": "hunter2",
        "extra": {"serial_number": "77"},
    }
    done = subprocess.run(
        [sys.executable, "-c", CONNECTION],
        env={
            **os.environ,
            "AIRFLOW_HOME": str(own_home.settings.airflow_dir),
            "AIRFLOW_CONN_BILL_SOURCE": json.dumps(connection),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-500:]
    lines = done.stdout.splitlines()
    assert "127.0.0.1 8080 1900000001 hunter2 77" in lines
    assert "FetchError add it, or set AIRFLOW_CONN_NONE_OF_THIS_NAME" in lines
