"""`tieout own-money`: reserve proof, transfers of own money, entries by hand, for two people."""

from __future__ import annotations

from typing import Annotated

import typer

from tieout.commands import overview, shared
from tieout.commands.shared import By, Reason
from tieout.core import money
from tieout.core.progress import say
from tieout.decisions import own_money

__all__ = ["app"]

app = typer.Typer(
    help="Own and client money: proof, sweep, top up, enter. 备付金核对、自有资金划转与补录。",
    no_args_is_help=True,
)

Amount = Annotated[str, typer.Option("--amount", help="How much, such as 1200.50.")]
Currency = Annotated[str, typer.Option("--currency", help="ISO 4217.")]
On = Annotated[
    str | None,
    typer.Option("--on", help="Date it counts from; default: the latest payment date, if open."),
]


@app.command("list")
def list_proof() -> None:
    """Show the reserve proof of the latest payment date, and what our part of it is made of."""
    found, parts = own_money.proofs(shared.home())
    for proof in found:
        currency = proof.currency_code
        table = shared.table(
            f"Reserve proof of {proof.payment_date}, as of {proof.as_of_date} 备付金核对",
            ("what\n项目", f"amount {currency}\n金额"),
        )
        for name, amount in (
            ("client reserve at the bank 备付金余额", proof.reserve_minor),
            ("our part of it 自有部分", proof.own_part_minor),
            ("difference from the books 差额", proof.difference_minor),
            ("topped up since 其后补足", proof.topped_up_minor),
            ("own funds at the bank 自有资金余额", proof.own_funds_minor),
            ("their difference from the books 自有资金差额", proof.own_funds_difference_minor),
            ("may be swept 可划出", proof.sweepable_minor),
            ("has to be topped up 需补足", proof.missing_minor),
        ):
            table.add_row(name, "none" if amount is None else overview.money(amount, currency))
        for part in parts:
            if part.currency_code == currency:
                table.add_row(
                    f"  of our part: {part.ledger_account} {part.ledger_account_zh}",
                    overview.money(part.own_amount_minor, currency),
                )
        shared.console(shared.WIDE).print(table)
        if proof.missing_minor:
            missing = money.decimal_text(proof.missing_minor, currency)
            say(f"next: tieout own-money top-up --amount {missing}, by two people")


@app.command()
def sweep(
    *, amount: Amount, reason: Reason, by: By = None, currency: Currency = "CNY", on: On = None
) -> None:
    """Ask to take what is ours out of the client reserve. Another person has to approve it."""
    _transfer("fee_sweep", amount, currency, reason, by, on)


@app.command("top-up")
def top_up(
    *, amount: Amount, reason: Reason, by: By = None, currency: Currency = "CNY", on: On = None
) -> None:
    """Ask to cover the client reserve from own funds. Another person has to approve it."""
    _transfer("own_funds_top_up", amount, currency, reason, by, on)


def _transfer(  # noqa: PLR0917 - options of a command
    kind: str, amount: str, currency: str, reason: str, by: str | None, on: str | None
) -> None:
    settings = shared.deciding_home()
    shared.say_asked(
        "own-money",
        own_money.transfer(
            settings,
            kind,
            money.minor_units(amount, currency),
            currency,
            by=by,
            reason=reason,
            effective_on=shared.day(on),
        ),
    )


@app.command()
def enter(
    *,
    account: Annotated[str, typer.Option("--account", help="Our bank account.")],
    amount: Annotated[
        str, typer.Option("--amount", help="What the bank shows; below 0: it takes it.")
    ],
    reference: Annotated[
        str, typer.Option("--reference", help="The whole text of the bank's line.")
    ],
    booked_as: Annotated[
        str, typer.Option("--as", help=f"One of {', '.join(own_money.BOOKED_AS)}.")
    ],
    reason: Reason,
    by: By = None,
    currency: Currency = "CNY",
    on: On = None,
) -> None:
    """Ask for an entry of the bank journal. Another person has to approve it."""
    settings = shared.deciding_home()
    shared.say_asked(
        "own-money",
        own_money.enter(
            settings,
            account,
            reference,
            booked_as,
            money.minor_units(amount, currency),
            currency,
            by=by,
            reason=reason,
            effective_on=shared.day(on),
        ),
    )


@app.command()
def approve(
    request: Annotated[int, typer.Argument(help="The request's number")], by: By = None
) -> None:
    """Approve what another person asked for."""
    done = own_money.approve(shared.deciding_home(), request, by=by)
    say(_said(done))
    if done.entry_kind != "manual_entry":
        say(f"next: have the bank transfer it on both accounts with the text {done.bank_text!r}")
    say(f"next: tieout pay DATE, the first payment date from {done.effective_on} on")


@app.command("decisions")
def list_decisions() -> None:
    """List what was asked and approved, and by whom."""
    found = own_money.decisions(shared.home())
    for decision in found:
        shared.console(shared.WIDE).print(_said(decision), soft_wrap=True)
    say(f"{len(found)} decisions about own money")


def _said(decision: own_money.Decision) -> str:
    amount = money.amount_text(decision.amount_minor, decision.currency_code)
    where = ""
    if decision.bank_account_id:
        where = f" on {decision.bank_account_id} as {decision.booked_as}"
    state = shared.approval(decision.approved_by)
    return (
        f"request {decision.request_id}: {decision.entry_kind} of {amount}{where}, "
        f"{decision.bank_text!r}, from {decision.effective_on} on, asked for by "
        f"{decision.requested_by} ({decision.reason}): {state}"
    )
