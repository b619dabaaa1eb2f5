"""Alipay account bill (账务明细, signcustomer): every change of the account (formats.md §5.2).

Not read by the close: what the channel owes is in the trade bill. Fees are rows of their own here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import polars as pl

from tieout.channels.alipay_files import (
    AlipayList,
    footer_numbers,
    footer_problems,
    members,
    read_list,
    summary_totals,
)
from tieout.channels.bill_columns import find_columns, masked_record, texts_by_column
from tieout.channels.bill_dates import check_bill_dates, date_inside
from tieout.channels.bill_values import (
    amounts_in_fen,
    balance_breaks,
    beijing_time,
    person_mask,
    repeated,
    tokens,
)
from tieout.channels.model import (
    ControlTotal,
    FileContext,
    Findings,
    ParsedFile,
    UnreadableFileError,
)

__all__ = ["RAW_TABLE", "parse", "parse_detail"]

RAW_TABLE = "alipay_account_bill"
KIND = "账务明细"

_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "ledger_entry_id": ("账务流水号",),
    "business_id": ("业务流水号",),
    "merchant_order_id": ("商户订单号",),
    "booked_at": ("发生时间",),
    "counterparty": ("对方账号", "对方账户"),
    "income": ("收入金额（+元）",),
    "expense": ("支出金额（-元）",),
    "balance": ("账户余额（元）",),
    "trade_channel": ("交易渠道",),
    "business_type": ("业务类型",),
    # In newer bills.
    "base_order_id": ("业务基础订单号",),
    "business_order_id": ("业务订单号",),
    "business_source": ("业务账单来源",),
}
_REQUIRED_WITH_RECORDS = (
    "ledger_entry_id",
    "booked_at",
    "income",
    "expense",
    "balance",
    "business_type",
)
# Known, not kept: free text may name people.
_IGNORED_COLUMNS = ("商品名称", "备注", "业务描述", "付款备注", "对方名称")
_TEXTS = (
    "ledger_entry_id",
    "business_id",
    "merchant_order_id",
    "trade_channel",
    "business_type",
    "base_order_id",
    "business_order_id",
    "business_source",
)

_COUNT = "([0-9]{1,9})笔"
_AMOUNT = r"(-?[0-9]{1,15}(?:\.[0-9]{1,2}0*)?)元"
_EXPENSES = re.compile(rf"#支出合计[：:]{_COUNT}[，,]共{_AMOUNT}")
_INCOMES = re.compile(rf"#收入合计[：:]{_COUNT}[，,]共{_AMOUNT}")


def parse(content: bytes, context: FileContext) -> ParsedFile:
    """Return the table `alipay_account_bill`: one row a change, fen, in + and out −.

    `content` is the ZIP, whose summary is compared with its detail, or the detail alone.

    Raises:
        UnreadableFileError: no such ZIP, an unsafe one, or a detail that cannot be read.
    """
    detail, summary = members(content, context, kind=KIND)
    return parse_detail(detail, context, summary=summary)


def parse_detail(
    content: bytes, context: FileContext, *, summary: bytes | None = None
) -> ParsedFile:
    """Return the table of one detail CSV; see `parse`."""
    bill = read_list(content, kind=KIND)
    required = _REQUIRED_WITH_RECORDS if bill.records else ()
    places = find_columns(
        bill.header,
        _COLUMNS,
        ignored=_IGNORED_COLUMNS,
        optional=set(_COLUMNS) - set(required),
        line_number=bill.header_line_number,
    )
    cells, malformed = bill.cells()
    if malformed:
        return ParsedFile({}, 0, None, bad_rows=tuple(malformed))
    findings = Findings(
        bill.line_numbers,
        lambda position: masked_record(
            bill.records[position].split(","), places, hidden={"counterparty"}
        ),
    )
    texts = texts_by_column(cells, places, _COLUMNS)
    frame = _frame(texts, findings)
    _check_rows(frame, texts, findings)
    misdated = check_bill_dates(frame["booked_at"], context.accounting_date, findings)
    # Totals of rows that cannot be read, or that stand in lines that cannot, prove nothing.
    unknown = [] if findings.bad_rows else footer_problems(bill, (_EXPENSES, _INCOMES))
    totals = (
        ()
        if findings.bad_rows or unknown
        else (*_control_totals(bill, frame, places), *summary_totals(summary, _counted(frame)))
    )
    if totals and all(total.agrees for total in totals):
        # Only a whole list is a chain of balances; the totals say that this is one.
        _check_balances(frame, findings)
    return ParsedFile(
        frames={RAW_TABLE: _stored(frame, texts, bill, context)},
        row_count=len(frame),
        accounting_date=bill.bill_date()
        or date_inside(frame["booked_at"], context.accounting_date),
        totals=totals,
        declared_row_count=_declared(totals, "笔数"),
        declared_total_minor=_declared_net(totals),
        counted_total_minor=int(frame["amount"].sum()),
        bad_rows=(*findings.bad_rows, *misdated, *bill.problems(context), *unknown),
    )


# --- values ---------------------------------------------------------------------------------------


def _frame(texts: pl.DataFrame, findings: Findings) -> pl.DataFrame:
    """Return time, what came in, what went out (unsigned), both as one amount, and the balance."""
    # One of the two amounts may be blank.
    names = ("income", "expense", "balance")
    amounts = amounts_in_fen(texts, names, findings, required=("balance",))
    # Whether what went out has a sign differs by year, but not within a bill.
    has_unsigned = bool((amounts["expense"] > 0).any())
    findings.flag(
        (amounts["expense"] < 0) & has_unsigned,
        "expense",
        "wrong_sign",
        "negative, in a bill that prints what goes out without a sign",
    )
    return amounts.with_columns(pl.col("expense").abs()).with_columns(
        (pl.col("income") - pl.col("expense")).alias("amount"),
        beijing_time(texts["booked_at"], findings),
    )


def _check_rows(frame: pl.DataFrame, texts: pl.DataFrame, findings: Findings) -> None:
    for name in ("ledger_entry_id", "business_type"):
        findings.flag(texts[name].is_null(), name, "missing_key", "it is blank")
    findings.flag(
        repeated(texts["ledger_entry_id"]),
        "ledger_entry_id",
        "duplicate_key",
        "another row of the bill has it, too",
    )
    findings.flag(frame["income"] < 0, "income", "wrong_sign", "negative, where money comes in")
    findings.flag(
        (frame["income"] != 0) & (frame["expense"] != 0),
        "expense",
        "ambiguous_amount",
        "the row says that money came in and went out",
    )


def _check_balances(frame: pl.DataFrame, findings: Findings) -> None:
    findings.flag(
        balance_breaks(frame["amount"], frame["balance"]),
        "balance",
        "balance_break",
        "the balance before this change is not the balance after any other",
    )


def _stored(
    frame: pl.DataFrame, texts: pl.DataFrame, bill: AlipayList, context: FileContext
) -> pl.DataFrame:
    return texts.select(_TEXTS).with_columns(
        frame["booked_at"],
        frame["amount"].alias("amount_minor"),
        frame["balance"].alias("balance_after_minor"),
        tokens(texts["counterparty"], context.vault, "counterparty_token"),
        person_mask(texts["counterparty"], "counterparty_mask"),
        pl.lit("CNY").alias("currency_code"),
        pl.Series("line_number", list(bill.line_numbers), dtype=pl.Int32),
    )


# --- totals ---------------------------------------------------------------------------------------


def _control_totals(
    bill: AlipayList, frame: pl.DataFrame, places: Mapping[str, int]
) -> tuple[ControlTotal, ...]:
    """Compare the lines of totals: how often and how much, in and out, without signs."""
    totals = []
    for label, pattern, name in (("支出", _EXPENSES, "expense"), ("收入", _INCOMES, "income")):
        stated = footer_numbers(bill.footer, pattern)
        if stated is not None:
            count, amount = stated
            totals += [
                ControlTotal(f"{label}笔数", count, int((frame[name] != 0).sum())),
                ControlTotal(f"{label}金额", _unsigned(amount), int(frame[name].sum())),
            ]
        elif bill.records or name in places:
            raise UnreadableFileError("missing_totals", f"the line {label}合计 is missing")
    return tuple(totals)


def _counted(frame: pl.DataFrame) -> dict[str, int]:
    """Return what the summary states, by its headings."""
    income, expense = int(frame["income"].sum()), int(frame["expense"].sum())
    return {
        "收入笔数": int((frame["income"] != 0).sum()),
        "收入金额（+元）": income,
        "支出笔数": int((frame["expense"] != 0).sum()),
        "支出金额（-元）": expense,
        "总金额（元）": income - expense,
    }


def _unsigned(amount: int | None) -> int | None:
    return None if amount is None else abs(amount)


def _declared(totals: tuple[ControlTotal, ...], name: str) -> int | None:
    """Return what the list's own totals state of in and out together."""
    stated = [total.declared for total in totals if total.name in {f"收入{name}", f"支出{name}"}]
    known = [value for value in stated if value is not None]
    return sum(known) if known and len(known) == len(stated) else None


def _declared_net(totals: tuple[ControlTotal, ...]) -> int | None:
    """Return what came in less what went out, as the list states both."""
    stated = {total.name: total.declared for total in totals}
    came, went = stated.get("收入金额"), stated.get("支出金额")
    return None if came is None or went is None else came - went
