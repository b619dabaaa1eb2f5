"""Copy into the inbox what each source owes for a date."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import TypeVar

from tieout.core.progress import say
from tieout.core.settings import Settings
from tieout.fetching.alipay_bills import AlipayBills, application_of
from tieout.fetching.connections import Connections, airflow_connection
from tieout.fetching.inbox import Inbox, Place, Receiver
from tieout.fetching.remote_stores import RemoteFile, RemoteStore, open_store
from tieout.fetching.report import (
    FetchError,
    FetchOutcome,
    FetchReport,
    FetchStatus,
    TransientFetchError,
)
from tieout.fetching.retrying import Sleep, with_retries
from tieout.fetching.sources import (
    Bill,
    FileKind,
    Source,
    bill_of,
    file_kind_of,
    read_sources,
    sources_path,
)
from tieout.fetching.tickets import TicketSource
from tieout.fetching.web import HttpClient, UrlExpiredError
from tieout.fetching.wechat_bills import NoBillError, WechatBills, merchant_of
from tieout.files.expected import owed_files
from tieout.files.stores import find_files

__all__ = ["Tools", "fetch", "lacking"]

Result = TypeVar("Result")

# A URL of a bill may run out between the answer that names it and the download.
URLS_MAX = 3


@dataclass(frozen=True, slots=True)
class Tools:
    """What fetching needs from outside; tests bring their own."""

    connections: Connections = airflow_connection
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    sleep: Sleep = time.sleep


@dataclass(frozen=True, slots=True)
class _Order:
    """One date's files of one source, and how they are written down."""

    source: Source
    day: date
    inbox: Inbox
    tools: Tools
    again: bool
    errors: list[FetchError] = field(default_factory=list)

    def outcome(
        self, kind: FileKind, status: FetchStatus, *, name: str = "", reason: str = ""
    ) -> FetchOutcome:
        """Return what became of a file of the order's date."""
        return FetchOutcome(
            self.source.name, kind.channel, kind.file_kind, self.day, status, name, reason
        )

    def tried(self, kind: FileKind, name: str, call: Callable[[], FetchOutcome]) -> FetchOutcome:
        """Return what `call` returns; a failure is an outcome, too, and is kept."""
        try:
            return call()
        except FetchError as error:
            self.errors.append(error)
            return self.outcome(kind, "failed", name=name, reason=_reason(error))

    def retry(self, call: Callable[[], Result]) -> Result:
        """Call with the source's number of attempts."""
        return with_retries(call, attempts=self.source.attempts, sleep=self.tools.sleep)


def fetch(
    settings: Settings,
    day: date,
    *,
    names: Collection[str] | None = None,
    channels: Collection[str] | None = None,
    kinds: Collection[str] | None = None,
    again: bool = False,
    tools: Tools | None = None,
) -> FetchReport:
    """Copy the files of a date from every source into the inbox; safe to repeat.

    Each source is asked for the date, and for as many dates before it as its `days_back` says. A
    source that fails does not keep the others from being asked.

    Args:
        settings: the home; its list of sources is TIEOUT_SOURCES or `sources.toml` of the home.
        day: the date in the files' names.
        names: only these sources.
        channels: only files of these channels.
        kinds: only these kinds of file.
        again: ask for bills that the inbox has already: is there another version?
        tools: connections, clock and sleep; tests bring their own.

    Returns:
        What became of each file.

    Raises:
        FetchError: the list of sources is not understood.
    """
    sources = read_sources(sources_path(settings))
    unknown = sorted(set(names or ()) - {source.name for source in sources})
    if unknown:
        raise FetchError(
            what=f"there is no source {', '.join(unknown)}",
            where=str(sources_path(settings)),
            why=f"it knows: {', '.join(source.name for source in sources) or 'none'}",
            next_step="check the name",
        )
    inbox = Inbox(settings.inbox_url)

    def is_wanted(kind: FileKind) -> bool:
        return (channels is None or kind.channel in channels) and (
            kinds is None or kind.file_kind in kinds
        )

    outcomes: list[FetchOutcome] = []
    errors: list[FetchError] = []
    for source in sources:
        if names and source.name not in names:
            continue
        for back in range(source.days_back + 1):
            order = _Order(source, day - timedelta(days=back), inbox, tools or Tools(), again)
            outcomes += _fetch_date(order, is_wanted)
            errors += order.errors
            if any(isinstance(error, TransientFetchError) for error in order.errors):
                break  # a source that is down is not asked again for each date
    for outcome in outcomes:
        if outcome.status != "unchanged":
            say(f"fetch: {outcome}")
    return FetchReport(tuple(outcomes), tuple(errors))


