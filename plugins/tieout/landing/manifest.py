"""The manifest `control.channel_files`, and the quarantine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg.rows import class_row

from tieout.channels.common.amounts import amount_shown
from tieout.channels.common.model import BadRow, ControlTotal, ParsedFile
from tieout.channels.registry import RecognisedFile
from tieout.files import store_urls
from tieout.files.stores import FileBytes, FoundFile
from tieout.landing.row_spool import row_blocks

__all__ = [
    "ArrivedFile",
    "KnownFile",
    "arrived_file",
    "booking_date",
    "clock",
    "files_of_slot",
    "first_open_date",
    "found_again",
    "known_file",
    "landed_elsewhere",
    "quarantine_rows",
    "reason_of",
    "rows_digest",
    "sealed_files",
    "set_status",
    "supersede",
    "was_corrected",
    "write_decision",
    "write_entry",
    "write_unrecognised",
]

TOTALS_SHOWN = 3


@dataclass(frozen=True, slots=True)
class ArrivedFile:
    """A recognised file with its bytes; `content` is None where it is too large to be parsed."""

    file: RecognisedFile
    url: str
    content: bytes | None
    sha256: str
    size_bytes: int
    file_id: str
    store_version: str | None = None
    changed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A row of the manifest. `booked_on` is NULL for a file that never landed."""

    file_id: str
    file_name: str
    file_url: str
    file_kind: str | None
    sha256: str
    status: str
    row_count: int | None
    booked_on: date | None
    rows_digest: str | None
    landed_at: datetime
    reason: str | None


_KNOWN = """
    select
        files.file_id, files.file_name, files.file_url, files.file_kind, files.sha256, files.status,
        files.row_count, files.booked_on, files.rows_digest, files.landed_at, files.reason
    from control.channel_files as files
"""


def arrived_file(
    file: RecognisedFile, url: str, read: FileBytes, found: FoundFile | None = None
) -> ArrivedFile:
    """Return the file with its ids: `sha256` of the bytes, `file_id` of place and bytes.

    Equal bytes of two dates (empty files, snapshots without a change) are two files. `found` is
    what the store says of it, where it comes from a store.
    """
    return ArrivedFile(
        file,
        url,
        read.content,
        read.sha256,
        read.size_bytes,
        _file_id(file.slot, read.sha256),
        found.version if found else None,
        found.changed_at if found else None,
    )


def _file_id(place: str, sha256: str) -> str:
    return hashlib.sha256(f"{place}\n{sha256}".encode()).hexdigest()[:16]


def clock(connection: psycopg.Connection[Any]) -> datetime:
    """Return the database's time, which `landed_at` is of."""
    row = connection.execute("select clock_timestamp()").fetchone()
    assert row is not None
    now: datetime = row[0]
    return now


def known_file(connection: psycopg.Connection[Any], file_id: str) -> KnownFile | None:
    """Return the manifest's row of a file, or None."""
    with connection.cursor(row_factory=class_row(KnownFile)) as cursor:
        return cursor.execute(f"{_KNOWN} where files.file_id = %s", [file_id]).fetchone()


def sealed_files(
    connection: psycopg.Connection[Any],
) -> dict[tuple[str, int | None, str | None], KnownFile]:
    """Return the landed files of sealed dates by URL, size and version: they need no second look.

    A file whose store says nothing that would change with its bytes is read again each time: a
    correction of a paid date may have as many bytes as what it corrects.
    """
    rows = connection.execute(
        """
        select
            file_url, size_bytes, store_version,
            file_id, file_name, file_url, file_kind, sha256, files.status, row_count, booked_on,
            rows_digest, landed_at, reason
        from control.channel_files as files
        inner join control.accounting_days as days
            on files.accounting_date = days.accounting_date
        where days.state = 'sealed'
            and files.status = 'landed'
            and files.store_version is not null
        """
    ).fetchall()
    return {tuple(row[:3]): KnownFile(*row[3:]) for row in rows}


def found_again(connection: psycopg.Connection[Any], arrived: ArrivedFile) -> None:
    """Note what the store says now of bytes that were seen before."""
    connection.execute(
        """
        update control.channel_files
        set store_version = %(version)s
        where file_id = %(file_id)s
            and file_url = any(%(urls)s)
            and store_version is distinct from %(version)s
        """,
        {
            "version": arrived.store_version,
            "file_id": arrived.file_id,
            "urls": [arrived.url, store_urls.without_host(arrived.url)],
        },
    )


