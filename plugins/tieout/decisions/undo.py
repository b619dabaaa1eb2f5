"""The way back of a payment date of which nothing has left: two people undo it.

Instructions and attempts fix a payment date before its files are on record. Where the files cannot
be written, one person asks to undo the date and another approves it: the database moves what was
instructed to ``payout.undone_payouts``, closes the dates that were sealed with it again, and a
corrected file may land. Once a file is on record this is refused for good
(docs/decisions/0050-what-the-payment-file-cannot-hold.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import psycopg
from psycopg.rows import class_row

from tieout import database
from tieout.core import people
from tieout.core.errors import TieoutError
from tieout.core.settings import Settings
from tieout.dates import days

__all__ = ["Undo", "UndoError", "approve", "ask", "undos"]


class UndoError(TieoutError):
    """A payment date is not undone as asked."""


@dataclass(frozen=True, slots=True)
class Undo:
    """A request to undo a payment date, and who approved it; ``payout_count`` were undone."""

    undo_id: int
    payment_date: date
    reason: str
    requested_by: str
    approved_by: str | None
    payout_count: int


def ask(settings: Settings, payment_date: date, *, by: str, reason: str) -> int:
    """Ask to undo a payment date; return the request's number. Another person has to approve it.

    Raises:
        UndoError: no name or reason, a file of the date exists, or the database refuses.
    """
    if not people.person_key(by) or not reason.strip():
        raise _nameless(f"payment date {payment_date}")
    _refuse_left(settings, payment_date)
    try:
        with database.connect(settings) as connection:
            return database.insert(
                connection,
                "payout.undo_requests",
                {"payment_date": payment_date, "reason": reason.strip(), "requested_by": by},
                returning="undo_id",
            )
    except psycopg.Error as error:
        raise _refused(payment_date, error) from error


def approve(settings: Settings, undo_id: int, *, by: str) -> Undo:
    """Approve another person's request: the payment date is undone; return what was done.

    Raises:
        UndoError: there is no such request, it is one's own or approved already, a run works on the
            date, a file of the date exists, or the database refuses.
    """
    if not people.person_key(by):
        raise _nameless(f"undo {undo_id}")
    request = _undo(settings, undo_id)
    if request.approved_by is not None:
        raise UndoError(
            what=f"undo {undo_id} is approved already",
            where="payout.undo_approvals",
            why=f"{request.approved_by} did; {request.payout_count} payouts were undone",
            next_step=f"tieout pay {request.payment_date}",
        )
    if people.is_same_person(request.requested_by, by):
        raise UndoError(
            what=f"undo {undo_id} is not approved",
            where="payout.undo_requests",
            why=f"it was asked for by {request.requested_by}: another person has to approve it",
            next_step=f"a second person: tieout undo-payment approve {undo_id} --by NAME",
        )
    _refuse_running(settings, request.payment_date)
    paths = _refuse_left(settings, request.payment_date)
    try:
        with database.connect(settings) as connection:
            connection.execute(
                "insert into payout.undo_approvals (undo_id, payment_date, approved_by)"
                " values (%s, %s, %s)",
                [undo_id, request.payment_date, by],
            )
    except psycopg.Error as error:
        raise _refused(request.payment_date, error) from error
    _drop_prepared(settings, paths)
    return _undo(settings, undo_id)


def undos(settings: Settings) -> list[Undo]:
    """Return every request to undo a payment date, newest first."""
    with (
        database.connect(settings) as connection,
        connection.cursor(row_factory=class_row(Undo)) as cursor,
    ):
        return cursor.execute(
            """
            select
                requests.undo_id,
                requests.payment_date,
                requests.reason,
                requests.requested_by,
                approvals.approved_by,
                (
                    select count(*)
                    from payout.undone_payouts as payouts
                    where payouts.undo_id = requests.undo_id
                ) as payout_count
            from payout.undo_requests as requests
            left join payout.undo_approvals as approvals on requests.undo_id = approvals.undo_id
            order by requests.undo_id desc
            """
        ).fetchall()


def _undo(settings: Settings, undo_id: int) -> Undo:
    for undo in undos(settings):
        if undo.undo_id == undo_id:
            return undo
    raise UndoError(
        what=f"there is no undo {undo_id}",
        where="payout.undo_requests",
        why="nobody has asked for it",
        next_step="tieout undo-payment list",
    )


def _refuse_running(settings: Settings, payment_date: date) -> None:
    for lease in days.leases(settings):
        if (lease.kind, lease.business_date) == (days.SETTLEMENT_PAYOUT, payment_date) and (
            lease.is_alive
        ):
            raise UndoError(
                what=f"payment date {payment_date} is not undone",
                where="control.date_leases",
                why=f"its payment is running ({lease.owner})",
                next_step="wait until it has ended; tieout status",
            )


def _refuse_left(settings: Settings, payment_date: date) -> list[str]:
    """Raise where a payment file lies in the outbox; return the paths where none does.

    The database knows what is on record; a file without its record is seen here only.
    """
    from tieout.payouts import rails  # noqa: PLC0415  XML libraries are heavy
    from tieout.payouts.store import Store  # noqa: PLC0415  fsspec is heavy
    from tieout.payouts.submission import file_path  # noqa: PLC0415  XML libraries are heavy

    with database.connect(settings) as connection:
        rows = connection.execute(
            """
            select distinct attempts.batch_message_id
            from payout.attempts as attempts
            inner join payout.instructions as instructions
                on attempts.instruction_id = instructions.instruction_id
            where instructions.payment_date = %s
            order by attempts.batch_message_id
            """,
            [payment_date],
        ).fetchall()
    outbox = Store(settings.payment_files_url)
    # Of every rail: the account's may be another one since.
    paths = [file_path(payment_date, str(row[0]), rail) for row in rows for rail in rails.RAILS]
    for path in paths:
        if outbox.whole(path) is not None:
            raise UndoError(
                what=f"payment date {payment_date} is not undone",
                where=outbox.url_of(path),
                why="its payment file lies in the outbox, and the bank may have fetched it",
                next_step=f"tieout pay {payment_date} goes on with it",
            )
    return paths


def _drop_prepared(settings: Settings, paths: list[str]) -> None:
    from tieout.payouts.store import Store  # noqa: PLC0415  fsspec is heavy

    outbox = Store(settings.payment_files_url)
    for path in paths:
        outbox.drop_prepared(path)


def _nameless(where: str) -> UndoError:
    return UndoError(
        what="undoing a payment date needs two names and a reason",
        where=where,
        why="all three stay on record with it",
        next_step="tieout undo-payment ask DATE --by NAME --reason TEXT",
    )


def _refused(payment_date: date, error: psycopg.Error) -> UndoError:
    return database.refusal(
        UndoError,
        f"payment date {payment_date} is not undone",
        error,
        where="payout.undo_requests, payout.undo_approvals",
        next_step="tieout undo-payment --help",
    )
