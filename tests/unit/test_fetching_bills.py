"""Bills of WeChat Pay and Alipay, and files behind tickets, against servers that check us."""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fetch_homes import DAY, NOW_SECONDS, FetchHome, fetch_home, statuses
from file_servers import (
    AlipayServer,
    BillServer,
    Reply,
    WechatServer,
    private_pem,
    public_pem,
    serving,
)
from tieout.fetching.connections import Connection
from tieout.fetching.inbox import Receiver
from tieout.fetching.report import FetchError, FetchReport
from tieout.fetching.web import HttpClient, checked_url
from tieout.fetching.wechat_bills import _Inflater

WECHAT_NAME = "1900000001All2026-09-24.csv"
WECHAT = """
[[source]]
name = "wechat"
kind = "wechat_bills"
connection = "wechat_pay"

[[source.bill]]
path = "/v3/bill/tradebill"
parameters = { bill_type = "ALL" }
inbox_name = "{merchant_id}All{date:%Y-%m-%d}.csv"
"""
ALIPAY_NAME = "20880000000000010156_20260924.zip"
ALIPAY = """
[[source]]
name = "alipay"
kind = "alipay_bills"
connection = "alipay"
download_hosts = ["%s"]

[[source.bill]]
parameters = { bill_type = "trade" }
inbox_name = "{account_id}0156_{date:%%Y%%m%%d}.zip"
"""
PLATFORMS = ("wechat", "alipay")
SECRETS = ("SECRET", "BEGIN", "hunter2", "token=")


class World:
    """A home, a platform's server, and the way between them."""

    def __init__(self, home: FetchHome, platform: str, stack: ExitStack) -> None:
        self.home = home
        self.server: Any = WechatServer() if platform == "wechat" else AlipayServer()
        self.server.url = stack.enter_context(serving(self.server.answer))
        self.path = (
            f"wechat/20260924/{WECHAT_NAME}"
            if platform == "wechat"
            else f"alipay/20260924/{ALIPAY_NAME}"
        )
        self.is_wechat = platform == "wechat"
        self.download_path = (
            "/v3/billdownload/file" if self.is_wechat else "/downloadBillFile.resource"
        )
        if self.is_wechat:
            home.sources(WECHAT)
            home.connections["wechat_pay"] = Connection(
                "wechat_pay",
                host=self.server.url,
                login="1900000001",
                extra={
                    "serial_number": "ABC123",
                    "private_key": private_pem("merchant"),
                    "platform_keys": {"PUB_KEY_ID_0001": public_pem("platform")},
                },
            )
        else:
            home.sources(ALIPAY % self.server.url.removeprefix("http://"))
            home.connections["alipay"] = Connection(
                "alipay",
                host=f"{self.server.url}/gateway.do",
                login="2021000000000001",
                extra={
                    "account_id": "2088000000000001",
                    "private_key": private_pem("application"),
                    "alipay_public_key": public_pem("alipay"),
                },
            )

    @property
    def bill(self) -> bytes:
        """Return what has to lie in the inbox."""
        content: bytes = self.server.content if self.is_wechat else self.server.zipped()
        return content

    def downloads(self) -> int:
        """Return how often the server was asked for the file itself."""
        return sum(path == self.download_path for path in self.server.asked)

    def fetch(self, **options: Any) -> FetchReport:
        """Fetch; nothing that comes of it shows a secret."""
        report = self.home.fetch(**options)
        shown = f"{report}{[str(error) for error in report.errors]}"
        assert not [secret for secret in SECRETS if secret in shown]
        return report


@pytest.fixture
def home(tmp_path: Path) -> FetchHome:
    """A home whose sources the test writes."""
    return fetch_home(tmp_path)


@pytest.fixture(params=PLATFORMS)
def world(request: pytest.FixtureRequest, home: FetchHome) -> Iterator[World]:
    """A world of each platform."""
    with ExitStack() as stack:
        yield World(home, request.param, stack)


@pytest.fixture
def wechat(home: FetchHome) -> Iterator[World]:
    """WeChat Pay's world."""
    with ExitStack() as stack:
        yield World(home, "wechat", stack)


def test_a_bill_comes(world: World) -> None:
    assert statuses(world.fetch()) == ["fetched"]
    assert world.home.files() == {world.path: world.bill}
    assert world.server.problems == [], "the server has checked the signatures of both requests"
    assert world.downloads() == 1


def test_a_bill_that_is_here_is_not_asked_for(world: World) -> None:
    world.fetch()
    asked = list(world.server.asked)
    assert statuses(world.fetch()) == ["unchanged"]
    assert world.server.asked == asked


