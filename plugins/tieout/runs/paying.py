"""The steps of a payment date, in the order the DAG `settlement_payout` runs them.

ready -> claim -> land_bank -> build -> gate -> agreed -> instruct -> submit -> publish, and release
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import psycopg

from tieout import database
from tieout.core.errors import TieoutError
from tieout.core.progress import say
from tieout.dates import days, workdays
from tieout.runs import closing, steps, transform
from tieout.runs.steps import Counts, GateFailedError, Step

if TYPE_CHECKING:
    from tieout import gate as gate_module

__all__ = [
    "agreed",
    "build",
    "claim",
    "gate",
    "instruct",
    "land_bank",
    "publish",
    "ready",
    "release",
    "submit",
]

OPEN_GATE = {"passed", "released"}


def ready(step: Step) -> str | None:
    """Say why P has to wait, or None.

    Raises:
        NothingToDo: P is no working day, pays no accounting date, or is paid already.
    """
    database.migrate(step.settings)
    if not workdays.is_working_day(step.day):
        raise days.NothingToDo(f"{step.day} is no working day: nothing is paid")
    window = days.operating_window(step.settings)
    if not days.covered_dates(step.settings, step.day, window):
        raise days.NothingToDo(f"{step.day} pays no accounting date: the business runs {window}")
    if days.is_unfinished(step.settings, step.day):
        return None  # a run was cut off after its first attempt: its other steps are made up
    if days.is_paid(step.settings, step.day):
        raise days.NothingToDo(f"{step.day} is paid, unchanged")
    return days.missing_payment(step.settings, step.day)


def claim(step: Step) -> Counts:
    """Take the payment date.

    Raises:
        DateBusyError: another run works on it, or a date it pays is being closed.
        DateNotReadyError: a date it pays was opened meanwhile.
    """
    days.claim(step.settings, step.kind, step.day, step.owner)
    steps.forget_failure(step.settings, step.kind, step.day)
    covered = days.covered_dates(step.settings, step.day, days.operating_window(step.settings))
    return {"accounting_dates": len(covered)}


def land_bank(step: Step) -> Counts:
    """Fetch and land the bank's statements up to P: the arrivals the gate compares with.

    From the first attempt on this step, `build`, `gate` and `instruct` have nothing more to do:
    what is paid is decided, and its tables stay.

    Raises:
        closing.CloseError: a statement of P was not accepted.
        DateBusyError: a statement waits for a close that works on its date.
    """
    if days.has_attempts(step.settings, step.day):
        return {}
    from tieout import fetching, landing  # noqa: PLC0415  parsers are heavy

    fetching.fetch(step.settings, step.day, channels=["bank"])
    report = landing.land(step.settings, through_date=step.day, channels=["bank"], owner=step.owner)
    before = workdays.previous_working_day(step.day)
    waiting = [
        file
        for file in report.problems
        if file.status == "waiting" and (file.accounting_date or step.day) > before
    ]
    if waiting:
        raise days.DateBusyError(
            what=f"{step.day} is not paid yet: {len(waiting)} bank files wait to be landed",
            where="; ".join(str(file) for file in waiting),
            why="a close works on a date that they would open; the gate would miss their lines",
            next_step="wait until it has ended, then pay again",
        )
    problems = landing.problem_files(step.settings, step.day)
    refused = [file for file in problems if file.channel == "bank"]
    if refused:
        raise closing.CloseError(
            what=f"{step.day} is not paid: {len(refused)} bank files were not accepted",
            where="; ".join(str(file) for file in refused),
            why="the gate compares what arrived with what is owed",
            next_step="ask the bank for a corrected statement, put it in the inbox, pay again",
        )
    return {name: int(count) for name, count in report.counts.items()}


def build(step: Step) -> Counts:
    """Compute statements and the gate's tables (dbt).

    A payee whom no payment file can name has its statement withheld; the others are paid. What a
    payment before this one left to be published is published first: this date is built on it.
    """
    from tieout import payouts  # noqa: PLC0415  XML libraries are heavy

    days.require_lease(step.settings, step.kind, step.day, step.owner)
    if days.has_attempts(step.settings, step.day):
        return {}
    unwritable = payouts.note_unwritable(step.settings, step.day)
    if unwritable:
        say(
            f"{unwritable} payees cannot be named in a payment file: their statements are withheld"
            " (payout.unwritable_payees; docs/runbooks/payee-unwritable.md)"
        )
    unpublished = days.unpublished_payment(step.settings, step.day)
    if unpublished is not None:
        say(f"the payment of {unpublished} was cut off: its statuses are published first")
        transform.build_outcomes(step.settings, unpublished, step.owner)
    report = transform.build_payment(step.settings, step.day, step.owner)
    return {"models": report.models, "tests": report.tests}


def gate(step: Step) -> Counts:
    """Decide (Great Expectations); the decision is stored either way.

    A run that may wait gives the date back where the gate does not hold, so that its cause can be
    mended meanwhile; `agreed` waits for two people.

    Raises:
        GateFailedError: names the channel, the term or check, and how much.
    """
    from tieout import gate as gate_module  # noqa: PLC0415  Great Expectations is heavy

    days.require_lease(step.settings, step.kind, step.day, step.owner)
    if days.has_attempts(step.settings, step.day):
        return {}
    decision = gate_module.decide(step.settings, step.day)
    if decision.outcome not in OPEN_GATE:
        error = GateFailedError(
            what=f"the gate of {step.day} does not hold: {len(decision.failures)} checks failed; "
            "nothing is paid",
            where="gate.gate_checks, gate.balance_equation",
            why="\n       ".join([*closing.shown(decision.failures), *_explained(step, decision)]),
            next_step=f"`tieout explain gate {step.day}` shows the rows; correct the cause and pay "
            f"again, or two people release it: tieout gate request {step.day} --reason TEXT",
        )
        if not step.waits:
            raise error
        steps.note_failure(step.settings, step, error)
        say(str(error))
        days.release(step.settings, step.kind, step.day, step.owner)
    return {"failures": len(decision.failures)}


def agreed(step: Step) -> str | None:
    """Say what the payment waits for, or None: the gate holds, or two people have released it.

    The date is taken again before it is paid: while the run waited, it was anybody's. A date that
    was computed anew meanwhile is not what was released, and `instruct` refuses it. A run that may
    not wait has kept the date; its `gate` has failed where it does not hold.
    """
    from tieout import gate as gate_module  # noqa: PLC0415  Great Expectations is heavy

    if not step.waits or days.has_attempts(step.settings, step.day):
        return None
    decision = gate_module.latest_decision(step.settings.acting_as("gate"), step.day)
    if decision is None or decision.outcome not in OPEN_GATE:
        return (
            f"its gate does not hold; two people release it (tieout gate request {step.day} "
            "--reason TEXT), or the cause is mended and the run cleared from land_bank on"
        )
    try:
        days.claim(step.settings, step.kind, step.day, step.owner)
    except (days.DateBusyError, days.DateNotReadyError) as error:
        return f"{error.what}: {error.why}"
    steps.forget_failure(step.settings, step.kind, step.day)
    return None


def _explained(step: Step, decision: gate_module.Decision) -> list[str]:
    """Return what may explain the residuals. That it cannot be said hides no failed check."""
    from tieout import explaining  # noqa: PLC0415  a gate that passes needs none
    from tieout import gate as gate_module  # noqa: PLC0415  as above

    try:
        found = gate_module.explain_failure(step.settings, decision)
    except (TieoutError, psycopg.Error) as error:
        what = error.what if isinstance(error, TieoutError) else type(error).__name__
        return [f"what may explain it could not be said: {what}"]
    return explaining.told(found, candidates_told=2)


def instruct(step: Step) -> Counts:
    """Write one instruction for each payable statement; the database checks the gate's decision."""
    from tieout import gate as gate_module  # noqa: PLC0415  as above
    from tieout import payouts  # noqa: PLC0415  XML libraries are heavy

    days.require_lease(step.settings, step.kind, step.day, step.owner)
    if days.has_attempts(step.settings, step.day):
        return {}
    # The program may be another than the one that decided.
    gate_module.keep_expectations(step.settings.acting_as("gate"))
    report = payouts.instruct(step.settings, step.day)
    return {"rows": report.instruction_count, "new_instructions": report.created_count}


def submit(step: Step) -> Counts:
    """Make the attempts and seal the dates they pay, then write the payment files."""
    from tieout import payouts  # noqa: PLC0415  XML libraries are heavy

    days.require_lease(step.settings, step.kind, step.day, step.owner)
    sealed: list[date] = []

    def seal(connection: psycopg.Connection[Any]) -> None:
        sealed.extend(days.seal_within(connection, step.settings, step.day, step.owner))

    report = payouts.submit(step.settings, step.day, seal=seal)
    # A date on which nothing is payable has no attempt, and is over all the same.
    sealed.extend(days.seal(step.settings, step.day, step.owner))
    return {
        "files": len(report.files),
        "rows": report.payment_count,
        "sealed_dates": len(sealed),
    }


def publish(step: Step) -> Counts:
    """Show the payouts' status (dbt)."""
    report = transform.build_outcomes(step.settings, step.day, step.owner)
    return {"models": report.models, "tests": report.tests}


def release(step: Step) -> Counts:
    """Give the payment date back."""
    days.release(step.settings, step.kind, step.day, step.owner)
    return {}
