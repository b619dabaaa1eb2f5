"""Submission: attempts, payment files for the bank, and the statements as CSV.

The order makes a crash harmless, wherever it comes: every file is written and verified in memory,
so that no attempt is stored that no file can hold; attempts are stored; a file is written under a
hidden name, read back and compared with what the gate decided; its hash goes on record
(``payout.outbox_files``); it gets its name, from when on the bank may fetch it; its attempts become
``submitted``. A file on record is never written a second time. The files' layout is that of the
paying account's rail (`tieout.payouts.rails`), their place the store of ``TIEOUT_PAYMENT_FILES``,
an SFTP server too. See docs/decisions/0038-whom-we-pay-is-part-of-the-decision.md and 0064.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import Any

import psycopg

from tieout.core.errors import TieoutError
from tieout.core.money import amount_text, decimal_text
from tieout.core.progress import say
from tieout.core.settings import Settings
from tieout.database import connect
from tieout.payouts import (
    accounts,
    acknowledgements,
    chains,
    payees,
    queries,
    rails,
    statements_csv,
)
from tieout.payouts.batches import PAYMENTS_PER_FILE_MAX, Batch, Debtor, Payment
from tieout.payouts.instructions import lock_payment_date, refuse_uninstructed
from tieout.payouts.store import Store
from tieout.protection import tokens


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
    submitted_on: date
    statement_id: str
    amount_minor: int
    currency_code: str
    status: str
    payee_id: str
    payee_version: int
    bank_code: str | None
    account_number_token: str | None
    account_name_token: str | None
    bank_name: str | None
    account_number_ciphertext: str | None
    account_name_ciphertext: str | None
    town: str | None
    country_code: str | None
    post_code: str | None
    street_ciphertext: str | None
    building_ciphertext: str | None
    address_token: str | None


# Account, name and bank are the instruction's, of a new attempt its own, the address is the
# registered version's: what is opened here has to be the same.
_ATTEMPTS = f"""
    with snapshots as (
{queries.PAYEE_SNAPSHOTS}
    )

    select
        attempts.attempt_id,
        attempts.end_to_end_id,
        attempts.batch_message_id,
        attempts.submitted_on,
        instructions.statement_id,
        instructions.amount_minor,
        instructions.currency_code,
        coalesce(latest_events.status, 'created') as status,
        coalesce(grounds.payee_id, instructions.payee_id) as payee_id,
        coalesce(grounds.payee_version, instructions.payee_version) as payee_version,
        coalesce(grounds.bank_code, instructions.bank_code) as bank_code,
        coalesce(grounds.account_number_token, instructions.account_number_token)
            as account_number_token,
        coalesce(grounds.account_name_token, instructions.account_name_token)
            as account_name_token,
        snapshots.bank_name,
        snapshots.account_number_ciphertext,
        snapshots.account_name_ciphertext,
        snapshots.town,
        snapshots.country_code,
        snapshots.post_code,
        snapshots.street_ciphertext,
        snapshots.building_ciphertext,
        versions.address_token
    {queries.ATTEMPTS_WITH_STATE}
    left join payout.new_attempts as grounds on attempts.attempt_id = grounds.attempt_id
    left join snapshots
        on
            coalesce(grounds.payee_id, instructions.payee_id) = snapshots.payee_id
            and coalesce(grounds.payee_version, instructions.payee_version)
            = snapshots.payee_version
            and snapshots.snapshot_rank = 1
    left join control.payee_versions as versions
        on
            coalesce(grounds.payee_id, instructions.payee_id) = versions.payee_id
            and coalesce(grounds.payee_version, instructions.payee_version)
            = versions.payee_version
    where
        instructions.payment_date = %(payment_date)s
        -- What ended before it left is in no file.
        and not (
            latest_events.status is not distinct from 'failed'
            and not exists (
                select 1
                from payout.attempt_events as events
                where events.attempt_id = attempts.attempt_id and events.status = 'submitted'
            )
        )
    order by attempts.batch_message_id, attempts.end_to_end_id
