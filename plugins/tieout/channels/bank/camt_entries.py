"""Entries (Ntry) and details (TxDtls), which camt.053 and camt.054 share.

Format: docs/formats/camt053.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import polars as pl

from tieout.channels.bank.iso20022 import (
    XML_BLANKS,
    Element,
    Money,
    child,
    children,
    day_of,
    decimal_minor,
    find,
    is_true,
    local_name,
    money_of,
    own_text,
    signed_money_of,
    text_of,
    unread_day,
    unread_money,
)
from tieout.channels.bank.texts import counterparty_shown, remittance_shown
from tieout.channels.common.amounts import amount_shown
from tieout.channels.common.excerpts import masked_excerpt
from tieout.channels.common.model import BadRow, FileContext, Findings, Vault

__all__ = ["DETAIL_SCHEMA", "ENTRY_SCHEMA", "ENTRY_STATES", "EntryReader", "Row"]

Row = dict[str, Any]

ENTRY_STATES = ("BOOK", "PDNG", "INFO", "FUTR")
# lxml says 65535 of every line behind that one.
_LINES_MAX = 65_535
# A returned transfer by its ISO bank transaction code: PMNT/ICDT/RRTN and its like.
_RETURN_SUB_FAMILIES = ("RRTN", "RRCT", "UPCT")
# Elements that have one of few words.
_WORDS = {"CdtDbtInd": ("CRDT", "DBIT"), "RvslInd": ("true", "false", "1", "0")}

ENTRY_SCHEMA: dict[str, Any] = {
    "line_number": pl.Int32,
    "entry_reference": pl.String,
    "booking_date": pl.Date,
    "value_date": pl.Date,
    "currency_code": pl.String,
    "amount_minor": pl.Int64,
    "charge_amount_minor": pl.Int64,
    "is_reversal": pl.Boolean,
    "is_return": pl.Boolean,
    "bank_transaction_code": pl.String,
    "counterparty_name": pl.String,
    "counterparty_account_token": pl.String,
    "end_to_end_id": pl.String,
    "remittance_text": pl.String,
    "batch_message_id": pl.String,
    "detail_count": pl.Int32,
}
DETAIL_SCHEMA: dict[str, Any] = {
    "line_number": pl.Int32,
    "detail_number": pl.Int32,
    "amount_minor": pl.Int64,
    "charge_amount_minor": pl.Int64,
    "end_to_end_id": pl.String,
    "counterparty_name": pl.String,
    "counterparty_account_token": pl.String,
    "remittance_text": pl.String,
    "return_reason_code": pl.String,
}


class EntryReader:
    """Collects the entries and details of one file, and what is wrong with them.

    `line_number` of a row is the ordinal of the entry in the file; a finding has the line of the
    XML and names the entry in its reason. Details that carry no amount, each of them, have none
    where `allows_unknown_amounts`, and are a finding elsewhere.
    """

    def __init__(
        self, context: FileContext, findings: Findings, *, allows_unknown_amounts: bool = False
    ) -> None:
        self.row_count = 0
        self._entry_number = 0
        self._vault = context.vault
        self._block_rows = context.block_rows
        self._findings = findings
        self._allows_unknown_amounts = allows_unknown_amounts
        # Of the block at hand.
        self._lines: list[Row] = []
        self._details: list[Row] = []
        self._entry: Element = None
        self._unknown_currencies: set[str] = set()

    def begin(self, entry: Element) -> None:
        """Go on to the next entry of the file."""
        self._entry_number += 1
        self._entry = entry

    @property
    def has_block(self) -> bool:
        """Say whether there are as many entries or details as a block has."""
        return max(len(self._lines), len(self._details)) >= self._block_rows

    def take_block(self, line_schema: Mapping[str, Any]) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return the entries and the details that were read since the last block."""
        lines = pl.DataFrame(self._lines, schema=line_schema, orient="row")
        details = pl.DataFrame(self._details, schema=DETAIL_SCHEMA, orient="row")
        self._lines, self._details = [], []
        return lines, details

    def state_of(self, entry: Element) -> str | None:
        """Return BOOK, PDNG, INFO or FUTR, in the text of Sts or in its Cd; None is flagged."""
        state = text_of(entry, "Sts/Cd") or text_of(entry, "Sts")
        if state in ENTRY_STATES:
            return state
        found = masked_excerpt(state or "")
        reason = f"Sts is '{found}'; it has to be {', '.join(ENTRY_STATES)}"
        self.flag("Sts", "unknown_code", reason)
        return None

    def read(self, entry: Element, common: Row, *, needs_booking_date: bool) -> Row | None:
        """Add an entry and its details; return its row, or None where it has no amount.

        RvslInd never turns the sign: CdtDbtInd is already the real direction.
        """
        money = signed_money_of(entry)
        if isinstance(money, tuple):
            self.flag("Ntry", *money)
            return None
        booking_date = self._day(entry, "BookgDt")
        if booking_date is None and needs_booking_date and unread_day(entry, "BookgDt") is None:
            self.flag("BookgDt", "missing_value", "a booked entry has to have its date")
        self._flag_unread(entry)
        details = [
            detail for group in children(entry, "NtryDtls") for detail in children(group, "TxDtls")
        ]
        is_return = _is_return(entry, details)
        self._read_details(entry, details, money, is_return=is_return)
        only = details[0] if len(details) == 1 else None
        other = _Counterparty(self._vault, only, money.amount_minor, is_return=is_return)
        row = {
            "line_number": self._entry_number,
            **common,
            "entry_reference": text_of(entry, "AcctSvcrRef") or text_of(entry, "NtryRef"),
            "booking_date": booking_date,
            "value_date": self._day(entry, "ValDt"),
            "currency_code": money.currency_code,
            "amount_minor": money.amount_minor,
            "charge_amount_minor": _charges(entry, details, money.currency_code),
            "is_reversal": is_true(entry, "RvslInd"),
            "is_return": is_return,
            "bank_transaction_code": _transaction_code(entry),
            "counterparty_name": other.name,
            "counterparty_account_token": other.account_token,
            "end_to_end_id": _end_to_end_id(only),
            "remittance_text": remittance_shown(
                _line_remittance(entry, only), is_payee=other.is_payee or is_return
            ),
            "batch_message_id": _batch_message_id(entry, details),
            "detail_count": len(details),
        }
        self._lines.append(row)
        self.row_count += 1
        return row

    def flag(self, field: str, reason_code: str, reason: str) -> None:
        """Add a finding about the entry at hand; an unknown currency is one finding a file."""
        if reason_code == "unknown_currency" and self.knows_of_currency(reason):
            return
        line = int(getattr(self._entry, "sourceline", 0) or 0)
        # The XML library counts no further.
        line = line if line < _LINES_MAX else 0
        reason = f"entry {self._entry_number} (Ntry): {reason}"
        self._findings.add(BadRow(line, field, reason_code, reason))

    def knows_of_currency(self, reason: str) -> bool:
        """Say whether an unknown currency was flagged before; from now on it was."""
        is_known = reason in self._unknown_currencies
        self._unknown_currencies.add(reason)
        return is_known

    def _flag_unread(self, entry: Element) -> None:
        """Flag each amount, sign and boolean inside that cannot be read: none is passed over."""
        for element in entry.iter():
            name = local_name(element)
            if element.get("Ccy") is not None and money_of(element) is None:
                self.flag(name, *unread_money(element))
                continue
            wanted = _WORDS.get(name)
            text = own_text(element) if wanted is not None else ""
            if wanted is not None and text not in wanted:
                reason = f"{name} is '{masked_excerpt(text)}'; it has to be {' or '.join(wanted)}"
                self.flag(name, "unknown_code", reason)

    def _day(self, entry: Element, name: str) -> date | None:
        """Return the day of an element of the entry; one in another form is flagged."""
        day = day_of(entry, name)
        reason = unread_day(entry, name) if day is None else None
        if reason is not None:
            self.flag(name, "not_a_date", reason)
        return day

    def _read_details(
        self, entry: Element, details: list[Element], money: Money, *, is_return: bool
    ) -> None:
        """Read TxDtls; their amounts have to add up to the entry's."""
        amounts = self._detail_amounts(details, money)
        for ordinal, (detail, amount) in enumerate(zip(details, amounts, strict=True), start=1):
            sign_of = money.amount_minor if amount is None else amount
            other = _Counterparty(self._vault, detail, sign_of, is_return=is_return)
            self._details.append(
                {
                    "line_number": self._entry_number,
                    "detail_number": ordinal,
                    "amount_minor": amount,
                    "charge_amount_minor": _charges_of(detail, money.currency_code),
                    "end_to_end_id": _end_to_end_id(detail),
                    "counterparty_name": other.name,
                    "counterparty_account_token": other.account_token,
                    "remittance_text": remittance_shown(
                        _remittance(detail), is_payee=other.is_payee or is_return
                    ),
                    "return_reason_code": _return_reason(detail),
                }
            )
        self._check_batches(entry, amounts, money)
        known = [amount for amount in amounts if amount is not None]
        if len(known) < len(amounts) or not known:
            return
        missing = money.amount_minor - sum(known)
        # A credit may be booked after the bank took its charge: then the charge is the difference.
        if missing not in {0, _charges(entry, details, money.currency_code) or 0}:
            shown = amount_shown(sum(known), money.currency_code)
            of_entry = amount_shown(money.amount_minor, money.currency_code)
            self.flag(
                "TxDtls", "wrong_total", f"the details sum to {shown}, the entry is {of_entry}"
            )

    def _detail_amounts(self, details: list[Element], money: Money) -> list[int | None]:
        """Return each detail's signed amount in the entry's currency."""
        if len(details) == 1 and not _states_amount(details[0], money.currency_code):
            return [money.amount_minor]
        amounts = [_detail_amount(detail, money) for detail in details]
        none_is_stated = not any(_states_amount(detail, money.currency_code) for detail in details)
        if none_is_stated and self._allows_unknown_amounts:
            return amounts
        for ordinal, amount in enumerate(amounts, start=1):
            if amount is None:
                reason = f"detail {ordinal} has no amount in the currency of its entry"
                self.flag("TxDtls", "not_an_amount", reason)
        return amounts

    def _check_batches(self, entry: Element, amounts: list[int | None], money: Money) -> None:
        """Compare NbOfTxs and TtlAmt of each batch with its details, where there are details.

        A batch without details is a legal summary, and a single TxDtls may stand for a whole one.
        """
        position = 0
        for group in children(entry, "NtryDtls"):
            count = sum(1 for _ in children(group, "TxDtls"))
            of_group = amounts[position : position + count]
            position += count
            if count > 1:
                declared = text_of(group, "Btch/NbOfTxs")
                if declared is not None and decimal_minor(declared, exponent=0) != count:
                    reason = f"it says '{masked_excerpt(declared)}', there are {count} details"
                    self.flag("NbOfTxs", "wrong_total", reason)
            total = find(group, "Btch/TtlAmt")
            if total is None or not of_group or None in of_group:
                continue
            stated = money_of(total)
            if stated is None:
                self.flag("TtlAmt", *unread_money(total))
            elif stated.currency_code == money.currency_code and stated.amount_minor != abs(
                sum(amount for amount in of_group if amount is not None)
            ):
                self.flag("TtlAmt", "wrong_total", "it is not the sum of the batch's details")


