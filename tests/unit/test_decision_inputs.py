"""A decision is what the database's own tables say, and stands while what it was made from does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import psycopg
import pytest

import payment_world
from day_states import set_state
from payment_world import ACCOUNTING_DATES, PAYMENT_DATE, Finding, World, decide
from tieout import database, gate, payouts
from tieout.core.errors import TieoutError
from tieout.gate.expectation_suites import GATE_SUITES, REQUIRED_GATE_CHECKS
from tieout.payouts import submission

SUM = sum(payment_world.PAYOUTS_MINOR)


# --- a passed decision that the tables contradict -------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            "delete from gate.balance_equation where arrival_group_id = 'alipay-20260928-CNY'",
            "not one arrival group of alipay CNY of 2026-09-24",
        ),
        (
            "update gate.balance_equation set accounting_dates = accounting_dates[2:]"
            " where channel = 'unionpay'",
            "not one arrival group of unionpay CNY of 2026-09-24",
        ),
        (
            "insert into gate.balance_equation select * from gate.balance_equation"
            " where channel = 'unionpay'",
            "not one arrival group of unionpay",
        ),
        (
            "update gate.balance_equation set residual_minor = -1 where channel = 'alipay'",
            "the residual of alipay-20260928-CNY is -1",
        ),
        (
            "update gate.balance_equation set residual_minor = null where channel = 'alipay'",
            "the residual of alipay-20260928-CNY is missing",
        ),
        (
            "delete from gate.gate_checks where check_name = 'trial_balance_zero'",
            "the check trial_balance_zero has no result",
        ),
        (
            "update gate.gate_checks set holds = false where check_name = 'trial_balance_zero'",
            "the check trial_balance_zero does not hold",
        ),
        (
            "update gate.gate_checks set holds = null where check_name = 'trial_balance_zero'",
            "the check trial_balance_zero does not hold",
        ),
        (
            "insert into gate.gate_checks values ('2026-09-28', 'one_more', 'x', false)",
            "the check one_more does not hold",
        ),
        ("delete from reference.required_gate_checks", "no check is required"),
        (
            "insert into reference.required_gate_checks values ('a_new_check')",
            "the check a_new_check has no result",
        ),
        (
            "update control.channel_files set status = 'refused'"
            " where file_kind = 'operating_window'",
            "pays no accounting date",
        ),
        ("delete from reference.channels", "pays no accounting date"),
        ("drop table gate.gate_checks", "no table gate.gate_checks"),
        ("drop table settlement.settlement_statements", "settlement_statements"),
        (
            "update settlement.settlement_statements set payee_version = 2"
            " where payee_id = 'P000002'",
            "the payee of statement 20260928-A000002-T1-CNY is not registered",
        ),
        (
            "update settlement.settlement_statements set account_id = 'A000009'"
            " where payee_id = 'P000002'",
            "the payee of statement 20260928-A000002-T1-CNY is not registered",
        ),
    ],
)
def test_a_passed_decision_is_refused_where_the_tables_contradict_it(
    world: World, change: str, words: str
) -> None:
    world.execute(change)
    with database.connect(world.settings) as connection:
        exists = connection.execute(
            "select to_regclass('settlement.settlement_statements') is not null"
        ).fetchone()
    if exists == (True,):
        with pytest.raises(psycopg.errors.RestrictViolation, match=words):
            decide(world)
    else:
        with pytest.raises(psycopg.errors.RestrictViolation, match=words):
            insert(world, "x", 0, 0)
    assert world.value("select count(*) from control.gate_decisions") == 0
    assert world.value("select count(*) from control.gate_decision_inputs") == 0


def insert(world: World, fingerprint: str, covered: int, amount: int) -> None:
    world.execute(
        "insert into control.gate_decisions (payment_date, outcome, fingerprint,"
        " statements_covered, payout_amount_minor, decided_by)"
        " values (%s, 'passed', %s, %s, %s, 'forger')",
        (PAYMENT_DATE, fingerprint, covered, amount),
    )


@pytest.mark.parametrize(
    ("fingerprint", "covered", "amount", "words"),
    [
        ("x", 3, SUM, "its fingerprint is not that of the statements"),
        (None, 2, SUM, "covers 2 statements, there are 3"),
        (None, 3, SUM - 1, f"covers {SUM - 1} minor units, the statements pay {SUM}"),
    ],
)
def test_a_passed_decision_covers_what_the_statements_say(
    world: World, fingerprint: str | None, covered: int, amount: int, words: str
) -> None:
    now = world.value("select gate.statement_fingerprint(%s)", (PAYMENT_DATE,))
    with pytest.raises(psycopg.errors.RestrictViolation, match=words):
        insert(world, fingerprint or now, covered, amount)
    insert(world, now, 3, SUM)


def test_every_check_that_python_requires_is_required_by_the_database(world: World) -> None:
    assert len(REQUIRED_GATE_CHECKS) > 10
    for name in REQUIRED_GATE_CHECKS:
        with database.connect(world.settings) as connection:
            connection.execute("delete from gate.gate_checks where check_name = %s", (name,))
            row = connection.execute(
                "select control.why_not_passed(%s)", (PAYMENT_DATE,)
            ).fetchone()
            connection.rollback()
        assert row == (f"the check {name} has no result",)


# --- what a decision was made from ----------------------------------------------------------------


@pytest.fixture
def read(world: World) -> World:
    """A world with a morning's bank statement, a closed date and an approved decision."""
    payment_world.file_row(world, "bank", "camt053", PAYMENT_DATE, file_name="camt053_morning")
    for day in ACCOUNTING_DATES:
        with database.connect(world.settings) as connection:
            set_state(connection, day, "closed")
            connection.execute(
                "update control.accounting_days set inputs_fingerprint = 'x'"
                " where accounting_date = %s",
                (day,),
            )
    return world


