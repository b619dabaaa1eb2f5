"""Alipay trade bill (业务明细): a ZIP with the detail and its summary as GBK CSV (formats.md §5).

Comment lines start with #. The detail ends with a marker line, then one or two lines of totals.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import PurePosixPath

import polars as pl

from tieout.channels.amounts import minor_units, minor_units_of
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
    file_problem,
)
from tieout.channels.text_files import decoded_text

__all__ = ["RAW_TABLE", "parse", "parse_detail"]

RAW_TABLE = "alipay_trade_bill"

_COLUMNS = {
    "channel_order_id": "支付宝交易号",
    "merchant_order_id": "商户订单号",
    "business_type": "业务类型",
    "created_at": "创建时间",
    "finished_at": "完成时间",
    "store_id": "门店编号",
    "operator_id": "操作员",
    "terminal_id": "终端号",
    "counterparty": "对方账户",
    "order_amount": "订单金额（元）",
    "merchant_received": "商家实收（元）",
    "merchant_discount": "商家优惠（元）",
    "refund_request_id": "退款批次号/请求号",
    "service_fee": "服务费（元）",
    "profit_share": "分润（元）",
    "remark": "备注",
}
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
)
_TRANSACTION_TYPES = {"交易": "purchase", "退款": "refund"}

_DETAIL = "业务明细"
_SUMMARY = "汇总"
_END_MARKER = re.compile(r"^#-+业务明细列表结束-+,*$")
_ACCOUNT = re.compile(r"^#账号：\[(\d+)\]")
_PERIOD = re.compile(r"^#起始日期：\[(.+?)\]\s*终止日期：\[(.+?)\]")
_AMOUNT = r"(-?[0-9.]+)元"
_PAYMENTS = re.compile(rf"^#交易合计：(\d+)笔，商家实收共{_AMOUNT}，商家优惠共{_AMOUNT}")
_REFUNDS = re.compile(rf"^#退款合计：(\d+)笔，商家实收退款共{_AMOUNT}，商家优惠退款共{_AMOUNT}")

# Guards against a ZIP that is a bomb: a day of five million rows has about 1.5 GB, and text packs
# about ten to one.
MEMBERS_MAX = 16
UNPACKED_BYTES_MAX = 4 * 1024**3
PACKING_RATIO_MAX = 200
RATIO_APPLIES_FROM_BYTES = 1024**2


def parse(content: bytes, context: FileContext) -> ParsedFile:
    """Return the table `alipay_trade_bill` from the ZIP's detail member.

    Raises:
        UnreadableFileError: no such ZIP, an unsafe one, or a detail that cannot be read.
    """
    return parse_detail(_detail_member(content), context)


def parse_detail(content: bytes, context: FileContext) -> ParsedFile:
    """Return the table of one detail CSV; see `parse`."""
    lines = [line.removesuffix("\r") for line in decoded_text(content, "gb18030").split("\n")]
    head_at, end_at = _bounds(lines)
    header = _header(lines[head_at], has_rows=end_at > head_at + 1)
    records = lines[head_at + 1 : end_at]
    line_numbers = range(head_at + 2, end_at + 1)
    cells, malformed = _cells(records, len(header), line_numbers)
    if malformed:
        return ParsedFile({}, 0, None, bad_rows=tuple(malformed))
    findings = Findings(line_numbers, lambda position: _excerpt(records[position], header))
    texts = _texts(cells, header)
    frame = _frame(texts, findings)
    footer = lines[end_at:]
    _check_rows(frame, texts, findings, has_refund_totals=_has(_REFUNDS, footer))
    misdated = check_bill_dates(frame["finished_at"], context.accounting_date, findings)
    totals = _control_totals(footer, frame)
    stored = (
        frame.rename({name: f"{name}_minor" for name in _AMOUNTS})
        .with_columns(*_texts_kept(texts), pl.lit("CNY").alias("currency_code"))
        .with_columns(pl.Series("line_number", list(line_numbers), dtype=pl.Int32))
    )
    return ParsedFile(
        frames={RAW_TABLE: stored},
        row_count=len(frame),
        accounting_date=_bill_date(lines)
        or date_inside(frame["finished_at"], context.accounting_date),
        totals=totals,
        declared_row_count=_declared(totals, "count"),
        declared_total_minor=_declared(totals, "received"),
        counted_total_minor=int(frame["merchant_received"].sum()),
        bad_rows=(*findings.bad_rows, *misdated, *_head_problems(lines, context)),
    )


# --- ZIP ------------------------------------------------------------------------------------------


def _detail_member(content: bytes) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return _read_member(archive, _choose_member(archive.infolist()))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError):
        raise UnreadableFileError("bad_zip", "it is no whole ZIP file, or is encrypted") from None
    except zipfile.zlib.error:  # type: ignore[attr-defined]
        raise UnreadableFileError("bad_zip", "a member is damaged") from None


def _choose_member(members: Sequence[zipfile.ZipInfo]) -> zipfile.ZipInfo:
    if len(members) > MEMBERS_MAX:
        raise UnreadableFileError("unsafe_zip", f"more than {MEMBERS_MAX} members")
    for member in members:
        _check_member(member)
    details = [
        member
        for member in members
        if (stem := PurePosixPath(_member_name(member)).stem).endswith(_DETAIL)
        and _SUMMARY not in stem
    ]
    if len(details) != 1:
        raise UnreadableFileError(
            "missing_member", f"{len(details)} members are named …_{_DETAIL}.csv, 1 expected"
        )
    return details[0]


def _check_member(member: zipfile.ZipInfo) -> None:
    """Refuse names that point outside and sizes no bill has. Members are never written to disk."""
    name = _member_name(member)
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in name:
        raise UnreadableFileError("unsafe_zip", "a member's name points outside the archive")
    too_dense = (
        member.file_size > RATIO_APPLIES_FROM_BYTES
        and member.file_size > member.compress_size * PACKING_RATIO_MAX
    )
    if member.file_size > UNPACKED_BYTES_MAX or too_dense:
        raise UnreadableFileError("unsafe_zip", "a member unpacks to far more than a bill can have")


def _member_name(member: zipfile.ZipInfo) -> str:
    """Return the name. Alipay writes GBK without the UTF-8 flag, which zipfile takes for cp437."""
    if member.flag_bits & 0x800:
        return member.filename
    try:
        return member.filename.encode("cp437").decode("gb18030")
    except (UnicodeEncodeError, UnicodeDecodeError):
        return member.filename


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """Return the bytes; a member that is larger than its own header says is refused."""
    with archive.open(member) as stream:
        content = stream.read(member.file_size + 1)
    if len(content) != member.file_size:
        raise UnreadableFileError("unsafe_zip", "a member's size is not what the archive says")
    return content


# --- form -----------------------------------------------------------------------------------------


def _bounds(lines: Sequence[str]) -> tuple[int, int]:
    """Return the positions of the header and of the end marker."""
    head_at = next((i for i, line in enumerate(lines) if line and not line.startswith("#")), None)
    end_at = next((i for i, line in enumerate(lines) if _END_MARKER.match(line)), None)
    if end_at is None:
        raise UnreadableFileError(
            "missing_end", "the line 业务明细列表结束 is missing; the file seems cut off",
            line_number=max(len(lines), 1),
        )  # fmt: skip
    if head_at is None or head_at > end_at:
        raise UnreadableFileError("missing_header", "there is no line of column names")
    return head_at, end_at


def _header(line: str, *, has_rows: bool) -> list[str]:
    """Return our column names in the file's order, `` for those we do not keep."""
    names = [name.strip().replace("(", "（").replace(")", "）") for name in line.split(",")]
    while names and not names[-1]:
        names.pop()
    ours = {theirs: name for name, theirs in _COLUMNS.items()}
    missing = [theirs for theirs in ours if theirs not in names]
    unknown = [name for name in names if name not in ours and name not in _IGNORED_COLUMNS]
    if unknown or (missing and has_rows) or len(set(names)) < len(names):
        raise UnreadableFileError(
            "wrong_columns",
            "the bill's columns have changed: "
            f"missing {', '.join(missing) or 'none'}; "
            f"unknown {masked_excerpt(', '.join(unknown)) or 'none'}",
        )
    return [ours.get(name, "") for name in names]