class _Counterparty:
    """The other side of an entry or detail: the debtor of a credit, the creditor of a debit.

    A return keeps the parties of the payment that came back. Channels are companies and stay in
    the clear, so that their lines are recognised by name. The other side of a payout (a debit
    under an end-to-end id of ours) or of its return is a payee: their names are masked. Account
    numbers become tokens, whoever's they are.
    """

    def __init__(
        self, vault: Vault, detail: Element | None, amount_minor: int, *, is_return: bool
    ) -> None:
        self.name: str | None = None
        self.account_token: str | None = None
        self.is_payee = is_return
        if detail is None:
            return
        self.is_payee = is_return or (amount_minor < 0 and _end_to_end_id(detail) is not None)
        side = "Dbtr" if amount_minor >= 0 and not is_return else "Cdtr"
        paths = ("Nm", "Pty/Nm", "Agt/FinInstnId/Nm")
        names = (text_of(detail, f"RltdPties/{side}/{path}") for path in paths)
        self.name = counterparty_shown(next(filter(None, names), None), is_payee=self.is_payee)
        account = text_of(detail, f"RltdPties/{side}Acct/Id/IBAN") or text_of(
            detail, f"RltdPties/{side}Acct/Id/Othr/Id"
        )
        if account is not None:
            (self.account_token,) = vault.account_tokens([account])


