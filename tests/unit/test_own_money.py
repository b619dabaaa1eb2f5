"""Own money and client money: two people, no more than is ours, and no way around it by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

import psycopg
import pytest

from day_states import set_state
from payment_world import ACCOUNTING_DATES, PAYMENT_DATE, World
from tieout import database
from tieout.decisions import own_money
from tieout.decisions.own_money import OwnMoneyError

RESERVE, OWN = "6600100200300400", "6600100200300426"
ONE, OTHER, WHY = "Alice Wu", "Bob Li", "as agreed with treasury"
SWEEPABLE_MINOR = 10_000

TABLES = """
create table gate.sweepable_funds (
    payment_date date, currency_code text, sweepable_amount_minor bigint
);
create table ledger.bank_journal (payment_date date, bank_journal_entry_id text);
insert into reference.bank_accounts (bank_account_id, account_kind, currency_code)
values ('6600100200300426', 'own_funds', 'CNY');
grant select on gate.sweepable_funds, ledger.bank_journal to tieout_owner;
"""


@pytest.fixture
def funded(world: World) -> World:
    """A world whose latest payment date has found that 100.00 of the reserve are ours."""
    world.execute(TABLES)
    for day, amount in ((PAYMENT_DATE - timedelta(days=4), 99_999), (PAYMENT_DATE, 10_000)):
        world.execute("insert into gate.sweepable_funds values (%s, 'CNY', %s)", (day, amount))
    return world


def sweep(world: World, amount: int, by: str = ONE, on: date = PAYMENT_DATE) -> int:
    return own_money.transfer(
        world.settings, "fee_sweep", amount, "CNY", by=by, reason=WHY, effective_on=on
    )


def entry(world: World, account: str, booked_as: str, amount: int = -500) -> int:
    return own_money.enter(
        world.settings, account, "RENT 09", booked_as, amount, "CNY",
        by=ONE, reason=WHY, effective_on=PAYMENT_DATE,
    )  # fmt: skip


def test_two_people_sweep_what_is_ours_and_no_more(funded: World) -> None:
    request = sweep(funded, SWEEPABLE_MINOR)
    (waiting,) = own_money.decisions(funded.settings)
    assert (waiting.approved_by, waiting.bank_text) == (None, f"OWN SWEEP {waiting.request_no}")
    assert waiting.reserve_amount_minor == -SWEEPABLE_MINOR
    assert own_money.approved_transfers(funded.settings, PAYMENT_DATE) == []
    # Asked for alone, it takes nothing from what another may ask for; approved, it does.
    second = sweep(funded, 1)
    with pytest.raises(OwnMoneyError, match="two different people"):
        own_money.approve(funded.settings, request, by="alice  wu")
    assert own_money.approve(funded.settings, request, by=OTHER).approved_by == OTHER
    with pytest.raises(OwnMoneyError, match="0 minor units may be swept, not 1"):
        own_money.approve(funded.settings, second, by=OTHER)
    with pytest.raises(OwnMoneyError, match="approved already"):
        own_money.approve(funded.settings, request, by="Carol Xu")
    with pytest.raises(OwnMoneyError, match="0 minor units may be swept, not 5"):
        sweep(funded, 5)
    (approved,) = own_money.approved_transfers(funded.settings, PAYMENT_DATE)
    assert approved.request_id == request
    # Once the journal of a payment date knows the order, its own sum does.
    funded.execute(
        "insert into ledger.bank_journal values (%s, %s)",
        (PAYMENT_DATE, f"fee_sweep:{approved.request_no}:client_reserve"),
    )
    assert funded.value("select control.sweepable_minor('CNY')") == SWEEPABLE_MINOR
    assert funded.value("select control.sweepable_minor('USD')") == 0


def test_a_top_up_has_no_limit_and_two_people(funded: World) -> None:
    request = own_money.transfer(
        funded.settings, "own_funds_top_up", 10**9, "CNY", by=ONE, reason=WHY,
        effective_on=PAYMENT_DATE,
    )  # fmt: skip
    done = own_money.approve(funded.settings, request, by=OTHER)
    assert (done.reserve_amount_minor, done.bank_text[:11]) == (10**9, "OWN TOPUP O")


def test_an_entry_by_hand_says_where_and_as_what(funded: World) -> None:
    request = entry(funded, OWN, "own_capital", 700)
    done = own_money.approve(funded.settings, request, by=OTHER)
    assert (done.bank_account_id, done.amount_minor, done.bank_text) == (OWN, 700, "RENT 09")
    own_money.approve(funded.settings, entry(funded, RESERVE, "bank_charge"), by=OTHER)


REFUSED: dict[str, tuple[Callable[[World], object], str]] = {
    "more than is ours": (lambda world: sweep(world, SWEEPABLE_MINOR + 1), "may be swept"),
    "nothing": (lambda world: sweep(world, 0), "a_transfer_is_above_zero"),
    "what a top-up would bring": (lambda world: sweep(world, -5), "a_transfer_is_above_zero"),
    "nobody asks": (lambda world: sweep(world, 1, by=" "), "name"),
    "a closed date": (lambda world: sweep(world, 1, on=ACCOUNTING_DATES[0]), "closed"),
    "no account of ours": (lambda world: entry(world, "123", "bank_charge"), "no account of ours"),
    "own capital into the reserve": (
        lambda world: entry(world, RESERVE, "own_capital", 9), "own capital is put into own funds"
    ),
    "a transfer out of the reserve by hand": (
        lambda world: entry(world, RESERVE, "own_transfer"), "from or to the client reserve"
    ),
    "booked as something else": (lambda world: entry(world, OWN, "gains"), "booked_as_check"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_nobody_may_ask_for(funded: World, name: str) -> None:
    with database.connect(funded.settings) as connection:
        set_state(connection, ACCOUNTING_DATES[0], "closed")
    attempt, says = REFUSED[name]
    with pytest.raises(OwnMoneyError, match=says):
        attempt(funded)
    assert own_money.decisions(funded.settings) == []


def test_before_a_payment_date_nothing_is_swept(world: World) -> None:
    with pytest.raises(OwnMoneyError, match="0 minor units may be swept"):
        sweep(world, 1)


def test_nobody_decides_past_the_functions(funded: World) -> None:
    """No role writes the tables, and what stands there stays."""
    sweep(funded, 1)
    for role in ("tieout_people", "tieout_payout", "tieout_transform"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            funded.execute(
                f"set local role {role};"
                " insert into control.own_money_approvals (request_id) values (1)"
            )
    with pytest.raises(psycopg.errors.RestrictViolation):
        funded.execute("update control.own_money_requests set amount_minor = 2")
