"""A lying bank and a dying process: two hundred histories of payouts, and a harness that notices.

`make soak` draws ten thousand. What a history is and what is compared: docs/testing.md#soak.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

import soak_bank
import soak_draws
import soak_ends
import soak_world
from attack_world import Template
from soak_draws import CLASSES, REPORT_CLASSES, Draws
from soak_world import Wave
from tieout import database
from tieout.runs import answers

pytestmark = pytest.mark.slow
MERCHANTS = 105
SEED = 5
AT_LEAST = 200


@pytest.fixture(scope="module")
def template(prepared_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Template]:
    """A home whose date is closed, with as many statements as a wave has histories."""
    home = tmp_path_factory.mktemp("soak") / "template"
    soak_world.build_template(home, prepared_home, MERCHANTS)
    opened = soak_world.open_template(home)
    try:
        yield opened
    finally:
        database.stop_server(opened.settings)


@pytest.fixture(scope="module")
def played(template: Template, tmp_path_factory: pytest.TempPathFactory) -> list[Wave]:
    """A wave without kills and one with them; the second also has wrong arrivals."""
    size = soak_world.size_of(template.settings.home)
    waves = []
    for number, has_kills in ((0, False), (1, True)):
        wave = Wave(number, Draws(SEED, number, number * size, has_kills))
        waves.append(soak_world.play(template, tmp_path_factory.mktemp("wave") / "home", wave))
    return waves


def test_what_is_promised_was_drawn(played: list[Wave]) -> None:
    """Every kind, and every pair of classes of kinds, or the histories would prove less."""
    assert sum(len(wave.ends) for wave in played) >= AT_LEAST
    drawn = [one for wave in played for one in wave.drawn]
    assert {kind for _, kind, _, _ in drawn} >= set(soak_draws.PAYMENTS)
    assert {how for _, _, how, _ in drawn} == set(soak_draws.REPORTS)
    assert {how for wave in played for how in wave.daily} == set(soak_draws.STATEMENTS)
    assert played[1].draws.arrival != "ties"
    assert set(played[1].accidents) == set(soak_draws.ACCIDENTS)
    came = {name.partition(" in ")[0] for name, count in played[1].cut_steps.items() if count}
    assert came >= set(soak_draws.ACCIDENTS)
    payments = {(CLASSES[kind], REPORT_CLASSES[how]) for _, kind, how, _ in drawn}
    assert payments == set(product(CLASSES.values(), REPORT_CLASSES.values()))


def test_nobody_is_paid_twice_forgotten_or_unexplained(played: list[Wave]) -> None:
    """And the books equal the bank's truth."""
    assert played
    assert [text for wave in played for text in wave.violations] == []
    ends = {end.end for wave in played for end in wave.ends}
    assert ends >= {"paid once", "paid after a new attempt", "a person: failed"}


def test_the_harness_notices(
    template: Template, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three things are broken in an honest wave: a bank that pays twice and says nothing, a run
    that puts a file out again, and a list that leaves a payout out."""
    draws = replace(Draws(SEED, 3, 0, False), only=2)
    wave = Wave(3, draws)
    real_evening, real_send = soak_bank.Bank.evening, answers.send
    world_of: list[Any] = []
    sent: dict[Path, bytes] = {}

    def evening(bank: soak_bank.Bank, day: Any, place: int) -> None:
        world_of[:] = [bank.world]
        for path in bank.world.outbox.glob("payouts/*/pain001_*"):
            sent.setdefault(path, path.read_bytes())
        real_evening(bank, day, place)
        if place == 2:
            order = bank.orders[f"{bank.statements[-1]}-1"]
            order.moves.append((day, -order.payment.amount_minor))

    def send(step: Any) -> Any:
        found = real_send(step)
        if step.day == soak_draws.EVENINGS[1] and sent:
            path, content = min(sent.items())
            path.write_bytes(content)
        return found

    monkeypatch.setattr(soak_bank.Bank, "evening", evening)
    monkeypatch.setattr(answers, "send", send)
    monkeypatch.setattr(Draws, "is_fetched_away", lambda _: True)
    monkeypatch.setattr(Draws, "payment", _one_is_refused)
    monkeypatch.setattr(soak_ends.people, "open_payouts", lambda *_: [])
    # What is taken away in the evening has to be kept before it is.
    real_fetch = soak_bank.Bank.fetch

    def fetch(bank: soak_bank.Bank, day: Any) -> None:
        for path in bank.world.outbox.glob("payouts/*/pain001_*"):
            sent.setdefault(path, path.read_bytes())
        real_fetch(bank, day)

    monkeypatch.setattr(soak_bank.Bank, "fetch", fetch)
    soak_world.play(template, tmp_path / "home", wave)
    text = "\n".join(wave.violations)
    assert "was ordered a second time" in text
    assert "nobody is told" in text
    assert "stands in no list" in text
    assert {line.split(":")[0] for line in text.splitlines() if "in no list" in line} == {
        "history 2"
    }


def _one_is_refused(_: Draws, history: int, attempt_no: int, place: int) -> str:
    return "refused_for_good" if history == 2 else "paid"
