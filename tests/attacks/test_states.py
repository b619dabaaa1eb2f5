"""Attacks by somebody with SQL or with the folders, and interruptions at a bad moment.

What a program with the database's rights may still do is said in docs/attacks.md.
"""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

import attack_files as files
from attack_world import (
    DAY,
    FIRST,
    NEXT_DAY,
    NEXT_PAYMENT,
    OWNER,
    PAYMENT,
    Outcome,
    World,
    outcome_of,
)
from payment_world import Finding
from tieout import database, gate, landing
from tieout.channels.common.excerpts import masked_excerpt
from tieout.core.errors import TieoutError
from tieout.dates import days
from tieout.landing import corrections
from tieout.payouts import submission
from tieout.runs import paying, steps, transform
from tieout.simulator import bank

pytestmark = pytest.mark.slow
REFUSED = (TieoutError, psycopg.Error)


def steps_of_payment(world: World, *names: str) -> None:
    """Run steps of the payment of the attacked date."""
    for name in names:
        world.step(paying, days.SETTLEMENT_PAYOUT, PAYMENT, name)


def decided(world: World) -> None:
    """Close the attacked date and run its payment up to a gate that passes."""
    world.must(world.close(DAY))
    steps_of_payment(world, "ready", "claim", "land_bank", "build", "gate")


def take_again(world: World) -> None:
    """Take the payment date for a run whose paying steps alone are run."""
    days.claim(world.settings, days.SETTLEMENT_PAYOUT, PAYMENT, OWNER)


def is_refused(world: World) -> str:
    """Run what pays after the gate; demand that it is refused and that no file leaves."""
    with pytest.raises(REFUSED) as refused:
        steps_of_payment(world, "instruct", "submit")
    print(refused.value)
    assert not world.payments(PAYMENT)
    return str(refused.value)


def file_id_of(world: World, kind: str, status: str) -> str:
    """Return the id of the newest file of a kind that has a status."""
    rows = world.rows(
        "select file_id from control.channel_files where file_kind = %s and status = %s"
        " order by landed_at desc, file_id limit 1",
        [kind, status],
    )
    assert rows, f"no {kind} is {status}"
    return str(rows[0][0])


# --- a gate that does not hold ------------------------------------------------------------------


