"""The order in which dates are closed, and the steps of the DAG `accounting_reclose`.

    ready -> land -> close -> restate

A date is computed from the one before it, so a late or corrected file of a closed date opens that
date and all later ones, and a date without one of its files holds up those behind it. `in_order` is
the order for whoever closes: a person's command, which starts a run for each date, and this DAG,
which closes what has been waiting with nobody at the command line.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from tieout import database
from tieout.core.errors import TieoutError
from tieout.core.progress import say
from tieout.core.settings import Settings
from tieout.dates import days
from tieout.runs import closing, restating, runner, steps
from tieout.runs.steps import Counts, Step

__all__ = ["close", "in_order", "land", "ready", "restate", "waiting_dates"]

_STEPS: tuple[tuple[str, Callable[[Step], Counts]], ...] = (
    ("claim", closing.claim),
    ("fetch", closing.fetch),
    ("land", closing.land),
    ("complete", closing.complete),
    ("build", closing.build),
    ("check", closing.check),
    ("publish", closing.publish),
)


@dataclass(frozen=True, slots=True)
class _Date:
    """A date of the business: its state, whether a run ever began it, how often it was closed."""

    day: date
    state: str
    is_begun: bool
    close_count: int


class _HeldUpError(Exception):
    """A date cannot be closed now for a reason that somebody else has heard of."""


def in_order(
    settings: Settings, asked: Collection[date], close_one: Callable[[date], bool]
) -> Iterator[date]:
    """Close the dates asked for, and those that files have opened again, the earliest first.

    Args:
        settings: the home.
        asked: dates to be closed, open or closed.
        close_one: closes one date; False where there was nothing to do.

    Yields:
        Each date that was closed, after it was.

    Raises:
        TieoutError: as `close_one` does, unless its run has itself landed a file that opened
            earlier dates: these are closed, and then the date once more.
    """
    waiting, skipped, came_back = set(asked), set[date](), set[date]()
    while pending := sorted(({*waiting, *days.reopened_dates(settings)}) - skipped):
        day = pending[0]
        try:
            is_closed = close_one(day)
        except TieoutError:
            opened = set(days.reopened_dates(settings, before=day)) - came_back - skipped
            if not opened:
                raise
            names = ", ".join(map(str, sorted(opened)))
            say(f"    opened by a late or corrected file: {names}")
            came_back |= opened
            waiting.add(day)
            continue
        waiting.discard(day)
        if is_closed:
            yield day
        else:
            skipped.add(day)


def waiting_dates(settings: Settings, before: date, now: datetime) -> list[date]:
    """Return the dates before a day that wait to be closed, in order.

    The first of them was closed once and is open again, or its own run has begun it and not closed
    it. The open ones behind it wait for it, if their own close was due before `now` (aware). What
    no run ever began, such as the past of a new installation, is a backfill's.
    """
    is_open = [one for one in _dates(settings, before) if one.state == "open"]
    behind = itertools.dropwhile(lambda one: not one.is_begun, is_open)
    return [one.day for one in behind if one.close_count > 0 or _close_at(one.day) <= now]


def _close_at(day: date) -> datetime:
    """Return when the run that closes a date is scheduled: it has its chance first."""
    return runner.logical_date_of(days.ACCOUNTING_CLOSE, day) + timedelta(days=1)


def ready(step: Step) -> Counts:
    """Count the unpaid dates before the run's day.

    Raises:
        NothingToDo: there is none.
    """
    database.migrate(step.settings)
    unpaid = _unpaid_dates(step)
    if not unpaid:
        raise days.NothingToDo(f"every accounting date before {step.day} is paid")
    return {"unpaid_dates": len(unpaid)}


def land(step: Step) -> Counts:
    """Fetch and land what has come since for the unpaid dates before the run's day."""
    from tieout import fetching, landing  # noqa: PLC0415  parsers are heavy

    unpaid = _unpaid_dates(step)
    for day in unpaid:
        report = fetching.fetch(step.settings, day)
        for outcome in fetching.lacking(step.settings, report, day):
            say(f"did not come: {outcome}")
    report_landed = landing.land(step.settings, through_date=max(unpaid))
    return {name: int(count) for name, count in report_landed.counts.items()}


def close(step: Step) -> Counts:
    """Close what waits, in order, up to the first date that is not complete or in work.

    Why that one is held up is said, and its own run has failed with it: this one does not.

    Raises:
        TieoutError: a date that is complete does not close; those before it are closed.
    """
    closed: list[date] = []
    asked = waiting_dates(step.settings, step.day, step.now)
    if not asked:
        raise days.NothingToDo("no date waits to be closed")
    say(f"wait to be closed: {', '.join(map(str, asked))}")
    try:
        for day in in_order(step.settings, asked, lambda day: _close_one(step, day)):
            say(f"closed {day}")
            closed.append(day)
    except _HeldUpError as reason:
        say(f"held up: {reason}")
    return {"dates": len(asked), "closed_dates": len(closed)}


