"""Tiers over the end of a month, through the command line: two dates, one payment.

Some accounts begin with the business, so that the volume of their month before is known on the
second date, the first of a month; the others were there before, and the base prices them.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tieout import database
from tieout.core.settings import Settings

from .conftest import served_home, tieout
from .test_terms import Row, change, query

pytestmark = pytest.mark.timeout(1800)

FIRST, SECOND, PAYMENT_DATE = "2026-10-31", "2026-11-01", "2026-11-02"
PEOPLE = ("--by", "Zhou Min", "--second", "Wu Fang", "--reason", "signed contracts")


def vouchers(home: Path, day: str) -> list[Row]:
    stamp = day.replace("-", "")
    path = home / "inbox" / "platform" / stamp / f"source_vouchers_{stamp}.csv"
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()[:-1]))


def begin_with_the_business(home: Path) -> set[str]:
    """Let accounts with a tier begin on the first date, where no return goes back before it."""
    of_before = {
        row["account_id"]
        for day in (FIRST, SECOND)
        for row in vouchers(home, day)
        if (row["original_transaction_at"] or FIRST)[:10] < FIRST
    }
    begun: set[str] = set()

    def contracts(rows: list[Row]) -> None:
        for row in rows:
            number = int(row["account_id"][1:]) - 1
            if number % 3 == 1 and row["account_id"] not in of_before and not row["effective_to"]:
                begun.add(row["account_id"])
                row["effective_from"] = FIRST

    def rules(rows: list[Row]) -> None:
        for row in rows:
            if row["tier_from_minor"] != "0":
                row |= {"tier_from_minor": "1", "fee_rate": "0.0001"}
            if f"A{row['contract_id'][1:7]}" in begun:
                row["effective_from"] = FIRST

    for day in (FIRST, SECOND):
        change(home, "contracts", day, contracts)
        change(home, "fee_rates", day, rules)
    return begun


@pytest.fixture(scope="module")
def paid(
    prepared_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Settings, set[str]]]:
    """A home with both dates closed and paid, and the accounts that began with the business."""
    home = tmp_path_factory.mktemp("tiers") / "home"
    with served_home(prepared_home, home) as settings:
        size = ("--transactions", "300", "--merchants", "10")
        done = tieout(home, "simulate", "--from", FIRST, "--days", "2", *size)
        assert done.returncode == 0, done.stderr
        begun = begin_with_the_business(home)
        for arguments in (
            ("close", FIRST, "--to", SECOND),
            ("terms", "approve", "--first-date", *PEOPLE),
            ("pay", PAYMENT_DATE),
        ):
            done = tieout(home, *arguments)
            assert done.returncode == 0, done.stderr
        yield settings, begun


def tiers(settings: Settings, day: str) -> dict[str, set[tuple[Any, ...]]]:
    """Return of each account the tiers and volumes that priced its sales by Alipay."""
    found: dict[str, set[tuple[Any, ...]]] = {}
    for account_id, *priced in query(
        settings,
        "select account_id, tier_from_minor, tier_volume_minor from clearing.clearing_entries"
        " where accounting_date = %s and channel = 'alipay' and transaction_type = 'purchase'",
        day,
    ):
        found.setdefault(account_id, set()).add(tuple(priced))
    return found


def test_the_volume_of_the_month_before_decides_and_the_gate_adds_up_the_same(
    paid: tuple[Settings, set[str]],
) -> None:
    settings, begun = paid
    volumes = dict(
        query(
            settings,
            "select account_id, sum(transaction_amount_minor) from clearing.clearing_records"
            " where accounting_date = %s group by account_id",
            FIRST,
        )
    )
    assert begun
    first, second = tiers(settings, FIRST), tiers(settings, SECOND)
    reached = begun & set(second)
    assert reached, "no account with a tier sold by Alipay on the second date"
    assert {account: first.get(account, {(0, 0)}) for account in reached} == {
        account: {(0, 0)} for account in reached
    }
    assert {account: second[account] for account in reached} == {
        account: {(1, int(volumes[account]))} for account in reached
    }
    others = set(second) - begun
    assert others
    assert all(second[account] == {(0, None)} for account in others)
    # The gate passed: its own sums gave each sale the same tier.
    assert query(
        settings, "select bool_and(holds) from gate.gate_checks where check_name = %s",
        "fees_recomputed",
    ) == [(True,)]  # fmt: skip


def test_each_fee_is_explained_as_it_was_cleared(paid: tuple[Settings, set[str]]) -> None:
    settings, _ = paid
    ids = query(
        settings,
        "select distinct on (transaction_type, tier_from_minor > 0) source_id, tier_from_minor"
        " from clearing.clearing_entries where clearing_session_type = 'transaction'"
        " order by transaction_type, tier_from_minor > 0, source_id",
    )
    assert len(ids) >= 5
    assert any(tier for _, tier in ids)
    for voucher_id, _ in ids:
        done = tieout(settings.home, "explain", "fee", voucher_id, "--json")
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert told["agrees"] is True
        assert told["gate_fee_minor"] == told["recomputed_fee_minor"] == told["fee_minor"]
    done = tieout(settings.home, "explain", "fee", next(found for found, tier in ids if tier))
    assert "reached by the volume of the month before" in done.stdout
    done = tieout(settings.home, "explain", "fee", "V0")
    assert done.returncode == 1
    assert "no fee to explain of voucher V0" in done.stderr
    # A fee that somebody changed is told, and ends with 1.
    with database.connect(settings) as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute(
            "update ledger.postings set amount_minor = amount_minor + 1"
            " where source_id = %s and event_type = 'merchant_fee'",
            [ids[0][0]],
        )
    done = tieout(settings.home, "explain", "fee", ids[0][0])
    assert done.returncode == 1
    assert "ANOTHER FEE" in done.stdout
