"""Every fault the simulator can inject, each into its own home: the week stops and pays nothing.

Run through the command line, as `make close` does. One home is prepared once and copied for each
fault: preparing it (database, Airflow's tables, reference data) is not what is tested here.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tieout import airflow_home, database, transform
from tieout.settings import load_settings
from tieout.simulator import INJECTIONS

from .conftest import environment_of

FAULT_DATE = "2026-09-25"
PAYMENT_DATE = "20260928"
SMALL_WEEK = ["--transactions", "60", "--merchants", "10"]
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


def test_every_injection_has_its_expectation() -> None:
    """A new kind of fault comes with what its message must say."""
    assert INJECTIONS
    assert set(NAMES) == set(INJECTIONS)


@pytest.fixture(scope="module")
def prepared_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stopped home with its database, Airflow's tables and the reference data in place."""
    home = tmp_path_factory.mktemp("prepared") / "home"
    settings = load_settings({"TIEOUT_HOME": str(home)})
    settings.ensure_dirs()
    try:
        database.migrate(settings)
        airflow_home.prepare(settings)
        transform.seed(settings)
    finally:
        database.stop_server(settings)
    return home


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", sorted(INJECTIONS))
def test_injected_fault_stops_the_week_before_money_leaves(
    kind: str, prepared_home: Path, tmp_path: Path
) -> None:
    """The command exits non-zero, names the cause, and no payout file of the date exists."""
    home = tmp_path / "home"
    # cp keeps the owner of the data folder, which is not ours when the tests run as root.
    subprocess.run(["cp", "-a", str(prepared_home), str(home)], check=True)
    environment = {**environment_of(home), "NO_COLOR": "1"}
    tieout = Path(sys.executable).with_name("tieout")
    try:
        done = subprocess.run(
            [str(tieout), "sample", "--inject", kind, *SMALL_WEEK],
            env=environment,
            capture_output=True,
            text=True,
            timeout=560,
            check=False,
        )
    finally:
        subprocess.run([str(tieout), "stop"], env=environment, capture_output=True, check=False)
    message = done.stderr[done.stderr.rfind("tieout:") :]
    assert done.returncode != 0, f"{kind}: the week went through\n{done.stderr[-2000:]}"
    assert not list((home / "outbox").rglob(f"payouts/{PAYMENT_DATE}/*")), kind
    missing = [word for word in NAMES[kind] if word not in message]
    assert not missing, f"{kind}: the message does not say {missing}:\n{message}"
    injected = json.loads((home / "truth" / "arguments.json").read_text())["inject"]
    assert injected == [kind]
