"""Servers that fetching is tested against: HTTP with bills and tickets, and SFTP. Loopback only.

The bill servers follow the platforms' public documentation and check every signature themselves,
with the other half of each key pair; nothing of `tieout.fetching` is used in them.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import io
import json
import re
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

Reply = tuple[int, dict[str, str], bytes]


@cache
def rsa_key(name: str) -> rsa.RSAPrivateKey:
    """Return a key of the test run; the same name gives the same key."""
    assert name
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def private_pem(name: str) -> str:
    """Return a test key as PKCS#8 PEM."""
    return (
        rsa_key(name)
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        .decode()
    )


def public_pem(name: str) -> str:
    """Return a test key's public half as PEM."""
    return (
        rsa_key(name)
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


def sign(name: str, message: bytes) -> str:
    """Return an RSA-SHA256 signature in base64."""
    signature = rsa_key(name).sign(message, padding.PKCS1v15(), hashes.SHA256())
    return base64.b64encode(signature).decode()


def holds(name: str, message: bytes, signature: str) -> bool:
    """Say whether a signature is the test key's."""
    try:
        rsa_key(name).public_key().verify(
            base64.b64decode(signature), message, padding.PKCS1v15(), hashes.SHA256()
        )
    except (InvalidSignature, ValueError):
        return False
    return True


@contextmanager
def serving(answer: Callable[[BaseHTTPRequestHandler, bytes], Reply | None]) -> Iterator[str]:
    """Serve `answer(handler, body)` on a free port; a None has written its own answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            reply = answer(self, body)
            if reply is None:
                self.close_connection = True
                return
            status, headers, content = reply
            self.send_response(status)
            for name, text in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET  # noqa: N815  the base class's names

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Faults:
    """What a server does wrong. Counts are used up one by one."""

    busy_tickets: int = 0
    busy_downloads: int = 0
    busy_status: int = 500
    expired_urls: int = 0
    cut_downloads: int = 0
    short_downloads: int = 0
    wrong_hash: bool = False
    wrong_signature: bool = False
    wrong_serial: bool = False
    signed_seconds_off: int = 0
    redirect_to: str = ""
    redirect_tickets_to: str = ""
    download_url: str = ""
    code: str = ""
    status: int = 404


@dataclass
class BillServer:
    """What both platforms' servers have: bills, faults, and a list of what was asked."""

    content: bytes = b"bill\r\n"
    faults: Faults = field(default_factory=Faults)
    asked: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    url: str = ""
    tokens: int = 0

    def new_url(self, path: str) -> str:
        """Return a URL that opens the bill once it is asked for."""
        self.tokens += 1
        return self.faults.download_url or f"{self.url}{path}?token=SECRET{self.tokens}"

    def download(self, handler: BaseHTTPRequestHandler, packed: bytes) -> Reply | None:
        """Answer a download, with the faults that are left."""
        faults = self.faults
        if faults.redirect_to:
            return 302, {"Location": faults.redirect_to}, b""
        if faults.expired_urls:
            faults.expired_urls -= 1
            return 403, {}, b"expired"
        if faults.busy_downloads:
            faults.busy_downloads -= 1
            return faults.busy_status, {}, b"busy"
        if faults.cut_downloads or faults.short_downloads:
            handler.send_response(200)
            if faults.cut_downloads:
                faults.cut_downloads -= 1
                handler.send_header("Content-Length", str(len(packed)))
            else:
                faults.short_downloads -= 1  # no length is stated: the end is the end
            handler.end_headers()
            handler.wfile.write(packed[: len(packed) // 2])
            return None
        return 200, {}, packed


AUTHORIZATION = re.compile(
    r'WECHATPAY2-SHA256-RSA2048 mchid="(?P<mchid>\d+)",nonce_str="(?P<nonce>\w+)",'
    r'signature="(?P<signature>[^"]+)",timestamp="(?P<timestamp>\d+)",serial_no="(?P<serial>\w+)"'
)


@dataclass
class WechatServer(BillServer):
    """WeChat Pay's v3 bill interface, for merchant 1900000001."""

    now: int = 1_790_301_600
    platform_serial: str = "PUB_KEY_ID_0001"

    def answer(self, handler: BaseHTTPRequestHandler, body: bytes) -> Reply | None:
        """Check the request's signature, then give a ticket or the bill."""
        parts = urlsplit(handler.path)
        self.asked.append(parts.path)
        match = AUTHORIZATION.fullmatch(handler.headers.get("Authorization", ""))
        if match is None:
            self.problems.append("no Authorization of that form")
            return 401, {}, b"{}"
        message = (
            f"{handler.command}\n{handler.path}\n{match['timestamp']}\n{match['nonce']}\n"
            f"{body.decode()}\n"
        )
        if not holds("merchant", message.encode(), match["signature"]):
            self.problems.append(f"the signature of {parts.path} does not hold")
            return self._signed(401, {"code": "SIGN_ERROR"})
        if match["mchid"] != "1900000001" or match["serial"] != "ABC123":
            self.problems.append("another merchant")
        if parts.path == "/v3/billdownload/file":
            return self.download(handler, gzip.compress(self.content))
        return self._ticket(parse_qs(parts.query))

    def _ticket(self, query: dict[str, list[str]]) -> Reply:
        faults = self.faults
        if faults.redirect_tickets_to:
            return 307, {"Location": faults.redirect_tickets_to}, b""
        if faults.busy_tickets:
            faults.busy_tickets -= 1
            return faults.busy_status, {}, b"busy"
        if faults.code:
            return self._signed(faults.status, {"code": faults.code, "message": "…"})
        if query.get("tar_type") != ["GZIP"] or "bill_date" not in query:
            self.problems.append(f"parameters {query}")
        sha1 = hashlib.sha1(self.content).hexdigest()
        return self._signed(
            200,
            {
                "hash_type": "SHA1",
                "hash_value": "0" * 40 if faults.wrong_hash else sha1,
                "download_url": self.new_url("/v3/billdownload/file"),
            },
        )

    def _signed(self, status: int, content: dict[str, str]) -> Reply:
        body = json.dumps(content).encode()
        timestamp = str(self.now + self.faults.signed_seconds_off)
        signature = sign("platform", b"%s\nN1\n%s\n" % (timestamp.encode(), body))
        if self.faults.wrong_signature:
            signature = sign("platform", b"another text")
        serial = "PUB_KEY_ID_9999" if self.faults.wrong_serial else self.platform_serial
        return (
            status,
            {
                "Wechatpay-Timestamp": timestamp,
                "Wechatpay-Nonce": "N1",
                "Wechatpay-Signature": signature,
                "Wechatpay-Serial": serial,
            },
            body,
        )


ALIPAY_NODE = "alipay_data_dataservice_bill_downloadurl_query_response"


@dataclass
class AlipayServer(BillServer):
    """Alipay's open gateway, for one application, and its file server."""

    def zipped(self) -> bytes:
        """Return the bill as a zip."""
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr(zipfile.ZipInfo("bill.csv", (2026, 9, 25, 9, 0, 0)), self.content)
        return packed.getvalue()

    def answer(self, handler: BaseHTTPRequestHandler, body: bytes) -> Reply | None:
        """Check the request's signature, then give a URL or the zip."""
        parts = urlsplit(handler.path)
        self.asked.append(parts.path)
        if parts.path == "/downloadBillFile.resource":
            return self.download(handler, self.zipped())
        parameters = dict(parse_qsl(body.decode(), keep_blank_values=True))
        signature = parameters.pop("sign", "")
        message = "&".join(f"{name}={text}" for name, text in sorted(parameters.items()) if text)
        if not holds("application", message.encode(), signature):
            self.problems.append("the signature of the request does not hold")
            return self._signed({"code": "40002", "sub_code": "isv.invalid-signature"})
        if parameters["sign_type"] != "RSA2" or not re.fullmatch(
            r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", parameters["timestamp"]
        ):
            self.problems.append("sign_type or timestamp")
        self.asked[-1] += " " + parameters["biz_content"]
        return self._url()

    def _url(self) -> Reply:
        faults = self.faults
        if faults.busy_tickets:
            faults.busy_tickets -= 1
            return faults.busy_status, {}, b"busy"
        if faults.code:
            return self._signed({"code": "40004", "msg": "…", "sub_code": faults.code})
        url = self.new_url("/downloadBillFile.resource").replace("/", "\\/")
        return self._signed({"code": "10000", "msg": "Success", "bill_download_url": url})

    def _signed(self, node: dict[str, str]) -> Reply:
        # As the gateway writes it: slashes escaped, so that only the sent bytes verify.
        text = json.dumps(node, ensure_ascii=False).replace("\\\\/", "\\/")
        signature = sign("alipay", b"another" if self.faults.wrong_signature else text.encode())
        body = f'{{"{ALIPAY_NODE}":{text},"sign":"{signature}"}}'
        return 200, {"Content-Type": "text/html;charset=utf-8"}, body.encode()


@dataclass(frozen=True)
class SftpServer:
    """A running SFTP server of one folder: user `drop`, password `pass word`."""

    port: int
    host_key: str
    folder: Path


@contextmanager
def serving_sftp(
    folder: Path, *, port: int = 0, host_key: Any = None, sftp: Any = None
) -> Iterator[SftpServer]:
    """Serve a folder by SFTP, in a thread with a loop of its own.

    ``port`` and ``host_key`` are those of a server that comes back; ``sftp`` is a class of
    asyncssh.SFTPServer that does something else.
    """
    import asyncssh

    host_key = host_key or asyncssh.generate_private_key("ssh-ed25519")

    connections: list[Any] = []

    class Login(asyncssh.SSHServer):
        def connection_made(self, conn: Any) -> None:
            connections.append(conn)

        def begin_auth(self, username: str) -> bool:
            return True

        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, password: str) -> bool:
            return (username, password) == ("drop", "pass word")

    def files(channel: Any) -> asyncssh.SFTPServer:
        return (sftp or asyncssh.SFTPServer)(channel, chroot=str(folder).encode())

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def start() -> Any:
        return await asyncssh.create_server(
            Login, "127.0.0.1", port, server_host_keys=[host_key], sftp_factory=files
        )

    async def end(server: Any) -> None:
        server.close()
        for connection in connections:
            connection.abort()
        await server.wait_closed()
        await asyncio.sleep(0)

    server = asyncio.run_coroutine_threadsafe(start(), loop).result(20)
    try:
        public = host_key.export_public_key().decode().strip()
        yield SftpServer(server.get_port(), " ".join(public.split()[:2]), folder)
    finally:
        asyncio.run_coroutine_threadsafe(end(server), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)
        loop.close()
