"""SWIFT MT940: a bank's statement of one account, page by page.

Format: docs/formats/mt940.md.

`tieout.channels.bank.mt940_fields` says where a field begins and what it may hold; here the fields
become pages and statements, and each page's balances are compared. `line_number` of a row is the
line of its `:61:` in the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO, Any, TypeVar

import polars as pl

from tieout.channels.bank.camt053 import (
    DETAIL_SCHEMA,
    DETAILS_TABLE,
    LINE_SCHEMA,
    LINES_TABLE,
    STATEMENT_SCHEMA,
    STATEMENTS_TABLE,
)
from tieout.channels.bank.mt940_fields import (
    BLANKS,
    INTERIM,
    OPENING,
    Balance,
    Field,
    Refusal,
    StatementLine,
    StatementNumber,
    by_message,
    fields_of,
    read_balance,
    read_line,
    read_number,
    read_text,
    text_encoding,
)
from tieout.channels.bank.names import sequence_of, wrong_names
from tieout.channels.bank.texts import counterparty_shown, remittance_shown
from tieout.channels.common.amounts import minor_units_of
from tieout.channels.common.excerpts import masked_excerpt
from tieout.channels.common.model import (
    BadRow,
    ControlTotal,
    FileContext,
    Findings,
    Frames,
    ParsedFile,
    UnreadableFileError,
    file_problem,
)
from tieout.channels.common.text_files import batches
from tieout.core.money import CURRENCY_EXPONENTS

__all__ = ["Mt940Reading", "account_of"]

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

# What each line repeats of its statement.
_FACTS_OF_A_LINE = ("statement_id", "bank_account_id", "statement_date")

Row = dict[str, Any]
_Value = TypeVar("_Value")


@dataclass(slots=True)
class _Header:
    """What a message says once: its first fields, and the first one that is there again."""

    line_number: int
    found_once: dict[str, Field] = field(default_factory=dict)
    again: Field | None = None


@dataclass(slots=True)
class _Page:
    """One message: a page of a statement, and what its entries sum up to."""

    line_number: int
    reference: str
    account: str
    number: StatementNumber
    opening: Balance
    closing: Balance
    statement: Row | None = None
    is_whole: bool = True
    entry_count: int = 0
    movement_minor: int = 0


def account_of(written: str, currency: str, known: str | None = None) -> str:
    """Return an account as we know it: `bank/account` and its currency at the end fall away."""
    bank, _, behind = written.rpartition("/")
    last = behind.strip(BLANKS) if bank.strip(BLANKS) else written
    bare = last.removesuffix(currency).rstrip(BLANKS)
    if known is not None:
        return known if known in {written, last, bare} else bare
    return bare


class Mt940Reading:
    """Reads statements and their lines; amounts signed, + = credit.

    The pages of a statement (`:28C:5/1`, `5/2`) become one statement: each opens with the
    intermediate balance the page before closed with. A line carries the date of its statement's
    last page: the file is read once for its pages, then for their entries.
    """

    def __init__(self, context: FileContext) -> None:
        self._context = context
        self._findings = Findings()
        # By message; None is one that is no page of any statement.
        self._pages: list[_Page | None] = []
        self._statements: list[Row] = []
        self._unknown_currencies: set[str] = set()

    def blocks(self, stream: IO[bytes]) -> Iterator[Frames]:
        """Yield the lines block by block, then the statements; see `Reading`.

        Raises:
            UnreadableFileError: no text, no MT940 message in it, or an MT942.
        """
        encoding = text_encoding(stream)
        self._read_pages(_headers(fields_of(stream, encoding)))
        entries = _entries(fields_of(stream, encoding))
        for batch in batches(entries, self._context.block_rows):
            lines = [row for entry in batch if (row := self._line(*entry)) is not None]
            yield _frames([], lines)
        for page in self._whole_pages:
            if page.statement is not None:
                page.statement["entry_count"] += page.entry_count
        yield _frames(self._statements, [])

    def finish(self) -> ParsedFile:
        """Return totals and findings of the whole file."""
        pages = [page for page in self._whole_pages if page.statement is not None]
        dates = {row["statement_date"] for row in self._statements}
        return ParsedFile(
            frames={},
            row_count=sum(page.entry_count for page in pages),
            accounting_date=dates.pop() if len(dates) == 1 else None,
            totals=tuple(_closing_balance(page) for page in self._whole_pages if page.is_whole),
            declared_total_minor=sum(
                page.closing.amount_minor - page.opening.amount_minor for page in self._whole_pages
            ),
            counted_total_minor=sum(page.movement_minor for page in pages),
            bad_rows=self._findings.bad_rows,
        )

    @property
    def _whole_pages(self) -> list[_Page]:
        return [page for page in self._pages if page is not None]

    # --- pages and statements ---

    def _read_pages(self, headers: Iterable[_Header]) -> None:
        """Read what each message says of itself, and make statements of the pages."""
        chain: list[_Page] = []
        wrong: list[BadRow] = []
        for header in headers:
            page = self._page(header)
            self._pages.append(page)
            if page is None:
                chain = []
                continue
            chain = self._chained(chain, page)
            if page.closing.is_final:
                wrong += self._add_statement(chain)
                chain = []
        if chain:
            problem = "the last page is missing: it ends with an intermediate balance (62M)"
            self._problem(chain[-1].line_number, "62F", "missing_balance", problem)
        self._add_wrong_names(wrong)

    def _page(self, header: _Header) -> _Page | None:
        """Return what a message says of itself, or None where one part of it cannot be read.

        Each cause is one finding: what follows from an unread balance is not reported again.
        """
        once, again = header.found_once, header.again
        if again is not None:
            name = _ONCE[again.tag]
            reason = f"a page has one :{name}:; the first is in line {once[name].line_number}"
            self._problem(again.line_number, again.tag, "stated_twice", reason)
            return None
        missing = [name for name in dict.fromkeys(_ONCE.values()) if name not in once]
        if missing:
            reason = f"the page lacks {', '.join(f':{name}:' for name in missing)}"
            self._problem(header.line_number, missing[0], "missing_element", reason)
            return None
        reference = self._or_flagged(once["20"], read_text(once["20"]))
        account = self._or_flagged(once["25"], read_text(once["25"]))
        number = self._or_flagged(once["28C"], read_number(once["28C"]))
        opening = self._or_flagged(once["60"], read_balance(once["60"]))
        closing = self._or_flagged(once["62"], read_balance(once["62"]))
        if (
            reference is None
            or account is None
            or number is None
            or opening is None
            or closing is None
        ):
            return None
        return _Page(header.line_number, reference, account, number, opening, closing)

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

    def _line(self, message: int, found: Field, details: Sequence[Field]) -> Row | None:
        """Return the row of an entry; None where it is refused, or of no statement."""
        page = self._pages[message]
        if page is None:
            return None
        number, currency = found.line_number, page.opening.currency_code
        line = self._or_flagged(found, read_line(found, currency))
        if line is None:
            page.is_whole = False
            return None
        information = _information("\n".join(detail.text for detail in details))
        if _SUBFIELD.search(f"{information.remittance or ''} {line.more or ''}"):
            # Parts that cannot be told apart may hold a name or a number that has to be masked.
            reason = "its parts (?20 and so on) have to stand behind a code of three digits"
            line_number = details[0].line_number if details else number
            self._problem(line_number, "86", "not_structured", reason)
            page.is_whole = False
            return None
        page.entry_count += 1
        page.movement_minor += line.amount_minor
        if page.statement is None:
            return None
        facts = {name: page.statement[name] for name in _FACTS_OF_A_LINE}
        return {**facts, **self._row(number, currency, line, information)}

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
            "counterparty_account_token": self._context.vault.account_tokens([account])[0]
            if account is not None
            else None,
            "end_to_end_id": information.end_to_end_id,
            "remittance_text": remittance_shown(
                information.remittance or line.more, is_payee=is_payee
            ),
            "batch_message_id": information.batch_message_id,
            "detail_count": 0,
        }

    def _chained(self, chain: list[_Page], page: _Page) -> list[_Page]:
        """Return the pages of a statement as far as they are read, with one more."""
        number = page.line_number
        currency = page.opening.currency_code
        if page.closing.currency_code != currency:
            reason = f"it opens in {currency} and closes in {page.closing.currency_code}"
            self._problem(number, "62", "mixed_currencies", reason)
        before = chain[-1] if chain else None
        if page.opening.is_final == (before is not None):
            reason = (
                "a page opens a statement, but the last page of the one before is missing"
                if before is not None
                else "a page continues a statement (60M), but the page before it is missing"
            )
            self._problem(number, "60", "missing_page", reason)
            return [page]
        if before is not None and not _follows(before, page):
            reason = "a page continues the one before: same account and number, next page, balance"
            self._problem(number, "28C", "broken_pages", reason)
        chain.append(page)
        return chain

    def _add_statement(self, chain: Sequence[_Page]) -> list[BadRow]:
        """Make a statement of its pages; return what in it is not as the file's name says."""
        first, last = chain[0], chain[-1]
        number = first.number.statement_number
        # Banks that do not number their pages write 0.
        if first.number.page_number not in {0, 1}:
            reason = f"its first page is page {first.number.page_number}, page 1 is missing"
            self._problem(first.line_number, "28C", "missing_page", reason)
        currency = first.opening.currency_code
        parts = self._context.name_parts
        statement: Row = {
            "line_number": first.line_number,
            "statement_id": f"{first.reference}-{number}",
            "bank_account_id": account_of(first.account, currency, parts.get("bank_account_id")),
            "statement_date": last.closing.day,
            "sequence_number": sequence_of(number, parts),
            "currency_code": currency,
            "opening_balance_minor": first.opening.amount_minor,
            "closing_balance_minor": last.closing.amount_minor,
            "entry_count": 0,
        }
        for page in chain:
            page.statement = statement
        self._statements.append(statement)
        return [
            BadRow(first.line_number, name, reason_code, reason)
            for name, reason_code, reason in wrong_names(
                {**statement, "sequence_number": number}, self._context
            )
        ]

    def _add_wrong_names(self, wrong: Sequence[BadRow]) -> None:
        """Say what is not as in the file's name; several statements under one's are one cause."""
        if len(self._statements) < 2 or not wrong:
            self._findings.add(*wrong)
            return
        inside = ", ".join(
            f"{row['statement_date']} no. {row['sequence_number']}" for row in self._statements
        )
        reason = (
            f"it holds {len(self._statements)} statements ({masked_excerpt(inside)}), its name "
            "says one; deliver it as mt940_<yyyymmdd>_<n>.sta, then each lands by itself"
        )
        self._findings.add(file_problem("several_statements", reason))

    def _problem(
        self, number: int, name: str, reason_code: str, reason: str, text: str = ""
    ) -> None:
        excerpt = masked_excerpt(text.split("\n", maxsplit=1)[0])
        self._findings.add(BadRow(number, name, reason_code, reason, excerpt))


