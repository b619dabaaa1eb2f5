"""`tieout bills`: fee bills of gross merchants, their notices, and what people decide of them."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from tieout.commands import shared
from tieout.commands.shared import By, FileFormat, Reason
from tieout.core.money import amount_text, minor_units
from tieout.core.progress import say
from tieout.core.settings import Settings
from tieout.dates import days
from tieout.decisions import bills as decided

__all__ = ["app"]

app = typer.Typer(
    help="Fee bills: list, show, notice, collect; mandates and credit notes. 手续费账单。",
    no_args_is_help=True,
)

BillNo = Annotated[int, typer.Argument(metavar="BILL", help="The bill's number, such as 1")]
Mandate = Annotated[int, typer.Argument(metavar="MANDATE", help="The mandate's number")]


@app.command("list")
def list_bills(
    status: Annotated[
        str | None,
        typer.Option(
            "--status",
            help="credit, open, collecting, unknown, failed, part_paid, paid, credited, overpaid.",
        ),
    ] = None,
    on: Annotated[
        str | None,
        typer.Option("--on", help="Day overdue is counted to; default: the first open date."),
    ] = None,
) -> None:
    """List the bills, with what is open and for how long. 列出账单。"""
    from tieout import billing  # noqa: PLC0415  the workbook's library is heavy

    settings = shared.home()
    day = _day(settings, on)
    found = billing.bills(settings, status=status)
    headings = ("bill", "period", "account", "due", "due on", "collected", "credited", "open")
    table = shared.table("Fee bills 手续费账单", (*headings, "overdue", "reminder", "status"))
    for bill in found:
        code = bill.currency_code
        table.add_row(
            bill.number,
            bill.fee_period,
            bill.account_id,
            amount_text(bill.due_amount_minor, code),
            str(bill.due_on),
            amount_text(bill.collected_amount_minor, code),
            amount_text(bill.credited_amount_minor, code),
            amount_text(bill.open_amount_minor, code),
            f"{bill.overdue_days(day)} days" if bill.overdue_days(day) else "",
            str(bill.reminder_level or ""),
            bill.status,
        )
    if found:
        shared.console(shared.WIDE).print(table)
    overdue = sum(bill.overdue_days(day) > 0 for bill in found)
    say(f"{len(found)} bills, {overdue} of them overdue on {day}")
    if found:
        say(f"next: tieout bills show {found[0].bill_no}")


@app.command()
def show(
    bill_no: BillNo,
    on: Annotated[
        str | None, typer.Option("--on", help="Day it would be debited on; default: as in list.")
    ] = None,
) -> None:
    """Show a bill: what it asks for, its debits and credit notes, why it is not debited."""
    from tieout import billing  # noqa: PLC0415  the workbook's library is heavy

    settings = shared.home()
    day = _day(settings, on)
    (bill,) = billing.bills(settings, bill_no=bill_no)
    code = bill.currency_code
    console = shared.console(shared.WIDE)
    console.print(
        f"bill {bill.number} of {bill.account_id} for {bill.fee_period}: "
        f"{bill.line_count} lines, fees {amount_text(bill.fee_amount_minor, code)}, "
        f"credit brought {amount_text(bill.credit_brought_minor, code)}, "
        f"due {amount_text(bill.due_amount_minor, code)} on {bill.due_on}, "
        f"open {amount_text(bill.open_amount_minor, code)}: {bill.status}",
        soft_wrap=True,
    )
    for event in billing.events(settings, bill_no):
        console.print(event, soft_wrap=True)
    for note in decided.credit_notes(settings):
        if note.bill_no == bill_no:
            console.print(_note(note), soft_wrap=True)
    reason = billing.why_not_debited(settings, bill_no, day)
    say(f"on {day} it would be debited" if reason is None else f"not debited on {day}: {reason}")
    say("next: docs/runbooks/fee-bill-overdue.md says what each word asks for")


@app.command()
def notice(
    bill_no: BillNo,
    file_format: Annotated[
        FileFormat, typer.Option("--format", help="csv or xlsx.")
    ] = FileFormat.CSV,
    to: Annotated[
        Path | None, typer.Option("--to", help="Folder; default: the home's exports/notices/.")
    ] = None,
) -> None:
    """Write a bill's notice, whose lines sum to what is due. 导出账单通知。"""
    from tieout import billing  # noqa: PLC0415  the workbook's library is heavy

    settings = shared.home()
    (bill,) = billing.bills(settings, bill_no=bill_no)
    folder = to or settings.home / "exports" / "notices"
    path = billing.write_notice(settings, bill, folder, file_format.value)
    due = amount_text(bill.due_amount_minor, bill.currency_code)
    say(f"bill {bill.number}: {bill.line_count} lines sum to {due}")
    say(f"in {path}")
    say(f"next: give it to the merchant of {bill.account_id}, by a way only it can read")


@app.command()
def collect(
    business_date: Annotated[str, typer.Argument(help="YYYY-MM-DD, a day that is not closed")],
) -> None:
    """Bill and collect on a day (DAG fee_billing): bills, notices, answers, debits. 出账与代收。"""
    from tieout.runs import runner  # noqa: PLC0415  Airflow is heavy

    settings = shared.home()
    day = days.business_date(business_date, None)
    with days.command_owner(settings):
        say(f"{day:%a %d %b %Y}  fee bills 手续费账单")
        result = runner.run(settings, days.FEE_BILLING, day)
    if result.state == "skipped":
        say(f"    {result.reason}")
        return
    say("bills are in settlement.fee_bills; notices and direct-debit files in the outbox")
    say("next: tieout bills list")


