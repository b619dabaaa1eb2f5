"""Every defect a file can have, in every format: how it is made, and what came of it.

A format is one more `Format` in `FORMATS`, a defect one more `Defect` in `DEFECTS`. Each defect has
a date of its own, so that all of them land into one database at once; each cell of the matrix is
one slot. `tests/unit/test_defects.py` lands them and compares with docs/formats/defects.md.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from io import BytesIO

import bank_files as bank
import channel_files as make
import institution_files as institution
import unionpay_files as union
import wallet_files as wallet
from tieout.channels.common.packed_files import uncompressed

__all__ = ["DEFECTS", "FORMATS", "MAX_FILE_BYTES", "Defect", "Delivery", "Format", "deliveries"]

FIRST_DAY = date(2026, 3, 2)
NEW_YEAR = date(2027, 1, 1)
FUTURE = date(2027, 6, 1)
MAX_FILE_BYTES = 3 * 1024**2
MT940_ACCOUNT = "6600100200300418"
BOM = b"\xef\xbb\xbf"

Build = Callable[[date], bytes]


@dataclass(frozen=True)
class Format:
    """One format: its name in the inbox, a good file of two rows, and variants of it by defect.

    `more_cells` makes a row too long. `unwrap` and `wrap` take the text out of a container and put
    it back. `record` is the position of a record's line in the text; None where it is not a line.
    """

    name: str
    channel: str
    file_kind: str
    file_name: Callable[[date], str]
    good: Build
    record: int | None
    encoding: str
    variants: Mapping[str, Build] = field(default_factory=dict)
    unwrap: Callable[[bytes], bytes] = lambda content: content
    wrap: Callable[[bytes, date], bytes] = lambda content, _day: content
    more_cells: bytes = b",x,y"


@dataclass(frozen=True)
class Delivery:
    """Bytes put into the inbox: at the first landing (0) or before the second (1)."""

    file_name: str
    content: bytes
    stage: int = 0


@dataclass(frozen=True)
class Defect:
    """What is wrong, in English and Chinese, and how a format's files get it (None: they cannot).

    `release` has a person release the quarantined file afterwards.
    """

    name: str
    chinese: str
    make: Callable[[Format, date], Sequence[Delivery] | None]
    day: date | None = None
    release: bool = False


# --- formats --------------------------------------------------------------------------------------


def _voucher_id(day: date, number: int) -> str:
    """A voucher counts once over all dates: each date has ids of its own."""
    return f"V{day:%Y%m%d}{number}"


def _vouchers(day: date, *changes: Mapping[str, str], trailer: str | None = None) -> bytes:
    base = {
        **make.VOUCHER,
        "accounting_date": day.isoformat(),
        "transaction_at": f"{day}T10:15:30+08:00",
        "transmission_time": f"{day:%m%d}101530",
    }
    rows = [
        {**base, "voucher_id": _voucher_id(day, number), **change}
        for number, change in enumerate(changes or ({}, {"amount_minor": "20000"}), 1)
    ]
    return make.platform_file("source_vouchers", rows, trailer=trailer)


def _fixed(one: Callable[..., bytes]) -> Callable[..., bytes]:
    def build(day: date, *changes: Mapping[str, str]) -> bytes:
        return b"".join(
            one(**{"transmission_time": f"{day:%m%d}092152", "trace_number": f"{n:06}", **change})
            for n, change in enumerate(changes or ({}, {}), 1)
        )

    return build


_acomn, _alfee = _fixed(make.acomn), _fixed(make.alfee)


def _aerrn(day: date, *changes: Mapping[str, str]) -> bytes:
    before = day - timedelta(days=4)
    original = {
        "original_transmission_time": f"{before:%m%d}092152",
        "original_settlement_date": f"{before:%m%d}",
    }
    return _fixed(make.aerrn)(day, *({**original, **one} for one in (changes or ({}, {}))))


def _dated(one: Callable[..., bytes], **forms: str) -> Callable[..., bytes]:
    """Return files of two records whose other fields hold the date, too, in the forms given."""

    def build(day: date, *changes: Mapping[str, str]) -> bytes:
        dates = {name: day.strftime(form) for name, form in forms.items()}
        return _fixed(one)(day, *({**dates, **change} for change in (changes or ({}, {}))))

    return build


_acoma = _dated(institution.acoma, settlement_date="%m%d")
_icomn, _ilfee = _fixed(institution.icomn), _fixed(institution.ilfee)
_upi = _dated(institution.upi, settlement_date="%m%d", exchange_date="%m%d")
_fcp = _fixed(institution.fcp)


def _errors(one: Callable[..., bytes]) -> Callable[..., bytes]:
    def build(day: date, *changes: Mapping[str, str]) -> bytes:
        before = f"{day - timedelta(days=4):%m%d}"
        original = {
            "original_transmission_time": f"{before}092152",
            "original_settlement_date": before,
        }
        return _fixed(one)(day, *({**original, **change} for change in (changes or ({}, {}))))

    return build


_aerra, _ierrn = _errors(institution.aerra), _errors(institution.ierrn)


def _inf(day: date, *changes: Mapping[str, str], trailer: bool = True) -> bytes:
    details = [
        institution.inf_detail(
            **{
                "transmission_time": f"{day:%m%d}092152",
                "transaction_date": f"{day:%y%m%d}",
                "trace_number": f"{n:06}",
                **change,
            }
        )
        for n, change in enumerate(changes or ({}, {}), 1)
    ]
    return institution.inf(*details, day=day, trailer=trailer)


def _ncp(one: Callable[..., bytes]) -> Callable[..., bytes]:
    def build(day: date, *changes: Mapping[str, str]) -> bytes:
        records = [
            one(
                **{
                    "settlement_date": f"{day:%Y%m%d}",
                    "transaction_id": f"{day:%Y%m%d}{n:08}",
                    **change,
                }
            )
            for n, change in enumerate(changes or ({}, {}), 1)
        ]
        return institution.ncp(*records)

    return build


_comtrx, _errtrx = _ncp(institution.comtrx), _ncp(institution.errtrx)


def _wechat(day: date, *changes: Mapping[str, str], **totals: str) -> bytes:
    rows = [
        {
            **make.WECHAT_PAYMENT,
            "交易时间": f"{day} 10:00:00",
            "微信订单号": f"420000{day:%Y%m%d}{n:014}",
            "商户订单号": f"M{n}",
            **change,
        }
        for n, change in enumerate(
            changes or ({}, {"订单金额": "200.00", "应结订单金额": "200.00"}), 1
        )
    ]
    return make.wechat_bill(rows, **totals)


def _yuan(amount: str) -> dict[str, str]:
    return {"订单金额": amount, "应结订单金额": amount}


def _alipay_rows(day: date, *changes: Mapping[str, str]) -> list[dict[str, str]]:
    return [
        {
            **make.ALIPAY_PAYMENT,
            "支付宝交易号": f"{day:%Y%m%d}220014100000000{n:05}\t",
            "商户订单号": f"M{n}\t",
            "创建时间": f"{day} 10:00:00",
            "完成时间": f"{day} 10:00:05",
            **change,
        }
        for n, change in enumerate(changes or ({}, {"商家实收（元）": "195.00"}), 1)
    ]


def _alipay(day: date, *changes: Mapping[str, str], footer: Sequence[str] | None = None) -> bytes:
    detail = make.alipay_detail(_alipay_rows(day, *changes), day=day, footer=footer)
    return make.alipay_zip(detail, day=day)


def _alipay_detail_of(content: bytes) -> bytes:
    with zipfile.ZipFile(BytesIO(content)) as archive:
        return archive.read(archive.infolist()[-1])


def _camt(day: date, *amounts: str, **others: str) -> bytes:
    entries = [make.Entry(amount) for amount in (amounts or ("1500.00", "-500.00"))]
    return make.camt053(entries, day=day, sequence=1, **others)  # type: ignore[arg-type]


def _mt940(
    day: date,
    *amounts: str,
    closing: str = "C{day:%y%m%d}CNY2000,00",
    account: str = MT940_ACCOUNT,
    rows: bool = True,
) -> bytes:
    lines = "".join(
        f":61:{day:%y%m%d}{day:%m%d}{amount}NTRFNONREF\n:86:UPSETTLE {day:%Y%m%d}\n"
        for amount in (amounts or ("C1500,00", "D500,00"))
        if rows
    )
    closing = closing if rows else closing.replace("2000", "1000")
    end = f":62F:{closing.format(day=day)}\n" if closing else ""
    return (
        f":20:{day:%Y%m%d}1\n:25:999100000018/{account}CNY\n:28C:7/1\n"
        f":60F:C{day - timedelta(days=1):%y%m%d}CNY1000,00\n{lines}{end}-\n"
    ).encode()


def _zm(day: date, *changes: Mapping[str, str]) -> bytes:
    base = {"transmission_time": f"{day:%m%d}112203"}
    return b"".join(
        union.zm(**{**base, **change, "query_id": f"{day:%Y%m%d}112203{n:06}8"})
        for n, change in enumerate(changes or ({}, union.ZM_SECOND), 1)
    )


def _zm_zip(day: date, *changes: Mapping[str, str], rd: bytes | None = None) -> bytes:
    return union.merchant_zip(_zm(day, *changes), day=day, rd=rd)


def _zm_of(content: bytes) -> bytes:
    with zipfile.ZipFile(BytesIO(content)) as archive:
        return archive.read(archive.infolist()[0])


def _zme(day: date, *changes: Mapping[str, str]) -> bytes:
    before = day - timedelta(days=4)
    base = {
        "transmission_time": f"{day:%m%d}112203",
        "original_transmission_time": f"{before:%m%d}112203",
        "original_settlement_date": f"{before:%m%d}",
    }
    return b"".join(
        union.zme(**{**base, "trace_number": f"{n:06}", **change})
        for n, change in enumerate(changes or ({}, {}), 1)
    )


def _totals_of_merchants(one: Callable[..., bytes]) -> Callable[..., bytes]:
    """Return files of two merchants whose amounts are of the day: these files have no date."""

    def build(day: date, *changes: Mapping[str, str]) -> bytes:
        base = {"amount": f"C{day:%y%m%d}000000"}
        return b"".join(
            one(**{**base, "merchant_id": f"80231000000001{n}", **change})
            for n, change in enumerate(changes or ({}, {}), 1)
        )

    return build


_zsum, _zpsum = _totals_of_merchants(union.zsum), _totals_of_merchants(union.zpsum)


def _packed(build: Callable[..., bytes], *changes: Mapping[str, str]) -> Build:
    return lambda day: union.compressed(build(day, *changes))


def _twice(text: bytes, start: bytes, end: bytes) -> bytes:
    """Return the text with its first part from `start` to `end` a second time."""
    first = text.index(start)
    last = text.index(end, first) + len(end)
    return text[:last] + text[first:last] + text[last:]


def _moved(content: bytes, day: date, encoding: str = "utf-8") -> bytes:
    """Return a file of `make.DAY` as one of another date, whichever way the date is written."""
    text, after = content.decode(encoding), day + timedelta(days=1)
    for form in ("%Y-%m-%d", "%Y%m%d", "%Y年%m月%d日"):
        text = text.replace(f"{make.DAY + timedelta(days=1):{form}}", f"{after:{form}}")
        text = text.replace(f"{make.DAY:{form}}", f"{day:{form}}")
    return text.encode(encoding)


def _fund(day: date, *changes: str, row: Mapping[str, str] | None = None, **totals: str) -> bytes:
    rows = wallet.fund_rows(changes or ("100.00", "-0.60"))
    rows[-1] |= row or {}
    return _moved(wallet.fund_bill(rows, **totals), day)


def _account_text(day: date, *changes: str, row: Mapping[str, str] | None = None) -> bytes:
    rows = wallet.account_rows(changes or ("100.00", "-0.60"))
    totals = wallet.account_detail(rows).decode("gb18030").split("\r\n")[-4:-2]
    rows[-1] |= row or {}
    return _moved(wallet.account_detail(rows, footer=totals), day, "gb18030")


def _account(
    day: date, *changes: str, row: Mapping[str, str] | None = None, text: bytes = b""
) -> bytes:
    rows = wallet.account_rows(changes or ("100.00", "-0.60"))
    content = text or _account_text(day, *changes, row=row)
    return wallet.alipay_zip(content, wallet.account_summary(rows), kind="账务明细")


def _gateway(day: date, first: Mapping[str, str] = {}, second: Mapping[str, str] = {}) -> bytes:
    rows = [{**wallet.QR_PAYMENT, **first}, {**wallet.QR_REFUND, **second}]
    return _moved(wallet.qr_bill(rows), day, "gb18030")


def _notified(day: date, *changes: tuple[str, str]) -> bytes:
    note = "<AddtlNtryInf>UPSETTLE</AddtlNtryInf>"
    body = bank.ntry("30.00", inside=note) + bank.ntry("5.00", "DBIT")
    text = bank.notification(body).decode()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    return _moved(text.encode(), day)


def _bank_csv(day: date, *changes: tuple[str, str]) -> bytes:
    trailer = (
        "借方合计笔数：,1,借方合计金额：,200.50\r\n贷方合计笔数：,1,贷方合计金额：,1500.00\r\n"
    )
    text = bank.bank_statement(bank.CSV_ROWS[:2], trailer=trailer).decode("gb18030")
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    return _moved(text.encode("gb18030"), day, "gb18030")


OVERFLOW = "9" * 40
_EMBEDDED = '茶,"两|杯"'


def _changed(
    build: Callable[..., bytes],
    *,
    unknown: Mapping[str, str],
    key: str = "trace_number",
    institution_field: str = "acquiring_institution_id",
    embedded: str = "",
    amount: tuple[str, int] = ("amount", 12),
    other: Mapping[str, str] | None = None,
    new_year: bool = True,
) -> dict[str, Build]:
    """Return the variants of a UnionPay file by what its fields are called."""
    name, digits = amount
    width = 16 if key == "transaction_id" else 6
    variants: dict[str, Build] = {
        "wrong merchant": lambda day: build(day, {institution_field: "99999999"}),
        "unknown code": lambda day: build(day, {}, unknown),
        "negative": lambda day: build(day, {}, {name: f"-{10000:0{digits - 1}}"}),
        "overflow": lambda day: build(day, {}, {name: "9" * digits}),
        "other": lambda day: build(day, {}, other or {name: f"{300:0{digits}}"}),
        "reordered": lambda day: build(day, {key: f"{2:0{width}}"}, {key: f"{1:0{width}}"}),
    }
    if embedded:
        variants["embedded"] = lambda day: build(day, {embedded: _EMBEDDED})
    if new_year:
        variants["New Year"] = lambda day: build(day, {"transmission_time": "1231233000"}, {})
    return variants


def _institution_file(
    name: str,
    file_kind: str,
    file_name: Callable[[date], str],
    good: Build,
    variants: Mapping[str, Build],
    *,
    record: int | None = 0,
) -> Format:
    return Format(
        f"UnionPay {name}", "unionpay", file_kind, file_name, good, record, "gb18030", variants
    )


_INSTITUTION_FILES = (
    _institution_file(
        "ACOMA",
        "acoma",
        lambda day: f"IND{day:%y%m%d}32ACOMA",
        _acoma,
        _changed(_acoma, unknown={"processing_code": "990000"}, embedded="merchant_name"),
    ),
    _institution_file(
        "AERRA",
        "aerra",
        lambda day: f"IND{day:%y%m%d}32AERRA",
        _aerra,
        _changed(_aerra, unknown={"adjustment_code": "E99"}, embedded="merchant_name"),
    ),
    _institution_file(
        "ICOMN",
        "icomn",
        lambda day: f"IND{day:%y%m%d}01ICOMN",
        _icomn,
        _changed(_icomn, unknown={"processing_code": "990000"}, embedded="order_number"),
    ),
    _institution_file(
        "IERRN",
        "ierrn",
        lambda day: f"IND{day:%y%m%d}99IERRN",
        _ierrn,
        _changed(_ierrn, unknown={"adjustment_code": "E99"}, embedded="merchant_name"),
    ),
    _institution_file(
        "ILFEE",
        "ilfee",
        lambda day: f"IND{day:%y%m%d}99ILFEE",
        _ilfee,
        _changed(_ilfee, unknown={"processing_code": "990000"}),
    ),
    _institution_file(
        "UPI ICOMN",
        "upi_icomn",
        lambda day: f"IFD{day:%y%m%d}01ICOMN",
        _upi,
        _changed(
            _upi,
            unknown={"transaction_currency": "999"},
            embedded="merchant_name",
            amount=("settlement_amount", 12),
            other={"transaction_amount": f"{10000:012}", "settlement_amount": f"{8442:012}"},
        ),
    ),
    _institution_file(
        "FCP",
        "fcp",
        lambda day: f"IND{day:%y%m%d}99FCP",
        _fcp,
        {
            **_changed(
                _fcp,
                unknown={"adjustment_code": "E22"},
                institution_field="sending_institution_id",
                other={"amount": "C000000000300"},
            ),
            "negative": lambda day: _fcp(day, {}, {"amount": "-000000001200"}),
            "overflow": lambda day: _fcp(day, {}, {"amount": "C" + "9" * 12}),
        },
    ),
    _institution_file(
        "INF",
        "inf_accepted",
        lambda day: f"INF{day:%y%m%d}01B",
        _inf,
        {
            **_changed(_inf, unknown={"record_code": "302"}, embedded="merchant_name"),
            "header only": lambda day: institution.inf(day=day),
            "duplicate": lambda day: _inf(day, {}, {"trace_number": "000001"}),
        },
        record=None,
    ),
    _institution_file(
        "NCP COMTRX",
        "ncp_comtrx",
        lambda day: f"{day:%Y%m%d}_01_IS_COMTRX",
        _comtrx,
        {
            **_changed(
                _comtrx,
                unknown={"transaction_code": "1004"},
                key="transaction_id",
                institution_field="sending_institution_id",
                embedded="order_number",
                amount=("amount", 15),
                new_year=False,
            ),
            "header only": lambda _day: institution.VERSION,
        },
        record=1,
    ),
    _institution_file(
        "NCP ERRTRX",
        "ncp_errtrx",
        lambda day: f"{day:%Y%m%d}_01_IS_ERRTRX",
        _errtrx,
        {
            **_changed(
                _errtrx,
                unknown={"adjustment_code": "E99"},
                key="transaction_id",
                institution_field="sending_institution_id",
                embedded="channel_institution",
                amount=("amount", 15),
                new_year=False,
            ),
            "header only": lambda _day: institution.VERSION,
        },
        record=1,
    ),
)

FORMATS = (
    Format(
        "platform vouchers",
        "platform",
        "source_vouchers",
        lambda day: f"source_vouchers_{day:%Y%m%d}.csv",
        _vouchers,
        1,
        "utf-8",
        {
            "header only": lambda day: make.platform_file("source_vouchers", []),
            "totals wrong": lambda day: _vouchers(day, trailer="#rows=2;amount_minor_sum=1\n"),
            "totals missing": lambda day: _vouchers(day, trailer=""),
            "wrong merchant": lambda day: _vouchers(day, {"merchant_id": "999999999999999"}),
            "embedded": lambda day: _vouchers(day, {"terminal_id": _EMBEDDED}),
            "unknown code": lambda day: _vouchers(day, {}, {"transaction_type": "gift"}),
            "negative": lambda day: _vouchers(day, {}, {"amount_minor": "-5"}),
            "overflow": lambda day: _vouchers(day, {}, {"amount_minor": OVERFLOW}),
            "other": lambda day: _vouchers(day, {}, {"amount_minor": "30000"}),
            "reordered": lambda day: _vouchers(
                day,
                {"voucher_id": _voucher_id(day, 2), "amount_minor": "20000"},
                {"voucher_id": _voucher_id(day, 1)},
            ),
        },
    ),
    Format(
        "UnionPay ACOMN",
        "unionpay",
        "acomn",
        lambda day: f"IND{day:%y%m%d}01ACOMN",
        _acomn,
        0,
        "ascii",
        {
            "wrong merchant": lambda day: _acomn(day, {"acquiring_institution_id": "99999999"}),
            "unknown code": lambda day: _acomn(day, {}, {"processing_code": "990000"}),
            "negative": lambda day: _acomn(day, {}, {"amount": "-00000010000"}),
            "overflow": lambda day: _acomn(day, {}, {"amount": "999999999999"}),
            "other": lambda day: _acomn(day, {}, {"amount": "000000030000"}),
            "reordered": lambda day: _acomn(
                day, {"trace_number": "000002"}, {"trace_number": "000001"}
            ),
            "New Year": lambda day: _acomn(day, {"transmission_time": "1231233000"}, {}),
        },
    ),
    Format(
        "UnionPay AERRN",
        "unionpay",
        "aerrn",
        lambda day: f"IND{day:%y%m%d}99AERRN",
        _aerrn,
        0,
        "gb18030",
        {
            "wrong merchant": lambda day: _aerrn(day, {"acquiring_institution_id": "99999999"}),
            "embedded": lambda day: _aerrn(day, {"merchant_name": _EMBEDDED}),
            "unknown code": lambda day: _aerrn(day, {}, {"adjustment_code": "E99"}),
            "negative": lambda day: _aerrn(day, {}, {"amount": "-00000001200"}),
            "overflow": lambda day: _aerrn(day, {}, {"amount": "999999999999"}),
            "other": lambda day: _aerrn(day, {}, {"amount": "000000000300"}),
            "reordered": lambda day: _aerrn(
                day, {"trace_number": "000002"}, {"trace_number": "000001"}
            ),
            "New Year": lambda day: _aerrn(day, {"transmission_time": "1231233000"}, {}),
        },
    ),
    Format(
        "UnionPay ALFEE",
        "unionpay",
        "alfee",
        lambda day: f"IND{day:%y%m%d}99ALFEE",
        _alfee,
        0,
        "ascii",
        {
            "wrong merchant": lambda day: _alfee(day, {"acquiring_institution_id": "99999999"}),
            "unknown code": lambda day: _alfee(day, {}, {"processing_code": "990000"}),
            "negative": lambda day: _alfee(day, {}, {"amount": "-00000010000"}),
            "overflow": lambda day: _alfee(day, {}, {"amount": "999999999999"}),
            "other": lambda day: _alfee(day, {}, {"amount": "000000030000"}),
            "reordered": lambda day: _alfee(
                day, {"trace_number": "000002"}, {"trace_number": "000001"}
            ),
            "New Year": lambda day: _alfee(day, {"transmission_time": "1231233000"}, {}),
        },
    ),
    *_INSTITUTION_FILES,
    Format(
        "UnionPay ZM (ZIP)",
        "unionpay",
        "merchant_zm",
        lambda day: f"{union.MERCHANT}_{day:%Y%m%d}.zip",
        _zm_zip,
        0,
        "gb18030",
        {
            "header only": lambda day: union.merchant_zip(
                b"", day=day, rd=union.report({}, day=day)
            ),
            "totals wrong": lambda day: _zm_zip(
                day, rd=union.report({"自助消费": (2, 30000, 181, 29819)}, day=day)
            ),
            "totals missing": lambda day: _zm_zip(
                day, rd=union.report(day=day).replace("总计".encode("gb18030"), b"")
            ),
            "wrong merchant": lambda day: _zm_zip(
                day, {"merchant_id": "999999999999999"}, union.ZM_SECOND
            ),
            "embedded": lambda day: _zm_zip(day, {"merchant_remark": _EMBEDDED}, union.ZM_SECOND),
            "unknown code": lambda day: _zm_zip(
                day, {}, {**union.ZM_SECOND, "transaction_kind": "99"}
            ),
            "negative": lambda day: _zm_zip(day, {}, {**union.ZM_SECOND, "amount": "-00000020000"}),
            "overflow": lambda day: _zm_zip(day, {}, {**union.ZM_SECOND, "amount": "9" * 12}),
            "other": lambda day: _zm_zip(
                day, {}, rd=union.report({"自助消费": (1, 10000, 60, 9940)}, day=day)
            ),
            "reordered": lambda day: union.merchant_zip(
                b"".join(reversed(_zm(day).splitlines(keepends=True))), day=day
            ),
            "New Year": lambda day: _zm_zip(
                day, {"transmission_time": "1231233000"}, union.ZM_SECOND
            ),
        },
        unwrap=_zm_of,
        wrap=lambda text, day: union.merchant_zip(text, day=day),
    ),
    Format(
        "UnionPay ZME",
        "unionpay",
        "merchant_zme",
        lambda day: f"INN{day:%y%m%d}88ZME_{union.MERCHANT}",
        _zme,
        0,
        "gb18030",
        {
            "wrong merchant": lambda day: _zme(day, {"merchant_id": "999999999999999"}),
            "embedded": lambda day: _zme(day, {"reserved": _EMBEDDED}),
            "unknown code": lambda day: _zme(day, {}, {"adjustment_code": "E99"}),
            "negative": lambda day: _zme(day, {}, {"amount": "-00000010000"}),
            "overflow": lambda day: _zme(day, {}, {"amount": "999999999999"}),
            "other": lambda day: _zme(day, {}, {"amount": "000000000300"}),
            "reordered": lambda day: _zme(
                day, {"trace_number": "000002"}, {"trace_number": "000001"}
            ),
            "New Year": lambda day: _zme(day, {"transmission_time": "1231233000"}, {}),
        },
    ),
    Format(
        "UnionPay ZSUM",
        "unionpay",
        "zsum",
        lambda day: f"INO{day:%y%m%d}32ZSUM",
        _zsum,
        0,
        "gb18030",
        {
            "wrong merchant": lambda day: _zsum(day, {"merchant_id": "999999999999999"}),
            "embedded": lambda day: _zsum(day, {"merchant_name": _EMBEDDED}),
            "unknown code": lambda day: _zsum(day, {}, {"fee": "X000000000060"}),
            "negative": lambda day: _zsum(day, {}, {"amount": "-000000010000"}),
            "overflow": lambda day: _zsum(day, {}, {"amount": "C999999999999"}),
            "other": lambda day: _zsum(day, {}, {"amount": "C000000030000"}),
            "reordered": lambda day: b"".join(reversed(_zsum(day).splitlines(keepends=True))),
        },
    ),
    Format(
        "UnionPay ZPSUM (.Z)",
        "unionpay",
        "zpsum",
        lambda day: f"INO{day:%y%m%d}99ZPSUM.Z",
        _packed(_zpsum),
        0,
        "gb18030",
        {
            "wrong merchant": _packed(_zpsum, {"merchant_id": "999999999999999"}),
            "embedded": _packed(_zpsum, {"merchant_name": _EMBEDDED}),
            "unknown code": _packed(_zpsum, {}, {"fee": "X000000000060"}),
            "negative": _packed(_zpsum, {}, {"amount": "-000000010000"}),
            "overflow": _packed(_zpsum, {}, {"amount": "C999999999999"}),
            "other": _packed(_zpsum, {}, {"amount": "C000000030000"}),
            "reordered": lambda day: union.compressed(
                b"".join(reversed(_zpsum(day).splitlines(keepends=True)))
            ),
        },
        unwrap=lambda content: uncompressed(io.BytesIO(content)).read(),
        wrap=lambda text, _day: union.compressed(text),
    ),
    Format(
        "WeChat trade bill",
        "wechat",
        "trade_bill",
        lambda day: f"1900000109All{day}.csv",
        _wechat,
        1,
        "utf-8",
        {
            "header only": lambda day: make.wechat_bill([]),
            "totals wrong": lambda day: _wechat(day, 手续费总金额="9.99"),
            "totals missing": lambda day: b"\r\n".join(_wechat(day).split(b"\r\n")[:3]) + b"\r\n",
            "wrong merchant": lambda day: _wechat(day, {"商户号": "1900000999"}),
            "embedded": lambda day: _wechat(day, {"商品名称": _EMBEDDED}),
            "unknown code": lambda day: _wechat(day, {}, {"交易状态": "GIVEN"}),
            "negative": lambda day: _wechat(day, {}, _yuan("-5.00")),
            "overflow": lambda day: _wechat(day, {}, {"订单金额": OVERFLOW}),
            "other": lambda day: _wechat(day, {}, _yuan("300.00")),
            "reordered": lambda day: _wechat(
                day,
                {
                    "订单金额": "200.00",
                    "应结订单金额": "200.00",
                    "微信订单号": f"420000{day:%Y%m%d}{2:014}",
                    "商户订单号": "M2",
                },
                {"微信订单号": f"420000{day:%Y%m%d}{1:014}", "商户订单号": "M1"},
            ),
        },
        more_cells=b",`x,`y",
    ),
    Format(
        "Alipay trade bill",
        "alipay",
        "trade_bill",
        lambda day: f"{make.PID}0156_{day:%Y%m%d}.zip",
        _alipay,
        5,
        "gb18030",
        {
            "header only": lambda day: make.alipay_zip(make.alipay_detail([], day=day), day=day),
            "totals wrong": lambda day: _alipay(
                day, footer=make.alipay_footer(_alipay_rows(day, {"商家实收（元）": "1.00"}))
            ),
            "totals missing": lambda day: _alipay(day, footer=[]),
            "wrong merchant": lambda day: make.alipay_zip(
                make.alipay_detail(_alipay_rows(day), day=day).replace(
                    make.PID.encode(), b"2088999999999999"
                ),
                day=day,
            ),
            "embedded": lambda day: _alipay(day, {"商品名称": _EMBEDDED}),
            "unknown code": lambda day: _alipay(day, {}, {"业务类型": "赠送"}),
            "negative": lambda day: _alipay(day, {}, {"商家实收（元）": "-5.00"}),
            "overflow": lambda day: _alipay(day, {}, {"商家实收（元）": OVERFLOW}),
            "other": lambda day: _alipay(day, {}, {"商家实收（元）": "295.00"}),
            "reordered": lambda day: make.alipay_zip(
                make.alipay_detail(list(reversed(_alipay_rows(day))), day=day), day=day
            ),
        },
        unwrap=_alipay_detail_of,
        wrap=lambda text, day: make.alipay_zip(text, day=day),
    ),
    Format(
        "WeChat fund bill",
        "wechat",
        "fund_bill_basic",
        lambda day: f"1900000109FundFlowBasic{day}.csv",
        _fund,
        1,
        "utf-8",
        {
            "header only": lambda day: _moved(wallet.fund_bill([]), day),
            "totals wrong": lambda day: _fund(day, 收入金额="9.99"),
            "totals missing": lambda day: b"\r\n".join(_fund(day).split(b"\r\n")[:3]) + b"\r\n",
            "embedded": lambda day: _fund(day, row={"备注": _EMBEDDED}),
            "unknown code": lambda day: _fund(day, row={"收支类型": "赠送"}),
            "negative": lambda day: _fund(day, row={"收支金额(元)": "-0.60"}),
            "overflow": lambda day: _fund(day, row={"收支金额(元)": OVERFLOW}),
            "other": lambda day: _fund(day, "300.00", "-0.60"),
            "reordered": lambda day: _moved(
                wallet.fund_bill(wallet.fund_rows(("100.00", "-0.60"))[::-1]), day
            ),
        },
        more_cells=b",`x,`y",
    ),
    Format(
        "Alipay account bill",
        "alipay",
        "account_bill",
        lambda day: f"{make.PID}0156_{day:%Y%m%d}_账务明细.zip",
        _account,
        5,
        "gb18030",
        {
            "header only": lambda day: wallet.alipay_zip(
                _moved(wallet.account_detail([]), day, "gb18030"),
                wallet.account_summary([]),
                kind="账务明细",
            ),
            "totals wrong": lambda day: _account(
                day, text=_account_text(day).replace(b"100.00", b"100.01", 1)
            ),
            "totals missing": lambda day: _account(
                day,
                text=_moved(
                    wallet.account_detail(wallet.account_rows(("100.00", "-0.60")), footer=[]),
                    day,
                    "gb18030",
                ),
            ),
            "wrong merchant": lambda day: _account(
                day, text=_account_text(day).replace(make.PID.encode(), b"2088999999999999")
            ),
            "embedded": lambda day: _account(day, row={"备注": _EMBEDDED}),
            "unknown code": lambda day: _account(day, row={"业务类型": "赠送"}),
            "negative": lambda day: _account(day, row={"收入金额（+元）": "-100.00"}),
            "overflow": lambda day: _account(day, row={"收入金额（+元）": OVERFLOW}),
            "other": lambda day: _account(day, "300.00", "-0.60"),
            "reordered": lambda day: _account(
                day,
                text=_moved(
                    wallet.account_detail(wallet.account_rows(("100.00", "-0.60"))[::-1]),
                    day,
                    "gb18030",
                ),
            ),
        },
        unwrap=_alipay_detail_of,
        wrap=lambda text, day: _account(day, text=text),
    ),
    Format(
        "QR gateway bill",
        "unionpay",
        "qr_gateway_bill",
        lambda day: f"{day:%Y%m%d}_{day:%Y%m%d}_ALL.csv",
        _gateway,
        0,
        "gb18030",
        {
            "wrong merchant": lambda day: _gateway(day, {"mcht_no": "QRA999999999999"}),
            "embedded": lambda day: _gateway(day, {"pro_name": _EMBEDDED}),
            "unknown code": lambda day: _gateway(day, {"trans_stat": "赠送"}),
            "negative": lambda day: _gateway(day, {"trans_amt": "-5.00"}),
            "overflow": lambda day: _gateway(day, {"trans_amt": OVERFLOW}),
            "other": lambda day: _gateway(
                day, {"trans_amt": "300.00", "actual_amt": "300.00", "settle_amt": "299.85"}
            ),
            "reordered": lambda day: _moved(
                wallet.qr_bill([wallet.QR_REFUND, wallet.QR_PAYMENT]), day, "gb18030"
            ),
        },
        more_cells=b",`x,`y",
    ),
    Format(
        "bank camt.053",
        "bank",
        "camt053",
        lambda day: f"camt053_{make.BANK_ACCOUNT}_{day:%Y%m%d}_1.xml",
        _camt,
        None,
        "utf-8",
        {
            "header only": lambda day: make.camt053((), day=day),
            "totals wrong": lambda day: _camt(day, closing="9.99"),
            "totals missing": lambda day: _camt(day).replace(b"CLBD", b"XXXX"),
            "wrong merchant": lambda day: _camt(day, account="6600100200300999"),
            "embedded": lambda day: make.camt053(
                (make.Entry("5.00", text='<&"茶,|杯">'),), day=day
            ),
            "unknown code": lambda day: _camt(day).replace(b"CRDT", b"GIFT", 1),
            "negative": lambda day: _camt(day).replace(b'"CNY">1500', b'"CNY">-1500'),
            "overflow": lambda day: _camt(day).replace(b">1500.00<", f">{OVERFLOW}<".encode()),
            "other": lambda day: _camt(day, "1600.00", "-500.00"),
            "reordered": lambda day: _camt(day, "-500.00", "1500.00"),
            "duplicate": lambda day: _twice(_camt(day), b"<Ntry>", b"</Ntry>"),
        },
    ),
    Format(
        "bank MT940",
        "bank",
        "mt940",
        lambda day: f"mt940_{MT940_ACCOUNT}_{day:%Y%m%d}_7.sta",
        _mt940,
        4,
        "utf-8",
        {
            "header only": lambda day: _mt940(day, rows=False),
            "totals wrong": lambda day: _mt940(day, closing="C{day:%y%m%d}CNY9,99"),
            "totals missing": lambda day: _mt940(day, closing=""),
            "wrong merchant": lambda day: _mt940(day, account="6600100200300999"),
            "embedded": lambda day: _mt940(day).replace(b"UPSETTLE", b'a,"b|c":d'),
            "unknown code": lambda day: _mt940(day, "X1500,00"),
            "negative": lambda day: _mt940(day, "C-1500,00"),
            "overflow": lambda day: _mt940(day, f"C{OVERFLOW},00"),
            "other": lambda day: _mt940(
                day, "C1600,00", "D500,00", closing="C{day:%y%m%d}CNY2100,00"
            ),
            "reordered": lambda day: _mt940(day, "D500,00", "C1500,00"),
            "New Year": lambda day: _mt940(day).replace(
                f":61:{day:%y%m%d}{day:%m%d}C".encode(), f":61:{day:%y%m%d}1231C".encode()
            ),
        },
    ),
    Format(
        "bank camt.054",
        "bank",
        "camt054",
        lambda day: f"camt054_{make.BANK_ACCOUNT}_{day:%Y%m%d}_1.xml",
        _notified,
        None,
        "utf-8",
        {
            "wrong merchant": lambda day: _notified(day, (make.BANK_ACCOUNT, "6600100200300999")),
            "embedded": lambda day: _notified(day, ("UPSETTLE", '&lt;&amp;"茶,|杯"&gt;')),
            "unknown code": lambda day: _notified(day, ("CRDT", "GIFT")),
            "negative": lambda day: _notified(day, ('"CNY">30.00', '"CNY">-30.00')),
            "overflow": lambda day: _notified(day, (">30.00<", f">{OVERFLOW}<")),
            "other": lambda day: _notified(day, (">30.00<", ">31.00<")),
            "reordered": lambda day: _notified(day, ("<CreDtTm>", "<!-- again --><CreDtTm>")),
            "duplicate": lambda day: _twice(_notified(day), b"<Ntry>", b"</Ntry>"),
        },
    ),
    Format(
        "bank CSV",
        "bank",
        "bank_csv",
        lambda day: f"bankcsv_{make.BANK_ACCOUNT}_{day:%Y%m%d}_1.csv",
        _bank_csv,
        4,
        "gb18030",
        {
            "totals wrong": lambda day: _bank_csv(day, ("200.50\r\n贷方", "9.99\r\n贷方")),
            "totals missing": lambda day: _bank_csv(
                day, ("借方合计笔数：,1,借方合计金额：,200.50\r\n", "")
            ),
            "wrong merchant": lambda day: _bank_csv(day, (make.BANK_ACCOUNT, "6600100200300999")),
            "embedded": lambda day: _bank_csv(day, ("PAYOUT PO1", '"PAYOUT, ""PO1|"""')),
            "unknown code": lambda day: _bank_csv(day, ("人民币", "金币")),
            "negative": lambda day: _bank_csv(day, ('"1,500.00"', '"-1,500.00"')),
            "overflow": lambda day: _bank_csv(day, ('"1,500.00"', OVERFLOW)),
            "other": lambda day: _bank_csv(day, ("UPSETTLE", "UNIONPAY")),
            "reordered": lambda day: _bank_csv(day, ("附言\r\n", "附言\r\n\r\n")),
        },
        more_cells=b",x,y,z",
    ),
)


