"""Outcomes: what the bank says about the payouts, from status reports and from its statement.

Every report becomes events of the attempts it names; the history stays. A report that cannot be
used (unknown code, unknown payment, a contradiction) is put aside on record and changes nothing;
the others count. A report or statement of a later date than the run's waits for its date.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Final

import psycopg

from tieout.channels.common.excerpts import masked_excerpt
from tieout.core.errors import TieoutError
from tieout.core.money import amount_text
from tieout.core.settings import Settings
from tieout.database import connect
from tieout.files import archive, decryption
from tieout.files.local_files import IrregularFileError, Reading
from tieout.payouts import acknowledgements, queries, rails
from tieout.payouts.reports import StatusReport, TransactionStatus
from tieout.payouts.states import State, combine, may_follow, step
from tieout.payouts.store import Store, StoreError
from tieout.payouts.submission import append_event

LOOKBACK_DAYS: Final = 35
"""How far back a run without a payment date looks; returns of payouts come within days."""

_ANSWER_KINDS: Final = [rail.answer_kind for rail in rails.RAILS.values()]
_DATE_FOLDER: Final = re.compile(r"[0-9]{8}")


@dataclass
class _Found:
    """What one run has gathered so far."""

    files_new: int = 0
    files_known: int = 0
    files_later: int = 0
    put_aside: list[str] = field(default_factory=list)
    events: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def count(self, states: Iterable[str]) -> None:
        for state in states:
            self.events[state] = self.events.get(state, 0) + 1


@dataclass(frozen=True)
class OutcomeReport:
    """What ``apply_reports`` did, and the attempts of the date by their state now.

    ``problems`` are sentences for people: a run with any of them has not understood everything the
    bank said, or waits for an answer that is overdue, and its caller must not call it a success.
    ``files_put_aside`` are the reports that could not be used, from now or before, until a person
    rejects them; ``files_later`` counts those that wait for their date.
    """

    payment_date: date | None
    files_new: int
    files_known: int
    events: tuple[tuple[str, int], ...]
    states: tuple[tuple[str, int], ...]
    problems: tuple[str, ...]
    files_put_aside: tuple[str, ...] = ()
    files_later: int = 0

    @property
    def is_clean(self) -> bool:
        """Whether everything the bank said was understood and possible."""
        return not self.problems

    def __str__(self) -> str:
        """Say it in one line for people."""
        states = ", ".join(f"{count} {state}" for state, count in self.states) or "no payouts"
        dates = self.payment_date or "all payment dates"
        text = f"{dates}: {self.files_new} new status reports; {states}"
        if self.files_put_aside:
            text += f"; {len(self.files_put_aside)} reports put aside (tieout quarantine list)"
        if self.files_later:
            text += f"; {self.files_later} reports of later dates wait"
        return f"{text}; {len(self.problems)} problems" if self.problems else text


@dataclass(frozen=True)
class AnswersDue:
    """Of which payment dates the bank's answers are due, of one currency.

    ``answered``: payouts of dates up to it have any answer; ``ended``: they are paid or refused.
    """

    answered: date
    ended: date


@dataclass(frozen=True)
class _Attempt:
    attempt_id: str
    end_to_end_id: str
    batch_message_id: str
    payment_date: date
    amount_minor: int
    currency_code: str
    state: State | None


@dataclass(frozen=True)
class _ReportFile:
    path: str
    url: str
    name: str
    folder_date: date

    @property
    def slot(self) -> str:
        """The place of which one report can count: the bank names each report of a date."""
        kind = self.rail.answer_kind
        return f"bank/{kind}/{self.folder_date}/name={decryption.plain_name(self.name)}"

    @property
    def rail(self) -> rails.Rail:
        """The rail whose answers are named so."""
        rail = rails.answering(decryption.plain_name(self.name))
        assert rail is not None, "only answers are looked at"
        return rail


_ATTEMPTS = """
    select
        attempts.attempt_id,
        attempts.end_to_end_id,
        attempts.batch_message_id,
        instructions.payment_date,
        instructions.amount_minor,
        instructions.currency_code,
        latest_events.status
    {joined}
    where {condition}
    order by attempts.attempt_id
"""

_STATES = """
    select coalesce(latest_events.status, 'created') as status, count(*) as attempt_count
    {joined}
    where {condition}
    group by 1
    order by 1
