"""SWIFT MT940: a bank's statement of one account, page by page (formats.md §6.2).

The grammar of the fields is that of the library `mt-940`. Its reader of whole files is not used: it
merges the pages and statements of a file into one, and keeps no line numbers. So the file is cut
into fields here, each with its line, and each page's balances are compared. `line_number` of a row
is the line of its `:61:` in the file.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import polars as pl
from mt940.tags import Tags

from tieout.channels.amounts import CURRENCY_EXPONENTS, minor_units_of
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

__all__ = ["parse"]

# Only these: a wrapped :86: may begin a line with `:12:11`, a time of day.
_FIELD = re.compile(r"^:(20|21|25P?|28C?|60[FM]|61|62[FM]|64|65|86|13D?|34F|90[DC]|NS):(.*)$")
# {1:…}{2:…}{4: opens a message, -} or a lone - ends it.
_BLOCKS = re.compile(r"^(?:\{[^{}]*\})*(?:\{4:)?")
_END = re.compile(r"^-\}?(?:\{.*)?$")
_OPENING, _CLOSING = ("60F", "60M"), ("62F", "62M")
# Fields that only an MT942 has: floor limit, and time of the report.
_INTERIM = ("34F", "13", "13D")
_STRUCTURED = re.compile(r"^(\d{3})\?\d{2}")
_SUBFIELD = re.compile(r"\?(\d{2})")
_KEYWORD = re.compile(r"^(EREF|KREF|SVWZ|OAMT|COAM)\+")
# What a bank took of the amount: SWIFT's code word in :61: or :86:, or COAM+ of a structured :86:.
_CHARGE = re.compile(r"/CHGS/([A-Z]{3})([0-9]+,[0-9]*)(?![0-9,.])")
_COMPENSATION = re.compile(r"([A-Z]{3})?([0-9]+,[0-9]*)")
_PURPOSE = (*range(20, 30), *range(60, 64))
_NAME = (32, 33)
_ACCOUNT = (31, 38)
# A returned item by its SWIFT type, or a returned credit transfer by its business code (GVC).
_RETURN_TYPES = ("RTI",)
_RETURN_CODES = ("159",)
# A booking date is written without a year; this far from the value date it is of another one.
_YEAR_BOUNDARY_DAYS = 330

_STATEMENT = Tags.STATEMENT.value.re
_BALANCE = Tags.FINAL_OPENING_BALANCE.value.re
_NUMBER = Tags.STATEMENT_NUMBER.value.re

Row = dict[str, Any]


@dataclass(slots=True)
class _Field:
    """One field: its tag, its first line, and its text with line ends."""

    tag: str
    line_number: int
    text: str


@dataclass(frozen=True, slots=True)
class _Balance:
    is_final: bool
    amount_minor: int
    currency_code: str
    day: date


@dataclass(slots=True)
class _Page:
    """One message: a page of a statement."""

    line_number: int
    reference: str | None = None
    account: str | None = None
    statement_number: int | None = None
    page_number: int | None = None
    opening: _Balance | None = None
    closing: _Balance | None = None
    lines: list[Row] = field(default_factory=list)


def parse(content: bytes, context: FileContext) -> ParsedFile:
    """Return statements and their lines; amounts signed, + = credit.

    The pages of a statement (`:28C:5/1`, `5/2`) become one statement: each opens with the
    intermediate balance the page before closed with.

    Raises:
        UnreadableFileError: no text, or no MT940 message in it.
    """
    fields = _fields(_text(content))
    if not fields:
        raise UnreadableFileError("no_mt940", "there is no field of an MT940 message in it")
    interim = [found for found in fields if found.tag in _INTERIM]
    if interim and not any(found.tag in _OPENING for found in fields):
        raise UnreadableFileError(
            "interim_report",
            "it is an MT942, an interim report without balances; the MT940 of the day proves them",
            line_number=interim[0].line_number,
        )
    reader = _Reader(context)
    for message in _messages(fields):
        reader.read_message(message)
    return reader.parsed_file()


def _text(content: bytes) -> str:
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" in text:
            break
        return text
    raise UnreadableFileError("bad_encoding", "it is neither UTF-8 nor GB 18030 text")


def _fields(text: str) -> list[_Field]:
    """Cut a text into its fields; a line that begins none continues the one before."""
    fields: list[_Field] = []
    for number, raw_line in enumerate(re.split(r"\r\n|\n|\r", text), start=1):
        line = _BLOCKS.sub("", raw_line, count=1)
        match = _FIELD.match(line)
        if match is not None:
            fields.append(_Field(match[1], number, match[2]))
        elif _END.match(line):
            fields.append(_Field("-", number, ""))
        elif fields and fields[-1].tag != "-":
            fields[-1].text += "\n" + line
    return fields if any(found.tag != "-" for found in fields) else []


def _messages(fields: Sequence[_Field]) -> Iterator[list[_Field]]:
    message: list[_Field] = []
    for found in fields:
        if message and found.tag in {"20", "-"}:
            yield message
            message = []
        if found.tag != "-":
            message.append(found)
    if message:
        yield message


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

    def parsed_file(self) -> ParsedFile:
        """Return what was read; a statement whose last page is missing is a finding."""
        if self._pages:
            problem = "the last page is missing: it ends with an intermediate balance (62M)"
            self._problem(self._pages[-1].line_number, "62F", "missing_balance", problem)
        if not self.statements and not self.bad_rows:
            self.bad_rows.append(file_problem("missing_element", "there is no statement"))
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

    def read_message(self, fields: Sequence[_Field]) -> None:
        """Read one message: a page of a statement."""
        page = _Page(fields[0].line_number)
        for position, found in enumerate(fields):
            if found.tag == "20":
                page.reference = found.text.strip() or None
            elif found.tag in {"25", "25P"}:
                page.account = found.text.split("\n", maxsplit=1)[0].strip() or None
            elif found.tag in {"28", "28C"}:
                match = _NUMBER.match(found.text.strip())
                if match is not None:
                    page.statement_number = int(match["statement_number"])
                    page.page_number = int(match["sequence_number"] or 1)
            elif found.tag in _OPENING:
                page.opening = self._balance(found)
            elif found.tag in _CLOSING:
                page.closing = self._balance(found)
            elif found.tag == "61":
                # Some banks repeat :86: for each line of the text.
                after = itertools.takewhile(lambda one: one.tag == "86", fields[position + 1 :])
                self._read_line(page, found, list(after))
        self._add_page(page)

    def _balance(self, found: _Field) -> _Balance | None:
        match = _BALANCE.match(found.text.strip())
        if match is not None and match["currency"].upper() not in CURRENCY_EXPONENTS:
            reason = "the number of decimals of its currency is not known"
            self._problem(found.line_number, found.tag, "unknown_currency", reason, found.text)
            return None
        day = _date(match["year"], match["month"], match["day"]) if match else None
        amount = _amount(match["amount"], match["currency"].upper()) if match else None
        if match is None or day is None or amount is None:
            reason = "it has to be C or D, a date, a currency and an exact amount"
            self._problem(found.line_number, found.tag, "not_a_balance", reason, found.text)
            return None
        sign = -1 if match["status"].upper() == "D" else 1
        return _Balance(found.tag.endswith("F"), sign * amount, match["currency"].upper(), day)

    def _read_line(self, page: _Page, found: _Field, details: Sequence[_Field]) -> None:
        number, currency = found.line_number, page.opening.currency_code if page.opening else None
        match = _STATEMENT.match(found.text)
        if match is None or currency is None:
            reason = "it follows an opening balance and has date, mark, amount, type and reference"
            self._problem(number, "61", "not_a_statement_line", reason, found.text)
            return
        value_date = _date(match["year"], match["month"], match["day"])
        amount = _amount(match["amount"], currency)
        booking_date = _booking_date(value_date, match["entry_month"], match["entry_day"])
        if value_date is None or booking_date is None:
            self._problem(number, "61", "not_a_date", "a date no calendar has", found.text)
            return
        if amount is None:
            reason = "the amount has to be exact to the minor unit"
            self._problem(number, "61", "not_an_amount", reason, found.text)
            return
        mark = match["status"].upper()
        signed = -amount if mark in {"D", "RC"} else amount
        information = _information("\n".join(detail.text for detail in details))
        if _SUBFIELD.search(f"{information.remittance or ''} {match['extra_details'] or ''}"):
            # Parts that cannot be told apart may hold a name or a number that has to be masked.
            reason = "its parts (?20 and so on) do not stand behind a code of three digits"
            line_number = details[0].line_number if details else number
            self._problem(line_number, "86", "not_structured", reason)
            return
        type_code = (match["id"] or "").strip()
        is_return = type_code[1:] in _RETURN_TYPES or information.business_code in _RETURN_CODES
        is_payee = is_return or (signed < 0 and information.end_to_end_id is not None)
        account = information.account
        references = (match["bank_reference"], match["customer_reference"])
        known = [text.strip() for text in references if text and text.strip() not in {"", "NONREF"}]
        codes = [code for code in (type_code, information.business_code) if code]
        page.lines.append(
            {
                "line_number": number,
                "entry_reference": known[0] if known else None,
                "booking_date": booking_date,
                "value_date": value_date,
                "currency_code": currency,
                "amount_minor": signed,
                "charge_amount_minor": _charge(information, match["extra_details"], currency),
                "is_reversal": mark in {"RC", "RD"},
                "is_return": is_return,
                "bank_transaction_code": "/".join(codes) or None,
                "counterparty_name": counterparty_shown(information.name, is_payee=is_payee),
                "counterparty_account_token": self.context.vault.account_tokens([account])[0]
                if account is not None
                else None,
                "end_to_end_id": information.end_to_end_id,
                "remittance_text": remittance_shown(
                    information.remittance or (match["extra_details"] or "").strip() or None,
                    is_payee=is_payee,
                ),
                "batch_message_id": information.batch_message_id,
                "detail_count": 0,
            }
        )

    def _add_page(self, page: _Page) -> None:
        """Chain a page to those before it; the last page makes the statement."""
        number = page.line_number
        missing = [
            tag
            for tag, value in (
                ("20", page.reference), ("25", page.account), ("28C", page.statement_number),
                ("60", page.opening), ("62", page.closing),
            )
            if value is None
        ]  # fmt: skip
        if missing or page.opening is None or page.closing is None:
            names = ", ".join(missing)
            self._problem(number, missing[0], "missing_element", f"the page lacks {names}")
            self._pages = []
            return
        if page.closing.currency_code != page.opening.currency_code:
            self._problem(number, "62", "mixed_currencies", "its balances are in two currencies")
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
        movement = sum(row["amount_minor"] for row in page.lines)
        self.totals.append(
            ControlTotal(
                f"closing_balance {page.statement_number}/{page.page_number}",
                page.closing.amount_minor,
                page.opening.amount_minor + movement,
            )
        )
        self.declared_movement_minor += page.closing.amount_minor - page.opening.amount_minor
        if page.closing.is_final:
            self._add_statement()

    def _add_statement(self) -> None:
        first, last = self._pages[0], self._pages[-1]
        assert first.opening is not None and last.closing is not None  # noqa: PT018
        # Banks that do not number their pages write 0.
        if first.page_number not in {0, 1}:
            self._problem(first.line_number, "28C", "missing_page", "its first page is not page 1")
        statement: Row = {
            "line_number": first.line_number,
            "statement_id": f"{first.reference}-{first.statement_number}",
            "bank_account_id": self._account(first),
            "statement_date": last.closing.day,
            "sequence_number": first.statement_number,
            "currency_code": first.opening.currency_code,
            "opening_balance_minor": first.opening.amount_minor,
            "closing_balance_minor": last.closing.amount_minor,
            "entry_count": sum(len(page.lines) for page in self._pages),
        }
        self._check_name(statement, first.line_number)
        common = ("statement_id", "bank_account_id", "statement_date")
        for page in self._pages:
            self.lines += [
                {**row, **{name: statement[name] for name in common}} for row in page.lines
            ]
        self.statements.append(statement)
        self._pages = []

    def _account(self, page: _Page) -> str | None:
        """Return the account as we know it: `bank/account` and a currency at its end fall away."""
        if page.account is None:
            return None
        last = page.account.rpartition("/")[2].strip()
        known = self.context.name_parts.get("bank_account_id")
        bare = re.sub(r"[ ]?[A-Z]{3}$", "", last)
        return known if known in {page.account, last, bare} else last

    def _check_name(self, statement: Row, number: int) -> None:
        """Compare account, date and number with the file's name."""
        parts = self.context.name_parts
        expected = {
            "bank_account_id": parts.get("bank_account_id"),
            "statement_date": self.context.accounting_date,
            "sequence_number": int(parts["sequence"]) if "sequence" in parts else None,
        }
        for name, value in expected.items():
            if value is not None and statement[name] != value:
                code = "wrong_date" if name == "statement_date" else "wrong_name"
                reason = f"{name} inside is not the one in the file's name"
                self._problem(number, name, code, reason)

    def _problem(
        self, number: int, name: str, reason_code: str, reason: str, text: str = ""
    ) -> None:
        excerpt = masked_excerpt(text.split("\n", maxsplit=1)[0])
        self.bad_rows.append(BadRow(number, name, reason_code, reason, excerpt))


