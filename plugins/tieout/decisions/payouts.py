"""Payouts and people: see what is not paid and why, hold a statement, let it go again.

A person stops a statement from being paid, or paid again; another lets it go. To pay again is
`tieout.payouts.pay_again`: the database looks at its evidence. Nothing here is ever changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from psycopg.rows import class_row, dict_row

from tieout import database
from tieout.core import people
from tieout.core.errors import TieoutError
from tieout.core.settings import Settings
from tieout.dates import days

__all__ = [
    "STATES",
    "OpenPayout",
    "PayoutError",
    "business_day",
    "counts",
    "hold",
    "life",
    "look",
    "open_payouts",
    "release",
]

STATES: Final = {
    "instructed": "not attempted yet 待提交",
    "created": "its file is not put out 未出文件",
    "submitted": "at the bank 已提交",
    "accepted": "the bank has taken it 已受理",
    "unknown": "it may have been paid 结果不明",
    "failed": "refused 失败",
    "returned": "came back 退票",
}
"""What a payout that is not paid can be; a hold comes on top."""
TROUBLED: Final = ("unknown", "failed", "returned")


class PayoutError(TieoutError):
    """A payout is not shown, held or released as asked."""


@dataclass(frozen=True, slots=True)
class OpenPayout:
    """A statement whose payout is not paid: its last attempt, since when, and what holds it.

    Amounts are minor units. ``reason_code`` and ``policy`` are of the last event. ``is_overdue``:
    the day before at the latest it ought to have left, or to have been answered by the bank.
    """

    statement_id: str
    payment_date: date
    account_id: str
    currency_code: str
    amount_minor: int
    state: str
    attempt_no: int | None
    end_to_end_id: str | None
    since: date
    age_days: int
    reason_code: str | None
    policy: str | None
    inquiry_count: int
    held_by: str | None
    is_overdue: bool


_OPEN = """
    with held as (
        select distinct on (holds.statement_id)
            holds.statement_id,
            holds.held_by
        from payout.payout_holds as holds
        left join payout.payout_hold_releases as releases on holds.hold_id = releases.hold_id
        where releases.hold_id is null
        order by holds.statement_id, holds.hold_id
    ),

    last_attempts as (
        select
            instructions.statement_id,
            instructions.payment_date,
            instructions.account_id,
            instructions.currency_code,
            instructions.amount_minor,
            opened.status as state,
            attempts.attempt_no,
            attempts.end_to_end_id,
            opened.since,
            attempts.submitted_on as sent_on,
            latest.reason_code,
            (
                select count(*)
                from payout.inquiries as inquiries
                where inquiries.attempt_id = opened.attempt_id
            ) as inquiry_count
        from payout.open_attempts as opened
        inner join payout.attempts as attempts on opened.attempt_id = attempts.attempt_id
        inner join payout.instructions as instructions
            on attempts.instruction_id = instructions.instruction_id
        left join lateral (
            select events.reason_code
            from payout.attempt_events as events
            where events.attempt_id = opened.attempt_id
            order by events.event_no desc
            limit 1
        ) as latest on true
        union all
        select
            instructions.statement_id,
            instructions.payment_date,
            instructions.account_id,
            instructions.currency_code,
            instructions.amount_minor,
            'instructed' as state,
            null as attempt_no,
            null as end_to_end_id,
            instructions.payment_date as since,
            instructions.payment_date as sent_on,
            null as reason_code,
            0 as inquiry_count
        from payout.instructions as instructions
        where
            instructions.payment_date > %(day)s::date - 62
            and not exists (
                select 1
                from payout.attempts as attempts
                where attempts.instruction_id = instructions.instruction_id
            )
    ),

    -- Up to the end of the day before, whether or not a run came to make them unknown.
    overdue as (
        select last_attempts.statement_id
        from last_attempts
        left join reference.bank_answer_times as times
            on last_attempts.currency_code = times.currency_code
        cross join lateral (
            select count(*) as day_count
            from reference.calendar_days as calendar
            where
                calendar.is_working_day
                and calendar.calendar_date > last_attempts.sent_on
                and calendar.calendar_date < %(day)s::date
        ) as passed
        where
            last_attempts.sent_on < %(day)s::date
            and case last_attempts.state
                when 'instructed' then true
                when 'created' then true
                when 'submitted' then passed.day_count >= coalesce(times.answer_due_working_days, 0)
                when 'accepted' then passed.day_count >= coalesce(times.outcome_due_working_days, 0)
                else false
            end
    )

    select
        last_attempts.statement_id,
        last_attempts.payment_date,
        last_attempts.account_id,
        last_attempts.currency_code,
        last_attempts.amount_minor,
        last_attempts.state,
        last_attempts.attempt_no,
        last_attempts.end_to_end_id,
        last_attempts.since,
        greatest(%(day)s::date - last_attempts.since, 0) as age_days,
        last_attempts.reason_code,
        reasons.policy,
        last_attempts.inquiry_count,
        held.held_by,
        overdue.statement_id is not null as is_overdue
    from last_attempts
    left join reference.payee_return_reasons as reasons
        on last_attempts.reason_code = reasons.reason_code
    left join held on last_attempts.statement_id = held.statement_id
    left join overdue on last_attempts.statement_id = overdue.statement_id
    where
        case
            when %(state)s::text is null
                then
                    last_attempts.state = any(%(troubled)s)
                    or held.held_by is not null
                    or overdue.statement_id is not null
            when %(state)s = 'held' then held.held_by is not null
            else last_attempts.state = %(state)s
        end
    order by last_attempts.since, last_attempts.statement_id
