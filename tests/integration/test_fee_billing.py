"""Fee bills over the end of a month, through the command line: billed, debited, collected, booked.

Three dates; the second payment date closes the books on what the first one's evening brought.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tieout import database
from tieout.core.settings import Settings
from tieout.runs import transform
from tieout.simulator import collection_answers

from .conftest import served_home, tieout
from .test_terms import Row, change, query

pytestmark = pytest.mark.timeout(1800)

FIRST, SECOND, DAY, NEXT = "2026-10-31", "2026-11-01", "2026-11-02", "2026-11-03"
PEOPLE = ("--by", "Zhou Min", "--second", "Wu Fang", "--reason", "signed contracts")
KINDS = ("paid", "part", "AM04", "silent")


def billed_apart(rows: list[Row]) -> None:
    """Bill the fees of every third merchant apart, by direct debit, and nobody else's by it."""
    for row in rows:
        if int(row["account_id"][1:]) % 3 == 0:
            row["settlement_mode"] = "gross"
        row["fee_collection_method"] = (
            "direct_debit" if row["settlement_mode"] == "gross" else "invoice"
        )


def force(settings: Settings, statement: str) -> None:
    """Change what no role may, as the administrator: the test's clock is one day."""
    with database.connect(settings) as connection:
        connection.execute(statement)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def collected(
    prepared_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Settings, dict[int, str]]]:
    """A home in which October's bills were debited; each of four bills with its answer."""
    home = tmp_path_factory.mktemp("bills") / "home"
    with served_home(prepared_home, home) as settings:

        def done(*arguments: str) -> None:
            ran = tieout(home, *arguments)
            assert ran.returncode == 0, ran.stderr

        size = ("--transactions", "150", "--merchants", "12")
        done("simulate", "--from", FIRST, "--days", "3", *size)
        for day in (FIRST, SECOND, DAY):
            change(home, "contracts", day, billed_apart)
        done("close", FIRST, "--to", SECOND)
        done("terms", "approve", "--first-date", *PEOPLE)
        done("pay", DAY)
        done("bills", "collect", DAY)
        debited = query(
            settings,
            "select bill_no, account_id from settlement.fee_bills"
            " where collection_method = 'direct_debit' and open_amount_minor > 0 order by bill_no",
        )
        assert len(debited) >= len(KINDS)
        kinds = {bill_no: kind for (bill_no, _), kind in zip(debited, KINDS, strict=False)}
        for bill_no, account_id in debited[: len(KINDS)]:
            enter_mandate(home, settings, account_id, bill_no)
        force(settings, "alter table settlement.issued_bills disable trigger all")
        force(settings, f"update settlement.issued_bills set due_on = '{DAY}'")
        force(settings, "alter table settlement.issued_bills enable trigger all")
        force(
            settings,
            "update reference.fee_collection_limits"
            " set mandate_notice_days = 0, answer_due_days = 0",
        )
        done("bills", "collect", DAY)
        answers = {f"FB{bill_no:08d}C01": kind for bill_no, kind in kinds.items()}
        (home / "truth" / "bank" / "collections.json").write_text(json.dumps(answers))
        assert collection_answers.answer(settings, date.fromisoformat(DAY)) == 1
        done("bills", "collect", DAY)
        # The gate of the next payment wants the reference data that two people approved.
        force(
            settings,
            "update reference.fee_collection_limits"
            " set mandate_notice_days = 7, answer_due_days = 2",
        )
        done("close", DAY)
        done("pay", NEXT)
        yield settings, kinds


def enter_mandate(home: Path, settings: Settings, account_id: str, number: int) -> None:
    (payee,) = query(
        settings,
        "select payee_id, payee_version from control.payee_versions where account_id = %s"
        " order by payee_version desc limit 1",
        account_id,
    )
    for arguments in (
        ("mandate", account_id, "--reference", f"MND{number}", "--payee", payee[0],
         "--payee-version", str(payee[1]), "--signed-on", "2026-10-01", "--by", "Zhou Min"),
        ("approve-mandate", newest_mandate(settings), "--by", "Wu Fang"),
    ):  # fmt: skip
        resolved = [each(0) if callable(each) else each for each in arguments]
        ran = tieout(home, "bills", *resolved)
        assert ran.returncode == 0, ran.stderr


def newest_mandate(settings: Settings) -> Any:
    """Return what asks for the newest mandate's number when it is needed."""
    return lambda _: str(
        query(settings, "select max(mandate_id) from settlement.mandate_requests")[0][0]
    )


def test_bills_are_october_s_fees_of_gross_merchants(
    collected: tuple[Settings, dict[int, str]],
) -> None:
    settings, _ = collected
    billed = query(
        settings,
        "select account_id, sum(fee_amount_minor)::bigint from settlement.fee_bill_lines"
        " group by account_id order by account_id",
    )
    cleared = query(
        settings,
        "select account_id, sum(fee_amount_minor)::bigint from clearing.clearing_entries"
        " where accounting_date = %s and settlement_mode = 'gross' and fee_amount_minor <> 0"
        " group by account_id order by account_id",
        FIRST,
    )
    assert len(billed) >= 4
    assert billed == cleared
    outbox = settings.home / "outbox"
    assert len(list((outbox / "notices" / "202610").glob("*.csv"))) == len(billed)


