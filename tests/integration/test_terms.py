"""Terms that pay more wait for two people: three accounting dates through the command line.

On the second date the platform's files set the first merchant's fees to nothing, make a net
merchant gross, bring a second payee for a third, and pay two others next day who were paid once a
month. None of it stops a date or pays anybody more, or earlier, before two people have approved it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tieout import database
from tieout.core.settings import Settings

from .conftest import served_home, tieout

pytestmark = pytest.mark.timeout(1800)

FIRST, SECOND, THIRD = "2026-09-24", "2026-09-25", "2026-09-26"
PAYMENT_DATE = "2026-09-28"
PEOPLE = ("--by", "Zhou Min", "--second", "Wu Fang", "--reason", "signed amendment")
CHEAPER, GROSS, TWO_PAYEES = "A000008", "A000007", "A000009"
MONTHLY, SOONER = "A000002", "A000010"  # of the first's change nobody decides

Row = dict[str, str]


def change(home: Path, kind: str, day: str, edit: Callable[[list[Row]], None]) -> None:
    """Rewrite a platform file of a date and its trailer."""
    stamp = day.replace("-", "")
    path = home / "inbox" / "platform" / stamp / f"{kind}_{stamp}.csv"
    *lines, trailer = path.read_text(encoding="utf-8").splitlines()
    rows = list(csv.DictReader(lines))
    count = len(rows)
    edit(rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    trailer = trailer.replace(f"#rows={count};", f"#rows={len(rows)};")
    path.write_text(f"{text.getvalue()}{trailer}\n", encoding="utf-8")


def free_of_charge(rows: list[Row]) -> None:
    """Set every fee of the merchant to nothing."""
    for row in rows:
        if row["contract_id"] == f"C{CHEAPER[1:]}-1":
            row |= {"fee_rate": "0", "fixed_fee_minor": "0", "minimum_fee_minor": "0"}


def gross(rows: list[Row]) -> None:
    """Bill the merchant's fees apart."""
    (row,) = [row for row in rows if row["account_id"] == GROSS]
    assert row["settlement_mode"] == "net"
    row["settlement_mode"] = "gross"


def monthly(rows: list[Row]) -> None:
    """Pay two merchants on the last working day of a month."""
    for row in rows:
        if row["account_id"] in {MONTHLY, SOONER}:
            row["settlement_cycle"] = "monthly:last"


def second_payee(rows: list[Row]) -> None:
    """Add a payee for an account that has one, in force since yesterday."""
    (row,) = [row for row in rows if row["account_id"] == TWO_PAYEES]
    rows.append({**row, "payee_id": "P990001", "effective_from": FIRST})


