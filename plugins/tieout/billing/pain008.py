"""The direct-debit file pain.008.001.02 (customer direct debit initiation): write, read.

Elements and their order are those of the public schema of ISO 20022 (docs/formats/pain008.md). The
same batch gives the same bytes: nothing depends on the clock or on the order of a query.
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
from tieout.payouts.elements import add, add_agent, to_bytes

__all__ = ["MESSAGE_NAME", "Creditor", "Debit", "DebitBatch", "ReadDebit", "read", "write"]

MESSAGE_NAME: Final = "pain.008.001.02"
NAMESPACE: Final = f"urn:iso:std:iso:20022:tech:xsd:{MESSAGE_NAME}"
# As with pain.001: a real clock would make two runs of the same batch differ.
CREATED_TIME_OF_DAY: Final = "14:30:00+08:00"
DEBITS_PER_FILE_MAX: Final = 20_000
AMOUNT_DIGITS_MAX: Final = 18


@dataclass(frozen=True)
class Creditor:
    """Our fee account, which debits are credited to."""

    name: str
    bank_account_id: str
    bank_code: str
    bank_name: str


@dataclass(frozen=True)
class Debit:
    """One debit by a mandate. Account number and name are clear text: never logged, never kept."""

    end_to_end_id: str
    amount_minor: int
    bank_code: str
    bank_name: str
    account_number: str
    account_name: str
    mandate_reference: str
    signed_on: date

    def __repr__(self) -> str:
        """Show what may be shown: no account number, no name."""
        return f"Debit({self.end_to_end_id}, {self.amount_minor} minor units)"


@dataclass(frozen=True)
class DebitBatch:
    """One file: debits of one day and one currency."""

    message_id: str
    collected_on: date
    currency_code: str
    creditor: Creditor
    debits: tuple[Debit, ...]


@dataclass(frozen=True)
class ReadDebit:
    """What a reader of the file needs of one debit."""

    message_id: str
    end_to_end_id: str
    amount_minor: int
    currency_code: str
    account_number: str
    mandate_reference: str

    def __repr__(self) -> str:
        """Show what may be shown: no account number."""
        return f"ReadDebit({self.end_to_end_id}, {self.amount_minor} {self.currency_code})"


def write(batch: DebitBatch) -> bytes:
    """Return the file's bytes: UTF-8, two blanks of indentation, LF, debits in the order given.

    Raises:
        TieoutError: no debit, too many, an amount not above zero or with too many digits, an
            end-to-end id used twice, or a text no payment file can hold.
    """
    _check(batch)
    control_sum = decimal_text(sum(each.amount_minor for each in batch.debits), batch.currency_code)
    count = str(len(batch.debits))
    document = etree.Element(f"{{{NAMESPACE}}}Document", nsmap={None: NAMESPACE})
    initiation = add(document, "CstmrDrctDbtInitn")

    header = add(initiation, "GrpHdr")
    add(header, "MsgId", batch.message_id)
    add(header, "CreDtTm", f"{batch.collected_on.isoformat()}T{CREATED_TIME_OF_DAY}")
    add(header, "NbOfTxs", count)
    add(header, "CtrlSum", control_sum)
    add(add(header, "InitgPty"), "Nm", batch.creditor.name)

    information = add(initiation, "PmtInf")
    add(information, "PmtInfId", batch.message_id)
    add(information, "PmtMtd", "DD")
    # A line of the statement for each debit: each is collected by its own.
    add(information, "BtchBookg", "false")
    add(information, "NbOfTxs", count)
    add(information, "CtrlSum", control_sum)
    add(information, "ReqdColltnDt", batch.collected_on.isoformat())
    add(add(information, "Cdtr"), "Nm", batch.creditor.name)
    account = add(information, "CdtrAcct")
    add(add(add(account, "Id"), "Othr"), "Id", batch.creditor.bank_account_id)
    add(account, "Ccy", batch.currency_code)
    add_agent(information, "CdtrAgt", batch.creditor.bank_code, batch.creditor.bank_name)
    for debit in batch.debits:
        _add_debit(information, debit, batch.currency_code)
    return to_bytes(document)


def read(content: bytes, source: str) -> tuple[ReadDebit, ...]:
    """Read a file of ours and check its count and sums; ``source`` names it in errors.

    Raises:
        TieoutError: not this format, or totals that do not agree.
    """
    try:
        root = safe_xml.root(content)
    except UnreadableFileError as error:
        raise _unreadable(source, f"{error.why} ({error.reason_code})") from None
    if etree.QName(root).namespace != NAMESPACE:
        raise _unreadable(source, f"the root element is {root.tag}, not a {MESSAGE_NAME} Document")
    header = _find(root, "CstmrDrctDbtInitn/GrpHdr", source)
    information = _find(root, "CstmrDrctDbtInitn/PmtInf", source)
    message_id = _text(header, "MsgId", source)
    debits = tuple(
        _read_debit(element, message_id, source)
        for element in information.findall("{*}DrctDbtTxInf")
    )
    currencies = {debit.currency_code for debit in debits}
    if len(currencies) != 1:
        raise _unreadable(source, f"it has debits in {sorted(currencies)}: one currency expected")
    (currency_code,) = currencies
    total_minor = sum(debit.amount_minor for debit in debits)
    for block in (header, information):
        stated = (
            int(_text(block, "NbOfTxs", source)),
            minor_units(_text(block, "CtrlSum", source), currency_code),
        )
        if stated != (len(debits), total_minor):
            raise _unreadable(source, f"it states {stated} and carries {len(debits), total_minor}")
    return debits


def _check(batch: DebitBatch) -> None:
    if not 0 < len(batch.debits) <= DEBITS_PER_FILE_MAX:
        raise _unwritable(batch, f"it has {len(batch.debits)} debits")
    if len({debit.end_to_end_id for debit in batch.debits}) != len(batch.debits):
        raise _unwritable(batch, "an end-to-end id stands in it twice")
    total_minor = sum(debit.amount_minor for debit in batch.debits)
    if len(str(total_minor)) > AMOUNT_DIGITS_MAX:
        raise _unwritable(batch, f"its debits sum to more than {AMOUNT_DIGITS_MAX} digits")
    creditor = batch.creditor
    of_batch = {
        "message_id": batch.message_id,
        "account_name": creditor.name,
        "account_number": creditor.bank_account_id,
        "bank_code": creditor.bank_code,
        "bank_name": creditor.bank_name,
    }
    _refuse_texts(batch, "what it says of itself and of our account", of_batch)
    for debit in batch.debits:
        if debit.amount_minor <= 0:
            raise _unwritable(batch, f"debit {debit.end_to_end_id}: its amount is not above zero")
        _refuse_texts(
            batch,
            f"debit {debit.end_to_end_id}",
            {
                "end_to_end_id": debit.end_to_end_id,
                "account_name": debit.account_name,
                "account_number": debit.account_number,
                "bank_code": debit.bank_code,
                "bank_name": debit.bank_name,
                # A mandate's reference is a Max35Text as a message's.
                "message_id": debit.mandate_reference,
            },
        )


def _refuse_texts(batch: DebitBatch, whose: str, texts: dict[str, str]) -> None:
    for field, text in texts.items():
        why = why_unwritable(field, text)
        if why is not None:
            raise _unwritable(batch, f"{whose}: {why}")


def _add_debit(information: etree._Element, debit: Debit, currency_code: str) -> None:
    element = add(information, "DrctDbtTxInf")
    identification = add(element, "PmtId")
    add(identification, "InstrId", debit.end_to_end_id)
    add(identification, "EndToEndId", debit.end_to_end_id)
    amount = add(element, "InstdAmt", decimal_text(debit.amount_minor, currency_code))
    amount.set("Ccy", currency_code)
    mandate = add(add(element, "DrctDbtTx"), "MndtRltdInf")
    add(mandate, "MndtId", debit.mandate_reference)
    add(mandate, "DtOfSgntr", debit.signed_on.isoformat())
    add_agent(element, "DbtrAgt", debit.bank_code, debit.bank_name)
    add(add(element, "Dbtr"), "Nm", debit.account_name)
    account = add(element, "DbtrAcct")
    add(add(add(account, "Id"), "Othr"), "Id", debit.account_number)
    add(add(element, "RmtInf"), "Ustrd", f"FEEBILL {debit.end_to_end_id}")


def _read_debit(element: etree._Element, message_id: str, source: str) -> ReadDebit:
    amount = _find(element, "InstdAmt", source)
    currency_code = str(amount.get("Ccy") or "")
    return ReadDebit(
        message_id=message_id,
        end_to_end_id=_text(element, "PmtId/EndToEndId", source),
        amount_minor=minor_units(amount.text or "", currency_code),
        currency_code=currency_code,
        account_number=_text(element, "DbtrAcct/Id/Othr/Id", source),
        mandate_reference=_text(element, "DrctDbtTx/MndtRltdInf/MndtId", source),
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


def _unreadable(source: str, why: str) -> TieoutError:
    return TieoutError(
        what=f"direct-debit file {source} cannot be used",
        where=source,
        why=why,
        next_step="compare it with settlement.collections; do not send it",
    )


def _unwritable(batch: DebitBatch, why: str) -> TieoutError:
    return TieoutError(
        what=f"direct-debit file {batch.message_id} cannot be written",
        where="settlement.collections",
        why=why,
        next_step="have the payee corrected, which needs a new mandate: tieout bills mandate",
    )
