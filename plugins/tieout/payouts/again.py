"""Paying again: what failed or came back gets a new attempt, with its evidence, or waits.

Everything that a new attempt stands on is looked at by the database, in `payout.new_attempt()`: the
bank's statements, the payee in force, the reason's policy, the limits of the day. Here it is asked
for: by a run, for reasons whose policy is `retry`, and by a person for the others
(docs/domain.md#paying-again).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import date
from typing import Any, Final

import psycopg
from psycopg.rows import class_row

from tieout import database
from tieout.core.errors import TieoutError
from tieout.core.settings import Settings
from tieout.payouts import payees
from tieout.payouts.submission import SubmitReport, submit

__all__ = [
    "AgainReport",
    "Grounds",
    "NotPaidAgainError",
    "pay_again",
    "pay_again_by_policy",
    "put_out_again",
    "weigh",
]


UNWRITABLE: Final = "payee_unwritable"


class NotPaidAgainError(TieoutError):
    """A statement is not paid again; ``refusal`` is the database's word for the cause."""

    refusal: str = "refused"


@dataclass(frozen=True, slots=True)
class Grounds:
    """What a new attempt of a statement would stand on; with a ``refusal`` there is none.

    ``evidence`` is ``statement_without_debit`` after ``failed``, ``credit_line`` after
    ``returned``; the evidence's file and line name the row that proves it.
    """

    refusal: str | None
    why: str | None
    next_step: str | None
    statement_id: str
    payment_date: date | None
    currency_code: str | None
    amount_minor: int | None
    attempt_no: int | None
    previous_attempt_id: str | None
    previous_status: str | None
    reason_code: str | None
    policy: str | None
    payee_id: str | None
    payee_version: int | None
    evidence: str | None
    evidence_file_id: str | None
    evidence_line_number: int | None


@dataclass(frozen=True, slots=True)
class AgainReport:
    """What a run repeated: attempts made, and statements that wait, each with its cause."""

    attempt_ids: tuple[str, ...]
    waiting: tuple[Grounds, ...]


_COLUMNS = ", ".join(f"grounds.{field.name}" for field in fields(Grounds))

# Only what a policy repeats is weighed: the others wait for a person.
_BY_POLICY = """
    select instructions.statement_id
    from payout.open_attempts as opened
    inner join payout.attempts as attempts on opened.attempt_id = attempts.attempt_id
    inner join payout.instructions as instructions
        on attempts.instruction_id = instructions.instruction_id
    inner join lateral (
        select events.reason_code
        from payout.attempt_events as events
        where events.attempt_id = opened.attempt_id
        order by events.event_no desc
        limit 1
    ) as latest on true
    inner join reference.payee_return_reasons as reasons
        on latest.reason_code = reasons.reason_code
    where
        opened.status in ('failed', 'returned')
        and opened.since <= %(day)s
        and reasons.policy = 'retry'
        and not payout.is_held(instructions.statement_id)
    order by opened.since, instructions.statement_id
"""

# A new attempt whose file is not put out yet, of a run that was cut off, too.
_TO_PUT_OUT = """
    select distinct instructions.payment_date
    from payout.open_attempts as opened
    inner join payout.new_attempts as grounds on opened.attempt_id = grounds.attempt_id
    inner join payout.instructions as instructions
        on grounds.statement_id = instructions.statement_id
    where opened.status = 'created'
    order by instructions.payment_date
"""


def weigh(settings: Settings, statement_id: str, on: date, *, is_person: bool = True) -> Grounds:
    """Say what a new attempt of a statement on a day would stand on, or why there is none."""
    with database.connect(settings) as connection:
        return _weighed(connection, statement_id, on, is_person=is_person)


def _weighed(
    connection: psycopg.Connection[Any], statement_id: str, on: date, *, is_person: bool
) -> Grounds:
    with connection.cursor(row_factory=class_row(Grounds)) as cursor:
        found = cursor.execute(
            f"select {_COLUMNS} from payout.weigh_new_attempt(%s, %s, %s) as grounds",
            [statement_id, on, is_person],
        ).fetchone()
    assert found is not None, "the function returns one row"
    return found