def lacking(settings: Settings, report: FetchReport, day: date) -> tuple[FetchOutcome, ...]:
    """Return the failures that leave a hole: files the date owes that are not in the inbox.

    A file may have come another way; a source that is down then stops nothing.
    """
    failed = [outcome for outcome in report.failed if outcome.accounting_date == day]
    if not failed:
        return ()
    owed = {FileKind(file.channel, file.file_kind) for file in owed_files(settings, day)}
    here = {file_kind_of(file.name, day) for file in find_files([settings.inbox_url])}
    return tuple(
        outcome
        for outcome in failed
        if (kind := FileKind(outcome.channel, outcome.file_kind)) in owed
        and (kind, day) not in here
    )


def _fetch_date(order: _Order, is_wanted: Callable[[FileKind], bool]) -> list[FetchOutcome]:
    """Fetch one date; a source that cannot be asked at all has failed for each of its kinds."""
    steps = _store_files if order.source.kind == "store" else _bills
    done: list[FetchOutcome] = []
    try:
        done.extend(steps(order, is_wanted))
    except FetchError as error:
        order.errors.append(error)
        reason = _reason(error)
        return [
            order.outcome(kind, "failed", reason=reason)
            for kind in _kinds(order)
            if is_wanted(kind)
        ]
    return done


def _reason(error: FetchError) -> str:
    return "; ".join(text for text in (error.what, error.where, error.why) if text)


def _kinds(order: _Order) -> list[FileKind]:
    """Return the kinds a source owes, as far as is known without asking it."""
    if order.source.kind == "store":
        return sorted(order.source.files)
    found = []
    for bill in order.source.bills:
        # Names of bills hold the merchant's id, which only the connection knows.
        known = file_kind_of(bill.inbox_name.format_map(_Placeholders(order.day)), order.day)
        found.append(known[0] if known else FileKind("?", bill.inbox_name))
    return found


class _Placeholders(dict[str, object]):
    """Stands in for ids in a bill's name: 16 digits."""

    def __init__(self, day: date) -> None:
        super().__init__(date=day)

    def __missing__(self, key: str) -> str:
        return "0" * 16


# --- stores -------------------------------------------------------------------------------------


def _store_files(order: _Order, is_wanted: Callable[[FileKind], bool]) -> Iterator[FetchOutcome]:
    wanted = {kind for kind in order.source.files if is_wanted(kind)}
    if not wanted:
        return
    connection = (
        order.tools.connections(order.source.connection) if order.source.connection else None
    )
    store = order.retry(lambda: open_store(order.source, connection))
    try:
        first = order.retry(lambda: _listed(store, order.day, wanted))
        if first:
            order.tools.sleep(order.source.settle_seconds)
        for kind, file in first:
            yield order.tried(kind, file.name, partial(_copy, order, store, kind, file))
    finally:
        store.close()
    for kind in sorted(wanted - {kind for kind, _ in first}):
        yield order.outcome(kind, "not_there")


def _listed(
    store: RemoteStore, day: date, wanted: set[FileKind]
) -> list[tuple[FileKind, RemoteFile]]:
    """Return the store's files of the date that are of a wanted kind."""
    found = []
    for file in store.files(day):
        known = file_kind_of(file.name, day)
        if known is not None and known[0] in wanted and known[1] == day:
            found.append((known[0], file))
    return found


def _copy(order: _Order, store: RemoteStore, kind: FileKind, file: RemoteFile) -> FetchOutcome:
    """Copy one file, if it is the same at three looks: listed, before and after the copy."""
    place = Place(kind.channel, order.day, file.name)
    if order.retry(lambda: store.again(file)) != file:
        return _growing(order, kind, file)
    if order.inbox.holds_look_alike(place, file.size_bytes, file.modified):
        return order.outcome(kind, "unchanged", name=file.name)

    def transfer(receiver: Receiver) -> None:
        store.copy(file, receiver)
        if store.again(file) != file:
            raise _ChangedError(what="it changed while it was copied", where=store.shown)

    try:
        delivery = order.retry(
            lambda: order.inbox.receive(
                place, transfer, bytes_max=order.source.bytes_max, modified=file.modified
            )
        )
    except _ChangedError:
        return _growing(order, kind, file)
    return order.outcome(kind, delivery, name=file.name)


