"""Business dates: which date a run is for, what state it is in, and who works on it now.

An accounting date goes ``open`` -> ``closed`` -> ``sealed`` (``control.accounting_days``).
Closing T again opens T and every later closed date that is not sealed: each of them was computed
from the one before. A sealed date was paid and is never computed again.

Who may work on a date is decided by a lease (``control.date_leases``), whichever way the work was
started. A lease dies with its owner: a command, and each step of an Airflow run, holds an advisory
lock as long as its process lives; between two steps a run is believed for a while.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final, LiteralString
from zoneinfo import ZoneInfo

import psycopg

from tieout import database
from tieout.core.errors import TieoutError
from tieout.core.settings import Settings
from tieout.dates import workdays

__all__ = [
    "LAST_STATES",
    "DateBusyError",
    "DateNotReadyError",
    "DayState",
    "Lease",
    "NotYet",
    "NothingToDo",
    "OperatingWindow",
    "PaidDate",
    "admit_file",
    "at_work",
    "business_date",
    "claim",
    "command_owner",
    "covered_dates",
    "day_state",
    "due_dates",
    "first_unpaid",
    "has_attempts",
    "holder",
    "inputs_fingerprint",
    "is_unfinished",
    "leases",
    "lock_claims",
    "mark_closed",
    "missing_close",
    "missing_payment",
    "operating_window",
    "paid_dates",
    "payment_dates_of",
    "release",
    "reopen",
    "reopened_dates",
    "require_lease",
    "run_owner",
    "seal",
    "seal_within",
    "unfinished_payment",
    "unpublished_payment",
    "waiting_dates",
]

BUSINESS_TIME_ZONE = ZoneInfo("Asia/Shanghai")
ACCOUNTING_CLOSE = "accounting_close"
ACCOUNTING_RECLOSE = "accounting_reclose"
SETTLEMENT_PAYOUT = "settlement_payout"
PAYOUT_OUTCOMES = "payout_outcomes"
FEE_BILLING = "fee_billing"
OWNER_VARIABLE = "TIEOUT_RUN_OWNER"
COMMAND_PREFIX = "command:"
# First halves of the two-integer advisory locks, so that no other lock of the database meets them.
OWNER_LOCK = 0x71E0
CLAIM_LOCK = 0x71E1
COMMAND_LOCK = 0x71E2
# How far back the dates lie that a payment date pays: longer than any holiday and any lag.
DAYS_BACK = 40
_RENEW: Final[LiteralString] = (
    "update control.date_leases set renewed_at = clock_timestamp() where owner_id = %s"
)
# Leases of payments that read the bank's files of a date.
_PAYMENT_SINCE: LiteralString = "kind = 'settlement_payout' and business_date >= %(day)s"


class DateBusyError(TieoutError):
    """Another run works on the date now."""


class DateNotReadyError(TieoutError):
    """A date the run builds on is not closed (or not paid) yet."""


class NothingToDo(Exception):  # noqa: N818  not an error
    """The run has nothing to do for its date; not an error. The text says why."""


class NotYet(Exception):  # noqa: N818  not an error
    """The run has to look again later; not an error. The text says what it waits for."""


@dataclass(frozen=True, slots=True)
class OperatingWindow:
    """First and last accounting date of the business; ``last`` is None while it goes on."""

    first: date
    last: date | None

    def holds(self, day: date) -> bool:
        """Say whether ``day`` is an accounting date of the business."""
        return self.first <= day and (self.last is None or day <= self.last)

    def __str__(self) -> str:
        return f"{self.first} to {self.last or 'open end'}"


@dataclass(frozen=True, slots=True)
class DayState:
    """A row of ``control.accounting_days``; a date without a row is open and never closed."""

    accounting_date: date
    state: str = "open"
    closed_run_id: str | None = None
    close_count: int = 0
    inputs_fingerprint: str | None = None


def business_date(param: object, logical_date: datetime | None) -> date:
    """Return the date a run is for: its parameter, else its logical date in Asia/Shanghai.

    Never the data interval and never ``ds``: a scheduled, a backfilled, a triggered and a tested
    run of one date agree on nothing but the logical date. Dates in UTC would be a day off before
    08:00.

    Args:
        param: ``YYYY-MM-DD``, a date, or None/"" where the run has no such parameter.
        logical_date: aware, or None (a run triggered without one).

    Raises:
        TieoutError: neither is given, or the parameter is not a date.
    """
    if isinstance(param, datetime):
        return param.astimezone(BUSINESS_TIME_ZONE).date()
    if isinstance(param, date):
        return param
    if param:
        try:
            return date.fromisoformat(str(param))
        except ValueError as error:
            raise TieoutError(
                what=f"{param!r} is not a date",
                where="the run's date parameter",
                why="a business date is written YYYY-MM-DD",
                next_step="start the run again with a date like 2026-09-24",
            ) from error
    if logical_date is None:
        raise TieoutError(
            what="this run has no date",
            where="the run's parameters",
            why="it was triggered without a logical date and without the date parameter",
            next_step="trigger it with a logical date, or set the date parameter",
        )
    if logical_date.tzinfo is None:
        raise TieoutError(
            what="this run's logical date has no time zone",
            where="the run's logical date",
            why="a business date needs one: it is taken in Asia/Shanghai",
            next_step="give an aware logical date, like 2026-09-24T10:00:00+08:00",
        )
    return logical_date.astimezone(BUSINESS_TIME_ZONE).date()


# --- the calendar of the business ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PaidDate:
    """A channel's accounting date, and the payment date on which its money is there."""

    channel: str
    accounting_date: date
    payment_date: date


