"""PostgreSQL killed while a date is closed or paid, and a gate that somebody marks as passed.

Each home has a server of its own, killed with its children; nobody but the product starts it again.
In the end every table and the payment file are those of a home that nothing happened to.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import psycopg
import pytest

import attack_days
import attack_world
import server_deaths
import table_rows
from attack_world import DAY, OWNER, PAYMENT, Template, World
from tieout import database
from tieout.core.errors import TieoutError
from tieout.dates import days
from tieout.payouts import submission
from tieout.runs import closing, paying, steps

from .conftest import Undisturbed

pytestmark = pytest.mark.slow
PAY = days.SETTLEMENT_PAYOUT
TESTS = Path(__file__).parents[1]
# Where a build of the close is cut off, in this order: what one run has built, the next replaces.
# After the commit of a late table; when the partition of an early one is emptied to be filled again
# (`swap` of a date that was built before); when a late one is computed aside; when it is attached.
BUILD_DEATHS = (
    ("clearing.clearing_records", r"^commit$"),
    ("reconciliation.reconciliation_results", r"swap_partition"),
    ("ledger.account_balances", r"create table \S+work_transform"),
    ("ledger.trial_balance", r"swap_partition"),
)
BUILT_BEFORE = {"reconciliation.reconciliation_results"}
# More than instruct, submit and seal send; the last of them never comes.
REQUESTS = range(1, 120, 2)
LINES_FOR_PEOPLE = 4


@pytest.fixture
def killable(template: Template, tmp_path: Path) -> Iterator[World]:
    """A home whose server may be killed, before the attacked date is closed."""
    with server_deaths.own_server(template, tmp_path / "home") as settings:
        yield World(settings)


def run(world: World, module: ModuleType, kind: str, *names: str) -> None:
    """Run steps of a close of the attacked date or of its payment."""
    day = DAY if kind == days.ACCOUNTING_CLOSE else PAYMENT
    for name in names:
        world.step(module, kind, day, name)


def decided(world: World) -> None:
    """Close the attacked date and run its payment up to a gate that passes."""
    world.must(world.close(DAY))
    run(world, paying, PAY, "ready", "claim", "land_bank", "build", "gate")


def demand_lost(error: Exception) -> None:
    """Demand that a person is told in a few lines that the server went away, and what to do."""
    told = error if isinstance(error, database.DatabaseError) else database.lost(error)
    assert told is not None, f"{type(error).__name__}: {error}"
    lines = str(told).splitlines()
    assert len(lines) == LINES_FOR_PEOPLE, lines
    assert lines[0] == "the database went away while the command worked"
    assert "run the same command again" in lines[-1]


def rows_of_the_date(world: World, table: str) -> list[tuple[str]]:
    """Return a table's rows of the attacked date, as a reader sees them."""
    return world.rows(
        f"select to_jsonb(t)::text from {table} as t where t.accounting_date = %s order by 1",
        [DAY],
    )


def demand_undisturbed(world: World, undisturbed: Undisturbed) -> None:
    """Demand every row and the payment file of a home that nothing happened to."""
    found = table_rows.rows_of(world.settings)
    assert len(found["ledger.postings"]) > 50
    assert len(found["payout.attempts"]) > 10
    assert table_rows.differences(undisturbed.rows, found) == []
    assert len(undisturbed.files) == 1
    assert world.payment_files(PAYMENT) == undisturbed.files


