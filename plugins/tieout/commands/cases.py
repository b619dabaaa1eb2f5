"""`tieout cases`: disputes with their deadlines, for the people who answer and represent them."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Annotated

import typer

from tieout.commands import overview, shared
from tieout.commands.shared import By, On, Reason
from tieout.core.errors import TieoutError
from tieout.core.money import amount_text
from tieout.core.private_files import write_private
from tieout.core.progress import say
from tieout.decisions import case_orders, cases, payouts

__all__ = ["app"]

app = typer.Typer(
    help="Disputes as cases: deadlines, evidence, representments; two people decide. 差错案件。",
    no_args_is_help=True,
)

CaseId = Annotated[str, typer.Argument(help="A case, such as CV:V0001 or CA:0f12…:7")]
Evidence = Annotated[
    Path,
    typer.Option(
        "--evidence", exists=True, dir_okay=False, help="File that is kept and handed over."
    ),
]


@app.command("list")
def list_cases(
    due_within: Annotated[
        int | None, typer.Option(min=0, help="Only what we have to do within so many days.")
    ] = None,
    overdue: Annotated[
        bool, typer.Option("--overdue", help="Only what nobody did in time.")
    ] = False,
    everything: Annotated[bool, typer.Option("--all", help="Those that have ended, too.")] = False,
) -> None:
    """List the cases after the latest close, the first due first."""
    found = cases.cases(shared.home())
    if not found:
        say("there is no case")
        return
    closed_on = found[0].accounting_date
    chosen = [
        case for case in found if _is_chosen(case, closed_on, due_within, overdue, everything)
    ]
    table = shared.table(
        f"Cases after {closed_on} 差错案件",
        (
            *("case\n案件", "channel\n渠道", "stage\n阶段", "state\n状态", "reason\n原因码"),
            *("disputed\n争议金额", "opened\n立案日", "due\n截止日", "order\n指令"),
        ),
    )
    for case in chosen:
        table.add_row(
            case.case_id,
            case.channel,
            case.stage,
            case.status,
            case.reason_code or "",
            f"{overview.money(case.disputed_minor, case.currency_code)} {case.currency_code}",
            f"{case.opened_on:%d %b}",
            "" if case.next_due_on is None else f"{case.next_due_on:%d %b}",
            _order_text(case),
        )
    if chosen:
        shared.console(shared.WIDE).print(table)
    say(f"{len(chosen)} of {len(found)} cases after {closed_on}")
    say("next: tieout cases show CASE")


def _is_chosen(
    case: cases.Case, closed_on: date, due_within: int | None, overdue: bool, everything: bool
) -> bool:
    if overdue:
        return case.status in {"overdue", "lapsed"} or (
            case.is_request_open
            and case.request_due_on is not None
            and case.request_due_on <= closed_on
        )
    if due_within is not None:
        last = closed_on + timedelta(days=due_within)
        return case.next_due_on is not None and case.next_due_on <= last
    return everything or case.is_open


def _order_text(case: cases.Case) -> str:
    if case.order_id is None:
        return ""
    if not case.is_approved:
        return f"{case.order_id} waits for approval"
    return f"{case.order_id} {f'left {case.sent_on:%d %b}' if case.sent_on else 'approved'}"


@app.command()
def show(case_id: CaseId) -> None:
    """Show a case: its sale, every record and decision, its deadlines, and what comes next."""
    settings = shared.home()
    case = cases.case(settings, case_id)
    console = shared.console(shared.WIDE)
    console.print(
        f"{case_id}  {case.channel}  {case.stage}  {case.status}  "
        f"disputed {amount_text(case.disputed_minor, case.currency_code)}",
        soft_wrap=True,
    )
    sale = (
        None
        if case.sale_amount_minor is None
        else f"{case.original_voucher_id} of {case.original_accounting_date}, "
        f"{amount_text(case.sale_amount_minor, case.currency_code)}"
    )
    for name, value in (
        ("sale", sale or "names no sale of ours: tieout suspense adjustments"),
        ("merchant", case.merchant_id),
        ("account", case.account_id),
        ("reason code", case.reason_code),
        ("charged back", amount_text(case.charged_back_minor, case.currency_code)),
        ("represented", amount_text(case.represented_minor, case.currency_code)),
        ("charged again", amount_text(case.charged_again_minor, case.currency_code)),
        ("due", case.due_on),
        ("reply due", case.request_due_on if case.is_request_open else None),
        ("order", _order_text(case)),
    ):
        if value:
            console.print(f"  {name:<14} {value}", soft_wrap=True, markup=False)
    for event in cases.events(settings, case_id):
        console.print(f"  {_event_text(event, case.currency_code)}", soft_wrap=True, markup=False)
    for line in cases.postings(settings, case_id):
        console.print(f"  {line}", soft_wrap=True, markup=False)
    for decision in cases.decisions(settings, case_id):
        console.print(f"  {_said(decision)}", soft_wrap=True, markup=False)
    say(f"next: {cases.next_step(case)}")


def _event_text(event: cases.Event, currency_code: str) -> str:
    text = f"{event.accounting_date}  {event.event_kind}"
    if event.taken_amount_minor:
        text += f"  taken {amount_text(event.taken_amount_minor, currency_code)}"
    if event.disposition:
        text += f", {event.disposition}"
    if event.reason_code:
        text += f", reason {event.reason_code}"
    if event.due_on:
        text += f", due {event.due_on}"
    if event.file_id:
        return f"{text}  ({event.file_id}:{event.line_number})"
    return f"{text}  (decision {event.decision_id} of {event.approvers})"


@app.command()
def answer(case_id: CaseId, evidence: Evidence, by: By, reason: Reason, on: On = None) -> None:
    """Ask to answer a request with evidence. Another person has to approve it."""
    settings = shared.deciding_home()
    decision = cases.answer(
        settings, case_id, evidence, by=by, reason=reason, effective_on=shared.day(on)
    )
    _say_next(decision, f"answer of {case_id}")


@app.command()
def represent(  # noqa: PLR0917  options of a command
    case_id: CaseId,
    evidence: Evidence,
    by: By,
    reason: Reason,
    amount_minor: Annotated[
        int | None,
        typer.Option(min=1, help="Minor units; default: all that was charged back."),
    ] = None,
    on: On = None,
) -> None:
    """Ask to represent a chargeback with evidence. Another person has to approve it."""
    settings = shared.deciding_home()
    decision = cases.represent(
        settings,
        case_id,
        evidence,
        by=by,
        reason=reason,
        amount_minor=amount_minor,
        effective_on=shared.day(on),
    )
    _say_next(decision, f"representment of {case_id}")


@app.command()
def accept(case_id: CaseId, by: By, reason: Reason, on: On = None) -> None:
    """Ask to fight a case no more. Another person has to approve it."""
    settings = shared.deciding_home()
    decision = cases.accept(settings, case_id, by=by, reason=reason, effective_on=shared.day(on))
    _say_next(decision, f"acceptance of {case_id}")


@app.command()
def refused(case_id: CaseId, by: By, reason: Reason, on: On = None) -> None:
    """Say that the channel refused the order that is out. Another person has to approve it."""
    settings = shared.deciding_home()
    decision = cases.refused(settings, case_id, by=by, reason=reason, effective_on=shared.day(on))
    _say_next(decision, f"refused order of {case_id}")


@app.command()
def approve(
    decision: Annotated[int, typer.Argument(help="The decision's number")],
    by: By = None,
) -> None:
    """Approve another person's decision about a case."""
    made = cases.approve(shared.deciding_home(), decision, by=by)
    say(_said(made))
    if made.decision_kind in {"answer", "represent"}:
        say(f"next: tieout cases send; tieout close {made.effective_on}")
    else:
        say(f"next: tieout close {made.effective_on}")