"""

# No look back: what is unknown stays until it ends. Few attempts ever were, and an index has them.
_UNKNOWN = """
    select
        attempts.end_to_end_id,
        instructions.payment_date,
        instructions.amount_minor,
        instructions.currency_code,
        unknown_events.business_date,
        (
            select count(*)
            from payout.inquiries as inquiries
            where inquiries.attempt_id = attempts.attempt_id
        ) as inquiry_count
    from payout.attempt_events as unknown_events
    inner join payout.attempts as attempts
        on unknown_events.attempt_id = attempts.attempt_id
    inner join payout.instructions as instructions
        on attempts.instruction_id = instructions.instruction_id
    where
        unknown_events.status = 'unknown'
        and instructions.payment_date <= %(last_date)s
        and (%(payment_date)s::date is null or instructions.payment_date = %(payment_date)s)
        and not exists (
            select 1
            from payout.attempt_events as later_events
            where
                later_events.attempt_id = unknown_events.attempt_id
                and later_events.event_no > unknown_events.event_no
        )
    order by unknown_events.business_date, instructions.payment_date, attempts.end_to_end_id
"""

# However old: what is open stands in a table of its own.
_SILENT = """
    select
        opened.attempt_id,
        opened.status,
        attempts.submitted_on,
        instructions.currency_code
    from payout.open_attempts as opened
    inner join payout.attempts as attempts on opened.attempt_id = attempts.attempt_id
    inner join payout.instructions as instructions
        on attempts.instruction_id = instructions.instruction_id
    where
        opened.status in ('submitted', 'accepted')
        and instructions.payment_date <= %(last_date)s
        and (%(payment_date)s::date is null or instructions.payment_date = %(payment_date)s)
    order by opened.attempt_id
"""

# The bank refused it and paid it all the same, after it was paid again.
_PAID_BESIDE = """
    select
        paid.end_to_end_id,
        again.end_to_end_id as again_id,
        grounds.amount_minor,
        grounds.currency_code,
        payout.latest_status(again.attempt_id) as again_status
    from payout.new_attempts as grounds
    inner join payout.attempts as paid on grounds.previous_attempt_id = paid.attempt_id
    inner join payout.attempts as again on grounds.attempt_id = again.attempt_id
    where
        payout.latest_status(paid.attempt_id) = 'paid'
        and payout.latest_status(again.attempt_id) not in ('failed', 'returned')
    order by paid.end_to_end_id
"""

# A notification tells of a return before the statement proves it: it is known, and the payee
# blocked, a day earlier. It is paid again when a statement shows the credit.
_NOTIFIED_RETURNS = """
    with notified as (
        select
            entries.file_id,
            entries.line_number,
            least(entries.booking_date, entries.notification_date) as booking_date,
            coalesce(details.end_to_end_id, entries.end_to_end_id) as end_to_end_id,
            coalesce(details.amount_minor, entries.amount_minor) as amount_minor,
            coalesce(details.charge_amount_minor, entries.charge_amount_minor)
                as charge_amount_minor,
            entries.currency_code,
            details.return_reason_code
        from raw.bank_notification_entries as entries
        inner join control.channel_files as files
            on entries.file_id = files.file_id and files.status = 'landed'
        left join raw.bank_notification_details as details
            on
                entries.accounting_date = details.accounting_date
                and entries.file_id = details.file_id
                and entries.line_number = details.line_number
        where
            entries.accounting_date >= %(first_date)s
            and entries.entry_state = 'BOOK'
            and (%(through_date)s::date is null or entries.notification_date <= %(through_date)s)
            and (entries.is_return or details.return_reason_code is not null)
    )

    select distinct on (attempts.attempt_id)
        attempts.attempt_id,
        notified.booking_date,
        notified.file_id,
        notified.line_number,
        notified.return_reason_code
    from notified
    inner join payout.attempts as attempts on notified.end_to_end_id = attempts.end_to_end_id
    inner join payout.instructions as instructions
        on attempts.instruction_id = instructions.instruction_id
    where
        payout.latest_status(attempts.attempt_id) = 'paid'
        and notified.currency_code = instructions.currency_code
        and payout.amount_of_return(
            notified.amount_minor, notified.charge_amount_minor, instructions.amount_minor
        ) = instructions.amount_minor
        and (%(payment_date)s::date is null or instructions.payment_date = %(payment_date)s)
    order by attempts.attempt_id, notified.booking_date, notified.file_id, notified.line_number
"""

_KNOWN_FILE = "select status from control.channel_files where file_id = %s and sha256 = %s"

# Put aside, or released by a person since: looked at again, also where the inbox has it no more.
_KEPT_REPORTS = """
    select file_name, file_url, sha256, size_bytes, accounting_date, reason
    from control.channel_files
    where file_kind = any(%s) and status = 'quarantined'
    order by accounting_date, file_name, file_id
