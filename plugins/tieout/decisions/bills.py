"""What people decide about fee bills: mandates to debit, and credit notes. Two people each.

Each is a function of the owner, which puts the name of the login's person with it
(docs/domain.md#collection-of-fee-bills).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, LiteralString

from psycopg.rows import class_row

from tieout import database
from tieout.core.errors import TieoutError
from tieout.core.settings import Settings
from tieout.dates import days

__all__ = [
    "BillDecisionError",
    "CreditNote",
    "Mandate",
    "approve_credit_note",
    "approve_mandate",
    "credit_notes",
    "end_mandate",
    "mandates",
    "next_open_date",
    "request_credit_note",
    "request_mandate",
]


class BillDecisionError(TieoutError):
    """A mandate or a credit note is not decided as asked."""


@dataclass(frozen=True, slots=True)
class Mandate:
    """A mandate to debit a merchant's account, and who entered, approved and ended it."""

    mandate_id: int
    account_id: str
    currency_code: str
    mandate_reference: str
    signed_on: date
    effective_from: date
    payee_id: str
    payee_version: int
    requested_by: str
    approved_by: str | None
    known_from: date | None
    ended_by: str | None


@dataclass(frozen=True, slots=True)
class CreditNote:
    """An amount that is taken off a bill, in minor units, and who asked and approved."""

    credit_note_id: int
    bill_no: int
    amount_minor: int
    currency_code: str
    reason: str
    requested_by: str
    approved_by: str | None
    credit_note_no: int | None
    business_date: date | None


def request_mandate(
    settings: Settings,
    account_id: str,
    *,
    currency_code: str,
    reference: str,
    payee_id: str,
    payee_version: int,
    signed_on: date,
    effective_from: date,
    by: str | None,
) -> int:
    """Enter a mandate for an account's payee; return its number. Another person approves it.

    Raises:
        BillDecisionError: the payee is another account's, or the database refuses.
    """
    return int(
        _decided(
            settings,
            "select settlement.request_mandate(%s, %s, %s, %s, %s, %s, %s, %s)",
            [
                account_id,
                currency_code,
                reference,
                payee_id,
                payee_version,
                signed_on,
                effective_from,
                by or "",
            ],
            f"the mandate of {account_id} is not entered",
        )
    )


def approve_mandate(settings: Settings, mandate_id: int, *, by: str | None) -> date:
    """Approve another person's mandate; return the date from which it is known.

    Raises:
        BillDecisionError: it does not wait for approval, or is one's own.
    """
    known_from: date = _decided(
        settings,
        "select settlement.approve_mandate(%s, %s)",
        [mandate_id, by or ""],
        f"mandate {mandate_id} is not approved",
    )
    return known_from


def end_mandate(settings: Settings, mandate_id: int, *, reason: str, by: str | None) -> None:
    """End a mandate: nothing more is debited by it. One person is enough.

    Raises:
        BillDecisionError: there is no such mandate, or it has ended.
    """
    _decided(
        settings,
        "select settlement.end_mandate(%s, %s, %s)",
        [mandate_id, reason, by or ""],
        f"mandate {mandate_id} is not ended",
    )


def request_credit_note(
    settings: Settings, bill_no: int, *, amount_minor: int, reason: str, by: str | None
) -> int:
    """Ask to take an amount off a bill; return the request's number.

    Raises:
        BillDecisionError: there is no such bill, no reason, or the amount is not above zero.
    """
    return int(
        _decided(
            settings,
            "select settlement.request_credit_note(%s, %s, %s, %s)",
            [bill_no, amount_minor, reason, by or ""],
            f"the credit note on bill {bill_no} is not asked for",
        )
    )


def approve_credit_note(
    settings: Settings, credit_note_id: int, *, on_date: date, by: str | None
) -> int:
    """Approve another person's credit note, booked on an open date; return its number.

    Raises:
        BillDecisionError: it does not wait, is one's own, is more than is open, or beyond a limit.
    """
    return int(
        _decided(
            settings,
            "select settlement.approve_credit_note(%s, %s, %s)",
            [credit_note_id, on_date, by or ""],
            f"credit note {credit_note_id} is not approved",
        )
    )


def next_open_date(settings: Settings) -> date | None:
    """Return the accounting date after the last one that is closed; None before the first."""
    latest = days.last_closed(settings)
    return None if latest is None else latest + timedelta(days=1)


_MANDATES: LiteralString = """
    select
        requests.mandate_id, requests.account_id, requests.currency_code,
        requests.mandate_reference, requests.signed_on, requests.effective_from,
        requests.payee_id, requests.payee_version, requests.requested_by,
        approvals.approved_by, approvals.known_from, ends.ended_by
    from settlement.mandate_requests as requests
    left join settlement.mandate_approvals as approvals
        on requests.mandate_id = approvals.mandate_id
    left join settlement.mandate_ends as ends on requests.mandate_id = ends.mandate_id
    order by requests.mandate_id
"""
_CREDIT_NOTES: LiteralString = """
    select
        requests.credit_note_id, requests.bill_no, requests.amount_minor, bills.currency_code,
        requests.reason, requests.requested_by, approvals.approved_by, approvals.credit_note_no,
        approvals.business_date
    from settlement.credit_note_requests as requests
    inner join settlement.issued_bills as bills on requests.bill_no = bills.bill_no
    left join settlement.credit_note_approvals as approvals
        on requests.credit_note_id = approvals.credit_note_id
    order by requests.credit_note_id
"""


def mandates(settings: Settings) -> list[Mandate]:
    """Return every mandate, in the order in which they were entered."""
    with (
        database.connect(settings) as connection,
        connection.cursor(row_factory=class_row(Mandate)) as cursor,
    ):
        return cursor.execute(_MANDATES).fetchall()


def credit_notes(settings: Settings) -> list[CreditNote]:
    """Return every credit note that was asked for, in order."""
    with (
        database.connect(settings) as connection,
        connection.cursor(row_factory=class_row(CreditNote)) as cursor,
    ):
        return cursor.execute(_CREDIT_NOTES).fetchall()


def _decided(settings: Settings, query: LiteralString, values: list[object], what: str) -> Any:
    with (
        database.explained(
            BillDecisionError,
            what,
            where="settlement.mandate_requests, settlement.credit_note_requests",
            next_step="tieout bills --help",
        ),
        database.connect(settings) as connection,
    ):
        row = connection.execute(query, values).fetchone()
    return None if row is None else row[0]
