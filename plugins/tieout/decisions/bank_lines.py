"""Bank lines nothing explains, and people: see them, and take them, two people for each.

A line of `reconciliation.unexplained_bank_lines` fails every gate until it is taken: one person
says what it is, another approves it. The gate of the decision's date reads it, the close of the
same date posts it (docs/decisions/0042-unexplained-bank-lines.md). Nothing here is ever changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date
from typing import Any, Literal, get_args

import psycopg
from psycopg import sql
from psycopg.rows import class_row, dict_row

from tieout import database
from tieout.core import people
from tieout.core.errors import TieoutError
from tieout.core.settings import Settings

__all__ = [
    "REASONS",
    "TAKEN_AS",
    "BankLine",
    "BankLineError",
    "Decision",
    "TakenAs",
    "approve",
    "decisions",
    "line_history",
    "next_effective_date",
    "open_lines",
    "take",
]

TakenAs = Literal["claim_on_bank", "bank_charge", "own_error"]
TAKEN_AS = get_args(TakenAs)

REASONS = {
    "unordered_debit": "a debit nobody ordered 未经指令扣款",
    "unknown_credit": "a credit no rule names 来源不明入账",
    "unknown_return": "a return of no payout of ours 退票无对应代付",
    "not_submitted": "the payout was never submitted 代付未提交",
    "another_amount": "another amount than ordered or owed 金额不符",
    "another_account": "another account than the payout's 账户不符",
    "debited_twice": "the payout was debited before 重复扣款",
    "returned_twice": "the payout came back before 重复退票",
    "never_paid": "the payout was never debited 退票无对应扣款",
    "no_limit": "no limit for this account and kind 未设限额",
    "wrong_sign": "the bank takes where it gives, or gives where it takes 方向不符",
    "above_line_limit": "above the limit of one line 超单笔限额",
    "above_day_limit": "above the limit of a date 超单日限额",
}


class BankLineError(TieoutError):
    """A bank line cannot be treated as asked."""


@dataclass(frozen=True, slots=True)
class BankLine:
    """One row of `reconciliation.unexplained_bank_lines`, open on the latest payment date.

    Amounts are minor units, received positive; ``decision_id`` is a decision that waits for its
    second person, or for its date.
    """

    payment_date: date
    file_id: str
    line_number: int
    booked_on: date
    statement_date: date
    bank_account_id: str
    currency_code: str
    line_kind: str
    channel: str | None
    amount_minor: int
    unexplained_amount_minor: int
    reason: str
    opened_on: date
    age_days: int
    decision_id: int | None
    taken_as: str | None
    is_approved: bool | None

    @property
    def name(self) -> str:
        """How commands and the gate call it."""
        return f"{self.file_id}:{self.line_number}"


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision about a bank line: who asked, who approved, and from when it counts."""

    decision_id: int
    file_id: str
    line_number: int
    currency_code: str
    amount_minor: int
    taken_as: str
    effective_on: date
    reason: str
    requested_by: str
    approved_by: str | None


def open_lines(settings: Settings) -> list[BankLine]:
    """Return the lines that are open after the latest computed payment date, oldest first.

    A line whose approved decision the next payment date will read is among them.
    """
    with database.connect(settings) as connection:
        _require_tables(connection)
        with connection.cursor(row_factory=class_row(BankLine)) as cursor:
            return cursor.execute(
                """
                select
                    lines.payment_date,
                    lines.file_id,
                    lines.line_number,
                    lines.booked_on,
                    lines.statement_date,
                    lines.bank_account_id,
                    lines.currency_code,
                    lines.line_kind,
                    lines.channel,
                    lines.amount_minor,
                    lines.unexplained_amount_minor,
                    lines.reason,
                    lines.opened_on,
                    lines.age_days,
                    latest.decision_id,
                    latest.taken_as,
                    latest.is_approved
                from reconciliation.unexplained_bank_lines as lines
                left join lateral (
                    select
                        decisions.decision_id,
                        decisions.taken_as,
                        approvals.decision_id is not null as is_approved
                    from control.bank_line_decisions as decisions
                    left join control.bank_line_approvals as approvals
                        on decisions.decision_id = approvals.decision_id
                    where
                        decisions.file_id = lines.file_id
                        and decisions.line_number = lines.line_number
                    order by approvals.decision_id is null, decisions.decision_id desc
                    limit 1
                ) as latest on true
                where lines.status = 'open'
                    and lines.payment_date = (
                        select max(payment_date) from reconciliation.unexplained_bank_lines
                    )
                order by lines.opened_on, abs(lines.unexplained_amount_minor) desc, lines.file_id,
                    lines.line_number
                """
            ).fetchall()