def test_killed_inside_a_build_of_a_close(
    killable: World, template: Template, undisturbed: Undisturbed
) -> None:
    """A build after the other is cut off, each at another moment; the last goes through."""
    run(killable, closing, days.ACCOUNTING_CLOSE, "ready", "claim", "fetch", "land", "complete")
    for table, statement in BUILD_DEATHS:
        node, before = table.partition(".")[2], rows_of_the_date(killable, table)
        with server_deaths.dying_in_dbt(killable.settings, node, statement) as death:
            with pytest.raises((TieoutError, psycopg.Error)) as failed:
                run(killable, closing, days.ACCOUNTING_CLOSE, "build")
            print(death.asked[-200:], failed.value)
        assert death.came, f"{node} never sent {statement}"
        demand_lost(failed.value)
        after = rows_of_the_date(killable, table)
        assert bool(after) if "commit" in statement else after == before, f"a half of {table}"
        assert bool(before) == (table in BUILT_BEFORE), f"{table} is cut off too early or late"
        tables = table_rows.rows_of(killable.settings).keys()
        assert tables == undisturbed.rows.keys(), "a table lies aside, or is not attached"
        # Airflow tries a lost connection again.
        is_transient = isinstance(failed.value.__cause__, steps.TRANSIENT_ERRORS)
        assert is_transient or isinstance(failed.value, steps.TRANSIENT_ERRORS)
    killable.must(killable.close(DAY))
    with attack_world.replaying(template.recorded):
        killable.must(killable.pay(PAYMENT))
    demand_undisturbed(killable, undisturbed)


def test_killed_inside_a_submission(
    killable: World, template: Template, undisturbed: Undisturbed
) -> None:
    """Killed at request 1, again at 3, and so on: unheard and unanswered ones in turn."""
    with attack_world.replaying(template.recorded):
        decided(killable)
        seen: set[tuple[tuple[str, str], ...]] = set()
        died_in: list[str] = []
        for number in REQUESTS:
            name = "instruct"
            with server_deaths.dying_in_psycopg(
                killable.settings, number, is_answered=number % 4 == 1
            ) as death:
                try:
                    for name in ("instruct", "submit"):
                        run(killable, paying, PAY, name)
                except (TieoutError, psycopg.Error) as error:
                    demand_lost(error)
                    died_in.append(name)
            if found := killable.payment_files(PAYMENT):
                seen.add(tuple(found.items()))
            if not death.came:
                break
        print(died_in)
        assert died_in.count("instruct") > 5
        assert died_in.count("submit") > 10
        run(killable, paying, PAY, "publish", "release")
    assert seen == {tuple(undisturbed.files.items())}, "the file changed between two runs"
    demand_undisturbed(killable, undisturbed)


# --- by the command line ------------------------------------------------------------------------

_KILLED_IN_DBT = """
import sys
import server_deaths
from tieout.commands import cli
from tieout.core.settings import load_settings
sys.argv = ["tieout", "close", sys.argv[1]]
with server_deaths.dying_in_dbt(load_settings(), "suspense_items", "swap_partition"):
    cli.main()
"""
_KILLED_IN_SUBMISSION = """
import sys
import server_deaths
from tieout.commands import cli
from tieout.runs import paying
from tieout.payouts.store import Store
from tieout.core.settings import load_settings
settings = load_settings()
real = Store.put_out
def put_out(*arguments):
    real(*arguments)
    server_deaths.kill_server(settings)
Store.put_out = put_out
sys.argv = ["tieout", "pay", sys.argv[1]]
cli.main()
"""


class Killed(BaseException):
    """Stands for the death of this process: nothing handles it."""


def killed(*_: object) -> None:
    """Die."""
    raise Killed


