"""Alipay trade bill (业务明细): a ZIP with a summary, bare, or through UnionPay.

Format: docs/formats/alipay-trade-bill.md.

The kind (业务类型) gives the sign of an amount. Where the file says that its refunds are negative,
or shows it, a printed sign that disagrees is a finding.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from tieout.channels.alipay.files import AlipayReading, ListHead, footer_numbers
from tieout.channels.common.bill_columns import find_columns, heading, texts_by_column
from tieout.channels.common.bill_reading import Figures
from tieout.channels.common.bill_values import (
    amounts_in_fen,
    beijing_time,
    check_codes,
    person_mask,
    whole_numbers,
)
from tieout.channels.common.model import (
    BlockFindings,
    ControlTotal,
    FileContext,
    Frames,
    UnreadableFileError,
)

__all__ = ["RAW_TABLE", "TradeBillReading"]

RAW_TABLE = "alipay_trade_bill"
KIND = "业务明细"

# Our column: the bill's headings. The second ones are of the bill that UnionPay passes on.
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "channel_order_id": ("支付宝交易号", "银联交易号"),
    "merchant_order_id": ("商户订单号",),
    "business_type": ("业务类型",),
    "created_at": ("创建时间",),
    "finished_at": ("完成时间",),
    "store_id": ("门店编号",),
    "operator_id": ("操作员",),
    "terminal_id": ("终端号",),
    "counterparty": ("对方账户",),
    "order_amount": ("订单金额（元）",),
    "merchant_received": ("商家实收（元）",),
    "merchant_discount": ("商家优惠（元）",),
    "refund_request_id": ("退款批次号/请求号", "退款批次号"),
    "service_fee": ("服务费（元）",),
    "profit_share": ("分润（元）",),
    "remark": ("备注",),
    # Only in the bill that UnionPay passes on.
    "net_received": ("实收净额（元）",),
    "merchant_identifier": ("商户识别号",),
    "trade_method": ("交易方式",),
    "instalment_fee": ("花呗分期手续费", "花呗分期手续费（元）"),
    "instalment_count": ("花呗分期数",),
}
_THROUGH_UNIONPAY = (
    "net_received",
    "merchant_identifier",
    "trade_method",
    "instalment_fee",
    "instalment_count",
)
_NOT_THROUGH_UNIONPAY = ("profit_share",)
_UNIONPAY_HEADING = "银联交易号"
_IGNORED_COLUMNS = (
    "商品名称",
    "门店名称",
    "支付宝红包（元）",
    "集分宝（元）",
    "支付宝优惠（元）",
    "券核销金额（元）",
    "券名称",
    "商家红包消费金额（元）",
    "卡消费金额（元）",
)
_AMOUNTS = (
    "order_amount",
    "merchant_received",
    "merchant_discount",
    "service_fee",
    "profit_share",
    "net_received",
    "instalment_fee",
)
_TEXTS = (
    "channel_order_id",
    "merchant_order_id",
    "business_type",
    "store_id",
    "operator_id",
    "terminal_id",
    "refund_request_id",
    "remark",
    "merchant_identifier",
    "trade_method",
)
# What totals and the summary state the sums of.
_SUMMED = ("order_amount", "merchant_received", "merchant_discount", "service_fee")
_TRANSACTION_TYPES = {"交易": "purchase", "退款": "refund"}

_COUNT = "([0-9]{1,9})笔"
_AMOUNT = r"(-?[0-9]{1,15}(?:\.[0-9]{1,2}0*)?)元"
_PAYMENTS = re.compile(rf"#交易合计[：:]{_COUNT}[，,]商家实收共{_AMOUNT}[，,]商家优惠共{_AMOUNT}")
_REFUNDS = re.compile(
    rf"#退款合计[：:]{_COUNT}[，,]商家实收退款共{_AMOUNT}[，,]商家优惠退款共{_AMOUNT}"
)


class TradeBillReading(AlipayReading):
    """Reads the table `alipay_trade_bill`: one row a record, amounts in fen as printed."""

    kind = KIND
    hidden = ("counterparty", "remark")
    footers = (_PAYMENTS, _REFUNDS)

    def __init__(self, context: FileContext) -> None:
        super().__init__(context, "finished_at")
        self._sums: dict[str, Counter[str]] = {name: Counter() for name in ("payment", "refund")}
        # Lines of refunds by the sign they are printed with.
        self._positive_refunds: list[int] = []
        self._has_negative_refunds = False

    def places(self, head: ListHead) -> Mapping[str, int]:
        """Return where each column stands; a bill without records may have a shorter header."""
        if not head.has_records:
            optional: Sequence[str] = tuple(_COLUMNS)
        elif _UNIONPAY_HEADING in head.header:
            optional = _NOT_THROUGH_UNIONPAY
        else:
            optional = _THROUGH_UNIONPAY
        return find_columns(
            head.header,
            _COLUMNS,
            ignored=_IGNORED_COLUMNS,
            optional=optional,
            line_number=head.header_line_number,
        )

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
        _check_signs(frame, findings)
        self._count(frame, line_numbers)
        return {RAW_TABLE: _stored(frame, texts, line_numbers, places)}, frame["finished_at"]

    def _count(self, frame: pl.DataFrame, line_numbers: Sequence[int]) -> None:
        is_refund = (frame["transaction_type"] == "refund").fill_null(False)
        received = frame["merchant_received"]
        positive = np.flatnonzero((is_refund & (received > 0)).to_numpy()).tolist()
        self._positive_refunds += [line_numbers[position] for position in positive]
        self._has_negative_refunds |= bool((is_refund & (received < 0)).any())
        for name, rows in (
            ("refund", frame.filter(is_refund)),
            ("payment", frame.filter(~is_refund)),
        ):
            sums = self._sums[name]
            sums["count"] += len(rows)
            for amount in _SUMMED:
                sums[amount] += int(rows[amount].sum())

    def check_whole(self) -> None:
        """Flag refunds printed with another sign than the bill's.

        A variant without totals of refunds prints refunds unsigned; then they have to be so
        throughout.
        """
        has_refund_totals = footer_numbers(self.footer, _REFUNDS) is not None
        if has_refund_totals or self._has_negative_refunds:
            self.findings.of_block(self._positive_refunds).flag(
                np.ones(len(self._positive_refunds), dtype=bool),
                "merchant_received",
                "wrong_sign",
                "positive on a refund, in a bill whose refunds are negative",
            )

    def control_totals(self) -> tuple[ControlTotal, ...]:
        """Compare the totals' lines. Without one for refunds, the first line counts every row."""
        payments = footer_numbers(self.footer, _PAYMENTS)
        refunds = footer_numbers(self.footer, _REFUNDS)
        if payments is None and refunds is None:
            if self.row_count:
                raise UnreadableFileError("missing_totals", "the lines of totals are missing")
            return ()
        groups: Mapping[str, tuple[Sequence[int | None] | None, Mapping[str, int]]] = {
            "交易合计": (payments, self._every() if refunds is None else self._sums["payment"]),
            "退款合计": (refunds, self._sums["refund"]),
        }
        totals = []
        for label, (declared, sums) in groups.items():
            if declared is None and refunds is None:
                continue
            counted = (sums["count"], sums["merchant_received"], sums["merchant_discount"])
            names = ("count", "received", "discount")
            stated = declared or (None, None, None)
            totals += [
                ControlTotal(f"{label} {name}", theirs, ours)
                for name, theirs, ours in zip(names, stated, counted, strict=True)
            ]
        return tuple(totals)

    def _every(self) -> Mapping[str, int]:
        """Return counts and sums of payments and refunds together."""
        return {
            name: self._sums["payment"][name] + self._sums["refund"][name]
            for name in ("count", *_SUMMED)
        }

    def counted(self) -> dict[str, int]:
        """Return what the summary may state, by its headings; which it has is not verified."""
        every = self._every()
        return {
            "交易订单总笔数": self._sums["payment"]["count"],
            "退款订单总笔数": self._sums["refund"]["count"],
            **{heading(_COLUMNS[name][0]): every[name] for name in _SUMMED},
        }

    def figures(self, totals: tuple[ControlTotal, ...]) -> Figures:
        """Return what the lines of totals state, and what merchants received."""
        received = self._every()["merchant_received"]
        return _declared(totals, "count"), _declared(totals, "received"), received


