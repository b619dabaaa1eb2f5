"""Direct debits of fee bills: ordered once by the database, put out as a file once.

A file is written beside its name, put on record with its hash, and then gets its name. What was cut
off in between is made up for by the next run with the same bytes, or refused.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, LiteralString, NamedTuple

import psycopg
from psycopg.rows import namedtuple_row

from tieout import database
from tieout.billing import issued, pain008
from tieout.billing.issued import BillingError
from tieout.billing.pain008 import Creditor, Debit, DebitBatch
from tieout.core.settings import Settings
from tieout.payouts.store import Store
from tieout.protection import tokens

__all__ = ["DebitReport", "file_path", "put_out", "start"]

# Files whose debits may still be on their way out.
_MESSAGES: Final[LiteralString] = """
    select
        collections.message_id,
        collections.started_on,
        collections.currency_code,
        count(*)::integer as debit_count
    from settlement.collections as collections
    where
        collections.started_on <= %(day)s
        and settlement.collection_status(collections.collection_id)
        in ('created', 'submitted', 'accepted', 'unknown')
    group by collections.message_id, collections.started_on, collections.currency_code
    order by collections.started_on, collections.message_id
"""
_RECORDED: Final[LiteralString] = """
    select sha256
    from settlement.collection_files
    where message_id = %(message_id)s
"""
_MEMBERS: Final[LiteralString] = """
    select
        collections.collection_id,
        collections.amount_minor,
        requests.mandate_reference,
        requests.signed_on,
        requests.payee_id,
        requests.payee_version,
        requests.account_number_token,
        payees.bank_code,
        payees.bank_name,
        payees.account_number_ciphertext,
        payees.account_name_ciphertext
    from settlement.collections as collections
    inner join settlement.mandate_requests as requests
        on collections.mandate_id = requests.mandate_id
    -- The row that said the version first: later ones say the same, or are another version.
    inner join control.payee_versions as versions
        on requests.payee_id = versions.payee_id
        and requests.payee_version = versions.payee_version
    inner join raw.platform_payees as payees
        on versions.accounting_date = payees.accounting_date
        and versions.file_id = payees.file_id
        and versions.line_number = payees.line_number
    where collections.message_id = %(message_id)s
    order by collections.collection_id
"""
_CREDITORS: Final[LiteralString] = """
    select account_name, bank_account_id, bank_code, bank_name
    from reference.bank_accounts
    where account_kind = 'fee' and currency_code = %(currency_code)s
"""


class _Message(NamedTuple):
    message_id: str
    started_on: date
    currency_code: str
    debit_count: int


@dataclass(frozen=True, slots=True)
class DebitReport:
    """Direct-debit files that are out, those that left now, and their debits."""

    file_count: int
    new_file_count: int
    debit_count: int
    urls: tuple[str, ...]


def start(settings: Settings, day: date) -> int:
    """Order a debit of each bill that may be debited on ``day``; return how many.

    Raises:
        BillingError: the day is closed.
    """
    return issued.asked(
        settings, "select settlement.start_collections(%s)", [day], f"debits of {day}"
    )


def file_path(message_id: str, day: date) -> str:
    """Return the path of a direct-debit file in the place of payment files."""
    return f"collections/{day:%Y%m%d}/pain008_{message_id}.xml"


def put_out(settings: Settings, day: date) -> DebitReport:
    """Write the files of all debits up to ``day`` that have not ended; each once.

    A file on record is never written a second time: the bank may have fetched it.

    Raises:
        TieoutError: a file lies there with other content, is not what was ordered, or cannot be
            written.
    """
    outbox = Store(settings.payment_files_url)
    with database.connect(settings) as connection:
        messages = [
            _Message(*row) for row in connection.execute(_MESSAGES, {"day": day}).fetchall()
        ]
    urls = [
        outbox.url_of(file_path(message.message_id, message.started_on))
        for message in messages
        if _put_out_one(settings, outbox, message)
    ]
    debit_count = sum(message.debit_count for message in messages)
    return DebitReport(len(messages), len(urls), debit_count, tuple(urls))


def _put_out_one(settings: Settings, outbox: Store, message: _Message) -> bool:
    """Have the message's file put out exactly once; return whether that was now."""
    path = file_path(message.message_id, message.started_on)
    with database.connect(settings) as connection:
        row = connection.execute(_RECORDED, {"message_id": message.message_id}).fetchone()
    if row is not None:
        return outbox.hand_over(path, str(row[0]), "debits", is_first=False)
    sha256 = _prepare(settings, outbox, _batch(settings, message), path)
    return outbox.hand_over(path, sha256, "debits", is_first=True)


