"""SWIFT MT940: a bank's statement of one account, page by page (formats.md §6.2).

`tieout.channels.mt940_fields` says where a field begins and what it may hold; here the fields
become pages and statements, and each page's balances are compared. `line_number` of a row is the
line of its `:61:` in the file.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import polars as pl

from tieout.channels.amounts import CURRENCY_EXPONENTS, minor_units_of
from tieout.channels.bank_names import sequence_of, wrong_names
from tieout.channels.bank_texts import counterparty_shown, remittance_shown
from tieout.channels.camt053 import (
    DETAIL_SCHEMA,
    DETAILS_TABLE,
    LINE_SCHEMA,
    LINES_TABLE,
    STATEMENT_SCHEMA,
    STATEMENTS_TABLE,
)
from tieout.channels.excerpts import masked_excerpt
from tieout.channels.model import (
    BadRow,
    ControlTotal,
    FileContext,
    ParsedFile,
    UnreadableFileError,
    file_problem,
)
from tieout.channels.mt940_fields import (
    BLANKS,
    INTERIM,
    OPENING,
    Balance,
    Field,
    Refusal,
    StatementLine,
    StatementNumber,
    fields_of,
    messages_of,
    read_balance,
    read_line,
    read_number,
    read_text,
    text_of,
)

__all__ = ["account_of", "parse"]

_STRUCTURED = re.compile(r"\s*(\d{3})\?\d{2}", re.ASCII)
_SUBFIELD = re.compile(r"\?(\d{2})", re.ASCII)
# What may begin a part of ?20 to ?29; the text of one never runs into another.
_KEYWORD = re.compile(
    r"(EREF|KREF|MREF|BREF|RREF|CRED|DEBT|COAM|OAMT|SVWZ|ABWA|ABWE|PURP|IBAN|BIC)\+"
)
# What a bank took of the amount: SWIFT's code word in :61: or :86:, or COAM+ of a structured :86:.
_CHARGE = re.compile(r"/CHGS/([A-Z]{3})([0-9]+,[0-9]*)(?![0-9,.])")
_COMPENSATION = re.compile(r"([A-Z]{3})?([0-9]+,[0-9]*)")
_PURPOSE = (*range(20, 30), *range(60, 64))
_NAME = (32, 33)
_ACCOUNT = (31, 38)
# A returned item by its SWIFT type, or a returned credit transfer by its business code (GVC).
_RETURN_TYPES = ("RTI",)
_RETURN_CODES = ("159",)
# The header's fields and the balances: one of each in a message.
_ONCE = {
    "20": "20", "25": "25", "25P": "25", "28": "28C", "28C": "28C",
    "60F": "60", "60M": "60", "62F": "62", "62M": "62",
}  # fmt: skip

Row = dict[str, Any]
_Value = TypeVar("_Value")


@dataclass(slots=True)
class _Page:
    """One message: a page of a statement."""

    line_number: int
    reference: str
    account: str
    number: StatementNumber
    opening: Balance
    closing: Balance
    lines: list[Row] = field(default_factory=list)
    is_whole: bool = True


def parse(content: bytes, context: FileContext) -> ParsedFile:
    """Return statements and their lines; amounts signed, + = credit.

    The pages of a statement (`:28C:5/1`, `5/2`) become one statement: each opens with the
    intermediate balance the page before closed with.

    Raises:
        UnreadableFileError: no text, or no MT940 message in it.
    """
    fields = fields_of(text_of(content))
    if not fields:
        raise UnreadableFileError("no_mt940", "there is no field of an MT940 message in it")
    interim = [found for found in fields if found.tag in INTERIM]
    if interim and not any(found.tag in OPENING for found in fields):
        raise UnreadableFileError(
            "interim_report",
            "it is an MT942, an interim report without balances; the MT940 of the day proves them",
            line_number=interim[0].line_number,
        )
    reader = _Reader(context)
    for message in messages_of(fields):
        reader.read_message(message)
    return reader.parsed_file()


def account_of(written: str, currency: str, known: str | None = None) -> str:
    """Return an account as we know it: `bank/account` and its currency at the end fall away."""
    bank, _, behind = written.rpartition("/")
    last = behind.strip(BLANKS) if bank.strip(BLANKS) else written
    bare = last.removesuffix(currency).rstrip(BLANKS)
    if known is not None:
        return known if known in {written, last, bare} else bare
    return bare


class _Reader:
    """Collects one file's pages, rows, totals and findings."""

    def __init__(self, context: FileContext) -> None:
        self.context = context
        self.statements: list[Row] = []
        self.lines: list[Row] = []
        self.totals: list[ControlTotal] = []
        self.bad_rows: list[BadRow] = []
        self.declared_movement_minor = 0
        self._pages: list[_Page] = []
        self._unknown_currencies: set[str] = set()
        self._wrong_names: list[BadRow] = []

    def parsed_file(self) -> ParsedFile:
        """Return what was read; a statement whose last page is missing is a finding."""
        if self._pages:
            problem = "the last page is missing: it ends with an intermediate balance (62M)"
            self._problem(self._pages[-1].line_number, "62F", "missing_balance", problem)
        if not self.statements and not self.bad_rows:
            self.bad_rows.append(file_problem("missing_element", "there is no statement"))
        self._add_wrong_names()
        dates = {row["statement_date"] for row in self.statements}
        lines = pl.DataFrame(self.lines, schema=LINE_SCHEMA, orient="row")
        return ParsedFile(
            frames={
                STATEMENTS_TABLE: pl.DataFrame(self.statements, schema=STATEMENT_SCHEMA),
                LINES_TABLE: lines,
                DETAILS_TABLE: pl.DataFrame([], schema=DETAIL_SCHEMA),
            },
            row_count=len(lines),
            accounting_date=dates.pop() if len(dates) == 1 else None,
            totals=tuple(self.totals),
            declared_total_minor=self.declared_movement_minor,
            counted_total_minor=sum(row["amount_minor"] for row in self.lines),
            bad_rows=tuple(self.bad_rows),
        )

    def read_message(self, fields: Sequence[Field]) -> None:
        """Read one message: a page of a statement. Without its header it is no page of any."""
        page = self._page(fields)
        if page is None:
            self._pages = []
            return
        for position, found in enumerate(fields):
            if found.tag == "61":
                # Some banks repeat :86: for each line of the text.
                after = itertools.takewhile(lambda one: one.tag == "86", fields[position + 1 :])
                self._read_line(page, found, list(after))
        self._add_page(page)

    def _page(self, fields: Sequence[Field]) -> _Page | None:
        """Return what a message says of itself, or None where one part of it cannot be read.

        Each cause is one finding: what follows from an unread balance is not reported again.
        """
        line_number = fields[0].line_number
        found_once: dict[str, Field] = {}
        for found in fields:
            name = _ONCE.get(found.tag)
            if name in found_once:
                reason = f"a page has one :{name}:; the first is in line "
                reason += f"{found_once[name].line_number}"
                self._problem(found.line_number, found.tag, "stated_twice", reason)
                return None
            if name is not None:
                found_once[name] = found
        missing = [name for name in dict.fromkeys(_ONCE.values()) if name not in found_once]
        if missing:
            reason = f"the page lacks {', '.join(f':{name}:' for name in missing)}"
            self._problem(line_number, missing[0], "missing_element", reason)
            return None
        reference = self._or_flagged(found_once["20"], read_text(found_once["20"]))
        account = self._or_flagged(found_once["25"], read_text(found_once["25"]))
        number = self._or_flagged(found_once["28C"], read_number(found_once["28C"]))
        opening = self._or_flagged(found_once["60"], read_balance(found_once["60"]))
        closing = self._or_flagged(found_once["62"], read_balance(found_once["62"]))
        if (
            reference is None
            or account is None
            or number is None
            or opening is None
            or closing is None
        ):
            return None
        return _Page(line_number, reference, account, number, opening, closing)

    def _or_flagged(self, found: Field, read: _Value | Refusal) -> _Value | None:
        """Return what was read, or flag why it was not; one currency is flagged once."""
        if not isinstance(read, Refusal):
            return read
        if read.reason_code == "unknown_currency":
            if read.reason in self._unknown_currencies:
                return None
            self._unknown_currencies.add(read.reason)
        self._problem(found.line_number, found.tag, read.reason_code, read.reason, found.text)
        return None

    def _read_line(self, page: _Page, found: Field, details: Sequence[Field]) -> None:
        number, currency = found.line_number, page.opening.currency_code
        line = self._or_flagged(found, read_line(found, currency))
        if line is None:
            page.is_whole = False
            return
        information = _information("\n".join(detail.text for detail in details))
        if _SUBFIELD.search(f"{information.remittance or ''} {line.more or ''}"):
            # Parts that cannot be told apart may hold a name or a number that has to be masked.
            reason = "its parts (?20 and so on) have to stand behind a code of three digits"
            line_number = details[0].line_number if details else number
            self._problem(line_number, "86", "not_structured", reason)
            page.is_whole = False
            return
        page.lines.append(self._row(number, currency, line, information))

    def _row(
        self, number: int, currency: str, line: StatementLine, information: _Information
    ) -> Row:
        is_return = (
            line.type_code[1:] in _RETURN_TYPES or information.business_code in _RETURN_CODES
        )
        is_payee = is_return or (line.amount_minor < 0 and information.end_to_end_id is not None)
        account = information.account
        references = (line.own_reference, line.bank_reference)
        codes = [code for code in (line.type_code, information.business_code) if code]
        return {
            "line_number": number,
            "entry_reference": "//".join(filter(None, references)) or None,
            "booking_date": line.booking_date,
            "value_date": line.value_date,
            "currency_code": currency,
            "amount_minor": line.amount_minor,
            "charge_amount_minor": _charge(information, line.more, currency),
            "is_reversal": line.is_reversal,
            "is_return": is_return,
            "bank_transaction_code": "/".join(codes) or None,
            "counterparty_name": counterparty_shown(information.name, is_payee=is_payee),
            "counterparty_account_token": self.context.vault.account_tokens([account])[0]
            if account is not None
            else None,
            "end_to_end_id": information.end_to_end_id,
            "remittance_text": remittance_shown(
                information.remittance or line.more, is_payee=is_payee
            ),
            "batch_message_id": information.batch_message_id,
            "detail_count": 0,
        }

    def _add_page(self, page: _Page) -> None:
        """Chain a page to those before it; the last page makes the statement."""
        number = page.line_number
        currency = page.opening.currency_code
        if page.closing.currency_code != currency:
            reason = f"it opens in {currency} and closes in {page.closing.currency_code}"
            self._problem(number, "62", "mixed_currencies", reason)
        before = self._pages[-1] if self._pages else None
        if page.opening.is_final == (before is not None):
            reason = (
                "a page opens a statement, but the last page of the one before is missing"
                if before is not None
                else "a page continues a statement (60M), but the page before it is missing"
            )
            self._problem(number, "60", "missing_page", reason)
            self._pages = []
        elif before is not None and not _follows(before, page):
            reason = "a page continues the one before: same account and number, next page, balance"
            self._problem(number, "28C", "broken_pages", reason)
        self._pages.append(page)
        # Of a page with an unread entry the balance says nothing more than that entry's finding.
        if page.is_whole:
            movement = sum(row["amount_minor"] for row in page.lines)
            self.totals.append(
                ControlTotal(
                    f"closing_balance {page.number.statement_number}/{page.number.page_number}",
                    page.closing.amount_minor,
                    page.opening.amount_minor + movement,
                    currency,
                )
            )
        self.declared_movement_minor += page.closing.amount_minor - page.opening.amount_minor
        if page.closing.is_final:
            self._add_statement()

    def _add_statement(self) -> None:
        first, last = self._pages[0], self._pages[-1]
        number = first.number.statement_number
        # Banks that do not number their pages write 0.
        if first.number.page_number not in {0, 1}:
            reason = f"its first page is page {first.number.page_number}, page 1 is missing"
            self._problem(first.line_number, "28C", "missing_page", reason)
        currency = first.opening.currency_code
        parts = self.context.name_parts
        statement: Row = {
            "line_number": first.line_number,
            "statement_id": f"{first.reference}-{number}",
            "bank_account_id": account_of(first.account, currency, parts.get("bank_account_id")),
            "statement_date": last.closing.day,
            "sequence_number": sequence_of(number, parts),
            "currency_code": currency,
            "opening_balance_minor": first.opening.amount_minor,
            "closing_balance_minor": last.closing.amount_minor,
            "entry_count": sum(len(page.lines) for page in self._pages),
        }
        for name, reason_code, reason in wrong_names(
            {**statement, "sequence_number": number}, self.context
        ):
            self._wrong_names.append(BadRow(first.line_number, name, reason_code, reason))
        common = ("statement_id", "bank_account_id", "statement_date")
        for page in self._pages:
            self.lines += [
                {**row, **{name: statement[name] for name in common}} for row in page.lines
            ]
        self.statements.append(statement)
        self._pages = []

    def _add_wrong_names(self) -> None:
        """Say what is not as in the file's name; several statements under one's are one cause."""
        if len(self.statements) > 1 and self._wrong_names:
            inside = ", ".join(
                f"{row['statement_date']} no. {row['sequence_number']}" for row in self.statements
            )
            reason = (
                f"it holds {len(self.statements)} statements ({masked_excerpt(inside)}), its name "
                "says one; deliver it as mt940_<yyyymmdd>_<n>.sta, then each lands by itself"
            )
            self.bad_rows.append(file_problem("several_statements", reason))
        else:
            self.bad_rows += self._wrong_names

    def _problem(
        self, number: int, name: str, reason_code: str, reason: str, text: str = ""
    ) -> None:
        excerpt = masked_excerpt(text.split("\n", maxsplit=1)[0])
        self.bad_rows.append(BadRow(number, name, reason_code, reason, excerpt))


