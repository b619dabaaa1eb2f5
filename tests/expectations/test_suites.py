"""Every suite with a good and bad fixtures: the good passes, each bad one fails and says where."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import pytest
from psycopg.rows import dict_row

import payment_world
from payment_world import ACCOUNTING_DATES, PAYMENT_DATE, World
from tieout import database, gate
from tieout.expectation_suites import (
    ALL_SUITES,
    CLOSE_SUITES,
    GATE_SUITES,
    LANDING_SUITES,
    REQUIRED_GATE_CHECKS,
)


@dataclass(frozen=True)
class Bad:
    """One thing that is wrong: the statements that make it so, the rule, and words of its text."""

    boundary: str
    rule: str
    broken_by: str
    words: tuple[str, ...]
    excludes_others: bool = False


EQUATION = "update gate.balance_equation set {change} where channel = 'unionpay'"
DAY = ACCOUNTING_DATES[1].isoformat()
FILE = (
    "update control.channel_files set {change}"
    f" where accounting_date = '{DAY}' and channel = 'unionpay'"
)
BAD: tuple[Bad, ...] = (
    Bad(
        "gate",
        "residual_is_zero",
        EQUATION.format(change="bank_arrival_amount_minor = 35810, residual_minor = -1"),
        ("unionpay arrival 2026-09-28 CNY: residual -0.01 CNY", "bank_arrival 35810"),
    ),
    Bad(
        "gate",
        "residual_adds_up",
        EQUATION.format(change="bank_arrival_amount_minor = 35810"),
        ("unionpay arrival 2026-09-28 CNY: residual -0.01 CNY", "the table says 0"),
    ),
    Bad(
        "gate",
        "bank_arrival_is_there",
        EQUATION.format(
            change="bank_arrival_amount_minor = 0, actual_arrival_date = null,"
            " residual_minor = -35811"
        ),
        (
            "unionpay arrival 2026-09-28 CNY: bank_arrival 358.11 CNY",
            "no line on any bank statement",
        ),
    ),
    Bad(
        "gate",
        "bank_arrival_is_there",
        EQUATION.format(change="actual_arrival_date = date '2026-09-29'"),
        ("unionpay arrival 2026-09-28 CNY: bank_arrival", "2026-09-29, after the payment date"),
    ),
    Bad(
        "gate",
        "no_term_is_missing",
        EQUATION.format(change="brand_fee_amount_minor = null").replace("unionpay", "alipay"),
        ("alipay arrival 2026-09-28 CNY: brand_fee (the term has no value)",),
    ),
    Bad(
        "gate",
        "residual_is_zero",
        EQUATION.format(change="residual_minor = null"),
        ("unionpay arrival 2026-09-28 CNY: residual",),
    ),
    Bad(
        "gate",
        "no_unexpected_arrival",
        EQUATION.format(change="is_expected = false"),
        ("unionpay arrival 2026-09-28 CNY: bank_arrival 358.11 CNY",),
    ),
    Bad(
        "gate",
        "every_arrival_group_is_there",
        "delete from gate.balance_equation"
        " where channel = 'wechat' and arrival_date = '2026-09-26'",
        ("wechat arrival 2026-09-26 CNY: arrival_group", "2026-09-25 stands in 0 rows"),
    ),
    Bad(
        "gate",
        "every_arrival_group_is_there",
        EQUATION.format(change="accounting_dates = accounting_dates[1:3]"),
        ("unionpay arrival 2026-09-28 CNY: arrival_group", "2026-09-27 stands in 0 rows"),
    ),
    Bad(
        "gate",
        "every_arrival_group_is_there",
        "insert into gate.balance_equation select * from gate.balance_equation"
        " where channel = 'alipay'",
        ("alipay arrival 2026-09-28 CNY: arrival_group", "2026-09-24 stands in 2 rows"),
    ),
    Bad(
        "gate",
        "every_arrival_group_is_there",
        "delete from gate.balance_equation",
        ("unionpay arrival 2026-09-28 CNY: arrival_group", "wechat arrival 2026-09-25 CNY"),
        excludes_others=True,
    ),
    Bad(
        "gate",
        "every_arrival_group_is_there",
        "delete from reference.channels",
        ("payment date: arrival_group", "no accounting date is paid on it"),
        excludes_others=True,
    ),
    Bad(
        "gate",
        "every_arrival_group_is_there",
        "update control.channel_files set status = 'superseded'"
        " where file_kind = 'operating_window'",
        ("payment date: arrival_group", "no landed operating window"),
        excludes_others=True,
    ),
    Bad(
        "gate",
        "every_check_was_made",
        "delete from gate.gate_checks where check_name = 'trial_balance_zero'",
        ("all: trial_balance_zero (the check has no result",),
    ),
    Bad(
        "gate",
        "every_check_was_made",
        "delete from gate.gate_checks",
        ("all: adjustments_tie",),
        excludes_others=True,
    ),
    Bad(
        "gate",
        "every_check_holds",
        "update gate.gate_checks set holds = false, subject = 'wechat', detail = 'off by 5',"
        " measured = '5' where check_name = 'adjustments_tie'",
        ("wechat: adjustments_tie (off by 5; measured 5; expected 0)",),
    ),
    Bad(
        "gate",
        "every_check_holds",
        "update gate.gate_checks set holds = null where check_name = 'adjustments_tie'",
        ("all: adjustments_tie",),
    ),
    Bad(
        "gate",
        "statements_are_there",
        "delete from settlement.settlement_statements",
        ("settlement CNY: statements 4.00 CNY", "4 clearing records"),
        excludes_others=True,
    ),
    Bad(
        "gate",
        "statements_roll",
        "update settlement.settlement_statements set carried_forward_amount_minor = 1"
        f" where statement_id = '{payment_world.statement_id(1)}'",
        (f"{payment_world.statement_id(1)}: carried_forward -0.01 CNY",),
    ),
    Bad(
        "gate",
        "statements_roll",
        "update settlement.settlement_statements set payee_id = null"
        f" where statement_id = '{payment_world.statement_id(2)}'",
        (f"{payment_world.statement_id(2)}: carried_forward",),
    ),
    Bad(
        "landing",
        "every_expected_file_is_landed",
        FILE.format(change="status = 'superseded'"),
        ("unionpay acomn: file (not landed; acomn_20260925 is superseded",),
    ),
    Bad(
        "landing",
        "every_expected_file_is_landed",
        "delete from reference.expected_files",
        ("all: file", "the list of expected files is empty"),
        excludes_others=True,
    ),
    Bad(
        "landing",
        "every_expected_file_is_landed",
        "insert into reference.expected_files values ('wechat', 'fund_bill', 'every_moon')",
        ("wechat fund_bill: file (not landed",),
    ),
    Bad(
        "landing",
        "every_expected_file_is_landed",
        "update reference.expected_files set name_part = 'merchant=2' where channel = 'unionpay'",
        ("unionpay acomn merchant=2: file (not landed",),
    ),
    # The date is Mid-Autumn, so the calendar has to say otherwise before the file is owed.
    Bad(
        "landing",
        "every_expected_file_is_landed",
        "with changed as (update reference.calendar_days set is_working_day = true"
        f" where calendar_date = '{DAY}') insert into reference.expected_files"
        " values ('bank', 'notice', 'working_day')",
        ("bank notice: file (not landed",),
    ),
    Bad(
        "landing",
        "control_totals_agree",
        FILE.format(change="declared_row_count = 2"),
        ("acomn_20260925: control_totals", "declared 2 rows, landed 1"),
    ),
    Bad(
        "landing",
        "control_totals_agree",
        FILE.format(change="declared_total_minor = 7, counted_total_minor = 5"),
        ("acomn_20260925: control_totals -2 minor units",),
    ),
    Bad(
        "landing",
        "no_file_is_waiting_for_a_person",
        "insert into control.channel_files (file_id, file_name, file_url, sha256, size_bytes,"
        " channel, file_kind, accounting_date, status, reason) values (repeat('a', 16), 'second',"
        f" 'file:///x', repeat('a', 64), 1, 'unionpay', 'acomn', '{DAY}', 'conflict',"
        " 'other bytes')",
        ("second: file (conflict: other bytes)",),
    ),
    Bad(
        "landing",
        "no_file_is_waiting_for_a_person",
        "insert into control.channel_files (file_id, file_name, file_url, sha256, size_bytes,"
        " channel, file_kind, accounting_date, status, reason, landed_at) values (repeat('b', 16),"
        " 'bad', 'file:///x', repeat('b', 64), 1, 'unionpay', 'acomn', "
        f"'{DAY}', 'quarantined', 'line 3', now() + interval '1 hour')",
        ("bad: file (quarantined: line 3)",),
    ),
    Bad(
        "close",
        "trial_balance_is_zero",
        f"update ledger.trial_balance set debit_amount_minor = 101 where accounting_date = '{DAY}'"
        " and ledger_account = 'channel_receivable'",
        ("ledger CNY: trial_balance 0.01 CNY", "debits 101, credits 100"),
    ),
    Bad(
        "close",
        "trial_balance_is_zero",
        f"delete from ledger.trial_balance where accounting_date = '{DAY}'"
        " and ledger_account = 'merchant_payable'",
        ("ledger: merchant_payable (the account has no row",),
    ),
    Bad(
        "close",
        "trial_balance_is_zero",
        f"delete from ledger.trial_balance where accounting_date = '{DAY}'",
        ("ledger: trial_balance (the accounting date has no trial balance)",),
        excludes_others=True,
    ),
    Bad(
        "close",
        "suspense_rolls_forward",
        "update reconciliation.suspense_rollforward set closing_amount_minor = 21"
        f" where accounting_date = '{DAY}' and channel = 'wechat' and side = 'system'",
        ("wechat system suspense CNY: suspense_rollforward -0.01 CNY",),
    ),
    Bad(
        "close",
        "suspense_rolls_forward",
        "update reconciliation.suspense_rollforward set opening_count = 0, closing_count = 1"
        f" where accounting_date = '{DAY}' and channel = 'wechat' and side = 'system'",
        ("wechat system suspense CNY: suspense_opening", "opening 0 items"),
    ),
    Bad(
        "close",
        "suspense_rolls_forward",
        "delete from reconciliation.suspense_rollforward"
        f" where accounting_date = '{DAY}' and channel = 'alipay'",
        ("alipay channel suspense CNY: suspense_rollforward (the roll-forward has no row)",),
    ),
    Bad(
        "close",
        "every_source_voucher_is_posted",
        f"delete from ledger.accounting_vouchers where accounting_date = '{DAY}'",
        ("unionpay CNY: source_vouchers 1.00 CNY", "1 source vouchers are not posted", "V25"),
    ),
    Bad(
        "close",
        "every_source_voucher_is_posted",
        f"delete from ledger.postings where accounting_date = '{DAY}'",
        ("ledger: accounting_vouchers", "1 accounting vouchers have no posting"),
    ),
)


SUITES = {"landing": LANDING_SUITES, "close": CLOSE_SUITES, "gate": GATE_SUITES}
TABLES = {
    "channel_files": "control.channel_files",
    "trial_balance": "ledger.trial_balance",
    "balance_equation": "gate.balance_equation",
    "gate_checks": "gate.gate_checks",
    "settlement_statements": "settlement.settlement_statements",
}


def check(world: World, boundary: str) -> tuple[bool, tuple[gate.Failure, ...]]:
    """Run one boundary's checkpoint on the world."""
    if boundary == "gate":
        decision = gate.decide(world.settings, PAYMENT_DATE)
        return decision.passed, decision.failures
    run: Callable[..., gate.CheckpointResult] = (
        gate.landing_checkpoint if boundary == "landing" else gate.close_checkpoint
    )
    result = run(world.settings, ACCOUNTING_DATES[1])
    return result.passed, result.failures


