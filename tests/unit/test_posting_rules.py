"""The rules of posting as data: whole, in use, and each seen at work in a model's unit test."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
import yaml

from tieout.core.settings import PROJECT_DIR

DBT = PROJECT_DIR / "dbt_project"
REFERENCE = DBT / "seeds" / "reference"
EVENT_MODELS = sorted((DBT / "models" / "ledger").glob("int_ledger__*_events.yml"))
Rule = tuple[str, str]


def rows_of(name: str) -> list[dict[str, str]]:
    """Return the rows of a seed."""
    with (REFERENCE / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


RULES = {(row["event_type"], row["posting_case"]): row for row in rows_of("posting_rules")}
ACCOUNTS = {row["ledger_account"]: row for row in rows_of("chart_of_accounts")}


def emitted(path: Path) -> set[Rule]:
    """Return the events and cases that a model's unit tests show it to emit."""
    found = set()
    for test in yaml.safe_load(path.read_text(encoding="utf-8"))["unit_tests"]:
        for row in csv.DictReader(test["expect"]["rows"].splitlines()):
            if row["posting_case"]:
                found.add((row["event_type"], row["posting_case"]))
    return found


def test_each_event_that_a_model_emits_has_a_rule_in_use_and_each_such_rule_an_event() -> None:
    assert len(EVENT_MODELS) >= 10
    events = {event for path in EVENT_MODELS for event in emitted(path)}
    used = {rule for rule, row in RULES.items() if row["is_used"] == "true"}
    assert len(events) > 80
    assert events == used


def test_each_event_model_is_a_part_of_postings() -> None:
    text = (DBT / "models" / "ledger" / "postings.sql").read_text(encoding="utf-8")
    stems = [path.stem.removeprefix("int_ledger__") for path in EVENT_MODELS]
    families = {stem.removesuffix("_events") for stem in stems}
    assert {name for name in families if f"'{name}'" not in text} == set()


def test_each_account_of_the_chart_has_a_rule_of_an_event() -> None:
    """In use, or named as not used yet; an opening balance alone moves no account later."""
    assert len(ACCOUNTS) >= 28
    moved = {
        row[side]
        for row in RULES.values()
        if row["event_type"] != "opening_balance"
        for side in ("debit_account", "credit_account")
    }
    opened_only = {"opening_balances"}
    assert set(ACCOUNTS) - moved == opened_only
    used = {case for (event, case) in RULES if event == "opening_balance"}
    assert used == set(ACCOUNTS) - {"opening_balances"}


@pytest.mark.parametrize("row", RULES.values(), ids=lambda row: row["rule"])
def test_rule_is_whole(row: dict[str, str]) -> None:
    assert row["rule"] == f"{row['event_type']}.{row['posting_case']}"
    assert {row["debit_account"], row["credit_account"]} <= set(ACCOUNTS)
    assert row["debit_account"] != row["credit_account"]
    assert row["is_used"] in ("true", "false")
    assert row["text_en"].isascii()
    assert any("\u4e00" <= letter <= "\u9fff" for letter in row["text_zh"])


def test_rules_are_named_once() -> None:
    assert len(RULES) == len(rows_of("posting_rules")) > 90


# First digits of the standard's codes by class of account (企业会计准则).
CLASS_DIGITS = {
    "asset": "1",
    "liability": "2",
    "common": "3",
    "equity": "4",
    "income": "6",
    "expense": "6",
}


@pytest.mark.parametrize("row", ACCOUNTS.values(), ids=lambda row: row["ledger_account"])
def test_each_account_has_a_subject_code_of_its_class(row: dict[str, str]) -> None:
    code = row["subject_code"]
    assert code.isdigit()
    assert len(code) == 6
    assert code[0] == CLASS_DIGITS[row["account_class"]]
    assert [one for one in ACCOUNTS.values() if one["subject_code"] == code] == [row]


def test_each_event_has_a_kind_of_voucher() -> None:
    """Who adds an event has to put it into a kind; the contract refuses one without."""
    macro = (DBT / "macros" / "ledger.sql").read_text(encoding="utf-8")
    kinds = macro[macro.index("macro voucher_kind") :]
    named = set(re.findall(r"'(\w+)'", kinds))
    events = {event for event, row in RULES if RULES[event, row]["is_used"] == "true"}
    assert len(events) > 25
    assert events - named == set()
    given = set(re.findall(r"then\s+'(\w+)'", kinds))
    model = (DBT / "models" / "ledger" / "vouchers.sql").read_text(encoding="utf-8")
    assert set(re.findall(r"when '(\w+)' then \d+", model)) == given, "each kind has its place"