def test_a_scheduled_run_waits_for_two_people(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gives the date back, looks again until it is released, and takes it before it pays."""

    def scheduled(name: str) -> object:
        return world.step(paying, days.SETTLEMENT_PAYOUT, PAYMENT, name, waits=True)

    def text_left() -> str:
        left = steps.read_failure(world.settings, days.SETTLEMENT_PAYOUT, PAYMENT)
        return "" if left is None else f"{left.what}, {left.awaits_release}"

    world.must(world.close(DAY))
    steps_of_payment(world, "ready", "claim", "land_bank", "build")
    finding = Finding(monkeypatch)
    finding.failures = (gate.Failure("gate_equation", "zero", "x", "residual", "-1", "CNY", "x"),)
    assert scheduled("gate") == {"failures": 1}
    assert days.leases(world.settings) == []
    assert "two people release it" in str(scheduled("agreed"))
    assert "the gate of 2026-09-23 does not hold" in text_left()
    assert text_left().endswith("True")
    take_again(world)
    with pytest.raises(steps.GateFailedError, match="does not hold"):
        steps_of_payment(world, "gate")
    is_refused(world)
    days.release(world.settings, days.SETTLEMENT_PAYOUT, PAYMENT, OWNER)

    release_id = gate.request_release(world.settings, PAYMENT, "line comes tomorrow", by="Li")
    assert "two people release it" in str(scheduled("agreed"))
    gate.approve_release(world.settings, release_id, by="Wang")
    with days.command_owner(world.settings) as another:
        days.claim(world.settings, days.SETTLEMENT_PAYOUT, PAYMENT, another)
        assert another in str(scheduled("agreed"))
        days.release(world.settings, days.SETTLEMENT_PAYOUT, PAYMENT, another)
    assert scheduled("agreed") is None
    assert text_left() == ""
    steps_of_payment(world, "instruct", "submit")
    assert world.payments(PAYMENT)
    assert scheduled("agreed") is None


# --- between the gate's decision and the payment ------------------------------------------------


def test_a_payee_s_ciphertexts_copied_into_another_s_row(world: World) -> None:
    """4a: whoever can write rows sends one merchant's money to another's account."""
    decided(world)
    world.execute(
        "update raw.platform_payees as thief set"
        " account_number_ciphertext = other.account_number_ciphertext,"
        " account_name_ciphertext = other.account_name_ciphertext"
        " from raw.platform_payees as other where thief.payee_id = 'P000002'"
        " and other.payee_id = 'P000003' and other.accounting_date = thief.accounting_date"
        # Rows of sealed dates stay as they are; those of the date that is being paid do not yet.
        f" and thief.accounting_date = '{DAY}'"
    )
    is_refused(world)


def test_a_payee_s_row_copied_whole(world: World) -> None:
    """4a, more thoroughly: the token and the masks are copied, too."""
    decided(world)
    world.execute(
        "update raw.platform_payees as thief set"
        " account_number_ciphertext = other.account_number_ciphertext,"
        " account_number_token = other.account_number_token,"
        " account_number_mask = other.account_number_mask,"
        " account_name_ciphertext = other.account_name_ciphertext,"
        " account_name_token = other.account_name_token,"
        " account_name_mask = other.account_name_mask"
        " from raw.platform_payees as other where thief.payee_id = 'P000002'"
        " and other.payee_id = 'P000003' and other.accounting_date = thief.accounting_date"
        # Rows of sealed dates stay as they are; those of the date that is being paid do not yet.
        f" and thief.accounting_date = '{DAY}'"
    )
    is_refused(world)


def test_payees_replaced_after_the_decision(world: World) -> None:
    """4b: a second payees file, released by one person; the old decision still counts."""
    decided(world)
    with files.platform(world, "payees", DAY) as rows:
        row = next(row for row in rows if row["payee_id"] == "P000002")
        row["account_number"] = "6600000000000009999"
    days.release(world.settings, days.SETTLEMENT_PAYOUT, PAYMENT, OWNER)
    with suppress(TieoutError):
        landing.land(world.settings, through_date=DAY)
        conflict = file_id_of(world, "payees", "conflict")
        corrections.release(world.settings, conflict, decided_by="wang", reason="the newer one")
        # The statements come out as they were: the decision's fingerprint still fits.
        print(world.close(DAY))
    # Where the release itself was refused, the honest payment may go on; never to the new number.
    with suppress(*REFUSED):
        take_again(world)
        steps_of_payment(world, "instruct", "submit")
    paid_to = {payment.account_number for payment in world.payments(PAYMENT)}
    print(f"{len(paid_to)} accounts paid, the new one among them: {OTHER in paid_to}")
    assert OTHER not in paid_to


OTHER = "6600000000000009999"


def test_a_passed_decision_by_hand(world: World) -> None:
    """5a: the gate failed; somebody inserts `passed` with the stored fingerprint."""
    world.must(world.close(DAY))
    with files.bank_morning(world, PAYMENT) as lines:
        lines[0]["amount_minor"] -= 1
    run = world.pay(PAYMENT)
    assert run.failed_step == "gate", run
    with suppress(psycopg.Error):
        world.execute(
            "insert into control.gate_decisions (payment_date, outcome, fingerprint,"
            " statements_covered, payout_amount_minor, detail, decided_by)"
            " select payment_date, 'passed', fingerprint, statements_covered,"
            " payout_amount_minor, '{\"failures\": []}', decided_by from control.gate_decisions"
            " where payment_date = %s order by decision_id desc limit 1",
            [PAYMENT],
        )
    take_again(world)
    is_refused(world)


def test_a_bank_statement_rejected_after_the_decision(world: World) -> None:
    """5b: the arrivals the gate read are taken away; the paying steps are run alone."""
    decided(world)
    days.release(world.settings, days.SETTLEMENT_PAYOUT, PAYMENT, OWNER)
    (statement,) = world.rows(
        "select file_id from control.channel_files where channel = 'bank'"
        " and file_name like %s and status = 'landed'",
        [f"camt053%{PAYMENT:%Y%m%d}_1.xml"],
    )
    try:
        corrections.reject(
            world.settings, str(statement[0]), decided_by="wang", reason="not the bank's"
        )
    except TieoutError as refused:
        print(f"the rejection was refused: {refused}")
        return
    take_again(world)
    is_refused(world)


@pytest.mark.parametrize(
    "statement",
    [
        "update reference.channels set suspense_limit_amount_minor = 999999999999",
        "update reference.channels set arrival_lag_days = arrival_lag_days + 1",
        "update reference.bank_line_rules set channel = 'wechat' where channel = 'alipay'",
    ],
)
def test_reference_data_changed_after_the_decision(world: World, statement: str) -> None:
    """15: the gate read other limits and rules than those in force now."""
    decided(world)
    with suppress(psycopg.Error):
        world.execute(statement)
        is_refused(world)
        return
    print("the change itself was refused")


def test_reference_data_changed_before_the_close(world: World, honest: Outcome) -> None:
    """15: all channels may keep anything open; nobody is told."""
    try:
        world.execute("update reference.channels set suspense_limit_amount_minor = 999999999999")
    except psycopg.Error as refused:
        print(f"the change itself was refused: {refused}")
        return
    outcome = outcome_of(world, world.close_and_pay())
    print(outcome.summary(honest))
    assert outcome.heard(honest)


# --- sealed dates -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "truncate control.accounting_days cascade",
        "truncate settlement.settlement_statements",
        "truncate clearing.clearing_entries",
        "truncate ledger.postings",
        f"truncate settlement.settlement_statements_{DAY:%Y%m%d}",
        f"truncate clearing.clearing_entries_{FIRST:%Y%m%d}",
        f"update settlement.settlement_statements set payout_amount_minor = payout_amount_minor"
        f" where payment_date = '{DAY}'",
        f"delete from clearing.clearing_entries where accounting_date = '{FIRST}'",
    ],
)
def test_what_was_paid_cannot_be_emptied_or_changed(world: World, statement: str) -> None:
    """5c: the first date is paid."""
    with pytest.raises(psycopg.Error) as refused:
        world.execute(statement)
    print(refused.value)


def test_a_sealed_date_is_not_computed_again(world: World) -> None:
    """5c: dbt run by hand on a date that is paid."""
    before = world.rows("select * from settlement.settlement_statements order by statement_id")
    for build, day in ((transform.build_close, FIRST), (transform.build_payment, DAY)):
        with pytest.raises(REFUSED) as refused:
            build(world.settings, day, OWNER)
        print(refused.value)
    after = world.rows("select * from settlement.settlement_statements order by statement_id")
    assert after == before


# --- after the payment --------------------------------------------------------------------------


def test_a_payment_file_that_vanished_and_a_silent_bank(world: World, honest: Outcome) -> None:
    """7: nothing says that a payment was never made."""
    world.must(world.close_and_pay())
    for path in world.outbox.glob(f"payouts/{PAYMENT:%Y%m%d}/pain001_*.xml"):
        path.unlink()
    runs = [world.read_outcomes(PAYMENT)]
    runs += [world.close(NEXT_DAY), world.pay(NEXT_PAYMENT), world.read_outcomes(NEXT_PAYMENT)]
    states = world.rows(
        "select distinct current_status from payout.payout_status where payment_date = %s",
        [PAYMENT],
    )
    assert any(not run.ok for run in runs) or states != [("submitted",)], states


def test_an_empty_report_of_2099(world: World, honest: Outcome) -> None:
    """8: a statement dated in the future must not hide what the bank debited."""
    world.must(world.close_and_pay())
    path = world.inbox / bank.statement_path(DAY.replace(year=2099), 1)
    path.parent.mkdir(parents=True)
    balance = bank.closing_balance(world.settings.truth_dir)
    path.write_bytes(bytes_of(bank.statement_xml(DAY.replace(year=2099), 1, balance, [])))
    landing.land(world.settings)
    from tieout.simulator import bank_answers

    bank_answers.answer(world.settings, PAYMENT)
    for report in world.inbox.rglob("pain002_*"):
        report.unlink()  # the statement alone has to say it
    run = world.read_outcomes(PAYMENT)
    world.must(world.close(NEXT_DAY))
    world.pay(NEXT_PAYMENT)
    states = world.rows(
        "select distinct current_status from payout.payout_status where payment_date = %s",
        [PAYMENT],
    )
    print(run, states)
    assert states == [("paid",)]


def bytes_of(content: str | bytes) -> bytes:
    """Return a statement's bytes."""
    return content.encode() if isinstance(content, str) else content


def test_a_junk_status_report(world: World) -> None:
    """10: a person sets it aside once, and the evenings go on."""
    world.must(world.close_and_pay())
    folder = world.inbox / "bank" / f"{PAYMENT:%Y%m%d}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pain002_JUNK.xml").write_text("<Document>junk", encoding="utf-8")
    from tieout.simulator import bank_answers

    bank_answers.answer(world.settings, PAYMENT)
    first = world.read_outcomes(PAYMENT)
    print(first)
    assert not first.ok, "nobody heard of the junk"
    known = world.rows(
        "select file_id from control.channel_files where file_name = 'pain002_JUNK.xml'"
    )
    assert known, "the junk is on no list that a person could set it aside from"
    corrections.reject(world.settings, str(known[0][0]), decided_by="wang", reason="junk")
    second = world.read_outcomes(PAYMENT)
    assert second.ok, second