# --- values ---------------------------------------------------------------------------------------


def _frame(texts: pl.DataFrame, findings: BlockFindings) -> pl.DataFrame:
    """Return amounts in fen, times and kind."""
    count = texts["instalment_count"]
    counts = whole_numbers(count)
    findings.flag(
        counts.is_null() & count.is_not_null(),
        "instalment_count",
        "not_a_number",
        "it has to be a whole number",
    )
    return amounts_in_fen(texts, _AMOUNTS, findings).with_columns(
        *(beijing_time(texts[name], findings) for name in ("created_at", "finished_at")),
        texts["business_type"]
        .replace_strict(_TRANSACTION_TYPES, default=None, return_dtype=pl.String)
        .alias("transaction_type"),
        counts,
    )


def _check_rows(frame: pl.DataFrame, texts: pl.DataFrame, findings: BlockFindings) -> None:
    for name in ("channel_order_id", "merchant_order_id"):
        findings.flag(texts[name].is_null(), name, "missing_key", "it is blank")
    check_codes(texts["business_type"], _TRANSACTION_TYPES, findings)
    is_refund = (frame["transaction_type"] == "refund").fill_null(False)
    findings.flag(
        is_refund & texts["refund_request_id"].is_null(),
        "refund_request_id",
        "missing_key",
        "a refund has to have its own id",
    )


