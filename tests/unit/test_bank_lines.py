"""Bank lines nothing explains: two people take a line, whoever they say they are."""

from __future__ import annotations

from datetime import date

import psycopg
import pytest

import payment_world
from day_states import set_state
from payment_world import PAYMENT_DATE, World
from tieout import database
from tieout.core import people
from tieout.core.errors import TieoutError
from tieout.decisions import bank_lines

STATEMENT_DATE = date(2026, 9, 28)
ACCOUNT = "6600100200300400"
# One person, as keyboards and forms write the name.
SPELLINGS = (
    "Alice Wu",
    "alice wu",
    " Alice  Wu ",
    "Alice\u200bWu",
    "Ａlice Wu",
    "Ali\u00adce\u2060Wu",
)

TABLE = """
create table reconciliation.unexplained_bank_lines (
    payment_date date, file_id text, line_number integer, booked_on date, statement_date date,
    bank_account_id text, currency_code text, line_kind text, channel text, amount_minor bigint,
    unexplained_amount_minor bigint, reason text, opened_on date, age_days integer,
    is_new boolean, status text, decision_id bigint, taken_as text
)
"""


@pytest.fixture
def lined(world: World) -> tuple[World, str]:
    """A world whose payment date has an unordered debit of 700.00 open; and the line's name."""
    file_id = payment_world.file_row(world, "bank", "camt053", STATEMENT_DATE, file_name="camt")
    payment_world.partition(world, "bank_statement_lines", STATEMENT_DATE)
    for number, amount in ((1, -70_000), (2, -5)):
        world.execute(
            "insert into raw.bank_statement_lines (file_id, line_number, accounting_date,"
            " statement_id, bank_account_id, statement_date, booking_date, currency_code,"
            " amount_minor, is_reversal, is_return, detail_count)"
            " values (%s, %s, %s, 'S', %s, %s, %s, 'CNY', %s, false, false, 0)",
            (file_id, number, STATEMENT_DATE, ACCOUNT, STATEMENT_DATE, STATEMENT_DATE, amount),
        )
    world.execute(TABLE)
    for number, amount, status in ((1, -70_000, "open"), (2, -5, "explained")):
        world.execute(
            "insert into reconciliation.unexplained_bank_lines values (%s, %s, %s, %s, %s, %s,"
            " 'CNY', 'unclassified', null, %s, %s, 'unordered_debit', %s, 0, true, %s, null, null)",
            (
                *(PAYMENT_DATE, file_id, number, STATEMENT_DATE, STATEMENT_DATE, ACCOUNT),
                *(amount, amount, PAYMENT_DATE, status),
            ),
        )
    return world, f"{file_id}:1"


def asked(world: World, line: str, by: str = "Alice Wu", on: date = PAYMENT_DATE) -> int:
    """Ask to take a line; return the decision."""
    return bank_lines.take(
        world.settings,
        line,
        taken_as="claim_on_bank",
        by=by,
        reason="the bank says it errs",
        effective_on=on,
    )


@pytest.mark.parametrize("other", SPELLINGS)
def test_one_person_is_one_however_the_name_is_written(world: World, other: str) -> None:
    assert people.is_same_person("Alice Wu", other)
    assert world.value("select control.person_key('Alice Wu') = control.person_key(%s)", (other,))
    assert not people.is_same_person("Bob Li", other)
    assert not world.value("select control.person_key('Bob Li') = control.person_key(%s)", (other,))


def test_two_people_take_a_line(lined: tuple[World, str]) -> None:
    world, name = lined
    (line,) = bank_lines.open_lines(world.settings)
    assert (line.name, line.unexplained_amount_minor) == (name, -70_000)
    assert line.decision_id is None
    decision_id = asked(world, name)
    (line,) = bank_lines.open_lines(world.settings)
    assert (line.decision_id, line.is_approved) == (decision_id, False)
    done = bank_lines.approve(world.settings, decision_id, by="Bob Li")
    assert (done.requested_by, done.approved_by) == ("Alice Wu", "Bob Li")
    assert (done.amount_minor, done.taken_as) == (-70_000, "claim_on_bank")
    assert done.effective_on == PAYMENT_DATE
    (line,) = bank_lines.open_lines(world.settings)
    assert line.is_approved
    with pytest.raises(TieoutError, match="taken already"):
        asked(world, name, by="Carol Xu")


