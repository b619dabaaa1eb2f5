"""Layouts of the institution files beside ACOMN, AERRN and ALFEE. Source: docs/formats.

None of them was checked on a real record, except the record 300 of INF and the places of UPI's
ICOMN. A form of another year is a new table here, not new code; the pages in docs/formats say what
is not verified.
"""

from __future__ import annotations

from collections.abc import Mapping

from tieout.channels.unionpay import field_runs
from tieout.channels.unionpay.fixed_width import Layout
from tieout.channels.unionpay.layouts import ACOMN, ACOMN_34, AERRN, ALFEE

__all__ = [
    "ACOMA",
    "AERRA_2017",
    "AERRA_2020",
    "FCP",
    "ICOMN",
    "ICOMN_34",
    "IERRN",
    "ILFEE",
    "INF_DETAIL",
    "INF_HEADER",
    "INF_RECORD_BYTES",
    "NCP_COMTRX",
    "NCP_ERRTRX",
    "SERVICE_ROLES",
    "UPI_ICOMN",
]

# 收单方服务角色: institutions that share the merchant's fee.
SERVICE_ROLES = range(1, 10)
_ROLE_FIELDS = {
    name: width
    for role in SERVICE_ROLES
    for name, width in (
        (f"service_role_{role}_institution_id", 11),
        (f"service_role_{role}_fee", 9),
    )
}

# --- agency clearing 代理清算 (§1.2, the tail of §1.4) --------------------------------------------

ACOMA = Layout(
    "ACOMA",
    {
        **ACOMN_34.widths,
        "sender_clearing_institution_id": 11,
        "receiver_clearing_institution_id": 11,
        "reversal_flag": 1,
        "void_flag": 1,
        "settlement_date": 4,
        "clearing_session_number": 2,
        "merchant_name": 40,
        "currency": 3,
        "automatic_discount_fee": 9,
        **field_runs.MERCHANT_SETTLEMENT,
        **_ROLE_FIELDS,
        "custom_fee_1": 9,
        "custom_fee_2": 9,
        "custom_fee_3": 9,
        "transfer_in_card_number": 19,
        "reserved": 280,
    },
    gbk_fields=frozenset({"merchant_name", "reserved"}),
    card_fields=frozenset({"card_number", "transfer_in_card_number"}),
)

AERRA_2017 = Layout(
    "AERRA of 2017, 56 fields",
    {
        **AERRN.widths,
        "original_transaction_type": 3,
        **field_runs.MERCHANT_SETTLEMENT,
    },
    gbk_fields=AERRN.gbk_fields,
    card_fields=AERRN.card_fields,
)
# 81 fields are named in public, the widths of 76 are known: the end is not read.
AERRA_2020 = Layout(
    "AERRA of 2020, 81 fields",
    {
        **{name: width for name, width in AERRN.widths.items() if name != "reserved"},
        "order_number": 40,
        "reserved_1": 2,
        "reserved_2": 2,
        "original_transaction_type": 4,
        "merchant_fee": 8,
        "merchant_settlement_bank_id": 12,
        "settlement_bank_fee": 8,
        **_ROLE_FIELDS,
    },
    gbk_fields=frozenset({"merchant_name", "order_number", "reserved_1", "reserved_2"}),
    card_fields=AERRN.card_fields,
    is_open_ended=True,
)

# --- the issuer's side 发卡方: names known, layouts taken to be the acquirer's (§0.1) -------------


def _for_issuer(layout: Layout, name: str) -> Layout:
    return Layout(name, layout.widths, gbk_fields=layout.gbk_fields, card_fields=layout.card_fields)


ICOMN = _for_issuer(ACOMN, "ICOMN")
ICOMN_34 = _for_issuer(ACOMN_34, "ICOMN of 34 fields")
IERRN = _for_issuer(AERRN, "IERRN")
ILFEE = _for_issuer(ALFEE, "ILFEE")

# --- UnionPay International 银联国际 (§1.6, §1.7) -------------------------------------------------

UPI_ICOMN = Layout(
    "UPI ICOMN",
    {
        **field_runs.TRANSACTION_AND_CARD,
        "transaction_amount": 12,
        **field_runs.MESSAGE,
        "merchant_id": 15,
        "merchant_name": 40,
        **field_runs.AUTHORISATION,
        **field_runs.RESPONSE,
        "transaction_currency": 3,
        "pos_entry_mode": 3,
        "settlement_currency": 3,
        "settlement_amount": 12,
        "settlement_rate": 8,
        "settlement_date": 4,
        "exchange_date": 4,
        "billing_currency": 3,
        "billing_amount": 12,
        "billing_rate": 8,
        "fee_receivable": 12,
        "fee_payable": 12,
        "signed_fee_1": 12,
        "unnamed": 12,
        "signed_fee_2": 12,
        "reserved": 343,
    },
    gbk_fields=frozenset({"merchant_name", "unnamed", "reserved"}),
    card_fields=frozenset({"card_number"}),
    # Nobody has named what is in them.
    hidden_fields=frozenset({"unnamed", "reserved"}),
)

FCP = Layout(
    "FCP",
    {
        "adjustment_code": 3,
        "amount": 13,
        "reason_code": 4,
        "sending_institution_id": 11,
        "sender_institution_id_2": 11,
        "receiving_institution_id": 11,
        "receiver_institution_id_2": 11,
        "transmission_time": 10,
        "trace_number": 6,
        "blank": 19,
        "settlement_currency": 3,
        "reserved": 196,
    },
    gbk_fields=frozenset({"blank", "reserved"}),
)

