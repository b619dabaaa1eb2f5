"""UnionPay QR gateway bill (条码支付综合前置): WeChat and Alipay through UnionPay.

Format: docs/formats/qr-gateway-bill.md.

GBK, values behind backticks, 38 columns. The one known row has no header with it: without one the
columns are taken in that row's order, with one by its headings.

Where an institution's QR transactions are in its ACOMN, the bill lands and no close reads it; where
they are settled apart, reference data makes it a channel (docs/operations/add-a-channel.md).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import IO

import polars as pl

from tieout.channels.common.backtick_bills import (
    MARK,
    BacktickReading,
    BillLines,
    count_of,
    declared_totals,
    total_in_fen,
)
from tieout.channels.common.bill_columns import find_columns, texts_by_column
from tieout.channels.common.bill_reading import Figures
from tieout.channels.common.bill_values import (
    OF_TWO_DECIMALS,
    amounts_in_fen,
    beijing_time,
    check_codes,
    rate,
    tokens,
)
from tieout.channels.common.model import (
    BadRow,
    BlockFindings,
    ControlTotal,
    FileContext,
    Frames,
    UnreadableFileError,
    file_problem,
)
from tieout.channels.common.repeated_keys import RepeatedKeys

__all__ = ["COLUMN_ORDER", "RAW_TABLE", "GatewayBillReading"]

RAW_TABLE = "unionpay_qr_gateway_bill"

# The 38 columns in their order: ours, the public program's name, and the heading that bills of this
# kind of gateway have. No headings were in any sample: they are not verified.
COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("transaction_at", "trans_date_time", "交易时间"),
    ("app_id", "common_id", "公众账号ID"),
    ("third_party_merchant_id", "third_mcht_no", "第三方商户号"),
    ("merchant_id", "mcht_no", "商户号"),
    ("sub_merchant_id", "child_mcht_no", "子商户号"),
    ("terminal_id", "term_id", "设备号"),
    ("platform_order_id", "pl_order_no", "平台订单号"),
    ("channel_order_id", "un_order_no", "第三方订单号"),
    ("merchant_order_id", "mc_order_no", "商户订单号"),
    ("payer_id", "user_id", "用户标识"),
    ("trade_type", "trans_type", "交易类型"),
    ("trade_state", "trans_stat", "交易状态"),
    ("bank_code", "pay_bank", "付款银行"),
    ("currency_code", "curr_cd", "货币种类"),
    ("amount", "trans_amt", "总金额"),
    ("red_packet_amount", "ent_red_amt", "企业红包金额"),
    ("platform_refund_id", "plre_order_no", "平台退款单号"),
    ("merchant_refund_id", "mcre_order_no", "商户退款单号"),
    ("refund_amount", "refund_amt", "退款金额"),
    ("red_packet_refund_amount", "ent_red_refund_amt", "企业红包退款金额"),
    ("refund_type", "refund_type", "退款类型"),
    ("refund_state", "refund_stat", "退款状态"),
    ("goods", "pro_name", "商品名称"),
    ("attached_data", "mcht_date_package", "商户数据包"),
    ("fee", "trans_fee", "手续费"),
    ("fee_rate", "fee_rate", "费率"),
    ("terminal_type", "term_type", "终端类型"),
    ("local_settlement_flag", "local_settle_in", "对账标识"),
    ("store_id", "store_no", "门店编号"),
    ("merchant_name", "mcht_name", "商户名称"),
    ("cashier", "cashier", "收银员"),
    ("unionpay_key", "key_cup", "银联关键字"),
    ("merchant_coupon_amount", "no_coupon_amt", "免充值券金额"),
    ("actual_amount", "actual_amt", "实收金额"),
    ("settlement_amount", "settle_amt", "结算金额"),
    ("acquirer_cost", "acq_cost_fee", "收单成本"),
    ("cost_note", "reserve1", "保留字段1"),
    ("reserve", "reserve2", "保留字段2"),
)
COLUMN_ORDER = tuple(name for name, _, _ in COLUMNS)
_HEADINGS = {name: (bean, label) if bean != label else (bean,) for name, bean, label in COLUMNS}
# People, free text, and a reserve that holds what looks like a telephone number: not kept.
_NOT_KEPT = ("goods", "attached_data", "merchant_name", "cashier", "reserve")

_AMOUNTS = (
    "amount",
    "red_packet_amount",
    "refund_amount",
    "red_packet_refund_amount",
    "fee",
    "merchant_coupon_amount",
    "actual_amount",
    "settlement_amount",
    "acquirer_cost",
)
# 支付成功 is in the known row; 转入退款 is the usual word of this kind of gateway, not verified.
_TRANSACTION_TYPES = {"支付成功": "purchase", "转入退款": "refund"}

# Acquiring institution (11), forwarding institution (11), trace number (6), MMDDhhmmss (10): the
# key of ACOMN, without blanks between its parts.
_INSTITUTION = "[0-9]{8}(?:[0-9]{3}|[0-9]{2} |[0-9] {2}| {3})"
_KEY = f"^{_INSTITUTION}{_INSTITUTION}[0-9]{{16}}$"
_KEY_PARTS = {
    "acquiring_institution_id": (0, 11),
    "forwarding_institution_id": (11, 11),
    "trace_number": (22, 6),
    "transmission_time": (28, 10),
}

# A fee is the amount by the rate, rounded to the fen in a way one row cannot show.
FEE_TOLERANCE_MINOR = 1
MILLION = 1_000_000

# Whether the bill has totals is not verified; where it has, they are compared.
_TOTALS: Mapping[str, tuple[str, ...]] = {
    "count": ("总交易单数",),
    "amount": ("总交易额",),
    "refund_amount": ("总退款金额",),
    "red_packet_refund_amount": ("总企业红包退款金额",),
    "fee": ("总手续费金额", "手续费总金额"),
    "actual_amount": ("总实收金额",),
    "settlement_amount": ("总结算金额",),
}


class GatewayBillReading(BacktickReading):
    """Reads the table `unionpay_qr_gateway_bill`: one row a record, amounts in fen.

    Header and totals may be missing; a file without anything is refused.
    """

    encoding = "gb18030"
    hidden = ("payer_id", *_NOT_KEPT)
    totals_heading = _TOTALS["count"][0]

    def __init__(self, context: FileContext) -> None:
        super().__init__(context, "transaction_at")
        self._orders = RepeatedKeys()
        self._sums: Counter[str] = Counter()

    def bill(self, stream: IO[bytes]) -> Iterator[Frames]:
        """Yield the rows of the unpacked bill."""
        lines = BillLines(stream, self.encoding)
        # Only headings have no backtick in front.
        self.header = lines.header()
        records = lines.blocks(
            self.width, self.context.block_rows, totals_heading=self.totals_heading
        )
        yield from self.frames(records, self.places(self.header))
        if not lines.line_count:
            # No source says that a day without transactions is delivered like this.
            raise UnreadableFileError("empty_file", "it has neither records nor headings")
        self.total_lines = (lines.tail[0], lines.tail[1]) if lines.tail else None

    @property
    def width(self) -> int:
        """How many values a record has."""
        return len(self.header or COLUMN_ORDER)

    def places(self, header: Sequence[str]) -> Mapping[str, int]:
        """Return where each column stands: by its heading, or by the order without headings."""
        if header:
            return find_columns(header, _HEADINGS)
        return {name: place for place, name in enumerate(COLUMN_ORDER)}

    def rows(
        self,
        cells: pl.Series,
        places: Mapping[str, int],
        line_numbers: Sequence[int],
        findings: BlockFindings,
    ) -> tuple[Frames, pl.Series]:
        """Return the table's columns of some records, and their times."""
        texts = texts_by_column(cells, places, COLUMN_ORDER)
        frame = _frame(texts, findings)
        keys = _keys(texts["unionpay_key"], findings)
        _check_rows(frame, texts, findings)
        is_payment = (frame["transaction_type"] == "purchase").fill_null(False)
        # Only a payment may not be of an order that another row has.
        self._orders.add(texts.select("platform_order_id"), line_numbers, may_repeat=~is_payment)
        for name in _AMOUNTS:
            self._sums[name] += int(frame[name].sum())
        stored = _stored(frame, texts, keys, self.context, line_numbers)
        return {RAW_TABLE: stored}, frame["transaction_at"]

    def check_whole(self) -> None:
        """Flag payments of an order that stands twice."""
        reason = "another row of the bill has it, too"
        self._orders.flag(self.findings, "platform_order_id", reason)

    def problems(self) -> list[BadRow]:
        """Return a finding where the name says a period."""
        return _name_problems(self.context)

    def control_totals(self, lines: tuple[str, str]) -> tuple[ControlTotal, ...]:
        """Compare the totals; whether a bill has any is not verified."""
        if not lines[1].startswith(MARK):
            raise UnreadableFileError("missing_totals", "the last line is not the totals")
        declared = declared_totals(lines, _TOTALS, required=("count",))
        count = self.totals_heading
        return (
            ControlTotal(count, count_of(count, declared["count"]), self.row_count),
            *(
                ControlTotal(
                    headings[0], total_in_fen(headings[0], declared[name]), self._sums[name]
                )
                for name, headings in _TOTALS.items()
                if name in declared and name != "count"
            ),
        )

    def figures(self, totals: tuple[ControlTotal, ...]) -> Figures:
        """Return the stated count, and what is settled."""
        return totals[0].declared if totals else None, None, self._sums["settlement_amount"]


