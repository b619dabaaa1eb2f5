"""What is paid against the oracle: random accounts, closed and paid in one database, row by row.

`pytest tests/integration/test_oracle_payouts.py --paid-worlds 1000 --world-seed 7` pays more and
others.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import oracle_freezes
import oracle_payouts
import paid_worlds
import payout_worlds
import prepared_homes
from oracle_payouts import Terms, Week
from paid_worlds import COMPARED, DATES, PAYMENT_DATES, PaidWorlds
from tieout import database

pytestmark = pytest.mark.slow
SHOWN = 3
Place = tuple[str, str]  # account and currency


@pytest.fixture(scope="module")
def paid(
    request: pytest.FixtureRequest,
    prepared_home: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[PaidWorlds]:
    """The worlds, closed and paid date by date in a database of their own."""
    count, seed = request.config.getoption("paid_worlds"), request.config.getoption("world_seed")
    settings = prepared_homes.copy(prepared_home, tmp_path_factory.mktemp("paid") / "home")
    try:
        prepared_homes.start_carelessly(settings)
        yield paid_worlds.pay(settings, payout_worlds.generated(count, seed))
    finally:
        database.stop_server(settings)


def test_worlds_hold_every_kind(paid: PaidWorlds) -> None:
    """Agreement means something only where something happens."""
    assert paid_worlds.EVERY_KIND - paid_worlds.kinds(paid) == set()


@pytest.mark.parametrize("table", COMPARED)
def test_sql_computes_what_the_oracle_computes(paid: PaidWorlds, table: str) -> None:
    assert len(paid.by_sql[table]) > len(paid.named) / 2
    found = paid.differences(paid.by_oracle, table)
    assert not found, f"{len(found)} worlds differ\n" + "\n".join(found[:SHOWN])


def test_the_gate_computes_the_same_a_second_time(paid: PaidWorlds) -> None:
    """Its own fees, backed balances and sums; and the money that came is the money owed."""
    assert {row["residual_minor"] for row in paid.sql_rows["equations"]} == {0}
    checks = (
        "fees_recomputed", "fees_posted_as_cleared", "payout_backed_by_arrival",
        "holds_rollforward_exact", "merchant_payable_ties", "statements_sum_to_clearing_records",
        "adjustments_tie", "channel_receivable_zero", "suspense_rollforward_exact",
    )  # fmt: skip
    rows = [row for row in paid.sql_rows["gate_checks"] if row["check_name"] in checks]
    assert {row["check_name"] for row in rows} == set(checks)
    assert [row for row in rows if not row["holds"]] == []


# --- the month rolls forward --------------------------------------------------------------------


def moved(paid: PaidWorlds) -> dict[str, Counter[tuple[date, str, str]]]:
    """What the tables say that each date changed of what an account is owed, by kind."""
    found: dict[str, Counter[tuple[date, str, str]]] = defaultdict(Counter)
    for row in paid.sql_rows["entries"]:
        place = (row["accounting_date"], row["account_id"], row["currency_code"])
        found[row["clearing_session_type"]][place] += row["clearing_amount_minor"]
    for row in paid.sql_rows["charges"]:
        # Set back, it is owed again; taken at last, it is not.
        place = (row["payment_date"], row["account_id"], row["currency_code"])
        found["adjustment"][place] += row["deferred_amount_minor"] - row["released_amount_minor"]
    for row in paid.sql_rows["advances"]:
        place = (row["payment_date"], row["account_id"], row["currency_code"])
        found["advance"][place] -= row["advance_amount_minor"]
    for event in paid.payouts:
        place = (event.business_date, event.account_id, event.currency_code)
        if event.status == "submitted":
            found["paid"][place] -= event.amount
        if event.status in ("failed", "returned"):
            found["returned"][place] += event.amount
    for row in paid.tables["raw.platform_opening_balances"]:
        if row["ledger_account"] == "merchant_payable":
            place = (DATES[0], row["subledger_id"], row["currency_code"])
            found["opening"][place] -= row["balance_minor"]
    return found


def owed(paid: PaidWorlds) -> dict[date, Counter[Place]]:
    """The ledger's merchant payable after each close."""
    found: dict[date, Counter[Place]] = {day: Counter() for day in DATES}
    for row in paid.sql_rows["balances"]:
        if row["ledger_account"] == "merchant_payable":
            place = (row["subledger_id"], row["currency_code"])
            found[row["accounting_date"]][place] -= row["closing_amount_minor"]
    return found