def line_history(settings: Settings, name: str) -> list[Mapping[str, Any]]:
    """Return the line's row of every payment date it stood in, oldest first.

    Raises:
        BankLineError: no payment date knows such a line.
    """
    file_id, line_number = _parts(name)
    with database.connect(settings) as connection:
        _require_tables(connection)
        with connection.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(
                "select * from reconciliation.unexplained_bank_lines"
                " where file_id = %s and line_number = %s order by payment_date",
                [file_id, line_number],
            ).fetchall()
    if not rows:
        raise BankLineError(
            what=f"there is no unexplained bank line {name}",
            where="reconciliation.unexplained_bank_lines",
            why="a line is a file's id, a colon and the number of the line",
            next_step="tieout bank-lines list shows the open ones",
        )
    return list(rows)


def next_effective_date(settings: Settings) -> date:
    """Return the date from which a decision of now counts.

    It is the latest payment date that was computed, where its accounting date is open, so that
    `tieout pay` reads it at once; else the first open accounting date after it.
    """
    with database.connect(settings) as connection:
        _require_tables(connection)
        row = connection.execute(
            """
            select min(candidates.day)::date
            from (
                select max(payment_date) as payment_date
                from gate.gate_checks
            ) as latest
            cross join lateral generate_series(
                latest.payment_date, latest.payment_date + 3660, interval '1 day'
            ) as candidates (day)
            where not exists (
                select 1
                from control.accounting_days as days
                where days.accounting_date = candidates.day::date and days.state <> 'open'
            )
            """
        ).fetchone()
    if row is None or row[0] is None:
        raise _nothing_computed()
    effective_on: date = row[0]
    return effective_on


def take(
    settings: Settings,
    name: str,
    *,
    taken_as: str,
    by: str,
    reason: str,
    effective_on: date | None = None,
) -> int:
    """Say what an open line is; return the decision's number. Another person has to approve it.

    Raises:
        BankLineError: the line is not open or taken already, ``taken_as`` is none of TAKEN_AS, no
            name or reason, or the date is closed.
    """
    if taken_as not in TAKEN_AS:
        raise BankLineError(
            what=f"a bank line is not taken as {taken_as!r}",
            where=name,
            why=f"it is one of {', '.join(TAKEN_AS)}",
            next_step="tieout bank-lines take --help",
        )
    _require_person(name, by, reason)
    line = _require_open(settings, name)
    values = {
        "file_id": line.file_id,
        "line_number": line.line_number,
        "booked_on": line.booked_on,
        "bank_account_id": line.bank_account_id,
        "currency_code": line.currency_code,
        "line_kind": line.line_kind,
        "channel": line.channel,
        "amount_minor": line.unexplained_amount_minor,
        "taken_as": taken_as,
        "effective_on": effective_on or next_effective_date(settings),
        "reason": reason,
        "requested_by": by,
    }
    try:
        with database.connect(settings) as connection:
            return database.insert(
                connection, "control.bank_line_decisions", values, returning="decision_id"
            )
    except psycopg.Error as error:
        raise _refused(f"bank line {name} is not taken", error) from error