"""

# A new attempt that has not left, and a payment of its statement that the bank has made since: it
# was refused, or had come back, when the attempt was made.
_OVERTAKEN = """
    select
        opened.attempt_id,
        attempts.batch_message_id,
        paid.end_to_end_id,
        paid.source_file_id,
        paid.business_date,
        files.file_path
    from payout.open_attempts as opened
    inner join payout.attempts as attempts on opened.attempt_id = attempts.attempt_id
    inner join payout.instructions as instructions
        on attempts.instruction_id = instructions.instruction_id
    inner join lateral (
        select earlier.end_to_end_id, events.source_file_id, events.business_date
        from payout.attempts as earlier
        inner join payout.attempt_events as events
            on earlier.attempt_id = events.attempt_id and events.status = 'paid'
        where
            earlier.instruction_id = attempts.instruction_id
            and earlier.attempt_no < attempts.attempt_no
            and payout.latest_status(earlier.attempt_id) = 'paid'
        order by earlier.attempt_no
        limit 1
    ) as paid on true
    left join payout.outbox_files as files
        on attempts.batch_message_id = files.batch_message_id
    where
        opened.status = 'created'
        and instructions.payment_date = %(payment_date)s
    order by opened.attempt_id
"""

# A corrected payee lands after the payment date: the snapshots up to the last attempt's day count.
_LAST_DAY = """
    select max(attempts.submitted_on)
    from payout.attempts as attempts
    inner join payout.instructions as instructions
        on attempts.instruction_id = instructions.instruction_id
    where instructions.payment_date = %(payment_date)s
"""

_RECORDED = """
    select
        sha256,
        file_path
    from payout.outbox_files
    where batch_message_id = %(batch_message_id)s
"""

_RECORD = "select payout.record_file(%s, %s, %s, %s, %s, %s, %s, %s)"


def submit(
    settings: Settings,
    payment_date: date,
    *,
    seal: Callable[[psycopg.Connection[Any]], None] | None = None,
) -> SubmitReport:
    """Write the payment files of ``payment_date`` and mark their attempts submitted.

    ``seal`` is called in the transaction that makes the attempts: what they pay is sealed with
    them, or neither happens.

    A second run makes no attempt and writes no file; one the bank has fetched away is on record.

    Raises:
        TieoutError: the gate did not pass or what is payable is not instructed, its decision does
            not stand any more, a payee is missing or its ciphertext is not its own, a file in the
            outbox holds other bytes, or a written file does not read back as the gate decided.
            Of an overtaken payment's file only after all others are out.
    """
    outbox = Store(settings.outbox_url)
    drop = Store(settings.payment_files_url)
    with connect(settings) as connection:
        # Two runs at once would each put out what the other has prepared. Falls with the session.
        connection.execute(
            "select pg_advisory_lock(hashtextextended('tieout.submit.' || %s, 0))",
            (str(payment_date),),
        )
        connection.commit()
        with connection.transaction():
            acknowledgements.take(connection, drop, _last_day(connection, payment_date))
        with _refusal_explained(payment_date), connection.transaction():
            lock_payment_date(connection, payment_date)
            acknowledgements.refuse_findings(connection, payment_date)
            if not _is_paid(connection, payment_date):
                refuse_uninstructed(connection, payment_date)
            created_count = _create_attempts(connection, payment_date)
            stuck = _end_overtaken(connection, payment_date, drop)
            _rehearse(settings, connection, payment_date, drop)
            if created_count and seal is not None:
                seal(connection)
        files = _put_out_files(settings, connection, payment_date, drop, stuck)
        with connection.transaction():
            statements_url = statements_csv.write(connection, payment_date, outbox)
            if files:
                chains.write_heads(connection, payment_date, outbox)
        with connection.transaction():
            # What follows at once joins them by the thousand; autovacuum comes a minute later.
            connection.execute(
                "select control.analyze(array['payout.instructions'::regclass,"
                " 'payout.attempts'::regclass, 'payout.attempt_events'::regclass])"
            )
    for error in stuck.values():
        raise error
    return SubmitReport(
        payment_date=payment_date,
        attempts_created=created_count,
        files=files,
        statements_url=statements_url,
    )


@contextmanager
def _refusal_explained(payment_date: date) -> Iterator[None]:
    """Say in our words what a trigger refuses."""
    try:
        yield
    except psycopg.errors.RestrictViolation as error:
        raise TieoutError(
            what=f"the database refuses to put out the payments of {payment_date}",
            where="payout.attempts, payout.outbox_files",
            why=str(error.diag.message_primary),
            next_step=f"run `tieout pay {payment_date}` again: the gate decides anew",
        ) from error


def file_path(submitted_on: date, batch_message_id: str, rail: str = "pain001") -> str:
    """Return a payment file's path in its store; it lies under the day it is put out for."""
    return f"payouts/{submitted_on:%Y%m%d}/{rails.of(rail).file_name(batch_message_id)}"