def paid_dates(settings: Settings, first: date, last: date) -> list[PaidDate]:
    """Return when each channel's dates of ``first``..``last`` are paid; in order.

    The database's calendar says so, from reference data: empty before a close has loaded that.
    """
    with database.connect(settings) as connection:
        return _paid_dates(connection, first, last)


def _paid_dates(connection: psycopg.Connection[Any], first: date, last: date) -> list[PaidDate]:
    rows = connection.execute(
        """
        select distinct channel, accounting_date, payment_date
        from control.arrival_calendar(%s, %s)
        order by accounting_date, payment_date, channel
        """,
        [first, last],
    ).fetchall()
    return [PaidDate(*row) for row in rows]


def payment_dates_of(settings: Settings, accounting_date: date) -> list[date]:
    """Return the payment dates that pay an accounting date, in order: a slow channel's is later."""
    paid = paid_dates(settings, accounting_date, accounting_date)
    return sorted({each.payment_date for each in paid})


def due_dates(
    settings: Settings, payment_date: date, window: OperatingWindow | None
) -> list[PaidDate]:
    """Return the channels' dates that a payment date pays: those whose money has come by then."""
    first = payment_date - timedelta(days=DAYS_BACK)
    last = payment_date
    if window is not None:
        first = max(first, window.first)
        last = min(last, window.last or last)
    paid = paid_dates(settings, first, last)
    return [each for each in paid if each.payment_date == payment_date]


def covered_dates(
    settings: Settings, payment_date: date, window: OperatingWindow | None
) -> list[date]:
    """Return the accounting dates that a payment date needs closed, in order.

    They are those of which it pays a channel, and all since the working day before, that one
    included, whose books it is built on; as far as they lie in the business's operating window.
    None on a day that is no working day, or on which no channel's money is due: nothing is paid.
    Before a close has loaded the reference data no date can be due, and those since the working
    day before are waited for.
    """
    if not workdays.is_working_day(payment_date):
        return []
    first = workdays.previous_working_day(payment_date)
    since = {first + timedelta(days=step) for step in range((payment_date - first).days)}
    books = {day for day in since if window is None or window.holds(day)}
    if not has_calendar(settings):
        return sorted(books)
    due = {each.accounting_date for each in due_dates(settings, payment_date, window)}
    return sorted(due | books) if due else []


def has_calendar(settings: Settings) -> bool:
    """Say whether the reference data is loaded that says when channels pay."""
    with database.connect(settings) as connection:
        return all(
            database.has_table(connection, f"reference.{name}")
            for name in ("channels", "channel_currencies", "calendar_days")
        )


def refuse_unknown_calendar(settings: Settings, accounting_date: date) -> None:
    """Refuse a date of which the reference data does not know when it is paid, or says another day.

    Raises:
        TieoutError: the list of working days ends soon after the date, or the reference data that
            is loaded has other days than the program.
    """
    workdays.refuse_end_of_list(accounting_date)
    expected = workdays.is_working_day(accounting_date), workdays.next_working_day(accounting_date)
    with database.connect(settings) as connection:
        row = connection.execute(
            "select is_working_day, next_working_day from reference.calendar_days"
            " where calendar_date = %s",
            (accounting_date,),
        ).fetchone()
    if row != expected:
        raise TieoutError(
            what=f"the working days after {accounting_date} are not those of the reference data",
            where="reference.calendar_days",
            why=f"it has {row or 'no such date'}, the program {expected}: (working day, next one)",
            next_step="write calendar_days.csv anew (docs/runbooks/calendar-ends.md)",
        )


