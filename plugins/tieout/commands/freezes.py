"""`tieout freezes`: what is frozen of accounts and what waits to be charged, for two people."""

from __future__ import annotations

from typing import Annotated

import typer

from tieout.commands import overview, shared
from tieout.commands.shared import By, Reason
from tieout.core import money
from tieout.core.progress import say
from tieout.decisions import freezes

__all__ = ["app"]

app = typer.Typer(
    help="Freezes of accounts and waiting charges: list, add, release, write off. 冻结与待扣款。",
    no_args_is_help=True,
)

Account = Annotated[str | None, typer.Option("--account", help="Only this account.")]
FreezeId = Annotated[str, typer.Argument(help="A freeze, such as Z000001 or P:12")]
On = Annotated[
    str | None,
    typer.Option("--on", help="Date it counts from; default: the next one to be closed."),
]


@app.command("list")
def list_freezes(account: Account = None) -> None:
    """List the freezes in force on the latest payment date, and the charges that wait."""
    settings = shared.home()
    found = freezes.in_force(settings, account)
    if found:
        table = shared.table(
            f"Freezes in force on {found[0].payment_date} 冻结登记簿",
            (
                "freeze\n冻结编号",
                "kind\n类别",
                "account\n账户",
                "ordered\n应冻结",
                "left\n冻结余额",
                "found\n已占用",
                "order\n文书号",
                "from\n生效",
                "until\n失效",
                "the file says\n矛盾",
            ),
        )
        for freeze in found:
            table.add_row(*_cells(freeze))
        shared.console(shared.WIDE).print(table)
    waiting = freezes.waiting_charges(settings, account)
    if waiting:
        table = shared.table(
            f"Charges that wait after {waiting[0].payment_date} 待扣款",
            ("charge\n扣款", "account\n账户", "amount\n金额", "since\n起始", "age\n账龄"),
        )
        for charge in waiting:
            table.add_row(
                charge.entry_id,
                charge.account_id,
                money.amount_text(charge.closing_amount_minor, charge.currency_code),
                str(charge.waits_since),
                str(charge.age_days),
            )
        shared.console(shared.WIDE).print(table)
    say(f"{len(found)} freezes in force, {len(waiting)} charges wait")
    say("next: tieout freezes add, release FREEZE or write-off CHARGE, each by two people")


def _cells(freeze: freezes.Freeze) -> tuple[str, ...]:
    currency = freeze.currency_code
    session = f" {freeze.settlement_session_type}" if freeze.settlement_session_type else ""
    return (
        freeze.freeze_id,
        f"{freeze.freeze_kind}: {freezes.KINDS[freeze.freeze_kind]}",
        f"{freeze.account_id}{session}",
        money.amount_text(freeze.ordered_amount_minor, currency),
        overview.money(freeze.frozen_amount_minor, currency),
        overview.money(freeze.covered_minor, currency),
        " ".join(filter(None, (freeze.order_number, freeze.issued_by))),
        str(freeze.effective_from),
        str(freeze.effective_to or ""),
        freeze.contradiction or "",
    )


@app.command()
def add(
    *,
    account: Annotated[str, typer.Option("--account", help="The settlement account.")],
    kind: Annotated[
        str, typer.Option("--kind", help="judicial, risk, own_charge or merchant_request.")
    ],
    amount: Annotated[str, typer.Option("--amount", help="How much, such as 1200.50.")],
    reason: Reason,
    by: By = None,
    order: Annotated[
        str | None, typer.Option("--order", help="Number of the order; judicial needs one.")
    ] = None,
    issued_by: Annotated[
        str | None, typer.Option("--issued-by", help="Who ordered it; judicial needs it.")
    ] = None,
    currency: Annotated[str, typer.Option("--currency", help="ISO 4217.")] = "CNY",
    session: Annotated[
        str | None,
        typer.Option("--session", help="Only transaction or foreign_card; default: both."),
    ] = None,
    on: On = None,
    until: Annotated[
        str | None, typer.Option("--until", help="First day no longer in force; default: open.")
    ] = None,
) -> None:
    """Ask to freeze a part of an account. Another person has to approve it."""
    settings = shared.deciding_home()
    wanted = freezes.Wanted(
        freeze_kind=kind,
        account_id=account,
        currency_code=currency,
        amount_minor=money.minor_units(amount, currency),
        order_number=order,
        issued_by=issued_by,
        settlement_session_type=session,
        effective_on=shared.day(on),
        effective_to=shared.day(until),
    )
    shared.say_asked("freezes", freezes.add(settings, wanted, by=by, reason=reason))


@app.command()
def release(
    freeze: FreezeId,
    *,
    reason: Reason,
    by: By = None,
    amount: Annotated[
        str | None, typer.Option("--amount", help="A part of it; default: all that is left.")
    ] = None,
    currency: Annotated[str, typer.Option("--currency", help="ISO 4217, of the amount.")] = "CNY",
    on: On = None,
) -> None:
    """Ask to release a freeze or a part of it. Another person has to approve it."""
    settings = shared.deciding_home()
    shared.say_asked(
        "freezes",
        freezes.release(
            settings,
            freeze,
            amount_minor=money.minor_units(amount, currency) if amount else None,
            by=by,
            reason=reason,
            effective_on=shared.day(on),
        ),
    )


@app.command("write-off")
def write_off(
    charge: Annotated[str, typer.Argument(help="A waiting charge, such as A:…, of the list")],
    reason: Reason,
    by: By = None,
    on: On = None,
) -> None:
    """Ask to write a waiting charge off. Another person has to approve it."""
    settings = shared.deciding_home()
    effective_on = shared.day(on)
    shared.say_asked(
        "freezes",
        freezes.write_off(settings, charge, by=by, reason=reason, effective_on=effective_on),
    )


@app.command()
def approve(
    request: Annotated[int, typer.Argument(help="The request's number")], by: By = None
) -> None:
    """Approve what another person asked for."""
    done = freezes.approve(shared.deciding_home(), request, by=by)
    say(_said(done))
    say(f"next: tieout pay DATE, the first payment date from {done.effective_on} on")


@app.command("decisions")
def list_decisions() -> None:
    """List what was asked and approved, and by whom."""
    found = freezes.decisions(shared.home())
    for decision in found:
        shared.console(shared.WIDE).print(_said(decision), soft_wrap=True)
    say(f"{len(found)} decisions about freezes")


def _said(decision: freezes.Decision) -> str:
    amount = money.amount_text(decision.amount_minor, decision.currency_code)
    kind = f" {decision.freeze_kind}" if decision.freeze_kind else ""
    until = f" until {decision.effective_to}" if decision.effective_to else ""
    state = shared.approval(decision.approved_by)
    return (
        f"request {decision.request_id}: {decision.action}{kind} {decision.freeze_id} of "
        f"{decision.account_id}, {amount}, from {decision.effective_on} on{until}, asked for by "
        f"{decision.requested_by} ({decision.reason}): {state}"
    )
