"""Runs of fields that several of UnionPay's layouts have alike, in the same order and widths.

Widths in bytes of GBK; source: docs/formats, unionpay-*.md. A layout takes a run whole; where a
file has one of its fields in another place or width, the layout names its fields itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

Fields = Mapping[str, int]

# Who sent which transaction: what UnionPay knows it by, and its card and amount.
TRANSACTION_KEY: Final[Fields] = {
    "acquiring_institution_id": 11,
    "forwarding_institution_id": 11,
    "trace_number": 6,
    "transmission_time": 10,
}
TRANSACTION_AND_CARD: Final[Fields] = {**TRANSACTION_KEY, "card_number": 19}
TRANSACTION: Final[Fields] = {**TRANSACTION_AND_CARD, "amount": 12}
# The fields no record may leave blank, where the file says the merchant and where it does not.
KEYS: Final = tuple(TRANSACTION_KEY)
KEYS_OF_MERCHANT: Final = (*KEYS, "merchant_id")

# What the message was, and from where it came.
MESSAGE: Final[Fields] = {
    "message_type": 4,
    "processing_code": 6,
    "merchant_category_code": 4,
    "terminal_id": 8,
}
AUTHORISATION: Final[Fields] = {
    "retrieval_reference_number": 12,
    "pos_condition_code": 2,
    "authorisation_code": 6,
    "receiving_institution_id": 11,
}
# The texts of a message that both ICOMN of UnionPay International and ACOMN give as they are.
MESSAGE_TEXTS: Final = (
    *KEYS,
    "message_type",
    "processing_code",
    "pos_condition_code",
    "merchant_category_code",
    "terminal_id",
    "merchant_id",
    "retrieval_reference_number",
    "authorisation_code",
    "response_code",
    "pos_entry_mode",
    "receiving_institution_id",
)
RESPONSE: Final[Fields] = {"original_trace_number": 6, "response_code": 2}
# The answer, and what the institutions owe each other for it.
RESPONSE_AND_INTERCHANGE: Final[Fields] = {
    **RESPONSE,
    "pos_entry_mode": 3,
    "interchange_receivable": 12,
    "interchange_payable": 12,
}
CHIP: Final[Fields] = {
    "card_sequence_number": 3,
    "terminal_capability": 1,
    "ic_condition_code": 1,
}

# What stands behind the fields of the acquirer's file where UnionPay clears for the merchant.
MERCHANT_SETTLEMENT: Final[Fields] = {
    "merchant_fee": 9,
    "merchant_settlement_bank_id": 11,
    "settlement_bank_fee": 9,
}

# Files of merchants of the online platform.
ORIGINAL: Final[Fields] = {"original_trace_number": 6, "original_transmission_time": 10}
MERCHANT_FEE: Final[Fields] = {"merchant_fee": 13, "settlement_amount": 13}
INSTALMENT: Final[Fields] = {"instalment_fee": 12, "instalment_count": 2}

# Online debit and credit payments (NCP).
NCP_TRANSACTION: Final[Fields] = {
    "transaction_code": 4,
    "transaction_id": 16,
    "amount": 15,
    "business_kind": 6,
    "settlement_date": 8,
}
NCP_ORIGINAL: Final[Fields] = {"original_transaction_id": 16, "original_amount": 15}
