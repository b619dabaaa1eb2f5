"""The payment file pain.001, 001.09 or 001.03 (customer credit transfer initiation): write, read.

Elements and their order are those of the public schema of ISO 20022 (``docs/formats``). The same
batch gives the same bytes: nothing in a file depends on the clock or on the order of a query.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final

from lxml import etree

from tieout.channels.common import safe_xml
from tieout.channels.common.model import UnreadableFileError
from tieout.core.errors import TieoutError
from tieout.core.money import decimal_text, minor_units
from tieout.core.payment_texts import why_unwritable

MESSAGE_NAMES: Final = ("pain.001.001.09", "pain.001.001.03")
"""The versions written, the usual one first. They differ in the namespace and ReqdExctnDt only, of
what we write: neither has a BIC of ours, since Chinese banks are named by their CNAPS code."""
_NAMESPACE_PREFIX: Final = "urn:iso:std:iso:20022:tech:xsd:"
PAYMENTS_PER_FILE_MAX: Final = 3_000
"""Chinese banks' batch interfaces commonly take 3,000 to 5,000 payments in one file."""

# Payout files of a payment date carry this time of day: the decision to pay is a morning's work,
# and a real clock would make two runs of the same batch differ.
CREATED_TIME_OF_DAY: Final = "10:30:00+08:00"
CLEARING_SYSTEM: Final = "CNAPS"
AMOUNT_DIGITS_MAX: Final = 18
"""Digits of an amount and of their sum (ActiveOrHistoricCurrencyAndAmount, DecimalNumber)."""


@dataclass(frozen=True)
class Debtor:
    """The account payouts are paid from: the client-reserve account (备付金账户).

    `message_name` is the version of pain.001 that its bank takes.
    """

    name: str
    bank_account_id: str
    bank_code: str
    bank_name: str
    message_name: str = MESSAGE_NAMES[0]


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
    """A payment file as read back: the stated count and sum, checked against its payments."""

    message_name: str
    message_id: str
    payment_information_id: str
    requested_on: date
    debtor_account_id: str
    currency_code: str
    payment_count: int
    control_sum_minor: int
    payments: tuple[ReadPayment, ...]


def write(batch: Batch) -> bytes:
    """Return the file's bytes: UTF-8, two blanks of indentation, LF, total order as given.

    Raises:
        TieoutError: no payment, too many, a wrong currency, an amount not above zero or with too
            many digits, an end-to-end id used twice, or a text no payment file can hold.
    """
    _check(batch)
    control_sum = decimal_text(
        sum(payment.amount_minor for payment in batch.payments), batch.currency_code
    )
    count = str(len(batch.payments))
    namespace = _NAMESPACE_PREFIX + batch.debtor.message_name
    document = etree.Element(f"{{{namespace}}}Document", nsmap={None: namespace})
    initiation = _add(document, "CstmrCdtTrfInitn")

    header = _add(initiation, "GrpHdr")
    _add(header, "MsgId", batch.message_id)
    _add(header, "CreDtTm", f"{batch.payment_date.isoformat()}T{CREATED_TIME_OF_DAY}")
    _add(header, "NbOfTxs", count)
    _add(header, "CtrlSum", control_sum)
    _add(_add(header, "InitgPty"), "Nm", batch.debtor.name)

    information = _add(initiation, "PmtInf")
    _add(information, "PmtInfId", batch.message_id)
    _add(information, "PmtMtd", "TRF")
    # One debit for the whole file: the bank statement then shows one line with the payments below
    # it.
    _add(information, "BtchBookg", "true")
    _add(information, "NbOfTxs", count)
    _add(information, "CtrlSum", control_sum)
    if batch.debtor.message_name == "pain.001.001.03":
        _add(information, "ReqdExctnDt", batch.payment_date.isoformat())
    else:
        _add(_add(information, "ReqdExctnDt"), "Dt", batch.payment_date.isoformat())
    _add(_add(information, "Dbtr"), "Nm", batch.debtor.name)
    account = _add(information, "DbtrAcct")
    _add(_add(_add(account, "Id"), "Othr"), "Id", batch.debtor.bank_account_id)
    _add(account, "Ccy", batch.currency_code)
    _add_agent(information, "DbtrAgt", batch.debtor.bank_code, batch.debtor.bank_name)
    _add(information, "ChrgBr", "DEBT")
    for payment in batch.payments:
        _add_payment(information, payment)
    etree.indent(document, space="  ")
    return bytes(etree.tostring(document, xml_declaration=True, encoding="UTF-8")) + b"\n"


