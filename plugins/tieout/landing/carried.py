"""Vouchers of a sealed date that are put on an open one: late ones, and approved corrections.

A sealed date's rows stay as they are. A voucher that a later version of its file brings, and that
no date has, is landed again from `raw_versions` with the first open date: paired, cleared, held and
paid there like an order booked late. A difference that two people approved becomes a voucher of its
own. Both are registered like every voucher, so neither counts twice
(docs/decisions/0063-restatements.md).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import date
from typing import Any

import psycopg
from psycopg import sql

from tieout.core.progress import say
from tieout.core.settings import Settings
from tieout.dates import days
from tieout.landing import manifest
from tieout.landing.copying import insert_rows
from tieout.landing.register import REGISTERED_TABLE, RepeatedVouchersError, register_vouchers

__all__ = ["CARRIED_KIND", "Carried", "carry_approved", "carry_late"]

CARRIED_KIND = "carried_vouchers"

_LATE = sql.SQL(
    """
    select (jsonb_populate_record(
        null::raw.platform_source_vouchers,
        to_jsonb(versions) || jsonb_build_object(
            'file_id', %(file_id)s::text,
            'accounting_date', %(booked_on)s::date,
            'is_late_order', true
        )
    )).*
    from raw_versions.platform_source_vouchers as versions
    where versions.file_id = %(version)s
        and not exists (
            select 1
            from control.voucher_register as register
            where register.source = 'platform' and register.voucher_id = versions.voucher_id
        )
    """
)
# A correction is a voucher on record with another id, kind and amount, or the version's where a
# sale moved to another account. What is given back names its sale, as a refund or reversal does, so
# that its fee comes back by the rule of its contract; what takes a return back names its sale too.
# A sale that moved lands when who had it was charged and covers that, and alone: {moved} is which.
_CORRECTIONS = """
    with copied as (
        select
            bookings.correcting_voucher_id,
            to_jsonb(known) as content
        from control.restatement_bookings as bookings
        inner join control.voucher_register as register
            on register.source = 'platform' and register.voucher_id = bookings.row_voucher_id
        inner join raw.platform_source_vouchers as known
            on register.accounting_date = known.accounting_date
            and register.file_id = known.file_id
            and register.line_number = known.line_number
        where bookings.request_id = %(request)s
        union all
        select
            bookings.correcting_voucher_id,
            to_jsonb(came) as content
        from control.restatement_bookings as bookings
        inner join control.restatement_files as read_files
            on bookings.restatement_id = read_files.restatement_id
        inner join raw_versions.platform_source_vouchers as came
            on read_files.file_id = came.file_id
            and bookings.voucher_id = came.voucher_id
        where bookings.request_id = %(request)s and bookings.row_voucher_id is null
    )

    select (jsonb_populate_record(
        null::raw.platform_source_vouchers,
        copied.content || jsonb_build_object(
            'file_id', %(file_id)s::text,
            'accounting_date', %(booked_on)s::date,
            'line_number', row_number() over (order by bookings.correcting_voucher_id),
            'voucher_id', bookings.correcting_voucher_id,
            'transaction_type', bookings.transaction_type,
            'transaction_status', 'success',
            'amount_minor', bookings.amount_minor,
            'refund_order_id', case
                when bookings.original_voucher_id is not null then bookings.correcting_voucher_id
            end,
            'original_voucher_id', bookings.original_voucher_id,
            'original_transaction_at', case
                when bookings.original_voucher_id is not null then sales.transaction_at
            end,
            'original_amount_minor', case
                when bookings.original_voucher_id is not null then sales.amount_minor
            end,
            'original_refunded_before_minor', null,
            'is_late_order', true
        )
    )).*
    from control.restatement_bookings as bookings
    inner join copied on bookings.correcting_voucher_id = copied.correcting_voucher_id
    left join control.voucher_register as sales
        on sales.source = 'platform' and sales.voucher_id = bookings.original_voucher_id
    where bookings.request_id = %(request)s
        and bookings.file_id is null
        and {moved}
