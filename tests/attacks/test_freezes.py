"""Who is paid while frozen, or charged never: a balance that does not cover its charge, and people.

A merchant takes its day's sales as an advance before its refund is charged; one person freezes or
releases alone, or more than there is (docs/domain.md#register-of-freezes).
"""

from __future__ import annotations

import pytest

import attack_files as files
from attack_files import Row
from attack_world import DAY, NEXT_DAY, NEXT_PAYMENT, PAYMENT, World
from tieout.decisions import freezes
from tieout.decisions.freezes import FreezeError, Wanted

pytestmark = pytest.mark.slow

POOL = ("purchase", "preauth_completion", "refund", "void", "reversal")
ONE, OTHER, WHY = "Zhou Min", "Wu Fang", "letter of the court"
MUCH_MINOR = 10_000_000


def sales_of(world: World) -> list[Row]:
    """Return the vouchers of the attacked date that succeeded."""
    rows = files.read_platform(files.platform_path(world, "source_vouchers", DAY))
    return [row for row in rows if row["transaction_status"] == "success"]


def take_the_balance_first(world: World) -> tuple[str, int]:
    """Advance a merchant all but half of its refund; return its account and the refund."""
    rows = sales_of(world)
    (refund,) = [row for row in rows if row["transaction_type"] == "manual_refund"]
    account_id, charge_minor = refund["account_id"], -int(refund["amount_minor"])
    sold_minor = sum(
        int(row["amount_minor"])
        for row in rows
        if row["account_id"] == account_id and row["transaction_type"] in POOL
    )
    assert charge_minor > 0
    assert sold_minor > charge_minor
    with files.platform(world, "advances", DAY) as advances:
        advances.append(
            {
                **advances[0],
                "advance_id": "D-ATTACK",
                "account_id": account_id,
                "amount_minor": str(sold_minor - charge_minor // 2),
                "advance_fee_minor": "0",
            }
        )
    return account_id, charge_minor


def charge_of(world: World, account_id: str, day: object) -> tuple[object, ...]:
    """Return entry, status, amounts deferred, released and waiting of the account's charge."""
    (row,) = world.rows(
        "select entry_id, charge_status, charge_amount_minor, deferred_amount_minor,"
        " released_amount_minor, closing_amount_minor from settlement.charges"
        " where payment_date = %s and account_id = %s",
        [day, account_id],
    )
    return tuple(row)


def paid_minor(world: World, account_id: str, day: object) -> int:
    """Return what the payment files of a date pay the account."""
    return sum(
        payment.amount_minor
        for payment in world.payments(day)  # type: ignore[arg-type]
        if payment.account_id == account_id
    )


def test_a_charge_beyond_the_balance_freezes_it_and_is_taken_once_it_suffices(
    world: World,
) -> None:
    account_id, _ = take_the_balance_first(world)
    world.must(world.close_and_pay())
    entry_id, *waits = charge_of(world, account_id, PAYMENT)
    amount_minor = waits[1]
    assert waits == ["waiting", amount_minor, amount_minor, 0, amount_minor]
    assert paid_minor(world, account_id, PAYMENT) == 0
    ((balance_minor, adjusted_minor),) = world.rows(
        "select carried_forward_amount_minor, adjustment_amount_minor"
        " from settlement.settlement_statements where payment_date = %s and account_id = %s"
        " and settlement_session_type = 'transaction'",
        [PAYMENT, account_id],
    )
    assert 0 < balance_minor < amount_minor
    assert adjusted_minor == 0
    assert world.rows(
        "select freeze_kind, frozen_amount_minor from settlement.freeze_parts"
        " where payment_date = %s and freeze_id = %s",
        [PAYMENT, f"W:{entry_id}"],
    ) == [("own_charge", amount_minor)]

    world.evening(PAYMENT)
    world.must(world.close_and_pay(NEXT_DAY))
    # The gate that passed has compared merchant payable, the reserve and the statements with it.
    assert world.rows(
        "select event_type, debit_account, credit_account, amount_minor from ledger.postings"
        " where source_id = %s and accounting_date = %s",
        [entry_id, NEXT_DAY],
    ) == [("charge_deferred", "adjustments_receivable", "merchant_payable", amount_minor)]
    assert charge_of(world, account_id, NEXT_PAYMENT) == (
        *(entry_id, "charged", amount_minor, 0, amount_minor, 0),
    )
    assert world.rows(
        "select payment_date, clearing_amount_minor from settlement.statement_lines"
        " where entry_id = %s",
        [entry_id],
    ) == [(NEXT_PAYMENT, -int(str(amount_minor)))]


def test_the_end_of_a_contract_pays_nothing_that_a_charge_waits_for(world: World) -> None:
    account_id, _ = take_the_balance_first(world)
    with files.platform(world, "contracts", DAY) as rows:
        ended = [row for row in rows if row["account_id"] == account_id]
        assert ended
        for row in ended:
            row["ended_on"] = PAYMENT.isoformat()
    world.must(world.close_and_pay())
    assert charge_of(world, account_id, PAYMENT)[1] == "waiting"
    assert paid_minor(world, account_id, PAYMENT) == 0


def test_nobody_freezes_or_releases_alone_nor_more_than_there_is(world: World) -> None:
    settings = world.settings
    account_id = max(world.payments(DAY), key=lambda payment: payment.amount_minor).account_id
    wanted = Wanted("judicial", account_id, "CNY", MUCH_MINOR, "(2026) 1", "a court")
    frozen = freezes.add(settings, wanted, by=ONE, reason=WHY)
    with pytest.raises(FreezeError, match="two different people"):
        freezes.approve(settings, frozen, by="zhou  min")
    freezes.approve(settings, frozen, by=OTHER)
    for refused, why in (
        (Wanted("judicial", account_id, "CNY", 1), "an_order_has_its_number"),
        (Wanted("risk", account_id, "USD", 1), "no channel settles in USD"),
        (Wanted("risk", "A999999", "CNY", 1), "no contract names the account"),
        (Wanted("because", account_id, "CNY", 1), "freeze_kind"),
    ):
        with pytest.raises(FreezeError, match=why):
            freezes.add(settings, refused, by=ONE, reason=WHY)

    world.must(world.close_and_pay())
    assert paid_minor(world, account_id, PAYMENT) == 0
    (freeze,) = freezes.in_force(settings, account_id)
    assert (freeze.freeze_kind, freeze.source) == ("judicial", "people")
    assert 0 < freeze.covered_minor < freeze.frozen_amount_minor == MUCH_MINOR

    def release(amount_minor: int | None, on: object = None) -> int:
        return freezes.release(
            settings, freeze.freeze_id, amount_minor=amount_minor, by=ONE, reason=WHY,
            effective_on=on,  # type: ignore[arg-type]
        )  # fmt: skip

    with pytest.raises(FreezeError, match="are 10000000 minor units left, not 10000001"):
        release(MUCH_MINOR + 1)
    with pytest.raises(FreezeError, match="closed"):
        release(1, DAY)
    # Each is less than what is left, both together are more.
    first, second = release(MUCH_MINOR - 5), release(6)
    freezes.approve(settings, first, by=OTHER)
    with pytest.raises(FreezeError, match="are 5 minor units left, not 6"):
        freezes.approve(settings, second, by=OTHER)

    world.evening(PAYMENT)
    world.must(world.close_and_pay(NEXT_DAY))
    (left,) = freezes.in_force(settings, account_id)
    assert (left.frozen_amount_minor, left.covered_minor) == (5, 5)
    assert paid_minor(world, account_id, NEXT_PAYMENT) >= freeze.covered_minor - 5
