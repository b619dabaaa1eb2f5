"""A statement is paid again by `payout.new_attempt()` alone, and only with its evidence."""

from __future__ import annotations

from datetime import date, timedelta

import psycopg
import pytest

import payment_world
import payouts_again
from payment_world import PAYMENT_DATE, PAYOUTS_MINOR, World
from payouts_again import NEXT_DAY, attempt_id, event, line, payee, prove_day, statement
from tieout import database, payouts
from tieout.core.errors import TieoutError
from tieout.payouts import NotPaidAgainError, pain001

STATEMENT = payment_world.statement_id(1)
FIRST = f"{STATEMENT}-1"
AMOUNT = PAYOUTS_MINOR[0]
BATCH = "PO20260928-001-A1"


@pytest.fixture
def world(world: World) -> World:
    """A world with a login for each role."""
    database.make_logins(world.settings)
    return world


@pytest.fixture
def sent(world: World) -> World:
    """Three payments at the bank."""
    payouts_again.submit(world)
    return world


@pytest.fixture
def failed(sent: World) -> World:
    """The first was refused for a reason that is repeated, and the day is over."""
    payouts_again.fail(sent)
    prove_day(sent)
    return sent


@pytest.fixture
def returned(sent: World) -> World:
    """The first came back, since its account is closed; the payee has been corrected."""
    payouts_again.come_back(sent)
    payee(sent)
    return sent


def by_policy(world: World, on: date = NEXT_DAY) -> str:
    """Make a new attempt as a run does."""
    with database.connect(world.settings.acting_as("payout")) as connection:
        row = connection.execute("select payout.new_attempt(%s, %s)", [STATEMENT, on]).fetchone()
    assert row is not None
    return str(row[0])


def second_by_policy(world: World) -> None:
    """Make a new attempt of the second statement, as a run does."""
    with database.connect(world.settings.acting_as("payout")) as connection:
        connection.execute(
            "select payout.new_attempt(%s, %s)", [payment_world.statement_id(2), NEXT_DAY]
        )


def by_person(world: World, on: date = NEXT_DAY, by: str = "Zhou Min") -> str:
    """Make a new attempt as a person does."""
    return payouts.pay_again(world.settings, STATEMENT, on, by=by, reason="the payee asked")


def refused(world: World, refusal: str, words: str, *, on: date = NEXT_DAY) -> None:
    """Expect the refusal of a person's attempt, and nothing left of it."""
    before = world.value("select count(*) from payout.attempts")
    with pytest.raises(NotPaidAgainError, match=words) as caught:
        by_person(world, on)
    assert caught.value.refusal == refusal
    assert caught.value.next_step
    left = (
        world.value("select count(*) from payout.attempts"),
        world.value("select count(*) from payout.new_attempts"),
    )
    assert left[0] == before
    assert left[1] == before - len(PAYOUTS_MINOR)


# --- what is paid again ---------------------------------------------------------------------------


def test_a_refused_payment_is_repeated_by_its_policy(failed: World) -> None:
    assert by_policy(failed) == attempt_id(attempt_no=2)
    (row,) = failed.rows(
        "select previous_attempt_id, paid_on, amount_minor, payee_id, payee_version,"
        " previous_status, reason_code, policy, evidence, evidence_line_number, requested_by,"
        " decided_by_login from payout.new_attempts"
    )
    assert row[:3] == (attempt_id(), NEXT_DAY, AMOUNT)
    assert row[3:9] == ("P000001", 1, "failed", "AM04", "retry", "statement_without_debit")
    assert (row[9], row[10]) == (1, "policy")
    assert row[11].endswith("_payout_login")
    named = failed.value(
        "select file_name from payout.new_attempts inner join control.channel_files"
        " on evidence_file_id = file_id"
    )
    assert named.startswith("camt053_6600100200300400_20260929_1")
    assert failed.rows("select attempt_id, status from payout.open_attempts order by 1") == [
        (attempt_id(attempt_no=2), "created"),
        (attempt_id(2), "submitted"),
        (attempt_id(3), "submitted"),
    ]