def reject_bank(world: World) -> None:
    world.execute("update control.channel_files set status = 'refused' where channel = 'bank'")


def test_a_decision_keeps_what_it_was_made_from(read: World) -> None:
    number = decide(read)
    counts = dict(
        read.rows(
            "select input_kind, count(*) from control.gate_decision_inputs"
            " where decision_id = %s group by input_kind",
            (number,),
        )
    )
    assert counts == {
        "file": read.value("select count(*) from control.channel_files"),
        "close": len(ACCOUNTING_DATES),
        "people": 5,
        "reference": read.value("select count(*) from pg_tables where schemaname = 'reference'"),
        "expectation": sum(len(suite.rules) for suite in GATE_SUITES),
    }
    assert read.value("select control.changed_gate_inputs_text(%s)", (number,)) is None


def test_inputs_are_stored_by_the_database_only(read: World) -> None:
    number = decide(read, "failed")
    with pytest.raises(psycopg.errors.RestrictViolation, match="stored with the decision"):
        read.execute(
            "insert into control.gate_decision_inputs values (%s, 'file', 'x', 'y')", (number,)
        )


def approve(world: World) -> None:
    with database.connect(world.settings) as connection:
        # The guard of an open date would refuse it: the attacker switches it off.
        connection.execute("set session_replication_role = replica")
        connection.execute(
            "insert into reconciliation.actions (action_kind, suspense_item_id, effective_on,"
            " reason, requested_by) values ('write_off', 'C:1', %s, 'x', 'li')",
            (ACCOUNTING_DATES[0],),
        )
        connection.execute(
            "insert into reconciliation.action_approvals"
            " select action_id, 'wang' from reconciliation.actions"
        )


def freeze(world: World) -> None:
    with database.connect(world.settings) as connection:
        connection.execute(
            "insert into control.freeze_requests (action, freeze_id, account_id, currency_code,"
            " amount_minor, freeze_kind, effective_on, reason, requested_by, signed_by_login)"
            " values ('freeze', 'P:1', 'A1', 'CNY', 1, 'risk', %s, 'x', 'li', 'l')",
            (PAYMENT_DATE,),
        )
        connection.execute(
            "insert into control.freeze_approvals (request_id, approved_by, signed_by_login)"
            " select request_id, 'wang', 'w' from control.freeze_requests"
        )


def sweep(world: World) -> None:
    with database.connect(world.settings) as connection:
        connection.execute(
            "insert into control.own_money_requests (entry_kind, currency_code, amount_minor,"
            " effective_on, expected_on, reason, requested_by, signed_by_login)"
            " values ('fee_sweep', 'CNY', 1, %s, %s, 'x', 'li', 'l')",
            (PAYMENT_DATE, PAYMENT_DATE),
        )
        connection.execute(
            "insert into control.own_money_approvals (request_id, approved_by, signed_by_login)"
            " select request_id, 'wang', 'w' from control.own_money_requests"
        )


CHANGES: Sequence[tuple[str | Callable[[World], None], str]] = [
    (reject_bank, r"file [0-9a-f]{16} \(camt053_morning\) does not count any more"),
    (
        "update control.channel_files set status = 'superseded' where file_kind = 'acomn'",
        r"\(acomn_20260924\) does not count any more; .* and 1 more",
    ),
    (
        "update control.channel_files set booked_on = booked_on + 1 where channel = 'bank'",
        r"\(camt053_morning\) has changed",
    ),
    (
        "insert into control.file_decisions (file_id, action, status_after, decided_by, reason)"
        " select file_id, 'release', 'landed', 'li', 'x' from control.channel_files"
        " where channel = 'bank'",
        r"\(camt053_morning\) has changed",
    ),
    (
        "update control.accounting_days set state = 'open' where accounting_date = '2026-09-25'",
        "close 2026-09-25 has changed",
    ),
    (
        "update control.accounting_days set close_count = 2 where accounting_date = '2026-09-25'",
        "close 2026-09-25 has changed",
    ),
    (approve, "people reconciliation.actions has changed"),
    (freeze, "people control.freeze_requests has changed"),
    (sweep, "people control.own_money_requests has changed"),
    (
        "update reference.channels set arrival_lag_days = 1 where channel = 'none';"
        " insert into reference.channels values ('none', '', 'CNY', 'working_day', 1)",
        "reference channels has changed",
    ),
    (
        "set local role tieout_owner; create table reference.new_rules ()",
        "reference new_rules is new",
    ),
    ("drop table reference.transaction_types", "reference transaction_types does not count"),
]