def append_event(
    connection: psycopg.Connection[Any],
    events: Sequence[tuple[str, str, str | None, str | None]],
    business_date: date,
    source_file_id: str | None,
) -> None:
    """Append ``(attempt_id, status, reason_code, detail)`` events; the database checks each."""
    if not events:
        return
    attempt_ids, statuses, reason_codes, details = (
        list(column) for column in zip(*events, strict=True)
    )
    connection.execute(
        "select payout.append_events(%s::text[], %s::text[], %s::text[], %s::text[], %s, %s)",
        [attempt_ids, statuses, reason_codes, details, business_date, source_file_id],
    )


def _is_paid(connection: psycopg.Connection[Any], payment_date: date) -> bool:
    """Say whether the date's payouts are decided: a run only ends what an earlier one began."""
    row = connection.execute("select control.is_paid(%s)", [payment_date]).fetchone()
    return row is not None and bool(row[0])


def _create_attempts(connection: psycopg.Connection[Any], payment_date: date) -> int:
    """Make the first attempt of each instruction. A second one is never made here.

    After `failed` or `returned` it needs its own evidence (`payout.new_attempt()`).
    """
    row = connection.execute(
        "select payout.start_attempts(%s, %s)", [payment_date, PAYMENTS_PER_FILE_MAX]
    ).fetchone()
    assert row is not None, "a function returns a row"
    return int(row[0])


def _end_overtaken(
    connection: psycopg.Connection[Any], payment_date: date, outbox: Store
) -> dict[str, TieoutError]:
    """End each new attempt that has not left while an earlier one of its statement was paid.

    Between an attempt and its file a run may die, and the bank may pay what it had refused: what
    the attempt stood on is gone. The event names the file that says so.

    Returns:
        By message id, why a file stays where it is: it is on record and may have been fetched, and
        holds others' payments, so it is neither written again nor put out by itself.
    """
    stuck = {}
    rows = connection.execute(_OVERTAKEN, {"payment_date": payment_date}).fetchall()
    for attempt_id, message_id, paid_id, file_id, on, path in rows:
        if path is None:
            text = f"not put out: {paid_id} has been paid"
            append_event(connection, [(attempt_id, "failed", None, text)], on, file_id)
            say(f"{attempt_id} is {text}")
        elif not outbox.exists(path) and outbox.prepared(path) is not None:
            stuck[message_id] = TieoutError(
                what=f"payment file {message_id} is not put out",
                where=outbox.url_of(path),
                why=f"{attempt_id} is in it, and {paid_id} of its statement has been paid since",
                next_step="docs/runbooks/payout-unresolved.md#overtaken: once the bank has proved "
                "that it never had the file, take what was prepared away",
            )
    return stuck


def _rehearse(
    settings: Settings, connection: psycopg.Connection[Any], payment_date: date, outbox: Store
) -> None:
    """Write and verify in memory each file that is not on record yet.

    It raises in the transaction that stores the attempts: then there are none.
    """
    for batch_message_id, group in groupby(
        _attempts(connection, payment_date), key=lambda attempt: attempt.batch_message_id
    ):
        members = list(group)
        recorded = connection.execute(_RECORDED, {"batch_message_id": batch_message_id}).fetchone()
        if recorded is None and any(attempt.status == "created" for attempt in members):
            debtor = accounts.paying_account(connection, members[0].currency_code)
            content = _content(settings, debtor, members)
            _verify(settings, debtor, content, outbox.url_of(_path(debtor, members)), members)


def _attempts(connection: psycopg.Connection[Any], payment_date: date) -> list[_Attempt]:
    parameters = {
        "payment_date": payment_date,
        "snapshots_before": _last_day(connection, payment_date),
    }
    rows = connection.execute(_ATTEMPTS, parameters).fetchall()
    return [_Attempt(*row) for row in rows]