@app.command("decisions")
def list_decisions() -> None:
    """List what was decided about cases, by whom, and in which file it left."""
    found = cases.decisions(shared.home())
    for decision in found:
        shared.console(shared.WIDE).print(_said(decision), soft_wrap=True, markup=False)
    say(f"{len(found)} decisions")


@app.command()
def send(
    on: Annotated[
        str | None, typer.Option("--date", help="Date of the files; default: today.")
    ] = None,
) -> None:
    """Write the approved orders that have not left into files for the channels, each order once."""
    settings = shared.deciding_home()
    day = shared.day(on) or payouts.business_day(settings)
    files = case_orders.send(settings, day)
    for made in files:
        say(f"{made.order_count} orders for {made.channel}: {made.url}")
    if not files:
        say("no approved order waits")
        return
    say("next: hand the file and each order's evidence to the channel: tieout cases evidence")


@app.command("evidence")
def take_out(
    decision: Annotated[int, typer.Argument(help="The decision's number")],
    out: Annotated[Path, typer.Option("--out", help="File to write; it must not exist.")],
) -> None:
    """Write the evidence of a decision into a file, proved to be what was kept."""
    settings = shared.home()
    made = next((one for one in cases.decisions(settings) if one.decision_id == decision), None)
    if made is None or made.evidence_sha256 is None:
        raise cases.CaseError(
            what=f"decision {decision} has no evidence",
            where="control.case_decisions",
            why="answers and representments have some",
            next_step="tieout cases decisions",
        )
    if out.exists():
        raise TieoutError(
            what=f"{out} is there already",
            where=str(out),
            why="a file of somebody else is never replaced",
            next_step="name a file that does not exist",
        )
    write_private(out, cases.evidence(settings, made.evidence_sha256))
    say(f"{out}: {made.evidence_name}, sha256 {made.evidence_sha256}")