def _cells(
    records: Sequence[str], width: int, line_numbers: range
) -> tuple[pl.Series, list[BadRow]]:
    line = pl.Series("line", records, dtype=pl.String)
    cells = line.str.split(",")
    counts = cells.list.len()
    findings = Findings(line_numbers)
    findings.flag(
        counts != width,
        "",
        "wrong_column_count",
        lambda position: f"{counts[position]} values, {width} expected (a comma in a text?)",
    )
    return cells, findings.bad_rows


def _excerpt(record: str, header: Sequence[str]) -> str:
    kept = zip(header, record.split(","), strict=True)
    hidden = {"", "counterparty", "remark"}
    return masked_excerpt(",".join("***" if name in hidden else cell for name, cell in kept))


def _bill_date(lines: Sequence[str]) -> date | None:
    """Return the day of the period line (its end is exclusive); None where there is none."""
    for line in lines:
        match = _PERIOD.match(line)
        if match:
            start, end = (_head_time(text) for text in match.groups())
            if start is None or end is None or end - start != timedelta(days=1):
                raise UnreadableFileError("wrong_period", "the bill is not of one whole day")
            return start.date()
    return None


def _head_time(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y年%m月%d日 %H:%M:%S")  # noqa: DTZ007 - Beijing time
    except ValueError:
        return None


def _head_problems(lines: Sequence[str], context: FileContext) -> list[BadRow]:
    problems = []
    bill_date = _bill_date(lines)
    if context.accounting_date is not None and bill_date not in {None, context.accounting_date}:
        problems.append(
            file_problem("wrong_date", f"the bill is of {bill_date}, its name says another day")
        )
    expected = context.name_parts.get("account_id")
    accounts = [match[1] for line in lines[:20] if (match := _ACCOUNT.match(line))]
    if expected and accounts and accounts[0].removesuffix("0156") != expected:
        problems.append(file_problem("wrong_merchant", "the bill is of another Alipay account"))
    return problems


# --- values ---------------------------------------------------------------------------------------


def _texts(cells: pl.Series, header: Sequence[str]) -> pl.DataFrame:
    """Return the columns as text. Values end with a TAB, so that Excel keeps their digits."""
    return cells.to_frame("cells").select(
        pl.col("cells").list.get(header.index(name)).str.strip_chars().replace("", None).alias(name)
        if name in header
        else pl.lit(None, dtype=pl.String).alias(name)
        for name in _COLUMNS
    )


def _texts_kept(texts: pl.DataFrame) -> list[pl.Series]:
    kept = (
        "channel_order_id",
        "merchant_order_id",
        "business_type",
        "store_id",
        "operator_id",
        "terminal_id",
        "refund_request_id",
        "remark",
    )
    return [*(texts[name] for name in kept), texts["counterparty"].alias("counterparty_mask")]


def _frame(texts: pl.DataFrame, findings: Findings) -> pl.DataFrame:
    frame = texts.select(
        *(_time(name) for name in ("created_at", "finished_at")),
        pl.col("business_type")
        .replace_strict(_TRANSACTION_TYPES, default=None, return_dtype=pl.String)
        .alias("transaction_type"),
        *(
            pl.when(pl.col(name).is_null()).then(0).otherwise(minor_units(pl.col(name))).alias(name)
            for name in _AMOUNTS
        ),
    )
    for name in ("created_at", "finished_at"):
        findings.flag(frame[name].is_null(), name, "not_a_time", "it has to be yyyy-MM-dd HH:mm:ss")
    for name in _AMOUNTS:
        findings.flag(
            frame[name].is_null(), name, "not_an_amount", "it has to be yuan, exact to the fen"
        )
    return frame.with_columns(pl.col(name).fill_null(0) for name in _AMOUNTS)


def _time(name: str) -> pl.Expr:
    parsed = pl.col(name).str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False, time_unit="us")
    return parsed.dt.replace_time_zone(
        BUSINESS_TIME_ZONE, ambiguous="earliest", non_existent="null"
    ).alias(name)