def test_the_new_attempt_leaves_in_a_file_of_its_own(failed: World) -> None:
    by_policy(failed)
    (report,) = payouts.put_out_again(failed.settings)
    assert report.attempts_created == 0
    content = failed.files("payouts")["pain001_PA20260929-20260928-CNY-001.xml"]
    written = pain001.read(content, "file")
    (payment,) = written.payments
    assert (payment.end_to_end_id, payment.amount_minor) == (f"{STATEMENT}-2", AMOUNT)
    assert b"<ReqdExctnDt>\n        <Dt>2026-09-29</Dt>" in content
    assert (failed.outbox / "payouts" / "20260929").is_dir()
    assert failed.rows(
        "select status, business_date from payout.attempt_events where attempt_id = %s"
        " order by event_no",
        (attempt_id(attempt_no=2),),
    ) == [("created", NEXT_DAY), ("submitted", NEXT_DAY)]
    assert payouts.put_out_again(failed.settings) == ()


def test_what_came_back_is_paid_to_the_corrected_payee(returned: World) -> None:
    by_person(returned)
    payouts.put_out_again(returned.settings)
    content = returned.files("payouts")["pain001_PA20260929-20260928-CNY-001.xml"]
    (payment,) = pain001.read(content, "file").payments
    assert payment.account_number == "6230000000000007777"
    (row,) = returned.rows(
        "select payee_version, evidence, evidence_line_number, requested_by, reason,"
        " decided_by_login from payout.new_attempts"
    )
    assert row[:5] == (2, "credit_line", 7, "Zhou Min", "the payee asked")
    assert row[5].endswith("_people_login")


def test_attempts_of_a_day_share_a_file_until_it_is_put_out(sent: World) -> None:
    for number in (1, 2, 3):
        payouts_again.fail(sent, number)
    prove_day(sent)
    with database.connect(sent.settings.acting_as("payout")) as connection:
        for number in (1, 2):
            connection.execute(
                "select payout.new_attempt(%s, %s)", [payment_world.statement_id(number), NEXT_DAY]
            )
    payouts.put_out_again(sent.settings)
    with database.connect(sent.settings.acting_as("payout")) as connection:
        connection.execute(
            "select payout.new_attempt(%s, %s)", [payment_world.statement_id(3), NEXT_DAY]
        )
    assert sent.rows(
        "select batch_message_id, count(*) from payout.attempts where attempt_no = 2"
        " group by 1 order by 1"
    ) == [("PA20260929-20260928-CNY-001", 2), ("PA20260929-20260928-CNY-002", 1)]


def test_a_run_repeats_what_its_policy_says_and_no_more(sent: World) -> None:
    """AM04 is repeated, AC01 waits for a payee, ZZ99 for a person, whatever else is proved."""
    for number, reason in ((1, "AM04"), (2, "AC01"), (3, "ZZ99")):
        payouts_again.fail(sent, number, reason)
    prove_day(sent)
    report = payouts.pay_again_by_policy(sent.settings.acting_as("payout"), NEXT_DAY)
    assert report.attempt_ids == (attempt_id(attempt_no=2),)
    assert report.waiting == ()
    again = payouts.pay_again_by_policy(sent.settings.acting_as("payout"), NEXT_DAY)
    assert (again.attempt_ids, again.waiting) == ((), ())


def test_a_run_waits_for_the_statement_and_says_so(sent: World) -> None:
    payouts_again.fail(sent)
    statement(sent, PAYMENT_DATE)
    report = payouts.pay_again_by_policy(sent.settings.acting_as("payout"), NEXT_DAY)
    assert report.attempt_ids == ()
    assert [grounds.refusal for grounds in report.waiting] == ["no_statement"]


# --- what the bank has paid meanwhile -------------------------------------------------------------

AGAIN = "PA20260929-20260928-CNY-001"


def the_bank_pays_after_all(world: World) -> None:
    """Have the statement show the debit of what was refused, and read it."""
    line(world, -AMOUNT, NEXT_DAY, FIRST)
    payouts.apply_reports(world.settings, through_date=NEXT_DAY)
    assert states(world, attempt_id())[-1] == "paid"


def states(world: World, attempt: str) -> list[str]:
    """Return the states an attempt went through."""
    rows = world.rows(
        "select status from payout.attempt_events where attempt_id = %s order by event_no",
        (attempt,),
    )
    return [str(status) for (status,) in rows]


def files_out(world: World) -> set[str]:
    """Return the names of the payment files that the bank may fetch."""
    return {name for name in world.files("payouts") if name.startswith("pain001_")}


