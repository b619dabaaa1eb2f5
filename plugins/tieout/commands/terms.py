"""`tieout terms`: changed terms for the two people who decide about them."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tieout.commands import shared
from tieout.commands.shared import On, Reason
from tieout.core.progress import say
from tieout.core.settings import Settings
from tieout.dates import days
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
By = Annotated[str, typer.Option("--by", help="The first person: your name.")]
Second = Annotated[str, typer.Option("--second", help="The second person, who checked it.")]


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
        counts = ", ".join(f"{count} {name}" for name, count in first.counts.items())
        say(f"the first date's list ({first.first_accounting_date}: {counts}) waits for approval")
        say("next: tieout terms approve --first-date --by ONE --second ANOTHER --reason TEXT")
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
    by: By,
    second: Second,
    reason: Reason,
    names: Names = None,
    first_date: Annotated[
        bool, typer.Option("--first-date", help="The first date's list and the reference data.")
    ] = False,
    reference: Annotated[
        bool, typer.Option("--reference", help="The reference data as it is now.")
    ] = False,
    on: On = None,
) -> None:
    """Approve changes, the first date's list or the reference data; two people are on record."""
    settings = shared.home()
    people = terms.TwoPeople(by, second, reason)
    if sum((bool(names), first_date, reference)) != 1:
        raise typer.BadParameter("name changes, or --first-date, or --reference")
    if first_date:
        approved = terms.approve_first_date(settings, people)
        counts = ", ".join(f"{count} {name}" for name, count in approved.counts.items())
        say(f"the first date's list is approved: {counts}; and the reference data")
        say("next: tieout pay DATE")
    elif reference:
        sha256 = terms.approve_reference(settings, people)
        say(f"the reference data {sha256[:16]} is approved")
        say("next: tieout pay DATE")
    else:
        _decide(settings, "approve", names or [], people, on)


@app.command()
def reject(by: By, second: Second, reason: Reason, names: Names = None, on: On = None) -> None:
    """Reject changes: the old terms stand; two people are on record."""
    _decide(shared.home(), "reject", names or [], terms.TwoPeople(by, second, reason), on)


def _decide(
    settings: Settings,
    decision: terms.Decision,
    names: list[str],
    people: terms.TwoPeople,
    on: str | None,
) -> None:
    found = terms.find_changes(settings, names)
    taking_effect = terms.decide(
        settings,
        decision,
        [change.change_id for change in found],
        people,
        days.business_date(on, None) if on else None,
    )
    for change in found:
        say(f"{decision}: {change.change_id} ({_what(change)})")
    say(f"taken over by the close of {taking_effect}; payees count from the next payment on")
    say(f"next: tieout close {taking_effect}")


@app.command()
def reference() -> None:
    """Show how the reference data differs from what two people approved last."""
    found = terms.reference_differences(shared.home())
    console = shared.console(shared.WIDE)
    for table, side, row in found[:ROWS_SHOWN]:
        text = ", ".join(f"{name}={value}" for name, value in row.items() if value is not None)
        console.print(f"{'−' if side == 'approved' else '+'} {table}: {text}", soft_wrap=True)
    if len(found) > ROWS_SHOWN:
        say(f"and {len(found) - ROWS_SHOWN} rows more")
    if found:
        say("next: tieout terms approve --reference --by ONE --second ANOTHER --reason TEXT")
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