def _follows(before: _Page, page: _Page) -> bool:
    return (
        not before.closing.is_final
        and page.account == before.account
        and page.number.statement_number == before.number.statement_number
        and page.number.page_number == before.number.page_number + 1
        and page.opening.amount_minor == before.closing.amount_minor
        and page.opening.currency_code == before.closing.currency_code
    )


@dataclass(frozen=True, slots=True)
class _Information:
    """What a :86: says. Free text is the remittance; `?20` structures name their parts."""

    remittance: str | None = None
    name: str | None = None
    account: str | None = None
    end_to_end_id: str | None = None
    batch_message_id: str | None = None
    business_code: str | None = None
    compensation: str | None = None


def _information(text: str) -> _Information:
    joined = "".join(text.split("\n"))
    match = _STRUCTURED.match(joined)
    if match is None:
        return _Information(remittance=" ".join(text.split()) or None)
    parts = _SUBFIELD.split(joined)
    subfields = [(int(key), value) for key, value in zip(parts[1::2], parts[2::2], strict=True)]
    texts: dict[str, str] = {}
    keyword = "SVWZ"
    for key, value in subfields:
        if key not in _PURPOSE:
            continue
        found = _KEYWORD.match(value)
        # A subfield without a keyword goes on with the text of the one before.
        keyword = found[1] if found is not None else keyword
        rest = value[found.end() :] if found is not None else value
        texts[keyword] = texts.get(keyword, "") + rest
    name = "".join(value for key, value in subfields if key in _NAME)
    end_to_end_id = texts.get("EREF", "").strip(BLANKS)
    return _Information(
        remittance=texts.get("SVWZ", "").strip(BLANKS) or None,
        name=name.strip(BLANKS) or None,
        account=next((value.strip(BLANKS) for key, value in subfields if key in _ACCOUNT), None)
        or None,
        end_to_end_id=None if end_to_end_id in {"", "NOTPROVIDED"} else end_to_end_id,
        batch_message_id=texts.get("KREF", "").strip(BLANKS) or None,
        business_code=match[1],
        compensation=texts.get("COAM", "").strip(BLANKS) or None,
    )


def _charge(information: _Information, more: str | None, currency: str) -> int | None:
    """Return the charges a line states in the account's currency, taken from us; None: none is."""
    stated = [
        match[2]
        for text in (more, information.remittance)
        for match in _CHARGE.finditer(text or "")
        if match[1] == currency
    ]
    compensation = _COMPENSATION.fullmatch(information.compensation or "")
    if not stated and compensation is not None and compensation[1] in {None, currency}:
        stated = [compensation[2]]
    exponent = CURRENCY_EXPONENTS[currency]
    amounts = [
        minor_units_of(text.replace(",", ".").removesuffix("."), exponent=exponent)
        for text in stated
    ]
    known = [amount for amount in amounts if amount is not None]
    return -sum(known) if known and len(known) == len(amounts) else None
