"""Small files in the real formats, written by hand: what the parsers' and landing's tests feed on.

Written from docs/formats, not from the parsers' tables, but fixed-width records are laid out
by `Layout` (whose offsets the tests hold against the real samples).
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from tieout.channels.common.model import FileContext, ParsedFile, Parser
from tieout.channels.common.whole import read_whole
from tieout.channels.platform import csv_files
from tieout.channels.unionpay.fixed_width import Layout
from tieout.channels.unionpay.layouts import ACOMN, AERRN, ALFEE

DAY = date(2026, 9, 24)
CARD = "6216261000000000018"
PAYER = "oUser0000000000000000000001"
ACCOUNT_NUMBER = "6222020200112230017"
ACCOUNT_NAME = "张三丰"


@dataclass
class FakeVault:
    """A vault with keys for tests; it remembers what it was asked to protect."""

    seen: list[str] = field(default_factory=list)

    def card_tokens(self, card_numbers: Sequence[str]) -> list[str]:
        """Return tokens that do not contain the numbers."""
        self.seen += card_numbers
        return ["card-" + hashlib.sha256(text.encode()).hexdigest()[:16] for text in card_numbers]

    def account_tokens(self, values: Sequence[str]) -> list[str]:
        """Return tokens that do not contain the values."""
        self.seen += values
        return ["acct-" + hashlib.sha256(text.encode()).hexdigest()[:16] for text in values]

    def encrypt(self, text: str, place: Sequence[str]) -> str:
        """Return a text that does not contain the other."""
        self.seen.append(text)
        return "cipher-" + hashlib.sha256(repr((text, *place)).encode()).hexdigest()[:16]


def context(day: date | None = DAY, **name_parts: str) -> FileContext:
    """Return what landing knows of a file from its name."""
    return FileContext("a-file", day, FakeVault(), name_parts)


def read(parser: Parser, content: bytes, known: FileContext | None = None) -> ParsedFile:
    """Return what a parser gives of a file, with all its rows."""
    return read_whole(parser(known or context()), content)


def reader(parser: Parser) -> Callable[[bytes, FileContext], ParsedFile]:
    """Return what reads files whole with a parser."""
    return partial(read, parser)


def platform_parsed(content: bytes, known: FileContext, *, file_kind: str) -> ParsedFile:
    """Return what a file of the platform gives."""
    return read(partial(csv_files.PlatformReading, file_kind=file_kind), content, known)


# --- UnionPay -------------------------------------------------------------------------------------

ACOMN_VALUES = {
    "acquiring_institution_id": "48370000",
    "forwarding_institution_id": "00049992",
    "trace_number": "747302",
    "transmission_time": "0924162152",
    "card_number": CARD,
    "amount": "000000010000",
    "partially_approved_amount": "000000000000",
    "cardholder_fee": " 00000000000",
    "message_type": "0200",
    "processing_code": "000000",
    "merchant_category_code": "5411",
    "terminal_id": "01080209",
    "merchant_id": "898310059990001",
    "retrieval_reference_number": "215228025551",
    "pos_condition_code": "00",
    "authorisation_code": "000000",
    "receiving_institution_id": "90880051",
    "original_trace_number": "000000",
    "response_code": "00",
    "pos_entry_mode": "051",
    "interchange_receivable": "000000000000",
    "interchange_payable": "000000000035",
    "network_fee": "D00000000003",
    "original_transmission_time": "0000000000",
    "issuer_institution_id": "90880051",
    "region_flag": "0",
}
ALFEE_VALUES = {
    "acquiring_institution_id": "48370000",
    "forwarding_institution_id": "00049992",
    "message_type": "0200",
    "processing_code": "000000",
    "pos_condition_code": "00",
    "trace_number": "747302",
    "transmission_time": "0924162152",
    "card_number": CARD,
    "terminal_id": "01080209",
    "merchant_id": "898310059990001",
    "retrieval_reference_number": "215228025551",
    "amount": "000000010000",
    "brand_fee": "D00000000002",
}
AERRN_VALUES = {
    "adjustment_code": "E22",
    "acquiring_institution_id": "48370000",
    "forwarding_institution_id": "00049992",
    "trace_number": "000001",
    "transmission_time": "0924090001",
    "card_number": CARD,
    "amount": "000000001200",
    "message_type": "0220",
    "processing_code": "220000",
    "original_trace_number": "747302",
    "original_transmission_time": "0920162152",
    "original_settlement_date": "0920",
    "original_amount": "000000010000",
    "reason_code": "9702",
    "merchant_id": "898310059990001",
    "merchant_name": "示例商户（北京）",
}


def record(layout: Layout, values: Mapping[str, str], **changes: str) -> bytes:
    """Return one record; what is not given is blank. Widths count bytes of GBK."""
    texts = {**values, **changes}
    unknown = set(texts) - set(layout.widths)
    assert not unknown, unknown
    fields = [texts.get(name, "").encode("gb18030").ljust(n) for name, n in layout.widths.items()]
    assert all(len(a) == n for a, n in zip(fields, layout.widths.values(), strict=True))
    return b" ".join(fields)


def acomn(**changes: str) -> bytes:
    """Return one ACOMN record with its line end."""
    return record(ACOMN, ACOMN_VALUES, **changes) + b"\r\n"


def alfee(**changes: str) -> bytes:
    """Return one ALFEE record with its line end."""
    return record(ALFEE, ALFEE_VALUES, **changes) + b"\r\n"


def aerrn(**changes: str) -> bytes:
    """Return one AERRN record with its line end."""
    return record(AERRN, AERRN_VALUES, **changes) + b"\r\n"


# --- WeChat ---------------------------------------------------------------------------------------

WECHAT_HEADER = [
    "交易时间",
    "公众账号ID",
    "商户号",
    "特约商户号",
    "设备号",
    "微信订单号",
    "商户订单号",
    "用户标识",
    "交易类型",
    "交易状态",
    "付款银行",
    "货币种类",
    "应结订单金额",
    "代金券金额",
    "微信退款单号",
    "商户退款单号",
    "退款金额",
    "充值券退款金额",
    "退款类型",
    "退款状态",
    "商品名称",
    "商户数据包",
    "手续费",
    "费率",
    "订单金额",
    "申请退款金额",
    "费率备注",
]
WECHAT_PAYMENT = {
    "交易时间": "2026-09-24 10:00:00",
    "公众账号ID": "wx0000000000000001",
    "商户号": "1900000109",
    "特约商户号": "1600000004",
    "微信订单号": "4200001202609240000000000001",
    "商户订单号": "M1",
    "用户标识": PAYER,
    "交易类型": "JSAPI",
    "交易状态": "SUCCESS",
    "付款银行": "CFT",
    "货币种类": "CNY",
    "应结订单金额": "100.00",
    "代金券金额": "0.00",
    "微信退款单号": "0",
    "商户退款单号": "0",
    "退款金额": "0.00",
    "充值券退款金额": "0.00",
    "商品名称": "茶,两杯",
    "手续费": "0.60000",
    "费率": "0.60%",
    "订单金额": "100.00",
    "申请退款金额": "0.00",
}
WECHAT_REFUND = {
    **WECHAT_PAYMENT,
    "微信订单号": "4200001202609230000000000009",
    "商户订单号": "M0",
    "交易状态": "REFUND",
    "应结订单金额": "0.00",
    "订单金额": "0.00",
    "微信退款单号": "5000000001",
    "商户退款单号": "R1",
    "退款金额": "30.00",
    "申请退款金额": "30.00",
    "退款类型": "ORIGINAL",
    "退款状态": "SUCCESS",
    "手续费": "-0.18000",
}
WECHAT_TOTALS = {
    "应结订单总金额": "应结订单金额",
    "退款总金额": "退款金额",
    "充值券退款总金额": "充值券退款金额",
    "手续费总金额": "手续费",
    "订单总金额": "订单金额",
    "申请退款总金额": "申请退款金额",
}


def wechat_bill(
    rows: Sequence[Mapping[str, str]] = (WECHAT_PAYMENT, WECHAT_REFUND),
    *,
    header: Sequence[str] = tuple(WECHAT_HEADER),
    **totals: str,
) -> bytes:
    """Return a bill whose totals fit, unless others are given by name."""
    sums = {"总交易单数": str(len(rows))}
    for name, column in WECHAT_TOTALS.items():
        sums[name] = str(sum((Decimal(row[column]) for row in rows), Decimal("0.00")))
    sums.update(totals)
    lines = [
        ",".join(header),
        *(",".join(f"`{row.get(name, '')}" for name in header) for row in rows),
        ",".join(sums),
        ",".join(f"`{value}" for value in sums.values()),
    ]
    return "".join(f"{line}\r\n" for line in lines).encode("utf-8-sig")


# --- Alipay ---------------------------------------------------------------------------------------

ALIPAY_HEADER = [
    "支付宝交易号",
    "商户订单号",
    "业务类型",
    "商品名称",
    "创建时间",
    "完成时间",
    "门店编号",
    "门店名称",
    "操作员",
    "终端号",
    "对方账户",
    "订单金额（元）",
    "商家实收（元）",
    "支付宝红包（元）",
    "集分宝（元）",
    "支付宝优惠（元）",
    "商家优惠（元）",
    "券核销金额（元）",
    "券名称",
    "商家红包消费金额（元）",
    "卡消费金额（元）",
    "退款批次号/请求号",
    "服务费（元）",
    "分润（元）",
    "备注",
]
ALIPAY_PAYMENT = {
    "支付宝交易号": "2026092422001410000000000001\t",
    "商户订单号": "M1\t",
    "业务类型": "交易",
    "商品名称": "茶",
    "创建时间": "2026-09-24 10:00:00",
    "完成时间": "2026-09-24 10:00:05",
    "门店编号": "A000001\t",
    "终端号": "00000001\t",
    "对方账户": "**丰(138******00)",
    "订单金额（元）": "100.00",
    "商家实收（元）": "95.00",
    "商家优惠（元）": "5.00",
    "服务费（元）": "-0.57",
    "分润（元）": "0.00",
}
ALIPAY_REFUND = {
    **ALIPAY_PAYMENT,
    "支付宝交易号": "2026092322001410000000000007\t",
    "商户订单号": "M0\t",
    "业务类型": "退款",
    "订单金额（元）": "-20.00",
    "商家实收（元）": "-20.00",
    "商家优惠（元）": "0.00",
    "退款批次号/请求号": "RF1\t",
    "服务费（元）": "0.12",
}
PID = "2088000000000000"


def alipay_detail(
    rows: Sequence[Mapping[str, str]] = (ALIPAY_PAYMENT, ALIPAY_REFUND),
    *,
    day: date = DAY,
    header: Sequence[str] = tuple(ALIPAY_HEADER),
    footer: Sequence[str] | None = None,
) -> bytes:
    """Return the detail CSV with totals that fit, unless another footer is given."""
    end = day + timedelta(days=1)
    lines = [
        "#支付宝业务明细查询",
        f"#账号：[{PID}0156]",
        f"#起始日期：[{day:%Y年%m月%d日} 00:00:00]   终止日期：[{end:%Y年%m月%d日} 00:00:00]",
        "#-----------------------------------------业务明细列表----------------------------------------",
        ",".join(header),
        *(",".join(row.get(name, "") for name in header) for row in rows),
        "#-----------------------------------------业务明细列表结束------------------------------------",
        *(alipay_footer(rows) if footer is None else footer),
        "#导出时间：[2026年09月25日 09:00:00]",
    ]
    return "".join(f"{line}\r\n" for line in lines).encode("gb18030")


def alipay_footer(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the two lines of totals."""

    def total(kind: str, column: str) -> Decimal:
        amounts = (Decimal(row[column]) for row in rows if row["业务类型"] == kind)
        return sum(amounts, Decimal("0.00"))

    counts = {kind: sum(row["业务类型"] == kind for row in rows) for kind in ("交易", "退款")}
    return [
        f"#交易合计：{counts['交易']}笔，商家实收共{total('交易', '商家实收（元）')}元，"
        f"商家优惠共{total('交易', '商家优惠（元）')}元",
        f"#退款合计：{counts['退款']}笔，商家实收退款共{total('退款', '商家实收（元）')}元，"
        f"商家优惠退款共{total('退款', '商家优惠（元）')}元",
    ]


