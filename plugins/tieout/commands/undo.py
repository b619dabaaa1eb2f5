"""`tieout undo-payment`: two people undo a payment date of which nothing has left."""

from __future__ import annotations

from typing import Annotated

import typer

from tieout.commands import shared
from tieout.commands.shared import Reason
from tieout.core.progress import say
from tieout.dates import days
from tieout.decisions import undo

__all__ = ["app"]

app = typer.Typer(
    help="Undo a payment date before any file of it has left: two people. 撤销未出款的付款日。",
    no_args_is_help=True,
)


@app.command()
def ask(
    payment_date: Annotated[str, typer.Argument(help="YYYY-MM-DD, a payment date")],
    by: Annotated[str, typer.Option("--by", help="Who asks: your name.")],
    reason: Reason,
) -> None:
    """Ask to undo a payment date. Another person has to approve it."""
    day = days.business_date(payment_date, None)
    undo_id = undo.ask(shared.deciding_home(), day, by=by, reason=reason)
    say(f"undo {undo_id}: payment date {day}, asked for by {by}")
    say(f"next: another person: tieout undo-payment approve {undo_id} --by NAME")


@app.command()
def approve(
    undo_id: Annotated[int, typer.Argument(metavar="UNDO", help="The request's number")],
    by: Annotated[str, typer.Option("--by", help="Who approves it: not who asked for it.")],
) -> None:
    """Approve another person's request: the payment date is undone."""
    settings = shared.deciding_home()
    with days.command_owner(settings):
        done = undo.approve(settings, undo_id, by=by)
    say(_said(done))
    say("its dates are closed again, and a corrected file may land: put it into the inbox")
    say(f"next: tieout close DATE of the corrected file, then tieout pay {done.payment_date}")


@app.command("list")
def list_undos() -> None:
    """List what was asked to be undone, and by whom."""
    found = undo.undos(shared.home())
    for one in found:
        shared.console(shared.WIDE).print(_said(one), soft_wrap=True)
    say(f"{len(found)} requests")


def _said(one: undo.Undo) -> str:
    state = (
        f"{one.payout_count} payouts undone, approved by {one.approved_by}"
        if one.approved_by
        else "waits for approval"
    )
    return (
        f"undo {one.undo_id}: payment date {one.payment_date}, asked for by {one.requested_by} "
        f"({one.reason}): {state}"
    )
