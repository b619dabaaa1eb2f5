"""ISO 20022 camt.053: a bank's statements of its accounts (formats.md §6.1).

Only booked entries (BOOK) count; opening balance plus entries has to be the closing balance. A
statement in pages (StmtPgntn, MsgPgntn) is put together from the pages of its file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

import polars as pl

from tieout.channels.amounts import CURRENCY_EXPONENTS
from tieout.channels.bank_names import sequence_of, wrong_names
from tieout.channels.camt_entries import DETAIL_SCHEMA, ENTRY_SCHEMA, EntryReader, Row
from tieout.channels.camt_summary import declared_figures, figures_of, summary_totals
from tieout.channels.excerpts import masked_excerpt
from tieout.channels.iso20022 import (
    Element,
    Money,
    child,
    children,
    day_of,
    message_of,
    safe_xml,
    signed_money_of,
    text_of,
    truth,
    unread_day,
)
from tieout.channels.model import (
    BadRow,
    ControlTotal,
    FileContext,
    ParsedFile,
    file_problem,
)
from tieout.channels.whole_reading import WholeReading

__all__ = [
    "DETAILS_TABLE",
    "DETAIL_SCHEMA",
    "LINES_TABLE",
    "LINE_SCHEMA",
    "STATEMENTS_TABLE",
    "STATEMENT_SCHEMA",
    "VERSIONS",
    "Camt053Reading",
    "safe_xml",
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


class Camt053Reading(WholeReading):
    """Reads statements, their booked lines and the lines' details; amounts signed, + = credit.

    `line_number` is the ordinal of the statement, and of the entry in the file. The content may be
    a ZIP that holds the XML alone.

    Raises:
        UnreadableFileError: no XML, an unsafe one, or not a camt.053 of a known version.
    """

    def parsed(self, content: bytes) -> ParsedFile:
        """Return the whole file."""
        message = message_of(
            content, name="camt.053.001", element_name="BkToCstmrStmt", versions=VERSIONS
        )
        reader = _Reader(self.context)
        for element in children(message, "Stmt"):
            reader.read_page(element, message)
        reader.finish()
        dates = {row["statement_date"] for row in reader.statements}
        lines = pl.DataFrame(reader.entries.lines, schema=LINE_SCHEMA, orient="row")
        details = pl.DataFrame(reader.entries.details, schema=DETAIL_SCHEMA, orient="row")
        return ParsedFile(
            frames={
                STATEMENTS_TABLE: pl.DataFrame(
                    reader.statements, schema=STATEMENT_SCHEMA, orient="row"
                ),
                LINES_TABLE: lines,
                DETAILS_TABLE: details,
            },
            row_count=len(lines),
            accounting_date=dates.pop() if len(dates) == 1 else None,
            totals=tuple(reader.totals),
            declared_total_minor=reader.declared_movement_minor,
            counted_total_minor=int(lines["amount_minor"].sum()),
            bad_rows=(*reader.bad_rows, *reader.entries.bad_rows),
        )


@dataclass(frozen=True, slots=True)
class _Balance:
    """A balance; `is_final` is False for the interim one (ITBD) between two pages."""

    money: Money
    day: date | None
    is_final: bool
    day_is_unread: bool = False


@dataclass(slots=True)
class _Page:
    """One Stmt: a whole statement, or a page of one."""

    row: Row
    page_number: int
    is_last: bool
    opening: _Balance
    closing: _Balance
    lines: list[Row] = field(default_factory=list)
    is_whole: bool = True


class _Reader:
    """Collects one file's rows, totals and findings."""

    def __init__(self, context: FileContext) -> None:
        self.context = context
        self.entries = EntryReader(context.vault)
        self.statements: list[Row] = []
        self.totals: list[ControlTotal] = []
        self.bad_rows: list[BadRow] = []
        self.declared_movement_minor = 0
        self._pages: list[_Page] = []

    def read_page(self, element: Element, message: Element) -> None:
        """Read one Stmt: its balances, its entries, and whether they fit together."""
        page = self._page(element, message)
        if page is None:
            return
        all_amounts: list[int] = []
        first_line = len(self.entries.lines)
        for entry in children(element, "Ntry"):
            self.entries.begin(entry)
            self._read_entry(entry, page, all_amounts)
        page.lines = self.entries.lines[first_line:]
        self._compare_summary(element, page, all_amounts)
        self._add_page(page)

    def finish(self) -> None:
        """Say so where the last page is missing, or there was no statement at all."""
        if self._pages:
            self._file_problem("missing_page", "the last page of a statement is not in the file")
        if not self.statements and not self.bad_rows:
            self._file_problem("missing_element", "there is no Stmt")

    def _page(self, element: Element, message: Element) -> _Page | None:
        number = _page_number(element, message)
        is_last = _is_last_page(element, message)
        known = len(self.bad_rows)
        opening, closing = self._balances(element, is_first=number == 1, is_last=is_last)
        if opening is None or closing is None:
            if len(self.bad_rows) > known or self._has_unknown_currency(element):
                return None
            reason = (
                "a booked balance is missing: OPBD or PRCD, and CLBD (ITBD between pages); an "
                "available balance (OPAV, CLAV) does not say what was booked"
            )
            self._file_problem("missing_balance", reason)
            return None
        if opening.money.currency_code != closing.money.currency_code:
            reason = (
                f"it opens in {opening.money.currency_code} and closes in "
                f"{closing.money.currency_code}"
            )
            self._file_problem("mixed_currencies", reason)
        account = text_of(element, "Acct/Id/Othr/Id") or text_of(element, "Acct/Id/IBAN")
        row: Row = {
            "line_number": len(self.statements) + 1,
            "statement_id": text_of(element, "Id"),
            "bank_account_id": account,
            "statement_date": closing.day,
            "sequence_number": self._number(element),
            "currency_code": opening.money.currency_code,
            "opening_balance_minor": opening.money.amount_minor,
            "closing_balance_minor": closing.money.amount_minor,
        }
        return _Page(row, number, is_last, opening, closing)

    def _balances(
        self, element: Element, *, is_first: bool, is_last: bool
    ) -> tuple[_Balance | None, _Balance | None]:
        """Return the balances a page opens and closes with."""
        interim = self._balances_of(element, "ITBD", is_final=False)
        opening = self._balances_of(element, "OPBD") or self._balances_of(element, "PRCD")
        closing = self._balances_of(element, "CLBD")
        for found in (opening, closing):
            if len({balance.money for balance in found}) > 1:
                self._file_problem("several_balances", "a balance is stated twice, differently")
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
            self._file_problem("not_a_number", reason, field="sequence_number")
        return None

    def _balances_of(self, element: Element, code: str, *, is_final: bool = True) -> list[_Balance]:
        found = []
        for balance in children(element, "Bal"):
            if text_of(balance, "Tp/CdOrPrtry/Cd") != code:
                continue
            money = signed_money_of(balance)
            if isinstance(money, tuple):
                reason_code, reason = money
                is_repeated = reason_code == "unknown_currency" and self.entries.knows_of_currency(
                    reason
                )
                if not is_repeated:
                    self._file_problem(reason_code, f"the balance {code}: {reason}")
                continue
            day = day_of(balance, "Dt")
            unread = unread_day(balance, "Dt") if day is None else None
            if unread is not None:
                self._file_problem(
                    "not_a_date", f"the balance {code}: {unread}", field="statement_date"
                )
            found.append(_Balance(money, day, is_final, unread is not None))
        return found

    def _read_entry(self, entry: Element, page: _Page, all_amounts: list[int]) -> None:
        state = self.entries.state_of(entry)
        if state is None:
            page.is_whole = False
            return
        if state != "BOOK":
            money = signed_money_of(entry)
            all_amounts += [money.amount_minor] if isinstance(money, Money) else []
            return
        names = ("statement_id", "bank_account_id", "statement_date")
        common = {name: page.row[name] for name in names}
        row = self.entries.read(entry, common, needs_booking_date=True)
        if row is None:
            page.is_whole = False
            return
        all_amounts.append(row["amount_minor"])
        if row["currency_code"] != page.row["currency_code"]:
            reason = f"it is in {row['currency_code']}, the balances in {page.row['currency_code']}"
            self.entries.flag("Amt", "wrong_currency", reason)

    def _add_page(self, page: _Page) -> None:
        """Chain a page to those before it; the last one makes the statement."""
        before = self._pages[-1] if self._pages else None
        if before is not None and not _follows(before, page):
            reason = "a page continues the one before: same account and number, next page, balance"
            self._file_problem("broken_pages", reason)
            self._pages, before = [], None
        if before is None and page.page_number != 1:
            self._file_problem("missing_page", "the pages before this one are not in the file")
        self._pages.append(page)
        if page.is_last:
            self._add_statement(self._pages)
            self._pages = []

    def _add_statement(self, pages: Sequence[_Page]) -> None:
        first, last = pages[0], pages[-1]
        lines = [line for page in pages for line in page.lines]
        statement = {
            **first.row,
            "statement_date": last.row["statement_date"],
            "closing_balance_minor": last.row["closing_balance_minor"],
            "entry_count": len(lines),
        }
        for line in lines:
            line["statement_id"] = statement["statement_id"]
            line["statement_date"] = statement["statement_date"]
        self._check_name(statement, last.closing)
        statement["sequence_number"] = self._sequence(statement)
        self.statements.append(statement)
        self.declared_movement_minor += (
            statement["closing_balance_minor"] - statement["opening_balance_minor"]
        )
        # Of an unread entry the balances say nothing more than its own finding.
        if all(page.is_whole for page in pages):
            self._add_totals(statement, pages)

    def _add_totals(self, statement: Row, pages: Sequence[_Page]) -> None:
        """Compare each page's balance, and the statement's, with the entries."""
        running = statement["opening_balance_minor"]
        for page in pages:
            running += sum(line["amount_minor"] for line in page.lines)
            if not page.closing.is_final:
                self.totals.append(
                    ControlTotal(
                        f"interim_balance {page.page_number}",
                        page.closing.money.amount_minor,
                        running,
                        statement["currency_code"],
                    )
                )
        closing = statement["closing_balance_minor"]
        self.totals.append(
            ControlTotal("closing_balance", closing, running, statement["currency_code"])
        )

    def _sequence(self, statement: Row) -> int:
        """Return the statement's number, by the bank or else by the file's name and its place."""
        before = [
            other
            for other in self.statements
            if other["bank_account_id"] == statement["bank_account_id"]
        ]
        return sequence_of(
            statement["sequence_number"], self.context.name_parts, ordinal=len(before) + 1
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
                self._file_problem("missing_element", reason, field=name)
        if row["bank_account_id"] is None or row["statement_date"] is None:
            return
        for name, reason_code, reason in wrong_names(row, self.context):
            self._file_problem(reason_code, reason, field=name)

    def _compare_summary(self, element: Element, page: _Page, all_amounts: Sequence[int]) -> None:
        """Compare TxsSummry where the bank wrote one."""
        summary = child(element, "TxsSummry")
        if summary is None or not page.is_whole:
            return
        declared = declared_figures(summary, CURRENCY_EXPONENTS[page.row["currency_code"]])
        booked = [line["amount_minor"] for line in page.lines]
        counted = figures_of(declared, booked, all_amounts)
        self.totals += summary_totals(declared, counted, page.row["currency_code"])

    def _file_problem(self, reason_code: str, reason: str, *, field: str = "") -> None:
        self.bad_rows.append(file_problem(reason_code, reason, field=field))


def _page_number(element: Element, message: Element) -> int:
    """Return the number of the page, by the statement or else by the message; 1 for a whole."""
    text = text_of(element, "StmtPgntn/PgNb") or text_of(message, "GrpHdr/MsgPgntn/PgNb") or "1"
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 5 else 0


def _is_last_page(element: Element, message: Element) -> bool:
    own = truth(text_of(element, "StmtPgntn/LastPgInd"))
    if own is not None:
        return own
    return truth(text_of(message, "GrpHdr/MsgPgntn/LastPgInd")) is not False


def _follows(before: _Page, page: _Page) -> bool:
    names = ("bank_account_id", "sequence_number", "currency_code")
    return (
        all(before.row[name] == page.row[name] for name in names)
        and page.page_number == before.page_number + 1
        # A bank may repeat the statement's own balances on each page.
        and (page.opening.is_final or page.opening.money == before.closing.money)
    )
