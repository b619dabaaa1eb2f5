"""Every suite with a good and bad fixtures: the good passes, each bad one fails and says where."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from datetime import date

import pytest
import yaml

from bad_expectations import BAD, GOOD, SUITES, Bad, Good, not_noticed, rule_of
from payment_world import ACCOUNTING_DATES, PAYMENT_DATE, World
from tieout import database, gate
from tieout.gate.expectation_suites import ALL_SUITES, EQUATION_TERMS, REQUIRED_GATE_CHECKS


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


@pytest.mark.parametrize("bad", BAD, ids=[f"{bad.rule}-{number}" for number, bad in enumerate(BAD)])
def test_each_bad_fixture_breaks_its_rule_and_says_where(shared_world: World, bad: Bad) -> None:
    assert not_noticed(shared_world, bad, rule_of(bad)[1]) is None


@pytest.mark.parametrize("good", GOOD, ids=[f"{good.rule}-{no}" for no, good in enumerate(GOOD)])
def test_what_is_not_wrong_is_not_found(shared_world: World, good: Good) -> None:
    assert not_noticed(shared_world, good, rule_of(good)[1]) is None


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
            assert rule.subject in rule.query
            assert ":day" in rule.query


def test_each_check_of_the_seed_is_a_model_and_each_model_a_check(
    pytestconfig: pytest.Config,
) -> None:
    gate_models = pytestconfig.rootpath / "dbt_project" / "models" / "gate"
    made = {}
    for path in (gate_models / "checks").glob("*.sql"):
        names = re.findall(r"check_rows\(\s*'([a-z_]+)'", path.read_text(encoding="utf-8"))
        assert [f"int_gate__{name}" for name in names] == [path.stem]
        made[names[0]] = path
    assert len(made) > 15
    assert set(made) == set(REQUIRED_GATE_CHECKS)
    united = re.findall(
        r"^    '([a-z_]+)',?$", (gate_models / "gate_checks.sql").read_text("utf-8"), re.MULTILINE
    )
    assert sorted(united) == sorted(made)
    elsewhere = [
        path
        for path in gate_models.rglob("*.sql")
        if "check_name" in path.read_text("utf-8") and path not in made.values()
    ]
    assert [path.name for path in elsewhere] == ["gate_checks.sql"]


def test_a_model_says_of_its_check_what_the_seed_says(pytestconfig: pytest.Config) -> None:
    project = pytestconfig.rootpath / "dbt_project"
    seed = project / "seeds" / "reference" / "required_gate_checks.csv"
    with seed.open(encoding="utf-8", newline="") as stream:
        checks = list(csv.DictReader(stream))
    assert len(checks) > 15
    runbooks = pytestconfig.rootpath / "docs" / "runbooks"
    for check in checks:
        assert all(check.values()), check
        assert (runbooks / f"{check['runbook']}.md").is_file()
        assert check["check_name"] in (runbooks / "gate-failed.md").read_text("utf-8")
        model = f"int_gate__{check['check_name']}"
        page = yaml.safe_load(
            (project / "models" / "gate" / "checks" / f"{model}.yml").read_text("utf-8")
        )
        ((described),) = page["models"]
        assert described["name"] == model
        said = described["description"]
        # A page's line may say more, in brackets, that is for whom it fails.
        says = re.sub(r" \(`.*?\)", "", check["says"])
        assert said.lower().startswith(f"{says.lower()}."), model
        assert f"{check['check_name_zh']}：{check['says_zh']}。" in said.replace("\n", "")


def test_the_gate_s_own_list_of_checks_is_the_seed_s() -> None:
    ((text),) = (
        rule.query
        for suite in SUITES["gate"]
        for rule in suite.rules
        if rule.name == "every_check_was_made"
    )
    listed = re.findall(r"^ +\('([a-z_]+)'\),?$", text, re.MULTILINE)
    assert len(listed) > 15
    assert sorted(listed) == sorted(REQUIRED_GATE_CHECKS)


def test_the_equation_s_table_has_the_seed_s_terms(pytestconfig: pytest.Config) -> None:
    contract = pytestconfig.rootpath / "dbt_project" / "models" / "gate" / "balance_equation.yml"
    columns = re.findall(r"- name: ([a-z_]+)_amount_minor\n", contract.read_text(encoding="utf-8"))
    assert len(columns) > 10
    assert columns == [term for term, _, _ in EQUATION_TERMS]
    (check,) = re.findall(r"residual_minor = ([^:]+)- type", contract.read_text(encoding="utf-8"))
    signed = re.findall(r"([+-]?)\s*([a-z_]+)_amount_minor", check)
    assert [(term, -1 if sign == "-" else 1) for sign, term in signed] == [
        (term, sign) for term, sign, _ in EQUATION_TERMS
    ]


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
    query = rule.query_for(ACCOUNTING_DATES[1])
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
    query = rule.query_for(ACCOUNTING_DATES[1])
    with database.connect(shared_world.settings) as connection:
        connection.execute(
            "insert into reference.expected_files values ('bank', 'notice', 'working_day')"
        )
        assert connection.execute(query).fetchall() == []
        connection.rollback()
