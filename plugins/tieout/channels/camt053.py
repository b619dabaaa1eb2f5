"""ISO 20022 camt.053: a bank's statement of one account (formats.md §6.1).

Versions differ in namespace and in small forms, so elements are matched by local name. Only booked
entries (BOOK) count; opening balance plus entries has to be the closing balance.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
from lxml import etree

from tieout.channels.amounts import CURRENCY_EXPONENTS, minor_units_of
from tieout.channels.model import (
    BUSINESS_TIME_ZONE,
    BadRow,
    ControlTotal,
    FileContext,
    ParsedFile,
    UnreadableFileError,
    file_problem,
)
from tieout.secrets import mask_name

__all__ = [
    "DETAILS_TABLE",
    "DETAIL_SCHEMA",
    "LINES_TABLE",
    "LINE_SCHEMA",
    "STATEMENTS_TABLE",
    "STATEMENT_SCHEMA",
    "parse",
    "safe_xml",
]

STATEMENTS_TABLE = "bank_statements"
LINES_TABLE = "bank_statement_lines"
DETAILS_TABLE = "bank_statement_line_details"

_NAMESPACE = re.compile(r"^urn:iso:std:iso:20022:tech:xsd:camt\.053\.001\.(\d{2})$")
VERSIONS = ("02", "03", "04", "06", "08")
_ENTRY_STATES = ("BOOK", "PDNG", "INFO", "FUTR")
# A returned transfer by its ISO bank transaction code: PMNT/ICDT/RRTN and its like.
_RETURN_SUB_FAMILIES = ("RRTN", "RRCT", "UPCT")

STATEMENT_SCHEMA = {
    "line_number": pl.Int32,
    "statement_id": pl.String,
    "bank_account_id": pl.String,
    "statement_date": pl.Date,
    "sequence_number": pl.Int32,
    "currency_code": pl.String,
    "opening_balance_minor": pl.Int64,
    "closing_balance_minor": pl.Int64,
    "entry_count": pl.Int32,
}
LINE_SCHEMA = {
    "line_number": pl.Int32,
    "statement_id": pl.String,
    "bank_account_id": pl.String,
    "statement_date": pl.Date,
    "entry_reference": pl.String,
    "booking_date": pl.Date,
    "value_date": pl.Date,
    "currency_code": pl.String,
    "amount_minor": pl.Int64,
    "is_reversal": pl.Boolean,
    "is_return": pl.Boolean,
    "bank_transaction_code": pl.String,
    "counterparty_name": pl.String,
    "end_to_end_id": pl.String,
    "remittance_text": pl.String,
    "batch_message_id": pl.String,
    "detail_count": pl.Int32,
}
DETAIL_SCHEMA = {
    "line_number": pl.Int32,
    "detail_number": pl.Int32,
    "amount_minor": pl.Int64,
    "end_to_end_id": pl.String,
    "counterparty_name": pl.String,
    "remittance_text": pl.String,
    "return_reason_code": pl.String,
}
Row = dict[str, Any]
# lxml's stubs are not installed: an element is Any to the type checker.
Element = Any


def parse(content: bytes, context: FileContext) -> ParsedFile:
    """Return statements, their booked lines and the lines' details; amounts signed, + = credit.

    `line_number` is the ordinal of the statement, and of the entry in the file.

    Raises:
        UnreadableFileError: no XML, an unsafe one, or not a camt.053 of a known version.
    """
    root = safe_xml(content)
    _check_version(root)
    reader = _Reader(context)
    message = _child(root, "BkToCstmrStmt")
    if message is None or _child(message, "GrpHdr") is None:
        raise UnreadableFileError("missing_element", "BkToCstmrStmt or its GrpHdr is missing")
    for element in _children(message, "Stmt"):
        reader.read_statement(element)
    if not reader.statements:
        findings = reader.bad_rows or [file_problem("missing_element", "there is no Stmt")]
        return ParsedFile({}, 0, None, bad_rows=tuple(findings))
    dates = {row["statement_date"] for row in reader.statements}
    lines = pl.DataFrame(reader.lines, schema=LINE_SCHEMA, orient="row")
    return ParsedFile(
        frames={
            STATEMENTS_TABLE: pl.DataFrame(reader.statements, schema=STATEMENT_SCHEMA),
            LINES_TABLE: lines,
            DETAILS_TABLE: pl.DataFrame(reader.details, schema=DETAIL_SCHEMA),
        },
        row_count=len(lines),
        accounting_date=dates.pop() if len(dates) == 1 else None,
        totals=tuple(reader.totals),
        declared_total_minor=reader.declared_movement_minor,
        counted_total_minor=int(lines["amount_minor"].sum()),
        bad_rows=tuple(reader.bad_rows),
    )


def safe_xml(content: bytes) -> Element:
    """Return the root of an XML that may come from anybody.

    No entity is ever expanded, no network or file is opened, and a document type is refused whole.

    Raises:
        UnreadableFileError: not well-formed, or with a document type.
    """
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False,
        huge_tree=False, remove_comments=True, remove_pis=True,
    )  # fmt: skip
    try:
        root = etree.fromstring(content, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        line_number = getattr(error, "lineno", None) or 0
        raise UnreadableFileError(
            "not_xml", "it is no well-formed XML; the file seems cut off or damaged",
            line_number=line_number,
        ) from None  # fmt: skip
    if root.getroottree().docinfo.doctype:
        raise UnreadableFileError(
            "unsafe_xml", "it declares a document type, which a bank's message never does"
        )
    return root


def _check_version(root: Element) -> None:
    namespace = etree.QName(root).namespace or ""
    match = _NAMESPACE.match(namespace)
    if match is None or etree.QName(root).localname != "Document" or match[1] not in VERSIONS:
        raise UnreadableFileError(
            "unknown_version", f"it is no camt.053.001 of {', '.join(VERSIONS)}"
        )


@dataclass(frozen=True, slots=True)
class _Money:
    amount_minor: int
    currency_code: str


class _Reader:
    """Collects one file's rows, totals and findings."""

    def __init__(self, context: FileContext) -> None:
        self.context = context
        self.statements: list[Row] = []
        self.lines: list[Row] = []
        self.details: list[Row] = []
        self.totals: list[ControlTotal] = []
        self.bad_rows: list[BadRow] = []
        self.declared_movement_minor = 0
        self._entry_number = 0

    def read_statement(self, element: Element) -> None:
        """Read one Stmt: its balances, its entries, and whether they fit together."""
        opening = self._balance(element, "OPBD") or self._balance(element, "PRCD")
        closing = self._balance(element, "CLBD")
        if opening is None or closing is None:
            self._file_problem("missing_balance", "an opening or closing balance is missing")
            return
        if len({opening.currency_code, closing.currency_code}) > 1:
            self._file_problem("mixed_currencies", "the balances are in several currencies")
        statement = self._statement_row(element, opening, closing)
        first_line = len(self.lines)
        for entry in _children(element, "Ntry"):
            self._entry_number += 1
            self._read_entry(entry, statement)
        lines = self.lines[first_line:]
        statement["entry_count"] = len(lines)
        self.statements.append(statement)
        self._compare(element, statement, lines)

    def _statement_row(self, element: Element, opening: _Money, closing: _Money) -> Row:
        account = _text(element, "Acct/Id/Othr/Id") or _text(element, "Acct/Id/IBAN")
        sequence = _text(element, "ElctrncSeqNb") or _text(element, "LglSeqNb")
        row: Row = {
            "line_number": len(self.statements) + 1,
            "statement_id": _text(element, "Id"),
            "bank_account_id": account,
            "statement_date": self._statement_date(element),
            "sequence_number": int(sequence) if sequence and sequence.isdigit() else None,
            "currency_code": opening.currency_code,
            "opening_balance_minor": opening.amount_minor,
            "closing_balance_minor": closing.amount_minor,
        }
        self._check_name(row)
        return row

    def _check_name(self, row: Row) -> None:
        """Compare account, date and sequence with the file's name."""
        parts = self.context.name_parts
        expected = {
            "bank_account_id": parts.get("bank_account_id"),
            "statement_date": self.context.accounting_date,
            "sequence_number": int(parts["sequence"]) if "sequence" in parts else None,
        }
        for name, value in expected.items():
            if row[name] is None:
                self._file_problem("missing_element", f"the statement has no {name}", field=name)
            elif value is not None and row[name] != value:
                self._file_problem(
                    "wrong_date" if name == "statement_date" else "wrong_name",
                    f"{name} inside is not the one in the file's name",
                    field=name,
                )

    def _statement_date(self, element: Element) -> date | None:
        """Return the day of the closing balance, else of the period's end."""
        for balance in _children(element, "Bal"):
            if _text(balance, "Tp/CdOrPrtry/Cd") == "CLBD":
                return _date(balance, "Dt")
        return None

    def _balance(self, element: Element, code: str) -> _Money | None:
        for balance in _children(element, "Bal"):
            if _text(balance, "Tp/CdOrPrtry/Cd") == code:
                return self._signed(balance, 0, f"balance {code}")
        return None

    def _signed(self, element: Element, line_number: int, field: str) -> _Money | None:
        """Return Amt with the sign of CdtDbtInd, or flag why there is none."""
        amount = _child(element, "Amt")
        indicator = _text(element, "CdtDbtInd")
        money = _money(amount) if amount is not None else None
        if money is None:
            reason = "it has to be an amount in a known currency, exact to the minor unit"
            self.bad_rows.append(BadRow(line_number, field, "not_an_amount", reason))
            return None
        if indicator not in {"CRDT", "DBIT"} or money.amount_minor < 0:
            reason = "CdtDbtInd gives the sign (CRDT or DBIT) of an amount that has none"
            self.bad_rows.append(BadRow(line_number, field, "wrong_sign", reason))
            return None
        return money if indicator == "CRDT" else _Money(-money.amount_minor, money.currency_code)

    def _read_entry(self, entry: Element, statement: Row) -> None:
        number = self._entry_number
        state = _text(entry, "Sts/Cd") or _text(entry, "Sts")
        if state not in _ENTRY_STATES:
            self._entry_problem("Sts", "unknown_code", "the state of an entry is not known")
            return
        if state != "BOOK":
            return
        money = self._signed(entry, number, "Ntry")
        if money is None:
            return
        if money.currency_code != statement["currency_code"]:
            self._entry_problem("Amt", "wrong_currency", "it is not the account's currency")
        booking_date = _date(entry, "BookgDt")
        if booking_date is None:
            self._entry_problem("BookgDt", "missing_value", "a booked entry has to have its date")
        details = [
            detail
            for group in _children(entry, "NtryDtls")
            for detail in _children(group, "TxDtls")
        ]
        is_return = _is_return(entry, details)
        self._read_details(entry, details, money, is_return=is_return)
        only = details[0] if len(details) == 1 else None
        self.lines.append(
            {
                "line_number": number,
                "statement_id": statement["statement_id"],
                "bank_account_id": statement["bank_account_id"],
                "statement_date": statement["statement_date"],
                "entry_reference": _text(entry, "AcctSvcrRef") or _text(entry, "NtryRef"),
                "booking_date": booking_date,
                "value_date": _date(entry, "ValDt"),
                "currency_code": money.currency_code,
                "amount_minor": money.amount_minor,
                "is_reversal": _text(entry, "RvslInd") == "true",
                "is_return": is_return,
                "bank_transaction_code": _transaction_code(entry),
                "counterparty_name": _counterparty(only, money.amount_minor, is_return=is_return)
                if only is not None
                else None,
                "end_to_end_id": _end_to_end_id(only),
                "remittance_text": _line_remittance(entry, only),
                "batch_message_id": _batch_message_id(entry, details),
                "detail_count": len(details),
            }
        )

    def _read_details(
        self, entry: Element, details: list[Element], money: _Money, *, is_return: bool
    ) -> None:
        """Read TxDtls; the sum of their amounts has to be the entry's."""
        number, total = self._entry_number, 0
        for ordinal, detail in enumerate(details, start=1):
            amount = self._detail_amount(detail, money, is_only=len(details) == 1)
            if amount is None:
                self._entry_problem("TxDtls", "not_an_amount", f"amount of detail {ordinal}")
                amount = 0
            total += amount
            self.details.append(
                {
                    "line_number": number,
                    "detail_number": ordinal,
                    "amount_minor": amount,
                    "end_to_end_id": _end_to_end_id(detail),
                    "counterparty_name": _counterparty(detail, amount, is_return=is_return),
                    "remittance_text": _remittance(detail),
                    "return_reason_code": _text(detail, "RtrInf/Rsn/Cd"),
                }
            )
        declared = _text(entry, "NtryDtls/Btch/NbOfTxs")
        # A single TxDtls may stand for a whole batch.
        if len(details) > 1 and declared and declared != str(len(details)):
            self._entry_problem("NbOfTxs", "wrong_total", f"it is not {len(details)}")
        if details and total != money.amount_minor:
            self._entry_problem(
                "TxDtls", "wrong_total", "the details do not sum to the amount of their entry"
            )

    def _detail_amount(self, detail: Element, entry: _Money, *, is_only: bool) -> int | None:
        """Return a detail's signed amount. Version .02 writes it in AmtDtls, without a sign."""
        amount = _child(detail, "Amt")
        if amount is None:
            amount = _find(detail, "AmtDtls/TxAmt/Amt")
        if amount is None:
            return entry.amount_minor if is_only else None
        money = _money(amount)
        if money is None or money.amount_minor < 0:
            return None
        if money.currency_code != entry.currency_code:
            return entry.amount_minor if is_only else None
        indicator = _text(detail, "CdtDbtInd")
        if indicator not in {None, "CRDT", "DBIT"}:
            return None
        is_credit = indicator == "CRDT" if indicator else entry.amount_minor >= 0
        return money.amount_minor if is_credit else -money.amount_minor

    def _compare(self, element: Element, statement: Row, lines: list[Row]) -> None:
        """Compare the balances, and the summary where the bank wrote one."""
        opening, closing = statement["opening_balance_minor"], statement["closing_balance_minor"]
        movement = sum(line["amount_minor"] for line in lines)
        self.declared_movement_minor += closing - opening
        self.totals.append(ControlTotal("closing_balance", closing, opening + movement))
        summary = _child(element, "TxsSummry")
        if summary is None:
            return
        for name, sign in (("TtlCdtNtries", 1), ("TtlDbtNtries", -1)):
            group = _child(summary, name)
            if group is None:
                continue
            amounts = [line["amount_minor"] * sign for line in lines]
            amounts = [amount for amount in amounts if amount > 0]
            count, total = _text(group, "NbOfNtries"), _text(group, "Sum")
            exponent = CURRENCY_EXPONENTS[statement["currency_code"]]
            if count is not None:
                self.totals.append(
                    ControlTotal(f"{name} count", minor_units_of(count, exponent=0), len(amounts))
                )
            if total is not None:
                self.totals.append(
                    ControlTotal(
                        f"{name} sum", minor_units_of(total, exponent=exponent), sum(amounts)
                    )
                )

    def _file_problem(self, reason_code: str, reason: str, *, field: str = "") -> None:
        self.bad_rows.append(file_problem(reason_code, reason, field=field))

    def _entry_problem(self, field: str, reason_code: str, reason: str) -> None:
        self.bad_rows.append(BadRow(self._entry_number, field, reason_code, reason))