def _last_day(connection: psycopg.Connection[Any], payment_date: date) -> date:
    """Return the day of the date's last attempt; the date itself where it has none yet."""
    row = connection.execute(_LAST_DAY, {"payment_date": payment_date}).fetchone()
    return payment_date if row is None or row[0] is None else max(payment_date, row[0])


def _path(debtor: Debtor, members: Sequence[_Attempt]) -> str:
    return file_path(members[0].submitted_on, members[0].batch_message_id, debtor.rail)


def _content(settings: Settings, debtor: Debtor, members: Sequence[_Attempt]) -> bytes:
    return rails.of(debtor.rail).write(
        Batch(
            message_id=members[0].batch_message_id,
            payment_date=members[0].submitted_on,
            currency_code=members[0].currency_code,
            debtor=debtor,
            payments=tuple(_payment(settings, attempt) for attempt in members),
        )
    )


def _put_out_files(
    settings: Settings,
    connection: psycopg.Connection[Any],
    payment_date: date,
    outbox: Store,
    stuck: Collection[str],
) -> tuple[SubmittedFile, ...]:
    with connection.transaction():
        attempts = _attempts(connection, payment_date)
    files = []
    for batch_message_id, group in groupby(attempts, key=lambda attempt: attempt.batch_message_id):
        if batch_message_id in stuck:
            continue
        members = list(group)
        waiting = [attempt for attempt in members if attempt.status == "created"]
        is_new = False
        if waiting:
            is_new = _put_out(settings, connection, payment_date, outbox, members)
            with connection.transaction():
                lock_payment_date(connection, payment_date)
                append_event(
                    connection,
                    [(attempt.attempt_id, "submitted", None, None) for attempt in waiting],
                    members[0].submitted_on,
                    None,
                )
        with connection.transaction():
            row = connection.execute(_RECORDED, {"batch_message_id": batch_message_id}).fetchone()
        assert row is not None, "what is submitted is on record"
        files.append(
            SubmittedFile(
                message_id=batch_message_id,
                url=outbox.url_of(str(row[1])),
                payment_count=len(members),
                amount_minor=sum(attempt.amount_minor for attempt in members),
                currency_code=members[0].currency_code,
                is_new=is_new,
            )
        )
    return tuple(files)


def _put_out(
    settings: Settings,
    connection: psycopg.Connection[Any],
    payment_date: date,
    outbox: Store,
    members: Sequence[_Attempt],
) -> bool:
    """Have the batch's file put out exactly once; return whether that was now."""
    batch_message_id = members[0].batch_message_id
    with connection.transaction():
        row = connection.execute(_RECORDED, {"batch_message_id": batch_message_id}).fetchone()
    if row is not None:
        # As it was recorded: the account's rail may be another one since.
        path = str(row[1])
        _write_heads(settings, connection, payment_date)
        return outbox.hand_over(path, str(row[0]), "payments", is_first=False)
    path, sha256 = _prepare(settings, connection, payment_date, outbox, members)
    _write_heads(settings, connection, payment_date)
    return outbox.hand_over(path, sha256, "payments", is_first=True)


def _write_heads(
    settings: Settings, connection: psycopg.Connection[Any], payment_date: date
) -> None:
    """Have the heads of the date's chains in the outbox before a file, whose record is linked."""
    with connection.transaction():
        chains.write_heads(connection, payment_date, Store(settings.outbox_url))


def _prepare(
    settings: Settings,
    connection: psycopg.Connection[Any],
    payment_date: date,
    outbox: Store,
    members: Sequence[_Attempt],
) -> tuple[str, str]:
    """Write the file where nobody fetches it, verify it, put it on record; return path, sha256."""
    currency_code = members[0].currency_code
    with _refusal_explained(payment_date), connection.transaction():
        lock_payment_date(connection, payment_date)
        debtor = accounts.paying_account(connection, currency_code)
        path = _path(debtor, members)
        content = _content(settings, debtor, members)
        sha256 = hashlib.sha256(content).hexdigest()
        present = outbox.whole(path)
        if present is not None and present != content:
            raise outbox.other_content(path, present, sha256)
        outbox.prepare(path, content)
        written = outbox.prepared(path)
        if written is None or hashlib.sha256(written).hexdigest() != sha256:
            raise _wrong_file(outbox.url_of(path), "it does not read back as it was written")
        _verify(settings, debtor, written, outbox.url_of(path), members)
        connection.execute(
            _RECORD,
            (
                members[0].batch_message_id,
                payment_date,
                path,
                sha256,
                len(content),
                len(members),
                sum(member.amount_minor for member in members),
                currency_code,
            ),
        )
    return path, sha256


