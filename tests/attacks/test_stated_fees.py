"""Fees in two places, and a third that says what they are: each alone stops the payment.

The ledger posts and clearing deducts a fee, each from the priced voucher; the platform may say
which fee it booked (docs/decisions/0055-price-once.md).
"""

from __future__ import annotations

import pytest
from rich.console import Console

import attack_files as files
from attack_files import Row
from attack_world import DAY, PAYMENT, World
from tieout.commands import overview

pytestmark = pytest.mark.slow
BOOKED = "accounting_vouchers"
CHANGED = {
    # The fee of a voucher that clears or posts a fen more than it was priced.
    "clearing": """
        update clearing.clearing_entries
        set fee_amount_minor = fee_amount_minor + 1,
            deducted_fee_amount_minor = deducted_fee_amount_minor + 1,
            clearing_amount_minor = clearing_amount_minor - 1
        where accounting_date = %s and entry_id = (
            select min(entry_id) from clearing.clearing_entries
            where accounting_date = %s and deducted_fee_amount_minor > 0
                and clearing_session_type = 'transaction'
        )""",
    "ledger": """
        update ledger.postings set amount_minor = amount_minor + 1
        where accounting_date = %s and posting_id = (
            select min(posting_id) from ledger.postings
            where accounting_date = %s and rule = 'merchant_fee.net'
        )""",
}
INVENTED = {
    # An adjustment's fee that the other side does not have.
    "clearing": """
        insert into clearing.clearing_entries
        select (jsonb_populate_record(entries, jsonb_build_object(
            'entry_id', 'A:X', 'source_id', 'X', 'clearing_session_type', 'adjustment',
            'transaction_type', 'first_chargeback', 'transaction_amount_minor', 0,
            'transaction_currency_amount_minor', 0, 'fee_amount_minor', -1,
            'deducted_fee_amount_minor', -1, 'clearing_amount_minor', 1
        ))).*
        from clearing.clearing_entries as entries
        where accounting_date = %s and entry_id = (
            select min(entry_id) from clearing.clearing_entries
            where accounting_date = %s and deducted_fee_amount_minor > 0
        )""",
    "ledger": """
        insert into ledger.postings
        select (jsonb_populate_record(postings, jsonb_build_object(
            'posting_id', 'ADJFEE:A:X:deducted', 'source_id', 'X',
            'event_type', 'adjustment_fee', 'rule', 'adjustment_fee.deducted', 'amount_minor', 1
        ))).*
        from ledger.postings as postings
        where accounting_date = %s and posting_id = (
            select min(posting_id) from ledger.postings
            where accounting_date = %s and rule = 'merchant_fee.net'
        )""",
}


def not_held(world: World) -> set[str]:
    """Return the checks of the gate that do not hold."""
    rows = world.rows("select check_name from gate.gate_checks where not holds")
    return {str(name) for (name,) in rows}


def stops(world: World, *checks: str) -> None:
    """Pay, and expect the gate to stop it for these checks."""
    run = world.pay(PAYMENT)
    assert run.failed_step == "gate"
    assert set(checks) <= not_held(world)
    assert not world.payments(PAYMENT)


@pytest.mark.parametrize("side", ["clearing", "ledger"])
def test_a_fee_that_one_side_alone_has_stops_the_payment(world: World, side: str) -> None:
    world.must(world.close(DAY))
    world.execute(CHANGED[side], [DAY, DAY])
    stops(world, "balance_equation_zero", "fees_recomputed", "fees_posted_as_cleared")


@pytest.mark.parametrize("side", ["clearing", "ledger"])
def test_an_adjustment_s_fee_that_one_side_alone_has_stops_the_payment(
    world: World, side: str
) -> None:
    world.must(world.close(DAY))
    world.execute(INVENTED[side], [DAY, DAY])
    stops(world, "fees_posted_as_cleared")


def state_fees(world: World, *, wrong_by_minor: int = 0) -> Row:
    """Write which fees the platform booked, of all that was cleared; return the wrong row."""
    cleared = {
        str(source_id): int(fee)
        for source_id, fee in world.rows(
            "select source_id, fee_amount_minor from clearing.clearing_entries"
            " where accounting_date = %s and clearing_session_type = 'transaction'",
            [DAY],
        )
    }
    assert len(cleared) > 50
    path = files.platform_path(world, BOOKED, DAY)
    rows = files.read_platform(path)
    header = list(rows[0]) if "fee_minor" in rows[0] else [*rows[0], "fee_minor"]
    for row in rows:
        row["fee_minor"] = str(cleared.get(row["source_voucher_id"], ""))
    first = next(row for row in rows if row["fee_minor"])
    first["fee_minor"] = str(int(first["fee_minor"]) + wrong_by_minor)
    files.write_platform(path, BOOKED, rows, header)
    return first


def findings(world: World) -> list[tuple[str, str, int]]:
    """Return voucher, finding and difference of each stated fee that is not the contract's."""
    return [
        (str(voucher), str(finding), int(difference))
        for voucher, finding, difference in world.rows(
            "select accounting_voucher_id, finding, difference_minor"
            " from clearing.stated_fee_findings where accounting_date = %s",
            [DAY],
        )
    ]


def test_another_fee_than_the_platform_states_stops_the_payment_until_it_is_corrected(
    world: World,
) -> None:
    world.must(world.close(DAY))
    assert findings(world) == []
    first = state_fees(world, wrong_by_minor=1)
    world.must(world.close(DAY))
    assert findings(world) == [(first["accounting_voucher_id"], "other_fee", 1)]
    stops(world, "stated_fees_agree")
    assert not_held(world) == {"stated_fees_agree"}
    console = Console(width=200)
    with console.capture() as captured:
        overview.print_problems(console, world.settings, DAY)
    said = f"other fees: {DAY} 1 that the platform states are not the contract's"
    assert said in captured.get()

    state_fees(world)
    world.must(world.close_and_pay())
    assert findings(world) == []
    assert world.payments(PAYMENT)
