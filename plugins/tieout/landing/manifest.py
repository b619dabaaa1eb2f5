"""The manifest `control.channel_files`, and the quarantine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import psycopg

from tieout.channels.model import BadRow, ParsedFile
from tieout.channels.registry import RecognisedFile, recognise

__all__ = [
    "ArrivedFile",
    "KnownFile",
    "arrived_file",
    "booking_date",
    "files_of_slot",
    "known_file",
    "quarantine_rows",
    "reason_of",
    "sealed_files",
    "supersede",
    "write_entry",
]

TOTALS_SHOWN = 3


@dataclass(frozen=True, slots=True)
class ArrivedFile:
    """A recognised file with its bytes."""

    file: RecognisedFile
    url: str
    content: bytes
    sha256: str
    file_id: str


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A row of the manifest."""

    file_id: str
    file_name: str
    status: str
    row_count: int | None
    reason: str | None


def arrived_file(file: RecognisedFile, url: str, content: bytes) -> ArrivedFile:
    """Return the file with its ids: `sha256` of the bytes, `file_id` of place and bytes.

    Equal bytes of two dates (empty files, snapshots without a change) are two files.
    """
    sha256 = hashlib.sha256(content).hexdigest()
    file_id = hashlib.sha256(f"{file.slot}\n{sha256}".encode()).hexdigest()[:16]
    return ArrivedFile(file, url, content, sha256, file_id)


def known_file(connection: psycopg.Connection[Any], file_id: str) -> KnownFile | None:
    """Return the manifest's row of a file, or None."""
    row = connection.execute(
        """
        select file_id, file_name, status, row_count, reason
        from control.channel_files
        where file_id = %s
        """,
        [file_id],
    ).fetchone()
    return None if row is None else KnownFile(*row)


def sealed_files(connection: psycopg.Connection[Any]) -> dict[tuple[str, int], KnownFile]:
    """Return the landed files of sealed dates by URL and size: nothing about them can change."""
    rows = connection.execute(
        """
        select file_url, size_bytes, file_id, file_name, files.status, row_count, reason
        from control.channel_files as files
        inner join control.accounting_days as days
            on files.accounting_date = days.accounting_date
        where days.state = 'sealed'
            and files.status = 'landed'
        """
    ).fetchall()
    return {(url, size): KnownFile(*known) for url, size, *known in rows}


def files_of_slot(connection: psycopg.Connection[Any], file: RecognisedFile) -> list[KnownFile]:
    """Return every file of the same place, the latest first."""
    rows = connection.execute(
        """
        select file_id, file_name, status, row_count, reason
        from control.channel_files
        where channel = %s
            and file_kind = %s
            and accounting_date = %s
        order by landed_at desc, file_id asc
        """,
        [file.channel, file.file_kind, file.accounting_date],
    ).fetchall()
    known = [KnownFile(*row) for row in rows]
    return [other for other in known if _slot_of(other.file_name) == file.slot]


def _slot_of(file_name: str) -> str | None:
    recognised = recognise(file_name)
    return recognised.slot if recognised else None


def booking_date(connection: psycopg.Connection[Any], file: RecognisedFile) -> date:
    """Return the date the file's rows are booked on: its own, and for a bank's file the first open.

    A late bank file cannot change a closed day: its lines are booked on the next open one.
    """
    if file.channel != "bank":
        return file.accounting_date
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
        {"day": file.accounting_date},
    ).fetchone()
    booked_on: date = row[0] if row and row[0] else file.accounting_date
    return booked_on


def reason_of(parsed: ParsedFile) -> str | None:
    """Return in one line why a file is not accepted, or None where nothing speaks against it."""
    if parsed.is_good:
        return None
    totals = [total for total in parsed.totals if not total.agrees]
    reasons = [
        f"total {total.name} says {total.declared}, counted {total.counted}"
        for total in totals[:TOTALS_SHOWN]
    ]
    if parsed.bad_rows:
        first = parsed.bad_rows[0]
        place = f"line {first.line_number}: " if first.line_number else ""
        name = f"{first.field}: " if first.field else ""
        more = f" (and {len(parsed.bad_rows) - 1} more)" if len(parsed.bad_rows) > 1 else ""
        reasons.insert(0, f"{place}{name}{first.reason} [{first.reason_code}]{more}")
    return "; ".join(reasons)


def write_entry(
    connection: psycopg.Connection[Any],
    arrived: ArrivedFile,
    parsed: ParsedFile | None,
    *,
    status: str,
    reason: str | None = None,
    booked_on: date | None = None,
    supersedes: str | None = None,
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
            control_totals, totals_status, status, supersedes, reason, masked_values
        )
        values (
            %(file_id)s, %(file_name)s, %(file_url)s, %(sha256)s, %(size_bytes)s, %(channel)s,
            %(file_kind)s, %(accounting_date)s, %(booked_on)s, %(row_count)s,
            %(declared_row_count)s, %(declared_total_minor)s, %(counted_total_minor)s,
            %(control_totals)s, %(totals_status)s, %(status)s, %(supersedes)s, %(reason)s,
            %(masked_values)s
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
            masked_values = excluded.masked_values,
            landed_at = now()
        """,
        {
            "file_id": arrived.file_id,
            "file_name": arrived.file.file_name,
            "file_url": arrived.url,
            "sha256": arrived.sha256,
            "size_bytes": len(arrived.content),
            "channel": arrived.file.channel,
            "file_kind": arrived.file.file_kind,
            "accounting_date": arrived.file.accounting_date,
            "booked_on": booked_on,
            "row_count": parsed.row_count if parsed else None,
            "declared_row_count": parsed.declared_row_count if parsed else None,
            "declared_total_minor": parsed.declared_total_minor if parsed else None,
            "counted_total_minor": parsed.counted_total_minor if parsed else None,
            "control_totals": json.dumps(totals, ensure_ascii=False),
            "totals_status": parsed.totals_status if parsed else None,
            "status": status,
            "supersedes": supersedes,
            "reason": reason,
            "masked_values": json.dumps([asdict(found) for found in parsed.masked])
            if parsed
            else "[]",
        },
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
