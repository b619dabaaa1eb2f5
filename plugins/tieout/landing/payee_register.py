"""Whom a payee's version pays never changes: `control.payee_versions`, written as files land.

The register has what the row that first named a version said. A file that says otherwise under the
same id and version does not land, and its finding names both rows. Status and end may change: they
name nobody else to be paid. A version whose file no longer counts is replaced, unless it was paid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import psycopg
from psycopg.rows import class_row

from tieout.channels.common.model import BadRow, ParsedFile
from tieout.core.payment_texts import address_text
from tieout.core.settings import Settings
from tieout.landing.copying import lock_for_transaction
from tieout.protection import tokens

__all__ = [
    "TABLE",
    "Payee",
    "adopt",
    "checked",
    "contradictions",
    "landed_payees",
    "parsed_payees",
    "register",
]

TABLE = "platform_payees"
# In the order in which a finding names them; tokens are compared apart.
_PLAIN_FIELDS = ("account_id", "currency_code", "bank_code", "effective_from")
_TOKEN_FIELDS = ("account_number", "account_name")


@dataclass(frozen=True, slots=True)
class Payee:
    """A row of a payees file: what its version says. Nothing in it is clear text."""

    line_number: int
    payee_id: str
    payee_version: int
    account_id: str
    currency_code: str
    bank_code: str
    effective_from: date
    account_number_ciphertext: str
    account_number_token: str
    account_name_ciphertext: str
    account_name_token: str
    town: str | None
    country_code: str | None
    post_code: str | None
    street_ciphertext: str | None
    building_ciphertext: str | None


@dataclass(frozen=True, slots=True)
class _Registered:
    """A version on record, and where it stands. `may_go`: its file no longer counts, unpaid.

    `address_token` is empty where the version states no address, and None in one of before 0040,
    whose first row has it.
    """

    payee_id: str
    payee_version: int
    account_id: str
    currency_code: str
    bank_code: str
    effective_from: date
    account_number_token: str
    account_name_token: str
    address_token: str | None
    town: str | None
    country_code: str | None
    post_code: str | None
    street_ciphertext: str | None
    building_ciphertext: str | None
    file_name: str
    line_number: int
    may_go: bool


_COLUMNS = (
    "line_number, payee_id, payee_version, account_id, currency_code, bank_code, effective_from,"
    " account_number_ciphertext, account_number_token, account_name_ciphertext, account_name_token,"
    " town, country_code, post_code, street_ciphertext, building_ciphertext"
)

# A version may also stand in other files that count: then it stays, whatever became of the first.
_REGISTERED = """
    select
        versions.payee_id,
        versions.payee_version,
        versions.account_id,
        versions.currency_code,
        versions.bank_code,
        versions.effective_from,
        versions.account_number_token,
        versions.account_name_token,
        versions.address_token,
        first_rows.town,
        first_rows.country_code,
        first_rows.post_code,
        first_rows.street_ciphertext,
        first_rows.building_ciphertext,
        files.file_name,
        versions.line_number,
        -- Nearly every version stands in a file that counts: the rest is not looked up for it.
        (files.status <> 'landed' or files.file_id is not distinct from %(replaced_file_id)s)
        and not exists (
            select 1
            from payout.instructions as instructions
            where
                instructions.payee_id = versions.payee_id
                and instructions.payee_version = versions.payee_version
        )
        and not exists (
            select 1
            from raw.platform_payees as others
            inner join control.channel_files as other_files
                on others.file_id = other_files.file_id
            where
                others.accounting_date >= versions.accounting_date
                and others.payee_id = versions.payee_id
                and others.payee_version = versions.payee_version
                and other_files.status = 'landed'
                and other_files.file_id not in (versions.file_id, %(file_id)s)
                and other_files.file_id is distinct from %(replaced_file_id)s
        ) as may_go
    from unnest(%(ids)s::text[], %(versions)s::integer[]) as wanted (payee_id, payee_version)
    inner join control.payee_versions as versions
        on
            wanted.payee_id = versions.payee_id
            and wanted.payee_version = versions.payee_version
    inner join control.channel_files as files
        on versions.file_id = files.file_id
    -- Of a version of before only: the others have their token.
    left join raw.platform_payees as first_rows
        on
            versions.address_token is null
            and versions.accounting_date = first_rows.accounting_date
            and versions.file_id = first_rows.file_id
            and versions.line_number = first_rows.line_number