# --- elements by local name -----------------------------------------------------------------------


def _children(element: Element, name: str) -> Iterator[Element]:
    for child in element:
        if etree.QName(child).localname == name:
            yield child


def _child(element: Element, name: str) -> Element | None:
    return next(_children(element, name), None)


def _find(element: Element, path: str) -> Element | None:
    """Return the first element at the path, `*` standing for any one step's name."""
    name, _, rest = path.partition("/")
    for child in _children(element, name):
        found = _find(child, rest) if rest else child
        if found is not None:
            return found
    return None


def _text(element: Element, path: str) -> str | None:
    found = _find(element, path)
    text = (found.text or "").strip() if found is not None else ""
    return text.replace("\0", "") or None


def _date(element: Element, name: str) -> date | None:
    """Return Dt, or the day of DtTm in Beijing when it states an offset."""
    text = _text(element, f"{name}/Dt")
    try:
        if text is not None:
            return date.fromisoformat(text[:10])
        moment_text = _text(element, f"{name}/DtTm")
        if moment_text is None:
            return None
        moment = datetime.fromisoformat(moment_text)
    except ValueError:
        return None
    if moment.tzinfo is not None:
        moment = moment.astimezone(ZoneInfo(BUSINESS_TIME_ZONE))
    return moment.date()


