"""Disputes as cases, and people: see them, and decide with two people what we do about each.

A case is what the channel's records of one original add up to (`clearing.cases`). One person asks
for an answer, a representment, that we fight no more, or says that the channel refused an order;
another approves. It takes effect in the close of a date that is not closed yet. The database asks
what comes next in a case, and who decides (migration 0045); nothing here is ever changed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path
from typing import Literal

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from tieout import database
from tieout.channels.common.card_numbers import find_card_numbers
from tieout.core.errors import TieoutError
from tieout.core.money import amount_text
from tieout.core.settings import Settings
from tieout.decisions.suspense import next_open_date
from tieout.files import archive

__all__ = [
    "Case",
    "CaseError",
    "Decision",
    "DuplicatePayment",
    "Event",
    "Kind",
    "accept",
    "answer",
    "approve",
    "case",
    "cases",
    "decisions",
    "duplicate_payments",
    "events",
    "evidence",
    "next_step",
    "postings",
    "refused",
    "represent",
]

Kind = Literal["answer", "represent", "accept", "refused"]
EVIDENCE_BYTES_MAX = 20 * 1024**2
OPEN = ("requested", "overdue", "charged_back", "ordered", "represented")

NEXT = {
    "requested": "answer the request, or accept: tieout cases answer",
    "overdue": "the reply is late: answer it all the same, and expect a chargeback",
    "answered": "nothing: we have replied",
    "charged_back": "represent with evidence, or accept: tieout cases represent",
    "ordered": "the channel's answer: a representment in its next file, or tieout cases refused",
    "lapsed": "nothing: nobody represented it in time, and the merchant bears it",
    "accepted": "nothing: two people gave it up",
    "represented": "wait: the issuer may charge it back a second time",
    "won": "nothing: the issuer's time is over",
    "final": "nothing: a second chargeback is the end",
}


class CaseError(TieoutError):
    """A case cannot be treated as asked."""


@dataclass(frozen=True, slots=True)
class Case:
    """A row of `clearing.cases` after the latest close, and the order that is under way.

    Amounts are minor units; `disputed_minor` is what the channel has taken in all. `order_id` is
    None without an order that counts; `file_name` is the file in which it left, `sent_on` its date.
    """

    accounting_date: date
    case_id: str
    channel: str
    currency_code: str
    original_voucher_id: str | None
    original_accounting_date: date | None
    merchant_id: str | None
    account_id: str | None
    sale_amount_minor: int | None
    opened_on: date
    age_days: int
    stage: str
    status: str
    reason_code: str | None
    due_on: date | None
    is_request_open: bool
    request_due_on: date | None
    charged_back_minor: int
    represented_minor: int
    charged_again_minor: int
    disputed_minor: int
    order_id: int | None
    is_approved: bool | None
    file_name: str | None
    sent_on: date | None

    @property
    def is_open(self) -> bool:
        """Whether somebody still has something to do: we, or the other side."""
        return self.status in OPEN or self.is_request_open

    @property
    def next_due_on(self) -> date | None:
        """The first date by which we have to act; None where we need not."""
        ours = [self.due_on] if self.status == "charged_back" else []
        if self.is_request_open:
            ours.append(self.request_due_on)
        return min((due for due in ours if due is not None), default=None)

    @property
    def lapsed_days(self) -> int | None:
        """Calendar days since nobody represented it in time; None where that is not so."""
        if self.status != "lapsed" or self.due_on is None:
            return None
        return (self.accounting_date - self.due_on).days


@dataclass(frozen=True, slots=True)
class Event:
    """A row of `clearing.case_events`: a record of the channel, or a decision of two people."""

    accounting_date: date
    event_kind: str
    taken_amount_minor: int
    disposition: str | None
    reason_code: str | None
    due_on: date | None
    record_id: str
    decision_id: int | None
    approvers: str | None
    file_id: str | None
    line_number: int | None


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person asked for about a case, who approved it, and in which file it left."""

    decision_id: int
    decision_kind: str
    case_id: str
    channel: str
    currency_code: str
    amount_minor: int
    record_id: str
    evidence_name: str | None
    evidence_sha256: str | None
    effective_on: date
    reason: str
    requested_by: str
    approved_by: str | None
    file_name: str | None