def pay_again(settings: Settings, statement_id: str, on: date, *, by: str, reason: str) -> str:
    """Make a new attempt by a person's decision; return its id. `put_out_again` sends it.

    Raises:
        NotPaidAgainError: the database refuses it, or no payment file can name the payee.
    """
    grounds = _written(settings, weigh(settings.acting_as("people"), statement_id, on), on)
    if grounds.refusal == UNWRITABLE:
        raise _refused(
            UNWRITABLE,
            NotPaidAgainError(
                what="no new attempt is made",
                where=f"payee {grounds.payee_id} version {grounds.payee_version}",
                why=f"statement {statement_id} is not paid again: {grounds.why}",
                next_step=grounds.next_step or "",
            ),
        )
    with database.connect(settings.acting_as("people")) as connection:
        return _new_attempt(connection, statement_id, on, by, reason)


def pay_again_by_policy(settings: Settings, on: date) -> AgainReport:
    """Repeat what failed or came back with a reason whose policy is `retry`.

    What lacks its evidence waits; nobody is asked. Each attempt is a transaction of its own.
    """
    made: list[str] = []
    waiting: list[Grounds] = []
    with database.connect(settings, autocommit=True) as connection:
        rows = connection.execute(_BY_POLICY, {"day": on}).fetchall()
        for (statement_id,) in rows:
            # On the run's own connection: what the function plans is planned once a run.
            weighed = _weighed(connection, statement_id, on, is_person=False)
            grounds = _written(settings, weighed, on)
            if grounds.refusal is not None:
                waiting.append(grounds)
                continue
            with connection.transaction():
                made.append(_new_attempt(connection, statement_id, on, None, None))
    return AgainReport(tuple(made), tuple(waiting))


def put_out_again(settings: Settings) -> tuple[SubmitReport, ...]:
    """Put out the files of new attempts that have none yet, one report a payment date.

    Raises:
        TieoutError: of some payment dates not all could be put out (each is named); those of the
            other dates are.
    """
    with database.connect(settings) as connection:
        rows = connection.execute(_TO_PUT_OUT).fetchall()
    reports: list[SubmitReport] = []
    refused: list[TieoutError] = []
    for (payment_date,) in rows:
        try:
            reports.append(submit(settings, payment_date))
        except TieoutError as error:
            refused.append(error)
    if refused:
        raise _together(refused)
    return tuple(reports)


def _together(errors: Sequence[TieoutError]) -> TieoutError:
    """Make one error of several: all that happened and why, what to do once."""
    first, *others = errors
    if not others:
        return first
    return TieoutError(
        what="; ".join(error.what for error in errors),
        where="; ".join(error.where for error in errors),
        why="; ".join(error.why for error in errors),
        next_step="; ".join(dict.fromkeys(error.next_step for error in errors)),
    )


def _new_attempt(
    connection: psycopg.Connection[Any],
    statement_id: str,
    on: date,
    by: str | None,
    reason: str | None,
) -> str:
    try:
        row = connection.execute(
            "select payout.new_attempt(%s, %s, %s, %s)", [statement_id, on, by, reason]
        ).fetchone()
    except psycopg.errors.RestrictViolation as error:
        raise _refused(
            error.diag.constraint_name or "refused",
            database.refusal(
                NotPaidAgainError,
                "no new attempt is made",
                error,
                where="payout.new_attempt()",
                next_step=f"tieout payouts show {statement_id}",
            ),
        ) from error
    assert row is not None, "the function returns one row"
    return str(row[0])


def _refused(refusal: str, error: NotPaidAgainError) -> NotPaidAgainError:
    error.refusal = refusal
    return error


def _written(settings: Settings, grounds: Grounds, on: date) -> Grounds:
    """Refuse what no payment file can name: the attempt would never leave."""
    if grounds.refusal is not None or grounds.payee_id is None or grounds.payee_version is None:
        return grounds
    why = payees.why_not_written(
        settings.acting_as("payout"), grounds.payee_id, grounds.payee_version, on
    )
    if why is None:
        return grounds
    return replace(
        grounds,
        refusal=UNWRITABLE,
        why=f"no payment file can name its payee: {why}",
        next_step="docs/runbooks/payee-unwritable.md",
    )
