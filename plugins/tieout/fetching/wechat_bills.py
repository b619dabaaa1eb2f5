"""WeChat Pay's bills, API v3: ask for a URL, then get the bill from it.

Source: docs/formats/wechat-trade-bill.md, and the public documentation (GET /v3/bill/tradebill and
/v3/bill/fundflowbill; signatures WECHATPAY2-SHA256-RSA2048). A request is signed with the
merchant's key; an answer is signed by the platform and not believed unless the signature holds.
The download is signed like a request and its answer carries no signature: what proves the bill is
the SHA-1 of its uncompressed content, which the signed answer before it stated.
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from tieout.fetching.connections import Connection
from tieout.fetching.inbox import Receiver
from tieout.fetching.report import FetchError, TransientFetchError
from tieout.fetching.sources import Bill
from tieout.fetching.web import Answer, HttpClient, checked_url

__all__ = ["NoBillError", "WechatBills", "WechatMerchant", "WechatTicket", "merchant_of"]

API_HOST = "api.mch.weixin.qq.com"
SCHEMA = "WECHATPAY2-SHA256-RSA2048"
# An answer older or newer than this is one that somebody replays.
CLOCK_DIFFERENCE_MAX = timedelta(minutes=5)
# Codes of answers, with what they mean for us. Not verified against a live account.
NO_BILL_CODES = frozenset({"NO_STATEMENT_EXIST"})
LATER_CODES = frozenset({"STATEMENT_CREATING", "FREQUENCY_LIMITED", "SYSTEM_ERROR"})
GZIP_WINDOW = 16 + zlib.MAX_WBITS
INFLATE_BYTES = 1024 * 1024

Clock = Callable[[], datetime]


class NoBillError(FetchError):
    """The channel says that it has no bill for the date."""


@dataclass(frozen=True, slots=True)
class WechatMerchant:
    """Who asks, and whose answers are believed. `platform_keys` are by their serial or id."""

    merchant_id: str
    serial_number: str
    private_key: rsa.RSAPrivateKey = field(repr=False)
    platform_keys: Mapping[str, rsa.RSAPublicKey] = field(repr=False)
    base_url: str = f"https://{API_HOST}"


@dataclass(frozen=True, slots=True)
class WechatTicket:
    """A bill's URL, which lives for minutes, and the SHA-1 of its uncompressed content."""

    url: str = field(repr=False)
    sha1: str


def merchant_of(connection: Connection) -> WechatMerchant:
    """Return the merchant of a connection: its login, and keys in its extra.

    Raises:
        FetchError: something is missing, or is no RSA key.
    """
    try:
        private_key = load_pem_private_key(connection.key_text("private_key").encode(), None)
        platform_keys = _platform_keys(connection)
    except (ValueError, TypeError, AttributeError) as error:
        raise _unusable(connection, type(error).__name__) from None
    if not isinstance(private_key, rsa.RSAPrivateKey) or not platform_keys or not connection.login:
        raise _unusable(connection, "the login (merchant id) or an RSA key is missing")
    host = connection.host or f"https://{API_HOST}"
    return WechatMerchant(
        connection.login,
        connection.required("serial_number"),
        private_key,
        platform_keys,
        host if "://" in host else f"https://{host}",
    )


def _platform_keys(connection: Connection) -> dict[str, rsa.RSAPublicKey]:
    """Return the extra's `platform_keys`: serial (or PUB_KEY_ID_…) to PEM of a key or certificate.

    A file `platform_keys_file` holds the same as JSON.
    """
    found = connection.extra.get("platform_keys")
    if found is None:
        found = json.loads(connection.key_text("platform_keys"))
    keys: dict[str, rsa.RSAPublicKey] = {}
    for serial, pem in dict(found).items():
        data = str(pem).replace("\\n", "\n").encode()
        key: Any = (
            x509.load_pem_x509_certificate(data).public_key()
            if b"BEGIN CERTIFICATE" in data
            else load_pem_public_key(data)
        )
        if not isinstance(key, rsa.RSAPublicKey):
            raise TypeError("not an RSA key")
        keys[str(serial)] = key
    return keys