def _verify(
    settings: Settings, debtor: Debtor, content: bytes, url: str, members: Sequence[_Attempt]
) -> None:
    """Read a written file again; compare it, payment by payment, with what the gate decided.

    Account and name are compared as tokens, under the key that the instruction's are of.
    """
    written = rails.of(debtor.rail).read(content, url)
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
            f"instructed {len(instructed)} payments of"
            f" {amount_text(sum(row[1] for row in instructed), members[0].currency_code)}; written"
            f" {written.payment_count} of"
            f" {amount_text(written.control_sum_minor, written.currency_code)}",
        )
    by_id = {payment.end_to_end_id: payment for payment in written.payments}
    for member in members:
        payment = by_id[member.end_to_end_id]
        differing = [
            name
            for name, is_same in (
                ("bank", payment.bank_code == member.bank_code),
                (
                    "account number",
                    _has_token(settings, member.account_number_token, payment.account_number),
                ),
                (
                    "account name",
                    _has_token(settings, member.account_name_token, payment.account_name),
                ),
            )
            if not is_same
        ]
        if differing:
            raise _wrong_file(
                url,
                f"payment {member.end_to_end_id} goes to another {', '.join(differing)} than the "
                "gate decided on",
            )


def _has_token(settings: Settings, token: str | None, text: str) -> bool:
    return token is not None and tokens.account_token_like(token, text, settings=settings) == token


def _payment(settings: Settings, attempt: _Attempt) -> Payment:
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
    payee = (attempt.payee_id, str(attempt.payee_version))
    _refuse_other_address(settings, attempt, payee)
    return Payment(
        end_to_end_id=attempt.end_to_end_id,
        amount_minor=attempt.amount_minor,
        currency_code=attempt.currency_code,
        bank_code=attempt.bank_code,
        bank_name=attempt.bank_name,
        account_number=tokens.decrypt_bound(
            attempt.account_number_ciphertext, ("account_number", *payee), settings=settings
        ),
        account_name=tokens.decrypt_bound(
            attempt.account_name_ciphertext, ("account_name", *payee), settings=settings
        ),
        remittance_text=f"商户结算款 settlement {attempt.statement_id}",
        address=payees.address_of(
            settings,
            payee,
            attempt.town,
            attempt.country_code,
            attempt.post_code,
            attempt.street_ciphertext,
            attempt.building_ciphertext,
        ),
    )


def _refuse_other_address(settings: Settings, attempt: _Attempt, payee: tuple[str, str]) -> None:
    """Raise where a payee's address is not the one that its version was decided with.

    No payment file is read back for it: which parts a layout takes is the rail's.
    """
    recorded = attempt.address_token
    if recorded is None:
        return  # of a version before the register had addresses
    text = payees.address_text_of(
        settings,
        payee,
        attempt.town,
        attempt.country_code,
        attempt.post_code,
        attempt.street_ciphertext,
        attempt.building_ciphertext,
    )
    has_both = text != "" and recorded != ""
    is_same = _has_token(settings, recorded, text) if has_both else text == recorded
    if not is_same:
        raise TieoutError(
            what=f"payment {attempt.end_to_end_id} is not written",
            where=f"raw.platform_payees, payee {attempt.payee_id} version {attempt.payee_version}",
            why="its address is not the one that the gate decided on",
            next_step="find out who changed the row; a payee who moves has a new version",
        )


def _wrong_file(url: str, why: str) -> TieoutError:
    return TieoutError(
        what=f"payment file {url} does not equal its instructions",
        where=url,
        why=why,
        next_step="do not send it; remove the file and run the payment date again",
    )
