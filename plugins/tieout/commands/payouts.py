"""`tieout payouts`: what is not paid, its whole life, and what people do about it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any

import typer

from tieout.commands import overview, shared
from tieout.commands.shared import Reason
from tieout.core.progress import say
from tieout.core.settings import Settings
from tieout.decisions import payouts as decided
from tieout.decisions.payouts import OpenPayout

__all__ = ["app"]

app = typer.Typer(
    help="Payouts that are not paid: list, show, retry, hold, release. 未了代付。",
    no_args_is_help=True,
)

Statement = Annotated[
    str, typer.Argument(help="A settlement statement, such as 20260928-A000001-T1-CNY")
]
By = Annotated[str, typer.Option("--by", help="Who decides: your name.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document, for programs.")]
On = Annotated[
    str | None,
    typer.Option("--on", help="Day, YYYY-MM-DD; default: today, simulated: the bank's last day."),
]


@app.command("list")
def list_payouts(
    state: Annotated[
        str | None,
        typer.Option(
            "--state",
            help="instructed, created, submitted, accepted, unknown, failed, returned or held.",
        ),
    ] = None,
    on: On = None,
    as_json: Json = False,
) -> None:
    """List payouts that are unknown, failed, returned, held or overdue, with their age."""
    settings = shared.home()
    day = _day(settings, on)
    found = decided.open_payouts(settings, day, state)
    if as_json:
        _print_json([asdict(payout) for payout in found])
        return
    if found:
        table = shared.table(
            f"Payouts that are not paid on {day} 未了代付",
            (
                "statement\n结算单",
                "pays on\n付款日",
                "amount\n金额",
                "state\n状态",
                "attempt\n次",
                "since\n起始",
                "age\n账龄",
                "reason\n原因",
                "policy\n策略",
                "asked\n查询",
                "held by\n暂停人",
            ),
        )
        for payout in found:
            table.add_row(*_cells(payout))
        shared.console(shared.WIDE).print(table)
    totals = ", ".join(f"{count} {name}" for name, count in decided.counts(settings))
    say(f"{len(found)} payouts listed; not paid in all: {totals or 'none'}")
    if found:
        say(f"next: tieout payouts show {found[0].statement_id}")


def _cells(payout: OpenPayout) -> tuple[str, ...]:
    return (
        payout.statement_id,
        str(payout.payment_date),
        f"{overview.money(payout.amount_minor, payout.currency_code)} {payout.currency_code}",
        f"{payout.state}: {decided.STATES[payout.state]}"
        + (", overdue 逾期" if payout.is_overdue else ""),
        str(payout.attempt_no or ""),
        str(payout.since),
        str(payout.age_days),
        payout.reason_code or "",
        payout.policy or "",
        str(payout.inquiry_count or ""),
        payout.held_by or "",
    )


@app.command()
def show(statement: Statement, on: On = None, as_json: Json = False) -> None:
    """Show a statement's payout: instruction, attempts, events, evidence, holds, what is next."""
    from tieout import payouts  # noqa: PLC0415  XML libraries are heavy

    settings = shared.home()
    day = _day(settings, on)
    life = decided.life(settings, statement)
    grounds = payouts.weigh(settings.acting_as("finance"), statement, day)
    if as_json:
        _print_json({**life, "new_attempt": {"on": day, **asdict(grounds)}})
        return
    console = shared.console(shared.WIDE)
    for text in (*_head(statement, life), *_attempts(life), *_people(life)):
        console.print(text, soft_wrap=True, markup=False)
    if grounds.refusal is None:
        say(
            f"it can be paid again on {day}: {grounds.evidence} "
            f"{grounds.evidence_file_id}:{grounds.evidence_line_number}, payee {grounds.payee_id} "
            f"version {grounds.payee_version}"
        )
        say(f"next: tieout payouts retry {statement} --by NAME --reason TEXT")
    else:
        say(f"it is not paid again on {day}: {grounds.why}")
        say(f"next: {grounds.next_step}")


def _head(statement: str, life: Mapping[str, Any]) -> list[str]:
    row = life["instruction"]
    if row is None:
        return [f"{statement}  not instructed yet"]
    amount = overview.money(row["amount_minor"], row["currency_code"])
    return [
        f"{statement}  {amount} {row['currency_code']}  account {row['account_id']}",
        f"  instructed   payment date {row['payment_date']}, payee {row['payee_id']} version "
        f"{row['payee_version']}, gate decision {row['decision_id']} ({row['gate_outcome']})",
    ]


