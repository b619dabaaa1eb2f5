"""Notices of fee bills (手续费账单通知): a list a bill, for its merchant, that sums to its due.

A list has a name only when its lines are the bill's, in number and sum. Merchants read numbers of
their own transactions and amounts; no card, no account number, no name stands in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, LiteralString

from psycopg.rows import namedtuple_row

from tieout.billing.issued import Bill, BillingError, bills
from tieout.core.money import amount_text
from tieout.core.settings import Settings
from tieout.database import connect
from tieout.exports.tables import Amount, Cell, Column, CsvList, Rows, Workbook
from tieout.payouts.store import Store

__all__ = ["FORMATS", "notice_name", "notice_path", "write_notice", "write_notices"]

FORMATS: Final = ("csv", "xlsx")
COLUMNS: Final = (
    Column("line_no", "序号", "count"),
    Column("line_kind", "项目"),
    Column("accounting_date", "会计日期", "date"),
    Column("channel", "渠道"),
    Column("merchant_id", "商户号", "id"),
    Column("transaction_type", "交易类型"),
    Column("reference", "凭证号", "id"),
    Column("transaction_amount", "交易金额", "amount"),
    Column("amount", "手续费", "amount"),
    Column("running_total", "累计", "amount"),
    Column("currency_code", "币种"),
)
LINE_KINDS: Final = {
    "fee": "手续费",
    "credit_brought": "上期贷项",
    "credit_carried": "结转下期",
    "due": "应付",
}
_LINES: Final[LiteralString] = """
    select
        accounting_date, channel, merchant_id, transaction_type, source_id,
        transaction_amount_minor, fee_amount_minor
    from settlement.fee_bill_lines
    where bill_no = %(bill_no)s
    order by accounting_date, entry_id
"""


def notice_name(bill: Bill) -> str:
    """Return the name of a bill's notice, without its ending."""
    return f"fee_bill_{bill.number}_{bill.fee_period.replace('-', '')}"


def notice_path(bill: Bill, file_format: str) -> str:
    """Return the path of a bill's notice in the outbox."""
    return f"notices/{bill.fee_period.replace('-', '')}/{notice_name(bill)}.{file_format}"


def write_notices(settings: Settings, day: date) -> int:
    """Put the notices of the bills made on ``day`` into the outbox; return how many files.

    A second run writes the same bytes.

    Raises:
        BillingError: a list is not what its bill asks for; it has no name then.
    """
    outbox = Store(settings.outbox_url)
    made = [bill for bill in bills(settings) if bill.issued_on == day]
    with TemporaryDirectory(dir=settings.home) as folder:
        for bill in made:
            for file_format in FORMATS:
                path = write_notice(settings, bill, Path(folder), file_format)
                outbox.replace(notice_path(bill, file_format), path.read_bytes())
    return len(made) * len(FORMATS)


def write_notice(settings: Settings, bill: Bill, folder: Path, file_format: str) -> Path:
    """Write a bill's notice into a folder; return where it is.

    Raises:
        BillingError: its lines are not what the bill asks for; there is no file then.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{notice_name(bill)}.{file_format}"
    aside = folder / f".{path.name}"
    aside.unlink(missing_ok=True)
    try:
        if file_format == "csv":
            with CsvList(aside, COLUMNS, for_people=True) as listed:
                _write(settings, bill, listed)
        else:
            with Workbook(aside, bill.issued_on) as book:
                _write(settings, bill, book.sheet("bill 账单", COLUMNS))
        aside.chmod(0o600)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    return path


def _write(settings: Settings, bill: Bill, listed: Rows) -> None:
    """Write the lines, compare them with the bill, then say what is due."""
    code = bill.currency_code
    number = total_minor = 0
    for line in _lines(settings, bill):
        number += 1
        total_minor += line.fee_amount_minor
        listed.row(
            number,
            _kind("fee"),
            line.accounting_date,
            line.channel,
            line.merchant_id,
            line.transaction_type,
            line.source_id,
            Amount(line.transaction_amount_minor, code),
            Amount(line.fee_amount_minor, code),
            Amount(total_minor, code),
            code,
        )
    due_minor = total_minor + bill.credit_brought_minor - bill.credit_carried_minor
    if (number, total_minor, due_minor) != (
        bill.line_count,
        bill.fee_amount_minor,
        bill.due_amount_minor,
    ):
        raise BillingError(
            what=f"the notice of bill {bill.number} is not written",
            where="settlement.fee_bill_lines",
            why=(
                f"{number} lines sum to {amount_text(total_minor, code)}, the bill has "
                f"{bill.line_count} of {amount_text(bill.fee_amount_minor, code)}"
            ),
            next_step="docs/runbooks/history-changed.md",
        )
    others = {
        "credit_brought": bill.credit_brought_minor,
        "credit_carried": -bill.credit_carried_minor,
    }
    for kind, amount_minor in others.items():
        if amount_minor:
            number += 1
            total_minor += amount_minor
            listed.row(*_summary(number, kind, amount_minor, total_minor, code))
    listed.row(*_summary(number + 1, "due", bill.due_amount_minor, total_minor, code))


def _summary(
    number: int, kind: str, amount_minor: int, total_minor: int, code: str
) -> tuple[Cell, ...]:
    amounts = (Amount(amount_minor, code), Amount(total_minor, code))
    return (number, _kind(kind), None, None, None, None, None, None, *amounts, code)


def _kind(name: str) -> str:
    return f"{name} {LINE_KINDS[name]}"


def _lines(settings: Settings, bill: Bill) -> Iterator[Any]:
    with connect(settings) as connection, connection.cursor(row_factory=namedtuple_row) as cursor:
        yield from cursor.execute(_LINES, {"bill_no": bill.bill_no})
