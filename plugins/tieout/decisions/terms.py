"""Terms and people: what changed, what waits, and what two people decide about it.

A change of a contract, fee rule or payee that may pay a merchant more waits for two people; the old
terms stand meanwhile. A decision takes effect in the close of a date that is not closed yet, and a
confirmed payee at the next payment (docs/decisions/0040-terms-change-by-approval.md). The first
date's terms are one list, and the reference data is approved with it
(docs/decisions/0041-first-list-and-reference-data-are-approved.md). The database keeps both names,
refuses one person twice and what is too late (migration 0015); nothing here is ever changed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date
from typing import Any, Literal, LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from tieout import database
from tieout.core.errors import TieoutError
from tieout.core.people import person_key
from tieout.core.settings import Settings
from tieout.decisions import suspense

__all__ = [
    "Approval",
    "FirstDateList",
    "TermChange",
    "TermRequest",
    "TermsError",
    "TwoPeople",
    "Wanted",
    "approvals",
    "approve_first_date",
    "approve_reference",
    "approve_request",
    "changes",
    "decide",
    "find_changes",
    "first_date_list",
    "reference_differences",
    "reference_sha256_of",
    "request",
    "waiting_requests",
]

Decision = Literal["approve", "reject"]
Subject = Literal["changes", "first_date_list", "reference_data"]


class TermsError(TieoutError):
    """Nothing can be decided about terms as asked."""


@dataclass(frozen=True, slots=True)
class TermChange:
    """One row of `clearing.term_changes` of the latest close; contents hold no clear numbers."""

    accounting_date: date
    change_id: str
    term_kind: str
    term_key: str
    account_id: str | None
    change_kind: str
    change_state: str
    changed_on: date
    pays_more: bool
    content_before: Mapping[str, Any] | None
    content_delivered: Mapping[str, Any] | None

    def differences(self) -> dict[str, tuple[Any, Any]]:
        """Return what differs, field by field: before and as delivered; all of it where new."""
        before, after = self.content_before or {}, self.content_delivered or {}
        names = [*before, *(name for name in after if name not in before)]
        return {
            name: (before.get(name), after.get(name))
            for name in names
            if before.get(name) != after.get(name)
        }


@dataclass(frozen=True, slots=True)
class TwoPeople:
    """Who decided, and why."""

    first: str
    second: str
    reason: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be decided; changes have their ids and the date whose close takes them over."""

    subject: Subject
    decision: Decision = "approve"
    change_ids: Sequence[str] = ()
    effective_on: date | None = None


@dataclass(frozen=True, slots=True)
class TermRequest:
    """What one person asks for; it counts when another one approves it."""

    request_id: int
    subject: str
    decision: str
    change_ids: Sequence[str]
    effective_on: date | None
    reason: str
    requested_by: str


@dataclass(frozen=True, slots=True)
class FirstDateList:
    """The first date's terms: how many of each, their number, and whether two people approved."""

    first_accounting_date: date
    first_list_sha256: str
    is_approved: bool
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Approval:
    """A decision that was taken."""

    approval_id: int
    subject: str
    decision: str
    approved_by_first: str
    approved_by_second: str
    reason: str
    effective_on: date | None
    change_ids: Sequence[str]


def changes(
    settings: Settings,
    states: Collection[str] = ("waiting",),
    accounting_date: date | None = None,
) -> list[TermChange]:
    """Return a close's changes that are in one of ``states``, by account and term.

    ``accounting_date`` is by default the latest that was closed.
    """
    columns = sql.SQL(", ").join(sql.Identifier(field.name) for field in fields(TermChange))
    query = sql.SQL(
        """
        select {columns}
        from clearing.term_changes
        where accounting_date = coalesce(
                %s, (select max(accounting_date) from clearing.term_lists)
            )
            and change_state = any(%s)
        order by account_id, term_kind, term_key, change_id
        """
    ).format(columns=columns)
    with database.connect(settings) as connection:
        _require_tables(connection)
        with connection.cursor(row_factory=class_row(TermChange)) as cursor:
            return cursor.execute(query, [accounting_date, list(states)]).fetchall()


def find_changes(settings: Settings, names: Sequence[str]) -> list[TermChange]:
    """Return the waiting or rejected changes that names stand for, each once.

    A name is a change's id, the beginning of one (`contract:C000006-2`), or an account's id, which
    stands for all that waits for it. With a new contract come the new fee rules of its account.

    Raises:
        TermsError: a name stands for no change, or the beginning of an id for several terms.
    """
    known = changes(settings, ("waiting", "rejected"))
    found: dict[str, TermChange] = {}
    for name in names:
        fitting = _fitting(known, name)
        for change in fitting:
            found[change.change_id] = change
            if change.term_kind == "contract" and change.change_kind == "new":
                found |= {
                    other.change_id: other
                    for other in known
                    if other.account_id == change.account_id
                    and other.term_kind == "fee_rate"
                    and (other.content_delivered or {}).get("contract_id") == change.term_key
                }
    return sorted(found.values(), key=lambda change: change.change_id)