"""

_LANDED_IN_SLOT = """
    select file_id
    from control.channel_files
    where slot = %(slot)s and status = 'landed' and file_id <> %(file_id)s
"""

# What lay there under the name and could not be opened blocks no more once it is.
_SUPERSEDE_UNOPENED = """
    update control.channel_files
    set
        status = 'superseded',
        reason = coalesce(reason || '; ', '') || 'opened since: ' || %(file_id)s
    where slot = %(slot)s and status = 'quarantined' and reason like '%%[pgp\\_%%'
"""

_REGISTER = """
    insert into control.channel_files (
        slot,
        file_id,
        file_name,
        file_url,
        sha256,
        size_bytes,
        channel,
        file_kind,
        accounting_date,
        booked_on,
        row_count,
        declared_row_count,
        totals_status,
        status,
        reason
    )
    values (
        %(slot)s,
        %(file_id)s,
        %(file_name)s,
        %(file_url)s,
        %(sha256)s,
        %(size_bytes)s,
        'bank',
        %(file_kind)s,
        %(accounting_date)s,
        %(accounting_date)s,
        %(row_count)s,
        %(declared_row_count)s,
        %(totals_status)s,
        %(status)s,
        %(reason)s
    )
    on conflict (file_id) do update
    set
        slot = excluded.slot,
        file_name = excluded.file_name,
        file_url = excluded.file_url,
        channel = excluded.channel,
        file_kind = excluded.file_kind,
        accounting_date = excluded.accounting_date,
        booked_on = excluded.booked_on,
        row_count = excluded.row_count,
        declared_row_count = excluded.declared_row_count,
        totals_status = excluded.totals_status,
        status = excluded.status,
        reason = excluded.reason
    where channel_files.status in ('quarantined', 'conflict', 'unrecognised')
"""

# A payout's own line: a detail of a batch booking, or an entry that stands for one payment. Lines
# are looked at again for LOOKBACK_DAYS: a file that lands late is booked on the next open date, so
# no line is older than that when it is new, and the cost does not grow with the years.
_BANK_LINES = """
    with landed_lines as (
        select
            lines.file_id,
            lines.line_number,
            lines.accounting_date,
            -- What a bank dates after its own statement has not happened later than that.
            least(lines.booking_date, lines.statement_date) as booking_date,
            lines.is_return,
            lines.amount_minor,
            lines.charge_amount_minor,
            lines.end_to_end_id,
            lines.currency_code,
            lines.detail_count,
            approvals.decision_id is not null as is_taken
        from raw.bank_statement_lines as lines
        inner join control.channel_files as files
            on lines.file_id = files.file_id
        left join control.bank_line_approvals as approvals
            on lines.file_id = approvals.file_id and lines.line_number = approvals.line_number
        where
            files.status = 'landed'
            and lines.accounting_date >= %(first_date)s
            and (%(through_date)s::date is null or lines.statement_date <= %(through_date)s)
    ),

    payments as (
        select
            landed_lines.file_id,
            landed_lines.line_number,
            details.detail_number,
            landed_lines.booking_date,
            details.end_to_end_id,
            details.amount_minor,
            coalesce(
                details.charge_amount_minor,
                case when landed_lines.detail_count = 1 then landed_lines.charge_amount_minor end
            ) as charge_amount_minor,
            landed_lines.currency_code,
            details.return_reason_code,
            landed_lines.is_taken,
            landed_lines.is_return or details.return_reason_code is not null as is_return
        from landed_lines
        inner join raw.bank_statement_line_details as details
            on
                landed_lines.file_id = details.file_id
                and landed_lines.line_number = details.line_number
                and landed_lines.accounting_date = details.accounting_date
        where details.end_to_end_id is not null or landed_lines.is_return

        union all

        select
            landed_lines.file_id,
            landed_lines.line_number,
            0 as detail_number,
            landed_lines.booking_date,
            landed_lines.end_to_end_id,
            landed_lines.amount_minor,
            landed_lines.charge_amount_minor,
            landed_lines.currency_code,
            null as return_reason_code,
            landed_lines.is_taken,
            landed_lines.is_return
        from landed_lines
        where
            (landed_lines.end_to_end_id is not null or landed_lines.is_return)
            and not exists (
                select 1
                from raw.bank_statement_line_details as details
                where
                    details.file_id = landed_lines.file_id
                    and details.line_number = landed_lines.line_number
                    and details.accounting_date = landed_lines.accounting_date
                    and (details.end_to_end_id is not null or landed_lines.is_return)
            )
    )

    select
        payments.file_id,
        payments.line_number,
        payments.booking_date,
        payments.end_to_end_id,
        -- The bank may state a payout that comes back before or after its charge.
        case
            when payments.is_return and instructions.instruction_id is not null
                then payout.amount_of_return(
                    payments.amount_minor, payments.charge_amount_minor, instructions.amount_minor
                )
            else payments.amount_minor
        end as amount_minor,
        payments.currency_code,
        payments.return_reason_code,
        payments.is_return,
        payments.is_taken
    from payments
    left join payout.attempts as attempts
        on payments.end_to_end_id = attempts.end_to_end_id
    left join payout.instructions as instructions
        on attempts.instruction_id = instructions.instruction_id
    where
        (attempts.attempt_id is not null or payments.is_return)
        and (%(payment_date)s::date is null or instructions.payment_date = %(payment_date)s)
    order by
        payments.booking_date,
        payments.is_return,
        payments.file_id,
        payments.line_number,
        payments.detail_number