def _amount_elements(detail: Element) -> list[Element]:
    """Return a detail's amounts, the nearest first. Version .02 has them in AmtDtls only."""
    paths = ("Amt", "AmtDtls/TxAmt/Amt", "AmtDtls/InstdAmt/Amt", "AmtDtls/CntrValAmt/Amt")
    return [found for path in paths if (found := find(detail, path)) is not None]


def _states_amount(detail: Element, currency_code: str) -> bool:
    return any(amount.get("Ccy") == currency_code for amount in _amount_elements(detail))


def _detail_amount(detail: Element, entry: Money) -> int | None:
    """Return a detail's signed amount in the entry's currency."""
    for element in _amount_elements(detail):
        if element.get("Ccy") != entry.currency_code:
            continue
        money = money_of(element)
        indicator = text_of(detail, "CdtDbtInd")
        if money is None or money.amount_minor < 0 or indicator not in {None, "CRDT", "DBIT"}:
            return None
        is_credit = indicator == "CRDT" if indicator else entry.amount_minor >= 0
        return money.amount_minor if is_credit else -money.amount_minor
    return None


def _charges(entry: Element, details: list[Element], currency_code: str) -> int | None:
    """Return the charges the bank states, of the entry or else of its details; credit positive."""
    own = _charges_of(entry, currency_code)
    if own is not None:
        return own
    of_details = [_charges_of(detail, currency_code) for detail in details]
    known = [charge for charge in of_details if charge is not None]
    return sum(known) if known else None


