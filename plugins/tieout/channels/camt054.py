"""ISO 20022 camt.054: a bank's notifications of credits and debits (formats.md §6.1).

A notification tells of single bookings between two statements: a payout that left, one that came
back. It has no balances and proves none, so nothing of it is an arrival: the statement of the day
(camt.053, MT940) shows the same money again, and only that one is counted.
"""

from __future__ import annotations

from datetime import date

import polars as pl

from tieout.channels.amounts import CURRENCY_EXPONENTS
from tieout.channels.camt_entries import DETAIL_SCHEMA, ENTRY_SCHEMA, EntryReader, Row
from tieout.channels.camt_summary import declared_figures, figures_of, summary_totals
from tieout.channels.excerpts import masked_excerpt
from tieout.channels.iso20022 import (
    Element,
    child,
    children,
    day_of,
    message_of,
    text_of,
    unread_day,
)
from tieout.channels.model import BadRow, ControlTotal, FileContext, ParsedFile, file_problem
from tieout.channels.whole_reading import WholeReading
from tieout.secrets import mask_account

__all__ = ["DETAILS_TABLE", "ENTRIES_SCHEMA", "ENTRIES_TABLE", "VERSIONS", "Camt054Reading"]

ENTRIES_TABLE = "bank_notification_entries"
DETAILS_TABLE = "bank_notification_details"
VERSIONS = ("02", "03", "04", "05", "06", "07", "08")

ENTRIES_SCHEMA = {
    "line_number": pl.Int32,
    "notification_id": pl.String,
    "bank_account_id": pl.String,
    "notification_date": pl.Date,
    "entry_state": pl.String,
    **ENTRY_SCHEMA,
}


class Camt054Reading(WholeReading):
    """Reads the notified entries and their details; amounts signed, + = credit.

    `line_number` is the ordinal of the entry in the file. Entries of every state are kept, with
    their state. The content may be a ZIP that holds the XML alone.

    Raises:
        UnreadableFileError: no XML, an unsafe one, or not a camt.054 of a known version.
    """

    def parsed(self, content: bytes) -> ParsedFile:
        """Return the whole file."""
        message = message_of(
            content, name="camt.054.001", element_name="BkToCstmrDbtCdtNtfctn", versions=VERSIONS
        )
        reader = _Reader(self.context)
        for element in children(message, "Ntfctn"):
            reader.read_notification(element, day_of(message, "GrpHdr/CreDtTm"))
        if not reader.dates and not reader.bad_rows:
            reader.bad_rows.append(file_problem("missing_element", "there is no Ntfctn"))
        entries = pl.DataFrame(reader.entries.lines, schema=ENTRIES_SCHEMA, orient="row")
        return ParsedFile(
            frames={
                ENTRIES_TABLE: entries,
                DETAILS_TABLE: pl.DataFrame(
                    reader.entries.details, schema=DETAIL_SCHEMA, orient="row"
                ),
            },
            row_count=len(entries),
            accounting_date=reader.dates.pop() if len(reader.dates) == 1 else None,
            totals=tuple(reader.totals),
            bad_rows=(*reader.bad_rows, *reader.entries.bad_rows),
        )


class _Reader:
    """Collects one file's entries, totals and findings."""

    def __init__(self, context: FileContext) -> None:
        self.context = context
        self.entries = EntryReader(context.vault, allows_unknown_amounts=True)
        self.dates: set[date] = set()
        self.totals: list[ControlTotal] = []
        self.bad_rows: list[BadRow] = []

    def read_notification(self, element: Element, message_day: date | None) -> None:
        """Read one Ntfctn: the entries of one account."""
        own_day = day_of(element, "CreDtTm")
        unread = unread_day(element, "CreDtTm") if own_day is None else None
        if unread is not None:
            self._file_problem("not_a_date", unread, field="notification_date")
        common = self._common(element, own_day or message_day)
        rows: list[Row] = []
        is_whole = True
        for entry in children(element, "Ntry"):
            self.entries.begin(entry)
            state = self.entries.state_of(entry)
            if state is None:
                is_whole = False
                continue
            row = self.entries.read(
                entry, {**common, "entry_state": state}, needs_booking_date=False
            )
            is_whole = is_whole and row is not None
            rows += [row] if row is not None else []
        account_currency = text_of(element, "Acct/Ccy")
        currencies = {row["currency_code"] for row in rows}
        if account_currency is not None and not currencies <= {account_currency}:
            names = ", ".join(sorted(currencies - {account_currency}))
            reason = f"entries are in {names}, the account is in {masked_excerpt(account_currency)}"
            self._file_problem("wrong_currency", reason)
        # Of an unread entry the totals say nothing more than its own finding.
        if is_whole:
            self._compare_summary(element, rows)

    def _common(self, element: Element, day: date | None) -> Row:
        """Return what all entries of a notification share; compare it with the file's name."""
        common: Row = {
            "notification_id": text_of(element, "Id"),
            "bank_account_id": text_of(element, "Acct/Id/Othr/Id")
            or text_of(element, "Acct/Id/IBAN"),
            "notification_date": day,
        }
        for name, value in common.items():
            if value is None:
                self._file_problem("missing_element", f"the notification has no {name}", field=name)
        expected = self.context.name_parts.get("bank_account_id")
        if expected is not None and common["bank_account_id"] not in {None, expected}:
            inside = mask_account(common["bank_account_id"] or "")
            reason = f"inside is the account {inside}, in the name {mask_account(expected)}"
            self._file_problem("wrong_name", reason, field="bank_account_id")
        if day is not None:
            self.dates.add(day)
        return common

    def _compare_summary(self, element: Element, rows: list[Row]) -> None:
        """Compare TxsSummry with the entries: booked ones, or all of them."""
        summary = child(element, "TxsSummry")
        if summary is None:
            return
        exponents = {CURRENCY_EXPONENTS[row["currency_code"]] for row in rows} or {2}
        if len(exponents) > 1:
            self._file_problem("mixed_currencies", "its totals are of several currencies")
            return
        every = [row["amount_minor"] for row in rows]
        booked = [row["amount_minor"] for row in rows if row["entry_state"] == "BOOK"]
        declared = declared_figures(summary, exponents.pop())
        counted = figures_of(declared, booked, every)
        currency = rows[0]["currency_code"] if rows else None
        self.totals += summary_totals(declared, counted, currency)

    def _file_problem(self, reason_code: str, reason: str, *, field: str = "") -> None:
        self.bad_rows.append(file_problem(reason_code, reason, field=field))