def restate(step: Step) -> Counts:
    """Restate the sealed dates for which a file has come that no restatement has read.

    Nothing of them changes: who is to book what differs is told, and two people decide. One that
    fails is told and tried again by the next run, a few times; the others go on meanwhile.

    Raises:
        NothingToDo: no file waits.
        TieoutError: a date could not be restated; the others are.
    """
    if not _unpaid_dates(step):
        _land_for_paid_dates(step)
    waiting = restating.waiting(step.settings)
    for one in waiting:
        if one.is_given_up:
            say(str(one))
    tried = [one.accounting_date for one in waiting if not one.is_given_up]
    if not tried:
        raise days.NothingToDo("no file of a sealed date waits to be restated")
    differences = 0
    failed: dict[date, TieoutError] = {}
    for day in tried:
        try:
            done = restating.restate(step.settings, day, asked_by=step.owner)
        except TieoutError as error:
            say(f"{day} is sealed and unchanged, and could not be restated: {error.why}")
            failed[day] = error
            continue
        say(f"{day} is sealed and unchanged; restated: {done.difference_count} rows differ")
        say(f"    tieout restate show {day}")
        differences += done.difference_count
    if failed:
        raise _not_restated(step, failed)
    return {"dates": len(tried), "differences": differences}


def _land_for_paid_dates(step: Step) -> None:
    """Land what has come since where every date is paid: the steps before had nothing to do."""
    from tieout import landing  # noqa: PLC0415  parsers are heavy

    # What a landing writes is ingest's.
    settings = step.settings.acting_as("ingest")
    landing.land(settings, through_date=step.day - timedelta(days=1), owner=step.owner)


def _not_restated(step: Step, failed: dict[date, TieoutError]) -> TieoutError:
    """Name each date that failed, how often it has, and what happens next."""
    left = {one.accounting_date: one for one in restating.waiting(step.settings)}
    first = next(iter(failed.values()))
    error = restating.RestatementError(
        what=f"{len(failed)} sealed dates could not be restated: {', '.join(map(str, failed))}",
        where="control.restatements",
        why="\n       ".join(
            str(left.get(day, f"{day}: {one.why}")) for day, one in failed.items()
        ),
        next_step="tieout restate list; the runbook sealed-date.md, It fails",
    )
    error.__cause__ = first.__cause__
    return error


def _close_one(step: Step, day: date) -> bool:
    """Run the steps of a close for one date; False where it has nothing to do."""
    _refuse_incomplete(step.settings, day)
    one = Step(step.settings, days.ACCOUNTING_CLOSE, day, step.owner, "ready", step.now)
    try:
        reason = closing.ready(one)
        if reason is not None:
            raise _HeldUpError(f"{day}: {reason}")
        for name, function in _STEPS:
            one = replace(one, name=name)
            steps.run_step(function, one)
    except days.NothingToDo as nothing:
        say(f"{day}: {nothing}")
        return False
    except days.DateBusyError as busy:
        raise _HeldUpError(f"{busy.what} ({busy.why})") from busy
    except TieoutError as error:
        steps.note_failure(step.settings, one, error)
        raise
    finally:
        days.release(step.settings, days.ACCOUNTING_CLOSE, day, step.owner)
    return True


def _refuse_incomplete(settings: Settings, day: date) -> None:
    """Hold up where a file of the date is missing or was not accepted."""
    from tieout import landing  # noqa: PLC0415  parsers are heavy

    refused = landing.problem_files(settings, day)
    missing = landing.missing_files(settings, day)
    if refused or missing:
        raise _HeldUpError(
            f"{day} is not complete: {'; '.join(closing.shown([*refused, *missing]))}"
        )


def _unpaid_dates(step: Step) -> list[date]:
    """Return the dates of the business before the run's day that are not sealed, in order."""
    return [one.day for one in _dates(step.settings, step.day) if one.state != "sealed"]


def _dates(settings: Settings, before: date) -> list[_Date]:
    """Return each date of the business before a day, in order; none where no window is known."""
    window = days.operating_window(settings)
    if window is None:
        return []
    last = min(window.last or date.max, before - timedelta(days=1))
    with database.connect(settings) as connection:
        rows = connection.execute(
            """
            select
                dates.accounting_date::date,
                coalesce(accounting_days.state, 'open'),
                accounting_days.accounting_date is not null,
                coalesce(accounting_days.close_count, 0)
            from generate_series(%(first)s::date, %(last)s::date, interval '1 day')
                as dates (accounting_date)
            left join control.accounting_days as accounting_days
                on dates.accounting_date = accounting_days.accounting_date
            order by dates.accounting_date
            """,
            {"first": window.first, "last": last},
        ).fetchall()
    return [_Date(*row) for row in rows]