@dataclass(frozen=True, slots=True)
class DuplicatePayment:
    """A row of `clearing.open_duplicate_payments`: two sales that may be one payment twice."""

    accounting_date: date
    duplicate_kind: str
    merchant_id: str
    account_id: str
    currency_code: str
    amount_minor: int
    first_voucher_id: str
    first_channel: str
    first_file_id: str
    first_line_number: int
    voucher_id: str
    channel: str
    file_id: str
    line_number: int


_CASES = """
select {columns}
from clearing.cases
left join lateral (
    select
        decisions.decision_id as order_id,
        approvals.decision_id is not null as is_approved,
        files.file_name,
        files.business_date as sent_on
    from control.case_decisions as decisions
    left join control.case_approvals as approvals on decisions.decision_id = approvals.decision_id
    left join control.case_orders as orders on decisions.decision_id = orders.decision_id
    left join control.case_order_files as files on orders.order_file_id = files.order_file_id
    where decisions.case_id = cases.case_id
        and decisions.decision_kind <> 'refused'
        and (
            decisions.record_id = cases.status_record_id
            or (cases.is_request_open and decisions.record_id = cases.request_record_id)
        )
        and not exists (
            select 1
            from control.case_decisions as refusals
            inner join control.case_approvals as approved
                on refusals.decision_id = approved.decision_id
            where refusals.case_id = cases.case_id
                and refusals.record_id = decisions.record_id
                and refusals.decision_kind = 'refused'
                and refusals.decision_id > decisions.decision_id
        )
    order by approvals.decision_id is null, decisions.decision_id desc
    limit 1
) as ordered on true
where cases.accounting_date = (
        select max(accounting_date)
        from control.accounting_days
        where state in ('closed', 'sealed')
    )
    and (%(case_id)s::text is null or cases.case_id = %(case_id)s)
order by least(cases.due_on, cases.request_due_on), cases.case_id
"""


def cases(settings: Settings, case_id: str | None = None) -> list[Case]:
    """Return the cases of the last year as the latest close has them, the first due first."""
    query = sql.SQL(_CASES).format(
        columns=sql.SQL(", ").join(sql.Identifier(field.name) for field in fields(Case))
    )
    with database.connect(settings) as connection:
        _require_tables(connection)
        with connection.cursor(row_factory=class_row(Case)) as cursor:
            return cursor.execute(query, {"case_id": case_id}).fetchall()


def case(settings: Settings, case_id: str) -> Case:
    """Return one case.

    Raises:
        CaseError: the latest close knows no such case.
    """
    found = cases(settings, case_id)
    if not found:
        raise CaseError(
            what=f"there is no case {case_id}",
            where="clearing.cases",
            why="a case is CV: and the original's voucher, or CA: and the record without one",
            next_step="tieout cases list --all",
        )
    return found[0]


def events(settings: Settings, case_id: str) -> list[Event]:
    """Return what happened to a case up to the latest close, oldest first."""
    columns = sql.SQL(", ").join(sql.Identifier(field.name) for field in fields(Event))
    query = sql.SQL(
        """
        select {columns}
        from clearing.case_events
        where case_id = %s
        order by accounting_date, decision_id nulls first, file_id, line_number
        """
    ).format(columns=columns)
    with (
        database.connect(settings) as connection,
        connection.cursor(row_factory=class_row(Event)) as cursor,
    ):
        return cursor.execute(query, [case_id]).fetchall()


