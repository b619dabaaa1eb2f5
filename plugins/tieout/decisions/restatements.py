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
    """What an entry differs by for an account, minor units, + to the merchant, and its fate.

    `difference_no` is None where an earlier booking is to be undone; `why` says of `by_people` why
    it is not booked.
    """

    difference_no: int | None
    entry_id: str
    voucher_id: str
    account_id: str
    currency_code: str
    difference_minor: int
    kind: str
    booked_amount_minor: int
    why: str | None


@dataclass(frozen=True, slots=True)
class Booking:
    """A difference that was asked to be booked; `booked_on` is None until it stands there.

    `refused_because` is why that date's close refused it, where it did: nobody is charged then.
    """

    request_id: int
    restatement_id: int
    accounting_date: date
    difference_no: int | None
    voucher_id: str
    kind: str
    amount_minor: int
    currency_code: str
    account_id: str
    correcting_voucher_id: str
    requested_by: str
    reason: str
    approved_by: str | None
    waits_for_voucher_id: str | None
    booked_on: date | None
    refused_because: str | None


def entries(settings: Settings, restatement_id: int) -> list[Entry]:
    """Return each cleared entry that differs, and whether it is booked, carried or for people."""
    with (
        database.connect(settings) as connection,
        connection.cursor(row_factory=class_row(Entry)) as cursor,
    ):
        return cursor.execute(
            """
            select
                difference_no, entry_id, voucher_id, account_id, currency_code, difference_minor,
                kind, booked_amount_minor, why
            from control.restatement_entries(%s)
            """,
            [restatement_id],
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
                requests.requested_by, requests.reason, requests.approved_by,
                bookings.waits_for_voucher_id, bookings.booked_on,
                control.refusal_of(bookings.correcting_voucher_id, bookings.booked_on)
                    as refused_because
            from control.restatement_requests as requests
            inner join control.restatements
                on requests.restatement_id = restatements.restatement_id
            inner join control.restatement_bookings as bookings
                on requests.request_id = bookings.request_id
            where %(day)s::date is null or restatements.accounting_date = %(day)s
            order by requests.request_id, bookings.voucher_id, bookings.correcting_voucher_id
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