"""


def apply_reports(
    settings: Settings,
    payment_date: date | None = None,
    *,
    through_date: date | None = None,
    answers_due: Mapping[str, AnswersDue] | None = None,
) -> OutcomeReport:
    """Apply the bank's status reports and statement lines to the attempts.

    Args:
        settings: the installation.
        payment_date: only payouts of this date; None takes all, and counts the last
            ``LOOKBACK_DAYS`` days.
        through_date: the run's date: reports and statements of later dates wait, and change
            nothing; None takes whatever is there.
        answers_due: by currency, which payment dates' answers are due: an attempt without its
            answer becomes ``unknown``: it is queried, and never sent again before it is resolved.
            Whatever is unknown by then, of whatever date, is a problem of this run.

    One transaction a file; a file that was applied or rejected is never looked at again.
    """
    found = _Found()
    inbox = Store(settings.inbox_url)
    with connect(settings, autocommit=True) as connection:
        window = _window(connection, payment_date, through_date)
        seen: set[str] = set()
        for file in _report_files(inbox):
            if through_date is not None and file.folder_date > through_date:
                found.files_later += 1
                continue
            arrived = _arrived(settings, inbox, file)
            if arrived is not None:
                seen.add(arrived.reading.sha256)
                _apply_or_put_aside(settings, connection, arrived, window, found)
        for kept in _kept_reports(settings, connection, seen, through_date):
            _apply_or_put_aside(settings, connection, kept, window, found)
        with connection.transaction():
            _apply_bank_lines(connection, window, found)
            _apply_notified_returns(connection, window, found)
            _tell_paid_beside(connection, found)
        _take_acknowledgements(settings, connection, window, found)
        if answers_due is not None:
            with connection.transaction():
                _mark_unanswered(connection, window, answers_due, found)
                _tell_unresolved(connection, window, found)
        due = {currency: one.answered for currency, one in (answers_due or {}).items()}
        found.problems += acknowledgements.tell(connection, window.last_date, due)
        states = _states(connection, window)
    return OutcomeReport(
        payment_date=payment_date,
        files_new=found.files_new,
        files_known=found.files_known,
        events=tuple(sorted(found.events.items())),
        states=states,
        problems=tuple(found.problems),
        files_put_aside=tuple(found.put_aside),
        files_later=found.files_later,
    )


@dataclass(frozen=True)
class _Window:
    """What a run looks at: one payment date or all, of ``first_date`` on, up to ``through_date``.

    It is laid by the run's date, else by our own payment dates, never by what a bank says;
    ``last_date`` is that day, as of which ages are told.
    """

    payment_date: date | None
    through_date: date | None
    first_date: date
    last_date: date


def _window(
    connection: psycopg.Connection[Any], payment_date: date | None, through_date: date | None
) -> _Window:
    last = through_date or payment_date
    if last is None:
        row = connection.execute("select max(payment_date) from payout.instructions").fetchone()
        last = row[0] if row is not None else None
    first = date.min if last is None else last - timedelta(days=LOOKBACK_DAYS)
    return _Window(payment_date, through_date, first, last or date.max)


def _report_files(inbox: Store) -> tuple[_ReportFile, ...]:
    files = []
    for folder in inbox.folders("bank"):
        day = _folder_date(folder)
        if day is None:
            continue
        files += [
            _ReportFile(
                path=f"bank/{folder}/{name}",
                url=inbox.url_of(f"bank/{folder}/{name}"),
                name=name,
                folder_date=day,
            )
            for name in inbox.names(f"bank/{folder}")
            if rails.answering(decryption.plain_name(name)) is not None
        ]
    return tuple(files)


def _folder_date(folder: str) -> date | None:
    """Return the date a folder is named by; None where no calendar has it."""
    if not _DATE_FOLDER.fullmatch(folder):
        return None
    try:
        return date(int(folder[:4]), int(folder[4:6]), int(folder[6:]))
    except ValueError:
        return None


@dataclass(frozen=True)
class _Arrived:
    """A report whose bytes are read and, where they came encrypted, opened; or why they are not."""

    file: _ReportFile
    reading: Reading
    unopened: str | None = None


def _arrived(settings: Settings, inbox: Store, file: _ReportFile) -> _Arrived | None:
    """Read and open a report; None where it is gone, or no regular file (landing records that)."""
    try:
        reading = inbox.read_bounded(file.path, settings.max_file_bytes)
    except IrregularFileError:
        return None
    if reading is None:
        return None
    return _opened(settings, file, reading)


def _opened(settings: Settings, file: _ReportFile, reading: Reading) -> _Arrived:
    opened, refusal = decryption.opened(settings, file.name, reading)
    why = None
    if refusal is not None:
        row = refusal.bad_rows[0]
        why = f"{row.reason} [{row.reason_code}]"
    return _Arrived(file, opened, why)


def _kept_reports(
    settings: Settings,
    connection: psycopg.Connection[Any],
    seen: set[str],
    through_date: date | None,
) -> tuple[_Arrived, ...]:
    """Return the reports that were put aside and lie in the inbox no more, from the archive."""
    arrived = []
    for name, url, sha256, size, day, reason in connection.execute(
        _KEPT_REPORTS, [_ANSWER_KINDS]
    ).fetchall():
        is_later = through_date is not None and day > through_date
        if sha256 in seen or is_later or not archive.is_kept(settings, sha256):
            continue
        file = _ReportFile(path="", url=url, name=name, folder_date=day)
        reading = Reading(archive.read(settings, sha256), sha256, size)
        # What was opened is kept as it was inside.
        is_open = not decryption.says_unopened(reason)
        arrived.append(_Arrived(file, reading) if is_open else _opened(settings, file, reading))
    return tuple(arrived)


def _apply_or_put_aside(
    settings: Settings,
    connection: psycopg.Connection[Any],
    arrived: _Arrived,
    window: _Window,
    found: _Found,
) -> None:
    """Apply a report; one that cannot be used is put aside on record, and the run goes on.

    Its bytes are kept, as those of every file that does not land; a person ends it by a decision.
    """
    file, reading = arrived.file, arrived.reading
    file_id = reading.sha256[:16]
    known = connection.execute(_KNOWN_FILE, (file_id, reading.sha256)).fetchone()
    status = None if known is None else str(known[0])
    if status in ("landed", "refused", "superseded"):
        # Applied, or set aside by a person.
        found.files_known += 1
        return
    held_as = "quarantined"
    try:
        report = file.rail.read_answer(_content(arrived), file.url)
        if window.through_date is not None and (report.created_on or date.min) > (
            window.through_date
        ):
            found.files_later += 1
            return
        attempts = _attempts_of(connection, report, file.url)
        if window.payment_date is not None and attempts[0].payment_date != window.payment_date:
            return
        held_as = "conflict"
        _refuse_second_of_slot(connection, file, file_id)
        held_as = "quarantined"
        with connection.transaction():
            _register(connection, file, reading, report=report, status="landed")
            _apply_report(connection, report, attempts, file=file, file_id=file_id, found=found)
            connection.execute(_SUPERSEDE_UNOPENED, {"slot": file.slot, "file_id": file_id})
        found.files_new += 1
    except (TieoutError, psycopg.IntegrityError, psycopg.DataError) as error:
        why = error.why if isinstance(error, TieoutError) else _database_words(error)
        found.put_aside.append(f"{file.name}: {why}")
        if status not in ("quarantined", "conflict"):
            # Told once as a problem; later runs list it until a person rejects it.
            found.problems.append(
                f"{file.name}: {why}; put aside; next: tieout quarantine show {file_id}"
            )
        if reading.content is not None:
            archive.keep(settings, reading.sha256, reading.content)
        with connection.transaction():
            _register(connection, file, reading, report=None, status=held_as, reason=why)


def _refuse_second_of_slot(
    connection: psycopg.Connection[Any], file: _ReportFile, file_id: str
) -> None:
    """Raise where another report of the name has counted: which of the two is true, people say."""
    row = connection.execute(_LANDED_IN_SLOT, {"slot": file.slot, "file_id": file_id}).fetchone()
    if row is not None:
        raise TieoutError(
            what="a status report is not used",
            where=file.url,
            why=f"other bytes than {row[0]}, which has counted under this name",
            next_step="ask the bank which one is true; release this one, or reject it",
        )


def _content(arrived: _Arrived) -> bytes:
    """Return the bytes of a report.

    Raises:
        TieoutError: it could not be opened, or is larger than this machine takes.
    """
    if arrived.unopened is not None:
        raise TieoutError(
            what="a status report is not read",
            where=arrived.file.url,
            why=arrived.unopened,
            next_step="give the key that opens it; it is read again each time",
        )
    if arrived.reading.content is None:
        raise TieoutError(
            what="a status report is not read",
            where=arrived.file.url,
            why=f"it has {arrived.reading.size_bytes:,} bytes, more than TIEOUT_MAX_FILE_BYTES",
            next_step="ask the bank what it is; tieout quarantine reject FILE_ID where it is none",
        )
    return arrived.reading.content


def _attempts_of(
    connection: psycopg.Connection[Any], report: StatusReport, url: str
) -> tuple[_Attempt, ...]:
    """Return the attempts of the message a report answers.

    Raises:
        TieoutError: we never sent such a message, or it had another number of payments.
    """
    attempts = _attempts(
        connection, "attempts.batch_message_id = %(value)s", report.original_message_id
    )
    stated = report.original_payment_count
    why = None
    if not attempts:
        # The bank's words: they may hold any number.
        message = masked_excerpt(report.original_message_id)
        why = f"it answers message {message}, which was never sent"
    elif stated is not None and stated != len(attempts):
        why = f"it says the order had {stated} payments, it had {len(attempts)}"
    if why is not None:
        raise TieoutError(
            what="a status report is not used",
            where=url,
            why=why,
            next_step="ask the bank; tieout quarantine reject FILE_ID where it is not ours",
        )
    return attempts


def _database_words(error: psycopg.Error) -> str:
    """Return what the database refuses; its message may quote a row, the constraint does not."""
    return error.diag.constraint_name or type(error).__name__


def _apply_report(
    connection: psycopg.Connection[Any],
    report: StatusReport,
    attempts: Sequence[_Attempt],
    *,
    file: _ReportFile,
    file_id: str,
    found: _Found,
) -> None:
    lines: dict[str, list[TransactionStatus]] = {}
    for line in report.transactions:
        lines.setdefault(line.end_to_end_id, []).append(line)
    for identifier in sorted(set(lines) - {attempt.end_to_end_id for attempt in attempts}):
        found.problems.append(
            f"{file.name}: payment {identifier} is not in message {report.original_message_id}"
        )
    events: list[tuple[str, str, str | None, str | None]] = []
    for attempt in attempts:
        own = lines.get(attempt.end_to_end_id, [])
        reported, reason_code, detail, contradiction = _claims(attempt, own, report)
        decided = combine(attempt.state, reported)
        new, problem = decided.new, contradiction or decided.contradiction
        if contradiction is not None:
            # The report is about another payment than ours: what happened to ours is not known.
            new = "unknown" if may_follow(attempt.state, "unknown") else None
        if problem is not None:
            found.problems.append(f"{file.name}: payment {attempt.end_to_end_id}: {problem}")
            detail = problem
        if new is not None:
            events.append((attempt.attempt_id, new, reason_code, detail))
    append_event(connection, events, file.folder_date, file_id)
    found.count(event[1] for event in events)


def _claims(
    attempt: _Attempt,
    lines: Sequence[TransactionStatus],
    report: StatusReport,
) -> tuple[frozenset[State], str | None, str | None, str | None]:
    """Return what a report claims of one attempt: states, reason code, detail, contradiction."""
    if not lines:
        group = frozenset() if report.group_state is None else frozenset({report.group_state})
        return group, report.group_reason_code, None, None
    for line in lines:
        if line.amount_minor is not None and (line.amount_minor, line.currency_code) != (
            attempt.amount_minor,
            attempt.currency_code,
        ):
            text = (
                f"it reports {amount_text(line.amount_minor, line.currency_code or '')},"
                f" we sent {amount_text(attempt.amount_minor, attempt.currency_code)}"
            )
            return frozenset(), line.reason_code, line.detail, text
    states = frozenset(line.state for line in lines if line.state is not None)
    reasons = [line for line in lines if line.reason_code is not None or line.detail is not None]
    reason = reasons[0] if reasons else lines[0]
    return states, reason.reason_code, reason.detail, None


@dataclass(frozen=True, slots=True)
class _BankLine:
    """What a bank line says of one payment: a debit, or a return as the payout was ordered."""

    file_id: str
    line_number: int
    booked_on: date
    end_to_end_id: str | None
    amount_minor: int
    currency_code: str
    reason_code: str | None
    is_return: bool
    is_taken: bool

    @property
    def name(self) -> str:
        """How `tieout bank-lines` calls the line."""
        return f"{self.file_id}:{self.line_number}"


def _apply_bank_lines(connection: psycopg.Connection[Any], window: _Window, found: _Found) -> None:
    """Take the bank's statement as the final word: a debit is paid, a return is returned.

    A line that is not understood is told, and changes nothing; the others count. One that two
    people have taken is no problem any more; what it proves still counts.
    """
    rows = connection.execute(
        _BANK_LINES,
        {
            "payment_date": window.payment_date,
            "first_date": window.first_date,
            "through_date": window.through_date,
        },
    ).fetchall()
    lines = [_BankLine(*row) for row in rows]
    named = sorted({line.end_to_end_id for line in lines if line.end_to_end_id is not None})
    attempts = {
        attempt.end_to_end_id: attempt
        for attempt in _attempts(connection, "attempts.end_to_end_id = any(%(value)s)", named)
    }
    states: dict[str, State | None] = {key: value.state for key, value in attempts.items()}
    seen: set[tuple[str, bool]] = set()
    for line in lines:
        attempt = attempts.get(line.end_to_end_id or "")
        problem = _why_not_counted(line, attempt, seen)
        if problem is None and attempt is not None:
            problem = _apply_bank_line(connection, line, attempt, states, found)
        if problem is not None and not line.is_taken:
            found.problems.append(
                f"bank line {line.name}: payment {_shown(line.end_to_end_id)}: {problem}; "
                f"next: tieout bank-lines show {line.name}"
            )


def _shown(end_to_end_id: str | None) -> str:
    """Return the id a bank wrote; one that is not ours may hold any number."""
    return "without an id" if end_to_end_id is None else masked_excerpt(end_to_end_id)


def _why_not_counted(
    line: _BankLine, attempt: _Attempt | None, seen: set[tuple[str, bool]]
) -> str | None:
    """Say why a line is not what we ordered, or None; ``seen`` are the lines that were before."""
    if attempt is None:
        amount = amount_text(line.amount_minor, line.currency_code)
        return f"{amount} came back, and we never sent such a payment 退票无对应代付"
    expected_minor = attempt.amount_minor if line.is_return else -attempt.amount_minor
    if (line.amount_minor, line.currency_code) != (expected_minor, attempt.currency_code):
        return (
            f"{amount_text(line.amount_minor, line.currency_code)} booked, "
            f"{amount_text(expected_minor, attempt.currency_code)} expected"
        )
    key = (attempt.end_to_end_id, line.is_return)
    if key in seen:
        amount = amount_text(line.amount_minor, line.currency_code)
        return (
            f"{amount} came back a second time 重复退票"
            if line.is_return
            else f"{amount} was debited a second time 重复扣款"
        )
    seen.add(key)
    return None


def _apply_bank_line(
    connection: psycopg.Connection[Any],
    line: _BankLine,
    attempt: _Attempt,
    states: dict[str, State | None],
    found: _Found,
) -> str | None:
    """Append the event a line proves; return what contradicts it, if anything does."""
    identifier = attempt.end_to_end_id
    reported: State = "returned" if line.is_return else "paid"
    if reported == "paid" and states[identifier] == "returned":
        return None  # the debit of a payment that came back later: both are in the history
    decided = step(states[identifier], reported)
    if decided.new is not None:
        text = f"bank statement line {line.line_number}"
        event = (attempt.attempt_id, decided.new, line.reason_code, text)
        try:
            with connection.transaction():
                append_event(connection, [event], line.booked_on, line.file_id)
        except psycopg.IntegrityError as error:
            return f"the database refuses it: {_database_words(error)}"
        states[identifier] = decided.new
        found.count([decided.new])
    return decided.contradiction


def _mark_unanswered(
    connection: psycopg.Connection[Any],
    window: _Window,
    answers_due: Mapping[str, AnswersDue],
    found: _Found,
) -> None:
    """Make unknown what the bank has left without its answer; the event is of the run's date."""
    timeless: set[str] = set()
    parameters = {"payment_date": window.payment_date, "last_date": window.last_date}
    for attempt_id, status, sent_on, currency in connection.execute(_SILENT, parameters).fetchall():
        due = answers_due.get(currency)
        if due is None:
            timeless.add(currency)
            continue
        is_undecided = status == "accepted"
        if sent_on > (due.ended if is_undecided else due.answered):
            continue
        text = "no status report and no bank line when the answers were due"
        if is_undecided:
            text = "accepted, but neither debited nor refused when that was due"
        append_event(
            connection,
            [(attempt_id, "unknown", None, text)],
            window.through_date or sent_on,
            None,
        )
        found.count(["unknown"])
    found.problems += [
        f"reference.bank_answer_times does not say by when payouts in {currency} are answered"
        for currency in sorted(timeless)
    ]


