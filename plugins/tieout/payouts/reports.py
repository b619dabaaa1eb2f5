"""What a bank answers about a payment file, whatever the rail it came on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from tieout.payouts.states import State

__all__ = ["StatusReport", "TransactionStatus"]


@dataclass(frozen=True)
class TransactionStatus:
    """What a bank says of one payment: whose it is, which status, and why."""

    end_to_end_id: str
    status_code: str
    state: State | None
    reason_code: str | None
    detail: str | None
    amount_minor: int | None
    currency_code: str | None


@dataclass(frozen=True)
class StatusReport:
    """An answer of a bank: the message it answers, the group's status, and its transactions.

    ``created_on`` is the date the bank says it wrote it on; None where it says none.
    """

    message_id: str
    created_on: date | None
    original_message_id: str
    original_payment_count: int | None
    group_status_code: str | None
    group_state: State | None
    group_reason_code: str | None
    transactions: tuple[TransactionStatus, ...]