@pytest.fixture(scope="module")
def changed(prepared_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A home with three dates of files, the terms of the second and third changed, one closed."""
    home = tmp_path_factory.mktemp("terms") / "home"
    with served_home(prepared_home, home) as settings:
        done = tieout(
            home, "simulate", "--days", "3", "--transactions", "300", "--merchants", "10"
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        change(home, "contracts", FIRST, monthly)
        for day in (SECOND, THIRD):
            change(home, "fee_rates", day, free_of_charge)
            change(home, "contracts", day, gross)
            change(home, "payees", day, second_payee)
        done = tieout(home, "close", FIRST, "--to", SECOND)
        assert done.returncode == 0, done.stderr
        yield settings


def query(settings: Settings, text: str, *values: object) -> list[tuple[Any, ...]]:
    with database.connect(settings) as connection:
        return connection.execute(text, values).fetchall()


def fee_of(settings: Settings, account_id: str, day: str) -> tuple[int, int, str]:
    """Return a date's count of sales, their fees, and the settlement mode they cleared in."""
    ((count, fee_minor, mode),) = query(
        settings,
        "select count(*), sum(abs(fee_amount_minor)), min(settlement_mode)"
        " from clearing.clearing_entries where account_id = %s and accounting_date = %s"
        " and clearing_session_type = 'transaction'",
        account_id,
        day,
    )
    return count, int(fee_minor or 0), mode


def due_dates_of(settings: Settings, account_id: str, day: str) -> set[str]:
    """Return with which cycle and when a date's sales are due that are not due at once."""
    found = query(
        settings,
        "select distinct settlement_cycle || ' ' || due_on from clearing.due_dates"
        " where account_id = %s and accounting_date = %s",
        account_id,
        day,
    )
    return {str(text) for (text,) in found}


def waiting(settings: Settings, day: str) -> set[tuple[str, str]]:
    return {
        (str(kind), str(account))
        for kind, account in query(
            settings,
            "select term_kind, account_id from clearing.term_changes"
            " where accounting_date = %s and change_state = 'waiting'",
            day,
        )
    }


def test_a_change_that_pays_more_waits_and_stops_nothing(changed: Settings) -> None:
    assert waiting(changed, SECOND) == {
        ("fee_rate", CHEAPER),
        ("contract", GROSS),
        ("contract", MONTHLY),
        ("contract", SOONER),
        ("payee", TWO_PAYEES),
    }
    assert due_dates_of(changed, MONTHLY, SECOND) == {"monthly:last 2026-09-30"}, "as before"
    count, fee_minor, _ = fee_of(changed, CHEAPER, SECOND)
    assert count > 0
    assert fee_minor > 0, "priced as before"
    count, _, mode = fee_of(changed, GROSS, SECOND)
    assert count > 0
    assert mode == "net", "cleared as before"
    done = tieout(changed.home, "terms", "list")
    assert done.returncode == 0, done.stderr
    assert "settlement_mode net → gross" in done.stdout
    assert "settlement_cycle monthly:last → T+1" in done.stdout
    assert "approve --first-date" in done.stderr


@pytest.mark.parametrize(
    ("people", "on", "why"),
    [
        (("--by", "Zhou Min", "--second", "zhou\u200b min"), THIRD, "two different people"),
        (("--by", "Zhou Min", "--second", "Wu Fang"), SECOND, "is closed"),
    ],
)
def test_one_person_twice_and_a_closed_date_are_refused(
    changed: Settings, people: tuple[str, ...], on: str, why: str
) -> None:
    done = tieout(
        changed.home, "terms", "approve", CHEAPER, *people, "--reason", "why not", "--on", on
    )  # fmt: skip
    assert done.returncode == 1
    assert why in done.stderr
    assert query(changed, "select count(*) from control.term_approvals") == [(0,)]


def test_what_two_people_approved_counts_in_the_close_of_its_date(changed: Settings) -> None:
    done = tieout(changed.home, "terms", "approve", CHEAPER, *PEOPLE)
    assert done.returncode == 0, done.stderr
    done = tieout(changed.home, "terms", "reject", GROSS, *PEOPLE)
    assert done.returncode == 0, done.stderr
    done = tieout(changed.home, "terms", "approve", SOONER, *PEOPLE)
    assert done.returncode == 0, done.stderr
    done = tieout(changed.home, "close", THIRD)
    assert done.returncode == 0, done.stderr
    assert due_dates_of(changed, SOONER, THIRD) == set()
    assert due_dates_of(changed, MONTHLY, THIRD) == {"monthly:last 2026-09-30"}
    count, fee_minor, _ = fee_of(changed, CHEAPER, THIRD)
    assert count > 0
    assert fee_minor == 0
    count, _, mode = fee_of(changed, GROSS, THIRD)
    assert count > 0
    assert mode == "net", "rejected: the old terms stand"
    assert waiting(changed, THIRD) == {("contract", MONTHLY), ("payee", TWO_PAYEES)}


def test_nobody_is_paid_before_the_first_list_is_approved(changed: Settings) -> None:
    done = tieout(changed.home, "pay", PAYMENT_DATE)
    assert done.returncode != 0
    assert "terms_approved" in done.stderr
    states = query(
        changed, "select distinct payout_amount_minor from settlement.settlement_statements"
    )
    assert states == [(0,)]
    assert not list((changed.home / "outbox").rglob("pain001_*"))


def test_an_account_with_a_second_payee_is_withheld(changed: Settings) -> None:
    done = tieout(changed.home, "terms", "approve", "--first-date", *PEOPLE)
    assert done.returncode == 0, done.stderr
    done = tieout(changed.home, "pay", PAYMENT_DATE)
    assert done.returncode == 0, done.stderr
    states = dict(
        query(
            changed,
            "select account_id, string_agg(distinct payable_status, ',')"
            " from settlement.settlement_statements group by account_id",
        )
    )
    assert states[CHEAPER] == "payable"
    assert states[GROSS] == "payable"
    assert "payable" not in states[TWO_PAYEES]
    reasons = query(
        changed,
        "select account_id, withheld_reason from intermediate.int_settlement__account_payees"
        " where withheld_reason is not null",
    )
    assert reasons == [(TWO_PAYEES, "payee_unconfirmed")]
    assert query(changed, "select bool_and(holds) from gate.gate_checks") == [(True,)]


def test_nobody_is_paid_before_the_cycle_that_two_people_approved(changed: Settings) -> None:
    """What was cleared under a cycle is paid by it; what two people approved counts from then on.

    Both sold on each date; on Monday no more is paid than what arrived, or was due before.
    """
    found = query(
        changed,
        "select account_id, payable_status, payout_amount_minor > 0, not_due_amount_minor > 0,"
        " carried_forward_amount_minor >= not_due_amount_minor"
        " from settlement.settlement_statements where account_id = any(%s)"
        " and settlement_session_type = 'transaction' order by account_id",
        [MONTHLY, SOONER],
    )
    assert found == [
        (MONTHLY, "not_due", False, True, True),
        (SOONER, "payable", True, True, True),
    ]
    sums = query(
        changed,
        "select statements.not_due_amount_minor, sum(parts.not_due_amount_minor), min(due_on)"
        " from settlement.settlement_statements as statements"
        " inner join settlement.not_due as parts on statements.statement_id = parts.statement_id"
        " where statements.account_id = %s group by statements.not_due_amount_minor",
        SOONER,
    )
    assert [(int(total), str(due)) for stated, total, due in sums if stated == total] == [
        (int(stated), "2026-09-30") for stated, _, _ in sums
    ]


def test_two_people_confirm_the_payee(changed: Settings) -> None:
    done = tieout(changed.home, "terms", "approve", "payee:P990001/1", *PEOPLE)
    assert done.returncode == 0, done.stderr
    done = tieout(changed.home, "terms", "decisions")
    assert "payee:P990001/1" in done.stdout
    assert "Zhou Min and Wu Fang" in done.stdout
