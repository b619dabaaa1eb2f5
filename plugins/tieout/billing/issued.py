"""The bills: made by the database, read from `settlement.fee_bills`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import LiteralString

import psycopg
from psycopg.rows import class_row

from tieout import database
from tieout.core.errors import TieoutError
from tieout.core.money import amount_text
from tieout.core.settings import Settings

__all__ = [
    "Bill",
    "BillingError",
    "asked",
    "bills",
    "events",
    "issue",
    "remind",
    "why_not_debited",
]


class BillingError(TieoutError):
    """Bills are not made, collected or told of as they should be."""


@dataclass(frozen=True, slots=True)
class Bill:
    """A fee bill as it stands now; amounts in minor units of its currency."""

    bill_no: int
    fee_period: str
    account_id: str
    currency_code: str
    line_count: int
    fee_amount_minor: int
    credit_brought_minor: int
    due_amount_minor: int
    credit_carried_minor: int
    issued_on: date
    due_on: date
    collection_method: str
    collected_amount_minor: int
    under_way_amount_minor: int
    credited_amount_minor: int
    open_amount_minor: int
    attempt_count: int
    reminder_level: int
    status: str

    @property
    def number(self) -> str:
        """The bill's number as merchants and the bank read it."""
        return f"FB{self.bill_no:08d}"

    def overdue_days(self, day: date) -> int:
        """Return for how many days what is open is overdue on ``day``; 0 where it is not."""
        return max((day - self.due_on).days, 0) if self.open_amount_minor > 0 else 0


_BILLS: LiteralString = """
    select
        bill_no, fee_period, account_id, currency_code, line_count, fee_amount_minor,
        credit_brought_minor, due_amount_minor, credit_carried_minor, issued_on, due_on,
        collection_method, collected_amount_minor, under_way_amount_minor,
        credited_amount_minor, open_amount_minor, attempt_count, reminder_level, status
    from settlement.fee_bills
    where
        (%(bill_no)s::integer is null or bill_no = %(bill_no)s)
        and (%(status)s::text is null or status = %(status)s)
    order by bill_no
"""


def bills(
    settings: Settings, *, bill_no: int | None = None, status: str | None = None
) -> list[Bill]:
    """Return the bills, or one, or those of a status, by number.

    Raises:
        BillingError: there is no bill of the number.
    """
    with database.connect(settings) as connection:
        if not database.has_table(connection, "settlement.fee_bills"):
            found: list[Bill] = []
        else:
            with connection.cursor(row_factory=class_row(Bill)) as cursor:
                found = cursor.execute(_BILLS, {"bill_no": bill_no, "status": status}).fetchall()
    if bill_no is not None and not found:
        raise BillingError(
            what=f"there is no fee bill {bill_no}",
            where="settlement.fee_bills",
            why="nothing was billed under that number",
            next_step="tieout bills list",
        )
    return found


_EVENTS: LiteralString = """
    select
        collections.collection_id, events.status, events.business_date, collections.amount_minor,
        events.collected_minor, collections.currency_code, events.reason_code, events.file_id,
        events.line_number
    from settlement.collections as collections
    inner join settlement.collection_events as events
        on collections.collection_id = events.collection_id
    where collections.bill_no = %(bill_no)s
    order by collections.attempt_no, events.event_no
"""


def events(settings: Settings, bill_no: int) -> list[str]:
    """Return what happened to a bill's debits, a line an event."""
    with database.connect(settings) as connection:
        rows = connection.execute(_EVENTS, {"bill_no": bill_no}).fetchall()
    told = []
    for collection_id, status, day, amount, collected, code, reason, file_id, line_number in rows:
        text = f"{day}  {collection_id} of {amount_text(amount, code)}: {status}"
        text += f" {amount_text(collected, code)}" if collected else ""
        text += f" ({reason})" if reason else ""
        told.append(f"{text}, line {line_number} of file {file_id}" if file_id else text)
    return told


def issue(settings: Settings, day: date) -> int:
    """Make the bills of each month that has ended and is sealed; return how many.

    Raises:
        BillingError: ``day`` is closed, or a contract says no way of collecting.
    """
    return asked(settings, "select settlement.issue_fee_bills(%s)", [day], f"bills of {day}")


def remind(settings: Settings, day: date) -> int:
    """Put on record the reminders that are due on ``day``; return how many."""
    return asked(settings, "select settlement.remind_of_bills(%s)", [day], f"reminders of {day}")


def why_not_debited(settings: Settings, bill_no: int, day: date) -> str | None:
    """Return the reason for which a bill would not be debited on ``day``, or None."""
    with database.connect(settings) as connection:
        row = connection.execute(
            "select settlement.why_not_debited(%s, %s)", [bill_no, day]
        ).fetchone()
    return None if row is None or row[0] is None else str(row[0])


def asked(settings: Settings, query: LiteralString, values: list[object], what: str) -> int:
    """Call a function of the owner that counts what it did.

    Raises:
        BillingError: the database refuses, in its words.
    """
    with (
        database.explained(
            BillingError,
            f"{what}: refused",
            where="settlement.issued_bills, settlement.collections",
            next_step="docs/runbooks/fee-bill-overdue.md",
            of=psycopg.errors.RestrictViolation,
        ),
        database.connect(settings) as connection,
    ):
        row = connection.execute(query, values).fetchone()
    return int(row[0]) if row is not None and row[0] is not None else 0