def said_by_sql(world: World, bad: Bad) -> str:
    """Break the world in a transaction, run the rule's query alone, and roll back."""
    found = [
        (suite, rule)
        for suite in SUITES[bad.boundary]
        for rule in suite.rules
        if rule.name == bad.rule
    ]
    ((suite, rule),) = found
    day = PAYMENT_DATE if bad.boundary == "gate" else ACCOUNTING_DATES[1]
    query = rule.query_for(day).replace("{batch}", TABLES[suite.asset])
    with database.connect(world.settings, row_factory=dict_row) as connection:
        assert connection.execute(query).fetchall() == [], "the good fixture has to pass first"
        connection.execute(bad.broken_by)
        rows = connection.execute(query).fetchall()
        connection.rollback()
    return "\n".join(str(gate.Failure(suite.name, rule.name, **row)) for row in rows)


@pytest.mark.parametrize("bad", BAD, ids=[f"{bad.rule}-{number}" for number, bad in enumerate(BAD)])
def test_each_bad_fixture_breaks_its_rule_and_says_where(shared_world: World, bad: Bad) -> None:
    said = said_by_sql(shared_world, bad)
    for word in bad.words:
        assert word in said


@pytest.mark.parametrize("boundary", ["landing", "close", "gate"])
def test_the_good_fixture_passes(shared_world: World, boundary: str) -> None:
    passed, failures = check(shared_world, boundary)
    assert [str(failure) for failure in failures] == []
    assert passed