def refuse_other_calendar(settings: Settings, accounting_date: date) -> None:
    """Refuse a date where a later day of the reference data is not the program's.

    What a date clears may be due weeks later (docs/domain.md#settlement-cycles).

    Raises:
        TieoutError: names the first such day.
    """
    expected = workdays.calendar_rows(accounting_date, workdays.known_through())
    with database.connect(settings) as connection:
        found = connection.execute(
            "select calendar_date::text, is_working_day::text, previous_working_day::text,"
            " coalesce(working_day_on_or_after::text, ''), coalesce(next_working_day::text, '')"
            " from reference.calendar_days where calendar_date >= %s",
            (accounting_date,),
        ).fetchall()
    different = set(expected) ^ set(found)
    if different:
        day = min(row[0] for row in different)
        has, says = (
            next((row for row in rows if row[0] == day), "no such date")
            for rows in (found, expected)
        )
        raise TieoutError(
            what=f"the working days after {accounting_date} are not those of the reference data",
            where=f"reference.calendar_days, {day}",
            why=f"it has {has}, the program {says}: ({', '.join(workdays.SEED_COLUMNS)})",
            next_step="write calendar_days.csv anew (docs/runbooks/calendar-ends.md)",
        )


def refuse_unknown_due_dates(settings: Settings, accounting_date: date) -> None:
    """Refuse a date of which some contract's cycle pays after the list of working days ends.

    Raises:
        TieoutError: names the first such cycle; two lists of contracts are asked, the date's and
            the one in force before it.
    """
    with database.connect(settings) as connection:
        terms = (
            "union select settlement_cycle from clearing.contract_terms"
            " where accounting_date = %(day)s::date - 1"
            if database.has_table(connection, "clearing.contract_terms")
            else ""
        )
        try:
            connection.execute(
                f"""
                with cycles as (
                    select rows.settlement_cycle
                    from raw.platform_contracts as rows
                    inner join control.channel_files as files on rows.file_id = files.file_id
                    where rows.accounting_date = %(day)s and files.status = 'landed'
                    {terms}
                )

                select control.due_date(
                    cycles.settlement_cycle, calendar.accounting_date, calendar.payment_date
                )
                from cycles
                cross join control.arrival_calendar(%(day)s, %(day)s) as calendar
                order by cycles.settlement_cycle
                """,
                {"day": accounting_date},
            )
        except psycopg.errors.NoDataFound as error:
            raise TieoutError(
                what=f"{accounting_date} does not close: {error.diag.message_primary}",
                where="reference.calendar_days",
                why=error.diag.message_detail or "",
                next_step=workdays.NEXT_STEP,
            ) from error


def operating_window(settings: Settings) -> OperatingWindow | None:
    """Return the newest landed operating window, else the simulated one's, else None."""
    with database.connect(settings) as connection:
        row = connection.execute(
            """
            select first_accounting_date, last_accounting_date
            from control.operating_window()
            """
        ).fetchone()
    if row is not None:
        return OperatingWindow(first=row[0], last=row[1])
    return sample_window(settings)


def sample_window(settings: Settings) -> OperatingWindow | None:
    """Return the window `tieout simulate` noted in this home, or None."""
    marker = settings.sample_note
    if not marker.is_file():
        return None
    noted = json.loads(marker.read_text(encoding="utf-8"))
    return OperatingWindow(
        first=date.fromisoformat(noted["first_accounting_date"]),
        last=date.fromisoformat(noted["last_accounting_date"]),
    )


# --- the state of a date ------------------------------------------------------------------------


def day_state(settings: Settings, accounting_date: date) -> DayState:
    """Return the state of an accounting date."""
    with database.connect(settings) as connection:
        return _day_state(connection, accounting_date)


def _day_state(connection: psycopg.Connection[Any], accounting_date: date) -> DayState:
    row = connection.execute(
        """
        select accounting_date, state, closed_run_id, close_count, inputs_fingerprint
        from control.accounting_days
        where accounting_date = %s
        """,
        [accounting_date],
    ).fetchone()
    return DayState(accounting_date) if row is None else DayState(*row)


def last_closed(settings: Settings) -> date | None:
    """Return the newest accounting date that is closed or sealed, or None."""
    with database.connect(settings) as connection:
        row = connection.execute(
            "select max(accounting_date) from control.accounting_days where state <> 'open'"
        ).fetchone()
    return row[0] if row else None