@pytest.mark.parametrize("other", SPELLINGS)
def test_one_person_cannot_take_a_line_alone(lined: tuple[World, str], other: str) -> None:
    world, name = lined
    decision_id = asked(world, name)
    with pytest.raises(TieoutError, match="another person"):
        bank_lines.approve(world.settings, decision_id, by=other)
    # Nor by hand.
    with pytest.raises(psycopg.errors.RestrictViolation, match="another person"):
        world.execute(
            "insert into control.bank_line_approvals (decision_id, approved_by) values (%s, %s)",
            (decision_id, other),
        )
    assert bank_lines.decisions(world.settings)[0].approved_by is None


def test_a_line_is_taken_once(lined: tuple[World, str]) -> None:
    world, name = lined
    first, second = asked(world, name), asked(world, name, by="Carol Xu")
    bank_lines.approve(world.settings, first, by="Bob Li")
    with pytest.raises(TieoutError, match="taken already"):
        bank_lines.approve(world.settings, second, by="Bob Li")


def test_decisions_are_history(lined: tuple[World, str]) -> None:
    world, name = lined
    bank_lines.approve(world.settings, asked(world, name), by="Bob Li")
    for table in ("bank_line_decisions", "bank_line_approvals"):
        for statement in (
            f"update control.{table} set file_id = file_id",
            f"delete from control.{table}",
            f"truncate control.{table} cascade",
        ):
            with pytest.raises(psycopg.errors.RestrictViolation):
                world.execute(statement)


@pytest.mark.parametrize("nobody", ["", "  ", "\u200b"])
def test_nobody_is_no_person(lined: tuple[World, str], nobody: str) -> None:
    world, name = lined
    with pytest.raises(TieoutError, match="a name and a reason"):
        asked(world, name, by=nobody)
    decision_id = asked(world, name)
    with pytest.raises(psycopg.errors.RestrictViolation, match="nobody is named"):
        world.execute(
            "insert into control.bank_line_approvals (decision_id, approved_by) values (%s, %s)",
            (decision_id, nobody),
        )


def test_a_closed_date_takes_no_decision(lined: tuple[World, str]) -> None:
    world, name = lined
    decision_id = asked(world, name)
    with database.connect(world.settings) as connection:
        set_state(connection, PAYMENT_DATE, "closed")
    with pytest.raises(TieoutError, match="is closed"):
        asked(world, name, by="Carol Xu")
    with pytest.raises(TieoutError, match="is closed"):
        bank_lines.approve(world.settings, decision_id, by="Bob Li")
    # The next date that is open is proposed.
    assert bank_lines.next_effective_date(world.settings) == date(2026, 9, 29)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"line_number": 9}, "no bank line"),
        ({"booked_on": date(2026, 9, 27)}, "no bank line"),
        ({"bank_account_id": "6600100200300418"}, "no bank line"),
        ({"currency_code": "USD"}, "no bank line"),
        ({"amount_minor": -70_001}, "-70000 minor units"),
    ],
)
def test_the_database_knows_the_line(
    lined: tuple[World, str], values: dict[str, object], why: str
) -> None:
    world, name = lined
    row = {
        "file_id": name.split(":")[0],
        "line_number": 1,
        "booked_on": STATEMENT_DATE,
        "bank_account_id": ACCOUNT,
        "currency_code": "CNY",
        "line_kind": "unclassified",
        "amount_minor": -70_000,
        "taken_as": "own_error",
        "effective_on": PAYMENT_DATE,
        "reason": "because",
        "requested_by": "Alice Wu",
    }
    insert = (
        f"insert into control.bank_line_decisions ({', '.join(row)})"
        f" values ({', '.join(f'%({key})s' for key in row)})"
    )
    world.execute(insert, row)
    with pytest.raises(psycopg.errors.RestrictViolation, match=why):
        world.execute(insert, {**row, **values})


@pytest.mark.parametrize(
    ("line", "why"),
    [("nothing", "names no bank line"), ("f:1", "no unexplained bank line"), ("", "names no")],
)
def test_a_line_that_is_none(lined: tuple[World, str], line: str, why: str) -> None:
    with pytest.raises(TieoutError, match=why):
        bank_lines.line_history(lined[0].settings, line)


def test_what_is_explained_or_of_no_kind_is_not_taken(lined: tuple[World, str]) -> None:
    world, name = lined
    with pytest.raises(TieoutError, match="it was explained"):
        asked(world, name.replace(":1", ":2"))
    with pytest.raises(TieoutError, match="it is one of claim_on_bank"):
        bank_lines.take(world.settings, name, taken_as="gift", by="Alice Wu", reason="x")
    assert len(bank_lines.line_history(world.settings, name)) == 1