def test_what_is_owed_rolls_forward_for_each_account_and_in_total(paid: PaidWorlds) -> None:
    """Opening + cleared + adjustments − advances − paid + returned = closing = the ledger's."""
    changes, ledger = moved(paid), owed(paid)
    kinds = {"opening", "transaction", "adjustment", "advance", "paid", "returned"}
    assert {kind for kind, amounts in changes.items() if any(amounts.values())} == kinds
    running: Counter[Place] = Counter()
    for day in DATES:
        for amounts in changes.values():
            for (on, *place), amount in amounts.items():
                if on == day:
                    running[tuple(place)] += amount
        differ = {
            place: (running[place], ledger[day][place])
            for place in {*running, *ledger[day]}
            if running[place] != ledger[day][place]
        }
        assert differ == {}, day
    for currency in ("CNY", "USD"):
        total = sum(
            amount
            for amounts in changes.values()
            for (on, _, of), amount in amounts.items()
            if of == currency and on <= DATES[-1]
        )
        closing = ledger[DATES[-1]]
        assert total == sum(amount for (_, of), amount in closing.items() if of == currency)
        assert total


def test_what_is_owed_is_what_statements_carry_or_nobody_has_stated_yet(paid: PaidWorlds) -> None:
    """After each close: carried + stated and unpaid + cleared and not stated − what waits."""
    ledger = owed(paid)
    for day in DATES:
        last = max((on for on in PAYMENT_DATES if on <= day), default=None)
        found: Counter[Place] = Counter()
        for row in paid.sql_rows["statements"]:
            place = (row["account_id"], row["currency_code"])
            if row["payment_date"] == last:
                found[place] += row["carried_forward_amount_minor"]
            if row["payment_date"] <= day:
                found[place] += row["payout_amount_minor"]
        for event in paid.payouts:
            if event.business_date <= day:
                sign = {"submitted": -1, "failed": 1, "returned": 1}.get(event.status, 0)
                found[event.account_id, event.currency_code] += sign * event.amount
        for row in paid.sql_rows["entries"]:
            is_stated = last is not None and row["payment_date"] <= last
            if row["accounting_date"] <= day and not is_stated:
                place = (row["account_id"], row["currency_code"])
                found[place] += row["clearing_amount_minor"]
        if last is None:
            for row in paid.tables["raw.platform_opening_balances"]:
                if row["ledger_account"] == "merchant_payable":
                    found[row["subledger_id"], row["currency_code"]] -= row["balance_minor"]
        assert {place: amount for place, amount in found.items() if amount} == {
            place: amount for place, amount in ledger[day].items() if amount
        }, day


def suspense_of(paid: PaidWorlds, day: date) -> Iterator[tuple[str, str, int]]:
    """What waits after a close, from rows of their own: account, currency, amount (debit +)."""
    for row in paid.sql_rows["items"]:
        if row["accounting_date"] == day and row["status"] in ("in_doubt", "one_sided"):
            sign = 1 if row["side"] == "system" else -1
            account = f"{row['side']}_suspense"
            yield account, row["currency_code"], sign * row["amount_minor"]
    for row in paid.sql_rows["suspended"]:
        if row["accounting_date"] == day and row["status"] == "suspended":
            # Its fees were absorbed: what waits is what it moved.
            yield "adjustments", row["currency_code"], -row["funds_effect_minor"]
    last = max((on for on in PAYMENT_DATES if on <= day), default=None)
    for row in paid.sql_rows["charges"]:
        if row["payment_date"] == last:
            yield "adjustments", row["currency_code"], row["closing_amount_minor"]


def under_way(paid: PaidWorlds, day: date) -> Iterator[tuple[str, str, int]]:
    """What left and did not end, and what was paid ahead and is not netted, as above."""
    for event in paid.payouts:
        if event.business_date <= day:
            sign = {"submitted": -1, "failed": 1, "returned": 1}.get(event.status, 0)
            yield "payouts_in_transit", event.currency_code, sign * event.amount
    netted = {row["advance_id"] for row in paid.sql_rows["advances"] if row["payment_date"] <= day}
    for row in paid.tables["raw.platform_advances"]:
        is_ours = row["for_accounting_date"] >= DATES[0] and row["advance_id"] not in netted
        if row["accounting_date"] == day and is_ours:
            yield "advances", row["currency_code"], row["amount_minor"]


