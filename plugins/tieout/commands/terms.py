"""`tieout terms`: changed terms for the two people who decide about them."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

import typer

from tieout.commands import shared
from tieout.commands.shared import By, On, Reason
from tieout.core.progress import say
from tieout.decisions import terms

__all__ = ["app"]

app = typer.Typer(
    help="Changed contracts, fees, payees: list, approve with two people. 条款审批。",
    no_args_is_help=True,
)

ROWS_SHOWN = 20
FIELDS_SHOWN = 4

Names = Annotated[
    list[str] | None,
    typer.Argument(help="Changes, as listed or their beginning, or an account's id"),
]
Second = Annotated[
    str | None,
    typer.Option(
        "--second",
        help="The second person's name, as long as nobody has a login; with logins: `countersign`.",
    ),
]


@app.command("list")
def list_changes(
    everything: Annotated[
        bool, typer.Option("--all", help="Also what was taken, approved or rejected.")
    ] = False,
) -> None:
    """List the changes that wait after the latest close, and whether the first list is approved."""
    settings = shared.home()
    states = ("waiting", "rejected", "approved", "taken") if everything else ("waiting",)
    found = terms.changes(settings, states)
    first = terms.first_date_list(settings)
    if not first.is_approved:
        say(
            f"the first date's list ({first.first_accounting_date}: {_counts(first)}) waits for "
            "approval"
        )
        say(f"next: tieout terms approve --first-date {shared.people_options(settings)}")
    for asked in terms.waiting_requests(settings):
        about = ", ".join(asked.change_ids) or asked.subject
        say(f"request {asked.request_id} by {asked.requested_by}: {asked.decision} {about}")
        say(f"next: another person: tieout terms countersign {asked.request_id}")
    if not found:
        say("no change waits for approval")
        return
    table = shared.table(
        f"Changes of terms after {found[0].accounting_date} 条款变更",
        (
            "change\n变更",
            "account\n账户",
            "kind\n种类",
            "state\n状态",
            "since\n首见日",
            "what\n内容",
        ),
    )
    for change in found:
        table.add_row(
            change.change_id,
            change.account_id or "",
            change.change_kind,
            change.change_state,
            f"{change.changed_on:%d %b}",
            _what(change),
        )
    shared.console(shared.WIDE).print(table)
    say(f"{len(found)} changes after {found[0].accounting_date}")
    say("next: tieout terms show CHANGE; approve or reject it")


def _counts(first: terms.FirstDateList) -> str:
    return ", ".join(f"{count} {name}" for name, count in first.counts.items())


def _what(change: terms.TermChange) -> str:
    if change.change_kind == "removed":
        return "not delivered any more"
    differences = change.differences()
    shown = ", ".join(
        _difference(name, *pair) for name, pair in list(differences.items())[:FIELDS_SHOWN]
    )
    return shown + (", …" if len(differences) > FIELDS_SHOWN else "")


def _difference(name: str, before: Any, after: Any) -> str:
    return f"{name} {after}" if before is None else f"{name} {before} → {after}"


@app.command()
def show(name: Annotated[str, typer.Argument(help="A change, or an account's id")]) -> None:
    """Show changes field by field: in force, and as delivered."""
    console = shared.console(shared.WIDE)
    for change in terms.find_changes(shared.home(), [name]):
        console.print(
            f"{change.change_id}  {change.change_kind}, {change.change_state}, account "
            f"{change.account_id}, since {change.changed_on}",
            soft_wrap=True,
        )
        for field, (before, after) in change.differences().items():
            console.print(f"  {field:<22} {before} → {after}", soft_wrap=True)


@app.command()
def approve(  # noqa: PLR0917  options of a command
    reason: Reason,
    by: By = None,
    second: Second = None,
    names: Names = None,
    first_date: Annotated[
        bool, typer.Option("--first-date", help="The first date's list and the reference data.")
    ] = False,
    reference: Annotated[
        bool, typer.Option("--reference", help="The reference data as it is now.")
    ] = False,
    on: On = None,
) -> None:
    """Approve changes, the first date's list or the reference data: one asks, one countersigns."""
    if sum((bool(names), first_date, reference)) != 1:
        raise typer.BadParameter("name changes, or --first-date, or --reference")
    if first_date or reference:
        settings = shared.home()
        if first_date:
            say(f"the first date's list: {_counts(terms.first_date_list(settings))}")
        if second is None:
            subject: terms.Subject = "first_date_list" if first_date else "reference_data"
            _tell_asked(terms.request(shared.deciding_home(), terms.Wanted(subject), reason, by))
            return
        people = terms.TwoPeople(by or "", second, reason)
        if first_date:
            terms.approve_first_date(settings, people)
            say("it is approved, and the reference data")
        else:
            sha256 = terms.approve_reference(settings, people)
            say(f"the reference data {sha256[:16]} is approved")
        say("next: tieout pay DATE")
    else:
        _decide("approve", names or [], reason, by, second, on)


