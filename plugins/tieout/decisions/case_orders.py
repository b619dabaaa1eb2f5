"""Orders about cases leave for a channel: one numbered file at a time, each order once.

The layout is docs/formats/case-orders.md. A file is prepared under a hidden name, put on record in
the database, and given its name only then: a break at any point is made up by the next run, and
what is on record and gone was fetched.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from tieout import database
from tieout.core.settings import Settings
from tieout.decisions.cases import CaseError
from tieout.payouts.store import Store

__all__ = ["OrderFile", "Row", "content", "send", "unsent"]

FOLDER = "case-orders"


@dataclass(frozen=True, slots=True)
class Row:
    """An order as its file says it; the record's own keys name the dispute to the channel.

    `amount_minor` is in minor units, 0 of an answer.
    """

    order_number: int
    order_kind: str
    channel: str
    acquiring_institution_id: str | None
    forwarding_institution_id: str | None
    trace_number: str | None
    transmission_time: str | None
    retrieval_reference_number: str | None
    reason_code: str | None
    currency_code: str
    amount_minor: int
    evidence_name: str
    evidence_sha256: str


@dataclass(frozen=True, slots=True)
class OrderFile:
    """A file that left now: its channel, where it lies, and how many orders it has."""

    channel: str
    url: str
    order_count: int


_ORDERS = """
select
    orders.decision_id as order_number,
    orders.decision_kind as order_kind,
    orders.channel,
    records.acquiring_institution_id,
    records.forwarding_institution_id,
    records.trace_number,
    records.transmission_time,
    records.retrieval_reference_number,
    records.reason_code,
    orders.currency_code,
    orders.amount_minor,
    orders.evidence_name,
    orders.evidence_sha256
from control.case_orders_to_send(%s) as orders
inner join clearing.case_events as records
    on orders.case_id = records.case_id
    and records.event_id = 'A:' || orders.record_id
order by orders.decision_id
"""


def unsent(settings: Settings) -> dict[str, int]:
    """Return how many approved orders of each channel have not left."""
    with database.connect(settings) as connection:
        if not database.has_table(connection, "clearing.cases"):
            return {}
        rows = connection.execute(
            """
            select channels.channel, count(*)
            from (select distinct channel from control.case_decisions) as channels
            cross join lateral control.case_orders_to_send(channels.channel) as orders
            group by channels.channel
            order by channels.channel
            """
        ).fetchall()
    return {str(channel): int(count) for channel, count in rows}


def send(settings: Settings, on: date) -> list[OrderFile]:
    """Write the approved orders that have not left into files of ``on``, one a channel.

    A file that an earlier run left prepared gets its name first.

    Raises:
        CaseError: the orders changed meanwhile.
        TieoutError: the outbox has another file of that name.
    """
    outbox = Store(settings.outbox_url)
    sent = _put_out_prepared(settings, outbox)
    for channel in unsent(settings):
        sent.append(_send_channel(settings, outbox, channel, on))
    return sent


def content(rows: Sequence[Row]) -> bytes:
    """Return a file's bytes: heading, a line an order, and a trailer with count and sum."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.name for field in fields(Row))
    for row in rows:
        writer.writerow(
            "" if (value := getattr(row, field.name)) is None else value for field in fields(Row)
        )
    writer.writerow(["TRAILER", len(rows), sum(row.amount_minor for row in rows)])
    return text.getvalue().encode()


def _send_channel(settings: Settings, outbox: Store, channel: str, on: date) -> OrderFile:
    try:
        with database.connect(settings) as connection:
            with connection.cursor(row_factory=class_row(Row)) as cursor:
                rows = cursor.execute(sql.SQL(_ORDERS), [channel]).fetchall()
            number = connection.execute(
                "select coalesce(max(file_no), 0) + 1 from control.case_order_files"
                " where channel = %s and business_date = %s",
                [channel, on],
            ).fetchone()
            assert number is not None
            name = f"case_orders_{channel}_{on:%Y%m%d}_{number[0]:02}.csv"
            path = f"{FOLDER}/{name}"
            written = content(rows)
            sha256 = hashlib.sha256(written).hexdigest()
            present = outbox.whole(path)
            if present is not None:
                raise outbox.other_content(path, present, sha256)
            outbox.prepare(path, written)
            connection.execute(
                "select control.record_case_orders(%s, %s, %s, %s, %s, %s)",
                [channel, on, number[0], name, sha256, [row.order_number for row in rows]],
            )
    except psycopg.Error as error:
        raise database.refusal(
            CaseError,
            f"the orders of {channel} do not leave",
            error,
            where="control.case_order_files",
            next_step="tieout cases send",
        ) from error
    outbox.put_out(path)
    return OrderFile(channel, outbox.url_of(path), len(rows))


def _put_out_prepared(settings: Settings, outbox: Store) -> list[OrderFile]:
    """Give files on record their names, where a run broke off before it could."""
    with database.connect(settings) as connection:
        rows = connection.execute(
            """
            select files.channel, files.file_name, files.sha256, count(*)
            from control.case_order_files as files
            inner join control.case_orders as orders on files.order_file_id = orders.order_file_id
            group by files.order_file_id
            order by files.order_file_id
            """
        ).fetchall()
    made = []
    for channel, name, sha256, count in rows:
        path = f"{FOLDER}/{name}"
        prepared = outbox.prepared(path)
        if prepared is not None and hashlib.sha256(prepared).hexdigest() == sha256:
            outbox.put_out(path)
            made.append(OrderFile(channel, outbox.url_of(path), count))
    return made