def _name_problems(context: FileContext) -> list[BadRow]:
    """Return a finding where the name says a period; a bill has to be of one day."""
    end = context.name_parts.get("end_date")
    if end is None or context.accounting_date is None:
        return []
    if end == f"{context.accounting_date:%Y%m%d}":
        return []
    return [file_problem("wrong_period", "the name says more than one day")]


# --- values ---------------------------------------------------------------------------------------


def _frame(texts: pl.DataFrame, findings: BlockFindings) -> pl.DataFrame:
    """Return amounts in fen (a blank is 0), time, kind and rate."""
    return amounts_in_fen(
        texts, _AMOUNTS, findings, required=("amount", "fee", "settlement_amount")
    ).with_columns(
        beijing_time(texts["transaction_at"], findings),
        texts["trade_state"]
        .replace_strict(_TRANSACTION_TYPES, default=None, return_dtype=pl.String)
        .alias("transaction_type"),
        rate(texts["fee_rate"], findings),
    )


def _keys(texts: pl.Series, findings: BlockFindings) -> pl.DataFrame:
    """Return the parts of ACOMN's key; NULL where the row has none."""
    is_key = texts.str.contains(_KEY)
    findings.flag(
        ~is_key.fill_null(False) & texts.is_not_null(),
        texts.name,
        "bad_key",
        "it has to be two institutions (11 wide each), a trace number (6) and MMDDhhmmss",
    )
    key = pl.col(texts.name)
    return texts.to_frame().select(
        key.str.slice(start, width).str.strip_chars().alias(name)
        for name, (start, width) in _KEY_PARTS.items()
    )