def _prepare(settings: Settings, outbox: Store, batch: DebitBatch, path: str) -> str:
    """Write the file where nobody fetches it, and put it on record; return its sha256."""
    content = pain008.write(batch)
    sha256 = hashlib.sha256(content).hexdigest()
    present = outbox.whole(path)
    if present is not None and present != content:
        raise outbox.other_content(path, present, sha256)
    outbox.prepare(path, content)
    total_minor = sum(debit.amount_minor for debit in batch.debits)
    try:
        with database.connect(settings) as connection:
            connection.execute(
                "select settlement.record_collection_file(%s, %s, %s, %s, %s)",
                [batch.message_id, path, sha256, len(batch.debits), total_minor],
            )
    except psycopg.errors.RestrictViolation as error:
        outbox.drop_prepared(path)
        raise database.refusal(
            BillingError,
            f"direct-debit file {batch.message_id} is not put out",
            error,
            where=outbox.url_of(path),
            next_step="docs/runbooks/fee-bill-overdue.md",
        ) from error
    return sha256


def _batch(settings: Settings, message: _Message) -> DebitBatch:
    with (
        database.connect(settings) as connection,
        connection.cursor(row_factory=namedtuple_row) as cursor,
    ):
        creditors = cursor.execute(_CREDITORS, {"currency_code": message.currency_code}).fetchall()
        members = cursor.execute(_MEMBERS, {"message_id": message.message_id}).fetchall()
    if len(creditors) != 1:
        raise BillingError(
            what=f"{len(creditors)} fee accounts for {message.currency_code}",
            where="reference.bank_accounts",
            why="debits of fee bills are credited to exactly one account",
            next_step="correct the seed bank_accounts and load it again",
        )
    return DebitBatch(
        message_id=message.message_id,
        collected_on=message.started_on,
        currency_code=message.currency_code,
        creditor=Creditor(*map(str, creditors[0])),
        debits=tuple(_debit(settings, member) for member in members),
    )


def _debit(settings: Settings, member: Any) -> Debit:
    """Decrypt the debtor's account for the moment the file is written.

    Raises:
        BillingError: it is not the account that the mandate was signed for.
    """
    payee = (member.payee_id, str(member.payee_version))
    number = tokens.decrypt_bound(
        member.account_number_ciphertext, ("account_number", *payee), settings=settings
    )
    token = tokens.account_token_like(member.account_number_token, number, settings=settings)
    if token != member.account_number_token:
        raise BillingError(
            what=f"debit {member.collection_id} is not written",
            where=f"raw.platform_payees, payee {member.payee_id} version {member.payee_version}",
            why="its account is not the one that the mandate was signed for",
            next_step="find out who changed the row; a payee who moves needs a new mandate",
        )
    return Debit(
        end_to_end_id=member.collection_id,
        amount_minor=member.amount_minor,
        bank_code=member.bank_code,
        bank_name=member.bank_name,
        account_number=number,
        account_name=tokens.decrypt_bound(
            member.account_name_ciphertext, ("account_name", *payee), settings=settings
        ),
        mandate_reference=member.mandate_reference,
        signed_on=member.signed_on,
    )
