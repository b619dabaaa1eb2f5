"""The order of taking: the SQL against plain Python on random accounts, and its tests gone red."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import date, timedelta
from typing import Any

import psycopg
import pytest

import oracle_freezes as oracle
from tieout import database
from tieout.core.settings import Settings
from tieout.runs import transform

from .test_dbt import Breaker

pytestmark = pytest.mark.slow

PAYMENT, BEFORE = date(2026, 9, 14), date(2026, 9, 11)
DATES = {
    "TIEOUT_PAYMENT_DATE": PAYMENT.isoformat(),
    "TIEOUT_PREVIOUS_PAYMENT_DATE": BEFORE.isoformat(),
}
MODELS = ("charges", "int_settlement__balances", "freeze_parts", "settlement_statements")
ACCOUNTS = 400
SEED = 20260914


class Account:
    """A random account: small amounts, so that sums meet and fall short by one."""

    def __init__(self, dice: random.Random, number: int) -> None:
        self.name = f"R{number:04d}"
        self.sessions = {
            name: oracle.Session(dice.randint(-6, 12), dice.choice((0, 0, 0, 3)))
            for name in oracle.SESSIONS
            if dice.random() < 0.8
        }
        self.freezes = [
            oracle.Freeze(
                f"{dice.choice('YZ')}{number}-{index}",
                dice.choice(oracle.KINDS),
                BEFORE - timedelta(days=dice.randint(0, 2)),
                dice.randint(1, 8),
                dice.choice((None, None, *oracle.SESSIONS)),
            )
            for index in range(dice.choice((0, 0, 1, 2, 4)))
        ]
        self.charges = []
        for index in range(dice.choice((0, 1, 2, 3))):
            waited = dice.random() < 0.6
            since = BEFORE - timedelta(days=dice.randint(0, 2)) if waited else PAYMENT
            self.charges.append(
                oracle.Charge(f"A:{number}-{index}", dice.randint(1, 9), since, waited)
            )

    def fill(self, breaker: Breaker) -> None:
        """Put the account into the tables that the models read."""
        mine = {"account_id": self.name, "currency_code": "CNY"}
        for name, session in self.sessions.items():
            breaker.insert(
                "intermediate.int_settlement__components",
                PAYMENT,
                {
                    **mine,
                    "settlement_session_type": name,
                    "accounting_dates": [PAYMENT - timedelta(days=1)],
                    "transaction_count": 1,
                    "transaction_amount_minor": session.balance,
                    "balance_amount_minor": session.balance,
                    "held_amount_minor": session.held,
                },
            )
        for freeze in self.freezes:
            breaker.insert(
                "settlement.freezes",
                PAYMENT,
                {
                    **mine,
                    "payment_date": PAYMENT,
                    "freeze_id": freeze.freeze_id,
                    "source": "platform",
                    "snapshot_date": BEFORE,
                    "freeze_kind": freeze.kind,
                    "ordered_amount_minor": freeze.amount,
                    "frozen_amount_minor": freeze.amount,
                    "effective_from": freeze.since,
                    "settlement_session_type": freeze.only,
                    "is_in_force": True,
                },
            )
        for charge in self.charges:
            self._fill(breaker, charge, mine)

    def _fill(self, breaker: Breaker, charge: oracle.Charge, mine: dict[str, Any]) -> None:
        if charge.waited:
            breaker.insert(
                "settlement.charges",
                BEFORE,
                {
                    **mine,
                    "payment_date": BEFORE,
                    "accounting_date": charge.since - timedelta(days=1),
                    "entry_id": charge.entry_id,
                    "charge_amount_minor": charge.amount,
                    "opening_amount_minor": charge.amount,
                    "closing_amount_minor": charge.amount,
                    "charge_status": "waiting",
                    "waits_since": charge.since,
                    "age_days": (BEFORE - charge.since).days,
                },
            )
            return
        breaker.insert(
            "clearing.clearing_entries",
            PAYMENT - timedelta(days=1),
            {
                **mine,
                "entry_id": charge.entry_id,
                "clearing_session_type": "adjustment",
                "settlement_mode": "net",
                "payment_date": PAYMENT,
                "transaction_amount_minor": -charge.amount,
                "transaction_currency_amount_minor": -charge.amount,
                "clearing_amount_minor": -charge.amount,
            },
        )


@pytest.fixture(scope="module")
def accounts(built: Settings) -> list[Account]:
    """Random accounts, and what the models make of them."""
    dice = random.Random(SEED)
    drawn = [Account(dice, number) for number in range(ACCOUNTS)]
    with database.connect(built) as connection:
        _make_room(connection)
        breaker = Breaker(connection)
        for account in drawn:
            account.fill(breaker)
    report = transform.run_dbt(built, ["run", "--select", *MODELS], DATES)
    assert [str(failure) for failure in report.failures] == []
    return drawn


def _make_room(connection: psycopg.Connection[Any]) -> None:
    connection.execute("truncate intermediate.int_settlement__components")
    for table, day in (
        ("settlement.freezes", PAYMENT),
        ("settlement.charges", BEFORE),
        ("clearing.clearing_entries", PAYMENT - timedelta(days=1)),
    ):
        connection.execute(
            f"create table if not exists {table}_{day:%Y%m%d} partition of {table}"
            f" for values in ('{day}')"
        )
    connection.execute(
        "insert into control.accounting_days (accounting_date, state) values (%s, 'open')"
        " on conflict do nothing",
        [PAYMENT - timedelta(days=1)],
    )


def test_the_models_take_as_the_rules_say(built: Settings, accounts: list[Account]) -> None:
    found: dict[str, dict[str, str]] = defaultdict(dict)
    parts: dict[str, dict[tuple[str, str], tuple[int, int]]] = defaultdict(dict)
    with database.connect(built) as connection:
        for account_id, entry_id, status in connection.execute(
            "select account_id, entry_id, charge_status from settlement.charges"
            " where payment_date = %s",
            [PAYMENT],
        ):
            found[account_id][entry_id] = status
        for account_id, session, freeze_id, covered, uncovered in connection.execute(
            "select account_id, settlement_session_type, freeze_id, covered_amount_minor,"
            " uncovered_amount_minor from settlement.freeze_parts where payment_date = %s",
            [PAYMENT],
        ):
            parts[account_id][session, freeze_id] = (covered, uncovered)
    expected = {
        account.name: oracle.settle(account.sessions, account.freezes, account.charges)
        for account in accounts
    }
    statuses = {status for outcome in expected.values() for status in outcome.charges.values()}
    assert statuses == {"charged", "waiting"}
    assert sum(len(outcome.parts) for outcome in expected.values()) > ACCOUNTS / 2
    assert {name: dict(found[name]) for name in expected} == {
        name: dict(outcome.charges) for name, outcome in expected.items()
    }
    assert {name: dict(parts[name]) for name in expected} == {
        name: dict(outcome.parts) for name, outcome in expected.items()
    }


def test_a_freeze_that_takes_less_and_a_charge_that_is_forgotten_are_told(
    built: Settings, accounts: list[Account]
) -> None:
    """Both tests of the register go red once something of it is gone."""
    assert accounts
    with database.connect(built) as connection:
        (freeze_id,) = _one(
            connection,
            "delete from settlement.freeze_parts where ctid = (select ctid from"
            " settlement.freeze_parts where payment_date = %s and freeze_id not like 'W:%%'"
            " order by freeze_id limit 1) and payment_date = %s returning freeze_id",
        )
        (entry_id,) = _one(
            connection,
            "delete from settlement.charges where entry_id = (select min(entry_id) from"
            " settlement.charges where payment_date = %s and opening_amount_minor > 0)"
            " and payment_date = %s returning entry_id",
        )
    report = transform.run_dbt(
        built,
        [
            "test", "--select", "assert_freeze_parts_sum_to_what_is_frozen",
            "assert_waiting_charges_go_on",
        ],
        DATES,
    )  # fmt: skip
    told = {failure.name: failure.rows for failure in report.failures}
    assert any(freeze_id in row for row in told["assert_freeze_parts_sum_to_what_is_frozen"])
    assert any(entry_id in row for row in told["assert_waiting_charges_go_on"])


def _one(connection: psycopg.Connection[Any], statement: str) -> tuple[str]:
    row = connection.execute(statement, [PAYMENT, PAYMENT]).fetchone()
    assert row is not None
    return (str(row[0]),)