def _headers(fields: Iterator[Field]) -> Iterator[_Header]:
    """Yield what each message says once.

    Raises:
        UnreadableFileError: there is no message, or all are of an MT942; both show at the end.
    """
    header: _Header | None = None
    ordinal, interim_line, is_statement = -1, 0, False
    for message, found in by_message(fields):
        if header is None or message != ordinal:
            if header is not None:
                yield header
            ordinal, header = message, _Header(found.line_number)
        name = _ONCE.get(found.tag)
        if name in header.found_once:
            header.again = header.again or found
        elif name is not None:
            header.found_once[name] = found
        is_statement = is_statement or found.tag in OPENING
        interim_line = interim_line or (found.line_number if found.tag in INTERIM else 0)
    if header is None:
        raise UnreadableFileError("no_mt940", "there is no field of an MT940 message in it")
    if interim_line and not is_statement:
        raise UnreadableFileError(
            "interim_report",
            "it is an MT942, an interim report without balances; the MT940 of the day proves them",
            line_number=interim_line,
        )
    yield header


def _entries(fields: Iterator[Field]) -> Iterator[tuple[int, Field, list[Field]]]:
    """Yield each entry with its message and its texts; some banks repeat :86: for each line."""
    entry: tuple[int, Field, list[Field]] | None = None
    for message, found in by_message(fields):
        if entry is not None and found.tag == "86" and message == entry[0]:
            entry[2].append(found)
            continue
        if entry is not None:
            yield entry
        entry = (message, found, []) if found.tag == "61" else None
    if entry is not None:
        yield entry


def _frames(statements: Sequence[Row], lines: Sequence[Row]) -> Frames:
    return {
        STATEMENTS_TABLE: pl.DataFrame(statements, schema=STATEMENT_SCHEMA, orient="row"),
        LINES_TABLE: pl.DataFrame(lines, schema=LINE_SCHEMA, orient="row"),
        DETAILS_TABLE: pl.DataFrame([], schema=DETAIL_SCHEMA),
    }


def _closing_balance(page: _Page) -> ControlTotal:
    """Compare a page's balances with its entries; of an unread one its own finding says enough."""
    return ControlTotal(
        f"closing_balance {page.number.statement_number}/{page.number.page_number}",
        page.closing.amount_minor,
        page.opening.amount_minor + page.movement_minor,
        page.opening.currency_code,
    )


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
