"""`tieout sessions`: the clearing sessions of closed dates; two people open frozen ones."""

from __future__ import annotations

from typing import Annotated

import typer

from tieout.commands import shared
from tieout.commands.shared import By, Reason
from tieout.core.progress import say
from tieout.dates import days
from tieout.decisions import sessions

__all__ = ["app"]

app = typer.Typer(
    help="Clearing sessions: list, open frozen ones. 清算场次。",
    no_args_is_help=True,
)


@app.command("list")
def list_sessions(
    since: Annotated[
        str | None, typer.Option("--from", help="First accounting date; default: all.")
    ] = None,
) -> None:
    """List the clearing sessions of the closed dates."""
    found = sessions.of_dates(shared.home(), shared.day(since))
    table = shared.table(
        "Clearing sessions 清算场次",
        (
            "date\n会计日期",
            "type\n类型",
            "number\n场次号",
            "ends\n截止",
            "entries\n笔数",
            "state\n状态",
        ),
    )
    for session in found:
        table.add_row(
            str(session.accounting_date),
            session.clearing_session_type,
            str(session.clearing_session_no),
            _clock(session),
            str(session.entry_count),
            "frozen" if session.is_frozen else "open",
        )
    shared.console(shared.WIDE).print(table)
    say(f"{len(found)} sessions, {sum(session.is_frozen for session in found)} of them frozen")


@app.command()
def reopen(
    date: Annotated[str, typer.Argument(help="The accounting date, such as 2026-09-24")],
    reason: Reason,
    by: By = None,
) -> None:
    """Ask to open the frozen sessions of a date. Another person has to approve it."""
    settings = shared.deciding_home()
    wanted = shared.day(date)
    assert wanted is not None
    request_id = sessions.ask(settings, wanted, by=by, reason=reason)
    shared.say_asked("sessions", request_id)


@app.command()
def approve(
    request: Annotated[int, typer.Argument(help="The request's number")], by: By = None
) -> None:
    """Approve what another person asked for."""
    done = sessions.approve(shared.deciding_home(), request, by=by)
    say(_said(done))
    say(f"next: tieout close {done.accounting_date}, which freezes the sessions anew")


@app.command("decisions")
def list_decisions() -> None:
    """List what was asked and approved, and by whom."""
    found = sessions.decisions(shared.home())
    for decision in found:
        shared.console(shared.WIDE).print(_said(decision), soft_wrap=True)
    say(f"{len(found)} decisions about clearing sessions")


def _clock(session: sessions.Session) -> str:
    if session.ends_at is None:
        return "last of the date"
    return f"{session.ends_at.astimezone(days.BUSINESS_TIME_ZONE):%H:%M}"


def _said(decision: sessions.Reopening) -> str:
    state = shared.approval(decision.approved_by)
    return (
        f"request {decision.request_id}: open the clearing sessions of {decision.accounting_date}, "
        f"asked for by {decision.requested_by} ({decision.reason}): {state}"
    )
