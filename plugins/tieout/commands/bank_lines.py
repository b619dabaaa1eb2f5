"""`tieout bank-lines`: bank lines nothing explains, for the two people who take them."""

from __future__ import annotations

from typing import Annotated

import typer

from tieout.commands import overview, shared
from tieout.commands.shared import Reason
from tieout.core.progress import say
from tieout.decisions import bank_lines

__all__ = ["app"]

app = typer.Typer(
    help="Bank lines nothing explains: list, show, take with two people. 未解释银行流水。",
    no_args_is_help=True,
)

Line = Annotated[str, typer.Argument(help="A line, such as 0f12…:7: its file and its number")]
By = Annotated[str, typer.Option("--by", help="Who decides: your name.")]


@app.command("list")
def list_lines() -> None:
    """List the lines that fail the gate, with why and since when."""
    found = bank_lines.open_lines(shared.home())
    if not found:
        say("every bank line is explained or taken")
        return
    table = shared.table(
        f"Unexplained bank lines of {found[0].payment_date} 未解释银行流水",
        (
            "line\n流水",
            "statement\n对账单",
            "account\n账户",
            "amount\n金额",
            "unexplained\n未解释金额",
            "reason\n原因",
            "age\n账龄",
            "decision\n处理",
        ),
    )
    for line in found:
        table.add_row(
            line.name,
            str(line.statement_date),
            f"…{line.bank_account_id[-4:]}",
            f"{overview.money(line.amount_minor, line.currency_code)} {line.currency_code}",
            overview.money(line.unexplained_amount_minor, line.currency_code),
            f"{line.reason}: {bank_lines.REASONS[line.reason]}",
            str(line.age_days),
            _state(line),
        )
    shared.console(shared.WIDE).print(table)
    say(f"{len(found)} lines; each fails the gate until two people take it")
    say("next: tieout bank-lines show LINE, then take it")


def _state(line: bank_lines.BankLine) -> str:
    if line.decision_id is None:
        return ""
    state = "approved, read by the next payment date" if line.is_approved else "waits for approval"
    return f"{line.decision_id} {line.taken_as}: {state}"


@app.command()
def show(line: Line) -> None:
    """Show a line, its state on each payment date, and the decisions about it."""
    settings = shared.home()
    history = bank_lines.line_history(settings, line)
    last = history[-1]
    console = shared.console(shared.WIDE)
    amount = overview.money(last["amount_minor"], last["currency_code"])
    console.print(f"{line}  {last['line_kind']}  {amount} {last['currency_code']}")
    left = overview.money(last["unexplained_amount_minor"], last["currency_code"])
    for name, text in (
        ("statement", last["statement_date"]),
        ("booked on", last["booked_on"]),
        ("account", f"…{last['bank_account_id'][-4:]}"),
        ("unexplained", left),
        ("reason", f"{last['reason']}: {bank_lines.REASONS[last['reason']]}"),
    ):
        console.print(f"  {name:<12} {text}", soft_wrap=True)
    for row in history:
        console.print(f"  {row['payment_date']}  {row['status']:<10} age {row['age_days']}")
    for decision in bank_lines.decisions(settings):
        if f"{decision.file_id}:{decision.line_number}" == line:
            console.print(f"  {_said(decision)}", soft_wrap=True)
    say("next: tieout bank-lines take LINE --as claim_on_bank, bank_charge or own_error")


@app.command()
def take(
    line: Line,
    taken_as: Annotated[str, typer.Option("--as", help="claim_on_bank, bank_charge or own_error.")],
    by: By,
    reason: Reason,
    on: Annotated[
        str | None,
        typer.Option("--on", help="Date it counts from; default: the payment date at hand."),
    ] = None,
) -> None:
    """Say what a line is. Another person has to approve it."""
    settings = shared.deciding_home()
    effective_on = shared.day(on) or bank_lines.next_effective_date(settings)
    decision_id = bank_lines.take(
        settings, line, taken_as=taken_as, by=by, reason=reason, effective_on=effective_on
    )
    say(f"decision {decision_id}: {line} as {taken_as}, asked for by {by}")
    say(f"it counts from {effective_on} on, once another person has approved it")
    say(f"next: tieout bank-lines approve {decision_id} --by ANOTHER")


@app.command()
def approve(
    decision: Annotated[int, typer.Argument(help="The decision's number")],
    by: Annotated[str, typer.Option("--by", help="Who approves it: not who asked for it.")],
) -> None:
    """Approve another person's decision: the line is taken."""
    done = bank_lines.approve(shared.deciding_home(), decision, by=by)
    say(_said(done))
    say("next: tieout pay DATE, the payment date whose gate failed")


@app.command("decisions")
def list_decisions() -> None:
    """List what was decided about bank lines, and by whom."""
    found = bank_lines.decisions(shared.home())
    for decision in found:
        shared.console(shared.WIDE).print(_said(decision), soft_wrap=True)
    say(f"{len(found)} decisions")


def _said(decision: bank_lines.Decision) -> str:
    amount = overview.money(decision.amount_minor, decision.currency_code)
    state = shared.approval(decision.approved_by)
    return (
        f"decision {decision.decision_id}: {decision.file_id}:{decision.line_number} "
        f"{amount} {decision.currency_code} as {decision.taken_as} from {decision.effective_on} "
        f"on, asked for by {decision.requested_by} ({decision.reason}): {state}"
    )
