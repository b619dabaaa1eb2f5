"""`tieout explain`: why an equation does not close, and how a fee came about."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from tieout import database, explaining
from tieout import gate as gate_module
from tieout.commands import shared
from tieout.core.errors import TieoutError
from tieout.core.money import decimal_text
from tieout.core.progress import say
from tieout.dates import days
from tieout.explaining import CAUSES, fees, telling

__all__ = ["app"]

app = typer.Typer(
    help="Explain the residual of a gate, or the fee of a voucher. 平衡差额与手续费解释。",
    no_args_is_help=True,
)


@app.callback()
def explain() -> None:
    """Explain what does not close, or what was charged. Only reads."""


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


@app.command()
def fee(
    voucher_id: Annotated[str, typer.Argument(help="Source voucher, as the platform numbers it.")],
    as_json: Annotated[bool, typer.Option("--json", help="All of it, as JSON.")] = False,
) -> None:
    """Tell how the fee of a voucher came about, computed once more from its rule and inputs."""
    # Its tables are those of a close and of a payment, which the gate's role does not all read.
    settings = shared.home().acting_as("transform")
    with database.connect(settings) as connection, connection.transaction():
        connection.execute("set transaction isolation level repeatable read read only")
        has_entries = database.has_table(connection, "clearing.clearing_entries")
        facts = fees.read_fee(connection, voucher_id) if has_entries else None
    if facts is None:
        raise TieoutError(
            what=f"there is no fee to explain of voucher {voucher_id}",
            where="clearing.clearing_entries",
            why="no closed date cleared a voucher of that number: it is unknown, failed, refused, "
            "of a kind that is not cleared, or its date is not closed",
            next_step="look for it in clearing.refused_vouchers; close its date, then again",
        )
    found = fees.recomputed(facts)
    # The gate's tables are of the last payment alone; of another date it says nothing.
    sides = {
        "clearing 清算": facts.fee_minor,
        "ledger 分录": facts.ledger_fee_minor,
        "gate 闸门重算": facts.gate_fee_minor,
    }
    agrees = all(side in {found, None} for side in sides.values()) and found is not None
    if as_json:
        told = {**asdict(facts), "recomputed_fee_minor": found, "agrees": agrees}
        told["steps"] = [asdict(step) for step in fees.steps(facts)]
        print(json.dumps(told, ensure_ascii=False, indent=1, default=str))  # noqa: T201  the result
    else:
        _show_fee(facts, found, sides)
    say(f"next: {'nothing to do' if agrees else 'docs/runbooks/gate-failed.md, fees_recomputed'}")
    if not agrees:
        raise typer.Exit(1)


def _show_fee(facts: fees.FeeFacts, found: int | None, sides: dict[str, int | None]) -> None:
    def text(minor: int | None) -> str:
        return "" if minor is None else decimal_text(minor, facts.currency_code)

    table = shared.table(
        f"Fee of {facts.voucher_id} 手续费 (amounts in {facts.currency_code})",
        ("step\n步骤", "in words\n说明", "amount\n金额"),
    )
    for step in fees.steps(facts):
        table.add_row(f"{step.topic}\n{step.topic_zh}", step.words, text(step.amount_minor))
    table.add_row("fee\n手续费", "by contract and rule, computed here", text(found))
    for side, minor in sides.items():
        words = "not kept: its tables are of another payment" if minor is None else "the same"
        if minor is not None and minor != found:
            words = "ANOTHER FEE 不符"
        table.add_row(side.replace(" ", "\n"), words, text(minor))
    shared.console(shared.WIDE).print(table)


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