# --- interruptions ------------------------------------------------------------------------------


class Killed(BaseException):
    """Stands for the death of the process: nothing handles it."""


def test_a_file_the_bank_fetched_before_the_commit(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """13: the file is out, the program dies before it notes that, the bank fetches the file."""
    decided(world)
    steps_of_payment(world, "instruct")

    def dies(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(submission.statements_csv, "write", dies)
        with pytest.raises(Killed):
            steps_of_payment(world, "submit")
    written = list(world.outbox.glob(f"payouts/{PAYMENT:%Y%m%d}/pain001_*.xml"))
    assert written
    for path in written:
        path.unlink()  # fetched
    with suppress(*REFUSED):
        steps_of_payment(world, "submit")
    again = list(world.outbox.glob(f"payouts/{PAYMENT:%Y%m%d}/pain001_*.xml"))
    assert not again, f"the bank is handed {again[0].name} a second time"


def test_killed_between_seal_and_publish(world: World) -> None:
    """14: the payment date is sealed, its status is not shown; the next run makes up for it."""
    decided(world)
    steps_of_payment(world, "instruct", "submit")
    days.release(world.settings, days.SETTLEMENT_PAYOUT, PAYMENT, OWNER)
    again = world.pay(PAYMENT)
    shown = world.rows(
        "select distinct current_status from payout.payout_status where payment_date = %s",
        [PAYMENT],
    )
    print(again, shown)
    assert shown == [("submitted",)]


# --- folders, files and the server --------------------------------------------------------------

_LAND = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
from tieout import landing
from tieout.core.settings import load_settings
report = landing.land(load_settings())
print(report.counts)
"""


@pytest.mark.parametrize("kind", ["device", "fifo", "folder", "loop"])
def test_an_inbox_entry_that_is_no_regular_file(world: World, kind: str) -> None:
    """11: it is refused without being opened, in no time, and the other files land."""
    folder = world.inbox / "bank" / f"{DAY:%Y%m%d}"
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / f"camt053_6600100200300400_{DAY:%Y%m%d}_9.xml"
    if kind == "device":
        place.symlink_to("/dev/zero")
    elif kind == "fifo":
        os.mkfifo(place)
    elif kind == "folder":
        place.symlink_to(world.inbox / "platform", target_is_directory=True)
    else:
        place.symlink_to(place.name)
    environment = {
        **{name: text for name, text in os.environ.items() if not name.startswith("TIEOUT_")},
        "TIEOUT_HOME": str(world.settings.home),
        "TIEOUT_DATABASE_URL": str(world.settings.external_database_url),
        "PYTHONPATH": str(Path(transform.__file__).parents[2]),
    }
    try:
        done = subprocess.run(
            [sys.executable, "-c", _LAND],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    except subprocess.TimeoutExpired:
        pytest.fail("it hangs")
    print(done.stdout[-300:], done.stderr[-600:])
    assert done.returncode == 0, done.stderr[-600:]
    landed = world.rows(
        "select count(*) from control.channel_files where accounting_date = %s"
        " and channel <> 'bank' and status = 'landed'",
        [DAY],
    )
    assert landed[0][0] > 5, "the other files did not land"
    # Digits of a name may be an account's: people are shown it masked.
    shown = masked_excerpt(place.name)
    told = [reason for reason in world.quarantine() if shown in reason]
    assert told or shown in done.stdout + done.stderr, "nobody is told of the entry"


def test_the_server_runs_as_an_account_of_its_own(world: World, template: object) -> None:
    """12: as root, the server's account is nobody else's."""
    if os.geteuid() != 0:
        pytest.skip("only root gives the server another account")
    settings = template.settings  # type: ignore[attr-defined]
    pid = int((settings.pg_dir / "data" / "postmaster.pid").read_text().splitlines()[0])
    owner = Path(f"/proc/{pid}").stat().st_uid
    try:
        name = pwd.getpwuid(owner).pw_name
    except KeyError:
        name = f"number {owner}"
    print(f"the server runs as {name}")
    assert name not in {"nobody", "root", "daemon", "www-data"}


def test_payment_files_are_for_the_owner_only(world: World) -> None:
    """16: account numbers stand in them in the clear."""
    world.must(world.close_and_pay())
    written = [path for path in world.outbox.rglob("*") if path.is_file()]
    assert written
    open_to_others = [path.name for path in written if path.stat().st_mode & 0o077]
    assert not open_to_others


def test_a_killed_server_gives_no_traceback(new_home: object) -> None:
    """16: a command whose server dies says so in a few lines."""
    settings = new_home
    database.migrate(settings)  # type: ignore[arg-type]
    script = (
        "import os, signal, sys\n"
        "from tieout import database\n"
        "from tieout.commands import cli, overview\n"
        "from tieout.core.settings import load_settings\n"
        "settings = load_settings()\n"
        "real = overview.print_week\n"
        "def dies(*arguments):\n"
        "    with database.connect(settings) as connection:\n"
        "        pid = (settings.pg_dir / 'data' / 'postmaster.pid').read_text().splitlines()[0]\n"
        "        os.kill(int(pid), signal.SIGQUIT)\n"
        "        for _ in range(100000):\n"
        "            connection.execute('select pg_sleep(0.01)')\n"
        "overview.print_week = dies\n"
        "sys.argv = ['tieout', 'status']\n"
        "cli.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={
            **{name: text for name, text in os.environ.items() if not name.startswith("TIEOUT_")},
            "TIEOUT_HOME": str(settings.home),  # type: ignore[attr-defined]
            "PYTHONPATH": str(Path(transform.__file__).parents[2]),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    print(done.stderr[-400:])
    assert done.returncode != 0
    assert len(done.stderr.splitlines()) < 30, done.stderr[:500]