@app.command()
def reject(
    reason: Reason,
    by: By = None,
    second: Second = None,
    names: Names = None,
    on: On = None,
) -> None:
    """Reject changes: the old terms stand. One asks, one countersigns."""
    _decide("reject", names or [], reason, by, second, on)


@app.command()
def countersign(
    request_id: Annotated[int, typer.Argument(metavar="REQUEST", help="The request's number")],
    by: By = None,
) -> None:
    """Decide, as the second person, what another one has asked for about terms."""
    _tell(terms.approve_request(shared.deciding_home(), request_id, by))


def _decide(  # noqa: PLR0917
    decision: terms.Decision,
    names: list[str],
    reason: str,
    by: str | None,
    second: str | None,
    on: str | None,
) -> None:
    settings = shared.home()
    found = terms.find_changes(settings, names)
    change_ids = [change.change_id for change in found]
    day = shared.day(on)
    if second is None:
        wanted = terms.Wanted("changes", decision, change_ids, day)
        request_id = terms.request(shared.deciding_home(), wanted, reason, by)
        for change in found:
            say(f"to {decision}: {change.change_id} ({_what(change)})")
        _tell_asked(request_id)
        return
    people = terms.TwoPeople(by or "", second, reason)
    taking_effect = terms.decide(settings, decision, change_ids, people, day)
    for change in found:
        say(f"{decision}: {change.change_id} ({_what(change)})")
    _tell_taken(taking_effect)


def _tell_asked(request_id: int) -> None:
    say(f"request {request_id} waits for a second person; until then the old terms stand")
    say(f"next: another person: tieout terms countersign {request_id}")


def _tell_taken(taking_effect: date) -> None:
    say(f"taken over by the close of {taking_effect}; payees count from the next payment on")
    say(f"next: tieout close {taking_effect}")


def _tell(decided: terms.TermRequest) -> None:
    if decided.effective_on is None:
        what = {"first_date_list": "the first date's list, and the reference data"}
        say(f"approved: {what.get(decided.subject, 'the reference data')}")
        say("next: tieout pay DATE")
        return
    say(f"{decided.decision}: {', '.join(decided.change_ids)}")
    _tell_taken(decided.effective_on)


@app.command()
def reference() -> None:
    """Show how the reference data differs from what two people approved last."""
    settings = shared.home()
    found = terms.reference_differences(settings)
    console = shared.console(shared.WIDE)
    for table, side, row in found[:ROWS_SHOWN]:
        text = ", ".join(f"{name}={value}" for name, value in row.items() if value is not None)
        console.print(f"{'−' if side == 'approved' else '+'} {table}: {text}", soft_wrap=True)
    if len(found) > ROWS_SHOWN:
        say(f"and {len(found) - ROWS_SHOWN} rows more")
    if found:
        say(f"next: tieout terms approve --reference {shared.people_options(settings)}")
    else:
        say("the reference data is what two people approved")


@app.command("decisions")
def list_decisions() -> None:
    """List what was decided about terms, by whom."""
    found = terms.approvals(shared.home())
    for approval in found:
        about = ", ".join(approval.change_ids) or approval.subject
        on = f" on {approval.effective_on}" if approval.effective_on else ""
        shared.console(shared.WIDE).print(
            f"decision {approval.approval_id}: {approval.decision} {about}{on}, by "
            f"{approval.approved_by_first} and {approval.approved_by_second} ({approval.reason})",
            soft_wrap=True,
        )
    say(f"{len(found)} decisions")
