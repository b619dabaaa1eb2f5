"""WeChat Pay trade bill (交易账单): ALL, SUCCESS and REFUND, by header (formats.md §4.1).

Every value starts with a backtick and values are split by ",`", so a comma inside a goods name does
no harm. The last two lines are the totals' header and the totals.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from tieout.channels.amounts import CURRENCY_EXPONENTS, minor_units, minor_units_of
from tieout.channels.bill_dates import check_bill_dates, date_inside
from tieout.channels.excerpts import masked_excerpt
from tieout.channels.model import (
    BUSINESS_TIME_ZONE,
    BadRow,
    ControlTotal,
    FileContext,
    Findings,
    ParsedFile,
    UnreadableFileError,
)
from tieout.channels.text_files import decoded_text

__all__ = ["RAW_TABLE", "parse"]

RAW_TABLE = "wechat_trade_bill"

# Our column: the bill's. Those of `_REFUND_COLUMNS` are missing in the form SUCCESS.
_COLUMNS = {
    "transaction_at": "交易时间",
    "app_id": "公众账号ID",
    "channel_merchant_id": "商户号",
    "sub_merchant_id": "特约商户号",
    "device_id": "设备号",
    "channel_order_id": "微信订单号",
    "merchant_order_id": "商户订单号",
    "payer_id": "用户标识",
    "trade_type": "交易类型",
    "trade_state": "交易状态",
    "bank_code": "付款银行",
    "currency_code": "货币种类",
    "settlement_amount": "应结订单金额",
    "coupon_amount": "代金券金额",
    "fee": "手续费",
    "fee_rate": "费率",
    "order_amount": "订单金额",
}
_REFUND_COLUMNS = {
    "channel_refund_id": "微信退款单号",
    "merchant_refund_id": "商户退款单号",
    "refund_amount": "退款金额",
    "coupon_refund_amount": "充值券退款金额",
    "refund_type": "退款类型",
    "refund_state": "退款状态",
    "applied_refund_amount": "申请退款金额",
}
# Known, not kept: goods and attached data may name people.
_IGNORED_COLUMNS = ("商品名称", "商户数据包", "费率备注", "退款申请时间", "退款成功时间")

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
_TRADE_TYPES = ("JSAPI", "NATIVE", "APP", "MICROPAY", "MWEB", "FACEPAY")
# A refund under way has left our money; a failed one (FAIL, CHANGE) has no rule yet.
_REFUND_STATES = ("SUCCESS", "PROCESSING")

# The totals' names and the sum each of them states. 应结订单总金额 counts payments only.
_TOTALS = {
    "应结订单总金额": "settlement_amount",
    "退款总金额": "refund_amount",
    "充值券退款总金额": "coupon_refund_amount",
    "手续费总金额": "fee",
    "订单总金额": "order_amount",
    "申请退款总金额": "applied_refund_amount",
}
_COUNT = "总交易单数"
_REQUIRED_TOTALS = (_COUNT, "应结订单总金额", "手续费总金额")


def parse(content: bytes, context: FileContext) -> ParsedFile:
    """Return the table `wechat_trade_bill`: one row a record, fen, fees as printed.

    Raises:
        UnreadableFileError: not UTF-8, other columns, or no totals at the end.
    """
    lines = _lines(decoded_text(content, "utf-8"))
    header = _header(lines)
    totals_at = _totals_position(lines)
    records = lines[1:totals_at]
    cells, malformed = _cells(records, header)
    if malformed:
        return ParsedFile({}, 0, None, bad_rows=tuple(malformed))
    findings = Findings(
        range(2, len(records) + 2), lambda position: _excerpt(records[position], header)
    )
    texts = _texts(cells, header)
    amounts = _amounts(texts, findings)
    frame = _frame(texts, amounts, findings)
    _check_rows(frame, texts, context, findings)
    misdated = check_bill_dates(frame["transaction_at"], context.accounting_date, findings)
    totals = _control_totals(lines[totals_at:], frame)
    return ParsedFile(
        frames={RAW_TABLE: _stored(frame, texts, context)},
        row_count=len(frame),
        accounting_date=date_inside(frame["transaction_at"], context.accounting_date),
        totals=totals,
        declared_row_count=totals[0].declared,
        declared_total_minor=totals[1].declared,
        counted_total_minor=totals[1].counted,
        bad_rows=(*findings.bad_rows, *misdated),
    )


# --- form -----------------------------------------------------------------------------------------


def _lines(text: str) -> list[str]:
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _header(lines: Sequence[str]) -> list[str]:
    header = lines[0].split(",") if lines else []
    if _COLUMNS["transaction_at"] not in header:
        raise UnreadableFileError(
            "missing_header", f"the first line has no column {_COLUMNS['transaction_at']}",
            line_number=1,
        )  # fmt: skip
    known = {*_COLUMNS.values(), *_REFUND_COLUMNS.values(), *_IGNORED_COLUMNS}
    refund_columns = [name for name in _REFUND_COLUMNS.values() if name in header]
    missing = [name for name in _COLUMNS.values() if name not in header]
    if refund_columns:
        missing += [name for name in _REFUND_COLUMNS.values() if name not in header]
    unknown = [name for name in header if name not in known]
    if missing or unknown or len(set(header)) < len(header):
        raise UnreadableFileError(
            "wrong_columns",
            "the bill's columns have changed: "
            f"missing {', '.join(missing) or 'none'}; "
            f"unknown {masked_excerpt(', '.join(unknown)) or 'none'}",
            line_number=1,
        )
    return header


def _totals_position(lines: Sequence[str]) -> int:
    """Return the position of the totals' header: the line before the last."""
    if len(lines) < 3 or not lines[-2].startswith(_COUNT) or not lines[-1].startswith("`"):
        raise UnreadableFileError(
            "missing_totals",
            "the last two lines are not the totals; the file seems cut off",
            line_number=max(len(lines), 1),
        )
    return len(lines) - 2


