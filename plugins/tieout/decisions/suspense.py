"""Open items, suspended adjustments and people: see, assign, decide, approve each other.

A decision is asked for by one person and approved by another; it takes effect in the close of a
date that is not closed yet (docs/reconciliation.md 4). The database keeps both names and refuses
what is too late or approved by the same person (migrations 0005 and 0020); nothing here is ever
changed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date, timedelta
from typing import Any, Literal

import psycopg
from psycopg import sql
from psycopg.rows import class_row, dict_row

from tieout import database
from tieout.core.errors import TieoutError
from tieout.core.settings import Settings
from tieout.dates import days

__all__ = [
    "ActionKind",
    "AdjustmentKind",
    "Decision",
    "ItemFilter",
    "OpenItem",
    "SuspendedAdjustment",
    "SuspenseError",
    "adjustment_history",
    "approve",
    "assign",
    "decisions",
    "dispose",
    "item_history",
    "next_open_date",
    "open_items",
    "request",
    "suspended_adjustments",
]

ActionKind = Literal["pair", "offset", "adjust", "write_off"]
AdjustmentKind = Literal["charge", "absorb", "tie"]
ADJUSTMENT = "A:"


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
class SuspendedAdjustment:
    """An adjustment record that was still suspended after the latest close.

    `subject` is what decisions call it: A: and the record's file and line. `funds_effect_minor` is
    + where the channel paid us. `action_id` is a decision that waits for its second person or date.
    """

    subject: str
    accounting_date: date
    channel: str
    adjustment_type: str
    currency_code: str
    funds_effect_minor: int
    suspended_on: date
    age_days: int
    suspended_reason: str | None
    original_voucher_id: str | None
    action_id: int | None
    action_kind: str | None
    effective_on: date | None
    is_approved: bool | None


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


def suspended_adjustments(settings: Settings) -> list[SuspendedAdjustment]:
    """Return the adjustments still suspended after the latest close, oldest and largest first."""
    query = """
        with closed_dates as (
            select max(accounting_date) as accounting_date
            from control.accounting_days
            where state in ('closed', 'sealed')
        )

        select
            'A:' || suspended.adjustment_id as subject,
            suspended.accounting_date,
            suspended.channel,
            suspended.adjustment_type,
            suspended.currency_code,
            suspended.funds_effect_minor,
            suspended.suspended_on,
            suspended.age_days,
            taken.suspended_reason,
            taken.original_voucher_id,
            waiting.action_id,
            waiting.action_kind,
            waiting.effective_on,
            waiting.is_approved
        from closed_dates
        inner join clearing.suspended_adjustments as suspended
            on closed_dates.accounting_date = suspended.accounting_date
        inner join clearing.channel_adjustments as taken
            on suspended.suspended_on = taken.accounting_date
            and suspended.adjustment_id = taken.adjustment_id
        left join lateral (
            select
                actions.action_id,
                actions.action_kind,
                actions.effective_on,
                approvals.action_id is not null as is_approved
            from reconciliation.actions
            left join reconciliation.action_approvals as approvals
                on actions.action_id = approvals.action_id
            where actions.suspense_item_id = 'A:' || suspended.adjustment_id
                and actions.effective_on > suspended.accounting_date
            order by actions.effective_on, actions.action_id
            limit 1
        ) as waiting on true
        where suspended.status = 'suspended'
        order by suspended.age_days desc, abs(suspended.funds_effect_minor) desc, subject
        """
    with database.connect(settings) as connection:
        _require_tables(connection)
        with connection.cursor(row_factory=class_row(SuspendedAdjustment)) as cursor:
            return cursor.execute(query).fetchall()


def adjustment_history(settings: Settings, subject: str) -> list[Mapping[str, Any]]:
    """Return the row of a suspended adjustment of every date it stood in, oldest first.

    Raises:
        SuspenseError: no date suspended such an adjustment.
    """
    with database.connect(settings) as connection:
        _require_tables(connection)
        with connection.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(
                "select * from clearing.suspended_adjustments where adjustment_id = %s"
                " order by accounting_date",
                [subject.removeprefix(ADJUSTMENT)],
            ).fetchall()
    if not rows:
        raise SuspenseError(
            what=f"there is no suspended adjustment {subject}",
            why="an adjustment is A: and its record's file with the line",
            next_step="tieout suspense adjustments lists those that wait",
        )
    return list(rows)


def next_open_date(settings: Settings) -> date:
    """Return the first accounting date after the latest close: where a decision takes effect.

    Raises:
        SuspenseError: nothing has been closed yet.
    """
    latest = days.last_closed(settings)
    if latest is None:
        raise SuspenseError(
            what="no accounting date has been closed yet",
            why="items open in a close",
            next_step="tieout close DATE",
        )
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

    An item that is to be charged (``adjust``) may be written off, as long as it is held.

    Raises:
        SuspenseError: an item is not open (nor held), the two items do not fit, the account has no
            contract in force, the date is closed, or the item has a decision for that date.
    """
    effective_on = effective_on or next_open_date(settings)
    if account_id is not None and _written_off(settings, item_id):
        _require_held(settings, item_id, account_id)
    else:
        first = _require_open(settings, item_id)
        if second_item_id is not None:
            _require_fit(kind, first, _require_open(settings, second_item_id))
        if account_id is not None:
            _require_booked_for(settings, first, account_id, effective_on)
    if account_id is not None:
        _require_contract(settings, account_id, effective_on)
    return _insert(
        settings,
        {
            "action_kind": kind,
            "suspense_item_id": item_id,
            "second_item_id": second_item_id,
            "account_id": account_id,
            "effective_on": effective_on,
            "reason": reason,
            "requested_by": by,
        },
    )