def apply(world: World, change: str | Callable[[World], None]) -> None:
    if callable(change):
        change(world)
    else:
        world.execute(change)


@pytest.mark.parametrize(("change", "words"), CHANGES)
def test_nothing_is_instructed_once_an_input_has_changed(
    read: World, change: str | Callable[[World], None], words: str
) -> None:
    decide(read)
    apply(read, change)
    with pytest.raises(TieoutError, match=words):
        payouts.instruct(read.settings, PAYMENT_DATE)
    assert read.value("select count(*) from payout.instructions") == 0


def later_files(world: World) -> None:
    """Land what comes between the gate and the payment: other places than those it read."""
    payment_world.file_row(world, "bank", "camt053", PAYMENT_DATE, file_name="camt053_evening")
    payment_world.file_row(world, "bank", "pain002", PAYMENT_DATE, file_name="pain002_1")
    payment_world.file_row(world, "unionpay", "acomn", PAYMENT_DATE, file_name="acomn_today")
    world.execute(
        "insert into control.file_decisions (file_id, action, status_after, decided_by, reason)"
        " select file_id, 'reject', 'refused', 'li', 'x' from control.channel_files"
        " where file_name in ('pain002_1', 'camt053_evening')"
    )


def test_a_file_of_another_place_is_no_input(read: World) -> None:
    decide(read)
    later_files(read)
    payouts.instruct(read.settings, PAYMENT_DATE)
    assert payouts.submit(read.settings, PAYMENT_DATE).attempts_created == 3


def test_the_answers_that_were_there_are_no_input(read: World) -> None:
    payment_world.file_row(read, "bank", "pain002", PAYMENT_DATE, file_name="pain002_1")
    payment_world.file_row(read, "bank", "camt053", PAYMENT_DATE + timedelta(days=1))
    decide(read)
    read.execute(
        "update control.channel_files set status = 'refused'"
        " where file_kind = 'pain002' or accounting_date > %s",
        (PAYMENT_DATE,),
    )
    assert payouts.instruct(read.settings, PAYMENT_DATE).created_count == 3


def test_no_attempt_is_made_once_an_input_has_changed(read: World) -> None:
    decide(read)
    payouts.instruct(read.settings, PAYMENT_DATE)
    reject_bank(read)
    with pytest.raises(TieoutError, match=r"\(camt053_morning\) does not count any more"):
        payouts.submit(read.settings, PAYMENT_DATE)
    assert read.value("select count(*) from payout.attempts") == 0
    assert read.files("") == {}


def test_no_attempt_is_made_once_a_statement_has_changed(read: World) -> None:
    decide(read)
    payouts.instruct(read.settings, PAYMENT_DATE)
    read.execute(
        "update settlement.settlement_statements set payout_amount_minor = 99"
        " where statement_id = %s",
        (payment_world.statement_id(2),),
    )
    with pytest.raises(TieoutError, match="not those the gate decided on"):
        payouts.submit(read.settings, PAYMENT_DATE)


def test_the_first_attempt_is_the_last_moment(read: World, monkeypatch: pytest.MonkeyPatch) -> None:
    decide(read)
    payouts.instruct(read.settings, PAYMENT_DATE)
    with monkeypatch.context() as patch:
        patch.setattr(submission, "_prepare", _crash)
        with pytest.raises(KeyboardInterrupt):
            payouts.submit(read.settings, PAYMENT_DATE)
    assert read.value("select count(*) from payout.attempts") == 3
    reject_bank(read)
    (file,) = payouts.submit(read.settings, PAYMENT_DATE).files
    assert file.is_new


def _crash(*_: object) -> None:
    raise KeyboardInterrupt


def seal(world: World) -> None:
    with database.connect(world.settings) as connection:
        set_state(connection, ACCOUNTING_DATES[0], "sealed")
        connection.execute(
            "insert into control.accounting_day_seals (accounting_date, channel, payment_date)"
            " values (%s, 'unionpay', %s)",
            (ACCOUNTING_DATES[0], PAYMENT_DATE),
        )


