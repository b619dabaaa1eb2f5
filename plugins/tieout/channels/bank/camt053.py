"""ISO 20022 camt.053: a bank's statements of its accounts.

Format: docs/formats/camt053.md.

Only booked entries (BOOK) count; opening balance plus entries has to be the closing balance. A
statement in pages (StmtPgntn, MsgPgntn) is put together from the pages of its file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import IO

import polars as pl

from tieout.channels.bank.camt_entries import DETAIL_SCHEMA, ENTRY_SCHEMA, EntryReader, Row
from tieout.channels.bank.camt_stream import MessageStream, maybe_zipped
from tieout.channels.bank.camt_summary import CountedEntries, declared_figures
from tieout.channels.bank.iso20022 import (
    Element,
    Money,
    child,
    children,
    day_of,
    signed_money_of,
    text_of,
    truth,
    unread_day,
)
from tieout.channels.bank.names import sequence_of, wrong_names
from tieout.channels.common.excerpts import masked_excerpt
from tieout.channels.common.model import (
    ControlTotal,
    FileContext,
    Findings,
    Frames,
    ParsedFile,
    file_problem,
)
from tieout.core.money import CURRENCY_EXPONENTS

__all__ = [
    "DETAILS_TABLE",
    "DETAIL_SCHEMA",
    "LINES_TABLE",
    "LINE_SCHEMA",
    "STATEMENTS_TABLE",
    "STATEMENT_SCHEMA",
    "VERSIONS",
    "Camt053Reading",
]

STATEMENTS_TABLE = "bank_statements"
LINES_TABLE = "bank_statement_lines"
DETAILS_TABLE = "bank_statement_line_details"
# 05 to 07 have the same elements as their neighbours; no schema or file of them was at hand.
VERSIONS = ("02", "03", "04", "05", "06", "07", "08")

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
    **ENTRY_SCHEMA,
}
_NUMBER_DIGITS_MAX = 18
# What each line repeats of its statement.
_FACTS_OF_A_LINE = ("statement_id", "bank_account_id", "statement_date")


@dataclass(frozen=True, slots=True)
class _Balance:
    """A balance; `is_final` is False for the interim one (ITBD) between two pages."""

    money: Money
    day: date | None
    is_final: bool
    day_is_unread: bool = False


@dataclass(slots=True)
class _Page:
    """One Stmt: a whole statement, or a page of one, and what is counted of its entries.

    `declared` are the figures of its TxsSummry, where it has one. `statement` is the statement it
    is a page of, None while that has no last page; a last page has all `pages` of it.
    """

    row: Row
    page_number: int
    is_last: bool
    opening: _Balance
    closing: _Balance
    declared: Mapping[str, int | None]
    is_whole: bool = True
    counted: CountedEntries = field(default_factory=CountedEntries)
    statement: Row | None = None
    pages: Sequence[_Page] = ()


class Camt053Reading:
    """Reads statements, their booked lines and the lines' details; amounts signed, + = credit.

    `line_number` is the ordinal of the statement, and of the entry in the file. The content may be
    a ZIP that holds the XML alone. A line carries the date of its statement's last page, and the
    balances may stand behind the entries: the file is read once for its pages, then for their
    entries.
    """

    def __init__(self, context: FileContext) -> None:
        self._context = context
        self._findings = Findings()
        self._entries = EntryReader(context, self._findings)
        # By Stmt; None is one whose balances cannot be read: nor are its entries.
        self._pages: list[_Page | None] = []
        self._statements: list[Row] = []

    def blocks(self, stream: IO[bytes]) -> Iterator[Frames]:
        """Yield the lines block by block, then the statements; see `Reading`.

        Raises:
            UnreadableFileError: no XML, an unsafe one, or not a camt.053 of a known version.
        """
        with maybe_zipped(stream) as xml:
            message = MessageStream(xml, element_name="BkToCstmrStmt", group_name="Stmt")
            self._read_pages(message.without_entries(name="camt.053.001", versions=VERSIONS))
            for position, entry in message.entries():
                page = self._pages[position]
                if page is None:
                    continue
                self._read_entry(entry, page)
                if self._entries.has_block:
                    yield self._block([])
        for page in self._whole_pages:
            if page.statement is not None:
                page.statement["entry_count"] += page.counted.booked.count
        yield self._block(self._statements)

    def finish(self) -> ParsedFile:
        """Return totals and findings of the whole file."""
        dates = {row["statement_date"] for row in self._statements}
        return ParsedFile(
            frames={},
            row_count=self._entries.row_count,
            accounting_date=dates.pop() if len(dates) == 1 else None,
            totals=tuple(total for page in self._whole_pages for total in _totals(page)),
            declared_total_minor=sum(
                row["closing_balance_minor"] - row["opening_balance_minor"]
                for row in self._statements
            ),
            counted_total_minor=sum(page.counted.booked.net for page in self._whole_pages),
            bad_rows=self._findings.bad_rows,
        )

    @property
    def _whole_pages(self) -> list[_Page]:
        return [page for page in self._pages if page is not None]

    def _block(self, statements: Sequence[Row]) -> Frames:
        lines, details = self._entries.take_block(LINE_SCHEMA)
        return {
            STATEMENTS_TABLE: pl.DataFrame(statements, schema=STATEMENT_SCHEMA, orient="row"),
            LINES_TABLE: lines,
            DETAILS_TABLE: details,
        }

    # --- entries ---

    def _read_entry(self, entry: Element, page: _Page) -> None:
        """Read one entry: a booked one is a line, of others the amount may be in TxsSummry."""
        self._entries.begin(entry)
        state = self._entries.state_of(entry)
        if state is None:
            page.is_whole = False
            return
        if state != "BOOK":
            money = signed_money_of(entry)
            if isinstance(money, Money):
                page.counted.add(money.amount_minor, is_booked=False)
            return
        facts = page.row if page.statement is None else page.statement
        common = {name: facts[name] for name in _FACTS_OF_A_LINE}
        row = self._entries.read(entry, common, needs_booking_date=True)
        if row is None:
            page.is_whole = False
            return
        page.counted.add(row["amount_minor"], is_booked=True)
        if row["currency_code"] != page.row["currency_code"]:
            reason = f"it is in {row['currency_code']}, the balances in {page.row['currency_code']}"
            self._entries.flag("Amt", "wrong_currency", reason)

    # --- pages and statements ---

    def _read_pages(self, message: Element) -> None:
        """Read what each Stmt says of itself, and make statements of the pages."""
        chain: list[_Page] = []
        for element in children(message, "Stmt"):
            page = self._page(element, message)
            self._pages.append(page)
            if page is None:
                continue
            chain = self._chained(chain, page)
            if page.is_last:
                self._add_statement(chain)
                chain = []
        if chain:
            self._problem("missing_page", "the last page of a statement is not in the file")
        if not self._statements and not self._findings:
            self._problem("missing_element", "there is no Stmt")

    def _page(self, element: Element, message: Element) -> _Page | None:
        number = _page_number(element, message)
        is_last = _is_last_page(element, message)
        known = len(self._findings)
        opening, closing = self._balances(element, is_first=number == 1, is_last=is_last)
        if opening is None or closing is None:
            if len(self._findings) > known or self._has_unknown_currency(element):
                return None
            reason = (
                "a booked balance is missing: OPBD or PRCD, and CLBD (ITBD between pages); an "
                "available balance (OPAV, CLAV) does not say what was booked"
            )
            self._problem("missing_balance", reason)
            return None
        if opening.money.currency_code != closing.money.currency_code:
            reason = (
                f"it opens in {opening.money.currency_code} and closes in "
                f"{closing.money.currency_code}"
            )
            self._problem("mixed_currencies", reason)
        account = text_of(element, "Acct/Id/Othr/Id") or text_of(element, "Acct/Id/IBAN")
        row: Row = {
            "line_number": len(self._statements) + 1,
            "statement_id": text_of(element, "Id"),
            "bank_account_id": account,
            "statement_date": closing.day,
            "sequence_number": self._number(element),
            "currency_code": opening.money.currency_code,
            "opening_balance_minor": opening.money.amount_minor,
            "closing_balance_minor": closing.money.amount_minor,
        }
        summary = child(element, "TxsSummry")
        exponent = CURRENCY_EXPONENTS[opening.money.currency_code]
        declared = {} if summary is None else declared_figures(summary, exponent)
        return _Page(row, number, is_last, opening, closing, declared)

    def _balances(
        self, element: Element, *, is_first: bool, is_last: bool
    ) -> tuple[_Balance | None, _Balance | None]:
        """Return the balances a page opens and closes with."""
        interim = self._balances_of(element, "ITBD", is_final=False)
        opening = self._balances_of(element, "OPBD") or self._balances_of(element, "PRCD")
        closing = self._balances_of(element, "CLBD")
        for found in (opening, closing):
            if len({balance.money for balance in found}) > 1:
                self._problem("several_balances", "a balance is stated twice, differently")
        if not opening and not is_first:
            opening = interim[:1]
        if not closing and not is_last:
            closing = interim[-1:]
        return (opening[0] if opening else None), (closing[0] if closing else None)

    def _has_unknown_currency(self, element: Element) -> bool:
        """Say whether a balance is in no known currency, which has been flagged once."""
        found = [signed_money_of(balance) for balance in children(element, "Bal")]
        return any(isinstance(money, tuple) and money[0] == "unknown_currency" for money in found)

    def _number(self, element: Element) -> int | None:
        """Return the bank's number of the statement, or None: the element is optional."""
        for name in ("ElctrncSeqNb", "LglSeqNb"):
            text = text_of(element, name)
            if text is None:
                continue
            if text.isascii() and text.isdigit() and len(text) <= _NUMBER_DIGITS_MAX:
                return int(text)
            reason = f"{name} is '{masked_excerpt(text)}'; it has to be at most 18 digits"
            self._problem("not_a_number", reason, field="sequence_number")
        return None

    def _balances_of(self, element: Element, code: str, *, is_final: bool = True) -> list[_Balance]:
        found = []
        for balance in children(element, "Bal"):
            if text_of(balance, "Tp/CdOrPrtry/Cd") != code:
                continue
            money = signed_money_of(balance)
            if isinstance(money, tuple):
                reason_code, reason = money
                is_repeated = reason_code == "unknown_currency" and self._entries.knows_of_currency(
                    reason
                )
                if not is_repeated:
                    self._problem(reason_code, f"the balance {code}: {reason}")
                continue
            day = day_of(balance, "Dt")
            unread = unread_day(balance, "Dt") if day is None else None
            if unread is not None:
                self._problem("not_a_date", f"the balance {code}: {unread}", field="statement_date")
            found.append(_Balance(money, day, is_final, unread is not None))
        return found

    def _chained(self, chain: list[_Page], page: _Page) -> list[_Page]:
        """Return the pages of a statement as far as they are read, with one more."""
        if chain and not _follows(chain[-1], page):
            reason = "a page continues the one before: same account and number, next page, balance"
            self._problem("broken_pages", reason)
            chain = []
        if not chain and page.page_number != 1:
            self._problem("missing_page", "the pages before this one are not in the file")
        chain.append(page)
        return chain

    def _add_statement(self, pages: Sequence[_Page]) -> None:
        """Make a statement of its pages."""
        first, last = pages[0], pages[-1]
        statement = {
            **first.row,
            "statement_date": last.row["statement_date"],
            "closing_balance_minor": last.row["closing_balance_minor"],
            "entry_count": 0,
        }
        self._check_name(statement, last.closing)
        statement["sequence_number"] = self._sequence(statement)
        self._statements.append(statement)
        for page in pages:
            page.statement = statement
        last.pages = pages

    def _sequence(self, statement: Row) -> int:
        """Return the statement's number, by the bank or else by the file's name and its place."""
        before = [
            other
            for other in self._statements
            if other["bank_account_id"] == statement["bank_account_id"]
        ]
        return sequence_of(
            statement["sequence_number"], self._context.name_parts, ordinal=len(before) + 1
        )

    def _check_name(self, row: Row, closing: _Balance) -> None:
        """Compare account, date and number with the file's name; say what the bank left out."""
        missing = {
            "bank_account_id": "Acct/Id has neither Othr/Id nor IBAN",
            "statement_id": "the statement has no Id",
            "statement_date": "the closing balance has no date (Dt)",
        }
        for name, reason in missing.items():
            is_unread = name == "statement_date" and closing.day_is_unread
            if row[name] is None and not is_unread:
                self._problem("missing_element", reason, field=name)
        if row["bank_account_id"] is None or row["statement_date"] is None:
            return
        for name, reason_code, reason in wrong_names(row, self._context):
            self._problem(reason_code, reason, field=name)

    def _problem(self, reason_code: str, reason: str, *, field: str = "") -> None:
        self._findings.add(file_problem(reason_code, reason, field=field))


