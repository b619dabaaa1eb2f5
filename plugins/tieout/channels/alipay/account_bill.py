"""Alipay account bill (账务明细, signcustomer): every change of the account.

Format: docs/formats/alipay-account-bill.md.

What the channel owes is in the trade bill; the close compares both. Fees are rows of their own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from tieout.channels.alipay.files import AlipayReading, ListHead, footer_numbers
from tieout.channels.common.bill_columns import find_columns, texts_by_column
from tieout.channels.common.bill_reading import Figures
from tieout.channels.common.bill_values import (
    BalanceChain,
    amounts_in_fen,
    beijing_time,
    person_mask,
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

__all__ = ["RAW_TABLE", "AccountBillReading"]

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


class AccountBillReading(AlipayReading):
    """Reads the table `alipay_account_bill`: one row a change, fen, in + and out −."""

    kind = KIND
    hidden = ("counterparty",)
    footers = (_EXPENSES, _INCOMES)

    def __init__(self, context: FileContext) -> None:
        super().__init__(context, "booked_at")
        self._columns: Mapping[str, int] = {}
        self._entry_ids = RepeatedKeys()
        self._balances = BalanceChain()
        self._counts: Counter[str] = Counter()
        self._sums: Counter[str] = Counter()
        # Whether what went out has a sign differs by year, but not within a bill.
        self._negative_expenses: list[int] = []
        self._has_unsigned = False

    def places(self, head: ListHead) -> Mapping[str, int]:
        """Return where each column stands."""
        required = _REQUIRED_WITH_RECORDS if head.has_records else ()
        places = find_columns(
            head.header,
            _COLUMNS,
            ignored=_IGNORED_COLUMNS,
            optional=set(_COLUMNS) - set(required),
            line_number=head.header_line_number,
        )
        self._columns = places
        return places

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
        self._entry_ids.add(texts.select("ledger_entry_id"), line_numbers)
        self._balances.add(frame["amount"], frame["balance"], line_numbers)
        negative = np.flatnonzero((frame["signed_expense"] < 0).to_numpy()).tolist()
        self._negative_expenses += [line_numbers[position] for position in negative]
        self._has_unsigned |= bool((frame["signed_expense"] > 0).any())
        for name in ("income", "expense"):
            self._counts[name] += int((frame[name] != 0).sum())
            self._sums[name] += int(frame[name].sum())
        stored = _stored(frame, texts, line_numbers, self.context)
        return {RAW_TABLE: stored}, frame["booked_at"]

    def check_whole(self) -> None:
        """Flag entries that stand twice, and signs that the bill does not print otherwise."""
        self._entry_ids.flag(
            self.findings, "ledger_entry_id", "another row of the bill has it, too"
        )
        if self._has_unsigned:
            self.findings.of_block(self._negative_expenses).flag(
                np.ones(len(self._negative_expenses), dtype=bool),
                "expense",
                "wrong_sign",
                "negative, in a bill that prints what goes out without a sign",
            )

    def control_totals(self) -> tuple[ControlTotal, ...]:
        """Compare the lines of totals: how often and how much, in and out, without signs."""
        totals = []
        for label, pattern, name in (("支出", _EXPENSES, "expense"), ("收入", _INCOMES, "income")):
            stated = footer_numbers(self.footer, pattern)
            if stated is not None:
                count, amount = stated
                totals += [
                    ControlTotal(f"{label}笔数", count, self._counts[name]),
                    ControlTotal(f"{label}金额", _unsigned(amount), self._sums[name]),
                ]
            elif self.row_count or name in self._columns:
                raise UnreadableFileError("missing_totals", f"the line {label}合计 is missing")
        return tuple(totals)

    def totals(self) -> tuple[ControlTotal, ...]:
        """Compare the totals; where they say that the list is whole, its balances follow."""
        totals = super().totals()
        if totals and all(total.agrees for total in totals):
            self._balances.flag(self.findings)
        return totals

    def counted(self) -> dict[str, int]:
        """Return what the summary states, by its headings."""
        income, expense = self._sums["income"], self._sums["expense"]
        return {
            "收入笔数": self._counts["income"],
            "收入金额（+元）": income,
            "支出笔数": self._counts["expense"],
            "支出金额（-元）": expense,
            "总金额（元）": income - expense,
        }

    def figures(self, totals: tuple[ControlTotal, ...]) -> Figures:
        """Return what the lines of totals state, and what came in less what went out."""
        counted = self._sums["income"] - self._sums["expense"]
        return _declared(totals, "笔数"), _declared_net(totals), counted


# --- values ---------------------------------------------------------------------------------------


def _frame(texts: pl.DataFrame, findings: BlockFindings) -> pl.DataFrame:
    """Return time, what came in, what went out (unsigned), both as one amount, and the balance."""
    # One of the two amounts may be blank.
    names = ("income", "expense", "balance")
    amounts = amounts_in_fen(texts, names, findings, required=("balance",))
    return amounts.with_columns(
        pl.col("expense").abs(), pl.col("expense").alias("signed_expense")
    ).with_columns(
        (pl.col("income") - pl.col("expense")).alias("amount"),
        beijing_time(texts["booked_at"], findings),
    )


def _check_rows(frame: pl.DataFrame, texts: pl.DataFrame, findings: BlockFindings) -> None:
    for name in ("ledger_entry_id", "business_type"):
        findings.flag(texts[name].is_null(), name, "missing_key", "it is blank")
    findings.flag(frame["income"] < 0, "income", "wrong_sign", "negative, where money comes in")
    findings.flag(
        (frame["income"] != 0) & (frame["expense"] != 0),
        "expense",
        "ambiguous_amount",
        "the row says that money came in and went out",
    )


def _stored(
    frame: pl.DataFrame, texts: pl.DataFrame, line_numbers: Sequence[int], context: FileContext
) -> pl.DataFrame:
    return texts.select(_TEXTS).with_columns(
        frame["booked_at"],
        frame["amount"].alias("amount_minor"),
        frame["balance"].alias("balance_after_minor"),
        tokens(texts["counterparty"], context.vault, "counterparty_token"),
        person_mask(texts["counterparty"], "counterparty_mask"),
        pl.lit("CNY").alias("currency_code"),
        pl.Series("line_number", line_numbers, dtype=pl.Int32),
    )


# --- totals ---------------------------------------------------------------------------------------


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