def missing_close(settings: Settings, accounting_date: date) -> str | None:
    """Say why T cannot be closed yet: T-1 is not closed, and T is not the business's first date.

    Returns None when it can. Asks the database, because Airflow lets the first run of a backfill go
    whatever happened before it.
    """
    window = operating_window(settings)
    if window is None:
        # Nothing of the business has landed: `complete` says which files are missing.
        return None
    if accounting_date == window.first:
        return None
    before = accounting_date - timedelta(days=1)
    state = day_state(settings, before).state
    return None if state in {"closed", "sealed"} else f"{before} is {state}, not closed"


def missing_payment(settings: Settings, payment_date: date) -> str | None:
    """Say why P cannot be paid yet, or None: its dates are closed, all before it are paid."""
    covered = covered_dates(settings, payment_date, operating_window(settings))
    if not covered:
        return None
    with database.connect(settings) as connection:
        states = {day: _day_state(connection, day).state for day in covered}
        unsealed = connection.execute(
            """
            select min(accounting_date)
            from control.accounting_days
            where accounting_date < %s and state <> 'sealed'
            """,
            [covered[0]],
        ).fetchone()
    still_open = [str(day) for day, state in states.items() if state == "open"]
    if still_open:
        return f"not closed: {', '.join(still_open)}"
    if unsealed is not None and unsealed[0] is not None:
        paid_on = payment_dates_of(settings, unsealed[0]) or [
            workdays.next_working_day(unsealed[0])
        ]
        return f"payment date {paid_on[0]} (accounting date {unsealed[0]}) is not paid yet"
    unpaid = first_unpaid(settings)
    if unpaid is not None and unpaid.payment_date < payment_date:
        return (
            f"payment date {unpaid.payment_date} (accounting date {unpaid.accounting_date}) is "
            "not paid yet"
        )
    return None


def is_paid(settings: Settings, payment_date: date) -> bool:
    """Say whether P was submitted: every channel's date it pays is sealed by it."""
    due = due_dates(settings, payment_date, operating_window(settings))
    if not due:
        return False
    with database.connect(settings) as connection:
        rows = connection.execute(
            "select accounting_date, channel from control.accounting_day_seals"
            " where payment_date = %s",
            [payment_date],
        ).fetchall()
    return {(each.accounting_date, each.channel) for each in due} <= set(rows)


def has_attempts(settings: Settings, payment_date: date) -> bool:
    """Say whether P's payouts are decided: an attempt exists, or a date was sealed by P.

    From then on its statements stay, and a run of P only does what an earlier one left undone.
    """
    with database.connect(settings) as connection:
        row = connection.execute("select control.is_paid(%s)", [payment_date]).fetchone()
    return row is not None and bool(row[0])


# What payout_status says of an instruction, of `states`: the last attempt's, but paid if any is.
LAST_STATES: Final[LiteralString] = """
    select
        payment_date,
        (array_agg(end_to_end_id order by attempt_no desc))[1] as end_to_end_id,
        case
            when bool_or(status = 'paid') then 'paid'
            else (array_agg(status order by attempt_no desc))[1]
        end as status
    from states
    group by payment_date, instruction_id
"""


def is_unfinished(settings: Settings, payment_date: date) -> bool:
    """Say whether a run of P ended after its first attempt and before its last step.

    An attempt waits for its file, or its status is not the one that is published.
    """
    with database.connect(settings) as connection:
        if not database.has_table(connection, "payout.payout_status"):
            return False
        row = connection.execute(
            """
            with states as (
                select
                    instructions.payment_date,
                    instructions.instruction_id,
                    attempts.attempt_no,
                    attempts.end_to_end_id,
                    coalesce(payout.latest_status(attempts.attempt_id), 'created') as status
                from payout.instructions as instructions
                inner join payout.attempts as attempts
                    on instructions.instruction_id = attempts.instruction_id
                where instructions.payment_date = %(day)s
            ),

            latest as ("""
            + LAST_STATES
            + """)

            select exists (
                select 1
                from latest
                left join payout.payout_status as statuses
                    on latest.payment_date = statuses.payment_date
                    and latest.end_to_end_id = statuses.end_to_end_id
                where latest.status = 'created'
                    or statuses.current_status is distinct from latest.status
            ) or (
                -- What was held, and is not any more, has its first attempt.
                control.is_paid(%(day)s)
                and exists (
                    select 1
                    from payout.instructions as instructions
                    where instructions.payment_date = %(day)s
                        and not payout.is_held(instructions.statement_id)
                        and not exists (
                            select 1
                            from payout.attempts as attempts
                            where attempts.instruction_id = instructions.instruction_id
                        )
                )
            )
            """,
            {"day": payment_date},
        ).fetchone()
    return row is not None and bool(row[0])


