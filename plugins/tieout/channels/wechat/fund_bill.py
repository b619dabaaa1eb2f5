"""WeChat Pay fund bill (资金账单): every change of one account's balance.

Format: docs/formats/wechat-fund-bill.md.

What the channel owes is in the trade bill. This one shows fees, withdrawals and refunds as they
moved the account; the close compares both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import IO

import polars as pl

from tieout.channels.common.backtick_bills import (
    BacktickReading,
    count_of,
    declared_totals,
    total_in_fen,
)
from tieout.channels.common.bill_columns import find_columns, texts_by_column
from tieout.channels.common.bill_reading import Figures
from tieout.channels.common.bill_values import (
    BalanceChain,
    amounts_in_fen,
    beijing_time,
    check_codes,
    tokens,
)
from tieout.channels.common.model import (
    BlockFindings,
    ControlTotal,
    FileContext,
    Frames,
    UnreadableFileError,
)
from tieout.channels.common.repeated_keys import RepeatedKeys
from tieout.channels.wechat.answers import answer_in

__all__ = ["ACCOUNT_TYPES", "RAW_TABLE", "WechatFundReading"]

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


class WechatFundReading(BacktickReading):
    """Reads the table `wechat_fund_bill`: one row a change, fen, in + and out −.

    `account_type` is one of `ACCOUNT_TYPES`; nothing in the bill says it. An answer is refused.
    """

    hidden = ("submitter",)
    first_heading = "记账时间"
    totals_heading = _COUNT

    def __init__(self, context: FileContext, *, account_type: str) -> None:
        super().__init__(context, "booked_at")
        self._account_type = account_type
        self._flow_ids = RepeatedKeys()
        self._balances = BalanceChain()
        self._counted: Counter[str] = Counter()

    def bill(self, stream: IO[bytes]) -> Iterator[Frames]:
        """Yield the rows of the unpacked bill."""
        if answer_in(stream) is not None:
            raise UnreadableFileError("error_answer", "it is no bill but an error answer")
        yield from super().bill(stream)

    def places(self, header: Sequence[str]) -> Mapping[str, int]:
        """Return where each column stands."""
        return find_columns(header, _COLUMNS, ignored=_IGNORED_COLUMNS)

    def rows(
        self,
        cells: pl.Series,
        places: Mapping[str, int],
        line_numbers: Sequence[int],
        findings: BlockFindings,
    ) -> tuple[Frames, pl.Series]:
        """Return the table's columns of some records, and their times."""
        texts = texts_by_column(cells, places, _COLUMNS)
        frame = _frame(texts, findings)
        _check_rows(frame, texts, findings)
        self._flow_ids.add(texts.select("funds_flow_id"), line_numbers)
        self._balances.add(frame["signed"], frame["balance"], line_numbers)
        self._count(frame)
        stored = _stored(frame, texts, line_numbers, self.context, self._account_type)
        return {RAW_TABLE: stored}, frame["booked_at"]

    def _count(self, frame: pl.DataFrame) -> None:
        self._counted["count"] += len(frame)
        for name, sign in (("in", 1), ("out", -1)):
            rows = frame.filter(pl.col("signed") * sign > 0)
            self._counted[f"{name}_count"] += len(rows)
            self._counted[f"{name}_amount"] += int(rows["amount"].sum())

    def check_whole(self) -> None:
        """Flag changes that stand twice, and balances that do not follow on one another."""
        self._flow_ids.flag(self.findings, "funds_flow_id", "another row of the bill has it, too")
        self._balances.flag(self.findings)

    def control_totals(self, lines: tuple[str, str]) -> tuple[ControlTotal, ...]:
        """Compare how often and how much came in and went out."""
        declared = declared_totals(lines, _TOTALS, required=_TOTALS)
        return tuple(
            ControlTotal(
                headings[0],
                count_of(headings[0], declared[name])
                if "count" in name
                else total_in_fen(headings[0], declared[name]),
                self._counted[name],
            )
            for name, headings in _TOTALS.items()
        )

    def figures(self, totals: tuple[ControlTotal, ...]) -> Figures:
        """Return the stated count, and what came in less what went out."""
        counted = self._counted["in_amount"] - self._counted["out_amount"]
        return (totals[0].declared, _net(totals), counted) if totals else (None, None, counted)


def _frame(texts: pl.DataFrame, findings: BlockFindings) -> pl.DataFrame:
    """Return time, amount as printed and signed, and balance; 0 where it cannot be read."""
    names = ("amount", "balance")
    amounts = amounts_in_fen(texts, names, findings, required=names)
    signs = texts["direction"].replace_strict(_SIGNS, default=0, return_dtype=pl.Int64)
    return amounts.with_columns(
        beijing_time(texts["booked_at"], findings), (signs * amounts["amount"]).alias("signed")
    )


def _check_rows(frame: pl.DataFrame, texts: pl.DataFrame, findings: BlockFindings) -> None:
    for name in _KEYS:
        findings.flag(texts[name].is_null(), name, "missing_key", f"{name} is blank")
    check_codes(texts["direction"], _SIGNS, findings)
    findings.flag(
        frame["amount"] < 0, "amount", "wrong_sign", "printed without a sign; 收支类型 says which"
    )


def _net(totals: tuple[ControlTotal, ...]) -> int | None:
    """Return what came in less what went out, as the bill states both."""
    stated = {total.name: total.declared for total in totals}
    came, went = stated["收入金额"], stated["支出金额"]
    return None if came is None or went is None else came - went


def _stored(
    frame: pl.DataFrame,
    texts: pl.DataFrame,
    line_numbers: Sequence[int],
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
        .insert_column(0, pl.Series("line_number", line_numbers, dtype=pl.UInt32))
    )