class WechatBills:
    """The bills of one merchant."""

    def __init__(
        self,
        merchant: WechatMerchant,
        http: HttpClient,
        *,
        clock: Clock,
        download_hosts: tuple[str, ...] = (),
        nonce: Callable[[], str] = lambda: secrets.token_hex(16),
    ) -> None:
        self._merchant = merchant
        self._http = http
        self._clock = clock
        self._nonce = nonce
        self._hosts = (*download_hosts, urlsplit(merchant.base_url).netloc)

    def ticket(self, bill: Bill, day: date) -> WechatTicket:
        """Ask for a date's bill.

        Raises:
            NoBillError: there is none for the date.
            TransientFetchError: it is being made, or the platform is busy.
            FetchError: the answer is not signed by the platform, or refuses us.
        """
        parameters = {
            "bill_date": f"{day:%Y-%m-%d}",
            **{name: text.format(date=day) for name, text in bill.parameters.items()},
            "tar_type": "GZIP",
        }
        url = f"{self._merchant.base_url}{bill.path}?{urlencode(parameters)}"
        answer = self._http.ask("GET", url, headers=self._signed("GET", url))
        self._verify(answer)
        content = _json(answer.body)
        if answer.status != 200:
            raise self._refusal(answer.status, str(content.get("code") or ""), day)
        sha1 = str(content.get("hash_value") or "").lower()
        if str(content.get("hash_type") or "").upper() != "SHA1" or len(sha1) != 40:
            raise self._error("it states no SHA-1 of the bill, which could not be checked then")
        return WechatTicket(checked_url(str(content.get("download_url") or ""), self._hosts), sha1)

    def download(self, ticket: WechatTicket, receiver: Receiver) -> None:
        """Write the bill's uncompressed content.

        Raises:
            UrlExpiredError: the URL has had its time.
            TransientFetchError: the content is cut off, or is not what was stated.
        """
        receiver.also_hash("sha1")
        inflater = _Inflater(receiver)
        headers = self._signed("GET", ticket.url)
        self._http.download(ticket.url, inflater.write, headers=headers)
        inflater.finish(self._merchant.base_url)
        if receiver.hexdigest("sha1") != ticket.sha1:
            raise _damaged(self._merchant.base_url, "its SHA-1 is not the one that was stated")

    def _signed(self, method: str, url: str) -> dict[str, str]:
        parts = urlsplit(url)
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        timestamp, nonce = str(int(self._clock().timestamp())), self._nonce()
        message = f"{method}\n{target}\n{timestamp}\n{nonce}\n\n"
        signature = self._merchant.private_key.sign(
            message.encode(), padding.PKCS1v15(), hashes.SHA256()
        )
        fields = {
            "mchid": self._merchant.merchant_id,
            "nonce_str": nonce,
            "signature": base64.b64encode(signature).decode("ascii"),
            "timestamp": timestamp,
            "serial_no": self._merchant.serial_number,
        }
        shown = ",".join(f'{name}="{value}"' for name, value in fields.items())
        return {"Authorization": f"{SCHEMA} {shown}", "Accept": "application/json"}

    def _verify(self, answer: Answer) -> None:
        """Refuse an answer that the platform did not sign just now."""
        headers = answer.headers
        timestamp = headers.get("wechatpay-timestamp", "")
        key = self._merchant.platform_keys.get(headers.get("wechatpay-serial", ""))
        if key is None:
            raise self._error(
                f"its answer (HTTP {answer.status}) is signed with no key of the connection"
            )
        message = b"%s\n%s\n%s\n" % (
            timestamp.encode(),
            headers.get("wechatpay-nonce", "").encode(),
            answer.body,
        )
        try:
            signature = base64.b64decode(headers.get("wechatpay-signature", ""), validate=True)
            key.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
            moment = datetime.fromtimestamp(int(timestamp), tz=self._clock().tzinfo)
        except (InvalidSignature, binascii.Error, ValueError, OverflowError, OSError):
            raise self._error("the signature of its answer does not hold") from None
        if abs(moment - self._clock()) > CLOCK_DIFFERENCE_MAX:
            raise self._error("its answer is signed for another time: replayed, or a wrong clock")

    def _refusal(self, status: int, code: str, day: date) -> FetchError:
        shown = code if code.isascii() and code.replace("_", "").isalnum() else "?"
        if code in NO_BILL_CODES:
            return NoBillError(
                what=f"WeChat Pay has no bill for {day}",
                where=self._merchant.base_url,
                why=f"it answers {shown}",
                next_step="fetch again after 10:00 of the next day; was there really no trade?",
            )
        if code in LATER_CODES:
            return TransientFetchError(
                what="WeChat Pay's bill is not ready",
                where=self._merchant.base_url,
                why=f"it answers {shown}",
                next_step="fetch again later; bills are ready after 10:00 of the next day",
            )
        return self._error(f"it answers HTTP {status}, code {shown}")

    def _error(self, why: str) -> FetchError:
        return FetchError(
            what="WeChat Pay does not give the bill",
            where=self._merchant.base_url,
            why=why,
            next_step="check merchant id, serial number and keys of the connection; see "
            "docs/runbooks/source-not-answering.md",
        )


class _Inflater:
    """Writes what a GZIP stream holds, piece by piece: never more than a megabyte at once."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._inflate = zlib.decompressobj(GZIP_WINDOW)

    def write(self, chunk: bytes) -> None:
        """Take compressed bytes."""
        try:
            while chunk and not self._inflate.eof:
                self._receiver.write(self._inflate.decompress(chunk, INFLATE_BYTES))
                chunk = self._inflate.unconsumed_tail
        except zlib.error:
            raise _damaged("the download", "it is no GZIP stream, or a broken one") from None

    def finish(self, where: str) -> None:
        """Write what is left; refuse a stream that ended early."""
        while not self._inflate.eof and (rest := self._inflate.flush(INFLATE_BYTES)):
            self._receiver.write(rest)
        if not self._inflate.eof:
            raise _damaged(where, "it ends early")


def _json(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body) if body else {}
    except ValueError:
        content = {}
    return content if isinstance(content, dict) else {}


def _damaged(where: str, why: str) -> TransientFetchError:
    return TransientFetchError(
        what="a bill came damaged",
        where=where,
        why=why,
        next_step="fetch again; nothing of it was kept",
    )


def _unusable(connection: Connection, why: str) -> FetchError:
    return FetchError(
        what="the connection of WeChat Pay cannot be used",
        where=f"Airflow connection {connection.connection_id}",
        why=why,
        next_step="docs/operations/sources.md says what it needs",
    )