def unfinished_payment(settings: Settings) -> date | None:
    """Return the latest payment date with attempts if its run ended before its last step."""
    with database.connect(settings) as connection:
        row = connection.execute("select max(payment_date) from payout.instructions").fetchone()
    latest: date | None = None if row is None else row[0]
    is_open = latest is not None and has_attempts(settings, latest)
    return latest if latest is not None and is_open and is_unfinished(settings, latest) else None


def unpublished_payment(settings: Settings, before: date) -> date | None:
    """Return the payment date before ``before`` that was cut off after its files were put out.

    Its next run is over as far as money goes, and its statuses are not published: whichever run
    comes next makes that up.
    """
    with database.connect(settings) as connection:
        row = connection.execute(
            "select max(payment_date) from payout.instructions where payment_date < %s", [before]
        ).fetchone()
        latest: date | None = None if row is None else row[0]
        waiting = connection.execute(
            """
            select exists (
                select 1
                from payout.instructions as instructions
                left join payout.attempts as attempts
                    on instructions.instruction_id = attempts.instruction_id
                where instructions.payment_date = %s
                    and coalesce(payout.latest_status(attempts.attempt_id), 'created') = 'created'
                    and not (
                        attempts.attempt_id is null
                        and payout.is_held(instructions.statement_id)
                    )
            )
            """,
            [latest],
        ).fetchone()
    if latest is None or waiting is None or waiting[0] or not is_unfinished(settings, latest):
        return None
    return latest


def first_unpaid(settings: Settings) -> PaidDate | None:
    """Return the earliest channel's date that is closed and waits for its payment, or None."""
    with database.connect(settings) as connection:
        row = connection.execute(
            """
            select channel, accounting_date, payment_date
            from control.unpaid_dates()
            order by payment_date, accounting_date, channel
            limit 1
            """
        ).fetchone()
    return None if row is None else PaidDate(*row)


def inputs_fingerprint(settings: Settings, accounting_date: date) -> str:
    """Return the sha256 (hex) of what a close of T reads: the ids of the files landed for <= T."""
    with database.connect(settings) as connection:
        rows = connection.execute(
            """
            select file_id
            from control.channel_files
            where status = 'landed' and coalesce(booked_on, accounting_date) <= %s
            order by file_id
            """,
            [accounting_date],
        ).fetchall()
    return hashlib.sha256("\n".join(row[0] for row in rows).encode()).hexdigest()


def mark_closed(settings: Settings, accounting_date: date, owner: str) -> list[date]:
    """Close a date its run has built; return the later dates that wait to be closed again.

    Its clearing sessions that have a cutoff are frozen in the same transaction.

    Raises:
        DateBusyError: the run lost its lease.
    """
    fingerprint = inputs_fingerprint(settings, accounting_date)
    with database.connect(settings) as connection, connection.transaction():
        _require_lease(connection, ACCOUNTING_CLOSE, accounting_date, owner)
        # First, as a build does: it holds the sessions of the date before it asks for its state.
        connection.execute(
            "select control.freeze_clearing_sessions(%s, %s)", [accounting_date, owner]
        )
        connection.execute(
            """
            update control.accounting_days
            set
                state = 'closed',
                closed_run_id = %s,
                close_count = close_count + 1,
                inputs_fingerprint = %s,
                closed_at = now()
            where accounting_date = %s and state = 'open'
            """,
            [owner, fingerprint, accounting_date],
        )
    return waiting_dates(settings, accounting_date)


def waiting_dates(settings: Settings, accounting_date: date) -> list[date]:
    """Return the later dates that were closed once and wait to be closed again, in order."""
    with database.connect(settings) as connection:
        rows = connection.execute(
            """
            select accounting_date
            from control.accounting_days
            where accounting_date > %s and state = 'open' and close_count > 0
            order by accounting_date
            """,
            [accounting_date],
        ).fetchall()
    return [row[0] for row in rows]


