"""`tieout gate`: what the gate decided, and how two people release a date that did not pass."""

from __future__ import annotations

from typing import Annotated

import typer

from tieout import database, gate
from tieout.commands import shared
from tieout.commands.shared import By, Reason
from tieout.core.progress import say
from tieout.dates import days

__all__ = ["app"]

app = typer.Typer(
    help="Read the gate's decisions; release a date that did not pass: two people. 闸门与放行。",
    no_args_is_help=True,
)

_DECISIONS = """
    select
        payment_date,
        decision_id::text,
        outcome,
        coalesce(statements_covered, 0),
        coalesce(decided_by_login, '-'),
        coalesce(released_by_first || ', ' || released_by_second, decided_by),
        to_char(decided_at at time zone 'Asia/Shanghai', 'YYYY-MM-DD HH24:MI'),
        coalesce(release_reason, detail #>> '{failures,0,detail}', '')
    from control.gate_decisions
    where %(day)s::date is null or payment_date = %(day)s
    order by payment_date desc, decision_id desc
    limit %(limit)s
"""
_SHOWN = 40


@app.command("list")
def list_decisions(
    payment_date: Annotated[
        str | None, typer.Argument(help="YYYY-MM-DD, a payment date; default: the newest decisions")
    ] = None,
) -> None:
    """List the decisions of the gate, newest first, and the releases that wait."""
    day = days.business_date(payment_date, None) if payment_date else None
    settings = shared.deciding_home()
    with database.connect(settings) as connection:
        rows = connection.execute(_DECISIONS, {"day": day, "limit": _SHOWN}).fetchall()
    waiting = gate.waiting_releases(settings, day)
    made = shared.table(
        "Decisions of the gate 闸门决定",
        ("pays", "decision", "outcome", "statements", "login", "by", "at (Shanghai)", "why"),
    )
    for row in rows:
        made.add_row(*map(str, row))
    shared.console(shared.WIDE).print(made)
    for one in waiting:
        say(
            f"release {one.release_id} of {one.payment_date} waits, asked for by "
            f"{one.requested_by}: {one.reason}"
        )
        say(f"next: another person: tieout gate approve {one.release_id}")
    say(f"{len(rows)} decisions shown, {len(waiting)} releases wait")


@app.command()
def request(
    payment_date: Annotated[str, typer.Argument(help="YYYY-MM-DD, a payment date")],
    reason: Reason,
    by: By = None,
) -> None:
    """Ask to pay a date although its gate failed. Another person has to approve it."""
    day = days.business_date(payment_date, None)
    release_id = gate.request_release(shared.deciding_home(), day, reason, by=by)
    say(f"release {release_id}: payment date {day} is asked for, on what the gate has found")
    say(
        f"next: another person reads `tieout gate list {day}`, then: "
        f"tieout gate approve {release_id}"
    )


@app.command()
def approve(
    release_id: Annotated[int, typer.Argument(metavar="RELEASE", help="The request's number")],
    by: By = None,
) -> None:
    """Release, as the second person, what another one has asked for."""
    decision = gate.approve_release(shared.deciding_home(), release_id, by=by)
    say(
        f"payment date {decision.payment_date} is released (decision {decision.decision_id}): "
        f"{decision.statements_covered} statements, {len(decision.failures)} failures accepted"
    )
    say(f"next: tieout pay {decision.payment_date}")
