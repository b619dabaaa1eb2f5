"""The merchant fee that the platform says it booked of each voucher, by its own contracts.

Written apart from what closes a date, as a platform computes it apart from us.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import polars as pl

from tieout.simulator.events import (
    CHANNELS,
    PREAUTH_COMPLETION,
    PURCHASE,
    REFUND,
    REVERSAL,
    VOID,
)
from tieout.simulator.world import Row, World, contract_rows, fee_rate_rows

__all__ = ["stated_fees"]

_DAY_SECONDS = 86_400
_FIRST_DAY = date(1970, 1, 1)


def stated_fees(world: World, booked: pl.DataFrame) -> list[int]:
    """Return the fee of each record in fen: what is charged above zero, what goes back below."""
    contracts = contract_rows(world)
    rules: dict[str, list[Row]] = {}
    for rule in fee_rate_rows(world):
        rules.setdefault(str(rule["contract_id"]), []).append(rule)
    return [_fee(world, contracts, rules, record) for record in booked.iter_rows(named=True)]


def _fee(
    world: World,
    contracts: list[Row],
    rules: Mapping[str, list[Row]],
    record: Mapping[str, Any],
) -> int:
    kind, amount = record["type"], record["platform_amount"]
    if record["failed"] or kind not in {PURCHASE, PREAUTH_COMPLETION, REFUND, VOID, REVERSAL}:
        return 0
    is_sale = kind in {PURCHASE, PREAUTH_COMPLETION}
    day = _FIRST_DAY + timedelta(
        days=record["platform_time" if is_sale else "original_time"] // _DAY_SECONDS
    )
    account_id = world.merchants[record["merchant"]].account_id
    contract = next(
        row for row in contracts if row["account_id"] == account_id and _in_force(row, day)
    )
    rule = next(row for row in rules[str(contract["contract_id"])] if _fits(world, row, record))
    if is_sale:
        return _whole_fee(amount, rule)
    sold = record["original_amount"]
    whole = _whole_fee(sold, rule)
    if kind in {VOID, REVERSAL}:
        return -whole
    if contract["refund_fee_policy"] == "keep":
        return 0
    before = record["refunded_before"]
    return _share(whole, before, sold) - _share(whole, before - amount, sold)


def _in_force(row: Row, day: date) -> bool:
    since, until = row["effective_from"], row["effective_to"]
    assert isinstance(since, date)
    return since <= day and (not isinstance(until, date) or day < until)


def _fits(world: World, rule: Row, record: Mapping[str, Any]) -> bool:
    if rule["channel"] != CHANNELS[record["channel"]]:
        return False
    card = record["card"]
    return rule["card_region"] in {None, card is not None and world.card_regions[card]} and rule[
        "card_kind"
    ] in {None, card is not None and world.card_kinds[card]}


def _whole_fee(amount: int, rule: Row) -> int:
    fee = _rounded(
        Decimal(amount) * Decimal(str(rule["fee_rate"])) + int(str(rule["fixed_fee_minor"]))
    )
    fee = max(fee, int(str(rule["minimum_fee_minor"])))
    return fee if rule["cap_fee_minor"] is None else min(fee, int(str(rule["cap_fee_minor"])))


def _share(whole: int, part: int, sold: int) -> int:
    return _rounded(Decimal(whole * part) / sold)


def _rounded(amount: Decimal) -> int:
    return int(amount.quantize(Decimal(1), ROUND_HALF_UP))
