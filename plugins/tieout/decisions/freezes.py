"""Freezes and people: see what is frozen and waits, add, release, write off, two people for each.

A decision counts from an accounting date that is still open, and the next payment date that is
computed reads it; what was paid before it stays as it is (docs/domain.md#register-of-freezes).
Functions of the database's owner keep both logins and refuse what is too much or too late
(migration 0043). Nothing here is ever changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any, Final, LiteralString

import psycopg
from psycopg.rows import class_row

from tieout import database
from tieout.core.errors import TieoutError
from tieout.core.settings import Settings
from tieout.decisions import suspense
from tieout.decisions.functions import Desk

__all__ = [
    "KINDS",
    "Decision",
    "Freeze",
    "FreezeError",
    "WaitingCharge",
    "Wanted",
    "add",
    "approve",
    "decisions",
    "in_force",
    "release",
    "waiting_charges",
    "write_off",
]

KINDS: Final = {
    "judicial": "a court or an authority ordered it 司法冻结",
    "risk": "under review 风控冻结",
    "own_charge": "for a charge of ours 扣款冻结",
    "merchant_request": "the merchant asked for it 商户申请",
}
"""Kinds of freezes, in the order in which they take."""


class FreezeError(TieoutError):
    """Nothing is frozen, released or written off as asked."""


_DESK: Final = Desk(FreezeError, "control.freeze_requests", "see tieout freezes --help")


@dataclass(frozen=True, slots=True)
class Freeze:
    """A freeze in force on the latest payment date; amounts are minor units.

    ``covered_minor`` is what it found, over the account's statements.
    """

    payment_date: date
    freeze_id: str
    source: str
    freeze_kind: str
    account_id: str
    currency_code: str
    settlement_session_type: str | None
    ordered_amount_minor: int
    frozen_amount_minor: int
    covered_minor: int
    order_number: str | None
    issued_by: str | None
    effective_from: date
    effective_to: date | None
    contradiction: str | None


@dataclass(frozen=True, slots=True)
class WaitingCharge:
    """A charge that waits for its balance after the latest payment date; minor units."""

    payment_date: date
    entry_id: str
    account_id: str
    currency_code: str
    closing_amount_minor: int
    waits_since: date
    age_days: int


@dataclass(frozen=True, slots=True)
class Decision:
    """What one person asked for, and who approved it; the amount is in minor units."""

    request_id: int
    action: str
    freeze_id: str
    account_id: str
    currency_code: str
    amount_minor: int
    freeze_kind: str | None
    effective_on: date
    effective_to: date | None
    reason: str
    requested_by: str
    approved_by: str | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """A freeze that a person asks for; ``amount_minor`` is in minor units of its currency.

    ``effective_on``: from which accounting date it counts; None: the next one to be closed.
    ``effective_to``: the first day it is no longer in force.
    """

    freeze_kind: str
    account_id: str
    currency_code: str
    amount_minor: int
    order_number: str | None = None
    issued_by: str | None = None
    settlement_session_type: str | None = None
    effective_on: date | None = None
    effective_to: date | None = None


_IN_FORCE: LiteralString = """
    select
        freezes.payment_date, freezes.freeze_id, freezes.source, freezes.freeze_kind,
        freezes.account_id, freezes.currency_code, freezes.settlement_session_type,
        freezes.ordered_amount_minor, freezes.frozen_amount_minor,
        coalesce(
            (
                select sum(parts.covered_amount_minor)
                from settlement.freeze_parts as parts
                where parts.payment_date = freezes.payment_date
                    and parts.freeze_id = freezes.freeze_id
            ),
            0
        )::bigint as covered_minor,
        freezes.order_number, freezes.issued_by, freezes.effective_from, freezes.effective_to,
        freezes.contradiction
    from settlement.freezes as freezes
    where
        freezes.payment_date = (select max(payment_date) from settlement.freezes)
        and freezes.is_in_force
        and freezes.frozen_amount_minor > 0
        and (%(account_id)s::text is null or freezes.account_id = %(account_id)s)
    order by freezes.account_id, freezes.effective_from, freezes.freeze_id
"""

_WAITING: LiteralString = """
    select charges.payment_date, charges.entry_id, charges.account_id, charges.currency_code,
        charges.closing_amount_minor, charges.waits_since, charges.age_days
    from settlement.charges as charges
    where
        charges.payment_date = (select max(payment_date) from settlement.settlement_statements)
        and charges.charge_status = 'waiting'
        and (%(account_id)s::text is null or charges.account_id = %(account_id)s)
    order by charges.waits_since, charges.entry_id