def _fitting(known: Sequence[TermChange], name: str) -> list[TermChange]:
    of_account = [
        change for change in known if change.account_id == name and change.change_state == "waiting"
    ]
    by_id = [
        change
        for change in known
        if change.change_id == name or change.change_id.startswith(f"{name}:")
    ]
    if of_account or by_id:
        return of_account or by_id
    raise TermsError(
        what=f"no change waits that {name!r} stands for",
        where="clearing.term_changes of the latest close",
        next_step="tieout terms list",
    )


def decide(
    settings: Settings,
    decision: Decision,
    change_ids: Sequence[str],
    people: TwoPeople,
    effective_on: date | None = None,
) -> date:
    """Approve or reject changes by two names; return the accounting date whose close takes it over.

    ``effective_on`` is by default the next date to be closed. A payee confirmed until then is paid
    from the next payment on. Where people have logins, one asks (`request`) and another approves.

    Raises:
        TermsError: no such change, one person twice, no reason, or the date is closed.
    """
    _require_two(people)
    wanted = _complete(settings, Wanted("changes", decision, change_ids, effective_on))
    assert wanted.effective_on is not None
    _by_both(settings, people, wanted)
    return wanted.effective_on


def request(settings: Settings, wanted: Wanted, reason: str, by: str | None = None) -> int:
    """Ask, as the first of two people, for a decision about terms; return the request's number.

    Args:
        settings: the home, as the person's own login.
        wanted: what is to be decided; changes are by default taken over by the next close.
        reason: why, for those who read it later.
        by: the person's name; the login's where people have logins.

    Raises:
        TermsError: no such change, no reason, a closed date, or a login of nobody's.
    """
    wanted = _complete(settings, wanted)
    with database.connect(settings) as connection:
        return _asked(connection, wanted, reason, by)


def approve_request(settings: Settings, request_id: int, by: str | None = None) -> TermRequest:
    """Decide, as the second person, what another one has asked for; return what that was.

    Raises:
        TermsError: no such request, the person's own, or what it is about has changed.
    """
    with database.connect(settings) as connection:
        _approved(connection, request_id, by)
        return _requests(connection, request_id)[0]


def waiting_requests(settings: Settings) -> list[TermRequest]:
    """Return what was asked for about terms and nobody has approved, the oldest first."""
    with database.connect(settings) as connection:
        return _requests(connection, None)


def _requests(connection: psycopg.Connection[Any], request_id: int | None) -> list[TermRequest]:
    with connection.cursor(row_factory=class_row(TermRequest)) as cursor:
        return cursor.execute(
            """
            select requests.request_id, requests.subject, requests.decision, requests.change_ids,
                requests.effective_on, requests.reason, requests.requested_by
            from control.term_requests as requests
            where
                requests.request_id = %(request_id)s
                or %(request_id)s::bigint is null
                and not exists (
                    select 1
                    from control.term_approvals as approvals
                    where approvals.request_id = requests.request_id
                )
            order by requests.request_id
            """,
            {"request_id": request_id},
        ).fetchall()


def _complete(settings: Settings, wanted: Wanted) -> Wanted:
    """Return what is wanted with its date; refuse changes that do not wait."""
    if wanted.subject != "changes":
        return wanted
    known = {change.change_id for change in changes(settings, ("waiting", "rejected"))}
    unknown = sorted(set(wanted.change_ids) - known)
    if unknown or not wanted.change_ids:
        raise TermsError(
            what=f"nothing is decided: no such change waits: {', '.join(unknown) or 'none named'}",
            where="clearing.term_changes of the latest close",
            next_step="tieout terms list",
        )
    return replace(wanted, effective_on=wanted.effective_on or suspense.next_open_date(settings))


def first_date_list(settings: Settings) -> FirstDateList:
    """Return the first date's list as the latest close carries it.

    Raises:
        TermsError: nothing has been closed yet.
    """
    with database.connect(settings) as connection:
        _require_tables(connection)
        row = connection.execute(
            """
            select lists.first_accounting_date, lists.first_list_sha256,
                exists (
                    select 1 from control.term_approvals as approvals
                    where approvals.subject = 'first_date_list'
                        and approvals.list_sha256 = lists.first_list_sha256
                )
            from clearing.term_lists as lists
            order by lists.accounting_date desc
            limit 1
            """
        ).fetchone()
        if row is None or row[0] is None:
            raise _nothing_closed()
        counts = {
            name: _count(connection, table, row[0])
            for name, table in (
                ("contracts", "clearing.contract_terms"),
                ("fee rules", "clearing.fee_rate_terms"),
                ("payees", "clearing.payee_terms"),
            )
        }
        # Landed rows: who decides may count them, and not read them.
        landed = connection.execute(
            "select freezes, opening_balances from control.first_list_counts(%s)", [row[0]]
        ).fetchone()
    if landed is not None:
        counts |= {"freezes": int(landed[0]), "opening balances": int(landed[1])}
    return FirstDateList(row[0], row[1], bool(row[2]), counts)


