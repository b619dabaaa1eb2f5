"""Submission: attempts, pain.001 files in the outbox, and the statements as CSV.

The order makes a crash harmless: attempts are stored first, the files follow from the stored
attempts (same attempts, same bytes), and only then the attempts become ``submitted``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import Any, Final

import psycopg

from tieout import secrets
from tieout.database import connect
from tieout.errors import TieoutError
from tieout.payouts import pain001, statements_csv
from tieout.payouts.amounts import decimal_text
from tieout.payouts.instructions import lock_payment_date
from tieout.payouts.store import Store
from tieout.settings import Settings

END_TO_END_ID_LENGTH_MAX: Final = 35
_PLAIN_ID = re.compile(r"[A-Za-z0-9/\-?:().,'+]+")


@dataclass(frozen=True)
class SubmittedFile:
    """One payment file of the payment date: where it is and what it pays."""

    message_id: str
    url: str
    payment_count: int
    amount_minor: int
    currency_code: str
    is_new: bool


@dataclass(frozen=True)
class SubmitReport:
    """What ``submit`` did; ``files`` are all files of the date, new and earlier ones."""

    payment_date: date
    attempts_created: int
    files: tuple[SubmittedFile, ...]
    statements_url: str | None

    @property
    def payment_count(self) -> int:
        """Payments in all files of the date."""
        return sum(file.payment_count for file in self.files)

    def __str__(self) -> str:
        """Say it in one line for people."""
        sums: dict[str, int] = {}
        for file in self.files:
            sums[file.currency_code] = sums.get(file.currency_code, 0) + file.amount_minor
        text = ", ".join(f"{decimal_text(amount, code)} {code}" for code, amount in sums.items())
        new_count = sum(file.is_new for file in self.files)
        return (
            f"{self.payment_date}: {len(self.files)} payment files ({new_count} new),"
            f" {self.payment_count} payments, {text or 'nothing to pay'}"
        )


@dataclass(frozen=True)
class _Attempt:
    """A stored attempt with what its payment line needs; account data still encrypted."""

    attempt_id: str
    end_to_end_id: str
    batch_message_id: str
    statement_id: str
    amount_minor: int
    currency_code: str
    status: str
    payee_id: str
    payee_version: int
    bank_code: str | None
    bank_name: str | None
    account_number_ciphertext: str | None
    account_name_ciphertext: str | None


# Instructions that no attempt was ever made for. A second attempt is never made here: after
# `failed` or `returned` it needs the bank's statement and a corrected payee.
_UNATTEMPTED = """
    select
        instructions.instruction_id,
        instructions.statement_id,
        instructions.currency_code
    from payout.instructions as instructions
    where
        instructions.payment_date = %(payment_date)s
        and not exists (
            select 1
            from payout.attempts as attempts
            where attempts.instruction_id = instructions.instruction_id
        )
    order by instructions.currency_code, instructions.statement_id
"""

_BATCH_COUNT = """
    select count(distinct attempts.batch_message_id)
    from payout.attempts as attempts
    inner join payout.instructions as instructions
        on attempts.instruction_id = instructions.instruction_id
    where instructions.payment_date = %(payment_date)s
"""

_INSERT_ATTEMPT = """
    insert into payout.attempts (
        attempt_id,
        instruction_id,
        attempt_no,
        end_to_end_id,
        batch_message_id,
        submitted_on
    )
    values (%s, %s, %s, %s, %s, %s)
"""

# The event number follows from the attempt's own history, so that two writers cannot both be next.
INSERT_EVENT = """
    insert into payout.attempt_events (
        attempt_id,
        event_no,
        status,
        business_date,
        source_file_id,
        reason_code,
        detail
    )
    select
        %(attempt_id)s as attempt_id,
        coalesce(max(events.event_no), 0) + 1 as event_no,
        %(status)s as status,
        %(business_date)s as business_date,
        %(source_file_id)s as source_file_id,
        %(reason_code)s as reason_code,
        %(detail)s as detail
    from payout.attempt_events as events
    where events.attempt_id = %(attempt_id)s
"""

# The payee's version is immutable, so any landed snapshot that has it will do; the newest one
# before the payment date is taken, to stay the same on a re-run.
_ATTEMPTS = """
    with snapshots as (
        select
            payees.payee_id,
            payees.payee_version,
            payees.bank_code,
            payees.bank_name,
            payees.account_number_ciphertext,
            payees.account_name_ciphertext,
            row_number() over (
                partition by payees.payee_id, payees.payee_version
                order by payees.accounting_date desc, payees.file_id, payees.line_number
            ) as snapshot_rank
        from raw.platform_payees as payees
        inner join control.channel_files as files
            on payees.file_id = files.file_id
        where
            files.status = 'landed'
            and payees.accounting_date < %(payment_date)s
    )

    select
        attempts.attempt_id,
        attempts.end_to_end_id,
        attempts.batch_message_id,
        instructions.statement_id,
        instructions.amount_minor,
        instructions.currency_code,
        coalesce(latest_events.status, 'created') as status,
        instructions.payee_id,
        instructions.payee_version,
        snapshots.bank_code,
        snapshots.bank_name,
        snapshots.account_number_ciphertext,
        snapshots.account_name_ciphertext
    from payout.attempts as attempts
    inner join payout.instructions as instructions
        on attempts.instruction_id = instructions.instruction_id
    left join lateral (
        select events.status
        from payout.attempt_events as events
        where events.attempt_id = attempts.attempt_id
        order by events.event_no desc
        limit 1
    ) as latest_events
        on true
    left join snapshots
        on
            instructions.payee_id = snapshots.payee_id
            and instructions.payee_version = snapshots.payee_version
            and snapshots.snapshot_rank = 1
    where instructions.payment_date = %(payment_date)s
    order by attempts.batch_message_id, attempts.end_to_end_id
