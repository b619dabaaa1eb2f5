"""WeChat Pay fund bill (资金账单): every change of one account's balance (formats.md §4.2).

Not read by the close: what the channel owes is in the trade bill. It shows fees, withdrawals and
refunds as they moved the account.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from tieout.channels.backtick_bills import (
    BacktickBill,
    count_of,
    declared_totals,
    readable_totals,
    record_cells,
    split_record,
    total_in_fen,
    unpacked_text,
    with_totals,
)
from tieout.channels.bill_columns import find_columns, masked_record, texts_by_column
from tieout.channels.bill_dates import check_bill_dates, date_inside
from tieout.channels.bill_values import (
    amounts_in_fen,
    balance_breaks,
    beijing_time,
    check_codes,
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
from tieout.channels.wechat_answers import is_answer

__all__ = ["ACCOUNT_TYPES", "RAW_TABLE", "parse"]

RAW_TABLE = "wechat_fund_bill"

# Ours: as the request for a bill spells it.
ACCOUNT_TYPES = {
    "basic": "Basic",
    "operation": "Operation",
    "fees": "Fees",
    "deposit": "Deposit",
}

_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "booked_at": ("记账时间",),
    "channel_business_id": ("微信支付业务单号",),
    "funds_flow_id": ("资金流水单号",),
    "business_name": ("业务名称",),
    "business_type": ("业务类型",),
    "direction": ("收支类型",),
    "amount": ("收支金额(元)",),
    "balance": ("账户结余(元)",),
    "submitter": ("资金变更提交申请人",),
    "voucher_id": ("业务凭证号",),
}
# Known, not kept: free text may name people.
_IGNORED_COLUMNS = ("备注",)
_KEYS = ("funds_flow_id", "business_name", "business_type")

_SIGNS = {"收入": 1, "支出": -1}
# The bill writes a blank as \1, and line ends as \r and \n (the whole table is not verified).
_ESCAPES = {"\\1": " ", "\\r": "", "\\n": ""}

_COUNT = "资金流水总笔数"
_TOTALS: Mapping[str, tuple[str, ...]] = {
    "count": (_COUNT,),
    "in_count": ("收入笔数",),
    "in_amount": ("收入金额", "收入金额(元)"),
    "out_count": ("支出笔数",),
    "out_amount": ("支出金额", "支出金额(元)"),
}


def parse(content: bytes, context: FileContext, *, account_type: str) -> ParsedFile:
    """Return the table `wechat_fund_bill`: one row a change, fen, in + and out −.

    `account_type` is one of `ACCOUNT_TYPES`; nothing in the bill says it. The bytes may be in gzip.

    Raises:
        UnreadableFileError: not UTF-8, an error answer, other columns, or no totals at the end.
    """
    text = unpacked_text(content, "utf-8")
    if is_answer(text):
        raise UnreadableFileError("error_answer", "it is no bill but an error answer")
    bill = with_totals(text, first_heading="记账时间", totals_heading=_COUNT)
    places = find_columns(bill.header, _COLUMNS, ignored=_IGNORED_COLUMNS)
    cells, malformed = record_cells(bill.records, len(bill.header), bill.line_numbers)
    if malformed:
        return ParsedFile({}, 0, None, bad_rows=tuple(malformed))
    findings = Findings(
        bill.line_numbers,
        lambda position: masked_record(
            split_record(bill.records[position]), places, hidden={"submitter"}
        ),
    )
    texts = texts_by_column(cells, places, _COLUMNS)
    frame = _frame(texts, findings)
    _check_rows(frame, texts, findings)
    misdated = check_bill_dates(frame["booked_at"], context.accounting_date, findings)
    totals = readable_totals(findings, lambda: _control_totals(bill, frame))
    return ParsedFile(
        frames={RAW_TABLE: _stored(frame, texts, bill, context, account_type)},
        row_count=len(frame),
        accounting_date=date_inside(frame["booked_at"], context.accounting_date),
        totals=totals,
        declared_row_count=totals[0].declared if totals else None,
        declared_total_minor=_net(totals) if totals else None,
        counted_total_minor=int(frame["signed"].sum()),
        bad_rows=(*findings.bad_rows, *misdated),
    )


def _frame(texts: pl.DataFrame, findings: Findings) -> pl.DataFrame:
    """Return time, amount as printed and signed, and balance; 0 where it cannot be read."""
    names = ("amount", "balance")
    amounts = amounts_in_fen(texts, names, findings, required=names)
    signs = texts["direction"].replace_strict(_SIGNS, default=0, return_dtype=pl.Int64)
    return amounts.with_columns(
        beijing_time(texts["booked_at"], findings), (signs * amounts["amount"]).alias("signed")
    )


def _check_rows(frame: pl.DataFrame, texts: pl.DataFrame, findings: Findings) -> None:
    for name in _KEYS:
        findings.flag(texts[name].is_null(), name, "missing_key", f"{name} is blank")
    check_codes(texts["direction"], _SIGNS, findings)
    findings.flag(
        repeated(texts["funds_flow_id"]),
        "funds_flow_id",
        "duplicate_key",
        "another row of the bill has it, too",
    )
    findings.flag(
        frame["amount"] < 0, "amount", "wrong_sign", "printed without a sign; 收支类型 says which"
    )
    findings.flag(
        balance_breaks(frame["signed"], frame["balance"]),
        "balance",
        "balance_break",
        "the balance before this change is not the balance after any other",
    )


def _control_totals(bill: BacktickBill, frame: pl.DataFrame) -> tuple[ControlTotal, ...]:
    declared = declared_totals(bill.totals, _TOTALS, required=_TOTALS)
    counted = {"count": len(frame)}
    for name, sign in (("in", 1), ("out", -1)):
        rows = frame.filter(pl.col("signed") * sign > 0)
        counted[f"{name}_count"] = len(rows)
        counted[f"{name}_amount"] = int(rows["amount"].sum())
    return tuple(
        ControlTotal(
            headings[0],
            count_of(headings[0], declared[name])
            if "count" in name
            else total_in_fen(headings[0], declared[name]),
            counted[name],
        )
        for name, headings in _TOTALS.items()
    )


def _net(totals: tuple[ControlTotal, ...]) -> int | None:
    """Return what came in less what went out, as the bill states both."""
    stated = {total.name: total.declared for total in totals}
    came, went = stated["收入金额"], stated["支出金额"]
    return None if came is None or went is None else came - went


def _stored(
    frame: pl.DataFrame,
    texts: pl.DataFrame,
    bill: BacktickBill,
    context: FileContext,
    account_type: str,
) -> pl.DataFrame:
    voucher = pl.col("voucher_id")
    for written, meant in _ESCAPES.items():
        voucher = voucher.str.replace_all(written, meant, literal=True)
    return (
        texts.select(
            "channel_business_id", "funds_flow_id", "business_name", "business_type", voucher
        )
        .with_columns(
            frame["booked_at"],
            frame["signed"].alias("amount_minor"),
            frame["balance"].alias("balance_after_minor"),
            tokens(texts["submitter"], context.vault, "submitter_token"),
            pl.lit(account_type).alias("account_type"),
            pl.lit("CNY").alias("currency_code"),
        )
        .insert_column(0, pl.Series("line_number", bill.line_numbers, dtype=pl.UInt32))
    )