def _follows(before: _Page, page: _Page) -> bool:
    if before.closing is None or page.opening is None or before.page_number is None:
        return False
    return (
        not before.closing.is_final
        and page.account == before.account
        and page.statement_number == before.statement_number
        and page.page_number == before.page_number + 1
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
        texts[keyword] = texts.get(keyword, "") + (value[5:] if found is not None else value)
    name = "".join(value for key, value in subfields if key in _NAME)
    end_to_end_id = texts.get("EREF", "").strip()
    return _Information(
        remittance=texts.get("SVWZ", "").strip() or None,
        name=name.strip() or None,
        account=next((value.strip() for key, value in subfields if key in _ACCOUNT), None) or None,
        end_to_end_id=None if end_to_end_id in {"", "NOTPROVIDED"} else end_to_end_id,
        batch_message_id=texts.get("KREF", "").strip() or None,
        business_code=match[1],
        compensation=texts.get("COAM", "").strip() or None,
    )


def _charge(information: _Information, extra_details: str | None, currency: str) -> int | None:
    """Return the charges a line states in the account's currency, taken from us; None: none is."""
    stated = [
        match[2]
        for text in (extra_details, information.remittance)
        for match in _CHARGE.finditer(text or "")
        if match[1] == currency
    ]
    compensation = _COMPENSATION.fullmatch(information.compensation or "")
    if not stated and compensation is not None and compensation[1] in {None, currency}:
        stated = [compensation[2]]
    amounts = [_amount(text, currency) for text in stated]
    known = [amount for amount in amounts if amount is not None]
    return -sum(known) if known and len(known) == len(amounts) else None


def _amount(text: str, currency: str) -> int | None:
    """Return an unsigned amount; MT940 writes a comma, also where no digit follows it."""
    exponent = CURRENCY_EXPONENTS.get(currency)
    if exponent is None or text.count(",") > 1:
        return None
    return minor_units_of(text.replace(",", ".").removesuffix("."), exponent=exponent)


def _date(year: str, month: str, day: str) -> date | None:
    try:
        return date(2000 + int(year), int(month), int(day))
    except ValueError:
        return None


def _booking_date(value_date: date | None, month: str | None, day: str | None) -> date | None:
    """Return the entry's date in the year nearest to its value date; without one, that date."""
    if value_date is None or not (month or "").strip() or not (day or "").strip():
        return value_date
    for year in (value_date.year, value_date.year + 1, value_date.year - 1):
        booked = _date(str(year - 2000), str(month), str(day)) if 2000 <= year < 2100 else None
        if booked is not None and abs((booked - value_date).days) < _YEAR_BOUNDARY_DAYS:
            return booked
    return None