"""

_DEBTOR = """
    select
        account_name,
        bank_account_id,
        bank_code,
        bank_name,
        payment_message
    from reference.bank_accounts
    where
        account_kind = 'client_reserve'
        and currency_code = %(currency_code)s
    order by bank_account_id
"""


def submit(
    settings: Settings,
    payment_date: date,
    *,
    seal: Callable[[psycopg.Connection[Any]], None] | None = None,
) -> SubmitReport:
    """Write the payment files of ``payment_date`` and mark their attempts submitted.

    ``seal`` is called in the transaction that makes the attempts: what they pay is sealed with
    them, or neither happens.

    A second run makes no attempt and finds the same files; a file the bank has fetched away is not
    written again, because its attempts are no longer ``created``.

    Raises:
        TieoutError: a payee is missing, a file in the outbox holds other bytes, or a written file
            does not read back as the instructions.
    """
    outbox = Store(settings.outbox_url)
    with connect(settings) as connection:
        with connection.transaction():
            lock_payment_date(connection, payment_date)
            created_count = _create_attempts(connection, payment_date)
            if created_count and seal is not None:
                seal(connection)
        with connection.transaction():
            lock_payment_date(connection, payment_date)
            files = _write_files(settings, connection, payment_date, outbox)
            statements_url = statements_csv.write(connection, payment_date, outbox)
    return SubmitReport(
        payment_date=payment_date,
        attempts_created=created_count,
        files=files,
        statements_url=statements_url,
    )


def end_to_end_id(statement_id: str, attempt_no: int) -> str:
    """Derive the id the bank sees from statement and attempt number, at most 35 characters.

    A statement id that is too long, or has characters payment systems refuse, raises: an
    abbreviation could make two payments share an id.
    """
    text = f"{statement_id}-{attempt_no}"
    if len(text) > END_TO_END_ID_LENGTH_MAX or not _PLAIN_ID.fullmatch(text):
        raise TieoutError(
            what=f"statement {statement_id} gives no valid end-to-end id",
            where="tieout.payouts.submission",
            why=f"{text!r} has {len(text)} characters; 35 of the plain set are allowed",
            next_step="shorten the account id in the platform's contracts",
        )
    return text


def message_id(payment_date: date, batch_no: int, attempt_no: int) -> str:
    """Derive a file's message id from payment date, batch number and attempt number."""
    return f"PO{payment_date:%Y%m%d}-{batch_no:03d}-A{attempt_no}"


def file_path(payment_date: date, batch_message_id: str) -> str:
    """Return a payment file's path in the outbox."""
    return f"payouts/{payment_date:%Y%m%d}/pain001_{batch_message_id}.xml"


def append_event(
    connection: psycopg.Connection[Any],
    events: Sequence[tuple[str, str, str | None, str | None]],
    business_date: date,
    source_file_id: str | None,
) -> None:
    """Append ``(attempt_id, status, reason_code, detail)`` events; the trigger checks each."""
    with connection.cursor() as cursor:
        cursor.executemany(
            INSERT_EVENT,
            [
                {
                    "attempt_id": attempt_id,
                    "status": status,
                    "business_date": business_date,
                    "source_file_id": source_file_id,
                    "reason_code": reason_code,
                    "detail": detail,
                }
                for attempt_id, status, reason_code, detail in events
            ],
        )


def _create_attempts(connection: psycopg.Connection[Any], payment_date: date) -> int:
    parameters = {"payment_date": payment_date}
    waiting = connection.execute(_UNATTEMPTED, parameters).fetchall()
    row = connection.execute(_BATCH_COUNT, parameters).fetchone()
    batch_no = int(row[0]) if row is not None else 0
    attempt_no = 1
    attempts = []
    for _, same_currency in groupby(waiting, key=lambda found: str(found[2])):
        rows = list(same_currency)
        for start in range(0, len(rows), pain001.PAYMENTS_PER_FILE_MAX):
            batch_no += 1
            batch_message_id = message_id(payment_date, batch_no, attempt_no)
            for instruction_id, statement_id, _ in rows[
                start : start + pain001.PAYMENTS_PER_FILE_MAX
            ]:
                identifier = end_to_end_id(str(statement_id), attempt_no)
                attempts.append(
                    (
                        f"A-{identifier}",
                        instruction_id,
                        attempt_no,
                        identifier,
                        batch_message_id,
                        payment_date,
                    )
                )
    with connection.cursor() as cursor:
        cursor.executemany(_INSERT_ATTEMPT, attempts)
    append_event(
        connection,
        [(attempt[0], "created", None, None) for attempt in attempts],
        payment_date,
        None,
    )
    return len(attempts)