def _check_signs(frame: pl.DataFrame, findings: BlockFindings) -> None:
    """Flag printed signs that disagree with the kind, whatever the bill's other rows say."""
    is_payment = (frame["transaction_type"] == "purchase").fill_null(False)
    is_refund = (frame["transaction_type"] == "refund").fill_null(False)
    received, fee = frame["merchant_received"], frame["service_fee"]
    findings.flag(
        is_payment & (received < 0), "merchant_received", "wrong_sign", "negative on a payment"
    )
    findings.flag(is_payment & (fee > 0), "service_fee", "wrong_sign", "positive on a payment")
    findings.flag(is_refund & (fee < 0), "service_fee", "wrong_sign", "negative on a refund")


def _stored(
    frame: pl.DataFrame,
    texts: pl.DataFrame,
    line_numbers: Sequence[int],
    places: Mapping[str, int],
) -> pl.DataFrame:
    """Return the raw table's rows; amounts that only another variant has are NULL, not 0."""
    absent = [
        name for name in (*_THROUGH_UNIONPAY, *_NOT_THROUGH_UNIONPAY)
        if name in _AMOUNTS and name not in places
    ]  # fmt: skip
    return (
        frame.with_columns(pl.lit(None, dtype=pl.Int64).alias(name) for name in absent)
        .rename({name: f"{name}_minor" for name in _AMOUNTS})
        .with_columns(
            *(texts[name] for name in _TEXTS),
            person_mask(texts["counterparty"], "counterparty_mask"),
            pl.lit("CNY").alias("currency_code"),
            pl.Series("line_number", line_numbers, dtype=pl.Int32),
        )
    )


# --- totals ---------------------------------------------------------------------------------------


def _declared(totals: Sequence[ControlTotal], name: str) -> int | None:
    """Return what the footer states of payments and refunds together."""
    stated = [total.declared or 0 for total in totals if total.name.endswith(f" {name}")]
    return sum(stated) if stated else None
