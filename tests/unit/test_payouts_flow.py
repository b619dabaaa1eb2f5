"""From a decision to paid: nothing is paid without a gate, nothing twice, nothing forgotten."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta

import psycopg
import pysequoia
import pytest
from lxml import etree

import payment_world
from payment_world import (
    ACCOUNT_NAMES,
    ACCOUNT_NUMBERS,
    PAYMENT_DATE,
    PAYOUTS_MINOR,
    World,
    decide,
)
from tieout import payouts
from tieout.core.errors import TieoutError
from tieout.files import archive
from tieout.landing import corrections, problem_files
from tieout.payouts import AnswersDue, pain001, pain002, states, submission
from tieout.simulator import bank, bank_answers

FIRST = f"{payment_world.statement_id(1)}-1"
TOTAL_MINOR = sum(PAYOUTS_MINOR)


@pytest.fixture
def submitted(world: World) -> World:
    """A world whose payments lie in the outbox."""
    decide(world)
    payouts.instruct(world.settings, PAYMENT_DATE)
    payouts.submit(world.settings, PAYMENT_DATE)
    return world


def history(world: World, end_to_end_id: str = FIRST) -> list[str]:
    """Return the states an attempt went through."""
    return [
        row[0]
        for row in world.rows(
            "select status from payout.attempt_events where attempt_id = %s order by event_no",
            (f"A-{end_to_end_id}",),
        )
    ]


def message_of(world: World) -> pain001.ReadBatch:
    """Return the only payment file as the bank reads it."""
    ((name, content),) = world.files("payouts").items()
    return pain001.read(content, name)


def report(world: World, name: str, change: Callable[[bytes], bytes] = bytes, **ids: str) -> None:
    """Put a status report of the bank into the inbox; ``ids`` are rejected with their code."""
    content = bank_answers.status_report(message_of(world), PAYMENT_DATE, dict(ids))
    folder = world.inbox / "bank" / f"{PAYMENT_DATE:%Y%m%d}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"pain002_{name}.xml").write_bytes(change(content))


def bank_line(
    world: World,
    amount_minor: int,
    day: date,
    *,
    end_to_end_id: str = FIRST,
    detail_minor: int | None = None,
    detail_charge_minor: int | None = None,
    **columns: object,
) -> None:
    """Land one bank line with one detail about the first payment."""
    file_id = payment_world.file_row(
        world, "bank", "camt053", day, file_name=f"camt053_{day}_{end_to_end_id}_{columns}"
    )
    line = {
        "file_id": file_id,
        "line_number": 1,
        "accounting_date": day,
        "statement_id": "S1",
        "bank_account_id": "6600100200300400",
        "statement_date": day,
        "booking_date": day,
        "currency_code": "CNY",
        "amount_minor": amount_minor,
        "is_reversal": False,
        "is_return": False,
        "detail_count": 1,
        **columns,
    }
    payment_world.partition(world, "bank_statement_lines", day)
    payment_world.partition(world, "bank_statement_line_details", day)
    world.execute(
        f"insert into raw.bank_statement_lines ({', '.join(line)})"
        f" values ({', '.join(['%s'] * len(line))})",
        list(line.values()),
    )
    world.execute(
        "insert into raw.bank_statement_line_details (file_id, line_number, accounting_date,"
        " detail_number, amount_minor, charge_amount_minor, end_to_end_id)"
        " values (%s, 1, %s, 1, %s, %s, %s)",
        (
            file_id,
            day,
            amount_minor if detail_minor is None else detail_minor,
            detail_charge_minor,
            end_to_end_id,
        ),
    )


# --- the gate stands before the money -------------------------------------------------------------


def test_a_date_without_a_decision_is_not_instructed(world: World) -> None:
    with pytest.raises(TieoutError, match="the gate has not decided"):
        payouts.instruct(world.settings, PAYMENT_DATE)


def test_a_date_that_failed_is_not_instructed(world: World) -> None:
    decide(world)
    decide(world, "failed")
    with pytest.raises(TieoutError, match="its latest gate decision is failed"):
        payouts.instruct(world.settings, PAYMENT_DATE)
    assert world.value("select count(*) from payout.instructions") == 0


def test_changed_statements_are_refused_by_the_database(world: World) -> None:
    decide(world)
    world.execute(
        "update settlement.settlement_statements set payout_amount_minor = 101,"
        " carried_forward_amount_minor = -1 where statement_id = %s",
        (payment_world.statement_id(2),),
    )
    with pytest.raises(TieoutError, match="not those the gate decided on"):
        payouts.instruct(world.settings, PAYMENT_DATE)
    assert world.value("select count(*) from payout.instructions") == 0


def test_an_instruction_by_hand_is_refused_by_the_database(world: World) -> None:
    decide(world, "failed")
    with pytest.raises(psycopg.errors.RestrictViolation, match="may not be paid"):
        world.execute(
            "insert into payout.instructions (instruction_id, statement_id, payment_date,"
            " account_id, payee_id, payee_version, currency_code, amount_minor, decision_id)"
            " values ('I-' || %(id)s, %(id)s, %(day)s, 'A000001', 'P000001', 1, 'CNY', 123456,"
            " (select max(decision_id) from control.gate_decisions))",
            {"id": payment_world.statement_id(1), "day": PAYMENT_DATE},
        )


def test_a_statement_changed_after_instruction_is_noticed(submitted: World) -> None:
    submitted.execute(
        "update settlement.settlement_statements set payout_amount_minor = 101"
        " where statement_id = %s",
        (payment_world.statement_id(2),),
    )
    decide(submitted)
    with pytest.raises(TieoutError, match="differ from their statements"):
        payouts.instruct(submitted.settings, PAYMENT_DATE)


# --- files ----------------------------------------------------------------------------------------


def test_instructions_are_the_payable_statements_once(world: World) -> None:
    decide(world)
    first = payouts.instruct(world.settings, PAYMENT_DATE)
    assert (first.created_count, first.instruction_count) == (3, 3)
    assert first.amounts_minor == (("CNY", TOTAL_MINOR),)
    second = payouts.instruct(world.settings, PAYMENT_DATE)
    assert (second.created_count, second.instruction_count) == (0, 3)


def test_a_payment_file_pays_the_instructions(submitted: World) -> None:
    batch = message_of(submitted)
    assert batch.message_id == "PO20260928-001-A1"
    assert batch.debtor_account_id == "6600100200300400"
    assert [payment.amount_minor for payment in batch.payments] == list(PAYOUTS_MINOR)
    assert [payment.account_number for payment in batch.payments] == list(ACCOUNT_NUMBERS)
    assert [payment.account_name for payment in batch.payments] == list(ACCOUNT_NAMES)
    assert history(submitted) == ["created", "submitted"]


def test_a_second_run_writes_the_same_bytes_and_pays_nothing_twice(submitted: World) -> None:
    before = submitted.files("")
    assert len(before) == 2
    again = payouts.submit(submitted.settings, PAYMENT_DATE)
    assert again.attempts_created == 0
    assert [file.is_new for file in again.files] == [False]
    assert submitted.files("") == before
    assert submitted.value("select count(*) from payout.attempts") == 3
    assert submitted.value("select count(*) from payout.attempt_events") == 6


def test_another_file_of_the_same_name_is_not_replaced(world: World) -> None:
    decide(world)
    payouts.instruct(world.settings, PAYMENT_DATE)
    path = world.outbox / submission.file_path(PAYMENT_DATE, "PO20260928-001-A1")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"something else")
    with pytest.raises(TieoutError, match="other content"):
        payouts.submit(world.settings, PAYMENT_DATE)
    assert path.read_bytes() == b"something else"
    assert history(world) == ["created"]


def test_a_file_the_bank_fetched_is_not_written_again(submitted: World) -> None:
    for path in (submitted.outbox / "payouts").rglob("*.xml"):
        path.unlink()
    payouts.submit(submitted.settings, PAYMENT_DATE)
    assert submitted.files("payouts") == {}


def test_a_second_attempt_while_one_is_live_is_refused_by_the_database(submitted: World) -> None:
    with pytest.raises(psycopg.errors.RestrictViolation, match="may still pay"):
        submitted.execute(
            "insert into payout.attempts values ('A-x', %s, 2, 'x', 'PO20260928-002-A2', %s)",
            (f"I-{payment_world.statement_id(1)}", PAYMENT_DATE),
        )


def test_more_payments_than_a_file_takes_make_more_files(world: World) -> None:
    world.execute("update reference.payout_rails set payments_per_file = 2")
    decide(world)
    payouts.instruct(world.settings, PAYMENT_DATE)
    report = payouts.submit(world.settings, PAYMENT_DATE)
    assert [file.payment_count for file in report.files] == [2, 1]
    assert sorted(world.files("payouts")) == [
        "pain001_PO20260928-001-A1.xml",
        "pain001_PO20260928-002-A1.xml",
    ]


def test_the_statements_file_is_masked_and_bilingual(submitted: World) -> None:
    ((name, content),) = submitted.files("statements").items()
    assert name == "settlement_statements_20260928.csv"
    text = content.decode("utf-8-sig")
    lines = text.split("\r\n")
    assert len(lines) == 4 + 2
    assert "payout_amount 出款金额" in lines[0]
    assert "1234.56" in lines[1]
    for number in ACCOUNT_NUMBERS:
        assert number not in text
        assert f",{'*' * 15}{number[-4:]}" in text


def test_account_numbers_are_clear_in_the_payment_file_only(submitted: World) -> None:
    tables = submitted.rows(
        "select table_schema || '.' || table_name from information_schema.tables"
        " where table_schema in ('payout', 'control', 'raw') and table_type = 'BASE TABLE'"
    )
    assert len(tables) > 10
    for (table,) in tables:
        dump = str(submitted.rows(f"select * from {table}"))
        for secret in (*ACCOUNT_NUMBERS, *ACCOUNT_NAMES):
            assert secret not in dump, table


# --- answers --------------------------------------------------------------------------------------


def test_the_bank_settles_and_rejects(submitted: World) -> None:
    report(submitted, "one", **{FIRST: "AC01"})
    outcome = payouts.apply_reports(submitted.settings, PAYMENT_DATE)
    assert outcome.problems == ()
    assert outcome.states == (("failed", 1), ("paid", 2))
    assert history(submitted) == ["created", "submitted", "failed"]
    assert (
        submitted.value("select reason_code from payout.attempt_events where status = 'failed'")
        == "AC01"
    )
    again = payouts.apply_reports(submitted.settings)
    assert (again.files_new, again.files_known, again.events) == (0, 1, ())


def test_a_group_rejection_rejects_all(submitted: World) -> None:
    def only_group(content: bytes) -> bytes:
        root = etree.fromstring(content.replace(b">ACCP<", b">RJCT<"))
        for information in root.findall(".//{*}OrgnlPmtInfAndSts"):
            information.getparent().remove(information)
        return bytes(etree.tostring(root))

    report(submitted, "group", only_group)
    assert payouts.apply_reports(submitted.settings).states == (("failed", 3),)


def test_acceptance_is_not_payment(submitted: World) -> None:
    report(submitted, "accepted", lambda content: content.replace(b">ACSC<", b">ACSP<"))
    assert payouts.apply_reports(submitted.settings).states == (("accepted", 3),)


@pytest.mark.parametrize(
    ("before", "after", "word"),
    [
        (b">ACSC<", b">ABCD<", "'ABCD' is not a known code"),
        (b">ACCP<", b">WHAT<", "'WHAT' is not a known code"),
        (b"<OrgnlNbOfTxs>3<", b"<OrgnlNbOfTxs>4<", "4 payments, it had 3"),
        (b"pain.002.001.10", b"pain.008.001.10", "not a pain.002"),
        (b"<OrgnlMsgId>PO20260928-001-A1<", b"<OrgnlMsgId>OTHER<", "never sent"),
    ],
)
def test_a_report_that_is_not_understood_changes_nothing(
    submitted: World, before: bytes, after: bytes, word: str
) -> None:
    report(submitted, "odd", lambda content: content.replace(before, after))
    outcome = payouts.apply_reports(submitted.settings)
    assert len(outcome.problems) == 1
    assert word in outcome.problems[0]
    assert history(submitted) == ["created", "submitted"]
    # It is put aside on record: told again, but no problem of a later run.
    later = payouts.apply_reports(submitted.settings)
    assert later.problems == ()
    assert len(later.files_put_aside) == 1
    assert word in later.files_put_aside[0]
    assert submitted.rows(
        "select status, file_kind from control.channel_files where file_name = 'pain002_odd.xml'"
    ) == [("quarantined", "pain002")]


def test_an_unknown_payment_is_listed_and_the_others_count(submitted: World) -> None:
    report(submitted, "alien", lambda content: content.replace(FIRST.encode(), b"ALIEN"))
    outcome = payouts.apply_reports(submitted.settings)
    assert "payment ALIEN is not in message" in outcome.problems[0]
    assert dict(outcome.states)["paid"] == 2


def test_a_report_of_another_amount_makes_the_payment_unknown(submitted: World) -> None:
    report(submitted, "amount", lambda content: content.replace(b">1234.56<", b">1234.55<"))
    outcome = payouts.apply_reports(submitted.settings)
    assert "reports 1234.55 CNY, we sent 1234.56 CNY" in outcome.problems[0]
    assert history(submitted) == ["created", "submitted", "unknown"]


def test_a_rejection_after_payment_is_told_and_kept_out(submitted: World) -> None:
    report(submitted, "one")
    report(submitted, "two", **{FIRST: "AC04"})
    outcome = payouts.apply_reports(submitted.settings)
    assert "reports failed for an attempt that is paid" in outcome.problems[0]
    assert history(submitted) == ["created", "submitted", "paid"]


def test_a_payment_after_a_rejection_is_history(submitted: World) -> None:
    report(submitted, "a", **{FIRST: "AC01"})
    report(submitted, "b")
    payouts.apply_reports(submitted.settings)
    assert history(submitted) == ["created", "submitted", "failed", "paid"]
    with pytest.raises(psycopg.errors.RestrictViolation, match="may still pay"):
        submitted.execute(
            "insert into payout.attempts values ('A-x', %s, 2, 'x', 'PO20260928-002-A2', %s)",
            (f"I-{payment_world.statement_id(1)}", PAYMENT_DATE),
        )


def test_a_missing_answer_is_unknown_and_is_resolved_by_the_statement(submitted: World) -> None:
    due = {"CNY": AnswersDue(PAYMENT_DATE, date(2026, 9, 25))}
    outcome = payouts.apply_reports(submitted.settings, PAYMENT_DATE, answers_due=due)
    assert dict(outcome.states) == {"unknown": 3}
    assert len(outcome.problems) == 3
    # Each later evening asks for it again, and sends nothing.
    again = payouts.apply_reports(submitted.settings, answers_due=due)
    assert (len(again.problems), again.events) == (3, ())
    bank_line(submitted, -PAYOUTS_MINOR[0], PAYMENT_DATE)
    assert dict(payouts.apply_reports(submitted.settings).states) == {"paid": 1, "unknown": 2}


def test_each_evening_names_each_unknown_payment_with_its_age(submitted: World) -> None:
    """However old it is, oldest first, until it has ended."""
    due = {"CNY": AnswersDue(PAYMENT_DATE, PAYMENT_DATE)}

    def evening(days: int) -> list[str]:
        day = PAYMENT_DATE + timedelta(days=days)
        report = payouts.apply_reports(submitted.settings, through_date=day, answers_due=due)
        return list(report.problems)

    first = evening(0)
    assert [text.split()[1] for text in first] == [
        f"{payment_world.statement_id(number)}-1" for number in (1, 2, 3)
    ]
    assert all("unknown 未决 since 2026-09-28, age 0 days" in text for text in first)
    for days in (1, 3, 35, 36, 400):
        told = evening(days)
        assert len(told) == 3, days
        assert all(f"since 2026-09-28, age {days} days" in text for text in told)
    # Of one payment date alone, too; not of another, nor before it was sent.
    alone = payouts.apply_reports(submitted.settings, PAYMENT_DATE, answers_due=due)
    assert len(alone.problems) == 3
    other = payouts.apply_reports(submitted.settings, date(2026, 9, 29), answers_due=due)
    assert other.problems == ()
    assert evening(-1) == []
    # One ends, and is named no more.
    submitted.execute(
        "insert into payout.attempt_events (attempt_id, event_no, status, business_date)"
        " select attempt_id, 4, 'paid', %s from payout.attempts where end_to_end_id = %s",
        (PAYMENT_DATE, FIRST),
    )
    assert [FIRST in text for text in evening(37)] == [False, False]


def test_a_return_follows_its_payment(submitted: World) -> None:
    bank_line(submitted, -PAYOUTS_MINOR[0], PAYMENT_DATE)
    bank_line(submitted, PAYOUTS_MINOR[0], date(2026, 9, 29), is_return=True)
    outcome = payouts.apply_reports(submitted.settings)
    assert outcome.problems == ()
    assert history(submitted) == ["created", "submitted", "paid", "returned"]
    assert payouts.apply_reports(submitted.settings).events == ()


# The bank credits a return less its charge of 5.00, and states the payout in one of these ways.
LESS_CHARGE = {
    "before the charge": {"detail_minor": PAYOUTS_MINOR[0], "detail_charge_minor": -500},
    "after the charge": {"detail_charge_minor": -500},
    "charge of the line": {"charge_amount_minor": -500},
}


@pytest.mark.parametrize("stated", LESS_CHARGE.values(), ids=LESS_CHARGE.keys())
def test_a_return_less_the_banks_charge_is_the_whole_payout(
    submitted: World, stated: dict[str, int]
) -> None:
    bank_line(submitted, -PAYOUTS_MINOR[0], PAYMENT_DATE)
    bank_line(submitted, PAYOUTS_MINOR[0] - 500, date(2026, 9, 29), is_return=True, **stated)
    assert payouts.apply_reports(submitted.settings).problems == ()
    assert history(submitted) == ["created", "submitted", "paid", "returned"]


def test_a_return_of_another_amount_is_told_every_day_and_stops_nobody(submitted: World) -> None:
    bank_line(submitted, -PAYOUTS_MINOR[0], PAYMENT_DATE)
    tomorrow = date(2026, 9, 29)
    bank_line(submitted, PAYOUTS_MINOR[0] - 500, tomorrow, is_return=True)
    second = f"{payment_world.statement_id(2)}-1"
    bank_line(submitted, -PAYOUTS_MINOR[1], tomorrow, end_to_end_id=second)
    for _ in range(2):
        outcome = payouts.apply_reports(submitted.settings)
        (problem,) = outcome.problems
        assert f"payment {FIRST}: 1229.56 CNY booked, 1234.56 CNY expected" in problem
        assert "next: tieout bank-lines show " in problem
        assert history(submitted) == ["created", "submitted", "paid"]
        assert history(submitted, second) == ["created", "submitted", "paid"]


def test_a_second_return_is_told_and_the_first_counts(submitted: World) -> None:
    bank_line(submitted, -PAYOUTS_MINOR[0], PAYMENT_DATE)
    for day in (date(2026, 9, 29), date(2026, 9, 30)):
        bank_line(submitted, PAYOUTS_MINOR[0], day, is_return=True)
    for _ in range(2):
        (problem,) = payouts.apply_reports(submitted.settings).problems
        assert f"payment {FIRST}: 1234.56 CNY came back a second time" in problem
        assert history(submitted) == ["created", "submitted", "paid", "returned"]


def test_a_second_debit_is_told(submitted: World) -> None:
    for day in (PAYMENT_DATE, date(2026, 9, 29)):
        bank_line(submitted, -PAYOUTS_MINOR[0], day)
    (problem,) = payouts.apply_reports(submitted.settings).problems
    assert "-1234.56 CNY was debited a second time" in problem


@pytest.mark.parametrize("end_to_end_id", ["STRANGER", None])
def test_a_return_of_no_payment_of_ours_is_told_and_stops_nobody(
    submitted: World, end_to_end_id: str | None
) -> None:
    bank_line(
        submitted,
        4_200,
        PAYMENT_DATE,
        end_to_end_id=end_to_end_id,  # type: ignore[arg-type]  some banks name none
        is_return=True,
    )
    bank_line(submitted, -PAYOUTS_MINOR[0], PAYMENT_DATE)
    for _ in range(2):
        (problem,) = payouts.apply_reports(submitted.settings).problems
        assert "42.00 CNY came back, and we never sent such a payment" in problem
        assert (end_to_end_id or "without an id") in problem
        assert history(submitted) == ["created", "submitted", "paid"]


def test_a_line_in_a_currency_nobody_knows_stops_nobody(submitted: World) -> None:
    bank_line(submitted, -PAYOUTS_MINOR[0], PAYMENT_DATE)
    bank_line(submitted, 7, date(2026, 9, 29), is_return=True, currency_code="XYZ")
    (problem,) = payouts.apply_reports(submitted.settings).problems
    assert "7 minor units XYZ booked, 1234.56 CNY expected" in problem
    assert history(submitted) == ["created", "submitted", "paid"]


def test_what_the_database_refuses_of_one_line_stops_no_other(submitted: World) -> None:
    second = f"{payment_world.statement_id(2)}-1"
    submitted.execute(
        "create function payout.refuse() returns trigger language plpgsql as $$ begin"
        " raise exception 'no' using errcode = 'restrict_violation'; end $$;"
        " create trigger refuse before insert on payout.attempt_events for each row"
        f" when (new.attempt_id = 'A-{FIRST}') execute function payout.refuse()"
    )
    bank_line(submitted, -PAYOUTS_MINOR[0], PAYMENT_DATE)
    bank_line(submitted, -PAYOUTS_MINOR[1], PAYMENT_DATE, end_to_end_id=second)
    (problem,) = payouts.apply_reports(submitted.settings).problems
    assert f"payment {FIRST}: the database refuses it" in problem
    assert history(submitted, second) == ["created", "submitted", "paid"]


def test_a_folder_of_no_date_stops_nobody(submitted: World) -> None:
    folder = submitted.inbox / "bank" / "20260931"
    folder.mkdir(parents=True)
    (folder / "pain002_x.xml").write_text("junk")
    bank_line(submitted, -PAYOUTS_MINOR[0], PAYMENT_DATE)
    assert payouts.apply_reports(submitted.settings).problems == ()
    assert history(submitted) == ["created", "submitted", "paid"]


def test_a_return_without_a_payment_is_told(submitted: World) -> None:
    bank_line(submitted, PAYOUTS_MINOR[0], PAYMENT_DATE, is_return=True)
    outcome = payouts.apply_reports(submitted.settings)
    assert "with no debit seen" in outcome.problems[0]
    assert history(submitted) == ["created", "submitted"]


def test_a_debit_of_another_amount_is_told(submitted: World) -> None:
    bank_line(submitted, -PAYOUTS_MINOR[0] - 1, PAYMENT_DATE)
    outcome = payouts.apply_reports(submitted.settings)
    assert "-1234.57 CNY booked, -1234.56 CNY expected" in outcome.problems[0]
    assert history(submitted) == ["created", "submitted"]


def test_lines_of_a_file_that_did_not_land_do_not_count(submitted: World) -> None:
    bank_line(submitted, -PAYOUTS_MINOR[0], PAYMENT_DATE)
    submitted.execute(
        "update control.channel_files set status = 'superseded' where file_kind = 'camt053'"
    )
    payment_world.file_row(submitted, "bank", "camt053", PAYMENT_DATE, file_name="camt053_other")
    payouts.apply_reports(submitted.settings)
    assert history(submitted) == ["created", "submitted"]


def later_report(world: World, day: date, created: str) -> None:
    """Put an empty report of ``day`` into the inbox that answers our message."""
    content = bank_answers.status_report(message_of(world), day, {})
    root = etree.fromstring(content)
    for information in root.findall(".//{*}OrgnlPmtInfAndSts"):
        information.getparent().remove(information)
    root.find(".//{*}GrpSts").text = "PART"
    root.find(".//{*}CreDtTm").text = created
    folder = world.inbox / "bank" / f"{day:%Y%m%d}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pain002_later.xml").write_bytes(etree.tostring(root))


@pytest.mark.parametrize("through_date", [None, PAYMENT_DATE])
def test_a_report_of_2099_blinds_no_run(submitted: World, through_date: date | None) -> None:
    later_report(submitted, date(2099, 1, 1), "2099-01-01T16:00:00+08:00")
    payouts.apply_reports(submitted.settings, through_date=through_date)
    bank_line(submitted, -PAYOUTS_MINOR[0], PAYMENT_DATE)
    outcome = payouts.apply_reports(submitted.settings, through_date=through_date)
    assert history(submitted) == ["created", "submitted", "paid"]
    assert outcome.problems == ()
    waiting = 1 if through_date else 0
    assert outcome.files_later == waiting
    landed = submitted.value(
        "select count(*) from control.channel_files where file_kind = 'pain002'"
    )
    assert landed == 1 - waiting


def test_a_report_written_after_the_run_waits_for_its_date(submitted: World) -> None:
    later_report(submitted, PAYMENT_DATE, "2026-09-29T08:00:00+08:00")
    outcome = payouts.apply_reports(submitted.settings, through_date=PAYMENT_DATE)
    assert (outcome.files_new, outcome.files_later) == (0, 1)
    assert "1 reports of later dates wait" in str(outcome)
    outcome = payouts.apply_reports(submitted.settings, through_date=date(2026, 9, 29))
    assert (outcome.files_new, outcome.files_later) == (1, 0)


def test_a_statement_of_a_later_date_waits_for_it(submitted: World) -> None:
    tomorrow = date(2026, 9, 29)
    bank_line(submitted, -PAYOUTS_MINOR[0], tomorrow)
    payouts.apply_reports(submitted.settings, through_date=PAYMENT_DATE)
    assert history(submitted) == ["created", "submitted"]
    payouts.apply_reports(submitted.settings, through_date=tomorrow)
    assert history(submitted) == ["created", "submitted", "paid"]


def test_a_booking_dated_after_its_statement_is_of_the_statement(submitted: World) -> None:
    bank_line(submitted, -PAYOUTS_MINOR[0], PAYMENT_DATE, booking_date=date(2099, 1, 1))
    payouts.apply_reports(submitted.settings, through_date=PAYMENT_DATE)
    assert submitted.rows(
        "select business_date from payout.attempt_events where status = 'paid'"
    ) == [(PAYMENT_DATE,)]


def test_a_junk_report_is_put_aside_and_the_rest_goes_on(submitted: World) -> None:
    report(submitted, "a_junk", lambda _: b"junk")
    report(submitted, "good")
    first = payouts.apply_reports(submitted.settings)
    assert dict(first.states) == {"paid": 3}
    assert len(first.problems) == len(first.files_put_aside) == 1
    assert "tieout quarantine show" in first.problems[0]
    later = payouts.apply_reports(submitted.settings)
    assert (later.problems, len(later.files_put_aside)) == ((), 1)
    file_id = submitted.value(
        "select file_id from control.channel_files where status = 'quarantined'"
    )
    corrections.reject(submitted.settings, file_id, decided_by="Alice", reason="not ours")
    last = payouts.apply_reports(submitted.settings)
    assert (last.problems, last.files_put_aside, last.files_known) == ((), (), 2)
    assert problem_files(submitted.settings, PAYMENT_DATE) == ()


def test_a_report_put_aside_counts_once_it_can_be_read(submitted: World) -> None:
    """What kept it out may have been a rule of ours."""
    report(submitted, "odd", lambda content: content.replace(b">ACSC<", b">ABCD<"))
    payouts.apply_reports(submitted.settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pain002, "TRANSACTION_STATES", {"ABCD": "paid"})
        outcome = payouts.apply_reports(submitted.settings)
    assert (dict(outcome.states), outcome.files_put_aside) == ({"paid": 3}, ())
    again = payouts.apply_reports(submitted.settings)
    assert (again.files_known, again.events) == (1, ())


def test_a_currency_without_an_answer_time_is_told(submitted: World) -> None:
    outcome = payouts.apply_reports(submitted.settings, answers_due={})
    assert outcome.states == (("submitted", 3),)
    assert outcome.problems == (
        "reference.bank_answer_times does not say by when payouts in CNY are answered",
    )


def test_a_report_that_came_under_another_name_counts_under_its_own(submitted: World) -> None:
    report(submitted, "named")
    (path,) = (submitted.inbox / "bank").rglob("pain002_named.xml")
    content = path.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    submitted.execute(
        "insert into control.channel_files (file_id, file_name, file_url, sha256, size_bytes,"
        " status, reason) values (%s, 'report.xml', 'file:///inbox/report.xml', %s, %s,"
        " 'unrecognised', 'unknown')",
        (sha256[:16], sha256, len(content)),
    )
    assert dict(payouts.apply_reports(submitted.settings).states) == {"paid": 3}
    assert submitted.rows(
        "select file_name, file_kind, status from control.channel_files"
        f" where file_id = '{sha256[:16]}'"
    ) == [("pain002_named.xml", "pain002", "landed")]


def test_a_line_two_people_took_is_no_problem_any_more(submitted: World) -> None:
    bank_line(submitted, -PAYOUTS_MINOR[0] - 1, PAYMENT_DATE)
    assert len(payouts.apply_reports(submitted.settings).problems) == 1
    submitted.execute(
        "insert into control.bank_line_decisions (file_id, line_number, booked_on, bank_account_id,"
        " currency_code, line_kind, amount_minor, taken_as, effective_on, reason, requested_by)"
        " select file_id, line_number, accounting_date, bank_account_id, currency_code,"
        " 'payout_debit', amount_minor, 'claim_on_bank', accounting_date, 'x', 'Alice'"
        " from raw.bank_statement_lines"
    )
    assert len(payouts.apply_reports(submitted.settings).problems) == 1
    submitted.execute(
        "insert into control.bank_line_approvals (decision_id, approved_by)"
        " select decision_id, 'Bob' from control.bank_line_decisions"
    )
    assert payouts.apply_reports(submitted.settings).problems == ()
    assert history(submitted) == ["created", "submitted"]


@pytest.mark.parametrize(
    ("code", "answered", "ended", "expected"),
    [
        (None, date(2026, 9, 27), date(2026, 9, 27), "submitted"),
        (None, PAYMENT_DATE, date(2026, 9, 27), "unknown"),
        (b">ACSP<", PAYMENT_DATE, date(2026, 9, 27), "accepted"),
        (b">ACSP<", PAYMENT_DATE, PAYMENT_DATE, "unknown"),
        (b">ACSC<", PAYMENT_DATE, PAYMENT_DATE, "paid"),
    ],
)
def test_silence_becomes_unknown_when_the_answer_is_due(
    submitted: World, code: bytes | None, answered: date, ended: date, expected: str
) -> None:
    if code is not None:
        report(submitted, "one", lambda content: content.replace(b">ACSC<", code))
    files = submitted.files("payouts")
    due = {"CNY": AnswersDue(answered, ended), "USD": AnswersDue(date.max, date.max)}
    outcome = payouts.apply_reports(submitted.settings, through_date=PAYMENT_DATE, answers_due=due)
    assert dict(outcome.states) == {expected: 3}
    assert len(outcome.problems) == (3 if expected == "unknown" else 0)
    assert all("never send it again" in problem for problem in outcome.problems)
    assert submitted.files("payouts") == files


def test_the_database_knows_the_same_transitions(world: World) -> None:
    stored = {
        (None if before == "none" else before, after)
        for before, after in world.rows(
            "select from_status, to_status from payout.attempt_transitions"
        )
    }
    table = {(before, after) for before, afters in states.TRANSITIONS.items() for after in afters}
    assert stored == table


# --- the simulated bank ---------------------------------------------------------------------------


@pytest.fixture
def banked(submitted: World) -> World:
    """A submitted world beside which a simulated bank keeps its books."""
    arrival = bank.BankLine(20_000_000, "中国银联股份有限公司", "UPSETTLE 20260928")
    planned = [(PAYMENT_DATE, [arrival], 0), (date(2026, 9, 29), [arrival], 0)]
    bank.open_books(submitted.settings.truth_dir, "test", 0, planned)
    return submitted


def test_the_bank_answers_once(banked: World) -> None:
    first = bank_answers.answer(banked.settings, PAYMENT_DATE)
    assert (first.files_answered, first.settled_count) == (1, 3)
    assert first.settled_amount_minor == TOTAL_MINOR
    folder = banked.inbox / "bank" / "20260928"
    names = sorted(path.name for path in folder.iterdir())
    assert names == [
        "camt053_6600100200300400_20260928_1.xml",
        "camt053_6600100200300400_20260928_2.xml",
        "pain002_PO20260928-001-A1.xml",
    ]
    assert first.delivered == ("bank/20260929/camt053_6600100200300400_20260929_1.xml",)
    before = {path: path.read_bytes() for path in banked.inbox.rglob("*.xml")}
    again = bank_answers.answer(banked.settings, PAYMENT_DATE)
    assert (again.files_answered, again.files_known) == (0, 1)
    assert {path: path.read_bytes() for path in banked.inbox.rglob("*.xml")} == before
    balance = bank.closing_balance(banked.settings.truth_dir)
    assert balance == 2 * 20_000_000 - TOTAL_MINOR


def test_the_answers_come_back_as_paid(banked: World) -> None:
    bank_answers.answer(banked.settings, PAYMENT_DATE)
    outcome = payouts.apply_reports(banked.settings, PAYMENT_DATE)
    assert outcome.problems == ()
    assert outcome.states == (("paid", 3),)


def test_the_bank_can_reject_keep_silent_and_return(banked: World) -> None:
    second, third = (f"{payment_world.statement_id(number)}-1" for number in (2, 3))
    (banked.settings.truth_dir / "bank" / "answers.json").write_text(
        json.dumps({"reject": {FIRST: "AC01"}, "silent": [second], "return": {third: "AC04"}})
    )
    report = bank_answers.answer(banked.settings, PAYMENT_DATE)
    assert (report.settled_count, report.rejected_count) == (1, 1)
    due = {"CNY": AnswersDue(PAYMENT_DATE, PAYMENT_DATE)}
    outcome = payouts.apply_reports(banked.settings, answers_due=due)
    assert dict(outcome.states) == {"failed": 1, "unknown": 1, "paid": 1}
    assert len(list((banked.inbox / "bank" / "20260928").glob("camt053_*"))) == 3
    balance = bank.closing_balance(banked.settings.truth_dir)
    assert balance == 2 * 20_000_000


def test_a_home_without_a_simulated_bank_is_left_alone(submitted: World) -> None:
    assert bank_answers.answer(submitted.settings, PAYMENT_DATE).files_answered == 0
    assert not (submitted.inbox / "bank").exists()


@pytest.mark.parametrize("code", sorted(pain002.TRANSACTION_STATES))
def test_every_status_code_has_a_meaning_of_its_own(code: str) -> None:
    state = pain002.TRANSACTION_STATES[code]
    assert state is None or state in states.STATES
    assert (state == "paid") == (code in {"ACSC", "ACCC"})
    assert (state == "failed") == (code == "RJCT")


# --- the door of every file ---------------------------------------------------------------------


def test_an_encrypted_report_is_read(submitted: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = pysequoia.Tsk.generate("us <us@example.org>")
    report(submitted, "secret")
    plain = submitted.inbox / "bank" / f"{PAYMENT_DATE:%Y%m%d}" / "pain002_secret.xml"
    sealed = pysequoia.encrypt(bytes=plain.read_bytes(), recipients=[ours.extract_certificate()])
    plain.with_name("pain002_secret.xml.pgp").write_bytes(sealed)
    plain.unlink()
    first = payouts.apply_reports(submitted.settings)
    assert "no private key is configured" in first.problems[0]
    assert dict(first.states) == {"submitted": 3}
    # Once the key is there it is read, and what could not be opened waits for nobody.
    monkeypatch.setenv("TIEOUT_PGP_KEY", str(ours))
    then = payouts.apply_reports(submitted.settings)
    assert (dict(then.states), then.problems, then.files_put_aside) == ({"paid": 3}, (), ())
    assert submitted.rows(
        "select status from control.channel_files where file_kind = 'pain002' order by status"
    ) == [("landed",), ("superseded",)]
    last = payouts.apply_reports(submitted.settings)
    assert (last.files_new, last.problems, last.files_put_aside) == (0, (), ())


def test_a_report_put_aside_is_kept_and_counts_once_it_is_released(
    submitted: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    report(submitted, "early")
    path = submitted.inbox / "bank" / f"{PAYMENT_DATE:%Y%m%d}" / "pain002_early.xml"
    content = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(pain002, "TRANSACTION_STATES", {})
        payouts.apply_reports(submitted.settings)
    file_id, sha256 = submitted.rows(
        "select file_id, sha256 from control.channel_files where status = 'quarantined'"
    )[0]
    assert archive.read(submitted.settings, sha256) == content
    corrections.reject(submitted.settings, file_id, decided_by="Alice", reason="not ours")
    path.unlink()
    assert dict(payouts.apply_reports(submitted.settings).states) == {"submitted": 3}
    released = corrections.release(
        submitted.settings, file_id, decided_by="Bob", reason="it is ours after all"
    )
    assert "tieout outcomes" in (released.outcome.reason or "")
    counted = payouts.apply_reports(submitted.settings)
    assert (dict(counted.states), counted.problems) == ({"paid": 3}, ())
    assert submitted.rows(
        "select action, status_before, status_after from control.file_decisions order by 1"
    ) == [("reject", "quarantined", "refused"), ("release", "refused", "quarantined")]


def test_a_report_that_is_too_large_is_not_read(submitted: World) -> None:
    report(submitted, "large", lambda content: content + b" " * 10_000)
    small = replace(submitted.settings, max_file_bytes=10_000)
    first = payouts.apply_reports(small)
    assert "more than TIEOUT_MAX_FILE_BYTES" in first.problems[0]
    assert dict(first.states) == {"submitted": 3}
    assert payouts.apply_reports(small).problems == ()


def test_a_second_report_of_a_name_waits_for_a_person(submitted: World) -> None:
    report(submitted, "one")
    payouts.apply_reports(submitted.settings)
    report(submitted, "one", lambda content: content + b"\n")
    second = payouts.apply_reports(submitted.settings)
    assert "has counted under this name" in second.problems[0]
    assert payouts.apply_reports(submitted.settings).problems == ()
    ((file_id,),) = submitted.rows(
        "select file_id from control.channel_files where status = 'conflict'"
    )
    corrections.release(submitted.settings, file_id, decided_by="Bob", reason="the bank says so")
    last = payouts.apply_reports(submitted.settings)
    assert (last.files_new, last.problems, last.files_put_aside) == (1, (), ())