def _check_rows(
    frame: pl.DataFrame,
    texts: pl.DataFrame,
    findings: Findings,
    *,
    has_refund_totals: bool,
) -> None:
    findings.flag(
        texts["channel_order_id"].is_null(), "channel_order_id", "missing_key", "it is blank"
    )
    business_types = texts["business_type"]
    findings.flag(
        frame["transaction_type"].is_null(),
        "business_type",
        "unknown_code",
        lambda position: (
            f"business type {masked_excerpt(str(business_types[position]))[:40]} is not known"
        ),
    )
    is_payment = (frame["transaction_type"] == "purchase").fill_null(False)
    is_refund = (frame["transaction_type"] == "refund").fill_null(False)
    findings.flag(
        is_refund & texts["refund_request_id"].is_null(),
        "refund_request_id",
        "missing_key",
        "a refund has to have its own id",
    )
    received, fee = frame["merchant_received"], frame["service_fee"]
    findings.flag(
        is_payment & (received < 0), "merchant_received", "wrong_sign", "negative on a payment"
    )
    # A variant without totals of refunds prints refunds unsigned; the kind gives the sign.
    findings.flag(
        is_refund & (received > 0) & has_refund_totals,
        "merchant_received",
        "wrong_sign",
        "positive on a refund, in a bill whose refunds are negative",
    )
    findings.flag(is_payment & (fee > 0), "service_fee", "wrong_sign", "positive on a payment")
    findings.flag(is_refund & (fee < 0), "service_fee", "wrong_sign", "negative on a refund")


