"""The steps of a close of one accounting date, in the order the DAG `accounting_close` runs them.

    ready -> claim -> fetch -> land -> complete -> build -> check -> publish, and release at the end

Each takes a `Step` and returns counts. None computes money: landing moves bytes, dbt computes.
"""

from __future__ import annotations

from collections.abc import Sequence

from tieout import database
from tieout.core.errors import TieoutError
from tieout.core.progress import say
from tieout.dates import days
from tieout.runs import restating, steps, transform
from tieout.runs.steps import Counts, Step

__all__ = ["build", "check", "claim", "complete", "fetch", "land", "publish", "ready", "release"]


FAILURES_SHOWN = 8


class CloseError(TieoutError):
    """The date cannot be closed with what is there."""


def ready(step: Step) -> str | None:
    """Say why T has to wait, or None; lands T's operating window where none is known.

    Raises:
        NothingToDo: T is sealed, or outside the operating window.
        TieoutError: nobody knows yet when T is paid: the list of working days ends.
    """
    from tieout import fetching, landing  # noqa: PLC0415  parsers are heavy

    database.migrate(step.settings)
    state = days.day_state(step.settings, step.day)
    if state.state == "sealed":
        raise days.NothingToDo(_why_sealed(step))
    holder = days.holder(step.settings, step.kind, step.day, step.owner)
    if holder is not None and not step.is_preflight:
        return f"{step.day} is being closed by {holder}"
    # What a date owes, and when a channel's day ends, are rows that landing asks for.
    transform.seed(step.settings)
    window = days.operating_window(step.settings)
    if window is None:
        fetching.fetch(step.settings, step.day, kinds=["operating_window"])
        landing.land(
            step.settings, through_date=step.day, kinds=["operating_window"], owner=step.owner
        )
        window = days.operating_window(step.settings)
    if window is not None and not window.holds(step.day):
        raise days.NothingToDo(f"{step.day} is no accounting date: the business runs {window}")
    days.refuse_unknown_calendar(step.settings, step.day)
    return days.missing_close(step.settings, step.day)


def _why_sealed(step: Step) -> str:
    """Say that the date stays as it is, and what to do about what came for it."""
    said = f"{step.day} is sealed, unchanged: money was paid on it"
    for one in restating.waiting(step.settings):
        if one.accounting_date == step.day:
            who = f"tieout restate {step.day}" if one.is_given_up else "`accounting_reclose` or you"
            return f"{said}; a file has come for it, to be restated by {who} ({one})"
    return f"{said}; what it would be with what has come since: tieout restate {step.day}"


def claim(step: Step) -> Counts:
    """Take the date; open it, and the later closed dates that were built on it.

    Raises:
        NothingToDo: sealed meanwhile.
        DateBusyError: another run works on it.
        DateNotReadyError: the date before was opened meanwhile.
    """
    reopened = days.claim(step.settings, step.kind, step.day, step.owner)
    steps.forget_failure(step.settings, step.kind, step.day)
    return {"later_dates_reopened": len(reopened)}


def fetch(step: Step) -> Counts:
    """Copy into the inbox what the sources owe for T (docs/operations/sources.md).

    A source that does not answer stops T only where one of the files T owes is not in the inbox.

    Raises:
        CloseError: names each such file and why it did not come; tried again by Airflow where the
            source may answer in a moment.
        FetchError: the list of sources is not understood.
    """
    from tieout import fetching  # noqa: PLC0415  parsers are heavy

    report = fetching.fetch(step.settings, step.day)
    lacking = fetching.lacking(step.settings, report, step.day)
    if lacking:
        error = CloseError(
            what=f"{step.day} does not close: {len(lacking)} files did not come from their sources",
            where=", ".join(sorted({outcome.source for outcome in lacking})),
            why="\n       ".join(str(outcome) for outcome in lacking[:FAILURES_SHOWN]),
            next_step=f"tieout fetch --date {step.day}; see the runbook source-not-answering.md",
        )
        raise error from (ConnectionError() if report.is_transient else None)
    return dict(report.counts)


def land(step: Step) -> Counts:
    """Land what has arrived for the dates up to T; wait for files of T until they are due.

    Raises:
        NotYet: files are missing and the last of them is not due yet, in a run that may wait.
    """
    from tieout import landing  # noqa: PLC0415  parsers are heavy

    report = landing.land(step.settings, through_date=step.day, owner=step.owner)
    missing = landing.missing_files(step.settings, step.day)
    if step.waits and missing and step.now < max(file.due_at for file in missing):
        raise days.NotYet("; ".join(f"{file}, {file.lateness(step.now)}" for file in missing))
    return {name: int(count) for name, count in report.counts.items()}


