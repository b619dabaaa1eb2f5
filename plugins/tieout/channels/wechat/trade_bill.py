"""WeChat Pay trade bill (交易账单): ALL, SUCCESS and REFUND, old and new columns.

Format: docs/formats/wechat-trade-bill.md.

ALL is the day's record and the only one the close reads. SUCCESS and REFUND are parts of the same
day: they go to a table of their own, so that no record counts twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import IO, Literal

import polars as pl

from tieout.channels.common.amounts import minor_units_of
from tieout.channels.common.backtick_bills import (
    BacktickReading,
    count_of,
    declared_totals,
    total_in_fen,
)
from tieout.channels.common.bill_columns import find_columns, heading, texts_by_column
from tieout.channels.common.bill_reading import Figures
from tieout.channels.common.bill_values import (
    OF_TWO_DECIMALS,
    amounts_in_fen,
    beijing_time,
    check_codes,
    fees_in_fen,
    rate,
    tokens,
)
from tieout.channels.common.model import (
    BlockFindings,
    ControlTotal,
    FileContext,
    Frames,
    ParsedFile,
    UnreadableFileError,
)
from tieout.channels.wechat.answers import answer_in, says_no_bill

__all__ = ["PARTS_TABLE", "RAW_TABLE", "BillForm", "WechatTradeReading"]

RAW_TABLE = "wechat_trade_bill"
PARTS_TABLE = "wechat_trade_bill_parts"

BillForm = Literal["all", "success", "refund"]

# Our column: the bill's headings. The second ones are those of 2014 to 2017, and those UnionPay
# writes into a bill it passes on. The spellings of the old coupons (代金券或立减优惠, 企业红包) are
# not verified.
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "transaction_at": ("交易时间",),
    "app_id": ("公众账号ID",),
    "channel_merchant_id": ("商户号",),
    "sub_merchant_id": ("特约商户号", "子商户号"),
    "device_id": ("设备号",),
    "channel_order_id": ("微信订单号", "银联订单号"),
    "merchant_order_id": ("商户订单号",),
    "payer_id": ("用户标识",),
    "trade_type": ("交易类型",),
    "trade_state": ("交易状态",),
    "bank_code": ("付款银行",),
    "currency_code": ("货币种类",),
    "settlement_amount": ("应结订单金额", "总金额"),
    "coupon_amount": ("代金券金额", "代金券或立减优惠金额", "企业红包金额"),
    "fee": ("手续费",),
    "fee_rate": ("费率",),
    "order_amount": ("订单金额",),
}
_REFUND_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "channel_refund_id": ("微信退款单号", "银联退款单号"),
    "merchant_refund_id": ("商户退款单号",),
    "refund_amount": ("退款金额",),
    "coupon_refund_amount": ("充值券退款金额", "代金券或立减优惠退款金额", "企业红包退款金额"),
    "refund_type": ("退款类型",),
    "refund_state": ("退款状态",),
    "applied_refund_amount": ("申请退款金额",),
}
_REFUND_TIMES: Mapping[str, tuple[str, ...]] = {
    "refund_requested_at": ("退款申请时间",),
    "refund_succeeded_at": ("退款成功时间",),
}
_FORMS: Mapping[BillForm, Mapping[str, tuple[str, ...]]] = {
    "all": {**_COLUMNS, **_REFUND_COLUMNS},
    "success": _COLUMNS,
    "refund": {**_COLUMNS, **_REFUND_COLUMNS, **_REFUND_TIMES},
}
_EVERY_COLUMN = _FORMS["refund"]
# The form of 2014 has one amount for the order and what is settled.
_OLD_AMOUNT = "总金额"
_NOT_IN_THE_OLD_FORM = ("order_amount", "applied_refund_amount")
# Known, not kept: goods and attached data may name people.
_IGNORED_COLUMNS = ("商品名称", "商户数据包", "费率备注")

_AMOUNTS = (
    "settlement_amount",
    "coupon_amount",
    "refund_amount",
    "coupon_refund_amount",
    "fee",
    "order_amount",
    "applied_refund_amount",
)
_TRANSACTION_TYPES = {"SUCCESS": "purchase", "REFUND": "refund", "REVOKED": "void"}
_STATES_OF_FORM: Mapping[BillForm, tuple[str, ...]] = {
    "all": tuple(_TRANSACTION_TYPES),
    "success": ("SUCCESS",),
    "refund": ("REFUND", "REVOKED"),
}
_TRADE_TYPES = ("JSAPI", "NATIVE", "APP", "MICROPAY", "MWEB", "FACEPAY")
# A refund under way has left our money; a failed one (FAIL, CHANGE) has no rule yet.
_REFUND_STATES = ("SUCCESS", "PROCESSING")

_COUNT = "总交易单数"
# The sum each total states: its headings, new and old (the old ones are not verified).
_TOTALS: Mapping[str, tuple[str, ...]] = {
    "count": (_COUNT,),
    "settlement_amount": ("应结订单总金额", "总交易额"),
    "refund_amount": ("退款总金额", "总退款金额"),
    "coupon_refund_amount": (
        "充值券退款总金额",
        "总代金券或立减优惠退款金额",
        "总企业红包退款金额",
    ),
    "fee": ("手续费总金额",),
    "order_amount": ("订单总金额",),
    "applied_refund_amount": ("申请退款总金额",),
}
# A bill with refunds in it is proved by nothing that leaves them out.
_REQUIRED_TOTALS: Mapping[BillForm, tuple[str, ...]] = {
    "all": ("count", "settlement_amount", "refund_amount", "fee"),
    "success": ("count", "settlement_amount", "fee"),
    "refund": ("count", "settlement_amount", "refund_amount", "fee"),
}


class WechatTradeReading(BacktickReading):
    """Reads one row a record, amounts in fen, fees as printed.

    ALL goes to the table `wechat_trade_bill`, the others to `wechat_trade_bill_parts`. The answer
    "No Bill Exist" is a day without records; columns of another form are refused.
    """

    hidden = ("payer_id",)
    first_heading = "交易时间"
    totals_heading = _COUNT

    def __init__(self, context: FileContext, *, bill_form: BillForm = "all") -> None:
        self._dated_by = "refund_requested_at" if bill_form == "refund" else "transaction_at"
        super().__init__(context, self._dated_by)
        self._bill_form = bill_form
        self._says_no_bill = False
        self._sums: Counter[str] = Counter()

    def bill(self, stream: IO[bytes]) -> Iterator[Frames]:
        """Yield the rows of the unpacked bill; an answer has none."""
        answer = answer_in(stream)
        if answer is not None and says_no_bill(answer):
            self._says_no_bill = True
            return
        yield from super().bill(stream)

    def places(self, header: Sequence[str]) -> Mapping[str, int]:
        """Return where each column of the form stands."""
        found = {heading(name) for name in header}
        form = _form_of(found)
        if form != self._bill_form:
            raise UnreadableFileError(
                "wrong_form",
                f"the columns are those of a bill {form.upper()}, its name says "
                f"{self._bill_form.upper()}",
                line_number=1,
            )
        return find_columns(
            header,
            _FORMS[form],
            ignored=_IGNORED_COLUMNS,
            optional=_NOT_IN_THE_OLD_FORM if _is_old(found) else (),
        )

    def rows(
        self,
        cells: pl.Series,
        places: Mapping[str, int],
        line_numbers: Sequence[int],
        findings: BlockFindings,
    ) -> tuple[Frames, pl.Series]:
        """Return the table's columns of some records, and their times."""
        bill_form = self._bill_form
        texts = texts_by_column(cells, places, _EVERY_COLUMN)
        frame = _frame(texts, findings, bill_form)
        is_old = _is_old({heading(name) for name in self.header})
        _check_rows(frame, texts, self.context, findings, bill_form)
        _check_signs(frame, findings, ordered="settlement_amount" if is_old else "order_amount")
        if is_old:
            _check_old_form(frame, findings)
        self._count(frame)
        stored = _stored(frame, texts, line_numbers, self.context, bill_form, has_column=places)
        return stored, frame[self._dated_by]

    def _count(self, frame: pl.DataFrame) -> None:
        is_payment = (frame["transaction_type"] == "purchase").fill_null(False)
        for name in (*_AMOUNTS, "fee_rest"):
            # What is settled counts payments only.
            rows = frame.filter(is_payment) if name == "settlement_amount" else frame
            self._sums[name] += int(rows[name].sum())

    def control_totals(self, lines: tuple[str, str]) -> tuple[ControlTotal, ...]:
        """Compare every stated total; the first two are the count and what is settled."""
        declared = declared_totals(lines, _TOTALS, required=_REQUIRED_TOTALS[self._bill_form])
        totals = [ControlTotal(_COUNT, count_of(_COUNT, declared["count"]), self.row_count)]
        for name, headings in _TOTALS.items():
            if name not in declared or name == "count":
                continue
            if name == "fee":
                totals.append(_fee_total(headings[0], declared[name], self._sums))
                continue
            stated = total_in_fen(headings[0], declared[name])
            totals.append(ControlTotal(headings[0], stated, self._sums[name]))
        return tuple(totals)

    def figures(self, totals: tuple[ControlTotal, ...]) -> Figures:
        """Return the stated count, and what is settled as stated and as counted."""
        if not totals:
            return None, None, None
        return totals[0].declared, totals[1].declared, totals[1].counted

    def finish(self) -> ParsedFile:
        """Return totals and findings of the whole file."""
        return _day_without_bill(self.context) if self._says_no_bill else super().finish()