@pytest.mark.parametrize("boundary", ["landing", "close", "gate"])
def test_great_expectations_fails_with_the_same_words(world: World, boundary: str) -> None:
    """Break one thing of every rule that can be broken beside the others, all at once."""
    chosen = {bad.rule: bad for bad in BAD if bad.boundary == boundary and not bad.excludes_others}
    for bad in chosen.values():
        world.execute(bad.broken_by)
    passed, failures = check(world, boundary)
    assert not passed
    assert {failure.rule for failure in failures} >= set(chosen)
    said = "\n".join(str(failure) for failure in failures)
    assert "could not be evaluated" not in said
    assert any(all(word in said for word in bad.words) for bad in chosen.values())


def test_every_rule_has_a_bad_fixture_of_its_own_boundary() -> None:
    rules = {rule.name for suite in ALL_SUITES for rule in suite.rules}
    assert len(rules) >= 14
    assert {bad.rule for bad in BAD} == rules
    for bad in BAD:
        assert bad.rule in {rule.name for suite in SUITES[bad.boundary] for rule in suite.rules}


def test_every_rule_speaks_both_languages_and_stands_on_its_table() -> None:
    for suite in ALL_SUITES:
        for rule in suite.rules:
            assert rule.english
            assert any("一" <= letter <= "鿿" for letter in rule.chinese)
            assert "{batch}" in rule.query
            assert "<<date>>" in rule.query


