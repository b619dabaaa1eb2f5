"""A further channel by rows of reference data: two dates of an acquirer with the QR gateway's bill.

The rows are those of examples/channels/qr_gateway, put into a copy of the project as an operator
does it, and loaded by the first close. Payment codes are delivered with the vouchers.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

import prepared_homes
import true_outcomes
from attack_world import World
from tieout import database
from tieout.core.settings import PROJECT_DIR
from tieout.simulator import Funds, sample, simulate

pytestmark = pytest.mark.slow

MON = date(2026, 9, 21)
TUE, WED = (MON + timedelta(days=step) for step in (1, 2))
EXAMPLES = PROJECT_DIR / "examples" / "channels"
QR, UPI = "qr_gateway", "upi"


@pytest.fixture(scope="module")
def fourth(prepared_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Monday and Tuesday, closed and paid with two channels more: one settles another currency."""
    folder = tmp_path_factory.mktemp("fourth")
    project = folder / "project"
    command = [sys.executable, str(PROJECT_DIR / "bin" / "channels"), "add"]
    for name, into in ((QR, "--copy"), (UPI, "--project")):
        done = subprocess.run(
            [*command, str(EXAMPLES / name), into, str(project)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr + done.stdout
    settings = replace(prepared_homes.copy(prepared_home, folder / "home"), project_dir=project)
    try:
        prepared_homes.start_carelessly(settings)
        funds = Funds(qr_gateway=True, payment_codes=True, foreign_cards=True)
        simulate(
            settings.inbox_url.removeprefix("file://"), 7, MON, 2, 60, 8, [], settings.truth_dir,
            deliver_through=TUE, funds=funds,
        )  # fmt: skip
        options = sample.SampleOptions(seed=7, first=MON, days=2, transactions=60, merchants=8)
        sample.note_sample(settings, options)
        world = World(settings)
        world.must(world.close(MON))
        sample.approve_first_list(settings, lambda _: None)
        for day in (TUE, WED):
            world.must(world.pay(day))
            world.evening(day)
            if day == TUE:
                world.must(world.close(TUE))
        yield world
    finally:
        database.stop_server(settings)


def test_each_record_ends_as_it_was_played(fourth: World) -> None:
    expected = true_outcomes.true_results(fourth.settings)
    found = true_outcomes.computed_results(fourth.settings)
    assert sorted(expected - found)[:5] == []
    assert sorted(found - expected)[:5] == []
    outcomes = dict(
        fourth.rows(
            "select outcome, count(*) from reconciliation.reconciliation_results"
            " where channel = %s group by outcome",
            [QR],
        )
    )
    assert set(outcomes) >= {"matched", "channel_in_doubt", "channel_resolved", "system_in_doubt"}
    returned = fourth.rows(
        "select count(*) from clearing.clearing_entries"
        " where channel = %s and transaction_type = 'refund'",
        [QR],
    )
    assert returned[0][0] > 0


def test_its_money_is_proved_and_paid(fourth: World) -> None:
    groups = fourth.rows(
        "select payment_date, residual_minor, line_count, channel_cost_amount_minor > 0,"
        " clearing_amount_minor > 0"
        " from gate.balance_equation where channel = %s order by payment_date",
        [QR],
    )
    assert groups == [(TUE, 0, 1, True, True), (WED, 0, 1, True, True)]
    assert min(fourth.total_paid(day) for day in (TUE, WED)) > 0
    assert fourth.rows(
        "select count(*) > 0 from settlement.statement_lines as lines"
        " inner join clearing.clearing_entries as entries"
        " on entries.entry_id = lines.entry_id and entries.accounting_date = lines.accounting_date"
        " where entries.channel = %s and entries.fee_amount_minor > 0",
        [QR],
    ) == [(True,)]
    seals = fourth.rows(
        "select accounting_date, payment_date from control.accounting_day_seals"
        " where channel = %s order by accounting_date",
        [QR],
    )
    assert seals == [(MON, TUE), (TUE, WED)]


def test_its_cost_is_that_of_its_price_list(fourth: World) -> None:
    assert fourth.rows(
        "select * from clearing.channel_cost_findings where channel = %s", [QR]
    ) == []  # fmt: skip
    kept_back = fourth.rows(
        "select count(*) from intermediate.int_channels__records"
        " where channel = %s and channel_cost_minor > 0",
        [QR],
    )
    assert kept_back[0][0] > 0
    checked = fourth.rows(
        "select bool_and(holds) from gate.gate_checks where check_name = 'channel_cost_as_listed'"
    )
    assert checked == [(True,)]


def test_one_payer_pays_two_channels_and_each_has_its_own_line(fourth: World) -> None:
    lines = fourth.rows(
        "select channel, min(counterparty_name), max(counterparty_name)"
        " from intermediate.int_bank__classified_lines"
        " where line_kind = 'channel_arrival' and channel in ('unionpay', %s)"
        " group by channel order by channel",
        [QR],
    )
    payer = lines[0][1]
    assert lines == [(QR, payer, payer), ("unionpay", payer, payer)]


def test_a_code_that_names_another_channel_is_a_finding(fourth: World) -> None:
    truth = {}
    for path in sorted(fourth.settings.truth_dir.glob("2*/day.json")):
        truth |= json.loads(path.read_text(encoding="utf-8"))["payment_code_findings"]
    assert set(truth.values()) == {"other_channel", "unknown_prefix", "other_length"}
    found = fourth.rows(
        "select voucher_id, finding from reconciliation.payment_code_findings order by voucher_id"
    )
    assert dict(found) == truth
    # Both wallets' codes come through the gateway.
    codes = fourth.rows(
        "select count(*), count(distinct left(payment_code_prefix, 1))"
        " from raw.platform_source_vouchers where channel = %s and payment_code_prefix is not null",
        [QR],
    )
    assert codes[0][0] > 0
    assert codes[0][1] == 2
