"""What the bank says of debits: status reports, lines of the fee account, and silence.

A report says at most that a debit was taken or refused. That it was collected, and how much, and
that it was taken back, a landed line of the fee account says, which the database looks up itself.
What nobody answers is unknown, is asked about, and is not debited again.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, LiteralString

import psycopg

from tieout import database
from tieout.billing import issued
from tieout.core.errors import TieoutError
from tieout.core.settings import Settings
from tieout.exports.tables import Amount, Column, CsvList
from tieout.payouts import pain002
from tieout.payouts.reports import StatusReport
from tieout.payouts.store import Store

__all__ = ["FOLDER", "AnswersReport", "inquiry_path", "read_answers"]

FOLDER: Final = "collections"
_NAME: Final = re.compile(r"pain002_.+\.xml")
_DATE_FOLDER: Final = re.compile(r"[0-9]{8}")
_INQUIRY_COLUMNS: Final = (
    Column("collection_id", "代收编号", "id"),
    Column("message_id", "代收文件", "id"),
    Column("started_on", "代收日期", "date"),
    Column("amount", "金额", "amount"),
    Column("currency_code", "币种"),
)
_UNKNOWN: Final[LiteralString] = """
    select collection_id, message_id, started_on, amount_minor, currency_code
    from settlement.collections
    where settlement.collection_status(collection_id) = 'unknown' and started_on <= %(day)s
    order by collection_id
"""


@dataclass(frozen=True, slots=True)
class AnswersReport:
    """What changed by reports, lines and the clock; who is asked about; what was not understood."""

    report_count: int
    answered_count: int
    collected_count: int
    returned_count: int
    silent_count: int
    unknown_count: int
    inquiry_url: str | None
    problems: tuple[str, ...]


def read_answers(settings: Settings, day: date) -> AnswersReport:
    """Apply what the bank has said up to ``day``, and ask about what it has not.

    A report that is not understood changes nothing, and is told again by each run until the bank
    has taken it away or corrected it.
    """
    report_count, answered_count, problems = _read_reports(settings, day)
    collected_count = issued.asked(
        settings, "select settlement.apply_collected_lines(%s)", [day], f"lines of {day}"
    )
    returned_count = issued.asked(
        settings, "select settlement.apply_returned_lines(%s)", [day], f"returns of {day}"
    )
    silent_count = issued.asked(
        settings, "select settlement.mark_silent_collections(%s)", [day], f"silence of {day}"
    )
    unknown_count, url = _inquire(settings, day)
    return AnswersReport(
        report_count=report_count,
        answered_count=answered_count,
        collected_count=collected_count,
        returned_count=returned_count,
        silent_count=silent_count,
        unknown_count=unknown_count,
        inquiry_url=url,
        problems=tuple(problems),
    )


def inquiry_path(day: date) -> str:
    """Return the path of a day's inquiry in the outbox."""
    return f"inquiries/{day:%Y%m%d}/collection_inquiry_{day:%Y%m%d}.csv"


def _read_reports(settings: Settings, day: date) -> tuple[int, int, list[str]]:
    inbox = Store(settings.inbox_url)
    report_count = answered_count = 0
    problems = []
    for folder in inbox.folders(FOLDER):
        if not _DATE_FOLDER.fullmatch(folder) or folder > f"{day:%Y%m%d}":
            continue
        for name in inbox.names(f"{FOLDER}/{folder}"):
            if not _NAME.fullmatch(name):
                continue
            path = f"{FOLDER}/{folder}/{name}"
            content = inbox.whole(path)
            if content is None:
                continue
            try:
                answered = _apply(settings, name, content, day)
            except TieoutError as error:
                problems.append(f"{name}: {error.why}; next: {error.next_step}")
                continue
            report_count += answered is not None
            answered_count += answered or 0
    return report_count, answered_count, problems


def _apply(settings: Settings, name: str, content: bytes, day: date) -> int | None:
    """Apply one report; return how many debits it changed, None where it was read before."""
    sha256 = hashlib.sha256(content).hexdigest()
    with database.connect(settings) as connection:
        known = connection.execute(
            "select 1 from settlement.collection_reports where sha256 = %s", [sha256]
        ).fetchone()
    if known is not None:
        return None
    report = pain002.read(content, name)
    with database.connect(settings) as connection:
        ids = [
            str(row[0])
            for row in connection.execute(
                "select collection_id from settlement.collections where message_id = %s"
                " order by collection_id",
                [report.original_message_id],
            ).fetchall()
        ]
    with (
        database.explained(
            issued.BillingError,
            f"report {name} is not applied",
            where=name,
            next_step="ask the bank what it means",
            of=psycopg.errors.RestrictViolation,
        ),
        database.connect(settings) as connection,
    ):
        row = connection.execute(
            "select settlement.apply_collection_report(%s, %s, %s, %s, %s)",
            [report.original_message_id, sha256, name, _answers(report, ids), day],
        ).fetchone()
    return int(row[0]) if row is not None else 0


def _answers(report: StatusReport, ids: list[str]) -> str:
    """Return what a report says of each debit; the group's word is of those it does not name."""
    answers = [
        {
            "collection_id": each.end_to_end_id,
            "status": "failed" if each.state == "failed" else "accepted",
            "reason_code": each.reason_code,
            "amount_minor": each.amount_minor,
        }
        for each in report.transactions
        if each.state is not None
    ]
    named = {each.end_to_end_id for each in report.transactions}
    if report.group_state is not None:
        answers += [
            {
                "collection_id": collection_id,
                "status": "failed" if report.group_state == "failed" else "accepted",
                "reason_code": report.group_reason_code,
                "amount_minor": None,
            }
            for collection_id in ids
            if collection_id not in named
        ]
    return json.dumps(answers)


def _inquire(settings: Settings, day: date) -> tuple[int, str | None]:
    with database.connect(settings) as connection:
        rows = connection.execute(_UNKNOWN, {"day": day}).fetchall()
    if not rows:
        return 0, None
    outbox = Store(settings.outbox_url)
    with TemporaryDirectory(dir=settings.home) as folder:
        path = Path(folder) / "inquiry.csv"
        with CsvList(path, _INQUIRY_COLUMNS, for_people=False) as listed:
            for collection_id, message_id, started_on, amount_minor, currency_code in rows:
                amount = Amount(amount_minor, currency_code)
                listed.row(collection_id, message_id, started_on, amount, currency_code)
        outbox.replace(inquiry_path(day), path.read_bytes())
    return len(rows), outbox.url_of(inquiry_path(day))