def test_asked_again_another_version_lies_beside(world: World) -> None:
    world.fetch()
    first = world.bill
    assert statuses(world.fetch(again=True)) == ["unchanged"]
    assert world.downloads() == (1 if world.is_wechat else 2), "WeChat's hash saves a download"
    world.server.content = b"corrected bill\r\n"
    assert statuses(world.fetch(again=True)) == ["other_version"]
    assert world.home.files()[world.path] == first
    assert sorted(world.home.files().values()) == sorted([first, world.bill])


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_busy_platform_is_asked_again(world: World, status: int) -> None:
    world.server.faults.busy_tickets = 1
    world.server.faults.busy_downloads = 1
    world.server.faults.busy_status = status
    assert statuses(world.fetch()) == ["fetched"]
    assert len(world.home.slept) == 2
    assert world.home.files() == {world.path: world.bill}


def test_a_platform_that_stays_busy_is_given_up(world: World) -> None:
    world.server.faults.busy_tickets = 99
    report = world.fetch()
    assert statuses(report) == ["failed"]
    assert report.is_transient
    assert len(world.home.slept) == 3, "four attempts"
    assert "HTTP 500" in report.failed[0].reason
    assert world.home.files() == {}


def test_an_expired_url_is_asked_for_anew(world: World) -> None:
    world.server.faults.expired_urls = 2
    assert statuses(world.fetch()) == ["fetched"]
    assert world.server.tokens == 3
    assert world.home.files() == {world.path: world.bill}


def test_urls_that_never_open_are_given_up(world: World) -> None:
    world.server.faults.expired_urls = 99
    report = world.fetch()
    assert statuses(report) == ["failed"]
    assert world.server.tokens == 3
    assert "HTTP 403" in report.failed[0].reason
    assert world.home.files() == {}


def test_a_download_that_breaks_off_leaves_nothing_and_is_tried_again(world: World) -> None:
    world.server.content = bytes(range(256)) * 4000
    world.server.faults.cut_downloads = 1
    assert statuses(world.fetch()) == ["fetched"]
    assert world.server.tokens == 2, "with a new URL"
    assert world.home.files() == {world.path: world.bill}


def test_downloads_that_always_break_off_leave_nothing(world: World) -> None:
    world.server.content = bytes(range(256)) * 4000
    world.server.faults.cut_downloads = 99
    report = world.fetch()
    assert statuses(report) == ["failed"]
    assert "no whole answer" in report.failed[0].reason
    assert world.home.files() == {}


def test_a_half_download_that_looks_whole_is_noticed(world: World) -> None:
    world.server.content = bytes(range(256)) * 4000
    world.server.faults.short_downloads = 1
    assert statuses(world.fetch()) == ["fetched"]
    assert world.server.tokens == 2
    assert world.home.files() == {world.path: world.bill}
    world.server.faults.short_downloads = 99
    report = world.fetch(again=True) if not world.is_wechat else None
    if report is not None:
        assert statuses(report) == ["failed"]
        assert "no whole zip" in report.failed[0].reason
        assert world.home.files() == {world.path: world.bill}


def test_a_wrong_signature_of_the_answer_is_refused(world: World) -> None:
    world.server.faults.wrong_signature = True
    report = world.fetch()
    assert statuses(report) == ["failed"]
    assert "signature of its answer does not hold" in report.failed[0].reason
    assert (world.downloads(), world.home.slept) == (0, [])
    assert world.home.files() == {}


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1:9/elsewhere?token=SECRET",
        "https://evil.example/bill",
        "file:///etc/passwd",
    ],
)
def test_a_redirect_is_refused(world: World, target: str) -> None:
    world.server.faults.redirect_to = target
    report = world.fetch()
    assert statuses(report) == ["failed"]
    assert "another address, which is not followed" in report.failed[0].reason
    assert world.home.files() == {}


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1:9/bill?token=SECRET",
        "https://evil.example/bill?token=SECRET",
        "file:///etc/passwd",
        "ftp://127.0.0.1/bill",
        "https://api.mch.weixin.qq.com:hunter2@evil.example/",
        "https://user:hunter2@dwbillcenter.alipay.com/x",
        "//evil.example/x",
        "http://[::1",
        "",
    ],
)
def test_a_url_of_another_host_is_refused(world: World, target: str) -> None:
    world.server.faults.download_url = target or "?"
    report = world.fetch()
    assert statuses(report) == ["failed"]
    assert "a source names a URL that is not used" in report.failed[0].reason
    assert world.downloads() == 0
    assert world.home.files() == {}