def _take_acknowledgements(
    settings: Settings, connection: psycopg.Connection[Any], window: _Window, found: _Found
) -> None:
    """Read what receivers say of our files; one that is not reached is told, and waits."""
    try:
        with connection.transaction():
            acknowledgements.take(connection, Store(settings.payment_files_url), window.last_date)
    except StoreError as error:
        found.problems.append(
            f"acknowledgements are not read: {error.where}: {error.why}; next: {error.next_step}"
        )


def _apply_notified_returns(
    connection: psycopg.Connection[Any], window: _Window, found: _Found
) -> None:
    """Append the returns that a notification tells of before a statement does."""
    rows = connection.execute(
        _NOTIFIED_RETURNS,
        {
            "payment_date": window.payment_date,
            "first_date": window.first_date,
            "through_date": window.through_date,
        },
    ).fetchall()
    for attempt_id, booked_on, file_id, line_number, reason_code in rows:
        event = (attempt_id, "returned", reason_code, f"bank notification line {line_number}")
        append_event(connection, [event], booked_on, file_id)
        found.count(["returned"])


def _tell_paid_beside(connection: psycopg.Connection[Any], found: _Found) -> None:
    """Name what the bank paid after it had refused it and it was paid again."""
    for identifier, again, amount, currency, status in connection.execute(_PAID_BESIDE).fetchall():
        found.problems.append(
            f"payment {identifier}, {amount_text(amount, currency)}: the bank paid it after it had "
            f"refused it, and {again} is {status} 重复付款: recall one with the bank"
        )