"""

_DECISIONS: LiteralString = """
    select requests.request_id, requests.action, requests.freeze_id, requests.account_id,
        requests.currency_code, requests.amount_minor, requests.freeze_kind,
        requests.effective_on, requests.effective_to, requests.reason, requests.requested_by,
        approvals.approved_by
    from control.freeze_requests as requests
    left join control.freeze_approvals as approvals using (request_id)
    where %(request_id)s::bigint is null or requests.request_id = %(request_id)s
    order by requests.request_id desc
"""


def in_force(settings: Settings, account_id: str | None = None) -> list[Freeze]:
    """Return the freezes in force on the latest payment date, of one account or of all.

    Raises:
        FreezeError: no payment date has been computed yet.
    """
    with (
        database.connect(settings) as connection,
        connection.cursor(row_factory=class_row(Freeze)) as cursor,
    ):
        _require_tables(connection)
        return cursor.execute(_IN_FORCE, {"account_id": account_id}).fetchall()


def waiting_charges(settings: Settings, account_id: str | None = None) -> list[WaitingCharge]:
    """Return the charges that wait after the latest payment date, oldest first.

    Raises:
        FreezeError: no payment date has been computed yet.
    """
    with (
        database.connect(settings) as connection,
        connection.cursor(row_factory=class_row(WaitingCharge)) as cursor,
    ):
        _require_tables(connection)
        return cursor.execute(_WAITING, {"account_id": account_id}).fetchall()


def decisions(settings: Settings, request_id: int | None = None) -> list[Decision]:
    """Return what people asked for, newest first, or one request."""
    with (
        database.connect(settings) as connection,
        connection.cursor(row_factory=class_row(Decision)) as cursor,
    ):
        return cursor.execute(_DECISIONS, {"request_id": request_id}).fetchall()


def add(settings: Settings, wanted: Wanted, *, by: str | None, reason: str) -> int:
    """Ask to freeze a part of an account; return the request. Another person has to approve it.

    Raises:
        FreezeError: the database refuses it: no such account or currency, a judicial freeze without
            its order, no amount, a closed date, no name or reason.
    """
    return _DESK.ask(
        settings,
        "nothing is frozen",
        "select control.request_freeze(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            wanted.freeze_kind,
            wanted.account_id,
            wanted.currency_code,
            wanted.amount_minor,
            wanted.order_number,
            wanted.issued_by,
            wanted.settlement_session_type,
            wanted.effective_on or suspense.next_open_date(settings),
            wanted.effective_to,
            reason,
            by,
        ),
    )


def release(
    settings: Settings,
    freeze_id: str,
    *,
    amount_minor: int | None,
    by: str | None,
    reason: str,
    effective_on: date | None = None,
) -> int:
    """Ask to release a freeze, or a part of it in minor units; return the request.

    Raises:
        FreezeError: it is not in force, less is left of it, or the date is closed.
    """
    on = effective_on or suspense.next_open_date(settings)
    return _end(settings, ("release", freeze_id, amount_minor, on, reason, by))


def write_off(
    settings: Settings,
    entry_id: str,
    *,
    by: str | None,
    reason: str,
    effective_on: date | None = None,
) -> int:
    """Ask to write a waiting charge off; return the request.

    Raises:
        FreezeError: no such charge waits, or the date is closed.
    """
    on = effective_on or suspense.next_open_date(settings)
    return _end(settings, ("write_off", entry_id, None, on, reason, by))


def approve(settings: Settings, request_id: int, *, by: str | None) -> Decision:
    """Approve what another person asked for; return it.

    Raises:
        FreezeError: there is no such request, it is one's own or approved already, more would be
            released than is left, it is above one's limit, or its date is closed.
    """
    _DESK.ask(
        settings,
        f"request {request_id} is not approved",
        "select control.approve_freeze(%s, %s)",
        (request_id, by),
    )
    return decisions(settings, request_id)[0]


def _end(settings: Settings, asked: tuple[str, str, int | None, date, str, str | None]) -> int:
    return _DESK.ask(
        settings,
        f"nothing of {asked[1]} is ended",
        "select control.request_freeze_end(%s, %s, %s, %s, %s, %s)",
        asked,
    )


def _require_tables(connection: psycopg.Connection[Any]) -> None:
    if not database.has_table(connection, "settlement.charges"):
        raise FreezeError(
            what="no payment date has been computed yet",
            where="settlement.freezes",
            why="the register is made when a payment date is paid",
            next_step="tieout pay DATE",
        )
