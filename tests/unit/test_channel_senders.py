"""Which channel a file belongs to is reference data; so is which channels a voucher may name."""

from __future__ import annotations

import csv
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

import channel_files as make
import wallet_files as wallet
from landing_world import own_database, place, put, query, statuses
from tieout import landing
from tieout.channels.registry import recognise
from tieout.core.settings import PROJECT_DIR, Settings
from tieout.files.senders import senders

__all__ = ["own_database", "place"]

FIRST, SECOND, STRANGER = "1900000109", "1900000222", "1900000333"
QR_BILL = "20260924_20260924_ALL.csv"
CODE = "134512345678901234"
SEEDS = Path("dbt_project/seeds/reference")
TOOL = PROJECT_DIR / "bin" / "channels"
ROWS = PROJECT_DIR / "examples" / "channels" / "qr_gateway"


@pytest.fixture
def listed(own_database: str) -> Iterator[psycopg.Connection[Any]]:
    """The list of senders, as dbt makes it of its seed, with a second account and a gateway."""
    rows = [
        ("wechat", "*", f"channel_merchant_id={FIRST}", "wechat"),
        ("wechat", "*", f"channel_merchant_id={SECOND}", "wechat_2"),
        ("unionpay", "qr_gateway_bill", None, "qr_gateway"),
        ("unionpay", "acomn", "institution_id=48370000", "unionpay"),
        ("unionpay", "acomn", "institution_id=48379219", "unionpay_2"),
    ]
    with psycopg.connect(own_database, autocommit=True) as connection:
        connection.execute(
            "create table reference.channel_senders"
            " (sender text, file_kind text, name_part text, channel text)"
        )
        connection.execute("grant select on reference.channel_senders to tieout_ingest")
        connection.cursor().executemany(
            "insert into reference.channel_senders values (%s, %s, %s, %s)", rows
        )
        yield connection
        connection.execute("drop table reference.channel_senders")
        connection.execute("delete from reference.channels where channel = 'wechat_2'")


def bill(account: str) -> bytes:
    rows = [{**row, "商户号": account} for row in (make.WECHAT_PAYMENT, make.WECHAT_REFUND)]
    return make.wechat_bill(rows)


@pytest.mark.usefixtures("listed")
def test_a_second_account_of_a_wallet_is_a_channel_of_its_own(place: Settings) -> None:
    for account in (FIRST, SECOND, STRANGER):
        put(place, f"{account}All2026-09-24.csv", bill(account))
    found = statuses(landing.land(place))
    assert found[f"{STRANGER}All2026-09-24.csv"] == "quarantined"
    assert set(found.values()) == {"landed", "quarantined"}
    assert query(
        place,
        "select channel, slot, status from control.channel_files order by channel, slot",
    ) == [
        ("wechat", f"wechat/trade_bill/2026-09-24/channel_merchant_id={FIRST}", "landed"),
        ("wechat", f"wechat/trade_bill/2026-09-24/channel_merchant_id={STRANGER}", "quarantined"),
        ("wechat_2", f"wechat_2/trade_bill/2026-09-24/channel_merchant_id={SECOND}", "landed"),
    ]
    ((code, reason),) = query(place, "select reason_code, reason from control.quarantined_rows")
    assert code == "unknown_account"
    assert "reference.channel_senders" in reason
    assert STRANGER in reason


def test_without_rows_a_sender_is_its_channel(place: Settings) -> None:
    put(place, f"{SECOND}All2026-09-24.csv", bill(SECOND))
    put(place, QR_BILL, wallet.qr_bill())
    assert set(statuses(landing.land(place)).values()) == {"landed"}
    assert query(place, "select channel, file_kind from control.channel_files order by 1") == [
        ("unionpay", "qr_gateway_bill"),
        ("wechat", "trade_bill"),
    ]


@pytest.mark.usefixtures("listed")
def test_the_gateways_bill_is_a_channel_where_reference_data_says_so(place: Settings) -> None:
    put(place, QR_BILL, wallet.qr_bill())
    assert set(statuses(landing.land(place)).values()) == {"landed"}
    assert query(place, "select channel, slot from control.channel_files") == [
        ("qr_gateway", "qr_gateway/qr_gateway_bill/2026-09-24/end_date=20260924")
    ]


def test_an_institutions_number_in_front_of_a_name_needs_a_row(
    place: Settings, listed: psycopg.Connection[Any]
) -> None:
    """Without one the same file would have two places, and each record would count twice."""
    known = senders(listed)
    for number, channel in (("48370000", "unionpay"), ("48379219", "unionpay_2")):
        file = recognise(f"{number}_IND26092401ACOMN.Z")
        assert file is not None
        assert known.channel_of(file).channel == channel
    for name in ("IND26092401ACOMN", "48370009_IND26092401ACOMN", "48370000_IND26092499AERRN"):
        file = recognise(name)
        assert file is not None, name
        assert not known.channel_of(file).is_of_a_channel, name
    put(place, "48370009_IND26092401ACOMN", make.acomn())
    assert set(statuses(landing.land(place)).values()) == {"quarantined"}
    plain = recognise("IND26092499AERRN")
    assert plain is not None
    assert plain.slot == "unionpay/aerrn/2026-09-24"
    assert known.channel_of(plain) == plain