def test_no_bill_is_said_and_nothing_is_made_up(world: World) -> None:
    world.server.faults.code = "NO_STATEMENT_EXIST" if world.is_wechat else "isp.bill_not_exist"
    report = world.fetch()
    assert statuses(report) == ["no_bill"]
    assert report.errors == ()
    assert world.home.files() == {}


def test_a_refusal_names_its_code(world: World) -> None:
    world.server.faults.code = "NO_AUTH" if world.is_wechat else "isv.invalid-app-id"
    report = world.fetch()
    assert statuses(report) == ["failed"]
    assert world.server.faults.code in report.failed[0].reason
    assert world.home.slept == []


def test_logs_show_no_url(world: World, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        assert statuses(world.fetch()) == ["fetched"]
    assert "SECRET" not in caplog.text
    assert "Authorization" not in caplog.text


def test_a_bill_larger_than_allowed_is_refused(world: World) -> None:
    path = world.home.settings.home / "sources.toml"
    path.write_text(path.read_text().replace("connection =", "bytes_max = 1000\nconnection =", 1))
    world.server.content = b"0" * 100_000  # packs into some hundred bytes: a small bomb
    if not world.is_wechat:
        world.server.content = bytes(range(256)) * 400
    report = world.fetch()
    assert statuses(report) == ["failed"]
    assert "larger than its source may send" in report.failed[0].reason
    assert world.home.files() == {}


# --- WeChat Pay alone -----------------------------------------------------------------------------


def test_a_bill_with_another_hash_is_refused(wechat: World) -> None:
    wechat.server.faults.wrong_hash = True
    report = wechat.fetch()
    assert statuses(report) == ["failed"]
    assert "SHA-1 is not the one that was stated" in report.failed[0].reason
    assert wechat.downloads() == 4, "it might have been damaged on the way: tried again"
    assert wechat.home.files() == {}


def test_an_answer_signed_with_an_unknown_key_is_refused(wechat: World) -> None:
    wechat.server.faults.wrong_serial = True
    report = wechat.fetch()
    assert statuses(report) == ["failed"]
    assert "signed with no key of the connection" in report.failed[0].reason


@pytest.mark.parametrize(
    ("seconds", "status"), [(-290, "fetched"), (-310, "failed"), (310, "failed")]
)
def test_a_replayed_answer_is_refused(wechat: World, seconds: int, status: str) -> None:
    wechat.server.faults.signed_seconds_off = seconds
    assert statuses(wechat.fetch()) == [status]


def test_a_bill_is_unpacked_piece_by_piece() -> None:
    pieces: list[int] = []
    receiver = Receiver(lambda chunk: pieces.append(len(chunk)), 10_000_000, "bill")
    inflater = _Inflater(receiver)
    inflater.write(gzip.compress(bytes(5_000_000)))
    inflater.finish("here")
    assert sum(pieces) == 5_000_000
    assert max(pieces) <= 1024 * 1024, "however much a few bytes unpack to"


def test_a_bill_in_the_making_is_waited_for(wechat: World) -> None:
    wechat.server.faults.code, wechat.server.faults.status = "STATEMENT_CREATING", 400
    report = wechat.fetch()
    assert statuses(report) == ["failed"]
    assert report.is_transient
    assert "STATEMENT_CREATING" in report.failed[0].reason


def test_the_answer_to_a_ticket_is_not_redirected(wechat: World) -> None:
    wechat.server.faults.redirect_tickets_to = "https://evil.example/"
    assert statuses(wechat.fetch()) == ["failed"]


@pytest.mark.parametrize(
    "change",
    [
        {"login": ""},
        {"extra": {}},
        {"extra": {"serial_number": "1", "private_key": "x", "platform_keys": {}}},
        {"extra": {"serial_number": "1", "private_key_file": "/none", "platform_keys": {}}},
    ],
)
def test_a_connection_that_lacks_something_says_so(wechat: World, change: dict[str, Any]) -> None:
    whole = wechat.home.connections["wechat_pay"]
    values = {"host": whole.host, "login": whole.login, "extra": whole.extra, **change}
    wechat.home.connections["wechat_pay"] = Connection("wechat_pay", **values)
    report = wechat.fetch()
    assert statuses(report) == ["failed"]
    assert "wechat_pay" in report.failed[0].reason


def test_the_clock_of_the_tests_is_the_server_s() -> None:
    assert datetime.fromtimestamp(NOW_SECONDS, tz=UTC).date() > DAY


# --- tickets --------------------------------------------------------------------------------------

TICKETS = """
[[source]]
name = "gateway"
kind = "ticket"
connection = "gateway"
answer = { url = "data.url", hash = "data.sha256", size = "data.size" }

[[source.bill]]
path = "/tickets?date={date:%Y-%m-%d}"
inbox_name = "IND{date:%y%m%d}01ACOMN"
"""


class Tickets(BillServer):
    """A gateway that gives a ticket to who has the token."""

    def answer(self, handler: Any, _body: bytes) -> Reply | None:
        """Give a ticket or the file."""
        path = handler.path.partition("?")[0]
        self.asked.append(handler.path)
        if handler.headers.get("Authorization") != "Bearer hunter2":
            return 401, {}, b""
        if path == "/file":
            return self.download(handler, self.content)
        if self.faults.code:
            return self.faults.status, {}, b"{}"
        digest = "0" * 64 if self.faults.wrong_hash else hashlib.sha256(self.content).hexdigest()
        ticket = {"url": self.new_url("/file"), "sha256": digest, "size": len(self.content)}
        return 200, {}, json.dumps({"data": ticket}).encode()


@pytest.fixture
def tickets(home: FetchHome) -> Iterator[Tickets]:
    """A gateway, and a home that knows it."""
    server = Tickets()
    home.sources(TICKETS)
    with serving(server.answer) as server.url:
        home.connections["gateway"] = Connection("gateway", host=server.url, password="hunter2")
        yield server


def test_a_file_behind_a_ticket_comes(home: FetchHome, tickets: Tickets) -> None:
    tickets.faults.expired_urls = 1
    tickets.faults.busy_downloads = 1
    assert statuses(home.fetch()) == ["fetched"]
    assert home.files() == {"unionpay/20260924/IND26092401ACOMN": b"bill\r\n"}
    assert tickets.asked[0] == "/tickets?date=2026-09-24"


def test_a_ticket_s_hash_is_checked(home: FetchHome, tickets: Tickets) -> None:
    tickets.faults.wrong_hash = True
    report = home.fetch()
    assert statuses(report) == ["failed"]
    assert "sha256 is not the one that was stated" in report.failed[0].reason
    assert home.files() == {}


def test_no_ticket_is_no_file(home: FetchHome, tickets: Tickets) -> None:
    tickets.faults.code = "none"
    assert statuses(home.fetch()) == ["not_there"]
    tickets.faults.status = 403
    report = home.fetch()
    assert statuses(report) == ["failed"]
    assert "hunter2" not in f"{report}{report.errors[0]}"


def test_the_login_is_not_sent_to_another_host(home: FetchHome, tickets: Tickets) -> None:
    seen: list[str | None] = []

    def elsewhere(handler: Any, _body: bytes) -> Reply:
        seen.append(handler.headers.get("Authorization"))
        return 200, {}, b"bill\r\n"

    with serving(elsewhere) as url:
        host = url.removeprefix("http://")
        home.sources(TICKETS.replace("answer =", f'download_hosts = ["{host}"]\nanswer =', 1))
        tickets.faults.download_url = f"{url}/x"
        assert statuses(home.fetch()) == ["fetched"]
    assert seen == [None]


# --- URLs -----------------------------------------------------------------------------------------


def test_http_becomes_https_but_on_this_machine() -> None:
    assert checked_url("http://a.example/x?y", ["a.example"]) == "https://a.example/x?y"
    assert checked_url("https://A.example/x", ["a.example"]) == "https://A.example/x"
    assert checked_url("http://127.0.0.1:8/x", ["127.0.0.1:8"]) == "http://127.0.0.1:8/x"
    for url in (
        "https://a.example.evil.example/x",
        "https://a.example:444/x",
        "https://me:hunter2@a.example/x",
        "ftp://a.example/x",
        "//a.example/x",
    ):
        with pytest.raises(FetchError):
            checked_url(url, ["a.example"])


def test_a_body_that_drips_is_given_up() -> None:
    moments = iter(range(0, 1000, 100))
    client = HttpClient(
        timeout_seconds=5, transfer_seconds_max=250, monotonic=lambda: float(next(moments))
    )

    def drip(handler: Any, _body: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "8")
        handler.end_headers()
        for _ in range(8):
            time.sleep(0.05)
            try:
                handler.wfile.write(b"x")
            except OSError:
                return  # the client has had enough

    taken: list[bytes] = []
    with serving(drip) as url:
        with pytest.raises(FetchError, match="not done after 250 seconds"):
            client.download(f"{url}/x", taken.append)
        client.close()
    assert 0 < len(taken) < 8
