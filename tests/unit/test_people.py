"""Who is the same person: one answer, in Python and in the database, for every two-person decision.

Only typed names: letters of two alphabets that look alike stay two people until there are logins.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import psycopg
import pytest

import payment_world
from payment_world import PAYMENT_DATE, PAYOUTS_MINOR, Finding, World
from tieout import database, gate
from tieout.core import people
from tieout.core.errors import TieoutError
from tieout.decisions import suspense

OPEN_DATE = date(2026, 10, 9)
# One person, as keyboards, forms and copied cells write the name.
SPELLINGS = {
    "case": "zOË GROSS",
    "trailing blank": "Zoë Gross ",
    "no-break space": "Zoë\u00a0Gross\u00a0",
    "blanks of paper": "\u3000Zoë\u2003Gross\u2028",
    "zero width": "Zo\u200bë Gro\u200dss\ufeff",
    "full width": "Ｚｏë Ｇｒｏｓｓ",
    "letters apart": "Zoe\u0308 Gross",
    "apart by nothing": "Zoe\u200b\u0308 Gross",
    "sharp s": "Zoë Groß",
    "capital sharp s": "ZOË GROẞ",
    "long s": "Zoë Groſs",
    "tags": "Zoë Gross\U000e0041\U000e007f",
    "variation": "Zoë Gross\U000e0100\ufe0f",
    "direction": "\u202eZoë Gross\u2069",
    "control": "Zoë\u0007 \u0085Gross\t",
}
OTHERS = ("Zoe Gross", "Zoë Grosz", "Zоë Gross", "周敏")  # the o of the third is Cyrillic
NOBODY = ("", " ", "\u200b", "\u00a0\u3164", "\U000e0041")


def release(world: World, first: str, second: str) -> None:
    """Release by SQL, as somebody would who goes around the program."""
    world.execute(
        "insert into control.gate_decisions (payment_date, outcome, fingerprint,"
        " statements_covered, payout_amount_minor, decided_by, released_by_first,"
        " released_by_second, release_reason)"
        " values (%s, 'released', gate.statement_fingerprint(%s), 3, %s, 'x', %s, %s, 'r')",
        (PAYMENT_DATE, PAYMENT_DATE, sum(PAYOUTS_MINOR), first, second),
    )


def dispose(world: World, first: str, second: str, kind: str = "write_off") -> None:
    """Decide about an item, or about a suspended adjustment, by SQL."""
    item, account = ("S:1", None) if kind == "write_off" else ("A:1", "A000001")
    with database.connect(world.settings) as connection:
        row = connection.execute(
            "insert into reconciliation.actions (action_kind, suspense_item_id, account_id,"
            " effective_on, reason, requested_by) values (%s, %s, %s, %s, 'r', %s)"
            " returning action_id",
            (kind, item, account, OPEN_DATE, first),
        ).fetchone()
        connection.execute(
            "insert into reconciliation.action_approvals (action_id, approved_by) values (%s, %s)",
            (row and row[0], second),
        )


def charge(world: World, first: str, second: str) -> None:
    dispose(world, first, second, "charge")


def approve_terms(world: World, first: str, second: str) -> None:
    world.execute(
        "insert into control.term_approvals (subject, decision, approved_by_first,"
        " approved_by_second, reason, effective_on) values ('changes', 'approve', %s, %s, 'r', %s)",
        (first, second, OPEN_DATE),
    )


DECISIONS: dict[str, Callable[[World, str, str], None]] = {
    "release": release,
    "item": dispose,
    "suspended adjustment": charge,
    "terms": approve_terms,
}


@pytest.fixture
def failed(world: World, finding: Finding) -> World:
    """A world whose gate failed, so that two people may release it."""
    finding.failures = (gate.Failure("gate_equation", "zero", "x", "residual", "-1", "CNY", "x"),)
    assert not gate.decide(world.settings, PAYMENT_DATE).passed
    return world


def test_python_and_the_database_compare_alike(world: World) -> None:
    key = people.person_key("Zoë Gross")
    for name in SPELLINGS.values():
        by_sql = world.value("select control.person_key(%s)", (name,))
        assert (ascii(name), people.person_key(name), by_sql) == (ascii(name), key, key)
    for other in OTHERS:
        assert people.person_key(other) == world.value("select control.person_key(%s)", (other,))
        assert people.person_key(other) != key


def refused(decide: Callable[[], None]) -> str | None:
    """Return what the database says against a decision."""
    try:
        decide()
    except (psycopg.errors.CheckViolation, psycopg.errors.RestrictViolation) as error:
        return str(error)
    return None


@pytest.mark.parametrize("decide", DECISIONS.values(), ids=DECISIONS)
def test_one_person_under_two_spellings_decides_nothing(
    failed: World, decide: Callable[[World, str, str], None]
) -> None:
    for kind, name in SPELLINGS.items():
        said = refused(lambda name=name: decide(failed, "Zoë Gross", name))  # type: ignore[misc]
        assert said is not None, kind
        assert any(words in said for words in ("two_people", "two_different", "another")), kind
    for name in NOBODY:
        for names in ((name, "Zoë Gross"), ("Zoë Gross", name)):
            said = refused(lambda names=names: decide(failed, *names))  # type: ignore[misc]
            assert said is not None, ascii(names)
            assert "violates check constraint" in said or "nobody is named" in said
    decide(failed, "Zoë Gross", "周敏")


def test_the_program_releases_for_two_people_only(failed: World) -> None:
    for name in (*SPELLINGS.values(), *NOBODY):
        with pytest.raises(TieoutError, match=r"two different people|nobody is named"):
            payment_world.release(failed.settings, PAYMENT_DATE, "Zoë Gross", name, "late line")
    decision = payment_world.release(
        failed.settings, PAYMENT_DATE, "Zoë Gross", "周敏", "late line"
    )
    assert decision.outcome == "released"


def test_the_program_says_who_asked(world: World) -> None:
    action_id = world.value(
        "insert into reconciliation.actions (action_kind, suspense_item_id, effective_on, reason,"
        " requested_by) values ('write_off', 'S:1', %s, 'r', 'Zoë Gross') returning action_id",
        (OPEN_DATE,),
    )
    with pytest.raises(suspense.SuspenseError, match="asked for by Zoë Gross: another person"):
        suspense.approve(world.settings, int(action_id), by="ZOË\u00a0GROSS")


def test_what_shows_nothing_is_one_list(world: World) -> None:
    """Every letter but those that no text can hold: what one side leaves out, the other does."""
    rows = world.rows(
        "select number from generate_series(1, 1114111) as numbers (number)"
        " where number not between 55296 and 57343"
        " and control.person_key('a' || chr(number) || 'b') = 'ab'"
    )
    by_sql = {int(number) for (number,) in rows}
    by_python = {
        number
        for number in range(1, 0x110000)
        if not 0xD800 <= number <= 0xDFFF and people.person_key(f"a{chr(number)}b") == "ab"
    }
    assert len(by_sql) > 4_000
    assert by_sql == by_python


def test_letters_of_the_alphabets_people_write_in_fold_alike(world: World) -> None:
    """Latin, Greek, Cyrillic, Armenian, half and full width."""
    ranges = ((0x20, 0x250), (0x386, 0x557), (0x1E00, 0x1F00), (0xFF00, 0xFFF0))
    letters = [chr(number) for first, last in ranges for number in range(first, last)]
    rows = world.rows(
        "select letter, control.person_key(letter)"
        f" from unnest(array[{', '.join(['%s'] * len(letters))}]) as letters (letter)",
        letters,
    )
    assert {letter: key for letter, key in rows if key != people.person_key(letter)} == {}