def files_of_slot(connection: psycopg.Connection[Any], file: RecognisedFile) -> list[KnownFile]:
    """Return every file of the same place, the latest first."""
    with connection.cursor(row_factory=class_row(KnownFile)) as cursor:
        return cursor.execute(
            f"{_KNOWN} where slot = %s order by landed_at desc, file_id asc", [file.slot]
        ).fetchall()


def landed_elsewhere(
    connection: psycopg.Connection[Any], arrived: ArrivedFile, parsed: ParsedFile
) -> tuple[date, str] | None:
    """Return date and name of a landed file of another place that has the same content, or None.

    The same bytes, the same rows in other bytes (packed, other line ends), or one of the bank's
    statements.
    """
    rows = connection.execute(
        """
        select accounting_date, file_name, sha256, rows_digest
        from control.channel_files
        where channel = %(channel)s
            and file_kind = %(file_kind)s
            and slot is distinct from %(slot)s
            and status = 'landed'
            and (sha256 = %(sha256)s or (row_count = %(row_count)s and rows_digest is not null))
        order by accounting_date, file_name, file_id
        """,
        {
            "channel": arrived.file.channel,
            "file_kind": arrived.file.file_kind,
            "slot": arrived.file.slot,
            "sha256": arrived.sha256,
            "row_count": parsed.row_count,
        },
    ).fetchall()
    digest = rows_digest(parsed) if rows else None
    for accounting_date, file_name, sha256, other_digest in rows:
        if sha256 == arrived.sha256 or (digest is not None and other_digest == digest):
            return accounting_date, file_name
    return _statement_elsewhere(connection, arrived, parsed)


def _statement_elsewhere(
    connection: psycopg.Connection[Any], arrived: ArrivedFile, parsed: ParsedFile
) -> tuple[date, str] | None:
    """Return the landed file that has one of the file's statements, of one id and balances."""
    statements = parsed.frames.get("bank_statements")
    if statements is None or statements.is_empty():
        return None
    names = (
        "bank_account_id",
        "statement_id",
        "statement_date",
        "opening_balance_minor",
        "closing_balance_minor",
        "entry_count",
    )
    row = connection.execute(
        """
        select files.accounting_date, files.file_name
        from unnest(
            %s::text[], %s::text[], %s::date[], %s::bigint[], %s::bigint[], %s::integer[]
        ) as arrived (
            bank_account_id, statement_id, statement_date, opening_balance_minor,
            closing_balance_minor, entry_count
        )
        inner join raw.bank_statements as statements
            on arrived.bank_account_id = statements.bank_account_id
            and arrived.statement_id = statements.statement_id
            and arrived.statement_date = statements.statement_date
            and arrived.opening_balance_minor = statements.opening_balance_minor
            and arrived.closing_balance_minor = statements.closing_balance_minor
            and arrived.entry_count = statements.entry_count
        inner join control.channel_files as files
            on statements.file_id = files.file_id and files.status = 'landed'
        where arrived.entry_count > 0
            and statements.accounting_date >= %s
            and files.slot is distinct from %s
        order by files.accounting_date, files.file_name, files.file_id
        limit 1
        """,
        [
            *(statements[name].to_list() for name in names),
            statements["statement_date"].min(),
            arrived.file.slot,
        ],
    ).fetchone()
    return (row[0], row[1]) if row else None


def was_corrected(connection: psycopg.Connection[Any], file_id: str) -> bool:
    """Say whether it was its sender's correction that last took the file's place."""
    row = connection.execute(
        """
        select action
        from control.file_decisions
        where replaced_file_id = %s
        order by decision_id desc
        limit 1
        """,
        [file_id],
    ).fetchone()
    return row is not None and row[0] == "correct"


def set_status(connection: psycopg.Connection[Any], file_id: str, status: str, reason: str) -> None:
    """Change what a file is on record as."""
    connection.execute(
        "update control.channel_files set status = %s, reason = %s where file_id = %s",
        [status, reason, file_id],
    )


def booking_date(connection: psycopg.Connection[Any], file: RecognisedFile) -> date:
    """Return the date the file's rows are booked on: its own, and for a bank's file the first open.

    A late bank file cannot change a closed day: its lines are booked on the next open one.
    """
    if file.channel != "bank":
        return file.accounting_date
    return first_open_date(connection, file.accounting_date)


