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
from tieout.explaining import fees
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


# --- the fifth channel: sold in dollars, settled in yuan ------------------------------------------


def test_a_foreign_voucher_clears_by_the_rate_of_its_own_record(fourth: World) -> None:
    outcomes = dict(
        fourth.rows(
            "select outcome, count(*) from reconciliation.reconciliation_results"
            " where channel = %s group by outcome",
            [UPI],
        )
    )
    assert set(outcomes) == {
        "matched", "channel_in_doubt", "channel_resolved", "channel_one_sided"
    }  # fmt: skip
    # Both currencies and the rate are the record's, from its file to the statement's line.
    wrong = fourth.rows(
        """
        select entries.entry_id
        from clearing.clearing_entries as entries
        inner join reconciliation.reconciliation_results as results
            on entries.source_id = results.system_transaction_id
            and entries.accounting_date = results.accounting_date
        inner join raw.unionpay_upi_icomn as records
            on results.channel_record_id = records.file_id || ':' || records.line_number
        left join settlement.statement_details as details
            on entries.accounting_date = details.accounting_date
            and entries.entry_id = details.entry_id
        where entries.channel = %s and (
            abs(entries.transaction_amount_minor) <> records.settlement_amount_minor
            or abs(entries.transaction_currency_amount_minor) <> records.transaction_amount_minor
            or entries.exchange_rate <> records.settlement_rate
            or (entries.currency_code, entries.transaction_currency_code) <> ('CNY', 'USD')
            or results.transaction_amount_minor <> entries.transaction_currency_amount_minor
            or results.exchange_rate <> entries.exchange_rate
            or details.transaction_currency_amount_minor
            is distinct from entries.transaction_currency_amount_minor
            or details.transaction_at is null
        )
        """,
        [UPI],
    )
    assert wrong == []
    cleared, kinds, rates, sessions = fourth.rows(
        "select count(*), count(distinct transaction_type), count(distinct exchange_rate),"
        " count(*) filter (where is_foreign_card) from clearing.clearing_entries"
        " where channel = %s",
        [UPI],
    )[0]
    assert cleared == sessions == outcomes["matched"] + outcomes["channel_resolved"]
    assert kinds > 1
    assert rates > 5


def test_what_has_no_rate_or_one_that_nobody_believes_waits(fourth: World) -> None:
    waiting = fourth.rows(
        "select accounting_date, reason, count(*) from clearing.waiting_conversions"
        " where voucher_date = %s group by accounting_date, reason order by 1, 2",
        [MON],
    )
    assert waiting == [
        (MON, "no_record", 2),
        (MON, "rate_beyond_limit", 1),
        # The record came with Tuesday's file, and the voucher was taken in with it.
        (TUE, "no_record", 1),
        (TUE, "rate_beyond_limit", 1),
    ]
    late = fourth.rows(
        "select conversions.voucher_date, entries.accounting_date, vouchers.is_catch_up"
        " from clearing.currency_conversions as conversions"
        " inner join clearing.clearing_entries as entries"
        " on entries.source_id = conversions.voucher_id"
        " inner join ledger.accounting_vouchers as vouchers"
        " on vouchers.source_voucher_id = conversions.voucher_id"
        " where conversions.voucher_date < conversions.accounting_date"
    )
    assert late == [(MON, TUE, False)]
    # The record at 9 for one dollar stands alone, and no merchant is paid of it.
    alone = fourth.rows(
        "select items.status, count(entries.entry_id) from reconciliation.suspense_items as items"
        " inner join clearing.waiting_conversions as waiting"
        " on waiting.channel_record_id = items.source_id"
        " and waiting.accounting_date = items.accounting_date"
        " left join clearing.clearing_entries as entries"
        " on entries.source_id = waiting.voucher_id"
        " where waiting.reason = 'rate_beyond_limit' and items.accounting_date = %s"
        " group by items.status",
        [TUE],
    )
    assert alone == [("one_sided", 0)]