# --- INF: IC offline batch, records without separators and line ends (§1.8) -----------------------

# The first seven bytes of a record (code, segment bitmap) and its length.
INF_RECORD_BYTES: Mapping[bytes, int] = {
    b"0008000": 46,
    b"0018000": 42,
    b"0028000": 49,
    b"0038000": 90,
    b"300A000": 526,
    b"301A000": 526,
}
INF_HEADER = Layout(
    "INF header",
    {
        "record_code": 3,
        "segment_bitmap": 4,
        "institution_id": 11,
        "batch_date": 8,
        "second_date": 8,
        "environment": 4,
        "batch_number": 8,
    },
    separator_bytes=0,
)
INF_DETAIL = Layout(
    "INF detail",
    {
        "record_code": 3,
        "segment_bitmap": 4,
        "card_number": 19,
        "amount": 12,
        "currency": 3,
        "transmission_time": 10,
        "trace_number": 6,
        "authorisation_code": 6,
        "authorisation_date": 4,
        "retrieval_reference_number": 12,
        "acquiring_institution_id": 11,
        "forwarding_institution_id": 11,
        "merchant_category_code": 4,
        "terminal_id": 8,
        "merchant_id": 15,
        "merchant_name": 40,
        "original_message": 23,
        "reason_code": 4,
        "message_mode_flag": 1,
        "unionpay_serial_number": 9,
        "receiving_institution_id": 11,
        "issuer_institution_id": 11,
        "notification_flag": 1,
        "transaction_channel": 2,
        "feature_flag": 1,
        "reserved_1": 8,
        "pos_condition_code": 2,
        "own_fee": 12,
        "region_flag": 1,
        "eci_flag": 2,
        "special_billing_type": 2,
        "special_billing_level": 1,
        "reserved_2": 10,
        "application_cryptogram": 16,
        "pos_entry_mode": 3,
        **field_runs.CHIP,
        "terminal_capabilities": 6,
        "terminal_verification_results": 10,
        "unpredictable_number": 8,
        "terminal_serial_number": 8,
        "issuer_application_data": 64,
        "application_transaction_counter": 4,
        "application_interchange_profile": 4,
        "transaction_date": 6,
        "terminal_country": 3,
        "chip_response_code": 2,
        "chip_transaction_type": 2,
        "chip_amount": 12,
        "chip_currency": 3,
        "cryptogram_check_result": 1,
        "card_expiry": 4,
        "cryptogram_information_data": 2,
        "other_amount": 12,
        "cardholder_verification_results": 6,
        "terminal_type": 2,
        "dedicated_file_name": 32,
        "application_version": 4,
        "sequence_counter": 8,
        "issuer_authorisation_code": 6,
        "card_product_id": 24,
    },
    gbk_fields=frozenset({"merchant_name"}),
    card_fields=frozenset({"card_number"}),
    # The expiry is read by nothing, and no excerpt may show it.
    hidden_fields=frozenset({"card_expiry", "issuer_application_data"}),
    separator_bytes=0,
)

# --- NCP: online debit and credit payments 无卡业务转接清算 (§1.9) --------------------------------

_NCP_PARTIES = {
    "sending_institution_id": 11,
    "payer_institution_id": 11,
    "payer_account_type": 2,
    "payer_account": 34,
    "channel_institution": 69,
    "agreement_number": 55,
    "payee_institution_id": 11,
    "payee_account_type": 2,
    "payee_account": 34,
    "reserve_bank_id": 11,
    "reserve_account": 34,
    "product_type": 8,
    "product_data": 120,
    "merchant_id": 15,
    "merchant_category_code": 4,
    "sub_merchant_id": 15,
    "sub_merchant_category_code": 4,
    "terminal_type": 2,
    "network_fee": 12,
    "brand_fee": 12,
}
# Texts an institution may fill as it likes, and numbers of people.
_NCP_GBK = frozenset({"order_number", "channel_institution", "product_data", "reserved"})
_NCP_HIDDEN = frozenset(
    {"payer_account", "agreement_number", "payee_account", "reserve_account", "product_data"}
)

# The public program skips lines of fewer than 700 bytes: a record has at least as many, the rest
# behind the known fields being reserved. Its whole length is not known.
NCP_COMTRX = Layout(
    "NCP COMTRX",
    {
        **field_runs.NCP_TRANSACTION,
        **field_runs.NCP_ORIGINAL,
        "order_number": 40,
        **_NCP_PARTIES,
        "participation_fee_payable": 15,
        "participation_fee_receivable": 15,
        "reserved": 54,
    },
    gbk_fields=_NCP_GBK,
    hidden_fields=_NCP_HIDDEN,
    is_open_ended=True,
)
NCP_ERRTRX = Layout(
    "NCP ERRTRX",
    {
        **field_runs.NCP_TRANSACTION,
        "adjustment_code": 3,
        "reason_code": 4,
        **field_runs.NCP_ORIGINAL,
        **_NCP_PARTIES,
        "dispute_fee": 12,
        # The other way round than in COMTRX.
        "participation_fee_receivable": 15,
        "participation_fee_payable": 15,
        "reserved": 73,
    },
    gbk_fields=_NCP_GBK - {"order_number"},
    hidden_fields=_NCP_HIDDEN,
    is_open_ended=True,
)
