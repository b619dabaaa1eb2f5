"""`tieout suspense`: open items for the people who clear them up."""

from __future__ import annotations

from typing import Annotated

import typer

from tieout import command_line, days, overview, suspense
from tieout.command_line import On, Reason
from tieout.progress import say

__all__ = ["app"]

app = typer.Typer(
    help="Open items: list, assign, decide with two people. 挂账处理。", no_args_is_help=True
)

Item = Annotated[str, typer.Argument(help="An item, such as S:V0001 or C:0f12…:7")]
By = Annotated[str, typer.Option("--by", help="Who asks for it: your name.")]


@app.command("list")
def list_items(  # noqa: PLR0917  options of a command
    channel: Annotated[str | None, typer.Option(help="One channel only.")] = None,
    side: Annotated[str | None, typer.Option(help="system or channel.")] = None,
    status: Annotated[str | None, typer.Option(help="in_doubt or one_sided.")] = None,
    action: Annotated[str | None, typer.Option(help="One suggested action only.")] = None,
    assigned: Annotated[str | None, typer.Option(help="Assigned to this person.")] = None,
    min_age: Annotated[int, typer.Option(min=0, help="Open for at least so many days.")] = 0,
) -> None:
    """List the items open after the latest close, with what is suggested and by which rule."""
    settings = command_line.home()
    chosen = suspense.ItemFilter(channel, side, status, action, assigned, min_age)
    items = suspense.open_items(settings, chosen)
    if not items:
        say("no item is open that fits")
        return
    table = command_line.table(
        f"Open items after {items[0].accounting_date} 挂账明细",
        (
            "item\n挂账项",
            "channel\n渠道",
            "state\n状态",
            "amount\n金额",
            "over/short\n长短款",
            "opened\n挂账日",
            "age\n账龄",
            "cause\n差异原因",
            "suggested\n处理建议",
            "rule\n建议规则",
            "assigned\n经办",
            "decision\n处理",
        ),
    )
    for item in items:
        table.add_row(
            item.suspense_item_id,
            item.channel,
            f"{item.side} {item.status}",
            f"{overview.money(item.amount_minor, item.currency_code)} {item.currency_code}",
            item.variance_kind,
            f"{item.opened_on:%d %b}",
            str(item.age_days),
            item.break_reason or "",
            item.suggested_action,
            item.suggestion_rule or "",
            item.assigned_to or "",
            _decision_text(item),
        )
    command_line.console(command_line.WIDE).print(table)
    say(f"{len(items)} open items after {items[0].accounting_date}")
    say("next: tieout suspense show ITEM; assign, write-off, adjust, offset or pair it")


def _decision_text(item: suspense.OpenItem) -> str:
    if item.action_id is None:
        return ""
    state = "approved" if item.is_approved else "waits for approval"
    return f"{item.action_id} {item.action_kind} on {item.effective_on}: {state}"


@app.command()
def show(item: Item) -> None:
    """Show an item's record, its state on each date, and the decisions about it."""
    settings = command_line.home()
    history = suspense.item_history(settings, item)
    last = history[-1]
    console = command_line.console(command_line.WIDE)
    amount = overview.money(last["amount_minor"], last["currency_code"])
    console.print(f"{item}  {last['channel']} {last['side']}  {amount} {last['currency_code']}")
    for name in (
        *("transaction_type", "transaction_at", "account_id", "source_id", "match_key"),
        *("file_id", "line_number", "variance_kind", "break_reason", "linked_item_id"),
        *("suggested_action", "suggestion_rule"),
    ):
        if last[name] is not None:
            console.print(f"  {name:<18} {last[name]}", soft_wrap=True)
    for row in history:
        ended = f" by {row['resolved_by_id']} ({row['resolution_method']})"
        console.print(
            f"  {row['accounting_date']}  {row['status']:<12} age {row['age_days']}"
            + (ended if row["resolved_by_id"] else ""),
            soft_wrap=True,
        )
    for found in suspense.decisions(settings):
        if item in {found.suspense_item_id, found.second_item_id}:
            console.print(f"  {_said(found)}", soft_wrap=True)


