"""HTTP sources that give a ticket first: ask for a file's URL, then get the file from it."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from urllib.parse import urlsplit

from tieout.fetching.connections import Connection
from tieout.fetching.inbox import Receiver
from tieout.fetching.report import FetchError, TransientFetchError
from tieout.fetching.sources import HASH_TYPES, Bill, Source
from tieout.fetching.web import HttpClient, checked_url

__all__ = ["Ticket", "TicketSource"]

DEFAULT_FIELDS = {"url": "download_url"}
NOT_FOUND = frozenset({204, 404})


@dataclass(frozen=True, slots=True)
class Ticket:
    """A file's URL, and what its source says of the file."""

    url: str = field(repr=False)
    hash_type: str = ""
    hash_value: str = ""
    size_bytes: int | None = None


class TicketSource:
    """A source of one base URL; its connection's password is a bearer token or a password."""

    def __init__(self, source: Source, connection: Connection, http: HttpClient) -> None:
        host = connection.host
        self._base_url = host if "://" in host else f"https://{host}"
        if connection.port:
            self._base_url += f":{connection.port}"
        self._own_host = urlsplit(self._base_url).netloc
        self._hosts = (*source.download_hosts, self._own_host)
        self._fields = {**DEFAULT_FIELDS, **source.answer_fields}
        self._connection = connection
        self._http = http
        self._shown = f"source {source.name}"

    def ticket(self, bill: Bill, day: date) -> Ticket | None:
        """Ask for a date's file; None when the source has none (404, 204).

        Raises:
            TransientFetchError: it does not answer.
            FetchError: it refuses us, or its answer is not understood.
        """
        base_url = checked_url(self._base_url, (self._own_host,))
        url = f"{base_url}{bill.path.format(date=day)}"
        answer = self._http.ask("GET", url, headers=self._login())
        if answer.status in NOT_FOUND:
            return None
        if answer.status != 200:
            raise self._error(f"it answers HTTP {answer.status}")
        try:
            content = json.loads(answer.body)
            target = str(_value(content, self._fields["url"]))
        except (ValueError, LookupError, TypeError):
            raise self._error(f"its answer has no {self._fields['url']}") from None
        return self._checks(content, checked_url(target, self._hosts))

    def download(self, ticket: Ticket, receiver: Receiver) -> None:
        """Write the file; check the size and the hash that were stated.

        Raises:
            UrlExpiredError: the URL has had its time.
            TransientFetchError: what came is not what was stated.
        """
        if ticket.hash_type and ticket.hash_type != "sha256":
            receiver.also_hash(ticket.hash_type)
        # The login belongs to the source, not to the host the file lies on.
        is_own = urlsplit(ticket.url).netloc == self._own_host
        headers = self._login() if is_own else None
        self._http.download(ticket.url, receiver.write, headers=headers)
        if ticket.size_bytes is not None and receiver.size_bytes != ticket.size_bytes:
            raise self._damaged(f"{receiver.size_bytes:,} of {ticket.size_bytes:,} bytes came")
        if ticket.hash_type and receiver.hexdigest(ticket.hash_type) != ticket.hash_value:
            raise self._damaged(f"its {ticket.hash_type} is not the one that was stated")

    def _checks(self, content: Any, url: str) -> Ticket:
        hash_type = self._fields.get("hash_type", "sha256" if "hash" in self._fields else "")
        if hash_type not in {"", *HASH_TYPES}:
            raise self._error(f"{hash_type} is no hash we know")
        try:
            value = str(_value(content, self._fields["hash"])) if "hash" in self._fields else ""
            size = int(_value(content, self._fields["size"])) if "size" in self._fields else None
        except (ValueError, LookupError, TypeError):
            raise self._error("its answer lacks the hash or the size it was to state") from None
        return Ticket(url, hash_type if value else "", value.lower(), size)

    def _login(self) -> dict[str, str]:
        if self._connection.login:
            text = f"{self._connection.login}:{self._connection.password}"
            return {"Authorization": f"Basic {base64.b64encode(text.encode()).decode('ascii')}"}
        if self._connection.password:
            return {"Authorization": f"Bearer {self._connection.password}"}
        return {}

    def _error(self, why: str) -> FetchError:
        return FetchError(
            what="a source does not give what it was asked for",
            where=self._shown,
            why=why,
            next_step="see docs/runbooks/source-not-answering.md",
        )

    def _damaged(self, why: str) -> TransientFetchError:
        return TransientFetchError(
            what="a file came damaged",
            where=self._shown,
            why=why,
            next_step="fetch again; nothing of it was kept",
        )


def _value(content: Any, path: str) -> Any:
    """Return the value at a dotted path (`data.url`) of a JSON answer."""
    for name in path.split("."):
        content = content[name]
    return content