@pytest.mark.parametrize("day", DATES, ids=str)
def test_control_accounts_equal_their_sub_ledgers(paid: PaidWorlds, day: date) -> None:
    """Suspense, adjustments, payouts in transit and advances, on every date."""
    expected: Counter[tuple[str, str]] = Counter()
    for account, currency, amount in (*suspense_of(paid, day), *under_way(paid, day)):
        expected[account, currency] += amount
    ledger: Counter[tuple[str, str]] = Counter()
    names = ("system_suspense", "channel_suspense", "adjustments", "payouts_in_transit", "advances")
    for (on, name, currency, _), (amount,) in paid.by_sql["balances"].items():
        if on == day and name in names:
            ledger[name, currency] += amount
    assert {key: one for key, one in expected.items() if one} == {
        key: one for key, one in ledger.items() if one
    }
    assert {name for name, _ in expected} >= {"system_suspense", "channel_suspense", "advances"}


# --- the oracle notices -------------------------------------------------------------------------


def half_to_even(amount: Any) -> int:
    return round(Fraction(amount))


def each_part_by_itself(sale: Any, amount: int, *, is_whole: bool = False) -> int:
    if is_whole:
        return int(sale.fee)
    if sale.policy == "keep":
        return 0
    return oracle_payouts.round_half_away(Fraction(sale.fee * amount, sale.amount))


def lowest_tier(terms: Terms, contract: Any, on: date, volume: int | None, **sale: str) -> Any:
    del volume
    return _RULE(terms, contract, on, None, **sale)


def nothing_covered(account: Any) -> dict[str, int]:
    del account
    return dict.fromkeys(oracle_payouts.SESSIONS, 0)


def no_minimum(week: Week, account_id: str, currency: str, payment_date: date) -> tuple[int, bool]:
    return 0, _PAYS(week, account_id, currency, payment_date)[1]


def nothing_held(week: Week, entries: Any) -> list[Any]:
    del week, entries
    return []


def netted_when_told(week: Week) -> dict[str, tuple[date, Any]]:
    """By the first payment date that knows of it, whatever date it is for."""
    told: dict[str, date] = {}
    for row in week.tables["raw.platform_advances"]:
        key, on = row["advance_id"], row["accounting_date"]
        told[key] = min(on, told.get(key, on))
    return {
        key: (min(on for on in PAYMENT_DATES if on > told[key]), row)
        for key, (_, row) in _ADVANCES(week).items()
    }


def a_fen_less(week: Week) -> dict[date, list[Any]]:
    return {
        on: [(place, replace(one, amount=one.amount - 1)) for place, one in freezes]
        for on, freezes in _REGISTERS(week).items()
    }


_RULE, _PAYS, _ADVANCES = Terms.rule, Week._pays, Week.advances
_REGISTERS = Week.registers
FAULTS: dict[str, tuple[str, Any, str, Any]] = {
    "halves to even": ("entries", oracle_payouts, "round_half_away", half_to_even),
    "each refund by itself": ("entries", oracle_payouts._Sale, "give_back", each_part_by_itself),
    "the base tier for all": ("entries", Terms, "rule", lowest_tier),
    "a lower fee counts at once": (
        "entries", oracle_payouts, "_rate_pays_more", lambda old, new: False,
    ),
    "gross for net counts at once": (
        "entries", oracle_payouts, "_contract_pays_more", lambda old, new: False,
    ),
    "the policy of the sale's date": (
        "entries", Week, "_read_policy", lambda week, sale, day: None,
    ),
    "nothing is held": ("statements", Week, "holds", nothing_held),
    "no minimum": ("statements", Week, "_pays", no_minimum),
    "no session covers another": (
        "statements", oracle_payouts._Account, "_transfers", nothing_covered,
    ),
    "no charge waits": ("charges", oracle_payouts, "MAY_WAIT", ()),
    "a merchant's request first": (
        "freeze_parts", oracle_freezes, "KINDS", oracle_freezes.KINDS[::-1],
    ),
    "freezes shrink as the file says": (
        "freeze_parts", oracle_payouts, "_contradicts", lambda old, new: False,
    ),
    "a fen less is frozen": ("statements", Week, "registers", a_fen_less),
    "advances before their date": ("advances", Week, "advances", netted_when_told),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_an_oracle_that_is_wrong_differs(
    paid: PaidWorlds, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each rule decides something in these worlds, or the agreement would prove nothing of it."""
    table, place, name, wrong = FAULTS[fault]
    monkeypatch.setattr(place, name, wrong)
    broken = paid_worlds.canon(oracle_payouts.compute(paid.week_again(), paid.payouts))
    assert paid.differences(broken, table)