def _has(pattern: re.Pattern[str], lines: Sequence[str]) -> bool:
    return any(pattern.match(line) for line in lines)


def _control_totals(footer: Sequence[str], frame: pl.DataFrame) -> tuple[ControlTotal, ...]:
    """Compare the totals' lines. Without a line for refunds, the first line counts every row."""
    payments = _footer_numbers(footer, _PAYMENTS)
    refunds = _footer_numbers(footer, _REFUNDS)
    if payments is None and refunds is None:
        if len(frame):
            raise UnreadableFileError("missing_totals", "the lines of totals are missing")
        return ()
    is_refund = frame["transaction_type"] == "refund"
    groups: Mapping[str, tuple[Sequence[int | None] | None, pl.DataFrame]] = {
        "交易合计": (payments, frame if refunds is None else frame.filter(~is_refund)),
        "退款合计": (refunds, frame.filter(is_refund)),
    }
    totals = []
    for label, (declared, rows) in groups.items():
        if declared is None and refunds is None:
            continue
        counted = (
            len(rows),
            int(rows["merchant_received"].sum()),
            int(rows["merchant_discount"].sum()),
        )
        names = ("count", "received", "discount")
        stated = declared or (None, None, None)
        totals += [
            ControlTotal(f"{label} {name}", theirs, ours)
            for name, theirs, ours in zip(names, stated, counted, strict=True)
        ]
    return tuple(totals)


def _declared(totals: Sequence[ControlTotal], name: str) -> int | None:
    """Return what the footer states of payments and refunds together."""
    stated = [total.declared or 0 for total in totals if total.name.endswith(f" {name}")]
    return sum(stated) if stated else None


def _footer_numbers(
    footer: Sequence[str], pattern: re.Pattern[str]
) -> tuple[int | None, int | None, int | None] | None:
    for line in footer:
        match = pattern.match(line)
        if match:
            count, received, discount = match.groups()
            return int(count), minor_units_of(received), minor_units_of(discount)
    return None
