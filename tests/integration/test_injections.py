"""Every fault the simulator can inject, each in a fresh home: the week stops and pays nothing.

Run through the command line, as `make close` does. A worker's home is made once, and made anew from
copies of its databases and files for each fault: preparing it is not what is tested here.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

import parts
from tieout import database
from tieout.commands.cli import GATE_FAILED
from tieout.core.settings import Settings
from tieout.server import embedded
from tieout.simulator import INJECTIONS
from tieout.simulator.injections import CAUSES

from .conftest import served_home, tieout

FAULT_DATE = "2026-09-25"
PAYMENT_DATE = "20260928"
SMALL_WEEK = ["--transactions", "60", "--merchants", "10"]
DATABASES = (embedded.DATABASE, embedded.AIRFLOW_DATABASE)
# What the message must name, besides exiting non-zero: the channel or file, and the cause.
NAMES = {
    "missing_file": ("wechat", "trade_bill", FAULT_DATE),
    "truncated_file": ("IND26092501ACOMN", "cut off"),
    "wrong_control_total": ("wechat", "All2026-09-25.csv"),
    "doubled_file": ("ACOM", "conflict"),
    "unknown_code": ("IND26092501ACOMN", "line 2", "99"),
    "bad_encoding": ("All2026-09-25.csv", "utf-8"),
    "corrupt_archive": ("0156_20260925.zip",),
    "missing_platform_file": ("platform", "source_vouchers"),
    "wrong_sign": ("source_vouchers_20260925.csv", "amount_minor"),
    "wrong_date": ("source_vouchers_20260925.csv", "accounting_date"),
    "duplicate_voucher_id": ("source_vouchers_20260925.csv", "voucher_id"),
    "wrong_trailer": ("source_vouchers_20260925.csv", "rows"),
    "unknown_merchant": ("898000059999999", "contract"),
    "missing_bank_line": ("unionpay", "bank_arrival"),
    "bank_short_one_fen": ("alipay", "0.01"),
    "bank_line_wrong_reference": ("unionpay", "bank_arrival", "no_unclassified_bank_line"),
    "unordered_debit": ("bank_lines_explained", "unordered_debit", "-70000 CNY", "bank-lines show"),
    "interest_that_takes": ("bank_lines_explained", "wrong_sign", "-70000 CNY"),
    "statement_gap": ("6600100200300400",),
}
# What the equation alone shows, each in a channel of its own as far as a week has channels.
TOGETHER = (
    ("record_left_out", "bank_digits_exchanged", "bank_lines_exchanged"),
    ("record_twice", "bank_line_twice", "bank_decimal_shifted"),
    ("record_of_another_amount", "bank_line_of_another_date"),
    ("adjustment_twice",),
    ("brand_fee_twice",),
    ("bank_line_reversed",),
    ("bank_short_unsaid", "brand_fee_left_out", "adjustment_left_out"),
)


def test_every_injection_has_its_expectation() -> None:
    """A new kind of fault comes with what its message must say, or the cause that is named."""
    assert INJECTIONS
    together = [kind for kinds in TOGETHER for kind in kinds]
    assert sorted([*NAMES, *together]) == sorted(INJECTIONS)
    assert set(together) <= set(CAUSES) <= set(INJECTIONS)
    assert len(INJECTIONS) >= 30


@dataclass(frozen=True)
class Snapshot:
    """A served home, and what it was before the first fault."""

    settings: Settings
    files: Path
    url: str

    def restore(self) -> None:
        """Make the home what it was: databases, folders and files."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            for name in DATABASES:
                connection.execute(f"drop database if exists {name} with (force)")
                connection.execute(f"create database {name} template {name}_before")
        for entry in self.settings.home.iterdir():
            if entry != self.settings.pg_dir:
                subprocess.run(["rm", "-rf", str(entry)], check=True)
        subprocess.run(["cp", "-a", f"{self.files}/.", str(self.settings.home)], check=True)


