"""`tieout suspense`: open items and suspended adjustments, for the people who clear them up."""

from __future__ import annotations

from datetime import date
from typing import Annotated

import typer

from tieout.commands import overview, shared
from tieout.commands.shared import On, Reason
from tieout.core.progress import say
from tieout.core.settings import Settings
from tieout.decisions import suspense

__all__ = ["app"]

app = typer.Typer(
    help="Open items, suspended adjustments: decide with two people. 挂账处理。",
    no_args_is_help=True,
)

Item = Annotated[str, typer.Argument(help="An item, such as S:V0001 or C:0f12…:7")]
Adjustment = Annotated[str, typer.Argument(help="A suspended adjustment, such as A:0f12…:7")]
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
    settings = shared.home()
    chosen = suspense.ItemFilter(channel, side, status, action, assigned, min_age)
    items = suspense.open_items(settings, chosen)
    if not items:
        say("no item is open that fits")
        return
    table = shared.table(
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
    shared.console(shared.WIDE).print(table)
    say(f"{len(items)} open items after {items[0].accounting_date}")
    say("next: tieout suspense show ITEM; assign, write-off, adjust, offset or pair it")


def _decision_text(item: suspense.OpenItem | suspense.SuspendedAdjustment) -> str:
    if item.action_id is None:
        return ""
    state = "approved" if item.is_approved else "waits for approval"
    return f"{item.action_id} {item.action_kind} on {item.effective_on}: {state}"


@app.command("adjustments")
def list_adjustments() -> None:
    """List the channels' adjustments that wait for two people, with the reason why."""
    found = suspense.suspended_adjustments(shared.home())
    if not found:
        say("no adjustment is suspended")
        return
    table = shared.table(
        f"Suspended adjustments after {found[0].accounting_date} 待定差错",
        (
            "adjustment\n差错",
            "channel\n渠道",
            "type\n差错类型",
            "effect on our cash\n资金影响",
            "suspended\n待定日",
            "age\n账龄",
            "reason\n原因",
            "sale\n原交易",
            "decision\n处理",
        ),
    )
    for suspended in found:
        amount = overview.money(suspended.funds_effect_minor, suspended.currency_code)
        table.add_row(
            suspended.subject,
            suspended.channel,
            suspended.adjustment_type,
            f"{amount} {suspended.currency_code}",
            f"{suspended.suspended_on:%d %b}",
            str(suspended.age_days),
            suspended.suspended_reason or "",
            suspended.original_voucher_id or "",
            _decision_text(suspended),
        )
    shared.console(shared.WIDE).print(table)
    say(f"{len(found)} suspended adjustments after {found[0].accounting_date}")
    say("next: tieout suspense charge, absorb or tie ADJUSTMENT; two people decide")


@app.command()
def show(item: Item) -> None:
    """Show an item's or adjustment's record, its state on each date, and the decisions about it."""
    settings = shared.home()
    if item.startswith(suspense.ADJUSTMENT):
        _show_adjustment(settings, item)
    else:
        _show_item(settings, item)
    for found in suspense.decisions(settings):
        if item in {found.suspense_item_id, found.second_item_id}:
            shared.console(shared.WIDE).print(f"  {_said(found)}", soft_wrap=True)


def _show_adjustment(settings: Settings, adjustment: str) -> None:
    history = suspense.adjustment_history(settings, adjustment)
    last = history[-1]
    console = shared.console(shared.WIDE)
    amount = overview.money(last["funds_effect_minor"], last["currency_code"])
    console.print(f"{adjustment}  {last['channel']}  {amount} {last['currency_code']}")
    for name in (
        *("adjustment_type", "match_key", "file_id", "line_number", "suspended_on"),
        *("suspense_item_id", "account_id", "original_voucher_id"),
    ):
        if last[name] is not None:
            console.print(f"  {name:<19} {last[name]}", soft_wrap=True)
    for row in history:
        decided = f" by {row['decision_id']} ({row['approvers']})" if row["decision_id"] else ""
        console.print(
            f"  {row['accounting_date']}  {row['status']:<12} age {row['age_days']}{decided}",
            soft_wrap=True,
        )


def _show_item(settings: Settings, item: str) -> None:
    history = suspense.item_history(settings, item)
    last = history[-1]
    console = shared.console(shared.WIDE)
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


@app.command()
def assign(
    item: Item,
    to: Annotated[str, typer.Option("--to", help="Who shall look after it.")],
    by: By,
    reason: Reason,
) -> None:
    """Ask somebody to look after an item."""
    action_id = suspense.assign(shared.deciding_home(), item, to=to, by=by, reason=reason)
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
    """Ask to charge an item to a merchant's account, or credit it. Another person approves.

    A written-off item that is still held is charged to the account it is held from.
    """
    _request("adjust", item, by=by, reason=reason, on=on, account_id=account)


@app.command()
def offset(item: Item, other: Item, by: By, reason: Reason, on: On = None) -> None:
    """Ask to close two items of one side that cancel each other. Another person approves."""
    _request("offset", item, by=by, reason=reason, on=on, second_item_id=other)


@app.command()
def pair(item: Item, other: Item, by: By, reason: Reason, on: On = None) -> None:
    """Ask to pair an item of each side by hand. Another person approves."""
    _request("pair", item, by=by, reason=reason, on=on, second_item_id=other)


@app.command()
def charge(
    adjustment: Adjustment,
    account: Annotated[str, typer.Option("--account", help="The merchant's account.")],
    by: By,
    reason: Reason,
    on: On = None,
) -> None:
    """Ask to charge a suspended adjustment to a merchant's account. Another person approves."""
    _dispose("charge", adjustment, by=by, reason=reason, on=on, account_id=account)


@app.command()
def absorb(adjustment: Adjustment, by: By, reason: Reason, on: On = None) -> None:
    """Ask to absorb a suspended adjustment: our loss, or gain. Another person approves."""
    _dispose("absorb", adjustment, by=by, reason=reason, on=on)


@app.command()
def tie(adjustment: Adjustment, item: Item, by: By, reason: Reason, on: On = None) -> None:
    """Ask to tie a suspended adjustment to an open item that it ends. Another person approves."""
    _dispose("tie", adjustment, by=by, reason=reason, on=on, item_id=item)


def _dispose(
    kind: suspense.AdjustmentKind,
    adjustment: str,
    *,
    by: str,
    reason: str,
    on: str | None,
    item_id: str | None = None,
    account_id: str | None = None,
) -> None:
    settings = shared.deciding_home()
    effective_on = shared.day(on) or suspense.next_open_date(settings)
    action_id = suspense.dispose(
        settings,
        kind,
        adjustment,
        by=by,
        reason=reason,
        item_id=item_id,
        account_id=account_id,
        effective_on=effective_on,
    )
    _say_next(action_id, f"{kind} of {adjustment}", by, effective_on)


def _say_next(action_id: int, what: str, by: str, effective_on: date) -> None:
    say(f"decision {action_id}: {what}, asked for by {by}")
    say(f"it takes effect in the close of {effective_on} once another person has approved it")
    say(f"next: tieout suspense approve {action_id} --by ANOTHER")


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
    settings = shared.deciding_home()
    effective_on = shared.day(on) or suspense.next_open_date(settings)
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
    _say_next(action_id, f"{kind} of {item}", by, effective_on)


@app.command()
def approve(
    action: Annotated[int, typer.Argument(help="The decision's number")],
    by: Annotated[str, typer.Option("--by", help="Who approves it: not who asked for it.")],
) -> None:
    """Approve another person's decision."""
    decision = suspense.approve(shared.deciding_home(), action, by=by)
    say(_said(decision))
    say(f"next: tieout close {decision.effective_on}")


@app.command("decisions")
def list_decisions() -> None:
    """List what was decided, by whom, and what became of it."""
    found = suspense.decisions(shared.home())
    for decision in found:
        shared.console(shared.WIDE).print(_said(decision), soft_wrap=True)
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