"""
_AT_ONCE = sql.SQL(_CORRECTIONS.format(moved="bookings.waits_for_voucher_id is null"))
_MOVED_IN = sql.SQL(
    _CORRECTIONS.format(moved="bookings.correcting_voucher_id = %(correcting_voucher)s")
)


@dataclass(frozen=True, slots=True)
class Carried:
    """Vouchers of a sealed date that stand on an open one since."""

    sealed_date: date
    booked_on: date
    row_count: int


@dataclass(frozen=True, slots=True)
class _Source:
    """What brings the vouchers: a version of a file, or a request that two people signed."""

    sealed_date: date
    name: str
    version_file_id: str | None = None
    request_id: int | None = None


def carry_late(
    connection: psycopg.Connection[Any],
    settings: Settings,
    *,
    version_file_id: str,
    file_name: str,
    sealed_date: date,
    owner: str | None,
) -> Carried | None:
    """Land a version's vouchers that no date has with the first open date; None without any.

    In the caller's transaction, which has put the version's rows on record.

    Raises:
        days.DateBusyError, days.DateNotReadyError: a run works on the open date.
    """
    # Several versions of one file may each bring some.
    name = f"{file_name} ({version_file_id})"
    source = _Source(sealed_date, name, version_file_id=version_file_id)
    values: dict[str, object] = {"version": version_file_id}
    return _carry(connection, settings, source, _LATE, values=values, owner=owner)


def carry_approved(
    connection: psycopg.Connection[Any], settings: Settings, owner: str | None
) -> list[Carried]:
    """Land the corrections that two people approved and that stand on no date yet.

    One that has to wait for a run that works on the open date is left for the next landing, and so
    is a sale that moved to another account, until who had it was charged and covers that.
    """
    rows = connection.execute(
        """
        select distinct
            requests.request_id,
            restatements.accounting_date,
            case
                when bookings.waits_for_voucher_id is not null then bookings.correcting_voucher_id
            end as moved_in
        from control.restatement_requests as requests
        inner join control.restatements
            on requests.restatement_id = restatements.restatement_id
        inner join control.restatement_bookings as bookings
            on requests.request_id = bookings.request_id
        where requests.approved_by is not null
            and bookings.file_id is null
            and (
                bookings.waits_for_voucher_id is null
                or control.charge_is_covered(bookings.waits_for_voucher_id)
            )
        order by requests.request_id, moved_in nulls first
        """
    ).fetchall()
    done = []
    for request_id, sealed_date, moved_in in rows:
        name = f"restatement request {request_id}"
        values: dict[str, object] = {"request": request_id}
        if moved_in is not None:
            name = f"{name} ({moved_in})"
            values["correcting_voucher"] = moved_in
        source = _Source(sealed_date, name, request_id=request_id)
        query = _AT_ONCE if moved_in is None else _MOVED_IN
        try:
            with connection.transaction():
                carried = _carry(connection, settings, source, query, values=values, owner=owner)
        except (days.DateBusyError, days.DateNotReadyError):
            continue
        if carried is not None:
            say(
                f"booked on {carried.booked_on}: {carried.row_count} approved corrections of "
                f"{carried.sealed_date}, which is sealed"
            )
            done.append(carried)
    return done


def _carry(
    connection: psycopg.Connection[Any],
    settings: Settings,
    source: _Source,
    query: sql.Composable,
    *,
    values: dict[str, object],
    owner: str | None,
) -> Carried | None:
    days.lock_claims(connection)
    counted = sql.SQL("select count(*) from ({}) as carried").format(query)
    row = connection.execute(counted, {**values, "file_id": "", "booked_on": None}).fetchone()
    if row is None or row[0] == 0:
        return None
    booked_on = manifest.first_open_date(connection, source.sealed_date)
    content = json.dumps(
        {"carried": source.name, **values, "sealed_date": str(source.sealed_date)}
    ).encode()
    sha256 = hashlib.sha256(content).hexdigest()
    file_id = sha256[:16]
    found = {**values, "file_id": file_id, "booked_on": booked_on}
    days.admit_file(connection, booked_on, owner, is_banks=False)
    row_count = insert_rows(connection, REGISTERED_TABLE, query, found, booked_on)
    try:
        register_vouchers(connection, file_id, booked_on, row_count)
    except RepeatedVouchersError as error:
        raise AssertionError(f"vouchers looked up under a lock are there: {error}") from error
    connection.execute(
        """
        insert into control.channel_files (
            file_id, file_name, file_url, sha256, size_bytes, channel, file_kind, accounting_date,
            booked_on, row_count, control_totals, totals_status, status, reason, slot
        )
        values (
            %(file_id)s, %(name)s, %(url)s, %(sha256)s, %(size)s, 'platform', %(kind)s,
            %(booked_on)s, %(booked_on)s, %(row_count)s, '[]', 'none_in_format', 'landed',
            %(reason)s, %(slot)s
        )
        """,
        {
            "file_id": file_id,
            "name": source.name,
            "url": f"carried:{source.version_file_id or source.request_id}",
            "sha256": sha256,
            "size": len(content),
            "kind": CARRIED_KIND,
            "booked_on": booked_on,
            "row_count": row_count,
            "reason": f"{row_count} vouchers of {source.sealed_date}, which is sealed",
            "slot": f"platform/{CARRIED_KIND}/{booked_on}/of={file_id}",
        },
    )
    connection.execute(
        """
        insert into control.carried_files
            (file_id, sealed_date, booked_on, version_file_id, request_id, row_count)
        values (%s, %s, %s, %s, %s, %s)
        """,
        [
            file_id,
            source.sealed_date,
            booked_on,
            source.version_file_id,
            source.request_id,
            row_count,
        ],
    )
    if source.request_id is not None:
        connection.execute(
            "select control.note_booked(%s, %s, %s)", [source.request_id, file_id, booked_on]
        )
    return Carried(source.sealed_date, booked_on, row_count)