def test_the_required_checks_are_those_the_models_make(pytestconfig: pytest.Config) -> None:
    models = pytestconfig.rootpath / "dbt_project" / "models" / "gate"
    made = {
        name
        for path in models.glob("*.sql")
        for name in re.findall(r"'([a-z_]+)' as check_name", path.read_text(encoding="utf-8"))
    }
    assert len(made) > 15
    assert made == set(REQUIRED_GATE_CHECKS)


def test_an_empty_database_passes_nothing(world: World) -> None:
    world.execute(
        "truncate gate.balance_equation, gate.gate_checks, settlement.settlement_statements,"
        " reconciliation.suspense_rollforward, ledger.trial_balance"
    )
    for boundary in ("close", "gate"):
        passed, failures = check(world, boundary)
        assert not passed
        assert failures


def test_a_table_that_is_missing_is_a_failure(world: World) -> None:
    world.execute("drop table gate.gate_checks")
    passed, failures = check(world, "gate")
    assert not passed
    assert any("gate_checks" in failure.suite for failure in failures)


@pytest.mark.parametrize("failed_on", ACCOUNTING_DATES[:2])
def test_the_reversal_of_what_failed_is_posted_on_no_date(
    shared_world: World, failed_on: date
) -> None:
    """It failed before the cutoff, its reversal came after it; or both on one date."""
    rule = next(
        rule
        for suite in SUITES["close"]
        for rule in suite.rules
        if rule.name == "every_source_voucher_is_posted"
    )
    query = rule.query_for(ACCOUNTING_DATES[1]).replace("{batch}", TABLES["trial_balance"])
    with database.connect(shared_world.settings) as connection:
        connection.execute(
            "insert into raw.platform_source_vouchers (file_id, line_number, accounting_date,"
            " voucher_id, transaction_at, transaction_type, transaction_status, merchant_id,"
            " account_id, channel, currency_code, amount_minor, card_kind, card_region,"
            " is_late_order, original_voucher_id)"
            " select file_id, 9, accounting_date, 'V-back', transaction_at, 'reversal', 'success',"
            " merchant_id, account_id, channel, currency_code, -100, card_kind, card_region, false,"
            " %s from raw.platform_source_vouchers where voucher_id = %s",
            [f"V{failed_on:%d}-failed", f"V{ACCOUNTING_DATES[1]:%d}"],
        )
        connection.execute("delete from control.voucher_register")
        said = [str(row) for row in connection.execute(query).fetchall()]
        assert any("1 source vouchers are not posted, the first is V-back" in row for row in said)
        connection.execute(
            "select control.register_vouchers(file_id, accounting_date)"
            " from (select distinct file_id, accounting_date"
            "       from raw.platform_source_vouchers) as files"
        )
        assert connection.execute(query).fetchall() == []
        connection.rollback()


def test_a_file_of_working_days_is_not_owed_on_a_holiday(shared_world: World) -> None:
    rule = next(
        rule
        for suite in SUITES["landing"]
        for rule in suite.rules
        if rule.name == "every_expected_file_is_landed"
    )
    query = rule.query_for(ACCOUNTING_DATES[1]).replace("{batch}", TABLES["channel_files"])
    with database.connect(shared_world.settings) as connection:
        connection.execute(
            "insert into reference.expected_files values ('bank', 'notice', 'working_day')"
        )
        assert connection.execute(query).fetchall() == []
        connection.rollback()