def _cells(records: Sequence[str], header: Sequence[str]) -> tuple[pl.Series, list[BadRow]]:
    """Return each record as a list of values, and findings about lines that are no record."""
    line = pl.Series("line", records, dtype=pl.String)
    cells = line.str.strip_prefix("`").str.split(",`")
    findings = Findings(range(2, len(records) + 2))
    counts = cells.list.len()
    wrong = (counts != len(header)) | ~line.str.starts_with("`")
    findings.flag(
        wrong,
        "",
        "wrong_column_count",
        lambda position: f"{counts[position]} values, {len(header)} expected",
    )
    return cells, findings.bad_rows


def _excerpt(record: str, header: Sequence[str]) -> str:
    cells = record.removeprefix("`").split(",`")
    hidden = {_COLUMNS["payer_id"], *_IGNORED_COLUMNS}
    return masked_excerpt(
        ",".join(
            "***" if name in hidden else cell for name, cell in zip(header, cells, strict=True)
        )
    )


# --- values ---------------------------------------------------------------------------------------


def _texts(cells: pl.Series, header: Sequence[str]) -> pl.DataFrame:
    names = {**_COLUMNS, **_REFUND_COLUMNS}
    frame = cells.to_frame("cells")
    return frame.select(
        pl.col("cells")
        .list.get(header.index(theirs))
        .str.strip_chars()
        .replace("", None)
        .alias(ours)
        if theirs in header
        else pl.lit(None, dtype=pl.String).alias(ours)
        for ours, theirs in names.items()
    )


def _amounts(texts: pl.DataFrame, findings: Findings) -> pl.DataFrame:
    """Return the amounts in fen; a column the form has not, and a blank, is 0."""
    amounts = texts.select(
        pl.when(pl.col(name).is_null()).then(0).otherwise(minor_units(pl.col(name))).alias(name)
        for name in _AMOUNTS
    )
    for name in _AMOUNTS:
        findings.flag(
            amounts[name].is_null(),
            name,
            "not_an_amount",
            "it has to be yuan with a point, exact to the fen",
        )
    return amounts.fill_null(0)


def _frame(texts: pl.DataFrame, amounts: pl.DataFrame, findings: Findings) -> pl.DataFrame:
    times = texts["transaction_at"].str.to_datetime(
        "%Y-%m-%d %H:%M:%S", strict=False, time_unit="us"
    )
    findings.flag(
        times.is_null(), "transaction_at", "not_a_time", "it has to be yyyy-MM-dd HH:mm:ss"
    )
    types = texts["trade_state"].replace_strict(
        _TRANSACTION_TYPES, default=None, return_dtype=pl.String
    )
    rates = _rates(texts["fee_rate"])
    findings.flag(rates.is_null(), "fee_rate", "not_a_rate", "it has to be a percentage: 0.60%")
    return amounts.with_columns(
        times.dt.replace_time_zone(
            BUSINESS_TIME_ZONE, ambiguous="earliest", non_existent="null"
        ).alias("transaction_at"),
        types.alias("transaction_type"),
        rates.alias("fee_rate"),
    )