"""

_COUNTS = """
    select status, count(*)
    from payout.open_attempts
    group by status
    order by status
"""

_INSTRUCTION = """
    select
        instructions.statement_id,
        instructions.payment_date,
        instructions.account_id,
        instructions.currency_code,
        instructions.amount_minor,
        instructions.payee_id,
        instructions.payee_version,
        instructions.decision_id,
        decisions.outcome as gate_outcome
    from payout.instructions as instructions
    inner join control.gate_decisions as decisions
        on instructions.decision_id = decisions.decision_id
    where instructions.statement_id = %(statement_id)s
"""

_ATTEMPTS = """
    select
        attempts.attempt_no,
        attempts.end_to_end_id,
        attempts.batch_message_id,
        attempts.submitted_on,
        outbox.file_path,
        grounds.payee_id,
        grounds.payee_version,
        grounds.evidence,
        evidence_files.file_name as evidence_file,
        grounds.evidence_line_number as evidence_line,
        grounds.policy,
        grounds.requested_by,
        grounds.reason,
        grounds.decided_by_login
    from payout.attempts as attempts
    inner join payout.instructions as instructions
        on attempts.instruction_id = instructions.instruction_id
    left join payout.outbox_files as outbox
        on attempts.batch_message_id = outbox.batch_message_id
    left join payout.new_attempts as grounds on attempts.attempt_id = grounds.attempt_id
    left join control.channel_files as evidence_files
        on grounds.evidence_file_id = evidence_files.file_id
    where instructions.statement_id = %(statement_id)s
    order by attempts.attempt_no
"""

_EVENTS = """
    select
        attempts.attempt_no,
        events.event_no,
        events.status,
        events.business_date,
        events.reason_code,
        reasons.policy,
        events.detail,
        files.file_name
    from payout.attempt_events as events
    inner join payout.attempts as attempts on events.attempt_id = attempts.attempt_id
    inner join payout.instructions as instructions
        on attempts.instruction_id = instructions.instruction_id
    left join control.channel_files as files on events.source_file_id = files.file_id
    left join reference.payee_return_reasons as reasons
        on events.reason_code = reasons.reason_code
    where instructions.statement_id = %(statement_id)s
    order by attempts.attempt_no, events.event_no
"""

_INQUIRIES = """
    select attempts.attempt_no, inquiries.inquiry_no, inquiries.asked_on, inquiries.file_path
    from payout.inquiries as inquiries
    inner join payout.attempts as attempts on inquiries.attempt_id = attempts.attempt_id
    inner join payout.instructions as instructions
        on attempts.instruction_id = instructions.instruction_id
    where instructions.statement_id = %(statement_id)s
    order by attempts.attempt_no, inquiries.inquiry_no
"""

_HOLDS = """
    select
        holds.hold_id,
        holds.held_by,
        holds.reason,
        holds.held_by_login,
        releases.released_by,
        releases.reason as release_reason,
        releases.released_by_login
    from payout.payout_holds as holds
    left join payout.payout_hold_releases as releases on holds.hold_id = releases.hold_id
    where holds.statement_id = %(statement_id)s
    order by holds.hold_id
"""


def business_day(settings: Settings) -> date:
    """Return the day that ages count to: today, in a simulated home the bank's last statement."""
    if days.sample_window(settings) is None:
        return datetime.now(days.BUSINESS_TIME_ZONE).date()
    with database.connect(settings) as connection:
        row = connection.execute(
            "select max(statements.statement_date) from raw.bank_statements as statements"
            " inner join control.channel_files as files on statements.file_id = files.file_id"
            " where files.status = 'landed'"
        ).fetchone()
    return row[0] if row and row[0] else datetime.now(days.BUSINESS_TIME_ZONE).date()


