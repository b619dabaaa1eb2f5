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
from tieout.channels.camt_entries import DETAIL_SCHEMA, ENTRY_SCHEMA, EntryReader, Row
from tieout.channels.camt_summary import declared_figures, figures_of
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
)
from tieout.channels.model import (
    BadRow,
    ControlTotal,
    FileContext,
    ParsedFile,
    file_problem,
)

__all__ = [
    "DETAILS_TABLE",
    "DETAIL_SCHEMA",
    "LINES_TABLE",
    "LINE_SCHEMA",
    "STATEMENTS_TABLE",
    "STATEMENT_SCHEMA",
    "VERSIONS",
    "parse",
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
_SEQUENCE_MAX = 2**31 - 1


def parse(content: bytes, context: FileContext) -> ParsedFile:
    """Return statements, their booked lines and the lines' details; amounts signed, + = credit.

    `line_number` is the ordinal of the statement, and of the entry in the file. The content may be
    a ZIP that holds the XML alone.

    Raises:
        UnreadableFileError: no XML, an unsafe one, or not a camt.053 of a known version.
    """
    message = message_of(
        content, name="camt.053.001", element_name="BkToCstmrStmt", versions=VERSIONS
    )
    reader = _Reader(context)
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


@dataclass(slots=True)
class _Page:
    """One Stmt: a whole statement, or a page of one."""

    row: Row
    page_number: int
    is_last: bool
    opening: _Balance
    closing: _Balance
    lines: list[Row] = field(default_factory=list)


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
            self.entries.entry_number += 1
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
        opening, closing = self._balances(element, is_first=number == 1, is_last=is_last)
        if opening is None or closing is None:
            reason = (
                "a booked balance is missing: OPBD or PRCD, and CLBD (ITBD between pages); an "
                "available balance (OPAV, CLAV) does not say what was booked"
            )
            self._file_problem("missing_balance", reason)
            return None
        if opening.money.currency_code != closing.money.currency_code:
            self._file_problem("mixed_currencies", "the balances are in several currencies")
        sequence = text_of(element, "ElctrncSeqNb") or text_of(element, "LglSeqNb") or ""
        is_number = sequence.isascii() and sequence.isdigit() and int(sequence) <= _SEQUENCE_MAX
        row: Row = {
            "line_number": len(self.statements) + 1,
            "statement_id": text_of(element, "Id"),
            "bank_account_id": text_of(element, "Acct/Id/Othr/Id")
            or text_of(element, "Acct/Id/IBAN"),
            "statement_date": closing.day,
            "sequence_number": int(sequence) if is_number else None,
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

    def _balances_of(self, element: Element, code: str, *, is_final: bool = True) -> list[_Balance]:
        found = []
        for balance in children(element, "Bal"):
            if text_of(balance, "Tp/CdOrPrtry/Cd") != code:
                continue
            money = signed_money_of(balance)
            if isinstance(money, str):
                self._file_problem(money, f"the balance {code} is no exact amount with a sign")
            else:
                found.append(_Balance(money, day_of(balance, "Dt"), is_final))
        return found

    def _read_entry(self, entry: Element, page: _Page, all_amounts: list[int]) -> None:
        state = self.entries.state_of(entry)
        if state is None:
            return
        if state != "BOOK":
            money = signed_money_of(entry)
            all_amounts += [money.amount_minor] if isinstance(money, Money) else []
            return
        names = ("statement_id", "bank_account_id", "statement_date")
        common = {name: page.row[name] for name in names}
        row = self.entries.read(entry, common, needs_booking_date=True)
        if row is None:
            return
        all_amounts.append(row["amount_minor"])
        if row["currency_code"] != page.row["currency_code"]:
            self.entries.flag("Amt", "wrong_currency", "it is not the account's currency")

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
        self._check_name(statement)
        self.statements.append(statement)
        running = statement["opening_balance_minor"]
        for page in pages:
            running += sum(line["amount_minor"] for line in page.lines)
            if not page.closing.is_final:
                self.totals.append(
                    ControlTotal(
                        f"interim_balance {page.page_number}",
                        page.closing.money.amount_minor,
                        running,
                    )
                )
        closing = statement["closing_balance_minor"]
        self.totals.append(ControlTotal("closing_balance", closing, running))
        self.declared_movement_minor += closing - statement["opening_balance_minor"]

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
        if row["statement_id"] is None:
            self._file_problem("missing_element", "the statement has no Id", field="statement_id")

    def _compare_summary(self, element: Element, page: _Page, all_amounts: Sequence[int]) -> None:
        """Compare TxsSummry where the bank wrote one."""
        summary = child(element, "TxsSummry")
        if summary is None:
            return
        declared = declared_figures(summary, CURRENCY_EXPONENTS[page.row["currency_code"]])
        booked = [line["amount_minor"] for line in page.lines]
        counted = figures_of(declared, booked, all_amounts)
        self.totals += [
            ControlTotal(name, value, counted[name]) for name, value in declared.items()
        ]

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
