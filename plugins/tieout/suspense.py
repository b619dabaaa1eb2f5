"""Open items and people: see them, assign them, decide, approve each other's decisions.

A decision is asked for by one person and approved by another; it takes effect in the close of a
date that is not closed yet (docs/reconciliation.md 4). The database keeps both names and refuses
what is too late or approved by the same person (migration 0005); nothing here is ever changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date, timedelta
from typing import Any, Literal

import psycopg
from psycopg import sql
from psycopg.rows import class_row, dict_row

from tieout import database
from tieout.errors import TieoutError
from tieout.settings import Settings

__all__ = [
    "ActionKind",
    "Decision",
    "ItemFilter",
    "OpenItem",
    "SuspenseError",
    "approve",
    "assign",
    "decisions",
    "item_history",
    "next_open_date",
    "open_items",
    "request",
]

ActionKind = Literal["pair", "offset", "adjust", "write_off"]


class SuspenseError(TieoutError):
    """An open item cannot be treated as asked."""


@dataclass(frozen=True, slots=True)
class OpenItem:
    """One row of `reconciliation.open_items`: an item open after the latest close.

    `amount_minor` is signed from the merchant's side; `action_id` is a decision that waits for its
    second person or its date.
    """

    accounting_date: date
    suspense_item_id: str
    channel: str
    currency_code: str
    side: str
    status: str
    amount_minor: int
    variance_kind: str
    opened_on: date
    age_days: int
    break_reason: str | None
    linked_item_id: str | None
    suggested_action: str
    suggestion_rule: str | None
    assigned_to: str | None
    action_id: int | None
    action_kind: str | None
    effective_on: date | None
    is_approved: bool | None
    source_id: str
    account_id: str | None
    transaction_type: str
    match_key: str | None
    file_id: str
    line_number: int


@dataclass(frozen=True, slots=True)
class ItemFilter:
    """Which items to show; what is None shows all. `age_days_min` in calendar days."""

    channel: str | None = None
    side: str | None = None
    status: str | None = None
    suggested_action: str | None = None
    assigned_to: str | None = None
    age_days_min: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision of people, and what became of it (`is_applied` is None before its close)."""

    action_id: int
    action_kind: str
    suspense_item_id: str
    second_item_id: str | None
    account_id: str | None
    effective_on: date
    reason: str
    requested_by: str
    approved_by: str | None
    is_applied: bool | None
    refused_because: str | None


def open_items(settings: Settings, chosen: ItemFilter = ItemFilter()) -> list[OpenItem]:
    """Return the items open after the latest close, oldest and largest first."""
    columns = sql.SQL(", ").join(sql.Identifier(field.name) for field in fields(OpenItem))
    query = sql.SQL(
        """
        select {columns}
        from reconciliation.open_items
        where (%(channel)s::text is null or channel = %(channel)s)
            and (%(side)s::text is null or side = %(side)s)
            and (%(status)s::text is null or status = %(status)s)
            and (%(suggested_action)s::text is null or suggested_action = %(suggested_action)s)
            and (%(assigned_to)s::text is null or assigned_to = %(assigned_to)s)
            and age_days >= %(age_days_min)s
        order by age_days desc, abs(amount_minor) desc, suspense_item_id
        """
    ).format(columns=columns)
    values = {field.name: getattr(chosen, field.name) for field in fields(ItemFilter)}
    with database.connect(settings) as connection:
        _require_tables(connection)
        with connection.cursor(row_factory=class_row(OpenItem)) as cursor:
            return cursor.execute(query, values).fetchall()


def item_history(settings: Settings, item_id: str) -> list[Mapping[str, Any]]:
    """Return the item's row of every date it stood in, oldest first.

    Raises:
        SuspenseError: no date knows such an item.
    """
    with database.connect(settings) as connection:
        _require_tables(connection)
        with connection.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(
                "select * from reconciliation.suspense_items where suspense_item_id = %s"
                " order by accounting_date",
                [item_id],
            ).fetchall()
    if not rows:
        raise _no_such_item(item_id)
    return list(rows)


def next_open_date(settings: Settings) -> date:
    """Return the first accounting date after the latest close: where a decision takes effect.

    Raises:
        SuspenseError: nothing has been closed yet.
    """
    with database.connect(settings) as connection:
        row = connection.execute(
            "select max(accounting_date) from control.accounting_days"
            " where state in ('closed', 'sealed')"
        ).fetchone()
    if row is None or row[0] is None:
        raise SuspenseError(
            what="no accounting date has been closed yet",
            why="items open in a close",
            next_step="tieout close DATE",
        )
    latest: date = row[0]
    return latest + timedelta(days=1)


def assign(settings: Settings, item_id: str, *, to: str, by: str, reason: str) -> int:
    """Ask somebody to look after an open item; return the action's id. Needs no second person."""
    _require_open(settings, item_id)
    return _insert(
        settings,
        {
            "action_kind": "assign",
            "suspense_item_id": item_id,
            "assigned_to": to,
            "effective_on": next_open_date(settings),
            "reason": reason,
            "requested_by": by,
        },
    )