def approve(settings: Settings, decision_id: int, *, by: str) -> Decision:
    """Approve another person's decision about a line; return it.

    Raises:
        BankLineError: there is no such decision, it is one's own, its line is taken already, or its
            date is closed.
    """
    _require_person(f"decision {decision_id}", by, "approval")
    decision = _decision(settings, decision_id)
    if people.is_same_person(decision.requested_by, by):
        raise BankLineError(
            what=f"decision {decision_id} is not approved",
            where="control.bank_line_decisions",
            why=f"it was asked for by {decision.requested_by}: another person has to approve it",
            next_step="ask a second person",
        )
    try:
        with database.connect(settings) as connection:
            connection.execute(
                "insert into control.bank_line_approvals (decision_id, approved_by)"
                " values (%s, %s)",
                [decision_id, by],
            )
    except psycopg.errors.UniqueViolation as error:
        raise BankLineError(
            what=f"decision {decision_id} is not approved",
            where="control.bank_line_approvals",
            why=f"bank line {decision.file_id}:{decision.line_number} is taken already",
            next_step="tieout bank-lines decisions",
        ) from error
    except psycopg.Error as error:
        raise _refused(f"decision {decision_id} is not approved", error) from error
    return _decision(settings, decision_id)


def decisions(settings: Settings) -> list[Decision]:
    """Return every decision about a bank line, newest first."""
    columns = sql.SQL(", ").join(
        sql.Identifier("approvals" if field.name == "approved_by" else "decisions", field.name)
        for field in fields(Decision)
    )
    query = sql.SQL(
        """
        select {columns}
        from control.bank_line_decisions as decisions
        left join control.bank_line_approvals as approvals
            on decisions.decision_id = approvals.decision_id
        order by decisions.decision_id desc
        """
    ).format(columns=columns)
    with (
        database.connect(settings) as connection,
        connection.cursor(row_factory=class_row(Decision)) as cursor,
    ):
        return cursor.execute(query).fetchall()


def _decision(settings: Settings, decision_id: int) -> Decision:
    for decision in decisions(settings):
        if decision.decision_id == decision_id:
            return decision
    raise BankLineError(
        what=f"there is no decision {decision_id}",
        where="control.bank_line_decisions",
        why="nobody has asked for it",
        next_step="tieout bank-lines decisions lists them",
    )


def _require_open(settings: Settings, name: str) -> BankLine:
    for line in open_lines(settings):
        if line.name == name:
            if line.is_approved:
                raise BankLineError(
                    what=f"bank line {name} is taken already",
                    where="control.bank_line_decisions",
                    why=f"decision {line.decision_id} is approved; the next payment date reads it",
                    next_step="tieout bank-lines decisions",
                )
            return line
    last = line_history(settings, name)[-1]
    raise BankLineError(
        what=f"bank line {name} is not open",
        where="reconciliation.unexplained_bank_lines",
        why=f"it was {last['status']} on {last['payment_date']}",
        next_step="tieout bank-lines list shows the open ones",
    )


def _require_person(where: str, by: str, reason: str) -> None:
    if not people.person_key(by) or not reason.strip():
        raise BankLineError(
            what="a decision about a bank line needs a name and a reason",
            where=where,
            why="both stay on record with the line",
            next_step="say who decides (--by), and why (--reason)",
        )


def _parts(name: str) -> tuple[str, int]:
    file_id, _, number = name.rpartition(":")
    if not file_id or not (number.isascii() and number.isdecimal()) or len(number) > 9:
        raise BankLineError(
            what=f"{name!r} names no bank line",
            why="a line is a file's id, a colon and the number of the line",
            next_step="tieout bank-lines list shows the open ones",
        )
    return file_id, int(number)


def _refused(what: str, error: psycopg.Error) -> BankLineError:
    return database.refusal(
        BankLineError,
        what,
        error,
        where="control.bank_line_decisions",
        next_step="see tieout bank-lines --help",
    )


def _require_tables(connection: psycopg.Connection[Any]) -> None:
    if not database.has_table(connection, "reconciliation.unexplained_bank_lines"):
        raise _nothing_computed()


def _nothing_computed() -> BankLineError:
    return BankLineError(
        what="no payment date has been computed yet",
        where="reconciliation.unexplained_bank_lines",
        why="bank lines are judged when a payment date is paid",
        next_step="tieout pay DATE",
    )
