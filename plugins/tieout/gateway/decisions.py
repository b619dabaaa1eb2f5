"""Requests and approvals of Airflow's users, each as the person the user is on record as.

It calls the functions that the commands call, with the gateway's login and the name of the user
that Airflow has authenticated; the database finds the person, compares the two people and their
limits, and keeps login and user. Nothing is decided here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Final, Literal, cast

from tieout import database, gate
from tieout.core.errors import TieoutError
from tieout.core.settings import Settings
from tieout.database import persons
from tieout.decisions import bank_lines, files, restatements, suspense, terms, undo

__all__ = [
    "APPROVALS",
    "GATEWAY_VARIABLE",
    "REQUESTS",
    "Asked",
    "Kind",
    "User",
    "user_of",
    "waiting",
]

GATEWAY_VARIABLE: Final = "TIEOUT_DATABASE_URL_GATEWAY"
"""The URL of the gateway's login; the API server alone has it."""

Kind = Literal[
    "gate-release", "terms", "file", "open-item", "adjustment", "bank-line", "restatement", "undo"
]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a user asks for.

    `about` is a payment date, a file, an item, an adjustment, a bank line or, of terms, changes
    with blanks between them; `decision` is what to do with it, `other` the second item or the
    account.
    """

    about: str
    reason: str
    decision: str = ""
    other: str | None = None
    effective_on: date | None = None


@dataclass(frozen=True, slots=True)
class User:
    """An authenticated user of Airflow, the person they are, and the settings they decide with."""

    settings: Settings
    person: str


def user_of(settings: Settings, airflow_user: str) -> User:
    """Return what a user of Airflow decides with.

    Raises:
        TieoutError: the API server has no login for it, or the user is nobody who decides.
    """
    url = os.environ.get(GATEWAY_VARIABLE, "")
    if not url:
        raise TieoutError(
            what="nobody decides through this API server",
            where=GATEWAY_VARIABLE,
            why="it has no login that speaks for its users",
            next_step="tieout people gateway, and give the API server its URL",
        )
    named = {**settings.role_urls, "people": persons.speaking_for(url, airflow_user)}
    speaking = replace(settings, role_urls=named).acting_as("people")
    with database.connect(speaking) as connection:
        row = connection.execute(
            "select person from control.persons where airflow_user = %s and is_active",
            [airflow_user],
        ).fetchone()
    if row is None:
        raise TieoutError(
            what="nothing is decided",
            where="control.persons",
            why=f"the user {airflow_user} of Airflow is nobody who decides",
            next_step="tieout people add NAME --login LOGIN --airflow-user USER",
        )
    return User(speaking, str(row[0]))


def _gate_release(user: User, asked: Asked) -> int:
    return gate.request_release(user.settings, _date(asked.about), asked.reason, by=user.person)


def _terms(user: User, asked: Asked) -> int:
    decision = _one_of(asked.decision or "approve", ("approve", "reject"))
    if asked.about in {"first_date_list", "reference_data"}:
        wanted = terms.Wanted(cast(terms.Subject, asked.about), cast(terms.Decision, decision))
    else:
        wanted = terms.Wanted(
            "changes", cast(terms.Decision, decision), asked.about.split(), asked.effective_on
        )
    return terms.request(user.settings, wanted, asked.reason, user.person)


def _file(user: User, asked: Asked) -> int:
    action = cast(files.Action, _one_of(asked.decision, ("release", "reject")))
    return files.ask(user.settings, asked.about, action, asked.reason, user.person)


def _open_item(user: User, asked: Asked) -> int:
    kind = _one_of(asked.decision, ("write_off", "adjust", "offset", "pair"))
    is_account = kind == "adjust"
    return suspense.request(
        user.settings,
        cast(suspense.ActionKind, kind),
        asked.about,
        by=user.person,
        reason=asked.reason,
        second_item_id=None if is_account else asked.other,
        account_id=asked.other if is_account else None,
        effective_on=asked.effective_on,
    )


def _adjustment(user: User, asked: Asked) -> int:
    kind = _one_of(asked.decision, ("charge", "absorb", "tie"))
    return suspense.dispose(
        user.settings,
        cast(suspense.AdjustmentKind, kind),
        asked.about,
        by=user.person,
        reason=asked.reason,
        item_id=asked.other if kind == "tie" else None,
        account_id=asked.other if kind == "charge" else None,
        effective_on=asked.effective_on,
    )


def _bank_line(user: User, asked: Asked) -> int:
    return bank_lines.take(
        user.settings,
        asked.about,
        taken_as=asked.decision,
        by=user.person,
        reason=asked.reason,
        effective_on=asked.effective_on,
    )


def _restatement(user: User, asked: Asked) -> int:
    return restatements.ask(user.settings, _date(asked.about), by=user.person, reason=asked.reason)


def _undo(user: User, asked: Asked) -> int:
    return undo.ask(user.settings, _date(asked.about), by=user.person, reason=asked.reason)


REQUESTS: Final[Mapping[Kind, Callable[[User, Asked], int]]] = {
    "gate-release": _gate_release,
    "terms": _terms,
    "file": _file,
    "open-item": _open_item,
    "adjustment": _adjustment,
    "bank-line": _bank_line,
    "restatement": _restatement,
    "undo": _undo,
}


def _approve_release(user: User, number: int) -> str:
    decided = gate.approve_release(user.settings, number, by=user.person)
    return f"the payment of {decided.payment_date} goes on"


def _approve_terms(user: User, number: int) -> str:
    decided = terms.approve_request(user.settings, number, user.person)
    return f"taken over by the close of {decided.effective_on}" if decided.effective_on else "done"


def _approve_file(user: User, number: int) -> str:
    agreed = files.approve(user.settings, number, user.person)
    return f"tieout quarantine countersign {number} carries out: {agreed.action} {agreed.file_id}"


def _approve_item(user: User, number: int) -> str:
    decided = suspense.approve(user.settings, number, by=user.person)
    return f"taken over by the close of {decided.effective_on}"


def _approve_bank_line(user: User, number: int) -> str:
    decided = bank_lines.approve(user.settings, number, by=user.person)
    return f"taken over by the close of {decided.effective_on}"


def _approve_restatement(user: User, number: int) -> str:
    restatements.approve(user.settings, number, by=user.person)
    return "the next landing books it"


def _approve_undo(user: User, number: int) -> str:
    undone = undo.approve(user.settings, number, by=user.person)
    return f"{undone.payout_count} payouts of {undone.payment_date} are undone"


APPROVALS: Final[Mapping[Kind, Callable[[User, int], str]]] = {
    "gate-release": _approve_release,
    "terms": _approve_terms,
    "file": _approve_file,
    "open-item": _approve_item,
    "adjustment": _approve_item,
    "bank-line": _approve_bank_line,
    "restatement": _approve_restatement,
    "undo": _approve_undo,
}


def waiting(user: User) -> list[dict[str, Any]]:
    """Return what waits for a second person: kind, number, what about, by whom, and why."""
    found: list[dict[str, Any]] = [
        _line("gate-release", one.release_id, str(one.payment_date), one.requested_by, one.reason)
        for one in gate.waiting_releases(user.settings)
    ]
    found += [
        _line(
            "terms",
            one.request_id,
            " ".join(one.change_ids) or one.subject,
            one.requested_by,
            one.reason,
        )
        for one in terms.waiting_requests(user.settings)
    ]
    found += [
        _line("file", one.request_id, one.file_id, one.requested_by, one.reason)
        for one in files.waiting(user.settings)
        if one.approved_by is None
    ]
    return found


def _line(kind: Kind, number: int, about: str, by: str, reason: str) -> dict[str, Any]:
    return {"kind": kind, "number": number, "about": about, "requested_by": by, "reason": reason}


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise _unclear(text, "a date is written YYYY-MM-DD") from error


def _one_of(decision: str, known: tuple[str, ...]) -> str:
    if decision not in known:
        raise _unclear(decision, f"it is one of {', '.join(known)}")
    return decision


def _unclear(text: str, why: str) -> TieoutError:
    return TieoutError(
        what="nothing is decided", where=repr(text), why=why, next_step="see tieout --help"
    )
