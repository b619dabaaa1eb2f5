"""The way back before anything has left: two people, everything kept, nothing after a file."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from typer.testing import CliRunner

import day_states
from payment_world import ACCOUNTING_DATES, PAYMENT_DATE, PAYOUTS_MINOR, World, decide, rename
from tieout import database, payouts
from tieout.commands import cli
from tieout.core.errors import TieoutError
from tieout.dates import days
from tieout.decisions import undo
from tieout.decisions.undo import UndoError
from tieout.payouts import submission
from tieout.payouts.store import Store

COUNT = len(PAYOUTS_MINOR)
REASON = "the payee's name is too long for every payment file"
OWNER = f"{days.COMMAND_PREFIX}gone"


def seal(world: World) -> Callable[[psycopg.Connection[tuple[object, ...]]], None]:
    def within(connection: psycopg.Connection[tuple[object, ...]]) -> None:
        days.seal_within(connection, world.settings, PAYMENT_DATE, OWNER)

    return within


def hold(world: World) -> None:
    """Let the payment date be held, as by a run that has ended since."""
    world.execute(
        "insert into control.date_leases (kind, business_date, owner_id) values (%s, %s, %s)",
        (days.SETTLEMENT_PAYOUT, PAYMENT_DATE, OWNER),
    )


@pytest.fixture
def stuck(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """A date whose attempts are stored and sealed, and whose file no program can write."""
    with database.connect(world.settings) as connection:
        for day in ACCOUNTING_DATES:
            day_states.set_state(connection, day, "closed")
    hold(world)
    rename(world, "测" * 150)
    decide(world)
    payouts.instruct(world.settings, PAYMENT_DATE)
    with monkeypatch.context() as patch:
        # As a version of the program did that did not look before.
        patch.setattr(submission, "_rehearse", lambda *_: None)
        with pytest.raises(TieoutError, match="account_name has 150 characters"):
            payouts.submit(world.settings, PAYMENT_DATE, seal=seal(world))
    return world


def counts(world: World) -> tuple[int, ...]:
    tables = ("instructions", "attempts", "attempt_events", "undone_payouts")
    return tuple(world.value(f"select count(*) from payout.{table}") for table in tables)


def states(world: World) -> set[str]:
    return {row[0] for row in world.rows("select state from control.accounting_days")}


def undone(world: World) -> undo.Undo:
    undo_id = undo.ask(world.settings, PAYMENT_DATE, by="Zhang San", reason=REASON)
    return undo.approve(world.settings, undo_id, by="Li Si")


def test_two_people_undo_and_the_corrected_date_is_paid(stuck: World) -> None:
    assert counts(stuck) == (COUNT, COUNT, COUNT, 0)
    assert states(stuck) == {"sealed"}
    done = undone(stuck)
    assert (done.approved_by, done.payout_count, done.reason) == ("Li Si", COUNT, REASON)
    assert counts(stuck) == (0, 0, 0, COUNT)
    assert states(stuck) == {"closed"}
    assert not days.has_attempts(stuck.settings, PAYMENT_DATE)
    assert stuck.rows("select 1 from control.accounting_day_seals") == []
    # The date may be opened again, for the corrected file.
    with database.connect(stuck.settings) as connection:
        opened = days.reopen(connection, ACCOUNTING_DATES[-1], None)
        assert opened == [ACCOUNTING_DATES[-1]]
        day_states.set_state(connection, ACCOUNTING_DATES[-1], "closed")
    rename(stuck, "测试商户")
    hold(stuck)
    decide(stuck)
    payouts.instruct(stuck.settings, PAYMENT_DATE)
    report = payouts.submit(stuck.settings, PAYMENT_DATE, seal=seal(stuck))
    assert (report.attempts_created, report.payment_count) == (COUNT, COUNT)
    assert states(stuck) == {"sealed"}


def test_what_was_undone_stays_on_record_with_who_undid_it(stuck: World) -> None:
    done = undone(stuck)
    for instruction, attempt, events in stuck.rows(
        "select instruction, attempt, events from payout.undone_payouts"
    ):
        assert instruction["payment_date"] == str(PAYMENT_DATE)
        assert attempt["instruction_id"] == instruction["instruction_id"]
        assert [event["status"] for event in events] == ["created", "undone"]
        assert events[-1]["detail"] == f"undo {done.undo_id}, approved by Li Si"
    for statement in (
        "delete from payout.undone_payouts",
        "update payout.undo_approvals set approved_by = 'x'",
        "truncate payout.undo_requests cascade",
    ):
        with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
            stuck.execute(statement)


@pytest.mark.parametrize("second", ["zhang san", "ZHANG\u200b SAN", "Zhang San"])
def test_one_person_is_not_two(stuck: World, second: str) -> None:
    undo_id = undo.ask(stuck.settings, PAYMENT_DATE, by="Zhang San", reason=REASON)
    with pytest.raises(UndoError, match="another person has to approve"):
        undo.approve(stuck.settings, undo_id, by=second)
    with pytest.raises(psycopg.errors.RestrictViolation, match="another person"):
        stuck.execute(
            "insert into payout.undo_approvals (undo_id, payment_date, approved_by)"
            " values (%s, %s, %s)",
            (undo_id, PAYMENT_DATE, second),
        )
    assert counts(stuck) == (COUNT, COUNT, COUNT, 0)


def test_nameless_and_unreasoned_requests_are_refused(stuck: World) -> None:
    for by, reason in (("", REASON), ("Zhang San", "  "), ("\u200b", REASON)):
        with pytest.raises(UndoError, match="two names and a reason"):
            undo.ask(stuck.settings, PAYMENT_DATE, by=by, reason=reason)
    with pytest.raises(UndoError, match="there is no undo 7"):
        undo.approve(stuck.settings, 7, by="Li Si")


def test_a_file_on_record_is_never_undone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    decide(world)
    payouts.instruct(world.settings, PAYMENT_DATE)
    undo_id = undo.ask(world.settings, PAYMENT_DATE, by="Zhang San", reason=REASON)
    with monkeypatch.context() as patch:
        patch.setattr(Store, "put_out", killed)
        with pytest.raises(KeyboardInterrupt):
            payouts.submit(world.settings, PAYMENT_DATE)
    # The record is there, the file has not its name yet: it may get it at any moment.
    assert world.value("select count(*) from payout.outbox_files") == 1
    assert list(world.files("payouts")) == [".pain001_PO20260928-001-A1.xml.part"]
    with pytest.raises(UndoError, match="a payment file of it is on record"):
        undo.ask(world.settings, PAYMENT_DATE, by="Zhang San", reason=REASON)
    with pytest.raises(UndoError, match="a payment file of it is on record"):
        undo.approve(world.settings, undo_id, by="Li Si")
    assert counts(world) == (COUNT, COUNT, COUNT, 0)
    assert len(world.files("payouts")) == 1


def test_a_file_without_its_record_is_not_undone(stuck: World) -> None:
    undo_id = undo.ask(stuck.settings, PAYMENT_DATE, by="Zhang San", reason=REASON)
    path = stuck.outbox / submission.file_path(PAYMENT_DATE, "PO20260928-001-A1")
    path.parent.mkdir(parents=True)
    path.write_text("somebody's")
    with pytest.raises(UndoError, match="lies in the outbox"):
        undo.approve(stuck.settings, undo_id, by="Li Si")
    assert counts(stuck) == (COUNT, COUNT, COUNT, 0)


def test_a_prepared_file_goes_with_its_attempts(stuck: World) -> None:
    path = submission.file_path(PAYMENT_DATE, "PO20260928-001-A1")
    Store(stuck.settings.outbox_url).prepare(path, b"half a file")
    assert len(stuck.files("payouts")) == 1
    undone(stuck)
    assert stuck.files("payouts") == {}


def test_a_running_payment_is_not_undone(stuck: World) -> None:
    undo_id = undo.ask(stuck.settings, PAYMENT_DATE, by="Zhang San", reason=REASON)
    with days.command_owner(stuck.settings) as owner:
        stuck.execute("update control.date_leases set owner_id = %s", (owner,))
        with pytest.raises(UndoError, match="its payment is running"):
            undo.approve(stuck.settings, undo_id, by="Li Si")


def test_a_date_that_later_ones_were_paid_from_is_not_undone(stuck: World) -> None:
    with database.connect(stuck.settings) as connection:
        day_states.set_state(connection, "2026-09-28", "sealed")
        day_states.seal(connection, "2026-09-28", "wechat", "2026-09-29")
    with pytest.raises(UndoError, match="2026-09-29 was paid from what it carried forward"):
        undo.ask(stuck.settings, PAYMENT_DATE, by="Zhang San", reason=REASON)


def test_a_date_without_instructions_has_nothing_to_undo(world: World) -> None:
    with pytest.raises(UndoError, match="nothing of it was instructed"):
        undo.ask(world.settings, PAYMENT_DATE, by="Zhang San", reason=REASON)


def test_instructions_without_attempts_are_undone_too(world: World) -> None:
    decide(world)
    payouts.instruct(world.settings, PAYMENT_DATE)
    assert undone(world).payout_count == COUNT
    assert counts(world) == (0, 0, 0, COUNT)
    assert world.value("select count(*) from payout.undone_payouts where attempt is null") == COUNT


def test_nothing_goes_without_an_undo_of_its_own_transaction(stuck: World) -> None:
    undone(stuck)
    rename(stuck, "测试商户")
    decide(stuck)
    payouts.instruct(stuck.settings, PAYMENT_DATE)
    payouts.submit(stuck.settings, PAYMENT_DATE, seal=seal(stuck))
    for statement in (
        "delete from payout.attempt_events",
        "delete from payout.attempts",
        "delete from payout.instructions",
        "update payout.attempts set attempt_no = 2",
        "delete from control.accounting_day_seals",
        "update control.accounting_days set state = 'closed'",
    ):
        with pytest.raises(psycopg.errors.RestrictViolation, match=r"append-only|is sealed"):
            stuck.execute(statement)
    with pytest.raises(UndoError, match="lies in the outbox"):
        undone(stuck)


def test_the_commands_say_what_comes_next(stuck: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tieout.commands.shared.home", lambda: stuck.settings)
    said: list[str] = []
    monkeypatch.setattr("tieout.commands.undo.say", said.append)
    runner = CliRunner()
    asked = ["undo-payment", "ask", str(PAYMENT_DATE), "--by", "Zhang San", "--reason", REASON]
    assert runner.invoke(cli.app, asked, catch_exceptions=False).exit_code == 0
    assert said[-1] == "next: another person: tieout undo-payment approve 1 --by NAME"
    approved = ["undo-payment", "approve", "1", "--by", "Li Si"]
    assert runner.invoke(cli.app, approved, catch_exceptions=False).exit_code == 0
    assert f"{COUNT} payouts undone, approved by Li Si" in said[2]
    assert said[-1].endswith(f"tieout pay {PAYMENT_DATE}")
    listed = runner.invoke(cli.app, ["undo-payment", "list"], catch_exceptions=False)
    assert "undo 1: payment date 2026-09-28" in listed.output