def test_nothing_is_sealed_once_an_input_has_changed(read: World) -> None:
    with pytest.raises(psycopg.errors.RestrictViolation, match="has not decided"):
        seal(read)
    decide(read)
    reject_bank(read)
    with pytest.raises(psycopg.errors.RestrictViolation, match="camt053_morning"):
        seal(read)
    decide(read)
    seal(read)


def test_after_the_first_submission_nothing_is_voided(read: World) -> None:
    decide(read)
    payouts.instruct(read.settings, PAYMENT_DATE)
    payouts.submit(read.settings, PAYMENT_DATE)
    reject_bank(read)
    read.execute("update reference.channels set arrival_lag_days = 7")
    assert payouts.submit(read.settings, PAYMENT_DATE).attempts_created == 0
    seal(read)


def test_a_decision_of_before_has_to_be_made_anew(read: World) -> None:
    number = decide(read)
    with database.connect(read.settings) as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute("delete from control.gate_decision_inputs")
    with pytest.raises(TieoutError, match=f"decision {number}.*no inputs on record"):
        payouts.instruct(read.settings, PAYMENT_DATE)


def release(world: World) -> None:
    world.execute(
        "insert into control.gate_decisions (payment_date, outcome, fingerprint,"
        " statements_covered, payout_amount_minor, decided_by, released_by_first,"
        " released_by_second, release_reason)"
        " values (%(day)s, 'released', gate.statement_fingerprint(%(day)s), 3, %(sum)s, 'li',"
        " 'li', 'wang', 'because')",
        {"day": PAYMENT_DATE, "sum": SUM},
    )


def test_a_release_by_hand_needs_the_failed_decision_on_the_same_statements(read: World) -> None:
    with pytest.raises(psycopg.errors.RestrictViolation, match="the gate has not decided"):
        release(read)
    decide(read)
    with pytest.raises(psycopg.errors.RestrictViolation, match="says passed"):
        release(read)
    read.execute(
        "insert into control.gate_decisions (payment_date, outcome, fingerprint, decided_by)"
        " values (%s, 'failed', 'other', 'test')",
        (PAYMENT_DATE,),
    )
    with pytest.raises(psycopg.errors.RestrictViolation, match="not those the gate failed on"):
        release(read)
    decide(read, "failed")
    reject_bank(read)
    with pytest.raises(psycopg.errors.RestrictViolation, match="does not count any more"):
        release(read)
    decide(read, "failed")
    release(read)


# --- the gate's own program -----------------------------------------------------------------------


FAILURE = gate.Failure("gate_equation", "residual_is_zero", "x", "residual", "-1", "CNY", "off")


def test_the_gate_decides_anew_where_an_input_has_changed(read: World, finding: Finding) -> None:
    first = gate.decide(read.settings, PAYMENT_DATE)
    assert not gate.decide(read.settings, PAYMENT_DATE).is_new
    reject_bank(read)
    second = gate.decide(read.settings, PAYMENT_DATE)
    assert second.is_new
    assert second.fingerprint == first.fingerprint
    assert payouts.instruct(read.settings, PAYMENT_DATE).created_count == 3


def test_a_release_falls_where_an_input_has_changed(read: World, finding: Finding) -> None:
    finding.failures = (FAILURE,)
    gate.decide(read.settings, PAYMENT_DATE)
    payment_world.release(read.settings, PAYMENT_DATE, "li", "wang", "line comes tomorrow")
    reject_bank(read)
    with pytest.raises(TieoutError, match="camt053_morning"):
        payouts.instruct(read.settings, PAYMENT_DATE)
    assert gate.decide(read.settings, PAYMENT_DATE).outcome == "failed"


def test_a_release_of_what_has_changed_since_is_refused(read: World, finding: Finding) -> None:
    finding.failures = (FAILURE,)
    gate.decide(read.settings, PAYMENT_DATE)
    reject_bank(read)
    with pytest.raises(TieoutError, match="camt053_morning"):
        payment_world.release(read.settings, PAYMENT_DATE, "li", "wang", "line comes tomorrow")


def test_inputs_that_change_during_the_check_do_not_pass(read: World, finding: Finding) -> None:
    finding.between = [lambda: reject_bank(read)]
    decision = gate.decide(read.settings, PAYMENT_DATE)
    assert decision.outcome == "failed"
    assert "what the gate reads changed" in str(decision.failures[0])


def test_what_the_suites_pass_and_the_tables_contradict_is_an_error(
    read: World, finding: Finding
) -> None:
    read.execute("update gate.balance_equation set residual_minor = 1 where channel = 'alipay'")
    with pytest.raises(TieoutError, match="the residual of alipay-20260928-CNY is 1"):
        gate.decide(read.settings, PAYMENT_DATE)
    rows: list[tuple[Any, ...]] = read.rows("select * from control.gate_decisions")
    assert rows == []
