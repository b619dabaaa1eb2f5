"""Inquiries: a file that asks the bank what became of payouts it has left unknown (代付查询).

Of ISO 20022 nothing that a customer sends asks for a payment's status, and what recalls a payment
may not be sent for one that may have been made: the file is a plain table
(docs/formats/payout-inquiry.md). The answer is a status report like any other; "not found" is none.
"""

from __future__ import annotations

import csv
import hashlib
import io
from dataclasses import dataclass
from datetime import date
from typing import Final

from tieout import database
from tieout.core.money import decimal_text
from tieout.core.settings import Settings
from tieout.dates.workdays import is_working_day, previous_working_day
from tieout.payouts.store import Store

__all__ = ["HEADINGS", "InquiryReport", "inquire"]

HEADINGS: Final = (
    "inquiry_no",
    "end_to_end_id",
    "message_id",
    "submitted_on",
    "amount",
    "currency_code",
)


@dataclass(frozen=True, slots=True)
class InquiryReport:
    """What was asked now, in which file, and how many payouts have had their last inquiry."""

    asked_count: int
    url: str | None
    exhausted_count: int


_UNKNOWN = """
    select
        opened.attempt_id,
        attempts.end_to_end_id,
        attempts.batch_message_id,
        attempts.submitted_on,
        instructions.amount_minor,
        instructions.currency_code,
        coalesce(asked.inquiry_count, 0) as inquiry_count,
        asked.last_on,
        rules.interval_working_days,
        rules.inquiry_limit
    from payout.open_attempts as opened
    inner join payout.attempts as attempts on opened.attempt_id = attempts.attempt_id
    inner join payout.instructions as instructions
        on attempts.instruction_id = instructions.instruction_id
    inner join reference.payout_inquiry_rules as rules
        on instructions.currency_code = rules.currency_code
    left join lateral (
        select count(*) as inquiry_count, max(inquiries.asked_on) as last_on
        from payout.inquiries as inquiries
        where inquiries.attempt_id = opened.attempt_id
    ) as asked on true
    where opened.status = 'unknown' and opened.since <= %(day)s
    order by attempts.end_to_end_id
"""


def inquire(settings: Settings, day: date) -> InquiryReport:
    """Ask the bank about each unknown payout whose inquiry is due on ``day``, in one file.

    On a day that is no working day nobody is asked. The file's name follows from its content: a run
    that was cut off writes the same file again.
    """
    if not is_working_day(day):
        return InquiryReport(0, None, 0)
    outbox = Store(settings.outbox_url)
    with database.connect(settings) as connection, connection.transaction():
        rows = connection.execute(_UNKNOWN, {"day": day}).fetchall()
        due = [
            row
            for row in rows
            if row[6] < row[9] and (row[7] is None or row[7] <= _before(day, row[8]))
        ]
        exhausted_count = sum(row[6] >= row[9] for row in rows)
        if not due:
            return InquiryReport(0, None, exhausted_count)
        content = _content(due)
        digest = hashlib.sha256(content).hexdigest()[:8]
        path = f"inquiries/{day:%Y%m%d}/payout_inquiry_{day:%Y%m%d}_{digest}.csv"
        with connection.cursor() as cursor:
            cursor.executemany(
                "insert into payout.inquiries (attempt_id, inquiry_no, asked_on, file_path)"
                " values (%s, %s, %s, %s)",
                [(row[0], row[6] + 1, day, path) for row in due],
            )
        outbox.replace(path, content)
    return InquiryReport(len(due), outbox.url_of(path), exhausted_count)


def _before(day: date, working_days: int) -> date:
    for _ in range(working_days):
        day = previous_working_day(day)
    return day


def _content(rows: list[tuple[object, ...]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADINGS)
    for _, identifier, message_id, submitted_on, amount, currency, count, *_ in rows:
        number = int(str(count)) + 1
        shown = decimal_text(int(str(amount)), str(currency))
        writer.writerow((number, identifier, message_id, submitted_on, shown, currency))
    return text.getvalue().encode()