def test_its_arrival_is_proved_in_the_currency_of_settlement(fourth: World) -> None:
    groups = fourth.rows(
        "select payment_date, currency_code, residual_minor, line_count, clearing_amount_minor > 0"
        " from gate.balance_equation where channel = %s order by payment_date",
        [UPI],
    )
    assert groups == [(TUE, "CNY", 0, 1, True), (WED, "CNY", 0, 1, True)]
    paid = fourth.rows(
        "select count(*) > 0, bool_and(currency_code = 'CNY') from settlement.settlement_statements"
        " where settlement_session_type = 'foreign_card' and payout_amount_minor > 0"
        " and fee_amount_minor > 0"
    )
    assert paid == [(True, True)]


def test_conversion_and_difference_are_posted_and_end_at_zero(fourth: World) -> None:
    balances = fourth.rows(
        "select ledger_account, currency_code, bool_and(closing_amount_minor = 0),"
        " bool_and(debit_amount_minor > 0) from ledger.trial_balance"
        " where ledger_account in ('currency_exchange', 'exchange_differences')"
        " and accounting_date in (%s, %s) group by 1, 2 order by 1, 2",
        [MON, TUE],
    )
    assert [row[:2] for row in balances if row[3]] == [
        ("currency_exchange", "CNY"), ("currency_exchange", "USD"), ("exchange_differences", "CNY")
    ]  # fmt: skip
    assert all(row[2] for row in balances)
    in_dollars = fourth.rows(
        "select distinct closing_amount_minor from ledger.account_balances"
        " where currency_code = 'USD' and ledger_account in"
        " ('merchant_payable', 'channel_receivable')"
    )
    assert in_dollars == [(0,)]
    differences = fourth.rows(
        "select count(*), bool_and(exchange_difference_minor"
        " = settlement_amount_minor - round(transaction_amount_minor * quoted_exchange_rate)),"
        " count(*) filter (where exchange_difference_minor <> 0) > 0"
        " from clearing.currency_conversions"
    )
    assert differences[0][1:] == (True, True)


def test_a_refund_gives_back_the_fee_as_a_share_in_dollars(fourth: World) -> None:
    refunds = fourth.rows(
        """
        select
            refunds.fee_amount_minor,
            round(
                sales.fee_amount_minor * refunds.transaction_currency_amount_minor::numeric
                / sales.transaction_currency_amount_minor
            ),
            rates.refund_fee_policy,
            refunds.exchange_rate <> sales.exchange_rate,
            moved.amount_minor = -refunds.transaction_currency_amount_minor
        from clearing.clearing_entries as refunds
        inner join raw.platform_source_vouchers as vouchers
            on refunds.source_id = vouchers.voucher_id
        inner join clearing.clearing_entries as sales
            on sales.source_id = vouchers.original_voucher_id
        inner join raw.platform_contracts as rates
            on sales.contract_id = rates.contract_id and rates.accounting_date = %s
        inner join clearing.original_movements as moved on moved.movement_id = refunds.entry_id
        where refunds.channel = %s and refunds.transaction_type = 'refund'
            and vouchers.original_refunded_before_minor = 0
        """,
        [MON, UPI],
    )
    assert refunds
    assert any(row[3] for row in refunds), "each record has its own rate"
    assert all(row[4] for row in refunds)
    for fee, share, policy, *_ in refunds:
        assert fee == (share if policy == "return" else 0)


def test_its_fees_are_explained_and_agree(fourth: World) -> None:
    vouchers = fourth.rows(
        "select source_id from clearing.clearing_entries where channel = %s"
        " and accounting_date = %s",
        [UPI, TUE],
    )
    with database.connect(fourth.settings) as connection:
        for (voucher_id,) in vouchers:
            facts = fees.read_fee(connection, voucher_id)
            assert facts is not None, voucher_id
            assert fees.recomputed(facts) == facts.fee_minor == facts.ledger_fee_minor, voucher_id