def first_open_date(connection: psycopg.Connection[Any], day: date) -> date:
    """Return the first date from a day on that is not closed, or that no close was started of."""
    row = connection.execute(
        """
        select min(days.day)::date
        from generate_series(%(day)s::date, %(day)s::date + 3660, interval '1 day') as days (day)
        where not exists (
            select 1
            from control.accounting_days
            where accounting_days.accounting_date = days.day
                and accounting_days.state <> 'open'
        )
        """,
        {"day": day},
    ).fetchone()
    found: date = row[0] if row and row[0] else day
    return found


def rows_digest(parsed: ParsedFile) -> str | None:
    """Return a digest of the rows whatever their order, or None where rows cannot be compared.

    Lines do not count; a table with ciphertext, which is another one each time, cannot be compared.
    """
    digest = hashlib.sha256()
    for table in sorted(parsed.frames):
        hashes: list[npt.NDArray[np.uint64]] = []
        columns: list[str] = []
        for block in row_blocks(parsed.frames, table):
            frame = block.drop("line_number", strict=False)
            columns = frame.columns
            if any(name.endswith("_ciphertext") for name in columns):
                return None
            if frame.width and len(frame):
                hashes.append(frame.hash_rows().to_numpy())
        digest.update(f"{table} {columns} ".encode())
        digest.update(np.sort(np.concatenate(hashes)).tobytes() if hashes else b"")
    return digest.hexdigest() if parsed.frames else None


def reason_of(parsed: ParsedFile) -> str | None:
    """Return in one line why a file is not accepted, or None where nothing speaks against it."""
    if parsed.is_good:
        return None
    totals = [total for total in parsed.totals if not total.agrees]
    reasons = [_total_shown(total) for total in totals[:TOTALS_SHOWN]]
    if parsed.bad_rows:
        first = parsed.bad_rows[0]
        place = f"line {first.line_number}: " if first.line_number else ""
        name = f"{first.field}: " if first.field else ""
        more = f" (and {len(parsed.bad_rows) - 1} more)" if len(parsed.bad_rows) > 1 else ""
        reasons.insert(0, f"{place}{name}{first.reason} [{first.reason_code}]{more}")
    return "; ".join(reasons)


def _total_shown(total: ControlTotal) -> str:
    def shown(figure: int | None) -> str:
        if figure is None:
            return "what is no figure"
        if total.currency_code is None:
            return str(figure)
        return amount_shown(figure, total.currency_code)

    return f"total {total.name} says {shown(total.declared)}, counted {shown(total.counted)}"


def write_entry(
    connection: psycopg.Connection[Any],
    arrived: ArrivedFile,
    parsed: ParsedFile | None,
    *,
    status: str,
    reason: str | None = None,
    booked_on: date | None = None,
    supersedes: str | None = None,
    digest: str | None = None,
) -> None:
    """Write or rewrite the file's row. `parsed` is None where the content was not looked at."""
    totals = [
        {"name": total.name, "declared": total.declared, "counted": total.counted}
        for total in (parsed.totals if parsed else ())
    ]
    connection.execute(
        """
        insert into control.channel_files (
            file_id, file_name, file_url, sha256, size_bytes, channel, file_kind, accounting_date,
            booked_on, row_count, declared_row_count, declared_total_minor, counted_total_minor,
            control_totals, totals_status, status, supersedes, reason, store_version, rows_digest,
            masked_values, slot
        )
        values (
            %(file_id)s, %(file_name)s, %(file_url)s, %(sha256)s, %(size_bytes)s, %(channel)s,
            %(file_kind)s, %(accounting_date)s, %(booked_on)s, %(row_count)s,
            %(declared_row_count)s, %(declared_total_minor)s, %(counted_total_minor)s,
            %(control_totals)s, %(totals_status)s, %(status)s, %(supersedes)s, %(reason)s,
            %(store_version)s, %(rows_digest)s, %(masked_values)s, %(slot)s
        )
        on conflict (file_id) do update set
            file_name = excluded.file_name,
            file_url = excluded.file_url,
            booked_on = excluded.booked_on,
            row_count = excluded.row_count,
            declared_row_count = excluded.declared_row_count,
            declared_total_minor = excluded.declared_total_minor,
            counted_total_minor = excluded.counted_total_minor,
            control_totals = excluded.control_totals,
            totals_status = excluded.totals_status,
            status = excluded.status,
            supersedes = excluded.supersedes,
            reason = excluded.reason,
            store_version = excluded.store_version,
            rows_digest = excluded.rows_digest,
            masked_values = excluded.masked_values,
            landed_at = now()
        """,
        {
            "file_id": arrived.file_id,
            "file_name": arrived.file.file_name,
            "file_url": arrived.url,
            "sha256": arrived.sha256,
            "size_bytes": arrived.size_bytes,
            "channel": arrived.file.channel,
            "file_kind": arrived.file.file_kind,
            "accounting_date": arrived.file.accounting_date,
            "slot": arrived.file.slot,
            "booked_on": booked_on,
            "row_count": parsed.row_count if parsed else None,
            "declared_row_count": _integer(parsed.declared_row_count) if parsed else None,
            "declared_total_minor": _bigint(parsed.declared_total_minor) if parsed else None,
            "counted_total_minor": _bigint(parsed.counted_total_minor) if parsed else None,
            "control_totals": json.dumps(totals, ensure_ascii=False),
            "totals_status": parsed.totals_status if parsed else None,
            "status": status,
            "supersedes": supersedes,
            "reason": reason,
            "store_version": arrived.store_version,
            "rows_digest": digest,
            "masked_values": json.dumps([asdict(found) for found in parsed.masked])
            if parsed
            else "[]",
        },
    )
    connection.execute(
        """
        update control.channel_files
        set status = 'superseded', reason = %s
        where sha256 = %s
            and status = 'unrecognised'
        """,
        [f"known since as {arrived.file_id}", arrived.sha256],
    )


