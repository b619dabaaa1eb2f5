"""Acknowledgements of payment files: read by later runs, missed when they are due, compared.

Where `reference.payout_rails` says that a bank acknowledges (`ack_file`), its file is looked for
beside each payment file of the last month that has none that fits. One that names another size or
digest, or is not understood, is a finding: no further file of that account leaves until a person
has looked (`payout.refuse_unlooked_finding()`; here it is asked before anything is made).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import PurePosixPath
from typing import Any, Final

import psycopg

from tieout.core.errors import TieoutError
from tieout.core.settings import Settings
from tieout.database import connect
from tieout.payouts import rails
from tieout.payouts.rails import acknowledgements
from tieout.payouts.store import Store

__all__ = [
    "Awaited",
    "Finding",
    "awaited",
    "findings",
    "listed",
    "refuse_findings",
    "take",
    "tell",
]

# How far back files are looked at: as far as outcomes are.
_LOOKBACK_DAYS: Final = 35

_AWAITED: Final = """
    select
        files.batch_message_id,
        files.file_path,
        files.payment_date,
        files.currency_code,
        -- A file that is put out on one day has attempts of that day alone.
        min(attempts.submitted_on) as submitted_on,
        count(*) filter (where opened.status in ('submitted', 'unknown')) as silent_count
    from payout.outbox_files as files
    inner join reference.bank_accounts as accounts
        on files.currency_code = accounts.currency_code
        and accounts.account_kind = 'client_reserve'
    inner join reference.payout_rails as payout_rails
        on accounts.bank_account_id = payout_rails.bank_account_id
    inner join payout.attempts as attempts
        on files.batch_message_id = attempts.batch_message_id
    left join payout.open_attempts as opened on attempts.attempt_id = opened.attempt_id
    where
        payout_rails.acknowledgement = 'ack_file'
        -- Of a bank that began to acknowledge lately, the years before are not looked at.
        and files.payment_date >= %(first_date)s::date - 62
        and not exists (
            select 1
            from payout.file_acknowledgements as acknowledged
            where
                acknowledged.batch_message_id = files.batch_message_id
                and acknowledged.finding is null
        )
        -- What has not got its name yet was not handed over.
        and coalesce(opened.status, 'ended') <> 'created'
    group by files.batch_message_id, files.file_path, files.payment_date, files.currency_code
    having min(attempts.submitted_on) between %(first_date)s and %(last_date)s
    order by files.payment_date, files.batch_message_id
"""

_FINDINGS: Final = """
    select acknowledgement_id, file_name, finding, payment_date, currency_code
    from payout.open_acknowledgement_findings
    where payment_date <= %(last_date)s
    order by acknowledgement_id
"""

# Whether the date has something to put out on an account with a finding.
_STOPPED: Final = """
    select findings.acknowledgement_id, findings.file_name, findings.finding
    from payout.open_acknowledgement_findings as findings
    where exists (
        select 1
        from payout.instructions as instructions
        left join payout.attempts as attempts
            on instructions.instruction_id = attempts.instruction_id
        left join payout.open_attempts as opened on attempts.attempt_id = opened.attempt_id
        where
            instructions.payment_date = %(payment_date)s
            and instructions.currency_code = findings.currency_code
            and (
                opened.status = 'created'
                or (
                    attempts.attempt_id is null
                    and not payout.is_held(instructions.statement_id)
                )
            )
    )
    order by findings.acknowledgement_id
    limit 1
"""


@dataclass(frozen=True, slots=True)
class Awaited:
    """A payment file without an acknowledgement that fits; ``silent_count`` of its payments have no
    answer of the bank's either."""

    batch_message_id: str
    file_path: str
    payment_date: date
    currency_code: str
    submitted_on: date
    silent_count: int

    @property
    def acknowledgement_path(self) -> str:
        """The path of its acknowledgement, in the store of payment files."""
        path = PurePosixPath(self.file_path)
        rail = rails.paying(path.name)
        assert rail is not None, "what is on record has a rail's name"
        return str(path.with_name(rail.acknowledgement_name(path.name)))


