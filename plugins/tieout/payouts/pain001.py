"""The payment file pain.001, 001.09 or 001.03 (customer credit transfer initiation): write, read.

Elements and their order are those of the public schema of ISO 20022 (``docs/formats``). The same
batch gives the same bytes: nothing in a file depends on the clock or on the order of a query.
"""

from __future__ import annotations

from datetime import date
from typing import Final

from lxml import etree

from tieout.channels.common import safe_xml
from tieout.channels.common.model import UnreadableFileError
from tieout.core.money import decimal_text, minor_units
from tieout.core.payment_texts import why_unwritable
from tieout.payouts import batches
from tieout.payouts.batches import Address, Batch, Debtor, Payment, ReadBatch, ReadPayment
from tieout.payouts.elements import CLEARING_SYSTEM, add, add_agent, to_bytes

__all__ = [
    "MESSAGE_NAMES",
    "Address",
    "Batch",
    "Debtor",
    "Payment",
    "ReadBatch",
    "ReadPayment",
    "read",
    "why_payment_unwritable",
    "write",
]

MESSAGE_NAMES: Final = ("pain.001.001.09", "pain.001.001.03")
"""The versions written, the usual one first. They differ in the namespace and ReqdExctnDt only, of
what we write: neither has a BIC of ours, since Chinese banks are named by their CNAPS code."""
_NAMESPACE_PREFIX: Final = "urn:iso:std:iso:20022:tech:xsd:"

# Payout files of a payment date carry this time of day: the decision to pay is a morning's work,
# and a real clock would make two runs of the same batch differ.
CREATED_TIME_OF_DAY: Final = "10:30:00+08:00"
_ADDRESS_ELEMENTS: Final = {
    "street": "StrtNm",
    "building": "BldgNb",
    "post_code": "PstCd",
    "town": "TwnNm",
    "country_code": "Ctry",
}


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
    initiation = add(document, "CstmrCdtTrfInitn")

    header = add(initiation, "GrpHdr")
    add(header, "MsgId", batch.message_id)
    add(header, "CreDtTm", f"{batch.payment_date.isoformat()}T{CREATED_TIME_OF_DAY}")
    add(header, "NbOfTxs", count)
    add(header, "CtrlSum", control_sum)
    add(add(header, "InitgPty"), "Nm", batch.debtor.name)

    information = add(initiation, "PmtInf")
    add(information, "PmtInfId", batch.message_id)
    add(information, "PmtMtd", "TRF")
    # One debit for the whole file: the bank statement then shows one line with the payments below
    # it.
    add(information, "BtchBookg", "true")
    add(information, "NbOfTxs", count)
    add(information, "CtrlSum", control_sum)
    if batch.debtor.message_name == "pain.001.001.03":
        add(information, "ReqdExctnDt", batch.payment_date.isoformat())
    else:
        add(add(information, "ReqdExctnDt"), "Dt", batch.payment_date.isoformat())
    add(add(information, "Dbtr"), "Nm", batch.debtor.name)
    account = add(information, "DbtrAcct")
    add(add(add(account, "Id"), "Othr"), "Id", batch.debtor.bank_account_id)
    add(account, "Ccy", batch.currency_code)
    add_agent(information, "DbtrAgt", batch.debtor.bank_code, batch.debtor.bank_name)
    add(information, "ChrgBr", "DEBT")
    for payment in batch.payments:
        _add_payment(information, payment)
    return to_bytes(document)


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
        raise batches.unreadable(source, f"the root element is {root.tag}, not a {known} Document")
    blocks = root.findall("{*}CstmrCdtTrfInitn/{*}PmtInf")
    if len(blocks) != 1:
        raise batches.unreadable(source, f"it has {len(blocks)} PmtInf elements instead of one")
    information = blocks[0]
    header = _find(root, "CstmrCdtTrfInitn/GrpHdr", source)
    payments = tuple(
        _read_payment(element, source) for element in information.findall("{*}CdtTrfTxInf")
    )
    currencies = {payment.currency_code for payment in payments}
    if len(currencies) != 1:
        raise batches.unreadable(
            source, f"it has payments in {sorted(currencies)}: one currency expected"
        )
    (currency_code,) = currencies
    total_minor = sum(payment.amount_minor for payment in payments)
    for block in (header, information):
        stated_count = int(_text(block, "NbOfTxs", source))
        stated_minor = minor_units(_text(block, "CtrlSum", source), currency_code)
        if (stated_count, stated_minor) != (len(payments), total_minor):
            raise batches.unreadable(
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
        raise batches.unreadable(source, f"{error.why} ({error.reason_code})") from None


def _check(batch: Batch) -> None:
    if batch.debtor.message_name not in MESSAGE_NAMES:
        raise batches.unwritable(
            batch,
            f"{batch.debtor.message_name} is none of {', '.join(MESSAGE_NAMES)} "
            "(reference.bank_accounts, payment_message)",
        )
    batches.check(batch, why_payment_unwritable)
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
            raise batches.unwritable(batch, f"what it says of itself and of our account: {why}")


def why_payment_unwritable(payment: Payment) -> str | None:
    """Say which text of a payment no payment file can hold, or None."""
    texts = batches.texts_of_payment(payment) | _texts_of_address(payment.address)
    reasons = (why_unwritable(field, text) for field, text in texts.items())
    return next((reason for reason in reasons if reason is not None), None)


def _add_payment(information: etree._Element, payment: Payment) -> None:
    transfer = add(information, "CdtTrfTxInf")
    identification = add(transfer, "PmtId")
    add(identification, "InstrId", payment.end_to_end_id)
    add(identification, "EndToEndId", payment.end_to_end_id)
    amount = add(
        add(transfer, "Amt"),
        "InstdAmt",
        decimal_text(payment.amount_minor, payment.currency_code),
    )
    amount.set("Ccy", payment.currency_code)
    add_agent(transfer, "CdtrAgt", payment.bank_code, payment.bank_name)
    creditor = add(transfer, "Cdtr")
    add(creditor, "Nm", payment.account_name)
    if payment.address is not None:
        _add_address(creditor, payment.address)
    account = add(transfer, "CdtrAcct")
    add(add(add(account, "Id"), "Othr"), "Id", payment.account_number)
    add(add(transfer, "RmtInf"), "Ustrd", payment.remittance_text)


def _texts_of_address(address: Address | None) -> dict[str, str]:
    """Return the texts of an address by their field's name; those that are not known are absent."""
    if address is None:
        return {}
    texts = {
        "street": address.street,
        "building": address.building,
        "post_code": address.post_code,
        "town": address.town,
        "country_code": address.country_code,
    }
    return {field: text for field, text in texts.items() if text is not None}


def _add_address(parent: etree._Element, address: Address) -> None:
    """Add the structured address: elements that both versions have, in the order of both."""
    element = add(parent, "PstlAdr")
    for field, text in _texts_of_address(address).items():
        add(element, _ADDRESS_ELEMENTS[field], text)


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
        raise batches.unreadable(source, f"element {path} is missing")
    return found


def _text(parent: etree._Element, path: str, source: str) -> str:
    text = _find(parent, path, source).text
    if not text:
        raise batches.unreadable(source, f"element {path} is empty")
    return str(text)


def _date(parent: etree._Element, path: str, source: str) -> date:
    text = _text(parent, path, source)
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise batches.unreadable(source, f"element {path} is no date") from None
