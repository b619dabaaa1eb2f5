"""A payment that was cut off: what is decided stays, and what was left undone is made up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime

import psycopg
import pytest
from rich.console import Console

import day_states
from payment_world import ACCOUNTING_DATES, PAYMENT_DATE, PAYOUTS_MINOR, World, rename
from tieout import database, payouts
from tieout.commands import overview
from tieout.core.errors import TieoutError
from tieout.dates import days
from tieout.gate import deciding
from tieout.gate.expectation_suites import GATE_EQUATION
from tieout.payouts import submission
from tieout.runs import airflow_home, paying, steps, transform

OWNER = f"{days.COMMAND_PREFIX}of-this-test"
DECIDING: tuple[Callable[[steps.Step], object], ...] = (
    paying.land_bank,
    paying.build,
    paying.gate,
    paying.instruct,
)


@pytest.fixture
def step(world: World) -> steps.Step:
    """A run that holds the payment date, its accounting dates closed, its instructions written."""
    with database.connect(world.settings) as connection:
        for day in ACCOUNTING_DATES:
            day_states.set_state(connection, day, "closed")
        # As the table of dbt: what the last build saw.
        connection.execute(
            "create table payout.payout_status (payment_date date, end_to_end_id text,"
            " current_status text, payout_amount_minor bigint, currency_code text)"
        )
    world.execute(
        "insert into control.gate_decisions (payment_date, outcome, fingerprint,"
        " statements_covered, payout_amount_minor, decided_by) values (%s, 'passed',"
        " gate.statement_fingerprint(%s), 3, %s, 'test')",
        (PAYMENT_DATE, PAYMENT_DATE, sum(PAYOUTS_MINOR)),
    )
    payouts.instruct(world.settings, PAYMENT_DATE)
    world.execute(
        "insert into control.date_leases (kind, business_date, owner_id) values (%s, %s, %s)",
        (days.SETTLEMENT_PAYOUT, PAYMENT_DATE, OWNER),
    )
    now = datetime(2026, 9, 28, 3, tzinfo=UTC)
    return steps.Step(world.settings, days.SETTLEMENT_PAYOUT, PAYMENT_DATE, OWNER, "x", now)


def states(world: World) -> set[str]:
    return {row[0] for row in world.rows("select state from control.accounting_days")}


def publish(world: World) -> None:
    """Do what the build of the outcomes does to the status."""
    world.execute("truncate payout.payout_status")
    world.execute(
        "insert into payout.payout_status (payment_date, end_to_end_id, current_status)"
        " select %s, end_to_end_id,"
        " payout.latest_status(attempt_id) from payout.attempts",
        (PAYMENT_DATE,),
    )


def test_the_first_attempt_and_the_seal_are_one_transaction(
    world: World, step: steps.Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(*_: object) -> list[object]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(days, "seal_within", cut_off)
        with pytest.raises(KeyboardInterrupt):
            paying.submit(step)
    assert world.value("select count(*) from payout.attempts") == 0
    assert states(world) == {"closed"}
    with monkeypatch.context() as patch:
        patch.setattr(submission, "_put_out_files", cut_off)
        with pytest.raises(KeyboardInterrupt):
            paying.submit(step)
    assert world.value("select count(*) from payout.attempts") == len(PAYOUTS_MINOR)
    assert states(world) == {"sealed"}


def test_a_payment_cut_off_before_its_file_goes_on(
    world: World, step: steps.Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(submission, "_put_out_files", cut_off)
        with pytest.raises(KeyboardInterrupt):
            paying.submit(step)
    publish(world)  # a status of `created` is no end, published or not
    assert paying.ready(step) is None
    before = world.rows("select decision_id from control.gate_decisions")
    for decides in DECIDING:
        assert decides(step) == {}, "nothing is landed, built, decided or instructed any more"
    assert world.rows("select decision_id from control.gate_decisions") == before
    counts = paying.submit(step)
    assert (counts["files"], counts["rows"]) == (1, len(PAYOUTS_MINOR))
    assert len(world.files("payouts")) == 1
    assert len(world.files("statements")) == 1


def test_a_payment_cut_off_before_it_published_is_made_up(
    world: World, step: steps.Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    paying.submit(step)
    assert paying.ready(step) is None
    assert days.unfinished_payment(step.settings) == PAYMENT_DATE
    built: list[object] = []

    def build(_: object, day: object, owner: str) -> transform.BuildReport:
        built.append(day)
        assert owner == OWNER
        publish(world)
        return transform.BuildReport("tag:outcomes", 1, 0, 0.0, ())

    monkeypatch.setattr(transform, "build_outcomes", build)
    paying.publish(step)
    assert built == [PAYMENT_DATE]
    assert days.unfinished_payment(step.settings) is None
    with pytest.raises(days.NothingToDo, match="is paid, unchanged"):
        paying.ready(step)


def test_the_next_payment_publishes_what_was_cut_off(
    world: World, step: steps.Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    paying.submit(step)
    next_date = date(2026, 9, 29)
    world.execute(
        "insert into control.date_leases (kind, business_date, owner_id) values (%s, %s, %s)",
        (days.SETTLEMENT_PAYOUT, next_date, OWNER),
    )
    built: list[object] = []

    def outcomes(_: object, day: object, owner: str) -> None:
        built.append(("outcomes", day))
        assert owner == OWNER
        publish(world)

    def payment(_: object, day: object, owner: str) -> transform.BuildReport:
        built.append(("payment", day))
        assert owner == OWNER
        return transform.BuildReport("tag:payment", 1, 0, 0.0, ())

    monkeypatch.setattr(transform, "build_outcomes", outcomes)
    monkeypatch.setattr(transform, "build_payment", payment)
    for _ in range(2):
        paying.build(replace(step, day=next_date))
    assert built == [
        ("outcomes", PAYMENT_DATE),
        ("payment", next_date),
        ("payment", next_date),
    ]


def test_what_waits_for_its_file_is_not_published(
    world: World, step: steps.Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(submission, "_put_out_files", cut_off)
        with pytest.raises(KeyboardInterrupt):
            paying.submit(step)
    assert days.unpublished_payment(world.settings, date(2026, 9, 29)) is None


def test_who_cannot_be_named_in_a_file_is_known_before_the_statements(
    world: World, step: steps.Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename(world, "测" * 141)
    found: list[int] = []

    def build(*_: object) -> transform.BuildReport:
        found.append(world.value("select count(*) from payout.unwritable_payees"))
        return transform.BuildReport("tag:payment", 1, 0, 0.0, ())

    monkeypatch.setattr(transform, "build_payment", build)
    paying.build(step)
    assert found == [1]
    assert (
        f"payee 收款人 P000001 version 1 is withheld on {PAYMENT_DATE}: account_name has 141"
        in shown(world)
    )


def test_the_statements_of_a_date_with_attempts_are_not_built(
    world: World, step: steps.Step
) -> None:
    with database.connect(world.settings) as connection:
        connection.execute(
            "create table settlement.parts (payment_date date) partition by list (payment_date)"
        )
        connection.execute(
            "create table settlement.parts_1 partition of settlement.parts"
            " for values in ('2026-09-28')"
        )
        connection.execute(
            "select control.guard_partition('settlement.parts_1', 'payment_date', '2026-09-28'),"
            " control.guard_parent('settlement.parts', 'payment_date')"
        )
    insert = "insert into settlement.parts values ('2026-09-28')"
    world.execute(insert)
    payouts.submit(world.settings, PAYMENT_DATE)  # attempts, and no seal yet
    assert states(world) == {"closed"}
    for statement in (insert, "truncate settlement.parts", "delete from settlement.parts_1"):
        with pytest.raises(psycopg.errors.RestrictViolation, match="2026-09-28 is paid"):
            world.execute(statement)
    assert world.value("select count(*) from settlement.parts") == 1


def shown(world: World) -> str:
    console = Console(width=200, record=True, quiet=False, file=None)
    with console.capture() as captured:
        overview.print_problems(console, world.settings, None)
    return captured.get()


def test_the_status_tells_who_works_from_who_is_gone(world: World, step: steps.Step) -> None:
    with days.command_owner(world.settings) as owner:
        world.execute("update control.date_leases set owner_id = %s", (owner,))
        text = shown(world)
        assert f"at work: settlement_payout of {PAYMENT_DATE}" in text
        assert "broken off" not in text
        # The owner is gone with its session, whatever its row says.
        world.execute("update control.date_leases set owner_id = %s", (OWNER,))
    paying.submit(step)
    text = shown(world)
    assert "at work" not in text
    assert f"broken off: settlement_payout of {PAYMENT_DATE}" in text
    assert f"not finished: the payment of {PAYMENT_DATE}: run tieout pay {PAYMENT_DATE}" in text


@pytest.mark.parametrize("kind", [days.ACCOUNTING_CLOSE, days.PAYOUT_OUTCOMES])
def test_a_dead_owner_is_nowhere_at_work(world: World, step: steps.Step, kind: str) -> None:
    """A command by its lock; an Airflow run that nobody ended by the scheduler's heartbeat."""
    world.execute("update control.date_leases set kind = %s", (kind,))
    assert "at work" not in shown(world)
    assert f"broken off: {kind} of {PAYMENT_DATE}" in shown(world)
    owner = f"{days.COMMAND_PREFIX}next"
    days.claim(world.settings, kind, PAYMENT_DATE, owner)  # the next run takes the date over
    days.require_lease(world.settings, kind, PAYMENT_DATE, owner)


