"""`tieout quarantine`: files that did not land, for the people who decide about them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from tieout import database
from tieout.commands import shared
from tieout.commands.shared import By, Reason
from tieout.core.progress import say
from tieout.database import persons
from tieout.dates import days
from tieout.decisions import files

__all__ = ["app"]

app = typer.Typer(
    help="Files that did not land: list, show, release, reject. 隔离文件处理。",
    no_args_is_help=True,
)

BAD_ROWS_SHOWN = 20

FileId = Annotated[str, typer.Argument(metavar="FILE_ID", help="As `tieout quarantine list` says")]


def _now() -> datetime:
    return datetime.now(days.BUSINESS_TIME_ZONE)


@app.command("list")
def list_files(
    on: Annotated[str | None, typer.Option("--date", help="Files of one date only.")] = None,
    channel: Annotated[str | None, typer.Option("--channel", help="One channel only.")] = None,
) -> None:
    """List the files that did not land, with why and for how long."""
    from tieout.landing import quarantine

    settings = shared.home()
    day = shared.day(on)
    found = quarantine.held_files(settings, today=_now().date(), day=day, channel=channel)
    for asked in files.waiting(settings):
        say(
            f"request {asked.request_id} by {asked.requested_by}: {asked.action} {asked.file_id} "
            f"({asked.reason}); next: another person: tieout quarantine countersign "
            f"{asked.request_id}"
        )
    if not found:
        say("every file that came has landed")
        return
    table = shared.table(
        "Files that did not land 未落地文件",
        (
            "file\n文件号",
            "date\n会计日期",
            "channel\n渠道",
            "kind\n类型",
            "status\n状态",
            "age_days\n天数",
            "name\n文件名",
            "reason\n原因",
        ),
    )
    for file in found:
        table.add_row(
            file.file_id,
            str(file.accounting_date or ""),
            file.channel or "",
            file.file_kind or "",
            file.status,
            str(file.age_days),
            file.file_name,
            file.reason or "",
        )
    shared.console(shared.WIDE).print(table)
    say(f"{len(found)} files")
    say("next: tieout quarantine show FILE_ID; release or reject it")


@app.command()
def show(file_id: FileId) -> None:
    """Show a file's totals, bad rows, the other files of its place, its bytes and its history."""
    from tieout.landing import quarantine

    detail = quarantine.held_file(shared.home(), file_id, today=_now().date())
    file, console = detail.file, shared.console(shared.WIDE)
    of = f"{file.channel} {file.file_kind} of {file.accounting_date}" if file.channel else "unknown"
    console.print(f"{file.file_name}  {of}  {file.status}, {file.age_days} days", soft_wrap=True)
    for name, text in (
        ("reason", file.reason),
        ("rows", file.row_count),
        ("bytes", f"{file.size_bytes:,}"),
        ("sha256", file.sha256),
        ("came from", file.file_url),
        ("kept at", detail.kept_at),
        ("totals", file.totals_status),
    ):
        if text is not None:
            console.print(f"  {name:<10} {text}", soft_wrap=True, markup=False)
    for total in file.control_totals or []:
        mark = "" if total["declared"] == total["counted"] else "  ← differs"
        console.print(
            f"    {total['name']}: declared {total['declared']}, counted {total['counted']}{mark}",
            soft_wrap=True,
            markup=False,
        )
    for row in detail.bad_rows[:BAD_ROWS_SHOWN]:
        place = f"line {row.line_number}" if row.line_number else "the whole file"
        console.print(
            f"  {place}  {row.field}  {row.reason} [{row.reason_code}]  {row.excerpt}",
            soft_wrap=True,
            markup=False,
        )
    if len(detail.bad_rows) > BAD_ROWS_SHOWN:
        more = len(detail.bad_rows) - BAD_ROWS_SHOWN
        console.print(f"  and {more} more in control.quarantined_rows")
    for other in detail.versions:
        console.print(
            f"  version {other.file_id}  {other.status}  {other.row_count} rows  {other.file_name}",
            soft_wrap=True,
        )
    for made in detail.decisions:
        opened = (
            f", opened {', '.join(map(str, made.reopened_dates))}" if made.reopened_dates else ""
        )
        left_out = f", {made.excluded_row_count} rows left out" if made.excluded_row_count else ""
        console.print(
            f"  decision {made.decision_id}: {made.action} by {made.decided_by} at "
            f"{made.decided_at:%F %T %Z}: {made.reason}{left_out}{opened}",
            soft_wrap=True,
            markup=False,
        )
    say(f"next: {detail.next_step}")


@app.command()
def release(file_id: FileId, reason: Reason, by: By = None) -> None:
    """Let a file count: in the landed one's place, or parsed again, without rows proved apart."""
    if not _asked(file_id, "release", reason, by):
        _release(file_id, by or "", reason)


@app.command()
def reject(file_id: FileId, reason: Reason, by: By = None) -> None:
    """Set a file aside, landed or not: it stays on record, does not count and blocks no date."""
    if not _asked(file_id, "reject", reason, by):
        _reject(file_id, by or "", reason)


@app.command()
def countersign(
    request_id: Annotated[int, typer.Argument(metavar="REQUEST", help="The request's number")],
    by: By = None,
) -> None:
    """Approve, as the second person, what another one has asked for, and carry it out."""
    agreed = files.approve(shared.deciding_home(), request_id, by)
    say(f"request {request_id} of {agreed.requested_by} is approved: {agreed.action}")
    carry_out = _release if agreed.action == "release" else _reject
    carry_out(agreed.file_id, agreed.requested_by, agreed.reason)


def _asked(file_id: str, action: files.Action, reason: str, by: str | None) -> bool:
    """Ask for a second person where people have logins; False where one name decides."""
    if not persons.have_logins(shared.home()):
        return False
    request_id = files.ask(shared.deciding_home(), file_id, action, reason, by)
    say(f"request {request_id}: {action} {file_id}; nothing changes before a second person agrees")
    say(f"next: another person: tieout quarantine countersign {request_id}")
    return True


def _release(file_id: str, by: str, reason: str) -> None:
    from tieout.landing import corrections

    working = database.working_as(shared.home(), "ingest")
    done = corrections.release(working, file_id, decided_by=by, reason=reason)
    outcome = done.outcome
    say(f"{outcome.file_name} has landed with {outcome.row_count} rows, released by {by}")
    if done.replaced_file_id:
        say(f"it takes the place of {done.replaced_file_id}, which stays on record")
    if done.excluded_rows:
        lines = sorted({row.line_number for row in done.excluded_rows})
        shown = ", ".join(map(str, lines[:BAD_ROWS_SHOWN]))
        say(f"{len(lines)} bad rows stay in quarantine: line {shown}")
    if done.reopened:
        say(f"to be closed again, in order: {', '.join(map(str, done.reopened))}")
    say(f"next: tieout close {done.reopened[0] if done.reopened else outcome.accounting_date}")


def _reject(file_id: str, by: str, reason: str) -> None:
    from tieout.landing import corrections

    working = database.working_as(shared.home(), "ingest")
    reopened = corrections.reject(working, file_id, decided_by=by, reason=reason)
    say(f"{file_id} is set aside by {by}; it stays on record")
    if reopened:
        say(f"to be closed again, in order: {', '.join(map(str, reopened))}")
    say(f"next: tieout close {reopened[0]}" if reopened else "next: tieout quarantine list")