def _rates(percentages: pl.Series) -> pl.Series:
    """Return 0.60% as the decimal 0.006, exactly."""
    number = pl.col("value").str.extract(r"^([0-9]{1,3}(?:\.[0-9]{1,6})?)%$")
    rate = number.cast(pl.Decimal(20, 8)) / pl.lit("100").cast(pl.Decimal(20, 8))
    return percentages.to_frame("value").select(rate.cast(pl.Decimal(20, 8)).alias("rate"))["rate"]


def _check_rows(
    frame: pl.DataFrame, texts: pl.DataFrame, context: FileContext, findings: Findings
) -> None:
    for name in ("channel_order_id", "merchant_order_id", "channel_merchant_id"):
        findings.flag(texts[name].is_null(), name, "missing_key", f"{name} is blank")
    everywhere = pl.Series([True] * len(frame), dtype=pl.Boolean)
    is_payment = (frame["transaction_type"] == "purchase").fill_null(False)
    is_return = frame["transaction_type"].is_in(["refund", "void"]).fill_null(False)
    _check_codes(texts["trade_state"], tuple(_TRANSACTION_TYPES), everywhere, findings)
    _check_codes(texts["trade_type"], _TRADE_TYPES, everywhere, findings)
    _check_codes(texts["currency_code"], tuple(CURRENCY_EXPONENTS), everywhere, findings)
    _check_codes(texts["refund_state"], _REFUND_STATES, is_return, findings)
    findings.flag(
        is_return & texts["channel_refund_id"].is_in(["0"]).fill_null(True),
        "channel_refund_id",
        "missing_key",
        "a refund has to have its own id",
    )
    _check_signs(frame, is_payment, is_return, findings)
    merchant = context.name_parts.get("channel_merchant_id")
    if merchant is not None:
        findings.flag(
            texts["channel_merchant_id"] != merchant,
            "channel_merchant_id",
            "wrong_merchant",
            "it is not the merchant in the file's name",
        )


def _check_codes(
    values: pl.Series, known: Sequence[str], where: pl.Series, findings: Findings
) -> None:
    findings.flag(
        where & ~values.is_in(list(known)).fill_null(False),
        values.name,
        "unknown_code",
        lambda position: (
            f"{masked_excerpt(str(values[position]))[:40]} is not a known {values.name}"
        ),
    )


def _check_signs(
    frame: pl.DataFrame, is_payment: pl.Series, is_return: pl.Series, findings: Findings
) -> None:
    """Flag signs the bill cannot have: a refund is printed positive, its fee negative."""
    rules = (
        ("order_amount", is_payment & (frame["order_amount"] <= 0), "positive on a payment"),
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


def _control_totals(lines: Sequence[str], frame: pl.DataFrame) -> tuple[ControlTotal, ...]:
    names = lines[0].split(",")
    values = lines[1].removeprefix("`").split(",`")
    known = {_COUNT, *_TOTALS}
    missing = [name for name in _REQUIRED_TOTALS if name not in names]
    if missing or set(names) - known or len(values) != len(names):
        raise UnreadableFileError("wrong_totals_columns", "the totals' columns have changed")
    is_payment = (frame["transaction_type"] == "purchase").fill_null(False)
    declared = dict(zip(names, values, strict=True))
    totals = [ControlTotal(_COUNT, _count(declared[_COUNT]), len(frame))]
    for name, column in _TOTALS.items():
        if name in declared:
            amounts = (
                frame[column].filter(is_payment) if column == "settlement_amount" else frame[column]
            )
            totals.append(ControlTotal(name, minor_units_of(declared[name]), int(amounts.sum())))
    return tuple(totals)


def _count(text: str) -> int | None:
    """Return a count; the official sample of a sister bill prints 20.0."""
    return minor_units_of(text, exponent=0)


def _stored(frame: pl.DataFrame, texts: pl.DataFrame, context: FileContext) -> pl.DataFrame:
    payers = texts["payer_id"].drop_nulls().unique().to_list()
    tokens = pl.DataFrame(
        {"payer_id": payers, "payer_token": context.vault.account_tokens(payers)},
        schema={"payer_id": pl.String, "payer_token": pl.String},
    )
    kept = [
        name
        for name in (*_COLUMNS, *_REFUND_COLUMNS)
        if name not in {*_AMOUNTS, "transaction_at", "fee_rate"}
    ]
    return (
        texts.select(kept)
        .hstack(frame.rename({name: f"{name}_minor" for name in _AMOUNTS}))
        .with_row_index("line_number", offset=2)
        .join(tokens, on="payer_id", how="left", maintain_order="left")
        .drop("payer_id")
    )