def reopened_dates(settings: Settings, before: date | None = None) -> list[date]:
    """Return the dates (before a date) that were closed once and are open again, in order."""
    with database.connect(settings) as connection:
        rows = connection.execute(
            """
            select accounting_date
            from control.accounting_days
            where state = 'open'
                and close_count > 0
                and (%(before)s::date is null or accounting_date < %(before)s)
            order by accounting_date
            """,
            {"before": before},
        ).fetchall()
    return [row[0] for row in rows]


def seal(settings: Settings, payment_date: date, owner: str) -> list[date]:
    """Seal the dates a submitted payment date paid, and every earlier one; return those sealed now.

    A date is sealed with the first of its channels that is paid; each channel's seal names the
    payment date that paid it.

    Raises:
        DateBusyError: the run lost its lease.
    """
    with database.connect(settings) as connection, connection.transaction():
        return seal_within(connection, settings, payment_date, owner)


def seal_within(
    connection: psycopg.Connection[Any], settings: Settings, payment_date: date, owner: str
) -> list[date]:
    """Do the same in the caller's transaction: the one that makes the first attempt."""
    window = operating_window(settings)
    covered = covered_dates(settings, payment_date, window)
    if not covered:
        return []
    _require_lease(connection, SETTLEMENT_PAYOUT, payment_date, owner)
    rows = connection.execute("select control.seal(%s, %s)", [payment_date, owner]).fetchall()
    return sorted(row[0] for row in rows)


# --- leases -------------------------------------------------------------------------------------


def run_owner(run_id: str | None) -> str:
    """Return who works: the command this process belongs to, else the Airflow run."""
    owner = os.environ.get(OWNER_VARIABLE) or run_id
    if not owner:
        raise TieoutError(
            what="a step was started outside a run",
            where="tieout.dates.days.run_owner",
            why="every step belongs to an Airflow run or to a command",
            next_step="run `tieout close DATE`, `tieout pay DATE`, or the DAG",
        )
    return owner


@contextmanager
def command_owner(settings: Settings) -> Iterator[str]:
    """Make this process one owner of leases, alive exactly as long as its database session.

    Commands of one home go one after the other: the second waits here for the first.
    """
    owner = f"{COMMAND_PREFIX}{uuid.uuid4().hex}"
    working = database.working_as(settings, "ingest")
    with database.connect(working, autocommit=True) as connection:
        connection.execute("select pg_advisory_lock(%s, 0)", [COMMAND_LOCK])
        connection.execute("select pg_advisory_lock(%s, hashtext(%s))", [OWNER_LOCK, owner])
        os.environ[OWNER_VARIABLE] = owner
        try:
            yield owner
        finally:
            os.environ.pop(OWNER_VARIABLE, None)
            # A server that went away has taken the lock with it: the leases are a dead owner's.
            with suppress(psycopg.OperationalError):
                connection.execute("delete from control.date_leases where owner_id = %s", [owner])


@contextmanager
def at_work(settings: Settings, owner: str) -> Iterator[None]:
    """Let a run of Airflow be seen at work while one of its steps runs, and be believed after it.

    A command is seen by its own session. Steps of one run may run at once.
    """
    if owner.startswith(COMMAND_PREFIX):
        yield
        return
    with database.connect(settings, autocommit=True) as connection:
        connection.execute("select pg_advisory_lock_shared(%s, hashtext(%s))", [OWNER_LOCK, owner])
        connection.execute(_RENEW, [owner])
        try:
            yield
        finally:
            # A server that went away has taken the lock with it: the step that begins next renews.
            with suppress(psycopg.OperationalError):
                connection.execute(_RENEW, [owner])


def claim(settings: Settings, kind: str, day: date, owner: str) -> list[date]:
    """Take the lease of a date; for a close, also open the date and the later dates built on it.

    The same owner may claim again (a cleared Airflow run goes on). A dead owner's lease is taken
    over.

    Returns:
        The later dates that were closed and are open again (a close), else an empty list.

    Raises:
        NothingToDo: the date is sealed.
        DateBusyError: another run works on the date, or on one that depends on it.
        DateNotReadyError: the date before it was opened meanwhile, or payments of it exist.
    """
    with database.connect(settings) as connection, connection.transaction():
        lock_claims(connection)
        _refuse_busy(connection, kind, day, owner)
        _refuse_early(settings, kind, day)
        reopened = _open_for_close(connection, day) if kind == ACCOUNTING_CLOSE else []
        connection.execute(
            """
            insert into control.date_leases (kind, business_date, owner_id, leased_at)
            values (%s, %s, %s, now())
            on conflict (kind, business_date)
            do update set
                owner_id = excluded.owner_id,
                leased_at = excluded.leased_at,
                renewed_at = excluded.renewed_at
            """,
            [kind, day, owner],
        )
    return reopened