# --- defects --------------------------------------------------------------------------------------

Text = Callable[[bytes, Format], bytes]
Make = Callable[[Format, date], Sequence[Delivery] | None]


def _of_text(change: Text) -> Make:
    """Return a defect of a good file's text; a container is packed anew around it."""

    def build(kind: Format, day: date) -> Sequence[Delivery]:
        text = change(kind.unwrap(kind.good(day)), kind)
        return [Delivery(kind.file_name(day), kind.wrap(text, day))]

    return build


def _of_bytes(change: Callable[[bytes], bytes]) -> Make:
    return lambda kind, day: [Delivery(kind.file_name(day), change(kind.good(day)))]


def _of_line(
    change: Callable[[bytes], bytes],
) -> Make:
    """Return a defect of one record's line (without its end)."""

    def build(kind: Format, day: date) -> Sequence[Delivery] | None:
        if kind.record is None:
            return None
        lines = kind.unwrap(kind.good(day)).split(b"\n")
        line = lines[kind.record]
        ending = b"\r" if line.endswith(b"\r") else b""
        lines[kind.record] = change(line.removesuffix(b"\r")) + ending
        return [Delivery(kind.file_name(day), kind.wrap(b"\n".join(lines), day))]

    return build


def _variant(name: str) -> Make:
    def build(kind: Format, day: date) -> Sequence[Delivery] | None:
        made = kind.variants.get(name)
        return None if made is None else [Delivery(kind.file_name(day), made(day))]

    return build