def _write_files(
    settings: Settings, connection: psycopg.Connection[Any], payment_date: date, outbox: Store
) -> tuple[SubmittedFile, ...]:
    rows = connection.execute(_ATTEMPTS, {"payment_date": payment_date}).fetchall()
    attempts = [_Attempt(*row) for row in rows]
    files = []
    for batch_message_id, group in groupby(attempts, key=lambda attempt: attempt.batch_message_id):
        members = list(group)
        path = file_path(payment_date, batch_message_id)
        waiting = [attempt for attempt in members if attempt.status == "created"]
        is_new = False
        if waiting:
            is_new = _write_file(settings, connection, payment_date, outbox, members)
            append_event(
                connection,
                [(attempt.attempt_id, "submitted", None, None) for attempt in waiting],
                payment_date,
                None,
            )
        files.append(
            SubmittedFile(
                message_id=batch_message_id,
                url=outbox.path_url(path),
                payment_count=len(members),
                amount_minor=sum(attempt.amount_minor for attempt in members),
                currency_code=members[0].currency_code,
                is_new=is_new,
            )
        )
    return tuple(files)


def _write_file(
    settings: Settings,
    connection: psycopg.Connection[Any],
    payment_date: date,
    outbox: Store,
    members: Sequence[_Attempt],
) -> bool:
    path = file_path(payment_date, members[0].batch_message_id)
    currency_code = members[0].currency_code
    batch = pain001.Batch(
        message_id=members[0].batch_message_id,
        payment_date=payment_date,
        currency_code=currency_code,
        debtor=_debtor(connection, currency_code),
        payments=tuple(_payment(settings, attempt) for attempt in members),
    )
    is_new = outbox.write_once(path, pain001.write(batch))
    _verify(outbox, path, members)
    return is_new


def _verify(outbox: Store, path: str, members: Sequence[_Attempt]) -> None:
    """Read the written file again and compare it, payment by payment, with the instructions."""
    url = outbox.path_url(path)
    content = outbox.read(path)
    if content is None:
        raise _wrong_file(url, "it is not there after it was written")
    written = pain001.read(content, url)
    instructed = sorted(
        (member.end_to_end_id, member.amount_minor, member.currency_code) for member in members
    )
    found = sorted(
        (payment.end_to_end_id, payment.amount_minor, payment.currency_code)
        for payment in written.payments
    )
    if instructed != found:
        raise _wrong_file(
            url,
            f"instructed {len(instructed)} payments of {sum(row[1] for row in instructed)},"
            f" in minor units; written {written.payment_count} of {written.control_sum_minor}",
        )


def _payment(settings: Settings, attempt: _Attempt) -> pain001.Payment:
    """Decrypt the payee's account for the moment the file is written."""
    if (
        attempt.account_number_ciphertext is None
        or attempt.account_name_ciphertext is None
        or attempt.bank_code is None
        or attempt.bank_name is None
    ):
        raise TieoutError(
            what=f"statement {attempt.statement_id} has no payee to pay",
            where="raw.platform_payees",
            why=f"no landed snapshot has payee {attempt.payee_id} version {attempt.payee_version}",
            next_step="land the platform's payees file of the date, then run the payment again",
        )
    return pain001.Payment(
        end_to_end_id=attempt.end_to_end_id,
        amount_minor=attempt.amount_minor,
        currency_code=attempt.currency_code,
        bank_code=attempt.bank_code,
        bank_name=attempt.bank_name,
        account_number=secrets.decrypt(attempt.account_number_ciphertext, settings=settings),
        account_name=secrets.decrypt(attempt.account_name_ciphertext, settings=settings),
        remittance_text=f"商户结算款 settlement {attempt.statement_id}",
    )


def _debtor(connection: psycopg.Connection[Any], currency_code: str) -> pain001.Debtor:
    rows = connection.execute(_DEBTOR, {"currency_code": currency_code}).fetchall()
    if len(rows) != 1:
        raise TieoutError(
            what=f"{len(rows)} client-reserve accounts for {currency_code}",
            where="reference.bank_accounts",
            why="a payout needs exactly one account to be paid from",
            next_step="correct the seed bank_accounts and load it again",
        )
    return pain001.Debtor(*(str(value) for value in rows[0]))


def _wrong_file(url: str, why: str) -> TieoutError:
    return TieoutError(
        what=f"payment file {url} does not equal its instructions",
        where=url,
        why=why,
        next_step="do not send it; remove the file and run the payment date again",
    )