@app.command()
def assign(
    item: Item,
    to: Annotated[str, typer.Option("--to", help="Who shall look after it.")],
    by: By,
    reason: Reason,
) -> None:
    """Ask somebody to look after an item."""
    action_id = suspense.assign(command_line.home(), item, to=to, by=by, reason=reason)
    say(f"{item} is assigned to {to} (action {action_id})")
    say(f"next: tieout suspense list --assigned {to}")


@app.command("write-off")
def write_off(item: Item, by: By, reason: Reason, on: On = None) -> None:
    """Ask to write an item off (核销). Another person has to approve it."""
    _request("write_off", item, by=by, reason=reason, on=on)


@app.command()
def adjust(
    item: Item,
    account: Annotated[str, typer.Option("--account", help="The merchant's account.")],
    by: By,
    reason: Reason,
    on: On = None,
) -> None:
    """Ask to charge an item to a merchant's account, or credit it. Another person approves."""
    _request("adjust", item, by=by, reason=reason, on=on, account_id=account)


@app.command()
def offset(item: Item, other: Item, by: By, reason: Reason, on: On = None) -> None:
    """Ask to close two items of one side that cancel each other. Another person approves."""
    _request("offset", item, by=by, reason=reason, on=on, second_item_id=other)


@app.command()
def pair(item: Item, other: Item, by: By, reason: Reason, on: On = None) -> None:
    """Ask to pair an item of each side by hand. Another person approves."""
    _request("pair", item, by=by, reason=reason, on=on, second_item_id=other)


def _request(
    kind: suspense.ActionKind,
    item: str,
    *,
    by: str,
    reason: str,
    on: str | None,
    second_item_id: str | None = None,
    account_id: str | None = None,
) -> None:
    settings = command_line.home()
    effective_on = days.business_date(on, None) if on else suspense.next_open_date(settings)
    action_id = suspense.request(
        settings,
        kind,
        item,
        by=by,
        reason=reason,
        second_item_id=second_item_id,
        account_id=account_id,
        effective_on=effective_on,
    )
    say(f"decision {action_id}: {kind} of {item}, asked for by {by}")
    say(f"it takes effect in the close of {effective_on} once another person has approved it")
    say(f"next: tieout suspense approve {action_id} --by ANOTHER")


@app.command()
def approve(
    action: Annotated[int, typer.Argument(help="The decision's number")],
    by: Annotated[str, typer.Option("--by", help="Who approves it: not who asked for it.")],
) -> None:
    """Approve another person's decision."""
    decision = suspense.approve(command_line.home(), action, by=by)
    say(_said(decision))
    say(f"next: tieout close {decision.effective_on}")


@app.command("decisions")
def list_decisions() -> None:
    """List what was decided, by whom, and what became of it."""
    found = suspense.decisions(command_line.home())
    for decision in found:
        command_line.console(command_line.WIDE).print(_said(decision), soft_wrap=True)
    say(f"{len(found)} decisions")


def _said(decision: suspense.Decision) -> str:
    items = " and ".join(filter(None, (decision.suspense_item_id, decision.second_item_id)))
    account = f" on account {decision.account_id}" if decision.account_id else ""
    if decision.approved_by is None:
        state = "waits for approval"
    elif decision.is_applied is None:
        state = f"approved by {decision.approved_by}, not closed yet"
    elif decision.is_applied:
        state = f"approved by {decision.approved_by}, applied"
    else:
        state = f"approved by {decision.approved_by}, not applied: {decision.refused_because}"
    return (
        f"decision {decision.action_id}: {decision.action_kind} of {items}{account} on "
        f"{decision.effective_on}, asked for by {decision.requested_by} ({decision.reason}): "
        f"{state}"
    )
