"""The price that the SQL finds is the price of the domain's page, on drawn contracts and sales.

The macros of macros/prices.sql are rendered once and run on drawn rows; the price beside them is
written in Python from docs/domain.md#price-of-a-transaction and #volume-tiers alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from jinja2 import Environment
from psycopg import Connection
from psycopg.types.json import Jsonb

from parts import examples
from tieout import database
from tieout.core.settings import Settings

PROJECT_DIR = Path(__file__).resolve().parents[2]
# Rows come in as JSON, so that one statement prices what was drawn and leaves nothing behind.
PRICED = """
with contracts as (
    select * from jsonb_to_recordset((select %(contracts)s::jsonb)) as rows (
        contract_id text, merchant_id text, account_id text, refund_fee_policy text,
        merchant_category_code text, effective_from date, effective_to date
    )
),
fee_rates as (
    select * from jsonb_to_recordset((select %(rules)s::jsonb)) as rows (
        fee_rule_id text, contract_id text, channel text, transaction_type text, card_kind text,
        card_region text, merchant_category_code text, tier_from_minor bigint, fee_rate numeric,
        fixed_fee_minor bigint, minimum_fee_minor bigint, cap_fee_minor bigint,
        effective_from date, effective_to date, priority integer
    )
),
combinations as (
    select * from jsonb_to_recordset((select %(sales)s::jsonb)) as rows (
        merchant_id text, account_id text, channel text, priced_type text, priced_card_kind text,
        priced_card_region text, priced_on date, tier_volume_minor bigint, amount_minor bigint
    )
),
priced as (
    {{ priced_combinations() }}
)
select priced.fee_rule_id, {{ full_fee('combinations.amount_minor', 'priced') }} as fee_minor
from combinations
left join priced on priced.rule_order = 1
"""

DAYS = [date(2026, 9, 1) + timedelta(days=number) for number in range(4)]
CHANNELS = ("wechat", "unionpay")
TYPES = ("purchase", "preauth_completion")
KINDS = ("debit", "credit")
REGIONS = ("domestic", "foreign")
CATEGORIES = ("5411", "7011")


@dataclass(frozen=True)
class Drawn:
    """One sale, its contract and the rules of it; days are `date`, rates `Decimal`."""

    contract: Mapping[str, Any]
    rules: Sequence[Mapping[str, Any]]
    sale: Mapping[str, Any]


def some(values: Sequence[str]) -> st.SearchStrategy[str | None]:
    return st.none() | st.sampled_from(values)


RULES = st.fixed_dictionaries(
    {
        "channel": some(CHANNELS),
        "transaction_type": some(TYPES),
        "card_kind": some(KINDS),
        "card_region": some(REGIONS),
        "merchant_category_code": some(CATEGORIES),
        "tier_from_minor": st.sampled_from((0, 0, 1_000, 2_000)),
        "fee_rate": st.decimals(0, 1, places=4),
        "fixed_fee_minor": st.integers(0, 50),
        "minimum_fee_minor": st.integers(0, 200),
        "cap_fee_minor": st.none() | st.integers(0, 300),
        "effective_from": st.sampled_from(DAYS),
        "effective_to": st.none() | st.sampled_from(DAYS),
        "priority": st.integers(1, 3),
    }
)


@st.composite
def drawn(draw: st.DrawFn) -> Drawn:
    """Draw a sale under one contract with up to six rules, several of which may fit."""
    contract = {
        "contract_id": "C1",
        "merchant_id": "M1",
        "account_id": "A1",
        "refund_fee_policy": "return",
        "merchant_category_code": draw(some(CATEGORIES)),
        "effective_from": DAYS[0],
        "effective_to": draw(st.none() | st.sampled_from(DAYS[1:])),
    }
    rules = [
        {**rule, "fee_rule_id": f"F{number}", "contract_id": "C1"}
        for number, rule in enumerate(draw(st.lists(RULES, max_size=6)))
    ]
    sale = {
        "merchant_id": "M1",
        "account_id": "A1",
        "channel": draw(st.sampled_from(CHANNELS)),
        "priced_type": draw(st.sampled_from(TYPES)),
        "priced_card_kind": draw(st.sampled_from(KINDS)),
        "priced_card_region": draw(st.sampled_from(REGIONS)),
        "priced_on": draw(st.sampled_from(DAYS)),
        "tier_volume_minor": draw(st.none() | st.sampled_from((-5, 0, 999, 1_000, 1_999, 2_000))),
        "amount_minor": draw(st.integers(1, 100_000)),
    }
    return Drawn(contract, rules, sale)


def plain_price(world: Drawn) -> tuple[str, int] | None:
    """Return the rule and the fee that the domain's page asks for; None where nothing prices."""
    sale = world.sale
    volume = max(sale["tier_volume_minor"] or 0, 0)
    facts = {
        "channel": sale["channel"],
        "transaction_type": sale["priced_type"],
        "card_kind": sale["priced_card_kind"],
        "card_region": sale["priced_card_region"],
        "merchant_category_code": world.contract["merchant_category_code"],
    }

    def in_force(row: Mapping[str, Any]) -> bool:
        ends_on = row["effective_to"] or date.max
        return bool(row["effective_from"] <= sale["priced_on"] < ends_on)

    fitting = [
        rule
        for rule in world.rules
        if in_force(rule)
        and rule["tier_from_minor"] <= volume
        and all(rule[name] is None or rule[name] == fact for name, fact in facts.items())
    ]
    if not fitting or not in_force(world.contract):
        return None
    first = min(rule["priority"] for rule in fitting)
    of_first = [rule for rule in fitting if rule["priority"] == first]
    highest = max(rule["tier_from_minor"] for rule in of_first)
    # What still ties does not land (test_platform_terms); the smaller id makes the order total.
    rule = min(
        (rule for rule in of_first if rule["tier_from_minor"] == highest),
        key=lambda found: str(found["fee_rule_id"]),
    )
    exact = Fraction(rule["fee_rate"]) * sale["amount_minor"] + rule["fixed_fee_minor"]
    fee = max(int(exact + Fraction(1, 2)), rule["minimum_fee_minor"])
    cap = rule["cap_fee_minor"]
    return rule["fee_rule_id"], fee if cap is None else min(fee, cap)


def as_json(rows: Sequence[Mapping[str, Any]]) -> Jsonb:
    def value(one: object) -> object:
        return str(one) if isinstance(one, (date, Decimal)) else one

    return Jsonb([{name: value(one) for name, one in row.items()} for row in rows])


@pytest.fixture(scope="module")
def statement() -> str:
    """Return the statement that prices drawn rows by the project's macros, which call no others."""
    macros = PROJECT_DIR / "dbt_project" / "macros" / "prices.sql"
    return Environment(autoescape=False).from_string(macros.read_text() + PRICED).render()


@pytest.fixture(scope="module")
def connection(settings: Settings) -> Iterator[Connection[Any]]:
    with psycopg.connect(database.ensure_server(settings)) as open_connection:
        yield open_connection


@hypothesis_settings(deadline=None, max_examples=examples(200))
@given(world=drawn())
def test_the_sql_finds_the_plain_price(
    statement: str, connection: Connection[Any], world: Drawn
) -> None:
    values = {
        "contracts": as_json([world.contract]),
        "rules": as_json(world.rules),
        "sales": as_json([world.sale]),
    }
    ((rule, fee),) = connection.execute(statement, values).fetchall()
    assert (None if rule is None else (rule, fee)) == plain_price(world)