def _charges_of(element: Element, currency_code: str) -> int | None:
    """Return the sum of Chrgs in the account's currency; None where none is stated.

    Version .02 repeats Chrgs, later ones have one Chrgs with Rcrd. Without CdtDbtInd a charge is
    taken from us.
    """
    found: list[int] = []
    for charge in children(element, "Chrgs"):
        records = list(children(charge, "Rcrd")) or [charge]
        for record in records:
            amount = child(record, "Amt")
            if amount is None:
                amount = child(record, "TtlChrgsAndTaxAmt")
            money = money_of(amount) if amount is not None else None
            if money is not None and money.currency_code == currency_code:
                is_credit = text_of(record, "CdtDbtInd") == "CRDT"
                found.append(money.amount_minor if is_credit else -money.amount_minor)
    return sum(found) if found else None


def _transaction_code(element: Element) -> str | None:
    parts = ("Cd", "Fmly/Cd", "Fmly/SubFmlyCd")
    domain = [text_of(element, f"BkTxCd/Domn/{path}") for path in parts]
    if all(domain):
        return "/".join(part for part in domain if part)
    return text_of(element, "BkTxCd/Prtry/Cd")


def _is_return(entry: Element, details: list[Element]) -> bool:
    """Say whether a payment came back: by its code or its return information, never by RvslInd."""
    for element in (entry, *details):
        if text_of(element, "BkTxCd/Domn/Fmly/SubFmlyCd") in _RETURN_SUB_FAMILIES:
            return True
    return any(child(detail, "RtrInf") is not None for detail in details)


def _return_reason(detail: Element) -> str | None:
    return text_of(detail, "RtrInf/Rsn/Cd") or text_of(detail, "RtrInf/Rsn/Prtry")


def _line_remittance(entry: Element, only_detail: Element | None) -> str | None:
    """Return what the line is for; the text of a batch is the entry's own."""
    own = text_of(entry, "AddtlNtryInf")
    is_batch = find(entry, "NtryDtls/Btch") is not None
    return (own or _remittance(only_detail)) if is_batch else (_remittance(only_detail) or own)


def _end_to_end_id(detail: Element | None) -> str | None:
    if detail is None:
        return None
    reference = text_of(detail, "Refs/EndToEndId")
    return None if reference == "NOTPROVIDED" else reference


def _remittance(detail: Element | None) -> str | None:
    """Return the free text, else the structured references, else what the bank adds."""
    if detail is None:
        return None
    texts: list[str | None] = []
    for information in children(detail, "RmtInf"):
        texts += [(part.text or "").strip(XML_BLANKS) for part in children(information, "Ustrd")]
        if not any(texts):
            texts += [
                text_of(part, "CdtrRefInf/Ref") or text_of(part, "CdtrRefInf/CdtrRef")
                for part in children(information, "Strd")
            ]
    return " ".join(filter(None, texts)) or text_of(detail, "AddtlTxInf")


def _batch_message_id(entry: Element, details: list[Element]) -> str | None:
    reference = text_of(entry, "NtryDtls/Btch/MsgId")
    if reference is None and details:
        references = {text_of(detail, "Refs/MsgId") for detail in details}
        reference = references.pop() if len(references) == 1 else None
    return reference
