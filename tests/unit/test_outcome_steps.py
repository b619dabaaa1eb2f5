"""The steps of `payout_outcomes`: when answers are due, and how a run ends that lacks one."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import pytest

import payment_world
from payment_world import PAYMENT_DATE, World
from tieout.core.errors import TieoutError
from tieout.core.settings import Settings
from tieout.dates import days
from tieout.payouts import AnswersDue
from tieout.runs import answers, transform
from tieout.runs.steps import Step

MONDAY = PAYMENT_DATE
FRIDAY_BEFORE = date(2026, 9, 24)  # the Thursday: 25 to 27 September are holidays
EVENING = datetime(2026, 9, 28, 20, 0, tzinfo=days.BUSINESS_TIME_ZONE)


def step_of(world: World, day: date, now: datetime) -> Step:
    """Return a step of the outcomes of ``day`` at ``now``."""
    return Step(world.settings, days.PAYOUT_OUTCOMES, day, "test", "apply", now)


@pytest.mark.parametrize(
    ("day", "now", "answered", "ended"),
    [
        (MONDAY, EVENING, MONDAY, FRIDAY_BEFORE),
        (MONDAY, EVENING - timedelta(minutes=1), date(2026, 9, 27), date(2026, 9, 23)),
        # Another date's clock says nothing of it: made up for, and rehearsed.
        (MONDAY, EVENING + timedelta(days=40), MONDAY, FRIDAY_BEFORE),
        (MONDAY, EVENING - timedelta(days=400), MONDAY, FRIDAY_BEFORE),
        # A holiday: the working day before it was the last.
        (date(2026, 9, 27), EVENING, date(2026, 9, 27), date(2026, 9, 23)),
    ],
)
def test_answers_are_due_by_the_run_and_its_clock(
    world: World, day: date, now: datetime, answered: date, ended: date
) -> None:
    due = answers.answers_due(step_of(world, day, now))
    assert due == {"CNY": AnswersDue(answered, ended)}


@pytest.fixture
def silent(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world whose three payments lie at the bank, which says nothing."""
    from tieout import payouts

    payment_world.decide(world)
    payouts.instruct(world.settings, PAYMENT_DATE)
    payouts.submit(world.settings, PAYMENT_DATE)
    world.execute("create table payout.payout_status (payment_date date, current_status text)")

    def is_held(*_: Any) -> None:
        return None

    monkeypatch.setattr(days, "require_lease", is_held)
    return world


def test_a_silent_bank_ends_the_run_with_an_error_and_the_rest_done(silent: World) -> None:
    step = step_of(silent, PAYMENT_DATE, EVENING)
    counts = answers.apply(step)
    assert counts["problems"] == 3
    with pytest.raises(answers.OutcomeError) as caught:
        answers.publish(step)
    assert "3 answers of the bank are missing" in caught.value.what
    assert "unknown" in caught.value.why
    assert "docs/runbooks/payout-unresolved.md" in caught.value.next_step
    # The next evening says so again; a run that finds the answers has nothing to say.
    later = step_of(silent, date(2026, 9, 29), EVENING + timedelta(days=1))
    assert answers.apply(later)["problems"] == 3
    silent.execute(
        "insert into payout.attempt_events (attempt_id, event_no, status, business_date)"
        " select attempt_id, 4, 'paid', %s from payout.attempts",
        (PAYMENT_DATE,),
    )
    assert answers.apply(step)["problems"] == 0
    assert answers.publish(step) == {}
    with pytest.raises(answers.OutcomeError):
        answers.publish(later)


def test_the_run_names_each_payment_however_many(
    silent: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error shows the first, the run's log all the others."""
    monkeypatch.setattr(answers, "PROBLEMS_SHOWN", 1)
    step = step_of(silent, date(2026, 9, 30), EVENING + timedelta(days=2))
    assert answers.apply(step)["problems"] == 3
    capsys.readouterr()
    with pytest.raises(answers.OutcomeError) as caught:
        answers.publish(step)
    told = f"{caught.value.why}\n{capsys.readouterr().err}"
    for number in (1, 2, 3):
        assert told.count(f"payment {payment_world.statement_id(number)}-1 ") == 1
    assert "and 2 more, named above" in caught.value.why


def test_before_it_is_due_silence_is_nothing(silent: World) -> None:
    step = step_of(silent, PAYMENT_DATE, EVENING - timedelta(hours=1))
    assert answers.apply(step)["problems"] == 0
    assert answers.publish(step) == {}


def test_a_date_that_cannot_be_computed_keeps_no_other_from_it(
    silent: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = step_of(silent, PAYMENT_DATE, EVENING - timedelta(hours=1))
    dates = [date(2026, 9, 24), date(2026, 9, 25), PAYMENT_DATE]
    built: list[date] = []

    def build(_: Settings, payment_date: date, owner: str) -> transform.BuildReport:
        if payment_date == dates[1]:
            raise TieoutError(what=f"{payment_date} could not be computed", why="one bank line")
        built.append(payment_date)
        assert owner == step.owner
        return transform.BuildReport("tag:outcomes", 1, 2, 0.0, ())

    monkeypatch.setattr(answers, "changed_dates", lambda _: dates[:2])
    monkeypatch.setattr(answers, "dates_to_match", lambda _: dates[2:])
    monkeypatch.setattr(transform, "build_outcomes", build)
    assert answers.apply(step)["problems"] == 0
    assert answers.build(step) == {"models": 2, "tests": 4, "problems": 1}
    assert built == [dates[0], dates[2]]
    with pytest.raises(answers.OutcomeError, match="2026-09-25 could not be computed: one bank"):
        answers.publish(step)