def read(content: bytes, source: str) -> ReadBatch:
    """Read a payment file of ours and check its own count and sums; ``source`` names it in errors.

    Raises:
        TieoutError: not this format, more than one payment information, or totals that do not
            agree.
    """
    root = _root(content, source)
    name = etree.QName(root)
    message_name = str(name.namespace or "").removeprefix(_NAMESPACE_PREFIX)
    if name.localname != "Document" or message_name not in MESSAGE_NAMES:
        known = " or ".join(MESSAGE_NAMES)
        raise _unreadable(source, f"the root element is {root.tag}, not a {known} Document")
    blocks = root.findall("{*}CstmrCdtTrfInitn/{*}PmtInf")
    if len(blocks) != 1:
        raise _unreadable(source, f"it has {len(blocks)} PmtInf elements instead of one")
    information = blocks[0]
    header = _find(root, "CstmrCdtTrfInitn/GrpHdr", source)
    payments = tuple(
        _read_payment(element, source) for element in information.findall("{*}CdtTrfTxInf")
    )
    currencies = {payment.currency_code for payment in payments}
    if len(currencies) != 1:
        raise _unreadable(source, f"it has payments in {sorted(currencies)}: one currency expected")
    (currency_code,) = currencies
    total_minor = sum(payment.amount_minor for payment in payments)
    for block in (header, information):
        stated_count = int(_text(block, "NbOfTxs", source))
        stated_minor = minor_units(_text(block, "CtrlSum", source), currency_code)
        if (stated_count, stated_minor) != (len(payments), total_minor):
            raise _unreadable(
                source,
                f"it states {stated_count} payments of {decimal_text(stated_minor, currency_code)}"
                f" and carries {len(payments)} of {decimal_text(total_minor, currency_code)}"
                f" {currency_code}",
            )
    execution = "ReqdExctnDt" if message_name == "pain.001.001.03" else "ReqdExctnDt/Dt"
    return ReadBatch(
        message_name=message_name,
        message_id=_text(header, "MsgId", source),
        payment_information_id=_text(information, "PmtInfId", source),
        requested_on=_date(information, execution, source),
        debtor_account_id=_text(information, "DbtrAcct/Id/Othr/Id", source),
        currency_code=currency_code,
        payment_count=len(payments),
        control_sum_minor=total_minor,
        payments=payments,
    )


def _root(content: bytes, source: str) -> etree._Element:
    try:
        return safe_xml.root(content)
    except UnreadableFileError as error:
        raise _unreadable(source, f"{error.why} ({error.reason_code})") from None


def _check(batch: Batch) -> None:
    if batch.debtor.message_name not in MESSAGE_NAMES:
        raise _unwritable(
            batch,
            f"{batch.debtor.message_name} is none of {', '.join(MESSAGE_NAMES)} "
            "(reference.bank_accounts, payment_message)",
        )
    if not 0 < len(batch.payments) <= PAYMENTS_PER_FILE_MAX:
        raise _unwritable(batch, f"it has {len(batch.payments)} payments")
    ids = {payment.end_to_end_id for payment in batch.payments}
    if len(ids) != len(batch.payments):
        raise _unwritable(batch, "an end-to-end id stands in it twice")
    for payment in batch.payments:
        if payment.currency_code != batch.currency_code:
            raise _unwritable(batch, f"payment {payment.end_to_end_id} has another currency")
        if payment.amount_minor <= 0:
            raise _unwritable(batch, f"payment {payment.end_to_end_id} is not above zero")
    total_minor = sum(payment.amount_minor for payment in batch.payments)
    if len(str(total_minor)) > AMOUNT_DIGITS_MAX:
        raise _unwritable(
            batch, f"its payments sum to more than {AMOUNT_DIGITS_MAX} digits: {total_minor}"
        )
    _check_texts(batch)


def _check_texts(batch: Batch) -> None:
    """Refuse what no payment file can hold, before anything is written."""
    debtor = batch.debtor
    of_batch = {
        "message_id": batch.message_id,
        "clearing_system": CLEARING_SYSTEM,
        "account_name": debtor.name,
        "account_number": debtor.bank_account_id,
        "bank_code": debtor.bank_code,
        "bank_name": debtor.bank_name,
    }
    for field, text in of_batch.items():
        why = why_unwritable(field, text)
        if why is not None:
            raise _unwritable(batch, f"what it says of itself and of our account: {why}")
    for payment in batch.payments:
        why = why_payment_unwritable(payment)
        if why is not None:
            raise _unwritable(batch, f"payment {payment.end_to_end_id}: {why}")


