"""Alipay's bills: ask the open gateway for a URL, then get the zip from it.

Source: docs/formats/alipay-trade-bill.md and the public documentation of
`alipay.data.dataservice.bill.downloadurl.query`. A request is signed with RSA2 (SHA-256) over its
sorted parameters; the answer is signed over its node as it was sent. The URL lives for 30 seconds;
nothing states a hash of the zip, so what proves it whole is its central directory at the end, and
the totals inside, which landing checks.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from tieout.channels.common.model import BUSINESS_TIME_ZONE
from tieout.fetching.connections import Connection
from tieout.fetching.inbox import Receiver
from tieout.fetching.report import FetchError, TransientFetchError
from tieout.fetching.sources import Bill
from tieout.fetching.web import HttpClient, checked_url
from tieout.fetching.wechat_bills import NoBillError

__all__ = ["AlipayApplication", "AlipayBills", "application_of"]

GATEWAY = "https://openapi.alipay.com/gateway.do"
DOWNLOAD_HOSTS = ("dwbillcenter.alipay.com",)
METHOD = "alipay.data.dataservice.bill.downloadurl.query"
NODE = METHOD.replace(".", "_") + "_response"
SUCCESS = "10000"
# Sub-codes, with what they mean for us. Not verified against a live account.
NO_BILL_CODES = frozenset({"isp.bill_not_exist", "BILL_NOT_EXIST"})
LATER_CODES = frozenset({"isp.unknow-error", "aop.unknow-error", "UNKNOW_ERROR", "SYSTEM_ERROR"})
# The last 64 KiB of a zip hold its end record: 22 bytes and a comment.
ZIP_END = b"PK\x05\x06"
ZIP_END_BYTES = 65_557

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class AlipayApplication:
    """Who asks, and whose answers are believed."""

    app_id: str
    account_id: str
    private_key: rsa.RSAPrivateKey = field(repr=False)
    alipay_key: rsa.RSAPublicKey = field(repr=False)
    gateway: str = GATEWAY
    app_auth_token: str = field(default="", repr=False)


def application_of(connection: Connection) -> AlipayApplication:
    """Return the application of a connection: its login, and keys in its extra.

    Raises:
        FetchError: something is missing, or is no RSA key.
    """
    try:
        private_key = load_pem_private_key(connection.key_text("private_key").encode(), None)
        alipay_key = load_pem_public_key(connection.key_text("alipay_public_key").encode())
    except (ValueError, TypeError) as error:
        raise _unusable(connection, type(error).__name__) from None
    if (
        not isinstance(private_key, rsa.RSAPrivateKey)
        or not isinstance(alipay_key, rsa.RSAPublicKey)
        or not connection.login
    ):
        raise _unusable(connection, "the login (app id) or an RSA key is missing")
    host = connection.host or GATEWAY
    return AlipayApplication(
        connection.login,
        connection.required("account_id"),
        private_key,
        alipay_key,
        host if "://" in host else f"https://{host}/gateway.do",
        connection.text("app_auth_token"),
    )


class AlipayBills:
    """The bills of one account."""

    def __init__(
        self,
        application: AlipayApplication,
        http: HttpClient,
        *,
        clock: Clock,
        download_hosts: tuple[str, ...] = (),
    ) -> None:
        self._application = application
        self._http = http
        self._clock = clock
        self._hosts = download_hosts or DOWNLOAD_HOSTS

    def url(self, bill: Bill, day: date) -> str:
        """Ask for the URL of a date's bill.

        Raises:
            NoBillError: there is none for the date.
            TransientFetchError: the gateway is busy.
            FetchError: the answer is not signed by Alipay, or refuses us.
        """
        content = {
            **{name: text.format(date=day) for name, text in bill.parameters.items()},
            "bill_date": f"{day:%Y-%m-%d}",
        }
        answer = self._http.ask(
            "POST",
            self._application.gateway,
            headers={"Content-Type": "application/x-www-form-urlencoded;charset=utf-8"},
            content=urlencode(self._signed(content)).encode(),
        )
        node = self._verified(answer.body)
        if str(node.get("code")) != SUCCESS:
            raise self._refusal(str(node.get("sub_code") or node.get("code") or ""), day)
        return checked_url(str(node.get("bill_download_url") or ""), self._hosts)

    def download(self, url: str, receiver: Receiver) -> None:
        """Write the zip.

        Raises:
            UrlExpiredError: the URL has had its time.
            TransientFetchError: what came is no whole zip.
        """
        tail = bytearray()

        def take(chunk: bytes) -> None:
            tail.extend(chunk)
            del tail[:-ZIP_END_BYTES]
            receiver.write(chunk)

        self._http.download(url, take)
        if not _ends_as_zip(bytes(tail)):
            raise TransientFetchError(
                what="a bill came damaged",
                where=self._application.gateway,
                why="it is no whole zip: the record at a zip's end is not there",
                next_step="fetch again; nothing of it was kept",
            )

    def _signed(self, content: Mapping[str, str]) -> dict[str, str]:
        moment = self._clock().astimezone(ZoneInfo(BUSINESS_TIME_ZONE))
        parameters = {
            "app_id": self._application.app_id,
            "method": METHOD,
            "format": "JSON",
            "charset": "utf-8",
            "sign_type": "RSA2",
            "timestamp": f"{moment:%Y-%m-%d %H:%M:%S}",
            "version": "1.0",
            "app_auth_token": self._application.app_auth_token,
            "biz_content": json.dumps(content, ensure_ascii=False, separators=(",", ":")),
        }
        parameters = {name: text for name, text in sorted(parameters.items()) if text}
        message = "&".join(f"{name}={text}" for name, text in parameters.items())
        signature = self._application.private_key.sign(
            message.encode(), padding.PKCS1v15(), hashes.SHA256()
        )
        return {**parameters, "sign": base64.b64encode(signature).decode("ascii")}

    def _verified(self, body: bytes) -> dict[str, Any]:
        """Return the answer's node, whose bytes Alipay has signed."""
        signed = _signed_part(body)
        try:
            answer = json.loads(body)
            signature = base64.b64decode(str(answer["sign"]), validate=True)
            self._application.alipay_key.verify(
                signature, signed, padding.PKCS1v15(), hashes.SHA256()
            )
            node = json.loads(signed)
        except (InvalidSignature, binascii.Error, ValueError, KeyError, TypeError):
            raise self._error("the signature of its answer does not hold") from None
        if not isinstance(node, dict):
            raise self._error("its answer has another form")
        return node

    def _refusal(self, code: str, day: date) -> FetchError:
        shown = code if re.fullmatch(r"[A-Za-z0-9._-]{1,64}", code) else "?"
        if code in NO_BILL_CODES:
            return NoBillError(
                what=f"Alipay has no bill for {day}",
                where=self._application.gateway,
                why=f"it answers {shown}",
                next_step="fetch again after 10:00 of the next day; was there really no trade?",
            )
        if code in LATER_CODES:
            return TransientFetchError(
                what="Alipay does not answer now",
                where=self._application.gateway,
                why=f"it answers {shown}",
                next_step="fetch again later",
            )
        return self._error(f"it answers {shown}")

    def _error(self, why: str) -> FetchError:
        return FetchError(
            what="Alipay does not give the bill",
            where=self._application.gateway,
            why=why,
            next_step="check app id and keys of the connection; see "
            "docs/runbooks/source-not-answering.md",
        )


def _signed_part(body: bytes) -> bytes:
    """Return the node's bytes as they were sent: what Alipay signs. Empty where there is none."""
    marker = f'"{NODE}":'.encode()
    start = body.find(marker)
    if start < 0:
        return b""
    text = body[start + len(marker) :].decode("utf-8", errors="replace").lstrip()
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except ValueError:
        return b""
    return text[:end].encode()


def _ends_as_zip(tail: bytes) -> bool:
    """Say whether a zip's end record stands at the end, its comment included."""
    at = tail.rfind(ZIP_END)
    if at < 0 or len(tail) < at + 22:
        return False
    return at + 22 + int.from_bytes(tail[at + 20 : at + 22], "little") == len(tail)


def _unusable(connection: Connection, why: str) -> FetchError:
    return FetchError(
        what="the connection of Alipay cannot be used",
        where=f"Airflow connection {connection.connection_id}",
        why=why,
        next_step="docs/operations/sources.md says what it needs",
    )