def dispose(
    settings: Settings,
    kind: AdjustmentKind,
    adjustment: str,
    *,
    by: str,
    reason: str,
    item_id: str | None = None,
    account_id: str | None = None,
    effective_on: date | None = None,
) -> int:
    """Ask for a decision about a suspended adjustment; return the action's id.

    ``charge`` needs the account, ``tie`` the item. It has no effect before another person approves
    it. ``effective_on`` is by default the next date to be closed.

    Raises:
        SuspenseError: the adjustment is not suspended, the account has no contract in force, the
            item is not open or needs another sum, the date is closed, or one of the two has a
            decision for that date.
    """
    effective_on = effective_on or next_open_date(settings)
    suspended = _require_suspended(settings, adjustment)
    if account_id is not None:
        _require_contract(settings, account_id, effective_on)
    if item_id is not None:
        _require_need(settings, suspended, _require_open(settings, item_id))
    return _insert(
        settings,
        {
            "action_kind": kind,
            "suspense_item_id": suspended.subject,
            "second_item_id": item_id,
            "account_id": account_id,
            "effective_on": effective_on,
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
            what=f"{_taken_of(error, item_id)} has a decision for {values['effective_on']} already",
            why="two decisions of one date about one item would have no order",
            next_step="tieout suspense decisions; or --on another date",
        ) from error
    except psycopg.Error as error:
        raise _refused(f"nothing is decided about {item_id}", error) from error


def _taken_of(error: psycopg.Error, item_id: object) -> object:
    """Of two items the one that has a decision: the database names it."""
    found = re.search(
        r"\(suspense_item_id, effective_on\)=\((.+), [^,]+\)", error.diag.message_detail or ""
    )
    return found.group(1) if found else item_id


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


def _require_suspended(settings: Settings, adjustment: str) -> SuspendedAdjustment:
    subject = ADJUSTMENT + adjustment.removeprefix(ADJUSTMENT)
    for suspended in suspended_adjustments(settings):
        if suspended.subject == subject:
            return suspended
    last = adjustment_history(settings, subject)[-1]
    decided = f" by decision {last['decision_id']} ({last['approvers']})"
    raise SuspenseError(
        what=f"{subject} is not suspended any more",
        why=f"it was {last['status']} on {last['accounting_date']}"
        + (decided if last["decision_id"] else ""),
        next_step="tieout suspense adjustments lists those that wait",
    )


def _require_need(settings: Settings, suspended: SuspendedAdjustment, item: OpenItem) -> None:
    """An item ends whole: the adjustment has to be of its channel and currency, and of its need."""
    who = f"{suspended.subject} and {item.suspense_item_id} do not fit"
    if (suspended.channel, suspended.currency_code) != (item.channel, item.currency_code):
        raise SuspenseError(
            what=who,
            why=f"the adjustment is of {suspended.channel} in {suspended.currency_code}, the item"
            f" of {item.channel} in {item.currency_code}",
            next_step="tieout suspense list shows the open items",
        )
    needed = _needed_effect(settings, item)
    if suspended.funds_effect_minor != needed:
        more = abs(suspended.funds_effect_minor) > abs(needed)
        raise SuspenseError(
            what=who,
            why=f"the adjustment brings {suspended.funds_effect_minor} minor units, "
            f"{'more than' if more else 'not'} the {needed} that the item needs: it ends whole",
            next_step="tieout suspense charge or absorb; or another item",
        )


def _needed_effect(settings: Settings, item: OpenItem) -> int:
    """What an adjustment has to bring to end the item; of a linked pair the difference."""
    both = [item]
    for other in open_items(settings):
        if other.suspense_item_id == item.linked_item_id and other.side != item.side:
            both.append(other)
    return sum(
        found.amount_minor if found.side == "system" else -found.amount_minor for found in both
    )


def _written_off(settings: Settings, item_id: str) -> bool:
    return bool(item_history(settings, item_id)[-1]["status"] == "written_off")


def _require_held(settings: Settings, item_id: str, account_id: str) -> None:
    """A written-off item is charged as long as it is held, and to whom it is held from."""
    held = _hold_of(settings, item_id)
    charged = [
        found
        for found in decisions(settings)
        if (found.suspense_item_id, found.action_kind, found.is_applied)
        == (item_id, "adjust", True)
    ]
    if charged:
        raise SuspenseError(
            what=f"{item_id} was charged already",
            why=f"decision {charged[0].action_id} of {charged[0].effective_on} did",
            next_step="tieout suspense show ITEM",
        )
    if held is None:
        raise SuspenseError(
            what=f"{item_id} is written off, and nothing is held for it",
            why="the hold of a written-off item stands on the statement of the next payment date",
            next_step="tieout pay DATE, if the write-off is newer than the latest payment",
        )
    if held != account_id:
        raise SuspenseError(
            what=f"{item_id} is held from account {held}, not from {account_id}",
            why="what is charged ends the hold on the same statement",
            next_step=f"tieout suspense adjust {item_id} --account {held}",
        )


def _hold_of(settings: Settings, item_id: str) -> str | None:
    """The account that a written-off item is held from since the latest payment, if it is."""
    with database.connect(settings) as connection:
        if not database.has_table(connection, "settlement.holds"):
            return None
        row = connection.execute(
            "select account_id from settlement.holds"
            " where payment_date = (select max(payment_date) from settlement.holds)"
            " and entry_id = %s and reason = 'written_off' and is_open"
            " and closing_amount_minor > 0",
            [item_id.replace("S:", "T:", 1) if item_id.startswith("S:") else item_id],
        ).fetchone()
    return None if row is None else str(row[0])


def _require_booked_for(
    settings: Settings, item: OpenItem, account_id: str, effective_on: date
) -> None:
    """What the platform booked for an account with a contract is charged to no other."""
    booked = item.account_id
    if item.side != "system" or booked is None or booked == account_id:
        return
    if _has_contract(settings, booked, effective_on):
        raise SuspenseError(
            what=f"the platform booked {item.suspense_item_id} for account {booked}, "
            f"not for {account_id}",
            why="another account would be charged for what it never got",
            next_step=f"tieout suspense adjust {item.suspense_item_id} --account {booked}",
        )


def _has_contract(settings: Settings, account_id: str, effective_on: date) -> bool:
    """By the terms of the latest close; the close of the date itself asks its own again."""
    latest = next_open_date(settings) - timedelta(days=1)
    with database.connect(settings) as connection:
        row = connection.execute(
            "select count(*) from clearing.contract_terms"
            " where accounting_date = %(latest)s and is_in_force and account_id = %(account)s"
            " and effective_from <= %(on)s"
            " and (goes_on or effective_to is null or effective_to > %(on)s)",
            {"latest": latest, "account": account_id, "on": effective_on},
        ).fetchone()
    return row is not None and row[0] > 0


def _require_contract(settings: Settings, account_id: str, effective_on: date) -> None:
    if not _has_contract(settings, account_id, effective_on):
        latest = next_open_date(settings) - timedelta(days=1)
        raise SuspenseError(
            what=f"account {account_id} has no contract in force on {effective_on}",
            why=f"no terms of {latest} name it for that date",
            next_step="name the account of a contract in force; tieout terms --help",
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