@app.command()
def duplicates() -> None:
    """List pairs of sales that may be one payment made twice. Nothing is done about them."""
    found = cases.duplicate_payments(shared.home())
    table = shared.table(
        "Sales that may be one payment twice 疑似重复支付",
        (
            *("date\n会计日期", "kind\n重复类型", "merchant\n商户", "amount\n金额"),
            *("first\n前一笔", "file and line\n来源", "second\n后一笔", "file and line\n来源"),
        ),
    )
    for pair in found:
        table.add_row(
            f"{pair.accounting_date}",
            pair.duplicate_kind,
            pair.merchant_id,
            amount_text(pair.amount_minor, pair.currency_code),
            f"{pair.first_voucher_id} {pair.first_channel}",
            f"{pair.first_file_id}:{pair.first_line_number}",
            f"{pair.voucher_id} {pair.channel}",
            f"{pair.file_id}:{pair.line_number}",
        )
    if found:
        shared.console(shared.WIDE).print(table)
    say(f"{len(found)} pairs of the last 30 days, neither sale given back")
    say("next: ask the merchant; a refund or the channel's credit adjustment gives one back")


def _say_next(decision_id: int, what: str) -> None:
    say(f"decision {decision_id}: {what} is asked for")
    say(f"next: tieout cases approve {decision_id} --by ANOTHER")


def _said(decision: cases.Decision) -> str:
    state = "waits for approval"
    if decision.approved_by is not None:
        state = f"approved by {decision.approved_by}"
        if decision.file_name is not None:
            state += f", left in {decision.file_name}"
    amount = (
        f" of {amount_text(decision.amount_minor, decision.currency_code)}"
        if decision.amount_minor
        else ""
    )
    evidence = f", evidence {decision.evidence_sha256[:12]}" if decision.evidence_sha256 else ""
    return (
        f"decision {decision.decision_id}: {decision.decision_kind}{amount} in {decision.case_id} "
        f"on {decision.effective_on}, asked for by {decision.requested_by} ({decision.reason})"
        f"{evidence}: {state}"
    )
