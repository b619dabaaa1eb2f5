"""A return gives back what its sale was charged, whatever became of the terms since.

Rules rise in place, contracts end or move to another account between a sale and its return; what
is owed is the part of the fee that stands in the sale's own entry, worked out here in Python
(docs/decisions/0003-refund-fee-by-running-totals.md).
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

import attack_files as files
from attack_files import Row
from attack_world import DAY, NEXT_DAY, NEXT_PAYMENT, PAYMENT, World
from tieout.decisions import terms
from tieout.decisions.terms import TwoPeople

pytestmark = pytest.mark.slow
# A merchant of the sample that sells by WeChat Pay, is paid net and gets fees back with refunds.
ACCOUNT = "A000004"
PEOPLE = TwoPeople("Zhou Min", "Wu Fang", "letter of the merchant")


def sale_of_the_day(world: World) -> Row:
    """Return the dearest sale of the attacked date that nothing gave back."""
    with files.vouchers(world, DAY) as rows:
        returned = {row["original_voucher_id"] for row in rows}
        sales = [
            row
            for row in rows
            if (row["account_id"], row["channel"]) == (ACCOUNT, "wechat")
            and (row["transaction_type"], row["transaction_status"]) == ("purchase", "success")
            and f"{DAY}T09" < row["transaction_at"] < f"{DAY}T22"
            and row["voucher_id"] not in returned
        ]
    assert sales
    return max(sales, key=lambda row: int(row["amount_minor"]))


def refunds_of(sale: Row, parts_minor: list[int]) -> list[Row]:
    """Return refunds of a sale on the next date, all of one second."""
    given_back_minor = 0
    refunds = []
    for number, part_minor in enumerate(parts_minor, start=1):
        refunds.append(
            files.invented(
                sale,
                number,
                accounting_date=NEXT_DAY.isoformat(),
                transaction_type="refund",
                amount_minor=str(-part_minor),
                transaction_at=f"{NEXT_DAY}T12:00:00+08:00",
                channel_order_id=sale["channel_order_id"],
                merchant_order_id=sale["merchant_order_id"],
                refund_order_id=f"98{number:027d}",
                original_voucher_id=sale["voucher_id"],
                original_transaction_at=sale["transaction_at"],
                original_amount_minor=sale["amount_minor"],
                original_refunded_before_minor=str(given_back_minor),
            )
        )
        given_back_minor += part_minor
    return refunds


def entry_of(world: World, voucher_id: str) -> tuple[int, str, str]:
    """Return fee, way of settlement and contract of a voucher's entry."""
    ((fee_minor, mode, contract_id),) = world.rows(
        "select fee_amount_minor, settlement_mode, contract_id from clearing.clearing_entries"
        " where entry_id = %s",
        [f"T:{voucher_id}"],
    )
    return int(fee_minor), str(mode), str(contract_id)


def raise_fees(world: World) -> None:
    """Let each rule ask four times as much from the next date on: that waits for nobody."""
    with files.platform(world, "fee_rates", NEXT_DAY) as rows:
        for row in rows:
            row["fee_rate"] = str(Decimal(row["fee_rate"]) * 4)
            row["minimum_fee_minor"] = str(int(row["minimum_fee_minor"] or 0) + 100)


def change_contract(world: World, change: Callable[[Row], None]) -> None:
    """Change the account's contract in both dates' lists, and let two people approve it."""
    for day in (DAY, NEXT_DAY):
        with files.platform(world, "contracts", day) as rows:
            for row in rows:
                if row["account_id"] == ACCOUNT:
                    change(row)
    world.must(world.close(DAY))
    waiting = [change.change_id for change in terms.changes(world.settings)]
    assert waiting
    assert terms.decide(world.settings, "approve", waiting, PEOPLE) == NEXT_DAY


def only_refunds(world: World, sale: Row, parts_minor: list[int]) -> list[str]:
    """Let the account do nothing on the next date but refund a sale; return the refunds' ids."""
    refunds = refunds_of(sale, parts_minor)
    with files.vouchers(world, NEXT_DAY) as rows:
        rows[:] = [row for row in rows if row["account_id"] != ACCOUNT]
        rows.extend(refunds)
    return [row["voucher_id"] for row in refunds]


def failed_checks(world: World) -> list[tuple[object, ...]]:
    """Return the gate's checks that do not hold."""
    return world.rows("select check_name, subject, detail from gate.gate_checks where not holds")


def test_a_rate_that_rose_in_place_gives_no_more_back(world: World) -> None:
    sale = sale_of_the_day(world)
    world.must(world.close_and_pay())
    world.evening(PAYMENT)
    raise_fees(world)
    third = int(sale["amount_minor"]) // 3
    parts = [third, third, int(sale["amount_minor"]) - 2 * third]
    refunds = refunds_of(sale, parts)
    with files.vouchers(world, NEXT_DAY) as rows:
        rows.extend(refunds)
    world.must(world.close_and_pay(NEXT_DAY))

    charged, _, _ = entry_of(world, sale["voucher_id"])
    returned = [entry_of(world, row["voucher_id"])[0] for row in refunds]
    assert charged > 0
    assert sum(returned) == -charged
    assert failed_checks(world) == []


@pytest.mark.parametrize("what", ["ended", "moved"])
def test_a_return_is_settled_as_its_sale_was(world: World, what: str) -> None:
    """After the contract's end, or after it went to another account, a refund stops nobody."""

    def ended(contract: Row) -> None:
        contract["effective_to"] = NEXT_DAY.isoformat()

    def moved(contract: Row) -> None:
        contract["account_id"] = "A990004"

    sale = sale_of_the_day(world)
    change_contract(world, {"ended": ended, "moved": moved}[what])
    world.must(world.pay(PAYMENT))
    world.evening(PAYMENT)
    half = int(sale["amount_minor"]) // 2
    first, second = only_refunds(world, sale, [half, int(sale["amount_minor"]) - half])
    world.must(world.close_and_pay(NEXT_DAY))

    charged, mode, contract_id = entry_of(world, sale["voucher_id"])
    assert entry_of(world, first)[1:] == (mode, contract_id)
    assert entry_of(world, first)[0] + entry_of(world, second)[0] == -charged
    assert failed_checks(world) == []
    paid = world.paid(NEXT_PAYMENT)
    assert paid
    assert ACCOUNT not in paid
