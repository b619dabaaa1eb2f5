"""A batch of payouts: what a payment file of any rail is written from, and what it reads back as.

Pure data and the checks that every rail shares; the same batch gives the same bytes on each rail.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Final

from tieout.core.errors import TieoutError

__all__ = [
    "PAYMENTS_PER_FILE_MAX",
    "Address",
    "Batch",
    "Debtor",
    "Payment",
    "ReadBatch",
    "ReadPayment",
    "check",
    "texts_of_payment",
    "unreadable",
    "unwritable",
    "why_no_address",
]

PAYMENTS_PER_FILE_MAX: Final = 20_000
"""No file of ours has more, whatever a bank takes: it is written, held and read back in memory."""

AMOUNT_DIGITS_MAX: Final = 18
"""Digits of an amount and of their sum (ActiveOrHistoricCurrencyAndAmount, DecimalNumber)."""


@dataclass(frozen=True)
class Address:
    """A structured postal address. Town and country are what no bank does without.

    ``country_code`` is ISO 3166, two letters. Others are None where they are not known.
    """

    town: str
    country_code: str
    street: str | None = None
    building: str | None = None
    post_code: str | None = None


@dataclass(frozen=True)
class Debtor:
    """The account payouts are paid from: the client-reserve account (备付金账户), and its rail.

    `message_name` is the version of pain.001 that its bank takes, where the rail is pain.001;
    `customer_id` is our number at the bank or agency, where the rail states one. The rest is what
    the bank takes (`reference.payout_rails`): payments in a file, minor units in one payment (None:
    it states no limit), and whether a payee needs a structured address.
    """

    name: str
    bank_account_id: str
    bank_code: str
    bank_name: str
    message_name: str = "pain.001.001.09"
    rail: str = "pain001"
    customer_id: str = ""
    payments_per_file_max: int = 3_000
    payment_minor_max: int | None = None
    is_address_wanted: bool = False


@dataclass(frozen=True)
class Payment:
    """One credit transfer. Account number and name are clear text: never logged, never stored."""

    end_to_end_id: str
    amount_minor: int
    currency_code: str
    bank_code: str
    bank_name: str
    account_number: str
    account_name: str
    remittance_text: str
    address: Address | None = None

    def __repr__(self) -> str:
        """Show what may be shown: no account number, no name."""
        return (
            f"Payment({self.end_to_end_id}, {self.amount_minor} {self.currency_code} minor units)"
        )


@dataclass(frozen=True)
class Batch:
    """One file: payments of one payment date and one currency."""

    message_id: str
    payment_date: date
    currency_code: str
    debtor: Debtor
    payments: tuple[Payment, ...]


@dataclass(frozen=True)
class ReadPayment:
    """What a reader of the file needs of one transfer."""

    end_to_end_id: str
    amount_minor: int
    currency_code: str
    bank_code: str
    account_number: str
    account_name: str

    def __repr__(self) -> str:
        """Show what may be shown: no account number, no name."""
        return f"ReadPayment({self.end_to_end_id}, {self.amount_minor} {self.currency_code})"


@dataclass(frozen=True)
class ReadBatch:
    """A payment file as read back: the stated count and sum, checked against its payments.

    ``message_name`` is the layout's name. ``requested_on`` and ``debtor_account_id`` are None where
    the layout states none.
    """

    message_name: str
    message_id: str
    payment_information_id: str
    requested_on: date | None
    debtor_account_id: str | None
    currency_code: str
    payment_count: int
    control_sum_minor: int
    payments: tuple[ReadPayment, ...]


def check(batch: Batch, why_payment_unwritable: Callable[[Payment], str | None]) -> None:
    """Refuse a batch that no file of its rail can hold, before anything is written.

    Raises:
        TieoutError: no payment, too many, a wrong currency, an amount that is not above zero, above
            the bank's limit or with too many digits, an end-to-end id used twice, a payee without
            the address that the bank wants, or a text the rail cannot hold.
    """
    debtor = batch.debtor
    most = min(debtor.payments_per_file_max, PAYMENTS_PER_FILE_MAX)
    if not 0 < len(batch.payments) <= most:
        raise unwritable(batch, f"it has {len(batch.payments)} payments; a file takes 1 to {most}")
    ids = {payment.end_to_end_id for payment in batch.payments}
    if len(ids) != len(batch.payments):
        raise unwritable(batch, "an end-to-end id stands in it twice")
    for payment in batch.payments:
        why = _why_not_in(batch, payment) or why_payment_unwritable(payment)
        if why is not None:
            raise unwritable(batch, f"payment {payment.end_to_end_id}: {why}")
    total_minor = sum(payment.amount_minor for payment in batch.payments)
    if len(str(total_minor)) > AMOUNT_DIGITS_MAX:
        raise unwritable(
            batch, f"its payments sum to more than {AMOUNT_DIGITS_MAX} digits: {total_minor}"
        )


def _why_not_in(batch: Batch, payment: Payment) -> str | None:
    limit_minor = batch.debtor.payment_minor_max
    if payment.currency_code != batch.currency_code:
        return "it has another currency"
    if payment.amount_minor <= 0:
        return "its amount is not above zero"
    if limit_minor is not None and payment.amount_minor > limit_minor:
        return (
            f"{payment.amount_minor} minor units, and the bank takes {limit_minor} at most "
            "(reference.payout_rails, payment_limit_minor)"
        )
    return why_no_address(batch.debtor, payment)


def why_no_address(debtor: Debtor, payment: Payment) -> str | None:
    """Say that the bank wants an address the payee does not have, or None."""
    if debtor.is_address_wanted and payment.address is None:
        return (
            "the bank wants a structured address, and the payee has none: town and country are "
            "owed (payees file)"
        )
    return None


def texts_of_payment(payment: Payment) -> dict[str, str]:
    """Return the texts of a payment by their field's name, without its address."""
    return {
        "end_to_end_id": payment.end_to_end_id,
        "bank_code": payment.bank_code,
        "bank_name": payment.bank_name,
        "account_number": payment.account_number,
        "account_name": payment.account_name,
        "remittance_text": payment.remittance_text,
    }


def unreadable(source: str, why: str) -> TieoutError:
    """Return the error of a payment file that does not read back."""
    return TieoutError(
        what=f"payment file {source} cannot be used",
        where=source,
        why=why,
        next_step="compare the file with the instructions of its payment date; do not send it",
    )


def unwritable(batch: Batch, why: str) -> TieoutError:
    """Return the error of a batch that cannot be written."""
    return TieoutError(
        what=f"payment file {batch.message_id} cannot be written",
        where=f"reference.payout_rails, rail {batch.debtor.rail}",
        why=why,
        next_step=(
            "have the payee corrected (a new version) and land the platform's file; where attempts "
            f"are stored already: tieout undo-payment ask {batch.payment_date} --by NAME "
            "--reason TEXT"
        ),
    )
