"""A lying bank and a dying process: two hundred histories of payouts, and a harness that notices.

`make soak` draws ten thousand. What a history is and what is compared: docs/testing.md#soak.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from itertools import product
from pathlib import Path
from typing import Any

import pytest

import attack_world
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
    """A wave without kills and one with them; both dates must first not be paid."""
    size = soak_world.size_of(template.settings.home)
    waves = []
    for number, has_kills, turn in ((0, False, 7), (1, True, 1)):
        wave = Wave(number, Draws(SEED, number, number * size, has_kills, turn=turn))
        waves.append(soak_world.play(template, tmp_path_factory.mktemp("wave") / "home", wave))
    return waves


def test_what_is_promised_was_drawn(played: list[Wave]) -> None:
    """Every kind, and every pair of classes of kinds, or the histories would prove less."""
    assert sum(len(wave.ends) for wave in played) >= AT_LEAST
    drawn = [one for wave in played for one in wave.drawn]
    assert {kind for _, kind, _, _ in drawn} >= set(soak_draws.PAYMENTS)
    assert {how for _, _, how, _ in drawn} == set(soak_draws.REPORTS)
    assert {how for wave in played for how in wave.daily} == set(soak_draws.STATEMENTS)
    assert [wave.draws.arrival for wave in played] == ["one_fen_off", "another_group"]
    assert any(name.endswith("which refuses") for name in +played[1].cut_steps)
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
    """Four things are broken in an honest wave: a bank that pays twice and says nothing, a run
    that puts a file out again, one that waits for answers for ever, and an empty list."""
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
    monkeypatch.setattr(answers, "_due_through", lambda *_: date.min)
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
    assert "-1 of 2026-09-22 is submitted on the evening of 2026-09-22" in text
    assert "stands in no list on 2026-09-23" in text
    assert {
        line.split(":")[0] for line in text.splitlines() if "and stands in no list" in line
    } == {
        "history 1",
        "history 2",
    }


def test_the_harness_notices_a_date_that_is_paid_too_early(
    template: Template, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The arrivals are drawn to be wrong, and the bank's statement is right."""
    draws = Draws(SEED, 4, 0, False, turn=7)
    wave = Wave(4, draws)
    monkeypatch.setattr(soak_bank.Bank, "_wrong", lambda _, lines: list(lines))
    with attack_world.copy_of(template, tmp_path / "home") as world:
        player = soak_world._Player(world, wave)
        player.bank.morning()
        player._is_not_paid("as they came")
    assert [text.rpartition(": ")[2].lstrip("0123456789 ") for text in wave.violations] == [
        "the run was not refused for them",
        "payment files lie in the outbox",
        "statements are instructed",
    ]


def test_a_run_that_is_given_up_ends_there(
    template: Template, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the timetable's does: nobody is paid again while statements that came are not landed."""
    done: list[str] = []

    def step(
        _: object, module: object, kind: str, day: date, name: str, *, can_be_cut: bool
    ) -> bool:
        done.append(name)
        return name != "land"

    monkeypatch.setattr(soak_world._Player, "step", step)
    with attack_world.copy_of(template, tmp_path / "home") as world:
        soak_world._Player(world, Wave(5, Draws(SEED, 5, 0, True))).read(soak_draws.EVENINGS[1])
    assert done == ["ready", "claim", "land"]


def _one_is_refused(_: Draws, history: int, attempt_no: int, place: int) -> str:
    return {1: "silent_not_paid", 2: "refused_for_good"}.get(history, "paid")
