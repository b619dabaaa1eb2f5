"""`tieout explain`: why the balance equation of a payment date does not close."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from tieout import explaining
from tieout import gate as gate_module
from tieout.commands import shared
from tieout.core.progress import say
from tieout.dates import days
from tieout.explaining import CAUSES, telling

__all__ = ["app"]

app = typer.Typer(
    help="Explain the residual of a payment date's gate. 平衡差额解释。", no_args_is_help=True
)


@app.callback()
def explain() -> None:
    """Explain what does not close. Only reads."""


@app.command()
def gate(
    payment_date: Annotated[str, typer.Argument(help="Payment date, YYYY-MM-DD.")],
    as_json: Annotated[bool, typer.Option("--json", help="All rows, as JSON.")] = False,
) -> None:
    """List the causes that explain each residual exactly, with their rows and what to do."""
    day = days.business_date(payment_date, None)
    found = gate_module.explanations(shared.home().acting_as("gate"), day)
    if as_json:
        told = [explaining.as_dict(one) for one in found]
        print(json.dumps(told, ensure_ascii=False, indent=1))  # noqa: T201  the command's result
    else:
        for one in found:
            _show(one)
    open_groups = [one for one in found if not one.is_closed]
    say(f"{len(found)} groups of {day}, {len(open_groups)} do not close; nothing was written")
    if not open_groups:
        say(f"next: nothing to explain; `tieout pay {day}` says whether anything else fails")
        return
    if not any(one.candidates for one in open_groups):
        say(
            "next: ask the bank and the channel, with the amount; then"
            f" `tieout pay {day}`, or two people release it (docs/runbooks/failing-day.md)"
        )
        return
    say(
        "next: look at the rows of the first candidate of each group, do what it says, then"
        f" `tieout pay {day}` (docs/runbooks/gate-failed.md)"
    )


def _show(one: explaining.Explanation) -> None:
    console = shared.console(shared.WIDE)
    if one.is_closed:
        console.print(f"{one.group.arrival_group_id}: closes, nothing to explain")
        return
    if not one.candidates:
        console.print(f"{one.group.arrival_group_id}: {telling.identity(one)}", soft_wrap=True)
        console.print(
            f"  no cause is named: none of {one.tried} things that may be wrong fits, nor two of"
            " them together"
        )
        return
    table = shared.table(
        f"{one.group.arrival_group_id}: {telling.identity(one)}",
        (
            "no\n序号",
            "confidence\n可信程度",
            "cause\n原因",
            "effect\n影响",
            "rows\n明细",
            "what to do\n处理",
        ),
    )
    for number, candidate in enumerate(one.candidates, start=1):
        for part in candidate.parts:
            cause = CAUSES[part.cause_id]
            table.add_row(
                str(number),
                candidate.confidence,
                f"{part.cause_id}\n{cause.title_zh}",
                telling.amount(one, part.effect_minor),
                telling.places(part),
                cause.next_step,
            )
    console.print(table)