def command(world: World, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a process of its own on the home, with the tests' helpers at hand."""
    return subprocess.run(
        [sys.executable, *arguments],
        env={
            **{
                name: text
                for name, text in os.environ.items()
                if not name.startswith(("TIEOUT_", "AIRFLOW_"))
            },
            "TIEOUT_HOME": str(world.settings.home),
            "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent / "plugins")]),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def demand_told(done: subprocess.CompletedProcess[str]) -> None:
    """Demand an end in four lines for people, without a traceback anywhere."""
    print(done.stderr)
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in done.stderr + done.stdout
    begin = done.stderr.index("tieout: ")
    lines = done.stderr[begin:].strip().splitlines()
    assert lines[0] == "tieout: the database went away while the command worked"
    assert len(lines) == LINES_FOR_PEOPLE, lines
    assert "run the same command again" in lines[-1]


def test_a_person_whose_server_is_killed_runs_the_command_again(
    killable: World, template: Template, undisturbed: Undisturbed
) -> None:
    """`tieout close` and `tieout pay` end in a few lines, and go on where they were."""
    demand_told(command(killable, "-c", _KILLED_IN_DBT, str(DAY)))
    killable.must(killable.close(DAY))
    with attack_world.replaying(template.recorded):
        run(killable, paying, PAY, "ready", "claim", "land_bank", "build", "gate", "instruct")
        # Once an attempt is there, the command's own run computes and decides nothing again.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(submission, "_put_out_files", killed)
            with pytest.raises(Killed):
                run(killable, paying, PAY, "submit")
    days.release(killable.settings, PAY, PAYMENT, OWNER)
    demand_told(command(killable, "-c", _KILLED_IN_SUBMISSION, str(PAYMENT)))
    assert killable.payment_files(PAYMENT) == undisturbed.files
    again = command(killable, "-m", "tieout.commands.cli", "pay", str(PAYMENT))
    assert again.returncode == 0, again.stderr
    demand_undisturbed(killable, undisturbed)


# --- a gate marked as passed --------------------------------------------------------------------

_MARKED = """
import json
import sys
from datetime import date
from tieout.dates import days
from tieout.runs import airflow_home, runner, steps
from tieout.core.settings import load_settings
settings, day = load_settings(), date.fromisoformat(sys.argv[1])
airflow_home.enter(settings)
dag = runner._load_dag(settings, days.SETTLEMENT_PAYOUT)
for marked in sys.argv[2:]:
    steps.forget_failure(settings, days.SETTLEMENT_PAYOUT, day)
    with days.command_owner(settings):
        ended = dag.test(
            logical_date=runner.logical_date_of(days.SETTLEMENT_PAYOUT, day),
            mark_success_pattern=marked,
        )
    failure = steps.read_failure(settings, days.SETTLEMENT_PAYOUT, day)
    states = {task.task_id: str(task.state) for task in ended.get_task_instances()}
    said = "" if failure is None else str(failure.as_error())
    print("RUN", json.dumps({"states": states, "stage": failure and failure.stage, "said": said}))
"""


def test_a_gate_marked_as_successful_pays_nobody(killable: World, template: Template) -> None:
    """Airflow runs what comes after the gate; the database knows of no decision that pays."""
    attack_days.KINDS["bank_says_less"](killable, random.Random(1))
    with attack_world.replaying(template.recorded):
        killable.must(killable.close(DAY))
        run(killable, paying, PAY, "ready", "claim", "land_bank", "build")
        for name in ("instruct", "submit"):
            with pytest.raises(TieoutError, match="the gate has not decided on it"):
                run(killable, paying, PAY, name)
        with pytest.raises(steps.GateFailedError):
            run(killable, paying, PAY, "gate")
    days.release(killable.settings, PAY, PAYMENT, OWNER)
    before = "land_bank|build|gate"
    done = command(killable, "-c", _MARKED, str(PAYMENT), before, f"{before}|instruct")
    runs = [
        json.loads(line.removeprefix("RUN "))
        for line in done.stdout.splitlines()
        if line.startswith("RUN ")
    ]
    assert len(runs) == 2, done.stderr[-2000:]
    for found, refuses in zip(runs, ("instruct", "submit"), strict=True):
        print(found)
        assert found["states"]["gate"] == "success"
        assert found["states"][refuses] == "failed"
        assert found["states"]["publish"] == "upstream_failed"
        assert found["stage"] == refuses
        lines = found["said"].splitlines()
        assert lines[0] == f"payment date {PAYMENT} may not be paid"
        assert "its latest gate decision is failed" in found["said"]
        assert len(lines) == LINES_FOR_PEOPLE
    assert not list(killable.outbox.glob(f"payouts/{PAYMENT:%Y%m%d}/*"))
    assert days.day_state(killable.settings, DAY).state == "closed", "it was sealed, and not paid"


def test_instructions_marked_as_written_seal_nothing(world: World) -> None:
    """The gate passed, `instruct` never ran: what is payable is not sealed away unpaid."""
    decided(world)
    with pytest.raises(TieoutError, match="8 payable statements of 2026-09-23 have no"):
        run(world, paying, PAY, "submit")
    assert days.day_state(world.settings, DAY).state == "closed"
    assert not world.payment_files(PAYMENT)
    run(world, paying, PAY, "instruct", "submit")
    assert len(world.payment_files(PAYMENT)) == 1
