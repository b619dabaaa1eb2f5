"""`tieout restate`: what a sealed date would be with the files that came since."""

from __future__ import annotations

import getpass
import json
from collections import Counter
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tieout.commands import shared
from tieout.commands.shared import By, Reason
from tieout.core.money import amount_text
from tieout.core.progress import say
from tieout.core.settings import Settings
from tieout.dates import days
from tieout.decisions import restatements
from tieout.decisions.restatements import Booking, Entry
from tieout.runs import restating
from tieout.runs.restating import Difference, Restatement

__all__ = ["app"]

ROWS_SHOWN = 20
SCHEMAS = ("reconciliation", "ledger", "clearing")
VALUES_SHOWN = 4
# What becomes of a cleared entry that differs (control.restatement_entries()).
_BECOMES = {
    "carried": "came late: it stands on an open date",
    "withdrawn": "to be booked",
    "lowered": "to be booked",
    "raised": "to be booked",
    "moved_out": "to be booked: charged first",
    "moved_in": "to be booked, when who had it was charged and covers that",
    "return_less": "to be booked: what was given back too much, with its fee",
    "return_more": "to be booked: given back too, with its fee",
    "booked_before": "booked before",
    "fee_or_text": "no other amount: fees follow the terms (tieout terms)",
    "by_people": "for people",
}


class _DateFirst(TyperGroup):
    """`tieout restate 2026-09-24` is `tieout restate date 2026-09-24`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Name the command where the first argument is a date."""
        if args and args[0][:1].isdigit():
            args = ["date", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_DateFirst,
    help="Compute a sealed date beside what was paid, and compare: restate DATE. 重述封存日期。",
    no_args_is_help=True,
)

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object, with every difference.")]


@app.command("date", hidden=True)
def restate_date(
    accounting_date: Annotated[str, typer.Argument(help="YYYY-MM-DD, a sealed date")],
    as_json: AsJson = False,
) -> None:
    """Compute a sealed date from what has come since; report row by row what differs."""
    settings = shared.home()
    day = days.business_date(accounting_date, None)
    done = restating.restate(settings, day, asked_by=_account())
    _report(settings, done, as_json=as_json)


def _account() -> str:
    """Return the operating system's name of who asks; in a container there may be none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


@app.command("list")
def list_restatements() -> None:
    """List what was restated, and the sealed dates for which a file waits."""
    settings = shared.home()
    found = restating.restatements(settings)
    for one in found:
        shared.console(shared.WIDE).print(_said(one), soft_wrap=True, markup=False)
    for booking in restatements.bookings(settings):
        shared.console(shared.WIDE).print(_booked(booking), soft_wrap=True, markup=False)
    for waiting in restating.waiting(settings):
        say(str(waiting))
    say(f"{len(found)} restatements")


@app.command()
def show(
    accounting_date: Annotated[str, typer.Argument(help="YYYY-MM-DD, a date that was restated")],
    as_json: AsJson = False,
) -> None:
    """Show the newest restatement of a date again."""
    settings = shared.home()
    day = days.business_date(accounting_date, None)
    _report(settings, restating.latest(settings, day), as_json=as_json)


@app.command()
def book(
    accounting_date: Annotated[str, typer.Argument(help="YYYY-MM-DD, a date that was restated")],
    reason: Reason,
    by: By = None,
) -> None:
    """Ask to book what the newest restatement differs by. Another person has to approve it."""
    settings = shared.deciding_home()
    day = days.business_date(accounting_date, None)
    request_id = restatements.ask(settings, day, by=by, reason=reason)
    for booking in restatements.bookings(shared.home(), day):
        if booking.request_id == request_id:
            shared.console(shared.WIDE).print(_booked(booking), soft_wrap=True, markup=False)
    say(f"next: another person: tieout restate approve {request_id} --by NAME")


@app.command()
def approve(
    request_id: Annotated[int, typer.Argument(metavar="REQUEST", help="The request's number")],
    by: By = None,
) -> None:
    """Approve another person's request: the next landing books it on the first open date."""
    restatements.approve(shared.deciding_home(), request_id, by=by)
    say(f"request {request_id} is approved")
    say("next: tieout close DATE of the next open date; its landing books the corrections")


def _booked(one: Booking) -> str:
    difference = f"difference {one.difference_no}" if one.difference_no else "undone"
    return (
        f"request {one.request_id} ({one.requested_by}: {one.reason}), restatement "
        f"{one.restatement_id} {difference}: {one.kind.replace('_', ' ')} {one.voucher_id} of "
        f"{one.accounting_date}, account {one.account_id}, "
        f"{amount_text(one.amount_minor, one.currency_code)}: {_state(one)}"
    )