def open_payouts(settings: Settings, day: date, state: str | None = None) -> list[OpenPayout]:
    """Return what is not paid, oldest first: by default what is troubled, held or overdue.

    Raises:
        PayoutError: ``state`` is none of STATES and not ``held``.
    """
    if state is not None and state not in (*STATES, "held"):
        raise PayoutError(
            what=f"payouts are not {state!r}",
            where="tieout payouts list --state",
            why=f"it is one of {', '.join((*STATES, 'held'))}; what is paid is over",
            next_step="tieout payouts list",
        )
    with (
        database.connect(settings) as connection,
        connection.cursor(row_factory=class_row(OpenPayout)) as cursor,
    ):
        return cursor.execute(
            _OPEN, {"day": day, "state": state, "troubled": list(TROUBLED)}
        ).fetchall()


def counts(settings: Settings) -> list[tuple[str, int]]:
    """Return how many attempts are in each state that is not paid."""
    with database.connect(settings.acting_as("finance")) as connection:
        return [(str(state), int(count)) for state, count in connection.execute(_COUNTS)]


def life(settings: Settings, statement_id: str) -> Mapping[str, Any]:
    """Return all that happened to a statement's payout.

    Keys: ``instruction`` (a row), ``attempts``, ``events``, ``inquiries``, ``holds`` (rows).

    Raises:
        PayoutError: the statement was never instructed, and nobody holds it.
    """
    parameters = {"statement_id": statement_id}
    with (
        database.connect(settings.acting_as("finance")) as connection,
        connection.cursor(row_factory=dict_row) as cursor,
    ):
        instruction = cursor.execute(_INSTRUCTION, parameters).fetchone()
        holds = cursor.execute(_HOLDS, parameters).fetchall()
        if instruction is None and not holds:
            raise PayoutError(
                what=f"there is no payout of statement {statement_id}",
                where="payout.instructions",
                why="it was never instructed",
                next_step="tieout payouts list",
            )
        return {
            "instruction": instruction,
            "attempts": cursor.execute(_ATTEMPTS, parameters).fetchall(),
            "events": cursor.execute(_EVENTS, parameters).fetchall(),
            "inquiries": cursor.execute(_INQUIRIES, parameters).fetchall(),
            "holds": holds,
        }


def hold(settings: Settings, statement_id: str, *, by: str, reason: str) -> int:
    """Stop a statement from being paid, or paid again; return the hold's number.

    An attempt that is at the bank goes on: it is not called back.

    Raises:
        PayoutError: no name or reason, no such statement, or it is held already.
    """
    return _decide(settings, "payout.hold", "is not held", statement_id, by, reason)


def release(settings: Settings, statement_id: str, *, by: str, reason: str) -> int:
    """Let a held statement be paid again, as another person; return the hold's number.

    Raises:
        PayoutError: no name or reason, it is not held, or it is one's own hold.
    """
    return _decide(settings, "payout.release_hold", "is not released", statement_id, by, reason)


def look(settings: Settings, acknowledgement_id: int, *, by: str, reason: str) -> str:
    """Say that a person has looked at an acknowledgement that is not of our file.

    Returns the payment file it is beside; the account's files may leave again.

    Raises:
        PayoutError: no name or reason, no such finding, or it was looked at already.
    """
    outcome = f"finding {acknowledgement_id} stays open"
    if not people.person_key(by) or not reason.strip():
        raise PayoutError(
            what=outcome,
            where="payout.look_at_acknowledgement()",
            why="a name and a reason stay on record with it",
            next_step="give --by NAME --reason TEXT",
        )
    with (
        database.explained(
            PayoutError,
            outcome,
            where="payout.acknowledgement_looks",
            next_step="tieout payouts acknowledgements",
        ),
        database.connect(settings.acting_as("people")) as connection,
    ):
        row = connection.execute(
            "select payout.look_at_acknowledgement(%s, %s, %s)",
            [acknowledgement_id, by, reason.strip()],
        ).fetchone()
    assert row is not None, "a function returns a row"
    return str(row[0])


def _decide(  # noqa: PLR0917  two callers, beside it
    settings: Settings, function: str, outcome: str, statement_id: str, by: str, reason: str
) -> int:
    if not people.person_key(by) or not reason.strip():
        raise PayoutError(
            what=f"statement {statement_id} {outcome}",
            where=f"{function}()",
            why="a name and a reason stay on record with it",
            next_step="give --by NAME --reason TEXT",
        )
    with (
        database.explained(
            PayoutError,
            f"statement {statement_id} {outcome}",
            where=f"{function}()",
            next_step=f"tieout payouts show {statement_id}",
        ),
        database.connect(settings.acting_as("people")) as connection,
    ):
        # One of two names of this module.
        row = connection.execute(
            f"select {function}(%s, %s, %s)", [statement_id, by, reason.strip()]
        ).fetchone()
    assert row is not None, "the function returns one row"
    return int(row[0])