def approve_first_date(settings: Settings, people: TwoPeople) -> FirstDateList:
    """Approve the first date's terms as one list by two names, and the reference data with it.

    Raises:
        TermsError: nothing is closed yet, one person twice, or no reason.
    """
    _require_two(people)
    first_date_list(settings)
    _by_both(settings, people, Wanted("first_date_list"))
    return first_date_list(settings)


def approve_reference(settings: Settings, people: TwoPeople) -> str:
    """Approve the reference data as it is now by two names; return its number.

    Raises:
        TermsError: one person twice, or no reason.
    """
    _require_two(people)
    return reference_sha256_of(settings, _by_both(settings, people, Wanted("reference_data")))


def reference_sha256_of(settings: Settings, request_id: int) -> str:
    """Return the number of the reference data that a request is about."""
    with database.connect(settings) as connection:
        row = connection.execute(
            "select reference_sha256 from control.term_requests where request_id = %s",
            [request_id],
        ).fetchone()
    return "" if row is None else str(row[0])


def reference_differences(
    settings: Settings,
) -> list[tuple[str, Literal["approved", "now"], Mapping[str, Any]]]:
    """Return the rows of reference data that only the approved version, or only today's, has."""
    with database.connect(settings) as connection:
        row = connection.execute(
            """
            select control.reference_content(), (
                select versions.content
                from control.term_approvals as approvals
                inner join control.reference_versions as versions
                    on approvals.reference_sha256 = versions.reference_sha256
                order by approvals.approval_id desc
                limit 1
            )
            """
        ).fetchone()
    now, approved = (row[0], row[1] or {}) if row is not None else ({}, {})
    found: list[tuple[str, Literal["approved", "now"], Mapping[str, Any]]] = []
    for table in sorted({*now, *approved}):
        there, here = approved.get(table, []), now.get(table, [])
        known, present = _as_set(there), _as_set(here)
        found += [(table, "approved", line) for line in there if _frozen(line) not in present]
        found += [(table, "now", line) for line in here if _frozen(line) not in known]
    return found


def approvals(settings: Settings) -> list[Approval]:
    """Return every decision about terms, newest first."""
    with (
        database.connect(settings) as connection,
        connection.cursor(row_factory=class_row(Approval)) as cursor,
    ):
        return cursor.execute(
            """
            select approval_id, subject, decision, approved_by_first, approved_by_second, reason,
                effective_on,
                array(
                    select items.change_id
                    from control.term_approval_items as items
                    where items.approval_id = term_approvals.approval_id
                    order by items.change_id
                ) as change_ids
            from control.term_approvals
            order by approval_id desc
            """
        ).fetchall()


def _frozen(line: Mapping[str, Any]) -> frozenset[tuple[str, Any]]:
    return frozenset(line.items())


def _as_set(lines: Sequence[Mapping[str, Any]]) -> set[frozenset[tuple[str, Any]]]:
    return {_frozen(line) for line in lines}


def _count(connection: psycopg.Connection[Any], table: str, day: date) -> int:
    query = sql.SQL("select count(*) from {} where accounting_date = %s")
    row = connection.execute(query.format(sql.Identifier(*table.split("."))), [day]).fetchone()
    return 0 if row is None else int(row[0])


def _by_both(settings: Settings, people: TwoPeople, wanted: Wanted) -> int:
    """Have two names decide at once, as long as nobody has a login; return the request's number."""
    with database.connect(settings) as connection:
        request_id = _asked(connection, wanted, people.reason, people.first)
        _approved(connection, request_id, people.second)
    return request_id


def _asked(connection: psycopg.Connection[Any], wanted: Wanted, reason: str, by: str | None) -> int:
    return _called(
        connection,
        "select control.request_terms(%s, %s, %s::text[], %s, %s, %s)",
        (
            wanted.subject,
            wanted.decision,
            list(wanted.change_ids),
            wanted.effective_on,
            reason,
            by,
        ),
    )


def _approved(connection: psycopg.Connection[Any], request_id: int, by: str | None) -> None:
    _called(connection, "select control.approve_terms(%s, %s)", (request_id, by))


def _called(
    connection: psycopg.Connection[Any], statement: LiteralString, values: Sequence[object]
) -> int:
    with database.explained(
        TermsError, "nothing is decided about terms", next_step="see tieout terms --help"
    ):
        row = connection.execute(statement, values).fetchone()
    return 0 if row is None else int(row[0])


def _require_two(people: TwoPeople) -> None:
    keys = (person_key(people.first), person_key(people.second))
    if not all(keys) or keys[0] == keys[1]:
        raise TermsError(
            what="nothing is decided about terms",
            why="it takes two different people, whatever the case and blanks of their names",
            next_step="name both: --by ONE --second ANOTHER",
        )
    if not people.reason.strip():
        raise TermsError(
            what="nothing is decided about terms",
            why="no reason was given",
            next_step="say why, for those who read it later: --reason TEXT",
        )


def _require_tables(connection: psycopg.Connection[Any]) -> None:
    if not database.has_table(connection, "clearing.term_lists"):
        raise _nothing_closed()


def _nothing_closed() -> TermsError:
    return TermsError(
        what="no accounting date has been closed yet",
        why="a close lists the terms and their changes",
        next_step="tieout close DATE",
    )