def holder(settings: Settings, kind: str, day: date, owner: str) -> str | None:
    """Return which other living run or command works on the date, or None."""
    with database.connect(settings) as connection:
        row = connection.execute(
            """
            select owner_id
            from control.date_leases
            where
                kind = %s
                and business_date = %s
                and owner_id <> %s
                and control.is_at_work(owner_id, renewed_at)
            """,
            [kind, day, owner],
        ).fetchone()
    return None if row is None else str(row[0])


def release(settings: Settings, kind: str, day: date, owner: str) -> None:
    """Give the lease of a date back; a lease of somebody else stays."""
    with database.connect(settings) as connection:
        connection.execute(
            """
            delete from control.date_leases
            where kind = %s and business_date = %s and owner_id = %s
            """,
            [kind, day, owner],
        )


def require_lease(settings: Settings, kind: str, day: date, owner: str) -> None:
    """Raise DateBusyError unless ``owner`` holds the lease of the date."""
    with database.connect(settings) as connection:
        _require_lease(connection, kind, day, owner)


def _require_lease(connection: psycopg.Connection[Any], kind: str, day: date, owner: str) -> None:
    row = connection.execute(
        "select owner_id from control.date_leases where kind = %s and business_date = %s",
        [kind, day],
    ).fetchone()
    if row is None or row[0] != owner:
        raise DateBusyError(
            what=f"{kind} of {day}: this run does not hold the date",
            where="control.date_leases",
            why=f"the lease belongs to {row[0]}" if row else "the lease was given back",
            next_step="clear the whole run, so that it starts from its first task",
        )


def _open_for_close(connection: psycopg.Connection[Any], day: date) -> list[date]:
    """Set T open (and later closed dates with it) inside the caller's transaction."""
    state = _day_state(connection, day).state
    if state == "sealed":
        raise NothingToDo(f"{day} is sealed, unchanged")
    _refuse_instructed(connection, day)
    connection.execute(
        """
        insert into control.accounting_days (accounting_date, state, close_count)
        values (%s, 'open', 0)
        on conflict (accounting_date) do update set state = 'open'
        """,
        [day],
    )
    return _open_closed(connection, day + timedelta(days=1))


def lock_claims(connection: psycopg.Connection[Any]) -> None:
    """Let no claim begin until the transaction ends: what it asks and changes is one decision."""
    connection.execute("select pg_advisory_xact_lock(%s, 0)", [CLAIM_LOCK])


def admit_file(
    connection: psycopg.Connection[Any],
    day: date,
    owner: str | None,
    *,
    is_banks: bool,
) -> list[date]:
    """Make way for another file of a date, in the caller's transaction: open it where it is closed.

    A close that runs would read the file in some of its tables and not in others, and so would a
    payment that runs, of the bank's.

    Returns and raises as `reopen` does.
    """
    lock_claims(connection)
    if _day_state(connection, day).state == "closed":
        return reopen(connection, day, owner)
    conflicts = _PAYMENT_SINCE if is_banks else "false"
    _refuse_held(connection, ACCOUNTING_CLOSE, day, owner or "", conflicts=conflicts)
    return []


def reopen(connection: psycopg.Connection[Any], day: date, owner: str | None) -> list[date]:
    """Open a closed date whose files change, and every later closed one, in the caller's work.

    The caller's transaction changes the files: either both happen or neither. `owner` is the run
    that lands the files, which may hold the date itself. A date that is open stays so.

    Returns:
        The dates that were closed and are open now.

    Raises:
        DateBusyError: another run works on the date, or on one that depends on it.
        DateNotReadyError: payments were instructed from it and are not submitted yet.
    """
    lock_claims(connection)
    # The date's own payment, too: its gate has looked at the bank's files of the date.
    conflicts = f"(kind = 'accounting_close' and business_date > %(day)s) or ({_PAYMENT_SINCE})"
    _refuse_held(connection, ACCOUNTING_CLOSE, day, owner or "", conflicts=conflicts)
    _refuse_instructed(connection, day)
    return _open_closed(connection, day)