def _day_without_bill(context: FileContext) -> ParsedFile:
    """Return a day of which the channel says that it has no bill: no rows, and that is checked."""
    return ParsedFile(
        frames={},
        row_count=0,
        accounting_date=context.accounting_date,
        totals=(ControlTotal("No Bill Exist", 0, 0),),
        declared_row_count=0,
    )


# --- form -----------------------------------------------------------------------------------------


def _is_old(headings: Collection[str]) -> bool:
    return _OLD_AMOUNT in headings


def _form_of(headings: set[str]) -> BillForm:
    """Return the form by the columns only it has."""

    def has_any(columns: Mapping[str, tuple[str, ...]]) -> bool:
        return any(name in headings for names in columns.values() for name in names)

    if has_any(_REFUND_TIMES):
        return "refund"
    return "all" if has_any(_REFUND_COLUMNS) else "success"


# --- values ---------------------------------------------------------------------------------------


def _frame(texts: pl.DataFrame, findings: BlockFindings, bill_form: BillForm) -> pl.DataFrame:
    """Return amounts in fen (0 where blank, or not in the form), times, kind and rate."""
    names = [name for name in _AMOUNTS if name != "fee"]
    amounts = amounts_in_fen(texts, names, findings).hstack(fees_in_fen(texts["fee"], findings))
    is_refund_bill = bill_form == "refund"
    return amounts.with_columns(
        beijing_time(texts["transaction_at"], findings),
        beijing_time(texts["refund_requested_at"], findings, required=is_refund_bill),
        beijing_time(texts["refund_succeeded_at"], findings, required=False),
        texts["trade_state"]
        .replace_strict(_TRANSACTION_TYPES, default=None, return_dtype=pl.String)
        .alias("transaction_type"),
        rate(texts["fee_rate"], findings),
    )