class _GbkName(zipfile.ZipInfo):
    """A member whose name is written as GBK bytes, without the UTF-8 flag."""

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:  # noqa: N802 - zipfile's name
        return self.filename.encode("gb18030"), self.flag_bits & ~0x800


def zipped(members: Mapping[str, bytes]) -> bytes:
    """Return a ZIP with names in GBK and the UTF-8 flag off, as Alipay writes it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            info = _GbkName(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return buffer.getvalue()


def alipay_zip(detail: bytes | None = None, *, day: date = DAY) -> bytes:
    """Return the ZIP of a day: summary first, then detail."""
    stem = f"{PID}0156_{day:%Y%m%d}_业务明细"
    summary = "#支付宝业务汇总查询\r\n".encode("gb18030")
    members = {f"{stem}(汇总).csv": summary, f"{stem}.csv": detail or alipay_detail(day=day)}
    return zipped(members)


# --- bank -----------------------------------------------------------------------------------------

BANK_ACCOUNT = "6600100200300400"
CAMT_08 = "urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"


@dataclass(frozen=True)
class Entry:
    """One Ntry: signed amount in yuan, and its details as (amount, end-to-end id, name)."""

    amount: str
    details: tuple[tuple[str, str, str], ...] = ()
    text: str = "UPSETTLE 20260924"
    state: str = "BOOK"
    extra: str = ""
    batch: str = ""


def camt053(
    entries: Sequence[Entry] = (Entry("1500.00", (("1500.00", "", "中国银联股份有限公司"),)),),
    *,
    opening: str = "1000.00",
    closing: str | None = None,
    day: date = DAY,
    account: str = BANK_ACCOUNT,
    sequence: int = 1,
    namespace: str = CAMT_08,
    prologue: str = "",
) -> bytes:
    """Return a camt.053 whose balances fit, unless another closing balance is given."""
    booked = [Decimal(entry.amount) for entry in entries if entry.state == "BOOK"]
    end = closing if closing is not None else str(Decimal(opening) + sum(booked, Decimal(0)))
    text = (
        f'<?xml version="1.0" encoding="UTF-8"?>{prologue}<Document xmlns="{namespace}">'
        "<BkToCstmrStmt><GrpHdr><MsgId>S1</MsgId><CreDtTm>2026-09-24T08:00:00+08:00</CreDtTm>"
        f"</GrpHdr><Stmt><Id>S-{day:%Y%m%d}-{sequence}</Id>"
        f"<ElctrncSeqNb>{sequence}</ElctrncSeqNb>"
        f"<Acct><Id><Othr><Id>{account}</Id></Othr></Id><Ccy>CNY</Ccy></Acct>"
        f"{_balance('OPBD', opening, day)}{_balance('CLBD', end, day)}"
        + "".join(_entry(entry, day) for entry in entries)
        + "</Stmt></BkToCstmrStmt></Document>"
    )
    return text.encode()


def _signed(amount: str) -> str:
    sign = "DBIT" if amount.startswith("-") else "CRDT"
    return f'<Amt Ccy="CNY">{amount.removeprefix("-")}</Amt><CdtDbtInd>{sign}</CdtDbtInd>'


def _balance(code: str, amount: str, day: date) -> str:
    return (
        f"<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp>{_signed(amount)}"
        f"<Dt><Dt>{day}</Dt></Dt></Bal>"
    )


def _entry(entry: Entry, day: date) -> str:
    details = "".join(
        f"<TxDtls><Refs><EndToEndId>{identifier or 'NOTPROVIDED'}</EndToEndId></Refs>"
        f"{_signed(amount)}<RltdPties><Dbtr><Pty><Nm>{escape(name)}</Nm></Pty></Dbtr>"
        f"<Cdtr><Pty><Nm>{escape(name)}</Nm></Pty></Cdtr></RltdPties>"
        f"<RmtInf><Ustrd>{escape(entry.text)}</Ustrd></RmtInf>{entry.extra}</TxDtls>"
        for amount, identifier, name in entry.details
    )
    batch = f"<Btch><MsgId>{entry.batch}</MsgId></Btch>" if entry.batch else ""
    return (
        f"<Ntry>{_signed(entry.amount)}<Sts><Cd>{entry.state}</Cd></Sts>"
        f"<BookgDt><Dt>{day}</Dt></BookgDt><ValDt><Dt>{day}</Dt></ValDt>"
        f"<NtryDtls>{batch}{details}</NtryDtls>"
        f"<AddtlNtryInf>{escape(entry.text)}</AddtlNtryInf></Ntry>"
    )


# --- platform -------------------------------------------------------------------------------------

SCHEMA: dict[str, Any] = json.loads(
    (Path(csv_files.__file__).with_name("platform_schema.json")).read_text(encoding="utf-8")
)
VOUCHER = {
    "voucher_id": "V1",
    "accounting_date": "2026-09-24",
    "transaction_at": "2026-09-24T10:15:30+08:00",
    "transaction_type": "purchase",
    "transaction_status": "success",
    "merchant_id": "898310059990001",
    "account_id": "A000001",
    "terminal_id": "00001001",
    "channel": "unionpay",
    "currency_code": "CNY",
    "amount_minor": "10000",
    "card_kind": "debit",
    "card_region": "domestic",
    "card_token": "CT4f6be01c77a2d9e0",
    "acquiring_institution_id": "48370000",
    "forwarding_institution_id": "00049992",
    "trace_number": "000123",
    "transmission_time": "0924101530",
    "is_late_order": "false",
}
PAYEE = {
    "payee_id": "P000001",
    "payee_version": "1",
    "account_id": "A000001",
    "bank_name": "中国工商银行北京分行",
    "bank_code": "102100000013",
    "account_number": ACCOUNT_NUMBER,
    "account_name": ACCOUNT_NAME,
    "currency_code": "CNY",
    "payee_status": "active",
    "effective_from": "2026-01-01",
    "effective_to": "",
}


def platform_file(
    kind: str,
    rows: Sequence[Mapping[str, str]],
    *,
    trailer: str | None = None,
    header: Sequence[str] | None = None,
) -> bytes:
    """Return a platform file with a trailer that fits, unless another is given ("" for none)."""
    definition = SCHEMA["file_kinds"][kind]
    names = header or [column["name"] for column in definition["columns"]]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, names, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    total_column = definition["control_total_column"]
    if trailer is None:
        total = str(sum(int(row[total_column]) for row in rows)) if total_column else ""
        trailer = f"#rows={len(rows)};amount_minor_sum={total}\n"
    return (buffer.getvalue() + trailer).encode()