def test_what_the_bank_has_paid_meanwhile_is_not_put_out(failed: World) -> None:
    """The run died between the new attempt and its file; the file's other payment leaves."""
    event(failed, attempt_id(2), "failed", reason="AM04")
    by_policy(failed)
    second_by_policy(failed)
    the_bank_pays_after_all(failed)
    payouts.put_out_again(failed.settings)
    assert states(failed, attempt_id(attempt_no=2)) == ["created", "failed"]
    assert states(failed, attempt_id(2, 2)) == ["created", "submitted"]
    written = pain001.read(failed.files("payouts")[f"pain001_{AGAIN}.xml"], "file")
    assert [payment.end_to_end_id for payment in written.payments] == [
        f"{payment_world.statement_id(2)}-2"
    ]
    payouts.put_out_again(failed.settings)
    assert states(failed, attempt_id(attempt_no=2)) == ["created", "failed"]


def test_a_file_on_record_with_what_was_paid_meanwhile_waits_for_a_person(
    failed: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_policy(failed)
    with monkeypatch.context() as patch:
        patch.setattr("tieout.payouts.store.Store.put_out", _full_disk)
        with pytest.raises(OSError, match="full"):
            payouts.put_out_again(failed.settings)
    the_bank_pays_after_all(failed)
    before = files_out(failed)
    with pytest.raises(TieoutError, match="has been paid since"):
        payouts.put_out_again(failed.settings)
    assert files_out(failed) == before
    assert states(failed, attempt_id(attempt_no=2)) == ["created"]
    # What is in no file with it does not wait for that person.
    event(failed, attempt_id(2), "failed", reason="AM04")
    second_by_policy(failed)
    with pytest.raises(TieoutError, match="has been paid since"):
        payouts.put_out_again(failed.settings)
    assert states(failed, attempt_id(2, 2)) == ["created", "submitted"]
    assert states(failed, attempt_id(attempt_no=2)) == ["created"]


def _full_disk(*_: object) -> None:
    raise OSError("the disk is full")


def test_the_database_takes_no_file_with_what_was_paid_meanwhile(failed: World) -> None:
    by_policy(failed)
    the_bank_pays_after_all(failed)
    with pytest.raises(psycopg.errors.RestrictViolation, match="may have paid"):
        failed.execute(
            "select payout.record_file(%s, %s, 'x', %s, 1, 1, %s, 'CNY')",
            (AGAIN, PAYMENT_DATE, "0" * 64, AMOUNT),
        )


# --- without evidence -----------------------------------------------------------------------------


def test_without_a_statement_of_a_later_day_the_debit_may_still_come(sent: World) -> None:
    payouts_again.fail(sent)
    refused(sent, "no_statement", "no statement of account …0400 after 2026-09-28 has landed")
    statement(sent, PAYMENT_DATE)
    statement(sent, PAYMENT_DATE, 2)
    refused(sent, "no_statement", "no statement of account …0400 after 2026-09-28 has landed")
    statement(sent, NEXT_DAY, status="quarantined")
    refused(sent, "no_statement", "no statement of account …0400 after 2026-09-28 has landed")


def test_a_refusal_of_a_later_day_needs_a_later_statement(sent: World) -> None:
    event(sent, attempt_id(), "failed", NEXT_DAY, "AM04")
    prove_day(sent)
    refused(sent, "no_statement", "after 2026-09-29 has landed")


def test_statements_with_a_gap_prove_nothing(sent: World) -> None:
    payouts_again.fail(sent)
    statement(sent, PAYMENT_DATE)
    statement(sent, NEXT_DAY, opening=payouts_again.BALANCE_MINOR - AMOUNT)
    refused(sent, "no_statement", "do not join: that of 2026-09-29")


def test_a_debit_in_a_statement_is_a_payment(failed: World) -> None:
    line(failed, -AMOUNT, NEXT_DAY, FIRST)
    refused(failed, "debit_seen", "it has been paid")


def test_a_debit_in_a_notification_is_one_too(failed: World) -> None:
    file_id = payment_world.file_row(failed, "bank", "camt054", NEXT_DAY)
    payment_world.partition(failed, "bank_notification_entries", NEXT_DAY)
    failed.execute(
        "insert into raw.bank_notification_entries (file_id, line_number, accounting_date,"
        " notification_id, bank_account_id, notification_date, entry_state, currency_code,"
        " amount_minor, is_reversal, is_return, end_to_end_id, detail_count)"
        " values (%s, 1, %s, 'N', %s, %s, 'PDNG', 'CNY', %s, false, false, %s, 0)",
        (file_id, NEXT_DAY, payouts_again.RESERVE, NEXT_DAY, -AMOUNT, FIRST),
    )
    refused(failed, "debit_seen", "it has been paid")


def test_a_debit_of_the_whole_file_may_hold_it(failed: World) -> None:
    line(failed, -sum(PAYOUTS_MINOR), NEXT_DAY, None, batch=BATCH)
    refused(failed, "debit_seen", f"debits file {BATCH} without naming its payments")


def test_a_debit_of_the_others_of_its_file_does_not(failed: World) -> None:
    for number in (2, 3):
        event(failed, attempt_id(number), "paid")
    line(failed, -sum(PAYOUTS_MINOR[1:]), NEXT_DAY, None, batch=BATCH)
    assert by_policy(failed) == attempt_id(attempt_no=2)


@pytest.mark.parametrize(
    "said",
    [
        {"amount_minor": AMOUNT - 1},
        {"currency": "USD"},
        {"account": "6600100200300499"},
        {"is_return": False},
        None,
    ],
)
def test_without_the_credit_it_has_not_come_back(
    sent: World, said: dict[str, object] | None
) -> None:
    """The event alone proves nothing, nor does another amount, currency, account or credit."""
    line(sent, -AMOUNT, PAYMENT_DATE, FIRST)
    event(sent, attempt_id(), "paid")
    event(sent, attempt_id(), "returned", NEXT_DAY, "MS99")
    statement(sent, NEXT_DAY)
    payee(sent)
    if said is not None:
        values = {"amount_minor": AMOUNT, "is_return": True, **said}
        amount_minor = int(str(values.pop("amount_minor")))
        line(sent, amount_minor, NEXT_DAY, FIRST, **values)  # type: ignore[arg-type]
    refused(sent, "no_credit", "shows the credit of payment")


def test_a_payment_debited_twice_has_come_back_once(returned: World) -> None:
    line(returned, -AMOUNT, NEXT_DAY, FIRST)
    refused(returned, "debit_seen", "debited more often than it came back")


def test_a_notification_of_the_return_is_no_credit(sent: World) -> None:
    """The statement proves it (docs/decisions/0024): a notification has no balances."""
    line(sent, -AMOUNT, PAYMENT_DATE, FIRST)
    event(sent, attempt_id(), "paid")
    event(sent, attempt_id(), "returned", NEXT_DAY, "AC04")
    statement(sent, NEXT_DAY)
    payee(sent)
    file_id = payment_world.file_row(sent, "bank", "camt054", NEXT_DAY)
    payment_world.partition(sent, "bank_notification_entries", NEXT_DAY)
    sent.execute(
        "insert into raw.bank_notification_entries (file_id, line_number, accounting_date,"
        " notification_id, bank_account_id, notification_date, entry_state, currency_code,"
        " amount_minor, is_reversal, is_return, end_to_end_id, detail_count)"
        " values (%s, 1, %s, 'N', %s, %s, 'BOOK', 'CNY', %s, false, true, %s, 0)",
        (file_id, NEXT_DAY, payouts_again.RESERVE, NEXT_DAY, AMOUNT, FIRST),
    )
    refused(sent, "no_credit", "shows the credit of payment")


# --- whom ---------------------------------------------------------------------------------------


def test_a_payee_that_came_back_is_blocked(sent: World) -> None:
    payouts_again.come_back(sent)
    refused(sent, "payee_blocked", "version 1 is blocked by reason AC04")


def test_a_code_nobody_classified_blocks_the_payee(sent: World) -> None:
    payouts_again.come_back(sent, reason="ZZ99")
    refused(sent, "payee_blocked", "blocked by reason ZZ99")


def test_what_waits_for_a_corrected_payee_is_not_paid_to_the_same(failed: World) -> None:
    failed.execute("update reference.payee_return_reasons set policy = 'await_payee'")
    refused(failed, "payee_same", "is the one that reason AM04 came for")


def test_a_corrected_payee_waits_for_two_people(sent: World) -> None:
    payouts_again.come_back(sent)
    payee(sent, confirmation="waiting")
    refused(sent, "payee_unconfirmed", "version 2 waits for two people")
    with database.connect(sent.settings) as connection:
        row = connection.execute(
            "insert into control.term_approvals (subject, decision, effective_on, reason,"
            " approved_by_first, approved_by_second) values ('changes', 'approve', %s, 'x', 'Wu',"
            " 'Li') returning approval_id",
            (NEXT_DAY,),
        ).fetchone()
        assert row is not None
        connection.execute(
            "insert into control.term_approval_items (approval_id, change_id, effective_on,"
            " decision) values (%s, %s, %s, 'approve')",
            (row[0], payment_world.change_id("P000001", 2, PAYMENT_DATE), NEXT_DAY),
        )
    by_person(sent)


@pytest.mark.parametrize(
    "change",
    [
        "payee_status = 'blocked'",
        "effective_to = '2026-09-29'",
        "effective_from = '2026-09-30'",
        "is_in_force = false",
        "account_id = 'A000002'",
    ],
)
def test_an_account_without_a_payee_in_force_is_not_paid(failed: World, change: str) -> None:
    failed.execute(f"update clearing.payee_terms set {change} where payee_id = 'P000001'")
    refused(failed, "no_payee", "has no payee in force on 2026-09-29")


def test_a_payee_no_file_can_name_is_not_attempted(failed: World) -> None:
    payment_world.rename(failed, "测" * 141)
    with pytest.raises(NotPaidAgainError, match="account_name has 141") as caught:
        by_person(failed)
    assert caught.value.refusal == "payee_unwritable"
    assert failed.value("select count(*) from payout.new_attempts") == 0


# --- by whose decision ----------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["ingest", "transform", "gate", "finance"])
def test_other_roles_may_not_ask(failed: World, role: str) -> None:
    with (
        database.connect(failed.settings.acting_as(role)) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("select payout.new_attempt(%s, %s, 'x', 'x')", [STATEMENT, NEXT_DAY])


@pytest.mark.parametrize("role", ["payout", "people"])
def test_nobody_writes_the_grounds_by_hand(failed: World, role: str) -> None:
    for statement_text in (
        "insert into payout.new_attempts default values",
        "insert into payout.payout_holds default values",
        "insert into payout.payout_hold_releases default values",
        "delete from payout.open_attempts",
    ):
        with (
            database.connect(failed.settings.acting_as(role)) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute(statement_text)


def test_a_second_attempt_by_hand_is_refused(failed: World) -> None:
    with pytest.raises(psycopg.errors.RestrictViolation, match="has no evidence"):
        failed.execute(
            "insert into payout.attempts values (%s, %s, 2, %s, 'PO20260929-001-A2', %s)",
            (attempt_id(attempt_no=2), f"I-{STATEMENT}", f"{STATEMENT}-2", NEXT_DAY),
        )


@pytest.mark.parametrize(
    ("reason", "refusal"),
    [("ZZ99", "no_policy"), (None, "no_policy"), ("AC01", "await_payee"), ("AM05", "stop")],
)
def test_a_run_decides_nothing_that_is_a_persons(
    sent: World, reason: str | None, refusal: str
) -> None:
    payouts_again.fail(sent, reason=reason)
    prove_day(sent)
    payee(sent)
    with pytest.raises(psycopg.errors.RestrictViolation) as caught:
        by_policy(sent)
    assert caught.value.diag.constraint_name == refusal


@pytest.mark.parametrize("reason", ["ZZ99", "AC01", None])
def test_a_person_decides_it_with_a_corrected_payee(sent: World, reason: str | None) -> None:
    payouts_again.fail(sent, reason=reason)
    prove_day(sent)
    payee(sent)
    assert by_person(sent) == attempt_id(attempt_no=2)


def test_a_stopped_payment_needs_two_people(sent: World) -> None:
    payouts_again.fail(sent, reason="AM05")
    prove_day(sent)
    refused(sent, "stop", "reason AM05 stops the payout")
    hold(sent, "Zhou Min")
    refused(sent, "held", "a person holds it")
    release(sent, "Wu Fang")
    by_person(sent)


def test_a_hold_of_before_the_stop_does_not_count(sent: World) -> None:
    hold(sent, "Zhou Min")
    release(sent, "Wu Fang")
    payouts_again.fail(sent, reason="AM05")
    prove_day(sent)
    refused(sent, "stop", "reason AM05 stops the payout")


@pytest.mark.parametrize(("by", "reason"), [("", "x"), (" \u200b", "x"), ("Zhou Min", " ")])
def test_a_person_has_a_name_and_a_reason(failed: World, by: str, reason: str) -> None:
    with pytest.raises(NotPaidAgainError, match="needs a name and a reason"):
        payouts.pay_again(failed.settings, STATEMENT, NEXT_DAY, by=by, reason=reason)


def test_no_policy_repeats_what_blocks_the_payee(world: World) -> None:
    """Every code has both languages and one of three policies."""
    rows = world.rows(
        "select reason_code, reason_en, reason_zh, policy, blocks_payee"
        " from reference.payee_return_reasons order by 1"
    )
    assert len(rows) > 20
    blocking = {code for code, _, _, _, blocks in rows if blocks}
    assert {"AC01", "AC04", "AC06"} <= blocking
    assert {policy for _, _, _, policy, _ in rows} == {"retry", "await_payee", "stop"}
    assert not [code for code, _, _, policy, blocks in rows if blocks and policy == "retry"]
    assert all(english.isascii() and not chinese.isascii() for _, english, chinese, *_ in rows)


# --- when and how much ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("on", "words"),
    [
        (PAYMENT_DATE, "is over: the bank's last statement"),
        (PAYMENT_DATE - timedelta(days=1), "lies before the payment's end"),
        (date(2026, 10, 3), "is no working day"),
        (date(2026, 10, 10), "more than 10 days after the bank's last statement"),
    ],
)
def test_the_day_is_the_banks(failed: World, on: date, words: str) -> None:
    # A payee of each day, so that the day itself is refused.
    day_before = on - timedelta(days=1)
    failed.execute("update clearing.payee_terms set accounting_date = %s", (day_before,))
    with pytest.raises(psycopg.errors.RestrictViolation, match=words) as caught:
        by_policy(failed, on)
    assert caught.value.diag.constraint_name == "wrong_date"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("statement_attempt_limit = 1", "it had 1 attempts, the limit of a statement is 1"),
        ("day_attempt_limit = 0", "0 payments were repeated on 2026-09-29"),
        (f"day_amount_limit_minor = {AMOUNT - 1}", f"with it {AMOUNT} minor units"),
    ],
)
def test_limits_stop_a_new_attempt(failed: World, change: str, words: str) -> None:
    failed.execute(f"update reference.payout_retry_limits set {change}")
    refused(failed, "limit", words)


