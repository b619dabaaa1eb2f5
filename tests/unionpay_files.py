"""UnionPay's merchant files, merchant totals and packing, made by code from docs/formats.

Records are laid out by `Layout`, whose offsets a test holds against the document and the samples;
the report and the .Z form are written here by themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

import channel_files as make
from tieout.channels.unionpay.layouts import ZM, ZME, ZPSUM, ZSUM

MERCHANT = "802310000000017"
PHONE = "13800000000"

ZM_VALUES = {
    "transaction_code": "S56",
    "acquiring_institution_id": "88022900",
    "forwarding_institution_id": "00049993",
    "trace_number": "190624",
    "transmission_time": "0924112203",
    "card_number": "621626******0018",
    "amount": "000000010000",
    "merchant_category_code": "5411",
    "terminal_type": "07",
    "query_id": "202609241122031906248",
    "old_payment_mode": "01",
    "merchant_order_id": "M-1",
    "card_kind_code": "01",
    "merchant_fee": "D000000000060",
    "settlement_amount": "C000000009940",
    "payment_mode": "0001",
    "transaction_kind": "01",
    "business_type": "000201",
    "bill_number": PHONE,
    "merchant_id": MERCHANT,
    "sub_merchant_id": "000000000000000",
    "sub_merchant_name": "张三丰茶馆",
    "split_amount": " 000000000000",
    "net_amount": "C000000009940",
    "terminal_id": "01080209",
    "merchant_remark": f"张三 {PHONE}",
    "discount_amount": " 000000000000",
    "invoice_amount": " 000000000000",
    "instalment_fee": " 00000000000",
    "transaction_medium": "7",
}
# The second record of a day's file.
ZM_SECOND = {
    "trace_number": "190625",
    "query_id": "202609241122041906258",
    "merchant_order_id": "M-2",
    "card_kind_code": "02",
    "amount": "000000020000",
    "merchant_fee": "D000000000120",
    "settlement_amount": "C000000019880",
    "net_amount": "C000000019880",
}
ZM_REFUND = {
    "transaction_code": "S30",
    "trace_number": "190700",
    "query_id": "202609241200001907008",
    "merchant_order_id": "R-1",
    "amount": "000000003000",
    "original_trace_number": "190624",
    "original_transmission_time": "0920112203",
    "original_query_id": "202609201122031906248",
    "merchant_fee": "C000000000018",
    "settlement_amount": "D000000002982",
    "net_amount": "D000000002982",
    "transaction_kind": "04",
}
ZME_VALUES = {
    "adjustment_code": "E23",
    "acquiring_institution_id": "88022900",
    "forwarding_institution_id": "00049993",
    "trace_number": "190800",
    "transmission_time": "0924120000",
    "card_number": "621626******0018",
    "amount": "000000010000",
    "merchant_category_code": "5411",
    "terminal_type": "07",
    "card_kind_code": "01",
    "original_trace_number": "190624",
    "original_transmission_time": "0920112203",
    "original_settlement_date": "0920",
    "original_amount": "000000010000",
    "merchant_fee": "C000000000060",
    "settlement_amount": "D000000009940",
    "merchant_id": MERCHANT,
    "instalment_fee": " 00000000000",
}
ZSUM_VALUES = {
    "merchant_id": MERCHANT,
    "merchant_name": "示例商户（北京）",
    "amount": "C000000010000",
    "fee": "D000000000060",
    "net_amount": "C000000009940",
}
ZPSUM_VALUES = {
    "merchant_id": MERCHANT,
    "code_2": "0001",
    "merchant_name": "示例商户（北京）",
    "bank_name": "中国银行北京分行",
    "bank_code": "104100000004",
    "second_bank_code": "000000000000",
    "account_number": make.ACCOUNT_NUMBER,
    "account_name": make.ACCOUNT_NAME,
    "region_code": "110000",
    "transaction_count": "00000012",
    "amount": "C000000010000",
    "fee": "D000000000060",
    "adjustment_count": "00000001",
    "adjustment_amount": "D000000000100",
    "adjustment_fee": "C000000000001",
    "other_amount": " 000000000000",
    "settlement_total": "C000000009841",
    "offset_amount": " 000000000000",
    "flag_19": "0",
    "credited_amount": "C000000009841",
    "responsible_party": "1",
    "make_up_type": "0",
}


def zm(**changes: str) -> bytes:
    """Return one ZM record with its line end."""
    return make.record(ZM, ZM_VALUES, **changes) + b"\r\n"


def zme(**changes: str) -> bytes:
    """Return one ZME record with its line end."""
    return make.record(ZME, ZME_VALUES, **changes) + b"\r\n"


def zsum(**changes: str) -> bytes:
    """Return one ZSUM record with its line end."""
    return make.record(ZSUM, ZSUM_VALUES, **changes) + b"\r\n"


def zpsum(**changes: str) -> bytes:
    """Return one ZPSUM record with its line end."""
    return make.record(ZPSUM, ZPSUM_VALUES, **changes) + b"\r\n"


# --- the report and the ZIP -----------------------------------------------------------------------

Figures = tuple[int, int, int, int]
NO_FIGURES: Figures = (0, 0, 0, 0)
# Two sales of 100.00 and 200.00: count, then amount, fee and net in fen.
TWO_SALES: Mapping[str, Figures] = {"自助消费": (2, 30000, 180, 29820)}


def report(
    rows: Mapping[str, Figures] = TWO_SALES,
    *,
    cards: Mapping[str, Figures] | None = None,
    total: Figures | None = None,
    day: date = make.DAY,
    merchant: str = MERCHANT,
) -> bytes:
    """Return an RD report: a table by kind of transaction, one by kind of card, with totals."""
    summed = total or _summed(rows.values())
    by_card = cards or {"借记卡": _summed(rows.values()), "贷记卡": NO_FIGURES}
    tables = [
        line
        for heading, table in (("交易类型", rows), ("卡性质", by_card))
        for line in _table(heading, table, summed)
    ]
    lines = [
        "中国银联全渠道商户交易汇总表".center(80),
        "",
        f"商户代码:{merchant}".ljust(60) + "清算币种:人民币",
        "收单机构:88022900".ljust(60) + f"清算日期:{day:%Y%m%d}",
        "商户名称:示例商户".ljust(60) + f"生成日期:{day + timedelta(days=1):%Y%m%d}",
        "",
        *tables,
    ]
    return "".join(f"{line}\r\n" for line in lines).encode("gb18030")


def _table(heading: str, rows: Mapping[str, Figures], total: Figures) -> list[str]:
    rule = "_" * 130
    head = f"{heading}            交易笔数               交易金额         费用         资金清算差额"
    sides = "                       借         贷         借         贷         借         贷"
    body = [_line(label, figures) for label, figures in rows.items()]
    return [head, sides, rule, *body, rule, _line("总计", total), ""]


def _line(label: str, figures: Figures) -> str:
    count, amount, fee, net = figures
    # The merchant's side: what it receives is credit (贷), the fee is debit (借).
    pairs = [value for signed in (amount, -fee, net) for value in (max(-signed, 0), max(signed, 0))]
    return f"{label}  {count:>10}" + "".join(f"{v // 100:>12}.{v % 100:02}" for v in pairs)


def _summed(rows: Sequence[Figures] | object) -> Figures:
    columns = list(zip(*rows, strict=True))  # type: ignore[call-overload]
    return tuple(sum(column) for column in columns) or NO_FIGURES  # type: ignore[return-value]


def merchant_zip(
    transactions: bytes | None = None,
    *,
    rd: bytes | None = None,
    errors: bytes | None = None,
    day: date = make.DAY,
    merchant: str = MERCHANT,
    **more: bytes,
) -> bytes:
    """Return the day's ZIP: two sales and their report, where not given otherwise."""
    two = zm() + zm(**ZM_SECOND)
    members = {
        f"INN{day:%y%m%d}88ZM_{merchant}": two if transactions is None else transactions,
        f"RD2010{day:%y%m%d}01_{merchant}": report(day=day) if rd is None else rd,
        f"RNM2000{day:%y%m%d}_{merchant}.txt": b"a form that is not known\r\n",
        **more,
    }
    if errors is not None:
        members[f"INN{day:%y%m%d}88ZME_{merchant}"] = errors
    return make.zipped({name: content for name, content in members.items() if content != b"-"})


# --- Unix compress --------------------------------------------------------------------------------

HEADER = b"\x1f\x9d\x90"  # block mode, codes of up to 16 bits
FIRST_FREE_CODE, CODES_MAX = 257, 1 << 16


def compressed(content: bytes) -> bytes:
    """Return the bytes as `compress` packs them, without ever clearing its table."""
    codes, rest, packed = _codes(content), 0, bytearray(HEADER)
    for width in range(9, 17):
        # 256 codes of 9 bits, 512 of 10, and so on; what is left is of 16.
        count = 1 << (width - 1) if width < 16 else len(codes)
        part = codes[rest : rest + count]
        rest += len(part)
        number = sum(code << (place * width) for place, code in enumerate(part))
        packed += number.to_bytes((len(part) * width + 7) // 8, "little")
    return bytes(packed)


def _codes(content: bytes) -> list[int]:
    known = {bytes([byte]): byte for byte in range(256)}
    free, found, run = FIRST_FREE_CODE, list[int](), b""
    for byte in content:
        longer = run + bytes([byte])
        if longer in known:
            run = longer
            continue
        found.append(known[run])
        if free < CODES_MAX:
            known[longer] = free
            free += 1
        run = bytes([byte])
    return [*found, known[run]] if run else found