def awaited(connection: psycopg.Connection[Any], last_date: date) -> list[Awaited]:
    """Return the files up to a date that are not acknowledged, where their bank does so."""
    first = date.fromordinal(max(last_date.toordinal() - _LOOKBACK_DAYS, 1))
    rows = connection.execute(_AWAITED, {"first_date": first, "last_date": last_date}).fetchall()
    return [Awaited(*row) for row in rows]


@dataclass(frozen=True, slots=True)
class Finding:
    """An acknowledgement that is not of our file, which nobody has looked at."""

    acknowledgement_id: int
    file_name: str
    finding: str
    payment_date: date
    currency_code: str


def findings(connection: psycopg.Connection[Any], last_date: date) -> list[Finding]:
    """Return what stops files, of payment dates up to one, oldest first."""
    rows = connection.execute(_FINDINGS, {"last_date": last_date}).fetchall()
    return [Finding(*row) for row in rows]


def listed(settings: Settings, last_date: date) -> tuple[list[Finding], list[Awaited]]:
    """Return the findings nobody has looked at, and the files without an acknowledgement."""
    with connect(settings) as connection:
        return findings(connection, last_date), awaited(connection, last_date)


def take(connection: psycopg.Connection[Any], drop: Store, last_date: date) -> list[str]:
    """Read the acknowledgements that have come; return the findings among them.

    Raises:
        StoreError: the store of payment files is not reached.
    """
    found = []
    for file in awaited(connection, last_date):
        path = file.acknowledgement_path
        reading = drop.read_bounded(path, acknowledgements.BYTES_MAX + 1)
        if reading is None:
            continue
        rail = rails.paying(PurePosixPath(file.file_path).name)
        assert rail is not None, "what is on record has a rail's name"
        stated, why = acknowledgements.Acknowledgement(None, None), None
        content = reading.content
        try:
            if content is None:
                why = f"it has {reading.size_bytes:,} bytes"
            else:
                stated = rail.read_acknowledgement(content, drop.url_of(path))
        except TieoutError as error:
            why = error.why
        digest = reading.sha256 if content is None else hashlib.sha256(content).hexdigest()
        row = connection.execute(
            "select payout.record_acknowledgement(%s, %s, %s, %s, %s, %s, %s)",
            [
                file.batch_message_id,
                PurePosixPath(path).name,
                digest,
                stated.sha256,
                stated.size_bytes,
                why,
                last_date,
            ],
        ).fetchone()
        if row is not None and row[0] is not None:
            found.append(f"{path}: {row[0]}")
    return found


def refuse_findings(connection: psycopg.Connection[Any], payment_date: date) -> None:
    """Raise where a file of the date would leave by an account whose receiver has another file.

    Raises:
        TieoutError: nobody has looked at the finding yet.
    """
    row = connection.execute(_STOPPED, {"payment_date": payment_date}).fetchone()
    if row is not None:
        number, name, finding = row
        raise TieoutError(
            what=f"no payment file of {payment_date} leaves",
            where=f"acknowledgement {name}",
            why=f"it is not of the file that we put out: {finding}",
            next_step=(
                "ask the bank which file it has, and what it pays; then: tieout payouts looked "
                f"{number} --by NAME --reason TEXT (docs/runbooks/payout-unresolved.md"
                "#acknowledgements)"
            ),
        )


def tell(
    connection: psycopg.Connection[Any], last_date: date, due_through: Mapping[str, date]
) -> list[str]:
    """Return what people have to know: findings, and what is missing where it is due.

    ``due_through``: by currency, the latest day whose files are owed an answer. A file whose
    payments the bank has answered has arrived, whatever its acknowledgement.
    """
    texts = [
        f"acknowledgement {one.file_name} of {one.payment_date} is not of our file: {one.finding}; "
        f"no further payment file in {one.currency_code} leaves; next: tieout payouts looked "
        f"{one.acknowledgement_id}"
        for one in findings(connection, last_date)
    ]
    for file in awaited(connection, last_date):
        due = due_through.get(file.currency_code)
        if due is not None and file.submitted_on <= due and file.silent_count:
            texts.append(
                f"payment file {file.file_path} of {file.payment_date} has no acknowledgement that "
                f"fits ({PurePosixPath(file.acknowledgement_path).name}), and was due one: "
                f"{file.silent_count} payouts are unknown; ask the bank whether it has the file, "
                "never send it again"
            )
    return texts