def _state(one: Booking) -> str:
    if one.refused_because:
        return (
            f"REFUSED by the close of {one.booked_on} as {one.correcting_voucher_id}: "
            f"{one.refused_because}; nobody is charged or paid: ask the platform"
        )
    if one.booked_on:
        return f"stands on {one.booked_on} as {one.correcting_voucher_id}"
    if one.approved_by is None:
        return "waits for approval"
    if one.waits_for_voucher_id:
        return (
            f"approved by {one.approved_by}, waits until {one.waits_for_voucher_id} was paid and "
            "its account owes nothing"
        )
    return f"approved by {one.approved_by}, booked by the next landing"


def _becomes(one: Entry) -> str:
    return (
        f"entry {one.entry_id}, account {one.account_id}: "
        f"{amount_text(one.difference_minor, one.currency_code)} {one.kind.replace('_', ' ')}, "
        f"{_BECOMES[one.kind]}{f': {one.why}' if one.why else ''}"
    )


def _report(settings: Settings, one: Restatement, *, as_json: bool) -> None:
    found = restating.differences(settings, one.restatement_id)
    sums = restating.sums(settings, one.restatement_id)
    entries = restatements.entries(settings, one.restatement_id)
    console = shared.console(shared.WIDE)
    if as_json:
        print(  # noqa: T201  for a program
            json.dumps(
                {
                    "restatement": _fields(one),
                    "schemas": [one.schema(name) for name in SCHEMAS],
                    "entries": [_fields(each) for each in entries],
                    "sums": [_fields(each) for each in sums],
                    "differences": [_fields(each) for each in found],
                },
                ensure_ascii=False,
                default=str,
            )
        )
        return
    console.print(_said(one), soft_wrap=True, markup=False)
    for finding in one.findings:
        say(f"such a date would not close: {finding}")
    if not found:
        say("nothing differs")
        return
    counts = Counter((each.table_name, each.kind) for each in found)
    table = shared.table(
        f"Rows of {one.accounting_date} that differ 差异行数",
        ("table\n表", "only sealed\n仅封存", "only restated\n仅重述", "changed\n变动"),
    )
    for name in sorted({each.table_name for each in found}):
        kinds = ("only_sealed", "only_restated", "changed")
        table.add_row(name, *(str(counts[name, kind]) for kind in kinds))
    console.print(table)
    for each in sums:
        console.print(
            f"account {each.account_id}, {each.clearing_session_type}: cleared "
            f"{amount_text(each.sealed_amount_minor, each.currency_code)}, would be "
            f"{amount_text(each.restated_amount_minor, each.currency_code)}, difference "
            f"{amount_text(each.difference_minor, each.currency_code)}",
            soft_wrap=True,
        )
    for entry in entries:
        console.print(_becomes(entry), soft_wrap=True, markup=False)
    for each_row in found[:ROWS_SHOWN]:
        console.print(_row(each_row), soft_wrap=True, markup=False)
    if len(found) > ROWS_SHOWN:
        say(f"and {len(found) - ROWS_SHOWN} rows more: tieout restate show DATE --json")
    say(f"its rows: {one.schema('clearing')}, …_ledger, …_reconciliation")
    if any(entry.booked_amount_minor for entry in entries):
        say(f"next: tieout restate book {one.accounting_date} --by NAME --reason TEXT")


def _fields(one: Any) -> dict[str, Any]:
    return {name: getattr(one, name) for name in one.__slots__}


def _row(one: Difference) -> str:
    key = ", ".join(
        f"{name} {value}" for name, value in one.row_key.items() if name != "accounting_date"
    )
    if one.kind != "changed":
        return f"{one.table_name} [{key}]: {one.kind.replace('_', ' ')}"
    sealed, restated = one.sealed_row or {}, one.restated_row or {}
    values = ", ".join(
        f"{name} {sealed.get(name)} → {restated.get(name)}"
        for name in one.changed_columns[:VALUES_SHOWN]
    )
    more = ", …" if len(one.changed_columns) > VALUES_SHOWN else ""
    return f"{one.table_name} [{key}]: {values}{more}"


def _said(one: Restatement) -> str:
    read = ", ".join(one.file_names) or "no version: the sealed date's own files"
    ended = {
        "building": "is being computed, or was cut off",
        "failed": f"could not be computed: {one.failure}",
        "kept": f"{one.difference_count} rows differ",
    }[one.state]
    return (
        f"restatement {one.restatement_id}: {one.accounting_date} no. {one.restatement_no}, "
        f"from {read}: {ended}"
    )