def postings(settings: Settings, case_id: str) -> list[str]:
    """Return a line for each posting of the case's records, oldest first."""
    with database.connect(settings) as connection:
        rows = connection.execute(
            """
            select
                postings.accounting_date, postings.rule, postings.debit_account,
                postings.credit_account, postings.amount_minor, postings.currency_code
            from (
                select distinct accounting_date, record_id, file_id, line_number
                from clearing.case_events
                where case_id = %s and file_id is not null
            ) as records
            inner join ledger.postings as postings
                on records.accounting_date = postings.accounting_date
                and records.file_id = postings.file_id
                and records.line_number = postings.line_number
            order by postings.accounting_date, postings.rule, postings.posting_id
            """,
            [case_id],
        ).fetchall()
    return [
        f"{day}  posted {rule}: {amount_text(amount, currency)}, debit {debit}, credit {credit}"
        for day, rule, debit, credit, amount, currency in rows
    ]


def duplicate_payments(settings: Settings) -> list[DuplicatePayment]:
    """Return the pairs of the last 30 days of which neither sale was given back, newest first."""
    columns = sql.SQL(", ").join(sql.Identifier(field.name) for field in fields(DuplicatePayment))
    query = sql.SQL(
        "select {columns} from clearing.open_duplicate_payments"
        " order by accounting_date desc, amount_minor desc, voucher_id, first_voucher_id"
    ).format(columns=columns)
    with database.connect(settings) as connection:
        _require_tables(connection)
        with connection.cursor(row_factory=class_row(DuplicatePayment)) as cursor:
            return cursor.execute(query).fetchall()


def answer(
    settings: Settings,
    case_id: str,
    evidence_file: Path,
    *,
    by: str | None,
    reason: str,
    effective_on: date | None = None,
) -> int:
    """Ask to answer a request with evidence; return the decision's number.

    Raises:
        CaseError: no request waits, or as `represent` does.
    """
    return _request(settings, "answer", case_id, None, evidence_file, by, reason, effective_on)


def represent(
    settings: Settings,
    case_id: str,
    evidence_file: Path,
    *,
    by: str | None,
    reason: str,
    amount_minor: int | None = None,
    effective_on: date | None = None,
) -> int:
    """Ask to order a representment with evidence; return the decision's number.

    By default it is of all that the channel has taken (`disputed_minor`).

    Raises:
        CaseError: the chargeback is late or decided, the amount is more than was charged back, or
            the evidence is empty, too large or names a card.
    """
    if amount_minor is None:
        amount_minor = case(settings, case_id).disputed_minor
    return _request(
        settings, "represent", case_id, amount_minor, evidence_file, by, reason, effective_on
    )


def accept(
    settings: Settings,
    case_id: str,
    *,
    by: str | None,
    reason: str,
    effective_on: date | None = None,
) -> int:
    """Ask to fight a case no more; return the decision's number.

    Raises:
        CaseError: it is decided already, or nothing is to be given up.
    """
    return _request(settings, "accept", case_id, None, None, by, reason, effective_on)


def refused(
    settings: Settings,
    case_id: str,
    *,
    by: str | None,
    reason: str,
    effective_on: date | None = None,
) -> int:
    """Say that the channel refused the order that is out; return the decision's number.

    Raises:
        CaseError: no order of the case is out.
    """
    return _request(settings, "refused", case_id, None, None, by, reason, effective_on)


def approve(settings: Settings, decision_id: int, *, by: str | None) -> Decision:
    """Approve another person's decision about a case; return it.

    Raises:
        CaseError: there is none, it is one's own, beyond one's limit, or the case went on since.
    """
    try:
        with database.connect(settings) as connection:
            connection.execute("select control.approve_case(%s, %s)", [decision_id, by])
    except psycopg.errors.UniqueViolation as error:
        raise CaseError(
            what=f"decision {decision_id} is not approved",
            where="control.case_approvals",
            why="it is approved already, or its case has another decision for the same date",
            next_step="tieout cases decisions",
        ) from error
    except psycopg.Error as error:
        raise _refused(f"decision {decision_id} is not approved", error) from error
    return next(made for made in decisions(settings) if made.decision_id == decision_id)


