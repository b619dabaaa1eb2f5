"""What two people decide about the differences of a restatement: that they are booked.

One person asks for the newest restatement of a date, another approves. The next landing puts a
correcting voucher for each difference on the first open date. What came late is there already, and
what people or terms decide is not booked here (`control.restatement_entries()` says which).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import psycopg
from psycopg.rows import class_row

from tieout import database
from tieout.core.errors import TieoutError
from tieout.core.settings import Settings

__all__ = ["Booking", "BookingError", "Entry", "approve", "ask", "bookings", "entries"]


class BookingError(TieoutError):
    """A restatement's differences are not booked as asked."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A cleared entry that differs, minor units, + to the merchant, and what becomes of that."""

    difference_no: int
    entry_id: str
    voucher_id: str
    account_id: str
    currency_code: str
    difference_minor: int
    kind: str
    booked_amount_minor: int


@dataclass(frozen=True, slots=True)
class Booking:
    """A difference that was asked to be booked; `booked_on` is None until it stands there."""

    request_id: int
    restatement_id: int
    accounting_date: date
    difference_no: int
    voucher_id: str
    kind: str
    amount_minor: int
    currency_code: str
    account_id: str
    correcting_voucher_id: str
    requested_by: str
    reason: str
    approved_by: str | None
    booked_on: date | None


def entries(settings: Settings, restatement_id: int) -> list[Entry]:
    """Return each cleared entry that differs, and whether it is booked, carried or for people."""
    with (
        database.connect(settings) as connection,
        connection.cursor(row_factory=class_row(Entry)) as cursor,
    ):
        return cursor.execute(
            "select * from control.restatement_entries(%s)", [restatement_id]
        ).fetchall()


def ask(settings: Settings, day: date, *, by: str | None, reason: str) -> int:
    """Ask to book what the newest restatement of a date differs by; return the request's number.

    Raises:
        BookingError: there is no restatement, nothing to book, no name or reason, or it was asked
            for before.
    """
    try:
        with database.connect(settings) as connection:
            row = connection.execute(
                "select control.request_booking(%s, %s, %s)", [day, reason, by]
            ).fetchone()
    except psycopg.errors.UniqueViolation as error:
        raise BookingError(
            what=f"the newest restatement of {day} was asked for before",
            where="control.restatement_requests",
            why="a restatement is booked once",
            next_step="a second person: tieout restate approve REQUEST; or tieout restate DATE",
        ) from error
    except psycopg.Error as error:
        raise _refused(f"nothing of {day} is booked", error) from error
    assert row is not None
    return int(row[0])


def approve(settings: Settings, request_id: int, *, by: str | None) -> None:
    """Approve another person's request; the next landing books it.

    Raises:
        BookingError: there is no such request, it is one's own or approved already, or the date was
            restated again since.
    """
    try:
        with database.connect(settings) as connection:
            connection.execute("select control.approve_booking(%s, %s)", [request_id, by])
    except psycopg.Error as error:
        raise _refused(f"request {request_id} is not approved", error) from error


def bookings(settings: Settings, day: date | None = None) -> list[Booking]:
    """Return what was asked to be booked, of one sealed date or all."""
    with (
        database.connect(settings) as connection,
        connection.cursor(row_factory=class_row(Booking)) as cursor,
    ):
        return cursor.execute(
            """
            select
                requests.request_id, requests.restatement_id, restatements.accounting_date,
                bookings.difference_no, bookings.voucher_id, bookings.kind, bookings.amount_minor,
                bookings.currency_code, bookings.account_id, bookings.correcting_voucher_id,
                requests.requested_by, requests.reason, requests.approved_by, bookings.booked_on
            from control.restatement_requests as requests
            inner join control.restatements
                on requests.restatement_id = restatements.restatement_id
            inner join control.restatement_bookings as bookings
                on requests.request_id = bookings.request_id
            where %(day)s::date is null or restatements.accounting_date = %(day)s
            order by requests.request_id, bookings.voucher_id
            """,
            {"day": day},
        ).fetchall()


def _refused(what: str, error: psycopg.Error) -> BookingError:
    return database.refusal(
        BookingError,
        what,
        error,
        where="control.restatement_requests",
        next_step="tieout restate --help",
    )