@app.command()
def mandate(  # noqa: PLR0917  a command's options
    account: Annotated[str, typer.Argument(help="The settlement account whose bills are debited")],
    reference: Annotated[str, typer.Option("--reference", help="The mandate's own reference.")],
    payee: Annotated[str, typer.Option("--payee", help="Payee whose bank account is debited.")],
    payee_version: Annotated[int, typer.Option("--payee-version", help="Its version.")],
    signed_on: Annotated[str, typer.Option("--signed-on", help="YYYY-MM-DD, on the paper.")],
    effective_from: Annotated[
        str | None, typer.Option("--from", help="YYYY-MM-DD; default: the day it was signed.")
    ] = None,
    currency: Annotated[str, typer.Option("--currency", help="Currency of the bills.")] = "CNY",
    by: By = None,
) -> None:
    """Enter a merchant's mandate to debit its account. Another person approves it. 登记授权。"""
    settings = shared.deciding_home()
    signed = days.business_date(signed_on, None)
    mandate_id = decided.request_mandate(
        settings,
        account,
        currency_code=currency,
        reference=reference,
        payee_id=payee,
        payee_version=payee_version,
        signed_on=signed,
        effective_from=days.business_date(effective_from, None) if effective_from else signed,
        by=by,
    )
    say(f"mandate {mandate_id} of {account} is entered, in settlement.mandate_requests")
    say(f"next: another person: tieout bills approve-mandate {mandate_id} --by NAME")


@app.command("approve-mandate")
def approve_mandate(mandate_id: Mandate, by: By = None) -> None:
    """Approve another person's mandate."""
    known_from = decided.approve_mandate(shared.deciding_home(), mandate_id, by=by)
    say(f"mandate {mandate_id} is approved, and known from {known_from}")
    say("next: it is used after the days of notice of reference.fee_collection_limits")


@app.command("end-mandate")
def end_mandate(mandate_id: Mandate, reason: Reason, by: By = None) -> None:
    """End a mandate: nothing more is debited by it. One person is enough."""
    decided.end_mandate(shared.deciding_home(), mandate_id, reason=reason, by=by)
    say(f"mandate {mandate_id} is ended; what is under way goes on")
    say("next: tieout bills list")


@app.command()
def mandates() -> None:
    """List the mandates, and who decided on them."""
    found = decided.mandates(shared.home())
    for one in found:
        state = f"approved by {one.approved_by}, known from {one.known_from}"
        state = "waits for approval" if one.approved_by is None else state
        ended = f", ended by {one.ended_by}" if one.ended_by else ""
        shared.console(shared.WIDE).print(
            f"mandate {one.mandate_id} {one.mandate_reference}: {one.account_id} "
            f"{one.currency_code} debits payee {one.payee_id} version {one.payee_version}, "
            f"signed {one.signed_on}, entered by {one.requested_by}, {state}{ended}",
            soft_wrap=True,
        )
    say(f"{len(found)} mandates")


@app.command()
def credit(
    bill_no: BillNo,
    amount: Annotated[str, typer.Option("--amount", help="In the bill's currency, as 12.34.")],
    reason: Reason,
    by: By = None,
) -> None:
    """Ask for a credit note: an amount off a bill. Another person approves it. 申请贷项通知。"""
    from tieout import billing  # noqa: PLC0415  the workbook's library is heavy

    settings = shared.deciding_home()
    (bill,) = billing.bills(settings, bill_no=bill_no)
    note_id = decided.request_credit_note(
        settings,
        bill_no,
        amount_minor=minor_units(amount, bill.currency_code),
        reason=reason,
        by=by,
    )
    say(f"credit note {note_id} on bill {bill.number} is asked for")
    say(f"next: another person: tieout bills approve-credit {note_id} --by NAME")


@app.command("approve-credit")
def approve_credit(
    credit_note_id: Annotated[int, typer.Argument(metavar="NOTE", help="The request's number")],
    on: Annotated[
        str | None,
        typer.Option("--on", help="Accounting date it is booked on; default: the first open one."),
    ] = None,
    by: By = None,
) -> None:
    """Approve another person's credit note: what is open of the bill falls."""
    settings = shared.deciding_home()
    day = _day(settings, on)
    number = decided.approve_credit_note(settings, credit_note_id, on_date=day, by=by)
    say(f"credit note {credit_note_id} is approved as number {number}, booked on {day}")
    say("next: tieout bills list")


def _day(settings: Settings, given: str | None) -> date:
    if given is not None:
        return days.business_date(given, None)
    return decided.next_open_date(settings) or date.min


def _note(note: decided.CreditNote) -> str:
    state = (
        f"number {note.credit_note_no} of {note.business_date}, approved by {note.approved_by}"
        if note.approved_by
        else "waits for approval"
    )
    amount = amount_text(note.amount_minor, note.currency_code)
    return (
        f"credit note {note.credit_note_id}: {amount}, asked for by {note.requested_by} "
        f"({note.reason}): {state}"
    )