def _page_number(element: Element, message: Element) -> int:
    """Return the number of the page, by the statement or else by the message; 1 for a whole."""
    text = text_of(element, "StmtPgntn/PgNb") or text_of(message, "GrpHdr/MsgPgntn/PgNb") or "1"
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 5 else 0


def _is_last_page(element: Element, message: Element) -> bool:
    own = truth(text_of(element, "StmtPgntn/LastPgInd"))
    if own is not None:
        return own
    return truth(text_of(message, "GrpHdr/MsgPgntn/LastPgInd")) is not False


def _totals(page: _Page) -> Iterator[ControlTotal]:
    """Yield a page's totals: its TxsSummry, and behind the last page those of the balances.

    Of an unread entry they say nothing more than its own finding.
    """
    if page.is_whole:
        yield from page.counted.totals(page.declared, page.row["currency_code"])
    if page.statement is None or not page.pages or not all(other.is_whole for other in page.pages):
        return
    running = page.statement["opening_balance_minor"]
    currency = page.statement["currency_code"]
    for other in page.pages:
        running += other.counted.booked.net
        if not other.closing.is_final:
            stated = other.closing.money.amount_minor
            yield ControlTotal(f"interim_balance {other.page_number}", stated, running, currency)
    closing = page.statement["closing_balance_minor"]
    yield ControlTotal("closing_balance", closing, running, currency)


def _follows(before: _Page, page: _Page) -> bool:
    names = ("bank_account_id", "sequence_number", "currency_code")
    return (
        all(before.row[name] == page.row[name] for name in names)
        and page.page_number == before.page_number + 1
        # A bank may repeat the statement's own balances on each page.
        and (page.opening.is_final or page.opening.money == before.closing.money)
    )
