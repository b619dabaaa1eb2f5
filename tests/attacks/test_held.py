"""What held against the first attack, and must go on holding, where no other test says so."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

import attack_world
from attack_world import DAY, OWNER, PAYMENT, Template, World
from tieout import database, payouts
from tieout.core.errors import TieoutError
from tieout.dates import days
from tieout.payouts import store
from tieout.runs import paying

pytestmark = pytest.mark.slow
# More statements than instruct, submit and seal send: the last deaths never come.
DEATHS = 60


class Killed(BaseException):
    """Stands for the death of the process: nothing handles it."""


def decided(world: World) -> None:
    """Bring the payment date to a gate that passed."""
    world.must(world.close(DAY))
    for name in ("ready", "claim", "land_bank", "build", "gate"):
        world.step(paying, days.SETTLEMENT_PAYOUT, PAYMENT, name)


def pay(world: World) -> None:
    """Run what pays."""
    for name in ("instruct", "submit"):
        world.step(paying, days.SETTLEMENT_PAYOUT, PAYMENT, name)


def test_a_death_at_any_statement_pays_once(
    world: World, honest: attack_world.Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies before statement 1, runs again and dies before 2, and so on to the end."""
    decided(world)
    real = psycopg.Connection.execute
    seen: set[tuple[tuple[str, str], ...]] = set()
    deaths = 0
    for least in range(1, DEATHS):
        sent = 0

        def execute(connection: Any, *arguments: Any, **named: Any) -> Any:
            nonlocal sent
            sent += 1
            if sent == least:  # noqa: B023  the loop's own number
                connection.close()
                raise Killed
            return real(connection, *arguments, **named)

        with monkeypatch.context() as patch:
            patch.setattr(psycopg.Connection, "execute", execute)
            try:
                pay(world)
            except Killed:
                deaths += 1
            except (TieoutError, psycopg.Error) as error:
                pytest.fail(f"statement {least}: {error}")
        if found := world.payment_files(PAYMENT):
            seen.add(tuple(sorted(found.items())))
    assert deaths > 11
    pay(world)
    seen.add(tuple(sorted(world.payment_files(PAYMENT).items())))
    assert len(seen) == 1, "the file changed between two runs"
    assert world.paid(PAYMENT) == honest.paid


def test_four_runs_pay_at_once(world: World, honest: attack_world.Outcome) -> None:
    """One file, whoever wins."""
    decided(world)

    def run(_: int) -> None:
        with suppress(TieoutError, psycopg.Error):
            payouts.instruct(world.settings, PAYMENT)
            payouts.submit(world.settings, PAYMENT)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run, range(4)))
    assert len(world.payment_files(PAYMENT)) == 1
    assert world.paid(PAYMENT) == honest.paid
    events = world.rows("select count(*), count(distinct attempt_id) from payout.attempts")
    assert events[0][0] == events[0][1]


def test_two_homes_on_one_outbox(
    world: World, template: Template, honest: attack_world.Outcome, tmp_path: Path
) -> None:
    """The second home finds the first one's file and writes none of its own over it."""
    decided(world)
    pay(world)
    first = world.payment_files(PAYMENT)
    with attack_world.copy_of(template, tmp_path / "other") as other:
        other.settings = replace(other.settings, outbox_url=world.settings.outbox_url)
        run = other.close_and_pay()
        print(run)
    assert world.payment_files(PAYMENT) == first
    assert world.paid(PAYMENT) == honest.paid


def test_a_full_outbox(
    world: World, honest: attack_world.Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No space left: nothing counts as submitted; with space again, one whole file."""
    decided(world)
    world.step(paying, days.SETTLEMENT_PAYOUT, PAYMENT, "instruct")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr(store.Store, "write_hidden", full)
        with suppress(TieoutError, OSError):
            world.step(paying, days.SETTLEMENT_PAYOUT, PAYMENT, "submit")
    assert not world.payment_files(PAYMENT)
    states = world.rows(
        "select count(*) from payout.attempt_events where status = 'submitted'"
        " and business_date >= %s",
        [PAYMENT],
    )
    assert states == [(0,)]
    pay(world)
    assert world.paid(PAYMENT) == honest.paid


def test_a_name_that_a_spreadsheet_would_run(world: World) -> None:
    """The statements people open do not begin a cell with a formula."""
    world.must(world.close_and_pay())
    written = list(world.outbox.rglob("*.csv"))
    assert written
    for path in written:
        for line in path.read_text(encoding="utf-8-sig").splitlines():
            for cell in line.split(","):
                text = cell.strip('"')
                assert not text.startswith(("=", "@", "+", "\t")), cell


def test_a_lease_taken_over_stops_the_one_before(world: World) -> None:
    """A run whose date another run holds pays nothing."""
    decided(world)
    with database.connect(world.settings) as connection:
        changed = connection.execute(
            "update control.date_leases set owner_id = 'another' where owner_id = %s", [OWNER]
        )
        assert changed.rowcount
    with pytest.raises(TieoutError):
        pay(world)
    assert not world.payment_files(PAYMENT)
