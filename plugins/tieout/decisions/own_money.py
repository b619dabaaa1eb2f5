"""Own money and client money, and people: transfers between the two, and entries by hand.

A sweep takes what is ours out of the client reserve, a top-up covers it from own funds, and an
entry of the bank journal (补录) says what the bank is to show: two people for each. The close of
the decision's date books an entry, the bank journal expects it, and it explains the bank's line
(docs/decisions/0080-own-money.md). Nothing here is ever changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final, LiteralString

from psycopg.rows import class_row

from tieout import database
from tieout.core.errors import TieoutError
from tieout.core.settings import Settings
from tieout.decisions import bank_lines
from tieout.decisions.functions import Desk

__all__ = [
    "BOOKED_AS",
    "KINDS",
    "Decision",
    "OwnMoneyError",
    "OwnPart",
    "Proof",
    "approve",
    "approved_transfers",
    "decisions",
    "enter",
    "proofs",
    "transfer",
]

KINDS = {
    "fee_sweep": "自有资金划出",
    "own_funds_top_up": "自有资金补足",
    "manual_entry": "补录日记账",
}
# What the bank's line says of a transfer, as reference.bank_line_rules read it.
BANK_TEXTS = {"fee_sweep": "OWN SWEEP", "own_funds_top_up": "OWN TOPUP"}
BOOKED_AS = {
    "own_capital": "own capital put in or taken out 自有资本",
    "bank_charge": "a charge or interest of the bank 银行手续费或利息",
    "claim_on_bank": "what the bank makes good or takes back 应收银行款",
    "own_transfer": "a transfer between accounts of ours 自有账户间划转",
}


class OwnMoneyError(TieoutError):
    """Own money cannot be transferred or entered as asked."""


_DESK: Final = Desk(OwnMoneyError, "control.own_money_requests", "see tieout own-money --help")


@dataclass(frozen=True, slots=True)
class Proof:
    """The reserve proof of the latest payment date, of one currency; minor units.

    ``sweepable_minor`` is what two people may still sweep, ``missing_minor`` what a top-up has to
    bring before anybody is paid.
    """

    payment_date: date
    as_of_date: date
    currency_code: str
    reserve_minor: int | None
    own_part_minor: int | None
    difference_minor: int | None
    own_funds_minor: int | None
    own_funds_difference_minor: int
    topped_up_minor: int
    sweepable_minor: int

    @property
    def missing_minor(self) -> int:
        """What the own part lacks to be 0."""
        return max(0, -((self.own_part_minor or 0) + self.topped_up_minor))


@dataclass(frozen=True, slots=True)
class OwnPart:
    """What an account of the ledger adds to our part of the reserve, minor units."""

    currency_code: str
    ledger_account: str
    ledger_account_zh: str
    own_amount_minor: int


@dataclass(frozen=True, slots=True)
class Decision:
    """A transfer or an entry: who asked, who approved, and from when it counts."""

    request_id: int
    request_no: str
    entry_kind: str
    bank_account_id: str | None
    bank_reference: str | None
    booked_as: str | None
    currency_code: str
    amount_minor: int
    effective_on: date
    expected_on: date
    reason: str
    requested_by: str
    approved_by: str | None

    @property
    def bank_text(self) -> str:
        """What the bank's line has to say, so that it is explained."""
        if self.bank_reference is not None:
            return self.bank_reference
        return f"{BANK_TEXTS[self.entry_kind]} {self.request_no}"

    @property
    def reserve_amount_minor(self) -> int:
        """What a transfer brings the client reserve; below 0 it takes it."""
        return -self.amount_minor if self.entry_kind == "fee_sweep" else self.amount_minor


_PROOFS: LiteralString = """
    select
        proofs.payment_date,
        proofs.as_of_date,
        proofs.currency_code,
        proofs.client_reserve_amount_minor as reserve_minor,
        proofs.own_part_amount_minor as own_part_minor,
        proofs.difference_minor,
        proofs.own_funds_amount_minor as own_funds_minor,
        proofs.own_funds_difference_minor,
        proofs.topped_up_amount_minor as topped_up_minor,
        greatest(control.sweepable_minor(proofs.currency_code), 0) as sweepable_minor
    from gate.reserve_proof as proofs
    where proofs.payment_date = (select max(payment_date) from gate.reserve_proof)
    order by proofs.currency_code
"""