def _attempts(life: Mapping[str, Any]) -> list[str]:
    lines = []
    for attempt in life["attempts"]:
        number = attempt["attempt_no"]
        lines.append(
            f"  attempt {number}    {attempt['end_to_end_id']} on {attempt['submitted_on']}, file "
            f"{attempt['file_path'] or attempt['batch_message_id'] + ' (not put out)'}"
        )
        if attempt["evidence"] is not None:
            lines.append(
                f"               {attempt['evidence']}: {attempt['evidence_file']} line "
                f"{attempt['evidence_line']}; payee {attempt['payee_id']} version "
                f"{attempt['payee_version']}; by {attempt['requested_by']} "
                f"({attempt['reason']}), login {attempt['decided_by_login']}"
            )
        for event in life["events"]:
            if event["attempt_no"] == number:
                lines.append(_event(event))
        lines += [
            f"    {asked['asked_on']}  asked, inquiry {asked['inquiry_no']}: {asked['file_path']}"
            for asked in life["inquiries"]
            if asked["attempt_no"] == number
        ]
    return lines


def _event(event: Mapping[str, Any]) -> str:
    parts = [f"    {event['business_date']}  {event['status']:<10}"]
    if event["reason_code"]:
        parts.append(f"{event['reason_code']} (policy {event['policy'] or 'none: a person'})")
    parts += [str(event[name]) for name in ("detail", "file_name") if event[name]]
    return "  ".join(parts)


def _people(life: Mapping[str, Any]) -> list[str]:
    return [
        f"  hold {hold['hold_id']}       by {hold['held_by']} ({hold['reason']}), "
        + (
            f"released by {hold['released_by']} ({hold['release_reason']})"
            if hold["released_by"]
            else "in force"
        )
        for hold in life["holds"]
    ]


@app.command()
def retry(statement: Statement, by: By, reason: Reason, on: On = None) -> None:
    """Pay a failed or returned statement again; the database looks at the evidence."""
    from tieout import payouts  # noqa: PLC0415  XML libraries are heavy

    settings = shared.home()
    day = _day(settings, on)
    attempt_id = payouts.pay_again(settings, statement, day, by=by, reason=reason)
    say(f"{attempt_id}: a new attempt on {day}, decided by {by}")
    for report in payouts.put_out_again(settings.acting_as("payout")):
        for file in report.files:
            if file.is_new:
                say(f"put out: {file.url}, {file.payment_count} payments")
    say(f"next: send it to the bank; when it has answered: tieout outcomes {day}")


@app.command()
def hold(statement: Statement, by: By, reason: Reason) -> None:
    """Stop a statement from being paid, or paid again. A second person releases it."""
    settings = shared.home()
    hold_id = decided.hold(settings, statement, by=by, reason=reason)
    say(f"hold {hold_id}: {statement} is not paid, or paid again, until another person releases it")
    say("an attempt that is at the bank goes on")
    say(f"next: another person: tieout payouts release {statement} --by NAME --reason TEXT")


@app.command()
def release(statement: Statement, by: By, reason: Reason) -> None:
    """Let a held statement be paid: not by who holds it."""
    settings = shared.home()
    hold_id = decided.release(settings, statement, by=by, reason=reason)
    say(f"hold {hold_id} of {statement} is released by {by}")
    life = decided.life(settings, statement)
    if life["instruction"] is not None and not life["attempts"]:
        say(f"next: tieout pay {life['instruction']['payment_date']}, which makes its attempt")
    else:
        say(f"next: tieout payouts show {statement}")


@app.command()
def acknowledgements(on: On = None, as_json: Json = False) -> None:
    """List payment files whose receiver has not acknowledged them, or names another file."""
    from tieout import payouts  # noqa: PLC0415  XML libraries are heavy

    settings = shared.home()
    day = _day(settings, on)
    findings, waiting = payouts.acknowledgements_listed(settings.acting_as("finance"), day)
    if as_json:
        _print_json(
            {
                "findings": [asdict(finding) for finding in findings],
                "awaited": [asdict(file) for file in waiting],
            }
        )
        return
    for finding in findings:
        say(
            f"finding {finding.acknowledgement_id} {finding.payment_date} {finding.file_name}: "
            f"{finding.finding}"
        )
    for file in waiting:
        say(
            f"awaited {file.payment_date} {file.file_path}: {file.silent_count} payouts without "
            "any answer"
        )
    say(f"{len(findings)} findings, {len(waiting)} files not acknowledged")
    if findings:
        say("no further file of their accounts leaves until a person has looked")
        say(f"next: tieout payouts looked {findings[0].acknowledgement_id} --by NAME --reason TEXT")


@app.command()
def looked(
    finding: Annotated[int, typer.Argument(help="Number of the finding: payouts acknowledgements")],
    by: By,
    reason: Reason,
) -> None:
    """Say that you have asked about an acknowledgement of another file: files may leave again."""
    settings = shared.home()
    message_id = decided.look(settings, finding, by=by, reason=reason)
    say(f"finding {finding} about {message_id} was looked at by {by}; files may leave again")
    say("next: tieout pay DATE, or the next run of settlement_payout")


def _day(settings: Settings, on: str | None) -> Any:
    return shared.day(on) or decided.business_day(settings)


def _print_json(content: object) -> None:
    typer.echo(json.dumps(content, ensure_ascii=False, indent=2, default=str))