def complete(step: Step) -> Counts:
    """Refuse to go on where a file of T is missing, was not accepted, or leaves a gap in prices.

    Raises:
        CloseError: names each file: channel, kind, line, reason; or each contract and its rule.
        TieoutError: the reference data has other working days than the program, or a contract's
            cycle pays what is cleared after the list of them ends.
        DateNotReadyError: the date before is not closed.
    """
    from tieout import landing  # noqa: PLC0415  parsers are heavy

    reason = days.missing_close(step.settings, step.day)
    if reason is not None:
        raise days.DateNotReadyError(
            what=f"{step.day} cannot be closed yet: {reason}",
            where="control.accounting_days",
            why="it is not the first date of the business, or a corrected file has opened the date "
            "before: `tieout status` says which",
            next_step="close the earlier dates first; `tieout close` does so in order",
        )
    refused = landing.problem_files(step.settings, step.day)
    missing = landing.missing_files(step.settings, step.day)
    if refused:
        raise CloseError(
            what=f"{step.day} does not close: {len(refused)} files were not accepted",
            where="; ".join(str(file) for file in refused[:5]),
            why="a file is taken whole or not at all; its rows are in control.quarantined_rows",
            next_step="tieout quarantine list; ask the sender for a corrected file, put it in the "
            "inbox, close again",
        )
    if missing:
        names = "; ".join(f"{file}, {file.lateness(step.now)}" for file in missing)
        late = sorted({file.channel for file in missing if file.due_at <= step.now})
        raise CloseError(
            what=f"{step.day} does not close: files are missing: {names}",
            where=step.settings.inbox_url,
            why="a date is complete when every file its channels owe for it has landed"
            + (f"; late: {', '.join(late)}" if late else ""),
            next_step="ask who is late, put the files in the inbox, then close again",
        )
    unpriced = landing.unpriced_contracts(step.settings, step.day)
    if unpriced:
        raise CloseError(
            what=f"{step.day} does not close: no fee rule prices {len(unpriced)} contracts",
            where="; ".join(shown(unpriced)),
            why="a sale under a contract in force needs a rule with tier_from_minor 0 that is in "
            "force on its day; the fee_rates file has rules for others",
            next_step="ask the platform for a fee_rates file with a rule for each day, or for a "
            "contracts file that ends the contract; put it in the inbox, close again",
        )
    days.refuse_other_calendar(step.settings, step.day)
    days.refuse_unknown_due_dates(step.settings, step.day)
    return {"files": _file_count(step)}


def shown(found: Sequence[object]) -> list[str]:
    """Return the first few of what was found, for a message, and how many more there are."""
    more = len(found) - FAILURES_SHOWN
    return [*map(str, found[:FAILURES_SHOWN]), *([f"and {more} more"] if more > 0 else [])]


def build(step: Step) -> Counts:
    """Compute T: reconcile, post, clear (dbt)."""
    days.require_lease(step.settings, step.kind, step.day, step.owner)
    transform.seed(step.settings)
    report = transform.build_close(step.settings, step.day, step.owner)
    _say_waiting_terms(step)
    return {"models": report.models, "tests": report.tests}


def _say_waiting_terms(step: Step) -> None:
    """Say which changes of terms this close has listed that wait for two people."""
    from tieout.decisions import terms  # noqa: PLC0415  a close computes without it

    waiting = terms.changes(step.settings, accounting_date=step.day)
    new = [change for change in waiting if change.changed_on == step.day]
    for change in new[:FAILURES_SHOWN]:
        say(f"waits for two people: {change.change_id} (account {change.account_id})")
    if len(new) > FAILURES_SHOWN:
        say(f"and {len(new) - FAILURES_SHOWN} changes more: tieout terms list")


def check(step: Step) -> Counts:
    """Look at the computed date from outside dbt (Great Expectations), with Data Docs.

    Its files, its trial balance, the suspense roll-forward and the vouchers; a table without rows
    of the date fails, too.

    Raises:
        CloseError: names what does not hold, and by how much.
    """
    from tieout import gate  # noqa: PLC0415  Great Expectations is heavy

    result = gate.close_checkpoint(step.settings, step.day)
    if not result.passed:
        raise CloseError(
            what=f"{step.day} does not close: {len(result.failures)} checks do not hold",
            where="ledger, reconciliation and control tables of the date",
            why="\n       ".join(shown(result.failures)),
            next_step="correct the cause, then close the date again",
        )
    return {"failures": len(result.failures)}


def publish(step: Step) -> Counts:
    """Close the date."""
    waiting = days.mark_closed(step.settings, step.day, step.owner)
    if waiting:
        names = ", ".join(str(day) for day in waiting)
        print(f"closed {step.day}; to be closed again, in order: {names}")  # noqa: T201  task log
    return {"later_dates_open": len(waiting)}


def release(step: Step) -> Counts:
    """Give the date back."""
    days.release(step.settings, step.kind, step.day, step.owner)
    return {}


def _file_count(step: Step) -> int:
    with database.connect(step.settings) as connection:
        row = connection.execute(
            "select count(*) from control.channel_files "
            "where accounting_date = %s and status = 'landed'",
            [step.day],
        ).fetchone()
    return 0 if row is None else int(row[0])