_PARTS: LiteralString = """
    select parts.currency_code, parts.ledger_account, chart.ledger_account_zh,
        parts.own_amount_minor
    from gate.own_parts as parts
    inner join reference.chart_of_accounts as chart using (ledger_account)
    where parts.payment_date = (select max(payment_date) from gate.reserve_proof)
    order by parts.currency_code, chart.subject_code
"""

_DECISIONS: LiteralString = """
    select requests.request_id, requests.request_no, requests.entry_kind,
        requests.bank_account_id, requests.bank_reference, requests.booked_as,
        requests.currency_code, requests.amount_minor, requests.effective_on,
        requests.expected_on, requests.reason, requests.requested_by, approvals.approved_by
    from control.own_money_requests as requests
    left join control.own_money_approvals as approvals using (request_id)
    where %(request_id)s::bigint is null or requests.request_id = %(request_id)s
    order by requests.request_id desc
"""


def proofs(settings: Settings) -> tuple[list[Proof], list[OwnPart]]:
    """Return the reserve proof of the latest payment date, and what our part of it is made of.

    Raises:
        OwnMoneyError: no payment date has been computed yet.
    """
    with database.connect(settings) as connection:
        if not database.has_table(connection, "gate.own_parts"):
            raise OwnMoneyError(
                what="no payment date has been computed yet",
                where="gate.reserve_proof",
                why="the reserve is proved when a payment date is paid",
                next_step="tieout pay DATE",
            )
        with connection.cursor(row_factory=class_row(Proof)) as cursor:
            found = cursor.execute(_PROOFS).fetchall()
        with connection.cursor(row_factory=class_row(OwnPart)) as cursor:
            return found, cursor.execute(_PARTS).fetchall()


def decisions(settings: Settings, request_id: int | None = None) -> list[Decision]:
    """Return what people asked for, newest first, or one request."""
    with (
        database.connect(settings) as connection,
        connection.cursor(row_factory=class_row(Decision)) as cursor,
    ):
        return cursor.execute(_DECISIONS, {"request_id": request_id}).fetchall()


def approved_transfers(settings: Settings, day: date) -> list[Decision]:
    """Return the approved sweeps and top-ups that count on ``day``, oldest first."""
    return [
        decision
        for decision in reversed(decisions(settings))
        if decision.entry_kind != "manual_entry"
        and decision.approved_by is not None
        and decision.effective_on <= day
    ]


def transfer(
    settings: Settings,
    entry_kind: str,
    amount_minor: int,
    currency_code: str,
    *,
    by: str | None,
    reason: str,
    effective_on: date | None = None,
) -> int:
    """Ask for a sweep or a top-up; return the request. Another person has to approve it.

    Raises:
        OwnMoneyError: the database refuses it: more than is ours, no amount, a closed date, no name
            or reason.
    """
    on = effective_on or bank_lines.next_effective_date(settings)
    return _DESK.ask(
        settings,
        "nothing is transferred",
        "select control.request_own_money(%s, null, null, null, %s, %s, %s, %s, %s, %s)",
        (entry_kind, currency_code, amount_minor, on, on, reason, by),
    )


def enter(  # noqa: PLR0917 - what an entry is made of
    settings: Settings,
    bank_account_id: str,
    bank_reference: str,
    booked_as: str,
    amount_minor: int,
    currency_code: str,
    *,
    by: str | None,
    reason: str,
    effective_on: date | None = None,
) -> int:
    """Ask for an entry of the bank journal; return the request.

    ``amount_minor``: what the bank is to show, received above 0. ``bank_reference``: the whole text
    of its line. ``booked_as`` is one of BOOKED_AS.

    Raises:
        OwnMoneyError: the database refuses it: no account of ours, client money and own money in
            one entry, a closed date, no name or reason.
    """
    on = effective_on or bank_lines.next_effective_date(settings)
    return _DESK.ask(
        settings,
        "nothing is entered",
        "select control.request_own_money('manual_entry', %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            bank_account_id, bank_reference, booked_as, currency_code, amount_minor, on, on,
            reason, by,
        ),
    )  # fmt: skip


def approve(settings: Settings, request_id: int, *, by: str | None) -> Decision:
    """Approve what another person asked for; return it.

    Raises:
        OwnMoneyError: there is no such request, it is one's own or approved already, more would be
            swept than is ours, it is above one's limit, or its date is closed.
    """
    _DESK.ask(
        settings,
        f"request {request_id} is not approved",
        "select control.approve_own_money(%s, %s)",
        (request_id, by),
    )
    return decisions(settings, request_id)[0]
