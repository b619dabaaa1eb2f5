"""ISO 20022 camt.054: a bank's notifications of credits and debits.

Format: docs/formats/camt054.md.

A notification tells of single bookings between two statements: a payout that left, one that came
back. It has no balances and proves none, so nothing of it is an arrival: the statement of the day
(camt.053, MT940) shows the same money again, and only that one is counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import IO

import polars as pl

from tieout.channels.bank.camt_entries import ENTRY_SCHEMA, EntryReader, Row
from tieout.channels.bank.camt_stream import MessageStream, maybe_zipped
from tieout.channels.bank.camt_summary import CountedEntries, declared_figures
from tieout.channels.bank.iso20022 import (
    Element,
    child,
    children,
    day_of,
    text_of,
    unread_day,
)
from tieout.channels.common.excerpts import masked_excerpt
from tieout.channels.common.model import (
    ControlTotal,
    FileContext,
    Findings,
    Frames,
    ParsedFile,
    file_problem,
)
from tieout.core.masks import mask_account
from tieout.core.money import CURRENCY_EXPONENTS

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


@dataclass(slots=True)
class _Notification:
    """One Ntfctn: what its entries share, and what is counted of them."""

    common: Row
    account_currency: str | None
    # Its figures are read in the currency of the entries.
    summary: Element | None
    is_whole: bool = True
    # In the order of their first entries.
    currencies: dict[str, None] = field(default_factory=dict)
    counted: CountedEntries = field(default_factory=CountedEntries)


class Camt054Reading:
    """Reads the notified entries and their details; amounts signed, + = credit.

    `line_number` is the ordinal of the entry in the file. Entries of every state are kept, with
    their state. The content may be a ZIP that holds the XML alone. It is read once for what stands
    around the entries, then for the entries.
    """

    def __init__(self, context: FileContext) -> None:
        self._context = context
        self._findings = Findings()
        self._entries = EntryReader(context, self._findings, allows_unknown_amounts=True)
        self._notifications: list[_Notification] = []
        self._dates: set[date] = set()

    def blocks(self, stream: IO[bytes]) -> Iterator[Frames]:
        """Yield the rows block by block; see `Reading`.

        Raises:
            UnreadableFileError: no XML, an unsafe one, or not a camt.054 of a known version.
        """
        with maybe_zipped(stream) as xml:
            message = MessageStream(xml, element_name="BkToCstmrDbtCdtNtfctn", group_name="Ntfctn")
            self._read_notifications(
                message.without_entries(name="camt.054.001", versions=VERSIONS)
            )
            for position, entry in message.entries():
                self._read_entry(entry, self._notifications[position])
                if self._entries.has_block:
                    yield self._block()
        yield self._block()

    def finish(self) -> ParsedFile:
        """Return totals and findings of the whole file."""
        totals: list[ControlTotal] = []
        for notification in self._notifications:
            self._check_currency(notification)
            # Of an unread entry the totals say nothing more than its own finding.
            if notification.is_whole:
                totals += self._totals(notification)
        return ParsedFile(
            frames={},
            row_count=self._entries.row_count,
            accounting_date=self._dates.pop() if len(self._dates) == 1 else None,
            totals=tuple(totals),
            bad_rows=self._findings.bad_rows,
        )

    def _block(self) -> Frames:
        entries, details = self._entries.take_block(ENTRIES_SCHEMA)
        return {ENTRIES_TABLE: entries, DETAILS_TABLE: details}

    def _read_notifications(self, message: Element) -> None:
        """Read what each notification says of itself."""
        message_day = day_of(message, "GrpHdr/CreDtTm")
        for element in children(message, "Ntfctn"):
            self._notifications.append(
                _Notification(
                    self._common(element, message_day),
                    text_of(element, "Acct/Ccy"),
                    child(element, "TxsSummry"),
                )
            )
        if not self._notifications:
            self._problem("missing_element", "there is no Ntfctn")

    def _common(self, element: Element, message_day: date | None) -> Row:
        """Return what all entries of a notification share; compare it with the file's name."""
        own_day = day_of(element, "CreDtTm")
        unread = unread_day(element, "CreDtTm") if own_day is None else None
        if unread is not None:
            self._problem("not_a_date", unread, field="notification_date")
        day = own_day or message_day
        common: Row = {
            "notification_id": text_of(element, "Id"),
            "bank_account_id": text_of(element, "Acct/Id/Othr/Id")
            or text_of(element, "Acct/Id/IBAN"),
            "notification_date": day,
        }
        for name, value in common.items():
            if value is None:
                self._problem("missing_element", f"the notification has no {name}", field=name)
        expected = self._context.name_parts.get("bank_account_id")
        if expected is not None and common["bank_account_id"] not in {None, expected}:
            inside = mask_account(common["bank_account_id"] or "")
            reason = f"inside is the account {inside}, in the name {mask_account(expected)}"
            self._problem("wrong_name", reason, field="bank_account_id")
        if day is not None:
            self._dates.add(day)
        return common

    def _read_entry(self, entry: Element, notification: _Notification) -> None:
        self._entries.begin(entry)
        state = self._entries.state_of(entry)
        row = None
        if state is not None:
            common = {**notification.common, "entry_state": state}
            row = self._entries.read(entry, common, needs_booking_date=False)
        if row is None:
            notification.is_whole = False
            return
        notification.currencies[row["currency_code"]] = None
        notification.counted.add(row["amount_minor"], is_booked=state == "BOOK")

    def _check_currency(self, notification: _Notification) -> None:
        account_currency = notification.account_currency
        others = notification.currencies.keys() - {account_currency}
        if account_currency is not None and others:
            names = ", ".join(sorted(others))
            reason = f"entries are in {names}, the account is in {masked_excerpt(account_currency)}"
            self._problem("wrong_currency", reason)

    def _totals(self, notification: _Notification) -> list[ControlTotal]:
        """Compare TxsSummry with the entries: booked ones, or all of them."""
        if notification.summary is None:
            return []
        exponents = {CURRENCY_EXPONENTS[code] for code in notification.currencies} or {2}
        if len(exponents) > 1:
            self._problem("mixed_currencies", "its totals are of several currencies")
            return []
        declared = declared_figures(notification.summary, exponents.pop())
        return notification.counted.totals(declared, next(iter(notification.currencies), None))

    def _problem(self, reason_code: str, reason: str, *, field: str = "") -> None:
        self._findings.add(file_problem(reason_code, reason, field=field))