def test_the_day_counts_what_was_repeated_before(sent: World) -> None:
    for number in (1, 2):
        payouts_again.fail(sent, number)
    prove_day(sent)
    sent.execute(
        "update reference.payout_retry_limits set day_amount_limit_minor = %s", (AMOUNT + 50,)
    )
    by_policy(sent)
    second = payment_world.statement_id(2)
    grounds = payouts.weigh(sent.settings.acting_as("payout"), second, NEXT_DAY)
    assert (grounds.refusal, PAYOUTS_MINOR[1]) == ("limit", 100)


def test_a_currency_without_limits_is_not_repeated(failed: World) -> None:
    failed.execute("delete from reference.payout_retry_limits")
    refused(failed, "no_limit", "has no row for CNY")


# --- states ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("states", "refusal"),
    [
        ((), "open"),
        (("accepted",), "open"),
        (("unknown",), "open"),
        (("paid",), "paid"),
        (("failed", "paid"), "paid"),
    ],
)
def test_what_may_have_paid_is_not_paid_again(
    sent: World, states: tuple[str, ...], refusal: str
) -> None:
    prove_day(sent)
    for status in states:
        event(sent, attempt_id(), status)
    word = states[-1] if states else "submitted"
    refused(sent, refusal, f"its attempt 1 is {word}")


