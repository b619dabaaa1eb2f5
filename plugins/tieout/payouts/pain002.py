"""The status report pain.002 (payment status report), any version: read it into what it claims.

The forms of .03 and .10 are known from their schemas; elements that matter here are the same.

The namespace's version is not fixed: banks answer a .09 order with .03 or .10 reports. A status
code this page does not list is an error: an unknown code never becomes a default.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Final

from lxml import etree

from tieout.channels.bank.texts import remittance_shown
from tieout.channels.common import safe_xml
from tieout.channels.common.model import UnreadableFileError
from tieout.core.errors import TieoutError
from tieout.core.money import minor_units
from tieout.payouts.reports import StatusReport, TransactionStatus
from tieout.payouts.states import State

# National variants add to the name: http://…/pain.002.001.03.ch.02.xsd (Switzerland).
_NAMESPACE = re.compile(r"(?:.*[:/])?pain\.002\.001\.[0-9]{2}(?:\..+)?")

TRANSACTION_STATES: Final[Mapping[str, State | None]] = {
    "ACSC": "paid",
    "ACCC": "paid",
    "RCVD": None,
    "ACTC": "accepted",
    "ACCP": "accepted",
    "ACSP": "accepted",
    "ACWC": "accepted",
    "PDNG": "accepted",
    "RJCT": "failed",
}
"""What a transaction status means for the attempt; None is known and changes nothing."""

GROUP_STATES: Final[Mapping[str, State | None]] = {
    "RCVD": None,
    "PART": None,
    "ACTC": "accepted",
    "ACCP": "accepted",
    "ACSP": "accepted",
    "ACWC": "accepted",
    "PDNG": None,
    # A group that is settled says so of each of its payments, but only a line or a debit names one:
    # "settled" for a whole file is taken as accepted, and the bank statement proves the payment.
    "ACSC": "accepted",
    "RJCT": "failed",
}
"""What a group's or payment information's status means for payments without a line of their own."""


def read(content: bytes, source: str) -> StatusReport:
    """Read a status report, bare or alone in a ZIP; ``source`` names the file in errors.

    Raises:
        TieoutError: not this format, a missing element, or a status code that is not known.
    """
    root = _root(content, source)
    namespace = etree.QName(root).namespace or ""
    if not _NAMESPACE.fullmatch(namespace):
        raise _unreadable(source, f"its namespace is {namespace or 'missing'}, not a pain.002")
    reader = _Reader(namespace, source)
    report = reader.required(root, "CstmrPmtStsRpt")
    group = reader.required(report, "OrgnlGrpInfAndSts")
    group_code = reader.text(group, "GrpSts")
    group_state = None
    if group_code is not None:
        group_state = _state(GROUP_STATES, group_code, "group", source)
    group_reason_code, _ = reader.reason(group)
    transactions: list[TransactionStatus] = []
    information_codes: set[str] = set()
    for information in reader.all(report, "OrgnlPmtInfAndSts"):
        lines = reader.all(information, "TxInfAndSts")
        information_code = reader.text(information, "PmtInfSts")
        if information_code is not None:
            state = _state(GROUP_STATES, information_code, "payment information", source)
            information_codes.add(information_code)
            if len(information_codes) > 1:
                raise _unreadable(source, "payment informations differ in status; we send one")
            reason_code, _ = reader.reason(information)
            if state is not None:
                # Our files have one payment information, so its status is that of the group, and
                # the nearer one.
                group_code, group_state = information_code, state
                group_reason_code = reason_code or group_reason_code
        transactions.extend(_transaction(reader, line, source) for line in lines)
    stated_count = reader.text(group, "OrgnlNbOfTxs")
    return StatusReport(
        message_id=reader.required_text(report, "GrpHdr/MsgId"),
        created_on=_created_on(reader.text(report, "GrpHdr/CreDtTm"), source),
        original_message_id=reader.required_text(group, "OrgnlMsgId"),
        original_payment_count=_count(stated_count, source),
        group_status_code=group_code,
        group_state=group_state,
        group_reason_code=group_reason_code,
        transactions=tuple(transactions),
    )


def _created_on(text: str | None, source: str) -> date | None:
    """Return the date of a CreDtTm as it is written, whatever its time zone."""
    if text is None:
        return None
    try:
        return date.fromisoformat(text.strip()[:10])
    except ValueError:
        raise _unreadable(source, "its CreDtTm does not begin with a date") from None


class _Reader:
    """Paths without the namespace, with errors that name the file."""

    def __init__(self, namespace: str, source: str) -> None:
        self._namespace = namespace
        self._source = source

    def all(self, parent: etree._Element, path: str) -> list[etree._Element]:
        steps = (f"{{{self._namespace}}}{name}" for name in path.split("/"))
        return list(parent.findall("/".join(steps)))

    def required(self, parent: etree._Element, path: str) -> etree._Element:
        found = self.all(parent, path)
        if not found:
            raise _unreadable(self._source, f"element {path} is missing")
        return found[0]

    def text(self, parent: etree._Element, path: str) -> str | None:
        found = self.all(parent, path)
        return str(found[0].text) if found and found[0].text else None

    def required_text(self, parent: etree._Element, path: str) -> str:
        text = self.text(parent, path)
        if text is None:
            raise _unreadable(self._source, f"element {path} is missing or empty")
        return text

    def reason(self, parent: etree._Element) -> tuple[str | None, str | None]:
        """Return the reason code (coded or proprietary) and the additional text."""
        code = self.text(parent, "StsRsnInf/Rsn/Cd") or self.text(parent, "StsRsnInf/Rsn/Prtry")
        texts = [
            str(element.text) for element in self.all(parent, "StsRsnInf/AddtlInf") if element.text
        ]
        # A bank may repeat the payee's account, or any other number, in its words.
        return code, remittance_shown(" ".join(texts) or None, is_payee=True)


def _transaction(reader: _Reader, line: etree._Element, source: str) -> TransactionStatus:
    status_code = reader.required_text(line, "TxSts")
    reason_code, detail = reader.reason(line)
    amounts = reader.all(line, "OrgnlTxRef/Amt/InstdAmt")
    currency_code = str(amounts[0].get("Ccy")) if amounts else None
    # We write the same id as InstrId and EndToEndId; the bank has to repeat one of them.
    identifier = reader.text(line, "OrgnlEndToEndId") or reader.text(line, "OrgnlInstrId")
    if identifier is None:
        raise _unreadable(source, "a payment has neither OrgnlEndToEndId nor OrgnlInstrId")
    return TransactionStatus(
        end_to_end_id=identifier,
        status_code=status_code,
        state=_state(TRANSACTION_STATES, status_code, "transaction", source),
        reason_code=reason_code,
        detail=detail,
        amount_minor=(
            minor_units(amounts[0].text or "", currency_code) if currency_code is not None else None
        ),
        currency_code=currency_code,
    )


def _root(content: bytes, source: str) -> etree._Element:
    try:
        return safe_xml.packed_root(content)
    except UnreadableFileError as error:
        raise _unreadable(source, f"{error.why} ({error.reason_code})") from None


def _count(text: str | None, source: str) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise _unreadable(source, "OrgnlNbOfTxs is no number")
    return int(text)


def _state(table: Mapping[str, State | None], code: str, level: str, source: str) -> State | None:
    if code not in table:
        raise _unreadable(source, f"{level} status {code!r} is not a known code")
    return table[code]


def _unreadable(source: str, why: str) -> TieoutError:
    return TieoutError(
        what=f"status report {source} cannot be used",
        where=source,
        why=why,
        next_step="ask the bank what it means; the payouts concerned keep their state until then",
    )