def _check_rows(frame: pl.DataFrame, texts: pl.DataFrame, findings: BlockFindings) -> None:
    for name in ("merchant_id", "platform_order_id", "merchant_order_id"):
        findings.flag(texts[name].is_null(), name, "missing_key", "it is blank")
    check_codes(texts["trade_state"], _TRANSACTION_TYPES, findings)
    check_codes(texts["currency_code"], OF_TWO_DECIMALS, findings)
    is_payment = (frame["transaction_type"] == "purchase").fill_null(False)
    is_refund = (frame["transaction_type"] == "refund").fill_null(False)
    findings.flag(
        is_refund & texts["platform_refund_id"].is_null(),
        "platform_refund_id",
        "missing_key",
        "a refund has to have its own id",
    )
    for name in ("amount", "refund_amount"):
        findings.flag(frame[name] < 0, name, "wrong_sign", "printed without a sign")
    _check_money(frame, is_payment, findings)
    findings.flag(
        is_refund
        & (frame["settlement_amount"] != -frame["refund_amount"] - frame["fee"])
        & (frame["red_packet_refund_amount"] == 0),
        "settlement_amount",
        "wrong_settlement",
        "of a refund it is what is given back, below zero, less the fee that comes back",
    )


def _check_money(frame: pl.DataFrame, is_payment: pl.Series, findings: BlockFindings) -> None:
    """Compare fee and settlement of a payment; what they are of with a coupon is not verified."""
    is_plain = is_payment & (frame["merchant_coupon_amount"] == 0)
    findings.flag(
        is_plain & ~fee_fits(frame["amount"], frame["fee_rate"], frame["fee"]),
        "fee",
        "wrong_fee",
        f"it is not the amount by the rate, to within {FEE_TOLERANCE_MINOR} fen",
    )
    findings.flag(
        is_plain & (frame["settlement_amount"] != frame["amount"] - frame["fee"]),
        "settlement_amount",
        "wrong_settlement",
        "it is not the amount less the fee",
    )


def fee_fits(amounts: pl.Series, rates: pl.Series, fees: pl.Series) -> pl.Series:
    """Say whether each fee is amount × rate to within a fen; whole numbers only, NULL is no fit.

    Amounts up to `AMOUNT_MAX_MINOR` by rates in millionths stay inside 64 bits.
    """
    millionths = (rates * pl.Series([MILLION], dtype=pl.Decimal(20, 8))).cast(pl.Int64)
    distance = (fees * MILLION - amounts * millionths).abs()
    return (distance <= FEE_TOLERANCE_MINOR * MILLION).fill_null(False)


def _stored(
    frame: pl.DataFrame,
    texts: pl.DataFrame,
    keys: pl.DataFrame,
    context: FileContext,
    line_numbers: Sequence[int],
) -> pl.DataFrame:
    dropped = {*frame.columns, *_NOT_KEPT, "payer_id", "unionpay_key"}
    return (
        texts.select(name for name in texts.columns if name not in dropped)
        .hstack(frame.rename({name: f"{name}_minor" for name in _AMOUNTS}))
        .hstack(keys)
        .with_columns(
            tokens(texts["payer_id"], context.vault, "payer_token"),
            pl.Series("line_number", line_numbers, dtype=pl.Int32),
        )
    )