def _again(name: str) -> Make:
    """Return a good file, then a variant in its place."""

    def build(kind: Format, day: date) -> Sequence[Delivery] | None:
        return [
            Delivery(kind.file_name(day), kind.good(day)),
            Delivery(kind.file_name(day), kind.variants[name](day), 1),
        ]

    return build


def _mixed_ends(text: bytes, _kind: Format) -> bytes:
    lines = text.replace(b"\r\n", b"\n").split(b"\n")
    return (
        b"".join(line + (b"\r\n" if n % 2 else b"\n") for n, line in enumerate(lines[:-1]))
        + lines[-1]
    )


def _duplicate(kind: Format, day: date) -> Sequence[Delivery] | None:
    if "duplicate" in kind.variants:
        return _variant("duplicate")(kind, day)
    return _of_line(lambda line: line + b"\n" + line)(kind, day)


def _for_xml(prologue: str, body: bytes = b"") -> Make:
    def build(kind: Format, day: date) -> Sequence[Delivery] | None:
        if not kind.file_name(day).endswith(".xml"):
            return None
        declaration, good = b"", kind.good(day)
        if good.startswith(b"<?xml"):
            declaration, _, good = good.partition(b"?>")
            declaration += b"?>"
        content = declaration + prologue.encode() + good
        content = re.sub(rb"<BkToCstmr\w+>", lambda match: match[0] + body, content, count=1)
        return [Delivery(kind.file_name(day), content)]

    return build