def test_a_new_attempt_is_the_only_one(failed: World) -> None:
    by_policy(failed)
    with pytest.raises(NotPaidAgainError, match="its attempt 2 is created and may still pay"):
        by_person(failed)


def test_a_late_debit_of_the_first_keeps_a_third_out(failed: World) -> None:
    """The second failed, too, and then the first turns out to have paid."""
    by_policy(failed)
    payouts.put_out_again(failed.settings)
    event(failed, attempt_id(attempt_no=2), "failed", NEXT_DAY, "AM04")
    line(failed, -AMOUNT, NEXT_DAY, FIRST)
    statement(failed, date(2026, 9, 30))
    refused_on = date(2026, 9, 30)
    with pytest.raises(NotPaidAgainError, match="it has been paid"):
        by_person(failed, refused_on)


def test_what_was_never_attempted_has_its_first_attempt(world: World) -> None:
    payment_world.decide(world)
    payouts.instruct(world.settings, PAYMENT_DATE)
    with pytest.raises(NotPaidAgainError, match="it was never attempted"):
        by_person(world)
    with pytest.raises(NotPaidAgainError, match="was never instructed"):
        payouts.pay_again(world.settings, "nobody", NEXT_DAY, by="Zhou Min", reason="x")


def test_an_instruction_that_is_not_its_statement_is_not_paid(failed: World) -> None:
    failed.execute(
        "update settlement.settlement_statements set payout_amount_minor = 1"
        " where statement_id = %s",
        (STATEMENT,),
    )
    refused(failed, "statement_changed", "is not what the statement says")