def decisions(settings: Settings, case_id: str | None = None) -> list[Decision]:
    """Return what was asked for about one case or all, newest first."""
    with (
        database.connect(settings) as connection,
        connection.cursor(row_factory=class_row(Decision)) as cursor,
    ):
        return cursor.execute(
            """
            select
                decisions.decision_id, decisions.decision_kind, decisions.case_id,
                decisions.channel, decisions.currency_code, decisions.amount_minor,
                decisions.record_id, decisions.evidence_name, decisions.evidence_sha256,
                decisions.effective_on, decisions.reason, decisions.requested_by,
                approvals.approved_by, files.file_name
            from control.case_decisions as decisions
            left join control.case_approvals as approvals
                on decisions.decision_id = approvals.decision_id
            left join control.case_orders as orders on decisions.decision_id = orders.decision_id
            left join control.case_order_files as files
                on orders.order_file_id = files.order_file_id
            where %(case_id)s::text is null or decisions.case_id = %(case_id)s
            order by decisions.decision_id desc
            """,
            {"case_id": case_id},
        ).fetchall()


def evidence(settings: Settings, sha256: str) -> bytes:
    """Return kept evidence, proved to be the bytes of that SHA-256.

    Raises:
        LandingError: it is not kept, or was changed.
    """
    return archive.read(settings, sha256)


def next_step(found: Case) -> str:
    """Say what comes next in a case, for people."""
    if found.is_request_open and found.status not in {"requested", "overdue"}:
        return f"{NEXT[found.status]}; and a request waits: tieout cases answer"
    return NEXT[found.status]


def _request(  # noqa: PLR0917  as the owner's function
    settings: Settings,
    kind: Kind,
    case_id: str,
    amount_minor: int | None,
    evidence_file: Path | None,
    by: str | None,
    reason: str,
    effective_on: date | None,
) -> int:
    _require_no_card_number(reason, "the reason")
    content = None if evidence_file is None else _evidence_content(evidence_file)
    sha256 = None if content is None else hashlib.sha256(content).hexdigest()
    effective_on = effective_on or next_open_date(settings)
    try:
        with database.connect(settings) as connection:
            row = connection.execute(
                "select control.request_case(%s, %s, %s, %s, %s, %s, %s, %s)",
                [
                    kind,
                    case_id,
                    amount_minor,
                    None if evidence_file is None else evidence_file.name,
                    sha256,
                    effective_on,
                    reason,
                    by,
                ],
            ).fetchone()
            # Kept before the request stands: what is asked for has its evidence.
            if content is not None and sha256 is not None:
                archive.keep(settings, sha256, content)
    except psycopg.Error as error:
        raise _refused(f"nothing is decided about case {case_id}", error) from error
    assert row is not None
    return int(row[0])


def _evidence_content(path: Path) -> bytes:
    """Return the evidence's bytes, where they may be kept."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CaseError(
            what="the evidence is not read",
            where=str(path),
            why=error.strerror or type(error).__name__,
            next_step="name a file that this login may read",
        ) from error
    if not 0 < len(content) <= EVIDENCE_BYTES_MAX:
        raise CaseError(
            what="the evidence is not kept",
            where=str(path),
            why=f"it has {len(content):,} bytes, and 1 to {EVIDENCE_BYTES_MAX:,} are taken",
            next_step="name one file with what the channel asks for",
        )
    # A picture has no text that could be looked at.
    if b"\0" not in content:
        _require_no_card_number(content.decode("utf-8", errors="replace"), str(path))
    _require_no_card_number(path.name, "the evidence's name")
    return content


def _require_no_card_number(text: str, where: str) -> None:
    if any(True for _ in find_card_numbers(text)):
        raise CaseError(
            what="a card number is not kept",
            where=where,
            why="evidence and reasons are read by people and leave the house",
            next_step="show the first six and the last four digits of the card only",
        )


def _refused(what: str, error: psycopg.Error) -> CaseError:
    return database.refusal(
        CaseError, what, error, where="control.case_decisions", next_step="tieout cases --help"
    )


def _require_tables(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    if not database.has_table(connection, "clearing.cases"):
        raise CaseError(
            what="there are no cases yet",
            where="clearing.cases",
            why="no date has been closed",
            next_step="tieout close DATE",
        )
