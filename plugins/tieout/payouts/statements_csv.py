"""The settlement statements (结算单) of a payment date as CSV, for finance and for merchants.

Bilingual headings, UTF-8 with a byte-order mark (spreadsheet programs then read Chinese right),
amounts as decimal text. Account numbers appear masked only.
"""

from __future__ import annotations

import csv
import io
from datetime import date
from typing import Any, Final

import psycopg

from tieout.core.money import decimal_text
from tieout.core.spreadsheets import csv_text
from tieout.payouts import queries
from tieout.payouts.store import Store

HEADINGS: Final = (
    ("statement_id", "结算单号"),
    ("payment_date", "付款日期"),
    ("account_id", "账户"),
    ("settlement_session_type", "结算场次类型"),
    ("settlement_session_no", "结算场次"),
    ("accounting_dates", "会计日期"),
    ("settlement_mode", "结算方式"),
    ("currency_code", "币种"),
    ("transaction_count", "交易笔数"),
    ("transaction_amount", "交易金额"),
    ("fee_amount", "手续费"),
    ("settlement_amount", "结算金额"),
    ("adjustment_amount", "差错金额"),
    ("advance_amount", "垫款"),
    ("previous_unsettled_amount", "前期未结金额"),
    ("transfer_amount", "场次间划转"),
    ("held_amount", "待到账金额"),
    ("frozen_amount", "冻结金额"),
    ("not_due_amount", "未到期金额"),
    ("payout_amount", "出款金额"),
    ("carried_forward_amount", "结转金额"),
    ("payable_status", "付款状态"),
    ("withheld_reason", "暂缓原因"),
    ("payee_id", "收款人"),
    ("payee_bank", "收款行"),
    ("payee_account_masked", "收款账号（掩码）"),
)

_STATEMENTS = f"""
    with payees as (
{queries.PAYEE_SNAPSHOTS}
    )

    select
        statements.statement_id,
        statements.payment_date,
        statements.account_id,
        statements.settlement_session_type,
        statements.settlement_session_no,
        statements.accounting_dates,
        statements.settlement_mode,
        statements.currency_code,
        statements.transaction_count,
        statements.transaction_amount_minor,
        statements.fee_amount_minor,
        statements.settlement_amount_minor,
        statements.adjustment_amount_minor,
        statements.advance_amount_minor,
        statements.previous_unsettled_amount_minor,
        statements.transfer_amount_minor,
        statements.held_amount_minor,
        statements.frozen_amount_minor,
        statements.not_due_amount_minor,
        statements.payout_amount_minor,
        statements.carried_forward_amount_minor,
        statements.payable_status,
        statements.withheld_reason,
        statements.payee_id,
        payees.bank_name,
        payees.account_number_mask
    from settlement.settlement_statements as statements
    left join payees
        on
            statements.payee_id = payees.payee_id
            and statements.payee_version = payees.payee_version
            and payees.snapshot_rank = 1
    where statements.payment_date = %(payment_date)s
    order by statements.statement_id
"""

_CURRENCY_COLUMN: Final = 7
_AMOUNT_COLUMNS: Final = range(9, 21)


def write(connection: psycopg.Connection[Any], payment_date: date, outbox: Store) -> str | None:
    """Write the statements of ``payment_date`` to the outbox; return the URL, None without rows."""
    rows = connection.execute(
        _STATEMENTS, {"payment_date": payment_date, "snapshots_before": payment_date}
    ).fetchall()
    if not rows:
        return None
    path = f"statements/{payment_date:%Y%m%d}/settlement_statements_{payment_date:%Y%m%d}.csv"
    outbox.replace(path, render(rows))
    return outbox.url_of(path)


def render(rows: list[tuple[Any, ...]]) -> bytes:
    """Return the CSV's bytes for rows in the order of ``HEADINGS``."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(f"{token} {chinese}" for token, chinese in HEADINGS)
    for row in rows:
        writer.writerow(
            _cell(column, value, str(row[_CURRENCY_COLUMN])) for column, value in enumerate(row)
        )
    return text.getvalue().encode("utf-8-sig")


def _cell(column: int, value: Any, currency_code: str) -> str:
    if value is None:
        return ""
    if column in _AMOUNT_COLUMNS:
        return decimal_text(int(value), currency_code)
    if isinstance(value, list | tuple):
        return " ".join(str(item) for item in value)
    return csv_text(str(value))