def _money(amount: Element) -> _Money | None:
    currency = str(amount.get("Ccy") or "")
    exponent = CURRENCY_EXPONENTS.get(currency)
    if exponent is None:
        return None
    minor = minor_units_of((amount.text or "").strip(), exponent=exponent)
    return None if minor is None else _Money(minor, currency)


def _transaction_code(element: Element) -> str | None:
    domain = [_text(element, f"BkTxCd/Domn/{path}") for path in ("Cd", "Fmly/Cd", "Fmly/SubFmlyCd")]
    if all(domain):
        return "/".join(part for part in domain if part)
    return _text(element, "BkTxCd/Prtry/Cd")


def _is_return(entry: Element, details: list[Element]) -> bool:
    """Say whether a payment came back: by its code or its return information, never by RvslInd."""
    for element in (entry, *details):
        if _text(element, "BkTxCd/Domn/Fmly/SubFmlyCd") in _RETURN_SUB_FAMILIES:
            return True
    return any(_child(detail, "RtrInf") is not None for detail in details)


def _counterparty(detail: Element, amount_minor: int, *, is_return: bool) -> str | None:
    """Return the other side's name: the debtor of a credit, the creditor of a debit.

    A return keeps the parties of the payment that came back. Channels are companies and stay in
    the clear, so that their lines are recognised by name. The other side of a payout (a debit
    under an end-to-end id of ours) or of its return is a payee: their names are masked.
    """
    side = "Dbtr" if amount_minor >= 0 and not is_return else "Cdtr"
    name = _text(detail, f"RltdPties/{side}/Nm") or _text(detail, f"RltdPties/{side}/Pty/Nm")
    if name is None:
        return None
    is_payout = amount_minor < 0 and _end_to_end_id(detail) is not None
    return mask_name(name) if is_return or is_payout else name


def _line_remittance(entry: Element, only_detail: Element | None) -> str | None:
    """Return what the line is for; the text of a batch is the entry's own."""
    own = _text(entry, "AddtlNtryInf")
    is_batch = _find(entry, "NtryDtls/Btch") is not None
    return (own or _remittance(only_detail)) if is_batch else (_remittance(only_detail) or own)


def _end_to_end_id(detail: Element | None) -> str | None:
    if detail is None:
        return None
    reference = _text(detail, "Refs/EndToEndId")
    return None if reference == "NOTPROVIDED" else reference


def _remittance(detail: Element | None) -> str | None:
    if detail is None:
        return None
    information = _child(detail, "RmtInf")
    if information is None:
        return _text(detail, "AddtlTxInf")
    texts = [(part.text or "").strip() for part in _children(information, "Ustrd")]
    return " ".join(text for text in texts if text) or None


def _batch_message_id(entry: Element, details: list[Element]) -> str | None:
    reference = _text(entry, "NtryDtls/Btch/MsgId")
    if reference is None and details:
        references = {_text(detail, "Refs/MsgId") for detail in details}
        reference = references.pop() if len(references) == 1 else None
    return reference