# --- holds ----------------------------------------------------------------------------------------


def hold(world: World, by: str, statement_id: str = STATEMENT) -> None:
    with database.connect(world.settings.acting_as("people")) as connection:
        connection.execute("select payout.hold(%s, %s, 'a doubt')", [statement_id, by])


def release(world: World, by: str, statement_id: str = STATEMENT) -> None:
    with database.connect(world.settings.acting_as("people")) as connection:
        connection.execute("select payout.release_hold(%s, %s, 'no doubt')", [statement_id, by])


def test_a_held_statement_is_not_paid_again(failed: World) -> None:
    hold(failed, "Zhou Min")
    refused(failed, "held", "a person holds it")
    release(failed, "Wu Fang")
    by_person(failed)


def test_a_held_statement_has_no_first_attempt_and_the_others_have(world: World) -> None:
    payment_world.decide(world)
    payouts.instruct(world.settings, PAYMENT_DATE)
    hold(world, "Zhou Min")
    assert payouts.submit(world.settings, PAYMENT_DATE).payment_count == 2
    release(world, "Wu Fang")
    assert payouts.submit(world.settings, PAYMENT_DATE).payment_count == 3
    assert sorted(world.files("payouts")) == [
        "pain001_PO20260928-001-A1.xml",
        "pain001_PO20260928-002-A1.xml",
    ]