def why_payment_unwritable(payment: Payment) -> str | None:
    """Say which text of a payment no payment file can hold, or None."""
    texts = {
        "end_to_end_id": payment.end_to_end_id,
        "bank_code": payment.bank_code,
        "bank_name": payment.bank_name,
        "account_number": payment.account_number,
        "account_name": payment.account_name,
        "remittance_text": payment.remittance_text,
    }
    reasons = (why_unwritable(field, text) for field, text in texts.items())
    return next((reason for reason in reasons if reason is not None), None)


def _add_payment(information: etree._Element, payment: Payment) -> None:
    transfer = _add(information, "CdtTrfTxInf")
    identification = _add(transfer, "PmtId")
    _add(identification, "InstrId", payment.end_to_end_id)
    _add(identification, "EndToEndId", payment.end_to_end_id)
    amount = _add(
        _add(transfer, "Amt"),
        "InstdAmt",
        decimal_text(payment.amount_minor, payment.currency_code),
    )
    amount.set("Ccy", payment.currency_code)
    _add_agent(transfer, "CdtrAgt", payment.bank_code, payment.bank_name)
    _add(_add(transfer, "Cdtr"), "Nm", payment.account_name)
    account = _add(transfer, "CdtrAcct")
    _add(_add(_add(account, "Id"), "Othr"), "Id", payment.account_number)
    _add(_add(transfer, "RmtInf"), "Ustrd", payment.remittance_text)


def _add_agent(parent: etree._Element, name: str, bank_code: str, bank_name: str) -> None:
    institution = _add(_add(parent, name), "FinInstnId")
    member = _add(institution, "ClrSysMmbId")
    # CNAPS: the 12-digit bank code of China's payment system. The coded list has no entry for it
    # that is longer than three letters and China-wide, so it is named in words (Prtry).
    _add(_add(member, "ClrSysId"), "Prtry", CLEARING_SYSTEM)
    _add(member, "MmbId", bank_code)
    _add(institution, "Nm", bank_name)


def _add(parent: etree._Element, name: str, text: str | None = None) -> etree._Element:
    element = etree.SubElement(parent, f"{{{etree.QName(parent).namespace}}}{name}")
    if text is not None:
        element.text = text
    return element


def _read_payment(element: etree._Element, source: str) -> ReadPayment:
    amount = _find(element, "Amt/InstdAmt", source)
    currency_code = str(amount.get("Ccy") or "")
    return ReadPayment(
        end_to_end_id=_text(element, "PmtId/EndToEndId", source),
        amount_minor=minor_units(amount.text or "", currency_code),
        currency_code=currency_code,
        bank_code=_text(element, "CdtrAgt/FinInstnId/ClrSysMmbId/MmbId", source),
        account_number=_text(element, "CdtrAcct/Id/Othr/Id", source),
        account_name=_text(element, "Cdtr/Nm", source),
    )


def _find(parent: etree._Element, path: str, source: str) -> etree._Element:
    found = parent.find("/".join(f"{{*}}{name}" for name in path.split("/")))
    if found is None:
        raise _unreadable(source, f"element {path} is missing")
    return found


def _text(parent: etree._Element, path: str, source: str) -> str:
    text = _find(parent, path, source).text
    if not text:
        raise _unreadable(source, f"element {path} is empty")
    return str(text)


def _date(parent: etree._Element, path: str, source: str) -> date:
    text = _text(parent, path, source)
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise _unreadable(source, f"element {path} is no date") from None


def _unreadable(source: str, why: str) -> TieoutError:
    return TieoutError(
        what=f"payment file {source} cannot be used",
        where=source,
        why=why,
        next_step="compare the file with the instructions of its payment date; do not send it",
    )


def _unwritable(batch: Batch, why: str) -> TieoutError:
    return TieoutError(
        what=f"payment file {batch.message_id} cannot be written",
        where="tieout.payouts.pain001",
        why=why,
        next_step=(
            "have the payee corrected (a new version) and land the platform's file; where attempts "
            f"are stored already: tieout undo-payment ask {batch.payment_date} --by NAME "
            "--reason TEXT"
        ),
    )