def _integer(value: int | None) -> int | None:
    return value if value is not None and abs(value) < 2**31 else None


def _bigint(value: int | None) -> int | None:
    """Return what a column of 64 bits holds; a total beyond stays in `control_totals` as it is."""
    return value if value is not None and abs(value) < 2**63 else None


def write_unrecognised(
    connection: psycopg.Connection[Any], name: str, url: str, read: FileBytes, reason: str
) -> KnownFile:
    """Put a file whose name nobody knows on record, once; return its row.

    `name` and `url` are masked: a name can hold anything.
    """
    file_id = _file_id(f"unrecognised/{name}", read.sha256)
    connection.execute(
        """
        insert into control.channel_files
            (file_id, file_name, file_url, sha256, size_bytes, status, reason)
        values (%s, %s, %s, %s, %s, 'unrecognised', %s)
        on conflict (file_id) do nothing
        """,
        [file_id, name, url, read.sha256, read.size_bytes, reason],
    )
    known = known_file(connection, file_id)
    assert known is not None
    return known


def write_decision(
    connection: psycopg.Connection[Any],
    file_id: str,
    action: str,
    *,
    status_before: str | None,
    status_after: str,
    decided_by: str,
    reason: str,
    replaced: str | None = None,
    excluded_row_count: int = 0,
    reopened: Sequence[date] = (),
) -> None:
    """Append what was decided about a file, by whom and which dates it opened."""
    connection.execute(
        """
        insert into control.file_decisions
            (file_id, action, status_before, status_after, replaced_file_id, excluded_row_count,
                reopened_dates, decided_by, reason)
        values (%s, %s, %s, %s, %s, %s, %s, %s, %s)
        """,
        [
            file_id,
            action,
            status_before,
            status_after,
            replaced,
            excluded_row_count,
            list(reopened),
            decided_by,
            reason,
        ],
    )


def quarantine_rows(
    connection: psycopg.Connection[Any], file_id: str, bad_rows: Sequence[BadRow]
) -> None:
    """Write the file's bad rows in place of those an earlier attempt wrote."""
    connection.execute("delete from control.quarantined_rows where file_id = %s", [file_id])
    with connection.cursor() as cursor:
        cursor.executemany(
            """
            insert into control.quarantined_rows
                (file_id, line_number, field, reason_code, reason, row_excerpt_masked)
            values (%s, %s, %s, %s, %s, %s)
            """,
            [
                (file_id, row.line_number, row.field, row.reason_code, row.reason, row.excerpt)
                for row in bad_rows
            ],
        )


def supersede(connection: psycopg.Connection[Any], file_ids: Sequence[str], reason: str) -> None:
    """Mark files a good one has taken the place of; none of their rows counts."""
    connection.execute(
        """
        update control.channel_files
        set status = 'superseded', reason = coalesce(reason || '; ', '') || %s
        where file_id = any(%s)
        """,
        [reason, list(file_ids)],
    )