def _check_rows(
    frame: pl.DataFrame,
    texts: pl.DataFrame,
    context: FileContext,
    findings: BlockFindings,
    bill_form: BillForm,
) -> None:
    for name in ("channel_order_id", "merchant_order_id", "channel_merchant_id"):
        findings.flag(texts[name].is_null(), name, "missing_key", f"{name} is blank")
    is_return = frame["transaction_type"].is_in(["refund", "void"]).fill_null(False)
    check_codes(texts["trade_state"], _STATES_OF_FORM[bill_form], findings)
    check_codes(texts["trade_type"], _TRADE_TYPES, findings)
    check_codes(texts["currency_code"], OF_TWO_DECIMALS, findings)
    check_codes(texts["refund_state"], _REFUND_STATES, findings, where=is_return)
    findings.flag(
        is_return & texts["channel_refund_id"].is_in(["0"]).fill_null(True),
        "channel_refund_id",
        "missing_key",
        "a refund has to have its own id",
    )
    merchant = context.name_parts.get("channel_merchant_id")
    if merchant is not None:
        findings.flag(
            texts["channel_merchant_id"] != merchant,
            "channel_merchant_id",
            "wrong_merchant",
            "it is not the merchant in the file's name",
        )


def _check_signs(frame: pl.DataFrame, findings: BlockFindings, *, ordered: str) -> None:
    """Flag signs the bill cannot have: a refund is printed positive, its fee negative."""
    is_payment = (frame["transaction_type"] == "purchase").fill_null(False)
    is_return = frame["transaction_type"].is_in(["refund", "void"]).fill_null(False)
    rules = (
        (ordered, is_payment & (frame[ordered] < 0), "positive on a payment"),
        ("settlement_amount", frame["settlement_amount"] < 0, "not negative"),
        ("coupon_amount", frame["coupon_amount"] < 0, "not negative"),
        ("fee", is_payment & (frame["fee"] < 0), "not negative on a payment"),
        ("fee", is_return & (frame["fee"] > 0), "not positive on a refund"),
        ("refund_amount", is_payment & (frame["refund_amount"] != 0), "0 on a payment"),
        ("refund_amount", is_return & (frame["refund_amount"] < 0), "not negative"),
        (
            "applied_refund_amount",
            is_return & (frame["applied_refund_amount"] < 0),
            "not negative",
        ),
    )
    for name, wrong, rule in rules:
        findings.flag(wrong, name, "wrong_sign", f"it has to be {rule}")
    findings.flag(
        is_payment & (frame[ordered] == 0),
        ordered,
        "no_amount",
        "an order of 0.00: WeChat Pay takes none, so that its amount is missing here",
    )