def test_each_answer_ends_as_it_was(collected: tuple[Settings, dict[int, str]]) -> None:
    settings, kinds = collected
    found = {
        bill_no: (status, collected_minor, open_minor, due)
        for bill_no, status, collected_minor, open_minor, due in query(
            settings,
            "select bill_no, status, collected_amount_minor, open_amount_minor, due_amount_minor"
            " from settlement.fee_bills",
        )
    }
    expected = {"paid": "paid", "part": "part_paid", "AM04": "failed", "silent": "unknown"}
    for bill_no, kind in kinds.items():
        status, collected_minor, open_minor, due = found[bill_no]
        assert status == expected[kind], kind
        share = {"paid": due, "part": due // 2}.get(kind, 0)
        assert (collected_minor, open_minor) == (share, due - share)
    truth = json.loads((settings.truth_dir / "bank" / "collections_answered.json").read_text())
    assert set(truth.values()) == set(KINDS)


def test_the_ledger_has_what_was_billed_is_under_way_and_came(
    collected: tuple[Settings, dict[int, str]],
) -> None:
    settings, kinds = collected
    balances = {
        (account, subledger): amount
        for account, subledger, amount in query(
            settings,
            "select ledger_account, subledger_id, closing_amount_minor"
            " from ledger.account_balances where accounting_date = %s",
            DAY,
        )
    }
    bills = query(
        settings,
        "select bill_no, account_id, due_amount_minor, collected_amount_minor,"
        " under_way_amount_minor from settlement.fee_bills",
    )
    for _, account_id, due, came, under_way in bills:
        assert balances.get(("billed_fee_receivable", account_id), 0) == due - came - under_way
    (fee_account,) = {key[1] for key in balances if key[0] == "fee_collections_in_transit"}
    silent = next(number for number, kind in kinds.items() if kind == "silent")
    (unknown,) = [row[4] for row in bills if row[0] == silent]
    assert balances["fee_collections_in_transit", fee_account] == unknown > 0
    came_in = query(
        settings,
        "select sum(amount_minor)::bigint from ledger.postings"
        " where accounting_date = %s and rule = 'bank_fee_collection.fee'",
        DAY,
    )
    assert came_in == [(sum(row[3] for row in bills),)]


def test_the_bank_journal_expected_what_the_fee_account_shows(
    collected: tuple[Settings, dict[int, str]],
) -> None:
    settings, kinds = collected
    found = dict(
        query(
            settings,
            "select match_id, variance_minor from reconciliation.bank_matches"
            " where payment_date = %s and match_id like %s",
            NEXT,
            "fee_collection:%",
        )
    )
    ids = {
        kind: f"fee_collection:FB{number:08d}C01/6600100200300418/CNY"
        for number, kind in kinds.items()
    }
    assert [found[ids[kind]] for kind in ("paid", "part", "AM04")] == [0, 0, 0]
    # Nobody knows yet: what was ordered and has not come stays open on our side.
    assert found[ids["silent"]] < 0


def test_a_second_run_changes_nothing(collected: tuple[Settings, dict[int, str]]) -> None:
    settings, _ = collected
    before = query(settings, "select * from settlement.collection_events order by 1, 2")
    ran = tieout(settings.home, "bills", "collect", DAY)
    assert ran.returncode == 0, ran.stderr
    assert "closed" in ran.stderr or "sealed" in ran.stderr
    assert query(settings, "select * from settlement.collection_events order by 1, 2") == before
    shown = tieout(settings.home, "bills", "list", "--on", NEXT)
    assert "part_paid" in shown.stdout
    assert "overdue on 2026-11-03" in shown.stderr


def test_a_line_that_was_changed_since_is_found(
    collected: tuple[Settings, dict[int, str]],
) -> None:
    settings, _ = collected
    names = (
        "assert_each_billed_fee_is_as_it_was_cleared assert_fee_bills_are_the_sum_of_their_lines"
    )
    dates = {"TIEOUT_PAYMENT_DATE": NEXT, "TIEOUT_PREVIOUS_PAYMENT_DATE": DAY}
    command = ["test", "--select", *names.split()]
    assert transform.run_dbt(settings, command, dates).failures == ()
    force(settings, "alter table settlement.billed_fees disable trigger all")
    force(
        settings,
        "update settlement.billed_fees set fee_amount_minor = fee_amount_minor + 1"
        " where bill_no = 1 and entry_id = (select min(entry_id) from settlement.billed_fees"
        " where bill_no = 1)",
    )
    found = {each.name for each in transform.run_dbt(settings, command, dates).failures}
    assert found == set(names.split())