def _growing(order: _Order, kind: FileKind, file: RemoteFile) -> FetchOutcome:
    reason = "it changed between two looks, so it is still being written; left for the next fetch"
    return order.outcome(kind, "growing", name=file.name, reason=reason)


class _ChangedError(FetchError):
    """The remote file is another one after the copy than before it."""


# --- bills --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Client:
    """How a bill is had: `offer` asks for it, and gives what downloads it and its SHA-1 if known.

    `offer` returns None when the source has no such bill.
    """

    offer: Callable[[Bill], tuple[Callable[[Receiver], None], str] | None]
    identifiers: Mapping[str, str]


def _bills(order: _Order, is_wanted: Callable[[FileKind], bool]) -> Iterator[FetchOutcome]:
    with _client(order) as client:
        for bill in order.source.bills:
            kind = bill_of(order.source, bill, order.day, client.identifiers)
            if is_wanted(kind):
                place = Place(kind.channel, order.day, bill.name(order.day, client.identifiers))
                yield order.tried(
                    kind, place.file_name, partial(_fetch_bill, order, client, bill, place, kind)
                )


def _fetch_bill(
    order: _Order, client: _Client, bill: Bill, place: Place, kind: FileKind
) -> FetchOutcome:
    # Without a hash only a download could tell; a platform may write each download anew.
    if not order.again and place.file_name in order.inbox.names(place.channel, place.day):
        return order.outcome(kind, "unchanged", name=place.file_name)
    for left in range(URLS_MAX - 1, -1, -1):
        try:
            return order.retry(lambda: _ask_and_get(order, client, bill, place, kind))
        except NoBillError as error:
            return order.outcome(kind, "no_bill", reason=f"{error.what}: {error.why}")
        except UrlExpiredError:
            if not left:
                raise
    raise AssertionError("the last try returns or raises")


def _ask_and_get(
    order: _Order, client: _Client, bill: Bill, place: Place, kind: FileKind
) -> FetchOutcome:
    """Ask for a URL and use it at once: a second try asks for a new one."""
    offer = client.offer(bill)
    if offer is None:
        return order.outcome(kind, "not_there")
    transfer, sha1 = offer
    if sha1 and order.inbox.holds_hash(place, "sha1", sha1):
        return order.outcome(kind, "unchanged", name=place.file_name)
    delivery = order.inbox.receive(place, transfer, bytes_max=order.source.bytes_max)
    return order.outcome(kind, delivery, name=place.file_name)


@contextmanager
def _client(order: _Order) -> Iterator[_Client]:
    source = order.source
    connection = order.tools.connections(source.connection)
    http = HttpClient(
        timeout_seconds=source.timeout_seconds, transfer_seconds_max=source.transfer_seconds_max
    )
    try:
        if source.kind == "wechat_bills":
            merchant = merchant_of(connection)
            yield _wechat(
                order,
                WechatBills(
                    merchant, http, clock=order.tools.clock, download_hosts=source.download_hosts
                ),
                merchant.merchant_id,
            )
        elif source.kind == "alipay_bills":
            application = application_of(connection)
            yield _alipay(
                order,
                AlipayBills(
                    application, http, clock=order.tools.clock, download_hosts=source.download_hosts
                ),
                application.account_id,
            )
        else:
            yield _tickets(order, TicketSource(source, connection, http), connection.extra)
    finally:
        http.close()


def _wechat(order: _Order, bills: WechatBills, merchant_id: str) -> _Client:
    def offer(bill: Bill) -> tuple[Callable[[Receiver], None], str]:
        ticket = bills.ticket(bill, order.day)
        return (lambda receiver: bills.download(ticket, receiver)), ticket.sha1

    return _Client(offer, {"merchant_id": merchant_id})


def _alipay(order: _Order, bills: AlipayBills, account_id: str) -> _Client:
    def offer(bill: Bill) -> tuple[Callable[[Receiver], None], str]:
        url = bills.url(bill, order.day)
        return (lambda receiver: bills.download(url, receiver)), ""

    return _Client(offer, {"account_id": account_id})


def _tickets(order: _Order, tickets: TicketSource, extra: Mapping[str, object]) -> _Client:
    def offer(bill: Bill) -> tuple[Callable[[Receiver], None], str] | None:
        ticket = tickets.ticket(bill, order.day)
        if ticket is None:
            return None
        return (lambda receiver: tickets.download(ticket, receiver)), ""

    identifiers = {
        name: str(extra[name]) for name in ("merchant_id", "account_id") if extra.get(name)
    }
    return _Client(offer, identifiers)