def test_a_run_airflow_never_ended_is_not_at_work(
    world: World, step: steps.Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.execute("update control.date_leases set owner_id = 'manual__2026-09-28'")
    world.execute("update control.date_leases set renewed_at = clock_timestamp()")
    for is_alive, word in ((True, "at work"), (False, "broken off")):
        monkeypatch.setattr(airflow_home, "scheduler_is_alive", lambda _, here=is_alive: here)
        assert f"{word}: settlement_payout of {PAYMENT_DATE}" in shown(world)


def test_a_program_with_other_checks_pays_nothing_that_was_decided_by_these(
    step: steps.Step, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upgrade between the decision and the payment: the gate has to run again."""
    first = GATE_EQUATION.rules[0]
    rules = (replace(first, text="-- another"), *GATE_EQUATION.rules[1:])
    changed = replace(GATE_EQUATION, rules=rules)
    monkeypatch.setattr(deciding, "GATE_SUITES", (changed, *deciding.GATE_SUITES[1:]))
    database.migrate(world.settings)  # the gate's files are put on record as the gate
    paying.instruct(step)
    with pytest.raises(TieoutError, match=f"expectation gate_equation/{first.name} has changed"):
        payouts.submit(world.settings, PAYMENT_DATE, seal=lambda *_: None)