def request(
    settings: Settings,
    kind: ActionKind,
    item_id: str,
    *,
    by: str,
    reason: str,
    second_item_id: str | None = None,
    account_id: str | None = None,
    effective_on: date | None = None,
) -> int:
    """Ask for a decision about an open item; return the action's id.

    It has no effect before another person approves it. ``effective_on`` is by default the next date
    to be closed.

    Raises:
        SuspenseError: an item is not open, the two items do not fit, the date is closed, or
            the item has a decision for that date.
    """
    first = _require_open(settings, item_id)
    if second_item_id is not None:
        _require_fit(kind, first, _require_open(settings, second_item_id))
    return _insert(
        settings,
        {
            "action_kind": kind,
            "suspense_item_id": item_id,
            "second_item_id": second_item_id,
            "account_id": account_id,
            "effective_on": effective_on or next_open_date(settings),
            "reason": reason,
            "requested_by": by,
        },
    )


def approve(settings: Settings, action_id: int, *, by: str) -> Decision:
    """Approve another person's decision; return it.

    Raises:
        SuspenseError: there is no such decision, it is one's own or approved already, or its
            date is closed.
    """
    try:
        with database.connect(settings) as connection:
            connection.execute(
                "insert into reconciliation.action_approvals (action_id, approved_by)"
                " values (%s, %s)",
                [action_id, by],
            )
    except psycopg.errors.UniqueViolation as error:
        raise SuspenseError(
            what=f"decision {action_id} is approved already",
            next_step="tieout suspense decisions",
        ) from error
    except psycopg.errors.ForeignKeyViolation as error:
        raise SuspenseError(
            what=f"there is no decision {action_id}",
            next_step="tieout suspense decisions lists them",
        ) from error
    except psycopg.Error as error:
        raise _refused(f"decision {action_id} is not approved", error) from error
    return next(found for found in decisions(settings) if found.action_id == action_id)


def decisions(settings: Settings) -> list[Decision]:
    """Return every decision that was asked for, newest first, with what became of it."""
    with database.connect(settings) as connection:
        _require_tables(connection)
        with connection.cursor(row_factory=class_row(Decision)) as cursor:
            return cursor.execute(
                """
                select
                    actions.action_id,
                    actions.action_kind,
                    actions.suspense_item_id,
                    actions.second_item_id,
                    actions.account_id,
                    actions.effective_on,
                    actions.reason,
                    actions.requested_by,
                    approvals.approved_by,
                    applied.is_applied,
                    applied.refused_because
                from reconciliation.actions as actions
                left join reconciliation.action_approvals as approvals
                    on actions.action_id = approvals.action_id
                left join reconciliation.applied_actions as applied
                    on actions.action_id = applied.action_id
                    and actions.effective_on = applied.accounting_date
                where actions.action_kind <> 'assign'
                order by actions.action_id desc
                """
            ).fetchall()


def _insert(settings: Settings, values: Mapping[str, object]) -> int:
    item_id = values["suspense_item_id"]
    try:
        with database.connect(settings) as connection:
            return database.insert(
                connection, "reconciliation.actions", values, returning="action_id"
            )
    except psycopg.errors.UniqueViolation as error:
        raise SuspenseError(
            what=f"{item_id} has a decision for {values['effective_on']} already",
            why="two decisions of one date about one item would have no order",
            next_step="tieout suspense decisions; or --on another date",
        ) from error
    except psycopg.Error as error:
        raise _refused(f"nothing is decided about {item_id}", error) from error


def _refused(what: str, error: psycopg.Error) -> SuspenseError:
    return database.refusal(SuspenseError, what, error, next_step="see tieout suspense --help")


def _require_open(settings: Settings, item_id: str) -> OpenItem:
    for item in open_items(settings):
        if item.suspense_item_id == item_id:
            return item
    last = item_history(settings, item_id)[-1]
    raise SuspenseError(
        what=f"{item_id} is not open",
        why=f"it was {last['status']} on {last['accounting_date']}",
        next_step="tieout suspense list shows the open ones",
    )


def _require_fit(kind: ActionKind, first: OpenItem, second: OpenItem) -> None:
    same = (first.channel, first.currency_code) == (second.channel, second.currency_code)
    if kind == "pair":
        fits = same and first.side != second.side and first.amount_minor == second.amount_minor
        rule = "a pair is an item of each side with the same channel, currency and amount"
    else:
        fits = same and first.side == second.side and first.amount_minor == -second.amount_minor
        rule = "two items offset each other when side, channel and currency are the same and their"
        rule += " amounts cancel"
    if not fits:
        raise SuspenseError(
            what=f"{first.suspense_item_id} and {second.suspense_item_id} do not fit",
            why=rule,
            next_step="tieout suspense show ITEM",
        )


def _require_tables(connection: psycopg.Connection[Any]) -> None:
    if not database.has_table(connection, "reconciliation.open_items"):
        raise SuspenseError(
            what="no accounting date has been closed yet",
            why="items open in a close",
            next_step="tieout close DATE",
        )


def _no_such_item(item_id: str) -> SuspenseError:
    return SuspenseError(
        what=f"there is no item {item_id}",
        why="an item is S: and a voucher's id, or C: and a file's id with the line",
        next_step="tieout suspense list shows the open ones",
    )