"""


_UNREGISTERED = """
    select file_id, accounting_date
    from control.channel_files
    where
        channel = 'platform'
        and file_kind = 'payees'
        and status = 'landed'
        and accounting_date > coalesce(
            (
                select max(accounting_date)
                from control.accounting_days
                where state = 'sealed'
            ),
            '-infinity'
        )
        and not exists (select 1 from control.payee_versions)
    order by accounting_date, file_id
"""


def parsed_payees(parsed: ParsedFile) -> list[Payee]:
    """Return the payees of a parsed file; none where it holds none, or is not good."""
    frame = parsed.frames.get(TABLE)
    if frame is None or not parsed.is_good:
        return []
    names = [name.strip() for name in _COLUMNS.split(",")]
    return [Payee(**row) for row in frame.select(names).iter_rows(named=True)]


def landed_payees(connection: psycopg.Connection[Any], file_id: str, day: date) -> list[Payee]:
    """Return the payees of a file whose rows are in the raw table of `day`."""
    with connection.cursor(row_factory=class_row(Payee)) as cursor:
        return cursor.execute(
            f"select {_COLUMNS} from raw.platform_payees"
            " where accounting_date = %s and file_id = %s order by line_number",
            [day, file_id],
        ).fetchall()


def checked(
    connection: psycopg.Connection[Any],
    settings: Settings,
    file_id: str,
    parsed: ParsedFile,
    *,
    replaced_file_id: str | None,
) -> ParsedFile:
    """Return the file with a finding for each version that it gives another content.

    `replaced_file_id` is the landed file whose place it would take: what only that one said is no
    reason.

    Raises:
        SecretsError: a version is on record under a token key that is not at hand.
    """
    payees = parsed_payees(parsed)
    if not payees:
        return parsed
    bad_rows = contradictions(
        connection, settings, file_id, payees, replaced_file_id=replaced_file_id
    )
    return replace(parsed, bad_rows=(*parsed.bad_rows, *bad_rows)) if bad_rows else parsed


def contradictions(
    connection: psycopg.Connection[Any],
    settings: Settings,
    file_id: str,
    payees: Sequence[Payee],
    *,
    replaced_file_id: str | None,
) -> list[BadRow]:
    """Return a finding for each payee whose version is on record with another content."""
    registered = _registered(connection, file_id, payees, replaced_file_id)
    findings = []
    for payee in payees:
        known = registered.get((payee.payee_id, payee.payee_version))
        if known is None or known.may_go:
            continue
        differing = _differing(settings, payee, known)
        if differing:
            findings.append(
                BadRow(
                    payee.line_number,
                    differing[0],
                    "payee_version_changed",
                    f"payee {payee.payee_id} version {payee.payee_version} has another "
                    f"{', '.join(differing)} than in {known.file_name} line {known.line_number}; "
                    "a version's content never changes, a change is a new version",
                )
            )
    return findings


def register(
    connection: psycopg.Connection[Any],
    settings: Settings,
    file_id: str,
    day: date,
    payees: Sequence[Payee],
) -> None:
    """Put the file's versions on record, those that are there already left out.

    The file has landed in the caller's transaction, and `contradictions` found nothing: a version
    whose file no longer counts makes way.
    """
    if not payees:
        return
    known = _registered(connection, file_id, payees, None)
    leaving = [key for key, version in known.items() if version.may_go]
    with connection.cursor() as cursor:
        cursor.executemany(
            "delete from control.payee_versions where payee_id = %s and payee_version = %s",
            leaving,
        )
    new = [
        payee
        for payee in payees
        if (payee.payee_id, payee.payee_version) not in known
        or known[payee.payee_id, payee.payee_version].may_go
    ]
    connection.execute(
        """
        insert into control.payee_versions (
            payee_id, payee_version, account_id, currency_code, bank_code, account_number_token,
            account_name_token, address_token, effective_from, line_number, file_id,
            accounting_date
        )
        select
            payees.*,
            %(file_id)s as file_id,
            %(accounting_date)s as accounting_date
        from unnest(
            %(ids)s::text[], %(versions)s::integer[], %(accounts)s::text[], %(currencies)s::text[],
            %(banks)s::text[], %(numbers)s::text[], %(names)s::text[], %(addresses)s::text[],
            %(starts)s::date[], %(lines)s::integer[]
        ) as payees
        """,
        {
            "file_id": file_id,
            "accounting_date": day,
            "ids": [payee.payee_id for payee in new],
            "versions": [payee.payee_version for payee in new],
            "accounts": [payee.account_id for payee in new],
            "currencies": [payee.currency_code for payee in new],
            "banks": [payee.bank_code for payee in new],
            "numbers": [payee.account_number_token for payee in new],
            "names": [payee.account_name_token for payee in new],
            "addresses": [_address_token(settings, payee) for payee in new],
            "starts": [payee.effective_from for payee in new],
            "lines": [payee.line_number for payee in new],
        },
    )


def adopt(connection: psycopg.Connection[Any], settings: Settings) -> int:
    """Register the payees of dates that are not paid, where none is on record yet; return how many.

    They landed under a version of the program without a register: their ciphertexts are bound to
    nothing, and their names have no token. Both are made, once, after the upgrade. The first file
    that names a version counts.

    Raises:
        SecretsError: no key opens them.
    """
    with connection.transaction():
        lock_for_transaction(connection, "tieout/payee_versions")
        files = connection.execute(_UNREGISTERED).fetchall()
        for file_id, day in files:
            rows = connection.execute(
                "select line_number, payee_id, payee_version, account_number_ciphertext,"
                " account_name_ciphertext from raw.platform_payees"
                " where accounting_date = %s and file_id = %s and account_name_token is null",
                [day, file_id],
            ).fetchall()
            for line_number, payee_id, version, number, name in rows:
                clear = [tokens.decrypt(text, settings=settings) for text in (number, name)]
                bound = [
                    tokens.encrypt_bound(text, (field, payee_id, str(version)), settings=settings)
                    for field, text in zip(_TOKEN_FIELDS, clear, strict=True)
                ]
                connection.execute(
                    "update raw.platform_payees set account_number_ciphertext = %s,"
                    " account_name_ciphertext = %s, account_name_token = %s"
                    " where accounting_date = %s and file_id = %s and line_number = %s",
                    [
                        *bound,
                        tokens.account_token(clear[1:], settings=settings)[0],
                        day,
                        file_id,
                        line_number,
                    ],
                )
            register(connection, settings, file_id, day, landed_payees(connection, file_id, day))
    return len(files)


def _registered(
    connection: psycopg.Connection[Any],
    file_id: str,
    payees: Sequence[Payee],
    replaced_file_id: str | None,
) -> dict[tuple[str, int], _Registered]:
    with connection.cursor(row_factory=class_row(_Registered)) as cursor:
        rows = cursor.execute(
            _REGISTERED,
            {
                "file_id": file_id,
                "replaced_file_id": replaced_file_id,
                "ids": [payee.payee_id for payee in payees],
                "versions": [payee.payee_version for payee in payees],
            },
        ).fetchall()
    return {(row.payee_id, row.payee_version): row for row in rows}


def _differing(settings: Settings, payee: Payee, known: _Registered) -> list[str]:
    """Return the fields in which a payee differs from what is on record."""
    plain = [name for name in _PLAIN_FIELDS if getattr(payee, name) != getattr(known, name)]
    return [
        *(name for name in _TOKEN_FIELDS if not _is_same(settings, payee, known, name)),
        *plain,
        *(() if _has_address_of(settings, payee, known) else ("address",)),
    ]


def _is_same(settings: Settings, payee: Payee, known: _Registered, name: str) -> bool:
    """Say whether a protected field is the one on record, under whatever token key that was."""
    token: str = getattr(payee, f"{name}_token")
    recorded: str = getattr(known, f"{name}_token")
    if token == recorded:
        return True
    if token.partition(".")[0] == recorded.partition(".")[0]:
        return False
    place = (name, payee.payee_id, str(payee.payee_version))
    text = tokens.decrypt_bound(getattr(payee, f"{name}_ciphertext"), place, settings=settings)
    return tokens.account_token_like(recorded, text, settings=settings) == recorded


def _has_address_of(settings: Settings, payee: Payee, known: _Registered) -> bool:
    """Say whether a payee has the address that is on record, under whatever token key that was."""
    text = _address(settings, payee)
    recorded = known.address_token
    if recorded is None:
        return text == _address(settings, known)
    if not (text and recorded):
        return text == recorded
    return tokens.account_token_like(recorded, text, settings=settings) == recorded


def _address_token(settings: Settings, payee: Payee) -> str:
    """Return the token of a payee's address; empty where it has none."""
    text = _address(settings, payee)
    return tokens.account_token([text], settings=settings)[0] if text else ""


def _address(settings: Settings, row: Payee | _Registered) -> str:
    place = (row.payee_id, str(row.payee_version))
    street, building = (
        None if text is None else tokens.decrypt_bound(text, (field, *place), settings=settings)
        for field, text in (
            ("street", row.street_ciphertext),
            ("building", row.building_ciphertext),
        )
    )
    return address_text(row.town, row.country_code, row.post_code, street, building)
