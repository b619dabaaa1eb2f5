"""Two people about a file: one asks to release it or to set it aside, another approves.

The database keeps both with their logins and lets a file's status change only on such a request
(`control.file_requests`), once people have logins; before that one name is on record. What is
decided is carried out by `tieout.landing.corrections`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal, LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from tieout import database
from tieout.core.errors import TieoutError
from tieout.core.settings import Settings

__all__ = ["Action", "FileDecisionError", "FileRequest", "approve", "ask", "waiting"]

Action = Literal["release", "reject"]


class FileDecisionError(TieoutError):
    """Nothing is decided about a file as asked."""


@dataclass(frozen=True, slots=True)
class FileRequest:
    """What one person asks to be done with a file; `approved_by` is None while nobody has."""

    request_id: int
    file_id: str
    action: Action
    reason: str
    requested_by: str
    approved_by: str | None


_REQUESTS: LiteralString = """
    with requests as (
        select requests.request_id, requests.file_id, requests.action, requests.reason,
            requests.requested_by, approvals.approved_by,
            exists (
                select 1
                from control.file_decisions as decisions
                where decisions.request_id = requests.request_id
            ) as is_done
        from control.file_requests as requests
        left join control.file_request_approvals as approvals using (request_id)
    )
    select {columns}
    from requests
    where {condition}
    order by request_id
"""


def ask(settings: Settings, file_id: str, action: Action, reason: str, by: str | None) -> int:
    """Ask, as the first person, that a file be released or set aside; return the request's number.

    Raises:
        FileDecisionError: no such file, no reason, or a login of nobody's.
    """
    values = {"file_id": file_id, "action": action, "reason": reason.strip(), "requested_by": by}
    try:
        with database.connect(settings) as connection:
            return database.insert(
                connection, "control.file_requests", values, returning="request_id"
            )
    except psycopg.Error as error:
        raise _refused(f"nothing is asked about file {file_id}", error) from error


def approve(settings: Settings, request_id: int, by: str | None) -> FileRequest:
    """Approve, as the second person, what another one has asked; return what that was.

    What was approved before and not carried out yet is returned as it is.

    Raises:
        FileDecisionError: no such request, the person's own, carried out, or the file has changed.
    """
    with database.connect(settings) as connection:
        found = _requests(connection, sql.SQL("request_id = %s and not is_done"), [request_id])
        if not found:
            raise FileDecisionError(
                what=f"request {request_id} is not approved",
                where="control.file_requests",
                why="nobody asked for it, or it is carried out",
                next_step="tieout quarantine list",
            )
        if found[0].approved_by is not None:
            return found[0]
        try:
            database.insert(
                connection,
                "control.file_request_approvals",
                {"request_id": request_id, "approved_by": by},
                returning="request_id",
            )
        except psycopg.Error as error:
            raise _refused(f"request {request_id} is not approved", error) from error
    return found[0]


def waiting(settings: Settings) -> list[FileRequest]:
    """Return what was asked about files and is not carried out yet, the oldest first."""
    with database.connect(settings) as connection:
        return _requests(connection, sql.SQL("not is_done"), [])


def _requests(
    connection: psycopg.Connection[Any], condition: sql.SQL, values: list[object]
) -> list[FileRequest]:
    columns = sql.SQL(", ").join(sql.Identifier(field.name) for field in fields(FileRequest))
    query = sql.SQL(_REQUESTS).format(columns=columns, condition=condition)
    with connection.cursor(row_factory=class_row(FileRequest)) as cursor:
        return cursor.execute(query, values).fetchall()


def _refused(what: str, error: psycopg.Error) -> FileDecisionError:
    return database.refusal(
        FileDecisionError,
        what,
        error,
        where="control.file_requests",
        next_step="tieout quarantine list",
    )
