"""How a fee is told and computed once more: each kind of price and return, against plain sums."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import parts
from tieout.explaining import fees
from tieout.explaining.fees import FeeFacts, recomputed

SALE = FeeFacts(
    voucher_id="V1",
    accounting_date=date(2026, 11, 2),
    payment_date=date(2026, 11, 3),
    transaction_type="purchase",
    fee_treatment="charge",
    currency_code="CNY",
    amount_minor=10_050,
    fee_minor=60,
    settlement_mode="net",
    contract_id="C1",
    refund_fee_policy="return",
    merchant_category_code="5411",
    fee_rule_id="F1",
    rule_category_code=None,
    channel="wechat",
    rule_channel="wechat",
    rule_transaction_type=None,
    rule_card_kind=None,
    rule_card_region=None,
    tier_from_minor=0,
    tier_volume_minor=0,
    fee_rate=Decimal("0.006"),
    fixed_fee_minor=0,
    minimum_fee_minor=0,
    cap_fee_minor=None,
    sale_voucher_id=None,
    sale_amount_minor=None,
    sale_fee_minor=None,
    made_up_minor=0,
    returned_before_minor=0,
    ledger_fee_minor=60,
    gate_fee_minor=60,
)
RETURN = replace(
    SALE,
    transaction_type="refund",
    fee_treatment="return_by_contract",
    amount_minor=-3_000,
    sale_voucher_id="S1",
    sale_amount_minor=10_000,
    sale_fee_minor=61,
)


def words(facts: FeeFacts) -> dict[str, str]:
    return {step.topic: step.words for step in fees.steps(facts)}


@pytest.mark.parametrize(
    ("changes", "fee"),
    [
        ({}, 60),  # 60.3
        ({"amount_minor": 10_083}, 60),  # 60.498
        ({"amount_minor": 250, "fee_rate": Decimal("0.01")}, 3),  # 2.5, half away from zero
        ({"fixed_fee_minor": 7}, 67),
        ({"minimum_fee_minor": 61}, 61),
        ({"cap_fee_minor": 59}, 59),
        ({"cap_fee_minor": 59, "minimum_fee_minor": 61}, 59),
        ({"transaction_type": "preauth_completion"}, 60),
        ({"fee_rate": None}, None),
    ],
)
def test_a_sale_is_priced_by_its_rule(changes: dict[str, object], fee: int | None) -> None:
    assert recomputed(replace(SALE, **changes)) == fee  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "fee"),
    [
        ({}, -18),  # 61 × 0.3 = 18.3
        ({"returned_before_minor": 3_000}, -19),  # 36.6 less 18.3, each rounded
        ({"amount_minor": -7_000, "returned_before_minor": 3_000}, -43),  # with the first: 61
        ({"made_up_minor": 11}, -15),
        ({"refund_fee_policy": "keep"}, 0),
        ({"refund_fee_policy": None}, 0),
        ({"fee_treatment": "return_in_full"}, -61),
        ({"fee_treatment": "return_in_full", "refund_fee_policy": "keep"}, -61),
        ({"sale_fee_minor": None}, -18),  # of before our time: 10,000 × 0.006, its share
    ],
)
def test_a_return_gives_back_its_part(changes: dict[str, object], fee: int) -> None:
    assert recomputed(replace(RETURN, **changes)) == fee  # type: ignore[arg-type]


def test_a_sale_is_told_with_contract_rule_tier_rate_minimum_and_cap() -> None:
    facts = replace(
        SALE,
        tier_from_minor=5_000_000,
        tier_volume_minor=6_000_000,
        minimum_fee_minor=10,
        cap_fee_minor=2_000,
        rule_category_code="5411",
    )
    told = words(facts)
    assert "category 5411" in told["contract"]
    assert told["rule"] == "F1, for wechat, category 5411"
    assert "from 50000.00" in told["tier"]
    assert told["rate"].startswith("100.50 × 0.006 + 0.00")
    assert (told["minimum"], told["cap"]) == ("at least 0.10", "at most 20.00")


def test_a_volume_that_is_not_known_is_said_so() -> None:
    assert "not known" in words(replace(SALE, tier_volume_minor=None))["tier"]
    assert "reached" in words(SALE)["tier"]


def test_a_refund_is_told_by_what_its_sale_was_charged_and_what_went_before() -> None:
    told = words(replace(RETURN, returned_before_minor=2_000, made_up_minor=1))
    assert told["fee of the sale"] == "what S1 was charged, 0.61 less 0.01 made up since"
    assert told["given back before"] == "20.00 of 100.00: 0.12 of the fee"
    assert told["returned"].startswith("through this one 50.00: 0.30 of the fee")
    assert "rate" not in told
    assert "keeps" in words(replace(RETURN, refund_fee_policy="keep"))["returned"]
    assert "was not cleared here" in words(replace(RETURN, sale_fee_minor=None))["fee of the sale"]
    assert "rate" in words(replace(RETURN, sale_fee_minor=None))


@settings(deadline=None, max_examples=parts.examples(200))
@given(
    amount=st.integers(1, 10**11),
    rate=st.decimals(0, 1, places=6),
    fixed=st.integers(0, 10_000),
    minimum=st.integers(0, 10_000),
    cap=st.none() | st.integers(0, 10_000),
)
def test_a_price_is_the_plain_one(
    amount: int, rate: Decimal, fixed: int, minimum: int, cap: int | None
) -> None:
    exact = Fraction(rate) * amount + fixed
    fee = max(int(exact + Fraction(1, 2)), minimum)
    facts = replace(
        SALE,
        amount_minor=amount,
        fee_rate=rate,
        fixed_fee_minor=fixed,
        minimum_fee_minor=minimum,
        cap_fee_minor=cap,
    )
    assert recomputed(facts) == (fee if cap is None else min(fee, cap))


@settings(deadline=None, max_examples=parts.examples(200))
@given(returned=st.lists(st.integers(1, 10**6), min_size=1, max_size=6), fee=st.integers(0, 10**6))
def test_all_returns_of_a_sale_give_back_its_fee(returned: list[int], fee: int) -> None:
    facts = replace(RETURN, sale_amount_minor=sum(returned), sale_fee_minor=fee)
    given_back = [
        recomputed(replace(facts, amount_minor=-part, returned_before_minor=sum(returned[:number])))
        for number, part in enumerate(returned)
    ]
    assert sum(part or 0 for part in given_back) == -fee
    assert all(part is not None and part <= 0 for part in given_back)
