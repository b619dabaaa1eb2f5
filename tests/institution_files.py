"""Small files of UnionPay's other institution files, made by hand, from docs/formats.

Records are laid out by the layouts, whose offsets the tests hold against the document.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

import channel_files as make
from tieout.channels.unionpay import institution_layouts as layouts
from tieout.channels.unionpay.fixed_width import Layout

DAY = make.DAY
ACCOUNTS = ("6222020200112230017", "1100998877665544", "31050000000000001234", "AGR-330106-88")
EXPIRY = "2912"
Changes = Mapping[str, str]

ACOMA_VALUES = {
    **make.ACOMN_VALUES,
    "sender_clearing_institution_id": "48379219",
    "receiver_clearing_institution_id": "90880051",
    "reversal_flag": "A",
    "settlement_date": "0924",
    "clearing_session_number": "01",
    "merchant_name": "示例商户（北京）",
    "currency": "156",
    "automatic_discount_fee": "C00000001",
    "merchant_fee": "D00000060",
    "merchant_settlement_bank_id": "90880051",
    "settlement_bank_fee": "D00000004",
    "service_role_1_institution_id": "48379219",
    "service_role_1_fee": "C00000012",
    "service_role_9_institution_id": "48379220",
    "service_role_9_fee": "C00000013",
    "custom_fee_3": "D00000009",
}
AERRA_2017_VALUES = {
    **make.AERRN_VALUES,
    "original_transaction_type": "S22",
    "merchant_fee": "C00000007",
    "merchant_settlement_bank_id": "90880051",
    "settlement_bank_fee": "D00000001",
}
AERRA_2020_VALUES = {
    **make.AERRN_VALUES,
    "order_number": "订单20260920",
    "original_transaction_type": "S22",
    "merchant_fee": "C0000007",
    "merchant_settlement_bank_id": "90880051",
    "settlement_bank_fee": "D0000001",
    "service_role_1_institution_id": "48379219",
    "service_role_1_fee": "C00000012",
    "service_role_9_institution_id": "48379220",
    "service_role_9_fee": "C00000013",
}
UPI_VALUES = {
    "acquiring_institution_id": "48379219",
    "forwarding_institution_id": "00049992",
    "trace_number": "747302",
    "transmission_time": "0924162152",
    "card_number": make.CARD,
    "transaction_amount": "000000032800",
    "message_type": "0200",
    "processing_code": "000000",
    "merchant_category_code": "5411",
    "terminal_id": "01080209",
    "merchant_id": "898310059990001",
    "merchant_name": "SAMPLE SHOP              HONG KONG    HK",
    "retrieval_reference_number": "215228025551",
    "pos_condition_code": "00",
    "receiving_institution_id": "90880051",
    "original_trace_number": "000000",
    "response_code": "00",
    "transaction_currency": "344",
    "pos_entry_mode": "051",
    "settlement_currency": "156",
    "settlement_amount": "000000027690",
    "settlement_rate": "78442003",
    "settlement_date": "0924",
    "exchange_date": "0923",
    "billing_currency": "156",
    "billing_amount": "000000027690",
    "billing_rate": "78442003",
    "fee_receivable": "000000000000",
    "fee_payable": "000000000305",
    "signed_fee_1": "D00000000011",
    "signed_fee_2": "C00000000012",
}
FCP_VALUES = {
    "adjustment_code": "E20",
    "amount": "C000000001200",
    "reason_code": "8001",
    "sending_institution_id": "48379219",
    "sender_institution_id_2": "48379219",
    "receiving_institution_id": "90880051",
    "receiver_institution_id_2": "90880051",
    "transmission_time": "0924090001",
    "trace_number": "000001",
    "settlement_currency": "156",
}
INF_VALUES = {
    "record_code": "300",
    "segment_bitmap": "A000",
    "card_number": make.CARD,
    "amount": "000000000500",
    "currency": "156",
    "transmission_time": "0924092152",
    "trace_number": "003442",
    "authorisation_code": "000000",
    "retrieval_reference_number": "610410996740",
    "acquiring_institution_id": "48379219",
    "forwarding_institution_id": "00049992",
    "merchant_category_code": "5411",
    "terminal_id": "26900141",
    "merchant_id": "898310059990001",
    "merchant_name": "示例商户",
    "reason_code": "0000",
    "unionpay_serial_number": "000165665",
    "receiving_institution_id": "90880051",
    "issuer_institution_id": "90880051",
    "pos_condition_code": "00",
    "own_fee": "D00000000006",
    "region_flag": "0",
    "pos_entry_mode": "072",
    "transaction_date": "260924",
    "chip_response_code": "Y1",
    "chip_transaction_type": "00",
    "chip_amount": "000000000500",
    "chip_currency": "156",
    "card_expiry": EXPIRY,
}
NCP_VALUES = {
    "transaction_code": "1001",
    "transaction_id": "2026092400000001",
    "amount": "000000000010000",
    "business_kind": "100001",
    "settlement_date": "20260924",
    "original_transaction_id": "0" * 16,
    "original_amount": "0" * 15,
    "sending_institution_id": "48379219",
    "payer_institution_id": "90880051",
    "payer_account_type": "01",
    "payer_account": ACCOUNTS[0],
    "channel_institution": "渠道一",
    "agreement_number": ACCOUNTS[3],
    "payee_institution_id": "48379219",
    "payee_account_type": "02",
    "payee_account": ACCOUNTS[1],
    "reserve_bank_id": "90880051",
    "reserve_account": ACCOUNTS[2],
    "product_data": f"phone 13800138000 account {ACCOUNTS[0]}",
    "merchant_id": "898310059990001",
    "merchant_category_code": "5411",
    "network_fee": "D00000000003",
    "brand_fee": "D00000000002",
    "participation_fee_payable": "000000000000035",
    "participation_fee_receivable": "000000000000001",
}
COMTRX_VALUES = {**NCP_VALUES, "order_number": "订单1"}
ERRTRX_VALUES = {
    **NCP_VALUES,
    "adjustment_code": "E23",
    "reason_code": "4515",
    "dispute_fee": "D00000000050",
}

VERSION = b"V1.0.0\r\n"


def line(layout: Layout, values: Changes, **changes: str) -> bytes:
    """Return one record with its line end."""
    return make.record(layout, values, **changes) + b"\r\n"


def acoma(**changes: str) -> bytes:
    """Return one ACOMA record with its line end."""
    return line(layouts.ACOMA, ACOMA_VALUES, **changes)


def aerra_2017(**changes: str) -> bytes:
    """Return one AERRA record of 56 fields with its line end."""
    return line(layouts.AERRA_2017, AERRA_2017_VALUES, **changes)


def aerra(**changes: str) -> bytes:
    """Return one AERRA record of 2020 with 40 bytes behind the known fields, and its line end."""
    record = make.record(layouts.AERRA_2020, AERRA_2020_VALUES, **changes)
    return record + b" " + "保留".encode("gb18030").ljust(40) + b"\r\n"


def icomn(**changes: str) -> bytes:
    """Return one ICOMN record with its line end."""
    return line(layouts.ICOMN, make.ACOMN_VALUES, **changes)


def ierrn(**changes: str) -> bytes:
    """Return one IERRN record with its line end."""
    return line(layouts.IERRN, make.AERRN_VALUES, **changes)


def ilfee(**changes: str) -> bytes:
    """Return one ILFEE record with its line end."""
    return line(layouts.ILFEE, make.ALFEE_VALUES, **changes)


def upi(**changes: str) -> bytes:
    """Return one ICOMN record of UnionPay International with its line end."""
    return line(layouts.UPI_ICOMN, UPI_VALUES, **changes)


def fcp(**changes: str) -> bytes:
    """Return one FCP record; its lines end in LF."""
    return make.record(layouts.FCP, FCP_VALUES, **changes) + b"\n"


def touching(layout: Layout, values: Changes, **changes: str) -> bytes:
    """Return one record whose fields touch; what is not given is blank."""
    texts = {**values, **changes}
    assert set(texts) <= set(layout.widths)
    fields = [texts.get(name, "").encode("gb18030").ljust(n) for name, n in layout.widths.items()]
    return b"".join(fields)


def inf_detail(**changes: str) -> bytes:
    """Return one record 300 of INF."""
    return touching(layouts.INF_DETAIL, INF_VALUES, **changes)


def inf(*details: bytes, day: date = DAY, trailer: bool = True, **header: str) -> bytes:
    """Return a whole INF batch: header, details as given, trailer."""
    stated = {
        "record_code": "000",
        "segment_bitmap": "8000",
        "institution_id": "48379219",
        "batch_date": f"{day:%Y%m%d}",
        "second_date": f"{day:%Y%m%d}",
        "environment": "PROD",
        "batch_number": "00000001",
    }
    end = b"0018000".ljust(42, b"0") if trailer else b""
    return touching(layouts.INF_HEADER, stated, **header) + b"".join(details) + end


def ncp(*records: bytes, version: bytes = VERSION) -> bytes:
    """Return an NCP file: the version and the records as given."""
    return version + b"".join(records)


def comtrx(**changes: str) -> bytes:
    """Return one record of COMTRX with its line end."""
    return line(layouts.NCP_COMTRX, COMTRX_VALUES, **changes)


def errtrx(**changes: str) -> bytes:
    """Return one record of ERRTRX with its line end."""
    return line(layouts.NCP_ERRTRX, ERRTRX_VALUES, **changes)


def whole_day() -> Sequence[tuple[str, bytes]]:
    """Return one good file of each kind for DAY, by its name."""
    return (
        ("IND26092432ACOMA", acoma()),
        ("IND26092432AERRA", aerra()),
        ("IND26092401ICOMN", icomn()),
        ("IND26092499IERRN", ierrn()),
        ("IND26092499ILFEE", ilfee()),
        ("IFD26092401ICOMN", upi()),
        ("IND26092499FCP", fcp()),
        ("INF26092401B", inf(inf_detail())),
        ("INF26092401R", inf(inf_detail(amount="000000000700"), b"0038000".ljust(90))),
        ("20260924_01_IS_COMTRX", ncp(comtrx())),
        ("20260924_01_IS_ERRTRX", ncp(errtrx())),
    )
