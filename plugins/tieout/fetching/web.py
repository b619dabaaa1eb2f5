"""HTTP for sources: bounded in time and size, to named hosts only, and silent about URLs.

No redirect is followed: an answer that sends us elsewhere is refused, wherever it points. A URL of
a bill is a secret while it lives (it opens the bill), so neither errors nor logs show more of it
than its host.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx

from tieout.fetching.report import FetchError, TransientFetchError

__all__ = ["Answer", "HttpClient", "UrlExpiredError", "checked_url"]

ANSWER_BYTES_MAX = 1024 * 1024
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
TRANSIENT_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
# What a gateway or a file server says of a URL that has had its time.
EXPIRED_STATUSES = frozenset({400, 401, 403, 404, 410})


class UrlExpiredError(FetchError):
    """The URL of a file opens it no longer; a new one may be had."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A small answer, whole. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class HttpClient:
    """One client of one source."""

    def __init__(
        self,
        *,
        timeout_seconds: float,
        transfer_seconds_max: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        # At their usual levels these write whole URLs and headers into the log.
        for name in ("httpx", "httpcore"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self._client = httpx.Client(
            timeout=timeout_seconds,
            follow_redirects=False,
            headers={"User-Agent": "tieout", "Accept-Encoding": "identity"},
        )
        self._transfer_seconds_max = transfer_seconds_max
        self._monotonic = monotonic

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def ask(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> Answer:
        """Send a request and return its answer, whatever its status below 500 but 429.

        Raises:
            TransientFetchError: no answer, or one that says "later".
            FetchError: a redirect, or an answer larger than 1 MiB.
        """
        with self._stream(method, url, headers, content) as response:
            body = bytearray()
            for chunk in self._chunks(response, url):
                body += chunk
                if len(body) > ANSWER_BYTES_MAX:
                    raise _failed(url, f"its answer is larger than {ANSWER_BYTES_MAX:,} bytes")
            return Answer(response.status_code, dict(response.headers), bytes(body))

    def download(
        self, url: str, take: Callable[[bytes], None], *, headers: Mapping[str, str] | None = None
    ) -> None:
        """Give the bytes of a file to `take`, as they are sent.

        Raises:
            UrlExpiredError: the URL opens nothing (400, 401, 403, 404, 410).
            TransientFetchError: no answer, one that says "later", or one that broke off.
            FetchError: any other answer.
        """
        with self._stream("GET", url, headers, None) as response:
            if response.status_code in EXPIRED_STATUSES:
                raise UrlExpiredError(
                    what="the URL of a file opens nothing",
                    where=_host(url),
                    why=f"it answers HTTP {response.status_code}; such URLs live for seconds",
                    next_step="fetch again: a new URL is asked for",
                )
            if response.status_code != httpx.codes.OK:
                raise _failed(url, f"it answers HTTP {response.status_code}")
            for chunk in self._chunks(response, url):
                take(chunk)

    @contextmanager
    def _stream(
        self, method: str, url: str, headers: Mapping[str, str] | None, content: bytes | None
    ) -> Iterator[httpx.Response]:
        try:
            with self._client.stream(method, url, headers=headers, content=content) as response:
                if response.status_code in TRANSIENT_STATUSES:
                    raise _later(url, f"it answers HTTP {response.status_code}")
                if response.is_redirect or response.has_redirect_location:
                    raise _failed(url, "it sends us to another address, which is not followed")
                yield response
        # Their texts may quote the URL: only their kinds are shown.
        except httpx.TransportError as error:
            raise _later(url, f"no whole answer ({type(error).__name__})") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _failed(url, f"no usable answer ({type(error).__name__})") from None

    def _chunks(self, response: httpx.Response, url: str) -> Iterator[bytes]:
        """Yield the raw bytes of the body; a body that drips for ever is given up."""
        started = self._monotonic()
        for chunk in response.iter_raw():
            if self._monotonic() - started > self._transfer_seconds_max:
                raise _later(url, f"not done after {self._transfer_seconds_max:.0f} seconds")
            yield chunk


def checked_url(url: str, hosts: Sequence[str]) -> str:
    """Return the URL to use for one that an answer named: https, and of a host we expect.

    `hosts` are names, with a port where it is not the usual one. http:// becomes https://, but on
    this machine (a tunnel), where nobody listens between.

    Raises:
        FetchError: another scheme, another host, or a login inside.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        raise _refused("?", "it is no URL") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise _refused(host, f"its scheme is {parts.scheme or 'missing'}")
    allowed = {name.lower() for name in hosts}
    # The whole of it: a login or a port that we do not expect is another address, too.
    if parts.netloc.lower() not in allowed:
        raise _refused(host, f"only {', '.join(sorted(allowed))} may send files of this source")
    if parts.scheme == "http" and host not in LOOPBACK:
        return parts._replace(scheme="https").geturl()
    return url


def _host(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or '?'}"


def _later(url: str, why: str) -> TransientFetchError:
    return TransientFetchError(
        what="a source does not answer",
        where=_host(url),
        why=why,
        next_step="fetch again later; if it stays so, see docs/runbooks/source-not-answering.md",
    )


def _failed(url: str, why: str) -> FetchError:
    return FetchError(
        what="a source does not give what it was asked for",
        where=_host(url),
        why=why,
        next_step="see docs/runbooks/source-not-answering.md",
    )


def _refused(host: str, why: str) -> FetchError:
    return FetchError(
        what="a source names a URL that is not used",
        where=host or "no host",
        why=why,
        next_step="if it is right, add the host to download_hosts of the source",
    )