def test_a_voucher_names_a_channel_of_the_reference_data(
    place: Settings, listed: psycopg.Connection[Any]
) -> None:
    row = {**make.VOUCHER, "channel": "wechat_2", "channel_order_id": "4200001"}
    put(place, "source_vouchers_20260924.csv", make.platform_file("source_vouchers", [row]))
    assert set(statuses(landing.land(place)).values()) == {"quarantined"}
    assert query(place, "select line_number, field, reason_code from control.quarantined_rows") == [
        (2, "channel", "unknown_code")
    ]
    listed.execute(
        "insert into reference.channels"
        " select 'wechat_2', channel_name_zh, currency_code, platform_cutoff_minutes,"
        " cutoff_minutes, skew_minutes, doubt_period_closes, arrival_calendar, arrival_lag_days,"
        " cost_billing, suspense_limit_amount_minor, suspense_limit_age_days, voided_pairs"
        " from reference.channels where channel = 'wechat'"
    )
    assert set(statuses(landing.land(place)).values()) == {"landed"}
    assert query(place, "select channel from raw.platform_source_vouchers") == [("wechat_2",)]


# --- payment codes --------------------------------------------------------------------------------


def codes(**values: str) -> bytes:
    row = {**make.VOUCHER, "payment_code_prefix": "13", "payment_code_digits": "18", **values}
    return make.platform_file("source_vouchers", [row])


def test_of_a_payment_code_its_first_digits_land(place: Settings) -> None:
    put(place, "source_vouchers_20260924.csv", codes())
    assert set(statuses(landing.land(place)).values()) == {"landed"}
    assert query(
        place, "select payment_code_prefix, payment_code_digits from raw.platform_source_vouchers"
    ) == [("13", 18)]


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (codes(payment_code_prefix=CODE), "payment_code_prefix"),
        (codes(payment_code_prefix=f" {CODE}"), "payment_code_prefix"),
        (codes(payment_code_prefix=CODE).replace(CODE.encode(), CODE.encode() + b",1"), ""),
        (codes(payment_code_digits=""), "payment_code_digits"),
        (codes(payment_code_digits="9"), "payment_code_digits"),
        (codes(payment_code_digits="100"), "payment_code_digits"),
    ],
    ids=["the code", "behind a blank", "in a broken line", "no length", "short", "long"],
)
def test_a_whole_payment_code_is_shown_nowhere(place: Settings, content: bytes, field: str) -> None:
    put(place, "source_vouchers_20260924.csv", content)
    assert set(statuses(landing.land(place)).values()) == {"quarantined"}
    found = query(place, "select field, quarantined_rows::text from control.quarantined_rows")
    assert field in {name for name, _ in found}
    assert not [text for _, text in found if CODE in text]
    assert CODE not in str(query(place, "select channel_files::text from control.channel_files"))


# --- a channel's rows -----------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The reference data of a project with the example's channel."""
    shutil.copytree(PROJECT_DIR / SEEDS, tmp_path / SEEDS)
    done = channels("add", str(ROWS), "--project", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    return tmp_path


def channels(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(TOOL), *arguments], capture_output=True, text=True, check=False
    )


PLACES = tuple(name for name, _ in runpy.run_path(str(TOOL))["PLACES"])


def test_each_channel_of_the_project_has_its_rows() -> None:
    done = channels("check")
    assert done.returncode == 0, done.stdout
    assert "3 channels" in done.stdout


@pytest.mark.parametrize("name", [name for name in PLACES if name != "channels"])
def test_a_channel_that_is_set_up_halfway_is_told_by_its_list(project: Path, name: str) -> None:
    path = project / SEEDS / f"{name}.csv"
    kept = [line for line in path.read_text().splitlines() if "qr_gateway" not in line]
    path.write_text("\n".join(kept) + "\n")
    done = channels("check", "--project", str(project))
    assert done.returncode == 1
    assert f"qr_gateway: {SEEDS / name}.csv has no row of it" in done.stdout


def test_a_channel_is_added_once(project: Path) -> None:
    before = {path.name: path.read_bytes() for path in (project / SEEDS).glob("*.csv")}
    done = channels("add", str(ROWS), "--project", str(project))
    assert done.returncode == 0
    assert {path.name: path.read_bytes() for path in (project / SEEDS).glob("*.csv")} == before


def test_a_folder_that_is_no_channel_changes_nothing(project: Path, tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    folder.mkdir()
    (folder / "nothing.csv").write_text("channel\nx\n")
    done = channels("add", str(folder), "--project", str(project))
    assert done.returncode == 2
    assert "there is no list" in done.stderr


def test_the_tool_and_the_test_of_the_close_ask_for_the_same_lists() -> None:
    test = PROJECT_DIR / "dbt_project" / "tests" / "setup" / "assert_each_channel_is_set_up.sql"
    asked = re.findall(r"^    '(\w+)': ", test.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(asked) > 5
    assert ["channels", *asked] == list(PLACES)


def test_the_guide_names_each_list() -> None:
    guide = (PROJECT_DIR / "docs" / "operations" / "add-a-channel.md").read_text(encoding="utf-8")
    for name in PLACES:
        assert f"`{name}`" in guide, name


def test_the_example_has_a_row_in_each_list() -> None:
    for name in PLACES:
        with (ROWS / f"{name}.csv").open(encoding="utf-8", newline="") as stream:
            assert "qr_gateway" in {row["channel"] for row in csv.DictReader(stream)}, name


def test_each_format_that_a_union_reads_has_its_staging_model() -> None:
    macro = (PROJECT_DIR / "dbt_project" / "macros" / "channels.sql").read_text(encoding="utf-8")
    listed_models = {
        f"stg_{name}__{what}"
        for what, names in re.findall(r"'(\w+)': \[([^\]]+)\]", macro)
        for name in re.findall(r"'(\w+)'", names)
    }
    assert "stg_qr_gateway__transactions" in listed_models
    staged = {
        path.stem
        for path in (PROJECT_DIR / "dbt_project" / "models" / "staging").rglob("*.sql")
        if path.stem.endswith(("__transactions", "__adjustments", "__brand_fees"))
    }
    assert listed_models == staged
