"""Clearing sessions and people: see which are frozen, open those of a date, two people for it.

The close that first closes a date freezes its sessions with a cutoff. A later build that would
change what is frozen is refused; two people open the sessions of the date, and its next close
freezes them anew (docs/domain.md#several-sessions-a-date). Functions of the database's owner keep
both logins (migration 0047). Nothing here is ever changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, LiteralString

from psycopg.rows import class_row

from tieout import database
from tieout.core.errors import TieoutError
from tieout.core.settings import Settings
from tieout.decisions.functions import Desk

__all__ = ["Reopening", "Session", "SessionError", "approve", "ask", "decisions", "of_dates"]


class SessionError(TieoutError):
    """No clearing session is opened as asked."""


_DESK: Final = Desk(
    SessionError, "control.clearing_session_reopenings", "see tieout sessions --help"
)


@dataclass(frozen=True, slots=True)
class Session:
    """A clearing session of a closed date; ``ends_at`` is None for the last of its type."""

    accounting_date: date
    clearing_session_type: str
    clearing_session_no: int
    ends_at: datetime | None
    entry_count: int
    is_frozen: bool


@dataclass(frozen=True, slots=True)
class Reopening:
    """What one person asked for, and who approved it."""

    request_id: int
    accounting_date: date
    reason: str
    requested_by: str
    approved_by: str | None


_SESSIONS: LiteralString = """
    select accounting_date, clearing_session_type, clearing_session_no, ends_at, entry_count,
        is_frozen
    from clearing.clearing_sessions
    where %(first)s::date is null or accounting_date >= %(first)s
    order by accounting_date desc, clearing_session_type collate "C" desc, clearing_session_no
"""

_REOPENINGS: LiteralString = """
    select requests.request_id, requests.accounting_date, requests.reason, requests.requested_by,
        approvals.approved_by
    from control.clearing_session_reopenings as requests
    left join control.clearing_session_reopening_approvals as approvals using (request_id)
    where %(request_id)s::bigint is null or requests.request_id = %(request_id)s
    order by requests.request_id desc
"""


def of_dates(settings: Settings, first: date | None = None) -> list[Session]:
    """Return the sessions of the closed dates from ``first`` on, the newest date first.

    Raises:
        SessionError: no date has been closed yet.
    """
    with (
        database.connect(settings) as connection,
        connection.cursor(row_factory=class_row(Session)) as cursor,
    ):
        if not database.has_table(connection, "clearing.clearing_sessions"):
            raise SessionError(
                what="no date has been closed yet",
                where="clearing.clearing_sessions",
                why="the sessions of a date are those of its close",
                next_step="tieout close DATE",
            )
        return cursor.execute(_SESSIONS, {"first": first}).fetchall()


def decisions(settings: Settings, request_id: int | None = None) -> list[Reopening]:
    """Return what people asked for, newest first, or one request."""
    with (
        database.connect(settings) as connection,
        connection.cursor(row_factory=class_row(Reopening)) as cursor,
    ):
        return cursor.execute(_REOPENINGS, {"request_id": request_id}).fetchall()


def ask(settings: Settings, accounting_date: date, *, by: str | None, reason: str) -> int:
    """Ask to open the frozen sessions of a date; return the request.

    Raises:
        SessionError: none of the date is frozen, or the date is closed, sealed or being closed.
    """
    return _DESK.ask(
        settings,
        f"the sessions of {accounting_date} stay frozen",
        "select control.request_session_reopening(%s, %s, %s)",
        (accounting_date, reason, by),
    )


def approve(settings: Settings, request_id: int, *, by: str | None) -> Reopening:
    """Approve what another person asked for; return it.

    Raises:
        SessionError: there is no such request, it is one's own or approved already, or its date is
            closed, sealed or being closed.
    """
    _DESK.ask(
        settings,
        f"request {request_id} is not approved",
        "select control.approve_session_reopening(%s, %s)",
        (request_id, by),
    )
    return decisions(settings, request_id)[0]
