"""`tieout payouts`, inquiries, and a payment that came back and is paid again, step by step."""

from __future__ import annotations

import csv
import io
import json
from datetime import date, timedelta

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

import payment_world
import payouts_again
from payment_world import PAYMENT_DATE, PAYOUTS_MINOR, World
from payouts_again import NEXT_DAY, attempt_id, event, line, payee, statement
from tieout import database, payouts
from tieout.commands import overview, shared
from tieout.commands import payouts as command
from tieout.dates import days
from tieout.payouts import AnswersDue, pain001
from tieout.runs import answers
from tieout.runs.steps import Step
from tieout.simulator import bank, bank_answers

STATEMENT = payment_world.statement_id(1)
FIRST = f"{STATEMENT}-1"
AMOUNT = PAYOUTS_MINOR[0]
WHO = ("--by", "Zhou Min", "--reason", "the payee asked")
OTHER = ("--by", "Wu Fang", "--reason", "no doubt")
THIRD_DAY = NEXT_DAY + timedelta(days=1)


@pytest.fixture
def sent(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Three payments at the bank, in the home that commands work on."""
    database.make_logins(world.settings)
    payouts_again.submit(world)
    monkeypatch.setattr(shared, "home", lambda: world.settings)
    return world


def tieout(*arguments: str) -> Result:
    return CliRunner().invoke(command.app, list(arguments))


def done(*arguments: str) -> str:
    result = tieout(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


def silent(world: World, day: date = PAYMENT_DATE) -> None:
    """Have the bank say nothing until it is due."""
    due = {"CNY": AnswersDue(PAYMENT_DATE, PAYMENT_DATE)}
    payouts.apply_reports(world.settings, through_date=day, answers_due=due)


# --- the command ----------------------------------------------------------------------------------


def test_the_list_has_what_is_not_paid_with_its_age(sent: World) -> None:
    payouts_again.fail(sent)
    listed = json.loads(done("list", "--on", "2026-10-05", "--json"))
    (one,) = [payout for payout in listed if not payout["is_overdue"]]
    assert (one["statement_id"], one["state"], one["age_days"]) == (STATEMENT, "failed", 7)
    assert (one["reason_code"], one["policy"], one["amount_minor"]) == ("AM04", "retry", AMOUNT)
    shown = done("list", "--on", "2026-10-05")
    assert "1,234.56 CNY" in shown
    assert "1 failed, 2 submitted" in shown
    assert (
        len(json.loads(done("list", "--state", "submitted", "--json", "--on", "2026-09-28"))) == 2
    )
    wrong = tieout("list", "--state", "lost", "--on", "2026-09-28")
    assert "payouts are not 'lost'" in str(wrong.exception)


def test_what_is_not_answered_when_it_is_due_is_listed_whether_or_not_a_run_came(
    sent: World,
) -> None:
    """No run makes it unknown while the scheduler stands still; the list asks the calendar."""
    event(sent, attempt_id(2), "accepted")

    def listed(day: str) -> dict[str, str]:
        found = json.loads(done("list", "--on", day, "--json"))
        assert all(payout["is_overdue"] for payout in found)
        return {payout["statement_id"]: payout["state"] for payout in found}

    accepted, silent_ones = (
        payment_world.statement_id(2),
        (STATEMENT, payment_world.statement_id(3)),
    )
    assert listed("2026-09-28") == {}
    assert listed("2026-09-29") == dict.fromkeys(silent_ones, "submitted")
    # What the bank has taken ends a working day later; the day after it the list has it.
    assert listed("2026-09-30") == {**dict.fromkeys(silent_ones, "submitted"), accepted: "accepted"}
    assert "overdue" in done("list", "--on", "2026-09-30")


def test_the_status_shows_what_is_not_paid_and_how_old_it_is(
    sent: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    payouts_again.fail(sent)
    event(sent, attempt_id(2), "unknown")
    payouts.inquire(sent.settings, PAYMENT_DATE)
    done("hold", STATEMENT, *WHO)
    console = Console(width=200)

    def shown() -> str:
        with console.capture() as captured:
            overview.print_problems(console, sent.settings, date(2026, 10, 1))
        return captured.get()

    text = shown()
    assert (
        f"payout 代付 {STATEMENT}, 1,234.56 CNY: failed since 2026-09-28, age 3 days"
        " (AM04, retry, held by Zhou Min)"
    ) in text
    assert "1.00 CNY: unknown since 2026-09-28, age 3 days (asked 1 times)" in text
    monkeypatch.setattr(overview, "PAYOUTS_SHOWN", 1)
    # The third was never answered, which no run has noticed.
    assert "and 2 more: tieout payouts list" in shown()


def test_a_statement_shows_its_whole_life(sent: World) -> None:
    payouts_again.fail(sent)
    payouts_again.prove_day(sent)
    before = done("show", STATEMENT, "--on", str(NEXT_DAY))
    assert "can be paid again on 2026-09-29: statement_without_debit" in before
    done("retry", STATEMENT, *WHO, "--on", str(NEXT_DAY))
    done("hold", STATEMENT, *WHO)
    text = done("show", STATEMENT, "--on", str(NEXT_DAY))
    for part in (
        "1,234.56 CNY",
        "gate decision",
        f"{FIRST} on 2026-09-28, file payouts/20260928/pain001_PO20260928-001-A1.xml",
        "AM04 (policy retry)",
        "statement_without_debit: camt053_6600100200300400_20260929_1",
        "by Zhou Min (the payee asked), login",
        "payouts/20260929/pain001_PA20260929-20260928-CNY-001.xml",
        "hold 1       by Zhou Min (the payee asked), in force",
        "its attempt 2 is submitted and may still pay",
    ):
        assert part in text
    life = json.loads(done("show", STATEMENT, "--on", str(NEXT_DAY), "--json"))
    assert [row["attempt_no"] for row in life["attempts"]] == [1, 2]
    assert [row["status"] for row in life["events"]] == [
        "created",
        "submitted",
        "failed",
        "created",
        "submitted",
    ]
    assert life["new_attempt"]["refusal"] == "open"


def test_a_retry_puts_its_file_out_and_says_what_is_next(sent: World) -> None:
    payouts_again.fail(sent)
    refused = tieout("retry", STATEMENT, *WHO, "--on", str(NEXT_DAY))
    assert refused.exit_code == 1
    assert "the debit may still come" in str(refused.exception)
    payouts_again.prove_day(sent)
    text = done("retry", STATEMENT, *WHO, "--on", str(NEXT_DAY))
    assert "A-20260928-A000001-T1-CNY-2: a new attempt on 2026-09-29, decided by Zhou Min" in text
    assert "pain001_PA20260929-20260928-CNY-001.xml, 1 payments" in text
    assert "next: " in text


def test_two_people_hold_and_release(sent: World) -> None:
    assert "next: another person" in done("hold", STATEMENT, *WHO)
    (one,) = json.loads(done("list", "--state", "held", "--json", "--on", str(NEXT_DAY)))
    assert one["held_by"] == "Zhou Min"
    own = tieout("release", STATEMENT, *WHO)
    assert "another person has to release it" in str(own.exception)
    assert f"hold 1 of {STATEMENT} is released by Wu Fang" in done("release", STATEMENT, *OTHER)
    assert json.loads(done("list", "--json", "--on", str(PAYMENT_DATE))) == []
    nameless = tieout("hold", STATEMENT, "--by", " ", "--reason", "x")
    assert "a name and a reason" in str(nameless.exception)


def test_what_was_held_before_its_first_attempt_is_paid_by_its_date(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.make_logins(world.settings)
    monkeypatch.setattr(shared, "home", lambda: world.settings)
    world.execute(
        "create table payout.payout_status (payment_date date, end_to_end_id text,"
        " current_status text)"
    )
    payment_world.decide(world)
    payouts.instruct(world.settings, PAYMENT_DATE)
    done("hold", STATEMENT, *WHO)
    payouts.submit(world.settings, PAYMENT_DATE)
    world.execute(
        "insert into payout.payout_status select %s, end_to_end_id, 'submitted'"
        " from payout.attempts",
        (PAYMENT_DATE,),
    )
    assert not days.is_unfinished(world.settings, PAYMENT_DATE)
    assert "next: tieout pay 2026-09-28" in done("release", STATEMENT, *OTHER)
    assert days.is_unfinished(world.settings, PAYMENT_DATE)
    assert payouts.submit(world.settings, PAYMENT_DATE).payment_count == 3


def test_a_statement_nobody_instructed_has_no_life(sent: World) -> None:
    assert "it was never instructed" in str(tieout("show", "nobody").exception)


# --- silence and inquiries ------------------------------------------------------------------------


def test_silence_becomes_unknown_however_old_it_is(sent: World) -> None:
    day = PAYMENT_DATE + timedelta(days=400)
    due = {"CNY": AnswersDue(day, day)}
    outcome = payouts.apply_reports(sent.settings, through_date=day, answers_due=due)
    assert dict(outcome.events) == {"unknown": 3}
    assert sent.rows("select distinct status, since from payout.open_attempts") == [
        ("unknown", day)
    ]


def test_a_new_attempt_has_its_answer_due_by_its_own_day(sent: World) -> None:
    payouts_again.fail(sent)
    payouts_again.prove_day(sent)
    payouts.pay_again(sent.settings, STATEMENT, NEXT_DAY, by="Zhou Min", reason="x")
    payouts.put_out_again(sent.settings)
    silent(sent, NEXT_DAY)
    assert sent.rows("select attempt_id, status from payout.open_attempts order by 1") == [
        (attempt_id(attempt_no=2), "submitted"),
        (attempt_id(2), "unknown"),
        (attempt_id(3), "unknown"),
    ]


def asked(world: World) -> list[dict[str, str]]:
    """Return the rows of every inquiry file."""
    found = world.files("inquiries")
    return [row for text in found.values() for row in csv.DictReader(io.StringIO(text.decode()))]


def test_the_bank_is_asked_by_interval_and_limit(sent: World) -> None:
    silent(sent)
    sent.execute("update reference.payout_inquiry_rules set inquiry_limit = 2")
    settings = sent.settings.acting_as("payout")
    first = payouts.inquire(settings, PAYMENT_DATE)
    assert (first.asked_count, first.exhausted_count) == (3, 0)
    assert asked(sent)[0] == {
        "inquiry_no": "1",
        "end_to_end_id": FIRST,
        "message_id": "PO20260928-001-A1",
        "submitted_on": "2026-09-28",
        "amount": "1234.56",
        "currency_code": "CNY",
    }
    assert payouts.inquire(settings, PAYMENT_DATE).asked_count == 0
    event(sent, attempt_id(2), "paid", NEXT_DAY)
    assert payouts.inquire(settings, NEXT_DAY).asked_count == 2
    last = payouts.inquire(settings, THIRD_DAY)
    assert (last.asked_count, last.exhausted_count) == (0, 2)
    assert sorted(row["inquiry_no"] for row in asked(sent)) == ["1", "1", "1", "2", "2"]
    told = payouts.apply_reports(sent.settings, through_date=THIRD_DAY, answers_due={})
    assert all("age 2 days, asked 2 times" in text for text in told.problems[-2:])


def test_nobody_is_asked_on_a_holiday_or_without_a_rule(sent: World) -> None:
    silent(sent)
    assert payouts.inquire(sent.settings, date(2026, 10, 1)).asked_count == 0
    sent.execute("delete from reference.payout_inquiry_rules")
    assert payouts.inquire(sent.settings, NEXT_DAY).asked_count == 0
    assert asked(sent) == []


@pytest.fixture
def banked(sent: World) -> World:
    """A simulated bank that kept silent about the first two payments."""
    arrival = bank.BankLine(20_000_000, "中国银联股份有限公司", "UPSETTLE 20260928")
    planned = [(day, [arrival], 0) for day in (PAYMENT_DATE, NEXT_DAY, THIRD_DAY)]
    bank.open_books(sent.settings.truth_dir, "test", 0, planned)
    second = f"{payment_world.statement_id(2)}-1"
    (sent.settings.truth_dir / "bank" / "answers.json").write_text(
        json.dumps({"silent": [FIRST, second], "inquiry": {FIRST: "paid", second: "AM04"}})
    )
    bank_answers.answer(sent.settings, PAYMENT_DATE)
    silent(sent)
    return sent


def test_the_simulated_bank_answers_an_inquiry(banked: World) -> None:
    before = bank.closing_balance(banked.settings.truth_dir)
    payouts.inquire(banked.settings, NEXT_DAY)
    report = bank_answers.answer(banked.settings, NEXT_DAY)
    assert (report.settled_count, report.rejected_count) == (1, 1)
    outcome = payouts.apply_reports(banked.settings, through_date=NEXT_DAY)
    assert outcome.problems == ()
    assert dict(outcome.states) == {"failed": 1, "paid": 2}
    # The morning of the third day came meanwhile.
    assert bank.closing_balance(banked.settings.truth_dir) == before + 20_000_000 - AMOUNT
    assert bank_answers.answer(banked.settings, NEXT_DAY).files_answered == 0


def test_without_an_inquiry_the_bank_keeps_silent(banked: World) -> None:
    assert bank_answers.answer(banked.settings, NEXT_DAY).files_answered == 0


# --- steps ----------------------------------------------------------------------------------------


@pytest.fixture
def step(sent: World, monkeypatch: pytest.MonkeyPatch) -> Step:
    """A run of the outcomes of the next day, which holds it."""
    monkeypatch.setattr(days, "require_lease", lambda *_: None)
    now = days.datetime(2026, 9, 29, 9, 15, tzinfo=days.BUSINESS_TIME_ZONE)
    settings = sent.settings.acting_as("payout")
    return Step(settings, days.PAYOUT_OUTCOMES, NEXT_DAY, "test", "send", now, waits=True)


def test_a_run_pays_again_asks_and_says_what_waits(
    sent: World, step: Step, capsys: pytest.CaptureFixture[str]
) -> None:
    payouts_again.fail(sent, 1)
    event(sent, attempt_id(2), "unknown")
    payouts_again.fail(sent, 3)
    payouts_again.prove_day(sent)
    sent.execute("update reference.payout_retry_limits set day_attempt_limit = 1")
    assert answers.send(step) == {"new_attempts": 1, "files": 1, "inquiries": 1, "problems": 1}
    (problem,) = sent.rows("select problem, is_told from payout.outcome_problems")
    assert "20260928-A000003-T1-CNY is not paid again: 1 payments were repeated" in problem[0]
    assert "is a new attempt, by the policy of its reason" in capsys.readouterr().err
    assert answers.send(step)["new_attempts"] == 0


def test_a_file_that_was_cut_off_is_put_out_by_the_next_run(sent: World, step: Step) -> None:
    payouts_again.fail(sent)
    payouts_again.prove_day(sent)
    payouts.pay_again(sent.settings, STATEMENT, NEXT_DAY, by="Zhou Min", reason="x")
    assert "PA20260929" not in str(sent.files("payouts"))
    assert answers.send(step)["files"] == 1


def test_a_date_paid_again_is_computed_once(sent: World, step: Step) -> None:
    """Its status is that of the last attempt: the first has none of its own any more."""
    sent.execute(
        "set role tieout_owner; create table payout.payout_status (payment_date date,"
        " end_to_end_id text, current_status text)"
    )

    def publish() -> None:
        sent.execute(
            "truncate payout.payout_status; insert into payout.payout_status"
            f" select '{PAYMENT_DATE}', right(attempt_id, -2), status from payout.open_attempts"
        )

    publish()
    payouts_again.fail(sent)
    payouts_again.prove_day(sent)
    assert answers.changed_dates(step) == [PAYMENT_DATE]
    assert answers.send(step)["new_attempts"] == 1
    publish()
    assert answers.changed_dates(step) == []
    assert not days.is_unfinished(sent.settings, PAYMENT_DATE)
    event(sent, attempt_id(attempt_no=2), "paid", NEXT_DAY)
    assert answers.changed_dates(step) == [PAYMENT_DATE]


def test_a_run_by_the_timetable_tells_a_problem_once_a_date(sent: World, step: Step) -> None:
    sent.execute(
        "set role tieout_owner;"
        " create table payout.payout_status (payment_date date, current_status text)"
    )
    answers.apply(step)
    with pytest.raises(answers.OutcomeError, match="3 answers"):
        answers.publish(step)
    answers.apply(step)
    assert answers.publish(step) == {}
    by_hand = Step(step.settings, step.kind, step.day, "command:x", "publish", step.now)
    with pytest.raises(answers.OutcomeError, match="3 answers"):
        answers.publish(by_hand)


# --- what came back, from a notification to paid again ------------------------------------------


def notification(world: World, day: date) -> None:
    """Land a camt.054 that tells of the first payment's return."""
    file_id = payment_world.file_row(world, "bank", "camt054", day)
    for table in ("bank_notification_entries", "bank_notification_details"):
        payment_world.partition(world, table, day)
    world.execute(
        "insert into raw.bank_notification_entries (file_id, line_number, accounting_date,"
        " notification_id, bank_account_id, notification_date, booking_date, entry_state,"
        " currency_code, amount_minor, is_reversal, is_return, detail_count)"
        " values (%s, 3, %s, 'N', %s, %s, %s, 'BOOK', 'CNY', %s, false, true, 1)",
        (file_id, day, payouts_again.RESERVE, day, day, AMOUNT),
    )
    world.execute(
        "insert into raw.bank_notification_details (file_id, line_number, accounting_date,"
        " detail_number, amount_minor, end_to_end_id, return_reason_code)"
        " values (%s, 3, %s, 1, %s, %s, 'AC04')",
        (file_id, day, AMOUNT, FIRST),
    )


def states(world: World, attempt: str) -> list[str]:
    return [
        row[0]
        for row in world.rows(
            "select status from payout.attempt_events where attempt_id = %s order by event_no",
            (attempt,),
        )
    ]


def test_a_return_is_found_paid_to_the_corrected_payee_and_confirmed(sent: World) -> None:
    """Days later, first in a notification; the statement proves it, and it is paid once more."""
    line(sent, -AMOUNT, PAYMENT_DATE, FIRST)
    payouts.apply_reports(sent.settings, through_date=PAYMENT_DATE)
    assert states(sent, attempt_id()) == ["created", "submitted", "paid"]

    notification(sent, NEXT_DAY)
    outcome = payouts.apply_reports(sent.settings, through_date=NEXT_DAY)
    assert (outcome.problems, dict(outcome.events)) == ((), {"returned": 1})
    assert sent.rows("select payee_id, payee_version, reason_code from payout.payee_returns") == [
        ("P000001", 1, "AC04")
    ]
    statement(sent, NEXT_DAY)
    payee(sent)
    shown = done("show", STATEMENT, "--on", str(NEXT_DAY))
    assert "no statement of account …0400 shows the credit" in shown

    # The statement shows what the notification told: no second return.
    line(sent, AMOUNT, THIRD_DAY, FIRST, is_return=True, reason="AC04")
    statement(sent, THIRD_DAY)
    outcome = payouts.apply_reports(sent.settings, through_date=THIRD_DAY)
    assert (outcome.problems, outcome.events) == ((), ())
    done("retry", STATEMENT, *WHO, "--on", str(THIRD_DAY))
    content = sent.files("payouts")["pain001_PA20260930-20260928-CNY-001.xml"]
    batch = pain001.read(content, "file")
    folder = sent.inbox / "bank" / f"{THIRD_DAY:%Y%m%d}"
    folder.mkdir(parents=True)
    (folder / "pain002_again.xml").write_bytes(bank_answers.status_report(batch, THIRD_DAY, {}))
    line(sent, -AMOUNT, THIRD_DAY, f"{STATEMENT}-2")
    outcome = payouts.apply_reports(sent.settings, through_date=THIRD_DAY)
    assert outcome.problems == ()
    assert states(sent, attempt_id()) == ["created", "submitted", "paid", "returned"]
    assert states(sent, attempt_id(attempt_no=2)) == ["created", "submitted", "paid"]
    assert [
        row[0] for row in sent.rows("select attempt_id from payout.open_attempts order by 1")
    ] == [attempt_id(2), attempt_id(3)]


def test_what_the_bank_paid_after_it_was_paid_again_is_told(sent: World) -> None:
    payouts_again.fail(sent)
    payouts_again.prove_day(sent)
    payouts.pay_again(sent.settings, STATEMENT, NEXT_DAY, by="Zhou Min", reason="x")
    payouts.put_out_again(sent.settings)
    line(sent, -AMOUNT, NEXT_DAY, FIRST)
    outcome = payouts.apply_reports(sent.settings, through_date=NEXT_DAY)
    (problem,) = outcome.problems
    assert f"{STATEMENT}-2 is submitted 重复付款" in problem


# --- acknowledgements -----------------------------------------------------------------------------


def test_a_person_sees_what_is_not_acknowledged_and_looks_at_a_finding(sent: World) -> None:
    sent.execute("update reference.payout_rails set acknowledgement = 'ack_file'")
    (path,) = (sent.outbox / "payouts").rglob("pain001*.xml")
    shown = done("acknowledgements", "--on", str(PAYMENT_DATE))
    assert f"{path.name}: 3 payouts without any answer" in shown
    path.with_name(f"{path.name}.ack").write_bytes(b"size=1\n")
    silent(sent)
    told = json.loads(done("acknowledgements", "--on", str(PAYMENT_DATE), "--json"))
    assert [finding["acknowledgement_id"] for finding in told["findings"]] == [1]
    assert [file["silent_count"] for file in told["awaited"]] == [3]
    shown = done("acknowledgements", "--on", str(PAYMENT_DATE))
    assert "it names 1 bytes, ours has" in shown
    assert "next: tieout payouts looked 1" in shown
    assert tieout("looked", "2", *WHO).exit_code != 0
    assert "files may leave again" in done("looked", "1", *WHO)
    ((looked_by, login),) = sent.rows(
        "select looked_by, signed_by_login from payout.acknowledgement_looks"
    )
    assert looked_by == "Zhou Min"
    assert login.endswith("_people_login")
    assert (
        json.loads(done("acknowledgements", "--on", str(PAYMENT_DATE), "--json"))["findings"] == []
    )