def _check_old_form(frame: pl.DataFrame, findings: BlockFindings) -> None:
    """Flag coupons in the old form: nothing says whether the one amount is with or without them."""
    for name in ("coupon_amount", "coupon_refund_amount"):
        findings.flag(
            frame[name] != 0,
            name,
            "ambiguous_amount",
            f"the old form does not say whether {_OLD_AMOUNT} holds the coupon",
        )


def _fee_total(name: str, text: str, sums: Mapping[str, int]) -> ControlTotal:
    """Compare the sum of fees: with what was settled, or else with the fees as they are printed.

    Which of the two a bill with fractions states is not known; either proves its rows.
    """
    settled = sums["fee"]
    stated = minor_units_of(text, exponent=5)
    printed = settled * 1000 + sums["fee_rest"]
    if stated is not None and stated == printed and stated % 1000:
        return ControlTotal(f"{name} (fen / 1000)", stated, printed)
    if stated is not None and stated == printed:
        return ControlTotal(name, stated // 1000, printed // 1000)
    return ControlTotal(name, total_in_fen(name, text), settled)


def _stored(
    frame: pl.DataFrame,
    texts: pl.DataFrame,
    line_numbers: Sequence[int],
    context: FileContext,
    bill_form: BillForm,
    *,
    has_column: Mapping[str, int],
) -> dict[str, pl.DataFrame]:
    """Return the rows by table; amounts the old form has not are NULL, not 0."""
    unknown = [name for name in _NOT_IN_THE_OLD_FORM if name not in has_column]
    typed = frame.drop("fee_rest").with_columns(
        pl.lit(None, dtype=pl.Int64).alias(name) for name in unknown
    )
    kept = [name for name in texts.columns if name not in {*typed.columns, "payer_id"}]
    stored = (
        texts.select(kept)
        .hstack(typed.rename({name: f"{name}_minor" for name in _AMOUNTS}))
        .with_columns(tokens(texts["payer_id"], context.vault, "payer_token"))
        .insert_column(0, pl.Series("line_number", line_numbers, dtype=pl.UInt32))
    )
    if bill_form == "all":
        return {RAW_TABLE: stored.drop(list(_REFUND_TIMES))}
    return {PARTS_TABLE: stored.with_columns(pl.lit(bill_form).alias("bill_form"))}