@pytest.fixture(scope="module")
def snapshot(prepared_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Snapshot]:
    """A home for one fault after the other, and the process of their commands."""
    folder = tmp_path_factory.mktemp("injections")
    with served_home(prepared_home, folder / "home") as settings:
        assert tieout(settings.home, "status").returncode == 0  # it has imported everything
        files = folder / "files"
        files.mkdir()
        for entry in settings.home.iterdir():
            if entry != settings.pg_dir:
                subprocess.run(["cp", "-a", str(entry), str(files)], check=True)
        url = database.ensure_server(settings).rpartition("/")[0] + "/postgres"
        with psycopg.connect(url, autocommit=True) as connection:
            for name in DATABASES:
                connection.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s",
                    [name],
                )
                connection.execute(f"create database {name}_before template {name}")
        yield Snapshot(settings, files, url)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", sorted(NAMES)[:: parts.step(3)])
def test_injected_fault_stops_the_week_before_money_leaves(kind: str, snapshot: Snapshot) -> None:
    """The command exits non-zero, names the cause, and no payout file of the date exists."""
    snapshot.restore()
    home = snapshot.settings.home
    done = tieout(home, "sample", "--inject", kind, *SMALL_WEEK, timeout_seconds=560)
    message = done.stderr[done.stderr.rfind("tieout:") :]
    assert done.returncode != 0, f"{kind}: the week went through\n{done.stderr[-2000:]}"
    assert not list((home / "outbox").rglob(f"payouts/{PAYMENT_DATE}/*")), kind
    missing = [word for word in NAMES[kind] if word not in message]
    assert not missing, f"{kind}: the message does not say {missing}:\n{message}"
    injected = json.loads((home / "truth" / "arguments.json").read_text())["inject"]
    assert injected == [kind]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kinds", TOGETHER[: parts.examples(len(TOGETHER))], ids="+".join)
def test_failed_gate_names_the_cause_of_what_was_injected(
    kinds: tuple[str, ...], snapshot: Snapshot
) -> None:
    """In full: files written, landed, closed, paid; the command then says what the truth says."""
    snapshot.restore()
    home = snapshot.settings.home
    faults = [word for kind in kinds for word in ("--inject", kind)]
    done = tieout(home, "sample", *faults, *SMALL_WEEK, timeout_seconds=560)
    assert done.returncode != 0, f"{kinds}: the week went through\n{done.stderr[-2000:]}"
    assert "tieout explain gate 2026-09-28" in done.stderr
    told = json.loads(tieout(home, "explain", "gate", "2026-09-28", "--json").stdout)
    injected = json.loads((home / "truth" / "injections.json").read_text())
    assert sorted(fault["kind"] for fault in injected) == sorted(kinds)
    for fault in injected:
        groups = [
            one for one in told if one["channel"] == fault["channel"] and one["residual_minor"] != 0
        ]
        assert groups, fault
        said = [[candidate["causes"] for candidate in one["candidates"][:3]] for one in groups]
        if fault["cause"] is None:
            sure = [
                candidate
                for one in groups
                for candidate in one["candidates"]
                if candidate["confidence"] == "sure"
            ]
            assert sure == [], fault
        else:
            assert any([fault["cause"]] in causes for causes in said), (fault, said)


@pytest.mark.timeout(600)
def test_a_date_goes_on_when_two_people_have_released_it(snapshot: Snapshot) -> None:
    """Nothing waits: the command ends with a code of its own, and is called again."""
    snapshot.restore()
    home = snapshot.settings.home
    arguments = ("--inject", "bank_short_one_fen", *SMALL_WEEK)
    stopped = tieout(home, "sample", *arguments, timeout_seconds=560)
    assert stopped.returncode == GATE_FAILED, stopped.stderr[-2000:]
    day = "2026-09-28"
    assert f"tieout gate request {day}" in stopped.stderr
    asked = tieout(home, "gate", "request", day, "--reason", "one fen, bank knows", "--by", "Li")
    assert asked.returncode == 0, asked.stderr
    one = tieout(home, "pay", day)
    assert one.returncode == GATE_FAILED, "one person is not two"
    assert not list((home / "outbox").rglob(f"payouts/{PAYMENT_DATE}/pain001*"))
    done = tieout(home, "gate", "approve", "1", "--by", "Wang")
    assert done.returncode == 0, done.stderr
    paid = tieout(home, "pay", day)
    assert paid.returncode == 0, paid.stderr[-2000:]
    assert list((home / "outbox").rglob(f"payouts/{PAYMENT_DATE}/pain001*"))
    verified = tieout(home, "verify", day)
    assert (verified.returncode, "0 findings" in verified.stderr) == (0, True), verified.stdout