def _tell_unresolved(connection: psycopg.Connection[Any], window: _Window, found: _Found) -> None:
    """Name what is unknown, oldest first, however old it is: somebody has to ask the bank."""
    rows = connection.execute(
        _UNKNOWN, {"payment_date": window.payment_date, "last_date": window.last_date}
    ).fetchall()
    for end_to_end_id, payment_date, amount_minor, currency_code, since, asked in rows:
        age_days = max((window.last_date - since).days, 0)
        found.problems.append(
            f"payment {end_to_end_id} of {payment_date}, {amount_text(amount_minor, currency_code)}"
            f": unknown 未决 since {since}, age {age_days} days, asked {asked} times: it may have "
            "been paid; ask the bank, never send it again"
        )


def _register(
    connection: psycopg.Connection[Any],
    file: _ReportFile,
    reading: Reading,
    *,
    report: StatusReport | None,
    status: str,
    reason: str | None = None,
) -> None:
    declared = report.original_payment_count if report is not None else None
    connection.execute(
        _REGISTER,
        {
            "slot": file.slot,
            "file_id": reading.sha256[:16],
            "file_name": file.name,
            "file_url": file.url,
            "sha256": reading.sha256,
            "size_bytes": reading.size_bytes,
            "file_kind": file.rail.answer_kind,
            "accounting_date": file.folder_date,
            "row_count": len(report.transactions) if report is not None else 0,
            "declared_row_count": declared,
            "totals_status": "none_in_format"
            if declared is None
            else ("agree" if status == "landed" else "disagree"),
            "status": status,
            "reason": reason,
        },
    )


def _date_condition(window: _Window) -> tuple[str, object]:
    if window.payment_date is not None:
        return "instructions.payment_date = %(value)s", window.payment_date
    last = window.through_date or date.max
    return (
        "instructions.payment_date between (%(value)s::date[])[1] and (%(value)s::date[])[2]",
        [window.first_date, last],
    )


def _attempts(
    connection: psycopg.Connection[Any], condition: str, value: object
) -> tuple[_Attempt, ...]:
    query = _ATTEMPTS.format(joined=queries.ATTEMPTS_WITH_STATE, condition=condition)
    rows = connection.execute(query, {"value": value}).fetchall()
    return tuple(_Attempt(*row) for row in rows)


def _states(connection: psycopg.Connection[Any], window: _Window) -> tuple[tuple[str, int], ...]:
    condition, value = _date_condition(window)
    query = _STATES.format(joined=queries.ATTEMPTS_WITH_STATE, condition=condition)
    rows = connection.execute(query, {"value": value}).fetchall()
    return tuple((str(status), int(count)) for status, count in rows)