def test_an_attempt_by_hand_of_a_held_statement_is_refused(world: World) -> None:
    payment_world.decide(world)
    payouts.instruct(world.settings, PAYMENT_DATE)
    hold(world, "Zhou Min")
    with pytest.raises(psycopg.errors.RestrictViolation, match="a person stops it"):
        world.execute(
            "insert into payout.attempts values ('x', %s, 1, 'x', 'B', %s)",
            (f"I-{STATEMENT}", PAYMENT_DATE),
        )


@pytest.mark.parametrize("name", ["Zhou Min", "zhou\u200bMIN"])
def test_nobody_releases_their_own_hold(failed: World, name: str) -> None:
    hold(failed, "Zhou Min")
    with pytest.raises(psycopg.errors.RestrictViolation, match="another person has to release it"):
        release(failed, name)


def test_holds_of_nothing_are_refused(sent: World) -> None:
    with pytest.raises(psycopg.errors.RestrictViolation, match="there is no settlement statement"):
        hold(sent, "Zhou Min", "nothing")
    with pytest.raises(psycopg.errors.RestrictViolation, match="is not held"):
        release(sent, "Zhou Min")
    hold(sent, "Zhou Min")
    with pytest.raises(psycopg.errors.RestrictViolation, match="is held already"):
        hold(sent, "Wu Fang")


@pytest.mark.parametrize(
    "table", ["new_attempts", "payout_holds", "payout_hold_releases", "inquiries"]
)
@pytest.mark.parametrize("change", ["delete from {}", "truncate {} cascade"])
def test_what_was_decided_stays(failed: World, table: str, change: str) -> None:
    by_policy(failed)
    hold(failed, "Zhou Min")
    release(failed, "Wu Fang")
    failed.execute("insert into payout.inquiries values (%s, 1, %s, 'x')", (attempt_id(), NEXT_DAY))
    with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
        failed.execute(change.format(f"payout.{table}"))