def _for_zip(
    members: Callable[[str, bytes], Mapping[str, bytes]],
) -> Callable[..., Sequence[Delivery] | None]:
    def build(kind: Format, day: date) -> Sequence[Delivery] | None:
        if not kind.file_name(day).endswith(".zip"):
            return None
        stem = f"{make.PID}0156_{day:%Y%m%d}_业务明细"
        content = make.zipped(members(stem, kind.unwrap(kind.good(day))))
        return [Delivery(kind.file_name(day), content)]

    return build


def _too_long(kind: Format, day: date) -> Sequence[Delivery] | None:
    return _of_line(lambda line: line + kind.more_cells)(kind, day)


def _another_encoding(text: bytes, kind: Format) -> bytes:
    return text.decode(kind.encoding).encode("utf-16")


def _cut(content: bytes) -> bytes:
    return content[: len(content) * 3 // 5]


def _bad_then_good(kind: Format, day: date) -> Sequence[Delivery]:
    good = kind.good(day)
    return [
        Delivery(kind.file_name(day), _cut(good)),
        Delivery(kind.file_name(day), good, 1),
    ]


LAUGHS = (
    "<!DOCTYPE d ["
    + '<!ENTITY a0 "ha">'
    + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    + "]>"
)

_LISTED = (
    Defect("truncated", "截断", _of_bytes(_cut)),
    Defect("truncated inside a container", "压缩包内截断", lambda kind, day: (
        _of_text(lambda text, _: _cut(text))(kind, day)
        if kind.file_name(day).endswith((".zip", ".Z")) else None
    )),
    Defect("empty, 0 bytes", "空文件", _of_bytes(lambda _: b"")),
    Defect("header only, totals of 0", "只有表头", _variant("header only")),
    Defect("totals wrong", "总数不符", _variant("totals wrong")),
    Defect("totals missing", "缺总数", _variant("totals missing")),
    Defect("another date inside", "日期不符", lambda kind, day: [
        Delivery(kind.file_name(day), kind.good(day - timedelta(days=1)))
    ]),
    Defect("the day before's landed file under this name", "昨日文件重命名", lambda kind, day: [
        Delivery(kind.file_name(day - timedelta(days=1)), kind.good(day - timedelta(days=1))),
        Delivery(kind.file_name(day), kind.good(day - timedelta(days=1)), 1),
    ], day=date(2026, 8, 2)),
    Defect("another merchant, institution or account", "商户或机构不符",
           _variant("wrong merchant")),
    Defect("another encoding (UTF-16)", "编码不符", _of_text(_another_encoding)),
    Defect("a byte that is not of the encoding", "非法字节",
           _of_line(lambda line: line + b"\xff")),
    Defect("byte order mark", "BOM", _of_text(lambda text, _: BOM + text.removeprefix(BOM))),
    Defect("CRLF and LF mixed", "换行混用", _of_text(_mixed_ends)),
    Defect("separators and quotes inside a field", "字段含分隔符引号", _variant("embedded")),
    Defect("a row too short", "行过短", _of_line(lambda line: line[: len(line) // 2])),
    Defect("a row too long", "行过长", _too_long),
    Defect("an unknown code", "未知代码", _variant("unknown code")),
    Defect("negative where impossible", "负数", _variant("negative")),
    Defect("amount of 40 digits, or the field full of 9", "金额溢出", _variant("overflow")),
    Defect("31 December in a file of 1 January", "跨年", _variant("New Year"), day=NEW_YEAR),
    Defect("a line twice, totals as before", "重复行", _duplicate),
    Defect("a stray line the totals do not count, released", "多余行（放行）",
           _of_line(lambda line: line + b"\nnonsense"), release=True),
    Defect("the same file under another name", "同文件异名", lambda kind, day: [
        Delivery(kind.file_name(day), kind.good(day)),
        Delivery(f"copy of {kind.file_name(day)}", kind.good(day), 1),
    ]),
    Defect("the same file again", "重复发送", lambda kind, day: [
        Delivery(kind.file_name(day), kind.good(day)),
        Delivery(kind.file_name(day), kind.good(day), 1),
    ]),
    Defect("the same rows in another order", "同内容异序", _again("reordered")),
    Defect("another file under the same name", "同名异文件", _again("other")),
    Defect("bad, then corrected", "更正重发", _bad_then_good),
    Defect("a file for the future", "未来日期", lambda kind, _day: [
        Delivery(kind.file_name(FUTURE), kind.good(FUTURE))
    ], day=FUTURE),
    Defect("larger than TIEOUT_MAX_FILE_BYTES", "文件过大",
           _of_bytes(lambda content: content + b" " * (MAX_FILE_BYTES + 1))),
    Defect("zip bomb", "压缩炸弹", lambda kind, day: (
        [Delivery(kind.file_name(day), union.compressed(b"0" * 3_000_000))]
        if kind.file_name(day).endswith(".Z")
        else _for_zip(lambda stem, _: {f"{stem}.csv": b"0" * 9_000_000})(kind, day)
    )),
    Defect("many members in an archive", "成员过多", _for_zip(lambda stem, text: {
        f"{stem}.csv": text, **{f"{n}.csv": b"x" for n in range(100)}
    })),
    Defect("path traversal in an archive", "路径穿越",
           _for_zip(lambda stem, text: {f"../../{stem}.csv": text})),
    Defect("XML entity", "XML 实体",
           _for_xml("<!DOCTYPE d [<!ENTITY a SYSTEM 'file:///etc/passwd'>]>", b"<a>&a;</a>")),
    Defect("XML entity bomb", "XML 实体炸弹", _for_xml(LAUGHS, b"<a>&a9;</a>")),
    Defect("XML nested 100,000 deep", "XML 过深",
           _for_xml("", b"<a>" * 100_000 + b"</a>" * 100_000)),
)  # fmt: skip
DEFECTS = tuple(
    Defect(
        defect.name,
        defect.chinese,
        defect.make,
        defect.day or FIRST_DAY + timedelta(days=number),
        defect.release,
    )
    for number, defect in enumerate(_LISTED)
)


def deliveries(kind: Format, defect: Defect) -> Sequence[Delivery] | None:
    """Return what is put into the inbox for one cell, or None where a format cannot have it."""
    assert defect.day is not None
    return defect.make(kind, defect.day)
