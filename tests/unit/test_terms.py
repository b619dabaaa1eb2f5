"""Approvals of terms: two different people, an open date, and never changed again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import psycopg
import pytest

import payment_world
from day_states import set_state
from payment_world import PAYMENT_DATE, World
from tieout import database, payouts
from tieout.core import people
from tieout.decisions import terms
from tieout.decisions.terms import TermChange, TermsError, TwoPeople

CHANGE = f"payee:P000001/2:20260927:{'0' * 32}"
PEOPLE = TwoPeople("Zhou Min", "Wu Fang", "signed")
# Names that are one person's: case, width, blanks, what shows nothing.
SAME_AS_ALICE = (
    "alice",
    " A l i c e ",
    "ＡＬＩＣＥ",
    "Ali\u200bce",
    "Alice\u2060",
    "\ufeffAlice",
    "Al\u00adice",
    "Alice\u3164",
    "Alice\ufe0f",
    "Al\u034fice",
    "Alice\u202e",
    "Alice\u00a0",
)


def approve(world: World, first: str, second: str, on: date | None = PAYMENT_DATE) -> None:
    """Write a decision by SQL, as somebody would who goes around the program."""
    world.execute(
        "insert into control.term_approvals (subject, decision, approved_by_first,"
        " approved_by_second, reason, effective_on) values ('changes', 'approve', %s, %s, 'r', %s)",
        (first, second, on),
    )


@pytest.mark.parametrize("name", SAME_AS_ALICE)
def test_one_person_under_two_spellings_is_one_person(world: World, name: str) -> None:
    assert people.person_key(name) == people.person_key("Alice")
    assert world.value("select control.person_key(%s)", (name,)) == "alice"
    with pytest.raises(psycopg.errors.CheckViolation, match="two_different_people"):
        approve(world, "Alice", name)
    with pytest.raises(TermsError, match="two different people"):
        terms.approve_reference(world.settings, TwoPeople("Alice", name, "r"))
    approve(world, "Alice", "Alicia")
    assert people.person_key("Alicia") != people.person_key("Alice")


def test_a_name_of_nothing_visible_is_nobody(world: World) -> None:
    for name in ("", " ", "\u200b", "\u3164"):
        with pytest.raises(psycopg.errors.CheckViolation):
            approve(world, "Alice", name)
        with pytest.raises(TermsError):
            terms.approve_reference(world.settings, TwoPeople(name, "Alice", "r"))


def test_a_decision_takes_effect_on_an_open_date_only(world: World) -> None:
    closed = payment_world.ACCOUNTING_DATES[-1]
    with database.connect(world.settings) as connection:
        set_state(connection, closed, "closed")
    with pytest.raises(psycopg.errors.RestrictViolation, match="is closed"):
        approve(world, "Alice", "Bob", closed)
    approve(world, "Alice", "Bob")


def test_a_decision_says_at_once_what_it_is_about_and_stays(world: World) -> None:
    item = (
        "insert into control.term_approval_items (approval_id, change_id, effective_on, decision)"
        " select max(approval_id), %s, %s, 'approve' from control.term_approvals"
    )
    approve(world, "Alice", "Bob")
    with pytest.raises(psycopg.errors.RestrictViolation, match="takes no more changes"):
        world.execute(item, (CHANGE, PAYMENT_DATE))
    for statement in (
        "update control.term_approvals set reason = 'other'",
        "delete from control.term_approvals",
        "truncate control.term_approvals cascade",
        "truncate control.term_approval_items",
        "truncate control.reference_versions",
        "truncate payout.payee_returns",
    ):
        with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
            world.execute(statement)


def test_the_reference_data_is_one_number_over_every_row(world: World) -> None:
    approved = terms.approve_reference(world.settings, PEOPLE)
    assert terms.reference_differences(world.settings) == []
    world.execute("update reference.channels set arrival_lag_days = 0 where channel = 'wechat'")
    assert world.value("select control.reference_sha256()") != approved
    found = terms.reference_differences(world.settings)
    assert [
        (table, side, row["channel"], row["arrival_lag_days"]) for table, side, row in found
    ] == [
        ("channels", "approved", "wechat", 1),
        ("channels", "now", "wechat", 0),
    ]
    assert terms.approve_reference(world.settings, PEOPLE) != approved
    assert terms.reference_differences(world.settings) == []
    world.execute("update reference.channels set arrival_lag_days = 1 where channel = 'wechat'")
    assert len(terms.reference_differences(world.settings)) == 2, "the latest approval counts"
    assert terms.approve_reference(world.settings, PEOPLE) == approved


def test_a_table_that_is_added_changes_the_number(world: World) -> None:
    before = world.value("select control.reference_sha256()")
    world.execute("create table reference.more (name text)")
    assert world.value("select control.reference_sha256()") != before


def test_why_payouts_came_back_is_kept_by_payee(world: World, decide: Callable[[], None]) -> None:
    decide()
    payouts.instruct(world.settings, PAYMENT_DATE)
    payouts.submit(world.settings, PAYMENT_DATE)
    first, second, third = (f"A-{payment_world.statement_id(number)}-1" for number in (1, 2, 3))
    for attempt_id, number, status, on, reason in (
        (first, 3, "paid", "2026-09-28", "AC06"),
        (first, 4, "returned", "2026-09-29", "AC04"),
        (second, 3, "failed", "2026-09-28", None),
        (third, 3, "failed", "2026-09-28", "AC01"),
    ):
        world.execute(
            "insert into payout.attempt_events (attempt_id, event_no, status, business_date,"
            " reason_code) values (%s, %s, %s, %s, %s)",
            (attempt_id, number, status, on, reason),
        )
    assert world.rows(
        "select payee_id, payee_version, reason_code, returned_on, attempt_id"
        " from payout.payee_returns order by payee_id"
    ) == [
        ("P000001", 1, "AC04", date(2026, 9, 29), first),
        ("P000003", 1, "AC01", date(2026, 9, 28), third),
    ]


@pytest.fixture
def decide(world: World) -> Callable[[], None]:
    """Store a passed decision on the world's statements."""
    return lambda: world.execute(
        "insert into control.gate_decisions (payment_date, outcome, fingerprint,"
        " statements_covered, payout_amount_minor, decided_by) values (%s, 'passed',"
        " gate.statement_fingerprint(%s), 3, %s, 'test')",
        (PAYMENT_DATE, PAYMENT_DATE, sum(payment_world.PAYOUTS_MINOR)),
    )


def change(before: dict[str, object] | None, after: dict[str, object] | None) -> TermChange:
    """Return a change with these contents."""
    day = date(2026, 9, 27)
    return TermChange(
        day, CHANGE, "payee", "P/2", "A", "changed", "waiting", day, True, before, after
    )


def test_a_change_shows_what_differs() -> None:
    assert change({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}).differences() == {
        "b": (2, 3),
        "c": (None, 4),
    }
    assert change(None, {"a": 1}).differences() == {"a": (None, 1)}
    assert change({"a": 1}, None).differences() == {"a": (1, None)}


def test_nothing_closed_says_what_to_do(world: World) -> None:
    with pytest.raises(TermsError, match="no accounting date has been closed"):
        terms.changes(world.settings)
    with pytest.raises(TermsError, match="no accounting date has been closed"):
        terms.approve_first_date(world.settings, PEOPLE)