def _refuse_instructed(connection: psycopg.Connection[Any], day: date) -> None:
    instructed = connection.execute(
        """
        select min(instructions.payment_date)
        from payout.instructions as instructions
        where instructions.payment_date > %s
        """,
        [day],
    ).fetchone()
    if instructed is not None and instructed[0] is not None:
        raise DateNotReadyError(
            what=f"{day} cannot be closed again",
            where=f"payout.instructions of payment date {instructed[0]}",
            why="payments were instructed from it and are not submitted yet",
            next_step=(
                f"run `tieout pay {instructed[0]}`, which submits them and seals the date; where "
                f"it cannot, two people undo it: tieout undo-payment ask {instructed[0]} --by NAME "
                "--reason TEXT"
            ),
        )


def _open_closed(connection: psycopg.Connection[Any], first: date) -> list[date]:
    rows = connection.execute(
        """
        update control.accounting_days
        set state = 'open'
        where accounting_date >= %s and state = 'closed'
        returning accounting_date
        """,
        [first],
    ).fetchall()
    return sorted(row[0] for row in rows)


def _refuse_early(settings: Settings, kind: str, day: date) -> None:
    """Raise where the dates this one is built on are not done; no other claim runs meanwhile."""
    reasons = {ACCOUNTING_CLOSE: missing_close, SETTLEMENT_PAYOUT: missing_payment}
    reason = reasons[kind](settings, day) if kind in reasons else None
    if reason is not None:
        raise DateNotReadyError(
            what=f"{kind} of {day} cannot start: {reason}",
            where="control.accounting_days",
            why="a date is computed from the dates before it, one after the other",
            next_step="finish the earlier date first; `tieout status` shows them all",
        )


def _refuse_busy(connection: psycopg.Connection[Any], kind: str, day: date, owner: str) -> None:
    """Raise where a living owner holds this date, or one whose result this work would change."""
    # A close changes what later closes and later payments read; a payment reads earlier closes.
    conflicts = {
        ACCOUNTING_CLOSE: "business_date > %(day)s and kind in "
        "('accounting_close', 'settlement_payout')"
        " or business_date = %(day)s and kind = 'fee_billing'",
        SETTLEMENT_PAYOUT: "business_date < %(day)s and kind = 'accounting_close'",
        PAYOUT_OUTCOMES: "false",
        # The close of a day books what happens to bills on it.
        FEE_BILLING: "business_date = %(day)s and kind = 'accounting_close'",
    }[kind]
    _refuse_held(connection, kind, day, owner, conflicts=conflicts)


def _refuse_held(
    connection: psycopg.Connection[Any],
    kind: str,
    day: date,
    owner: str,
    *,
    conflicts: LiteralString,
) -> None:
    """Raise where a living owner holds this date or one of `conflicts`; drop leases of the dead."""
    rows = connection.execute(
        f"""
        select kind, business_date, owner_id, control.is_at_work(owner_id, renewed_at)
        from control.date_leases
        where owner_id <> %(owner)s
            and ((kind = %(kind)s and business_date = %(day)s) or ({conflicts}))
        order by kind, business_date
        """,
        {"owner": owner, "kind": kind, "day": day},
    ).fetchall()
    for held_kind, held_day, held_by, is_at_work in rows:
        if is_at_work:
            raise DateBusyError(
                what=f"{kind} of {day} cannot start: {held_kind} of {held_day} is running",
                where="control.date_leases",
                why=f"the lease of {held_day} belongs to {held_by}",
                next_step="wait until it has ended, then start again",
            )
        connection.execute(
            """
            delete from control.date_leases
            where kind = %s and business_date = %s and owner_id = %s
            """,
            [held_kind, held_day, held_by],
        )


@dataclass(frozen=True, slots=True)
class Lease:
    """Who holds a date, since when (aware), and whether that run or command still works."""

    kind: str
    business_date: date
    owner: str
    leased_at: datetime
    is_alive: bool


def leases(settings: Settings) -> list[Lease]:
    """Return the leases there are, in order of kind and date."""
    with database.connect(settings) as connection:
        rows = connection.execute(
            """
            select
                kind,
                business_date,
                owner_id,
                leased_at,
                control.is_at_work(owner_id, renewed_at)
            from control.date_leases
            order by kind, business_date
            """
        ).fetchall()
    return [Lease(*row) for row in rows]


def release_dead(settings: Settings) -> int:
    """Drop the leases of Airflow runs; only for a home whose scheduler is known to be down."""
    with database.connect(settings) as connection:
        cursor = connection.execute(
            "delete from control.date_leases where not starts_with(owner_id, %s)",
            [COMMAND_PREFIX],
        )
        return cursor.rowcount


def param_of(params: Mapping[str, Any] | None, name: str) -> object:
    """Return a run's parameter, or None where it has none of that name."""
    return None if params is None else params.get(name)
