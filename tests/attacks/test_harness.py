"""Wrong days, drawn: was anyone paid more than arrived, was money lost, did a person hear?

`make attack ARGS="--days 2000 --seed 7"` draws more and others. A failure names the smallest set of
lies that still does it; `--only N` plays day N of that seed again.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path

import pytest

import attack_days
import attack_world
from attack_days import KINDS, OPEN, Books
from attack_world import Outcome, Template, World, outcome_of

Drawn = tuple[int, tuple[str, ...]]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def books(template: Template) -> Books:
    """The honest files, as they lie in the template's inbox."""
    return Books.read(Path(template.settings.inbox_url.removeprefix("file://")))


@pytest.fixture(scope="session")
def honest_answers(
    template: Template, books: Books, honest: Outcome, tmp_path_factory: pytest.TempPathFactory
) -> list[str]:
    """What is wrong with an honest day: nothing, but that there was nothing to hear."""
    with attack_world.copy_of(template, tmp_path_factory.mktemp("honest") / "home") as world:
        outcome = outcome_of(world, world.close_and_pay())
        return attack_days.answers(world, books, outcome, honest)


def test_an_honest_day_pays_what_arrived(honest_answers: list[str]) -> None:
    """The bound is one that an honest day keeps."""
    assert honest_answers == ["nobody heard of it"]


def test_the_bound_is_no_more_than_the_truth(books: Books, template: Template) -> None:
    """A bound that nothing could pass would prove nothing: it is above 0 and below the arrivals."""
    inbox = Path(template.settings.inbox_url.removeprefix("file://"))
    supported = books.supported(inbox)
    assert sum(amount > 0 for amount in supported.values()) >= 6
    assert sum(supported.values()) <= sum(books.records.values())


def test_each_kind_is_drawn_alone(drawn_days: list[Drawn]) -> None:
    """Every kind of lie is told alone at least once, and some in pairs."""
    assert len(KINDS) > 30
    told = Counter(kinds for _, kinds in drawn_days)
    assert KINDS.keys() > OPEN.keys()
    assert {(name,) for name in KINDS.keys() - OPEN.keys()} <= set(told)
    # After each kind alone, three days of four have a pair.
    assert sum(len(kinds) == 2 for kinds in told) >= (len(drawn_days) - len(KINDS)) // 2


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=pytest.mark.xfail(reason=why)) for kind, why in OPEN.items()],
)
def test_what_is_still_open(
    kind: str, template: Template, books: Books, honest: Outcome, tmp_path: Path
) -> None:
    """Known gaps (docs/attacks.md): strict, so that the day one is closed, it says so."""
    done, wrong = play(template, books, honest, tmp_path / kind, (1, (kind,)))
    assert not wrong, done


def play(
    template: Template, books: Books, honest: Outcome, home: Path, day: Drawn
) -> tuple[str, list[str]]:
    """Play one day; return what was done and what is wrong with its end."""
    seed, kinds = day
    with attack_world.copy_of(template, home) as world:
        done = tell(world, seed, kinds)
        if not done:
            return "nothing to lie about", []
        outcome = outcome_of(world, world.close_and_pay())
        quiet = attack_days.QUIET.issuperset(kinds)
        wrong = attack_days.answers(world, books, outcome, honest, quiet=quiet)
        return f"{done}: {outcome.summary(honest)}", wrong


def tell(world: World, seed: int, kinds: tuple[str, ...]) -> str:
    """Tell the lies; return what they were."""
    parts = []
    for kind in kinds:
        dice = random.Random(f"{seed} {kind}")
        try:
            said = KINDS[kind](world, dice)
        except (StopIteration, IndexError):
            said = None  # the other lie took away what this one is about
        if said is not None:
            parts.append(f"{kind} [{said}]")
    return " + ".join(parts)


def test_no_wrong_day_ends_badly(
    chunk: list[Drawn],
    template: Template,
    books: Books,
    honest: Outcome,
    tmp_path: Path,
) -> None:
    """The three questions, for each of the chunk's days."""
    bad = []
    began = time.monotonic()
    for seed, kinds in chunk:
        done, wrong = play(template, books, honest, tmp_path / f"d{seed}", (seed, kinds))
        print(f"{seed} {done}")
        if wrong and len(kinds) > 1:
            alone = [
                name
                for name in kinds
                if play(template, books, honest, tmp_path / f"m{seed}", (seed, (name,)))[1]
            ]
            done = f"{done} (alone: {', '.join(alone) or 'neither'})"
        if wrong:
            bad.append(f"day {seed} {done}\n    " + "\n    ".join(wrong))
    print(f"{(time.monotonic() - began) / len(chunk):.2f} s a day")
    assert not bad, f"{len(bad)} of {len(chunk)} days\n" + "\n".join(bad)
