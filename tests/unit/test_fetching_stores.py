"""Folders, SFTP and S3: whole files only, from a server that has proven who it is."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from fetch_homes import ACOMN, DAY, FetchHome, fetch_home, statuses
from file_servers import SftpServer, serving_sftp
from tieout.fetching.connections import Connection
from tieout.fetching.inbox import Receiver
from tieout.fetching.remote_stores import RemoteFile, RemoteStore, open_store
from tieout.fetching.report import FetchError
from tieout.fetching.sources import read_sources, sources_path
from tieout.files.store import Store
from tieout.files.stores import find_files

OWN = f"unionpay/20260924/{ACOMN}"
ALFEE = "IND26092499ALFEE"


@pytest.fixture
def home(tmp_path: Path) -> FetchHome:
    """A home whose sources the test writes."""
    return fetch_home(tmp_path)


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    """A folder with one finished file and everything that is none."""
    folder = tmp_path / "remote" / "20260924"
    folder.mkdir(parents=True)
    (folder / ACOMN).write_bytes(b"transactions\r\n")
    for name in (f"{ALFEE}.part", f"{ALFEE}.tmp", f".{ALFEE}", "readme.txt", "IND26092301ACOMN"):
        (folder / name).write_bytes(b"not to be taken")
    return folder


def folder_source(remote: Path, extra: str = "") -> str:
    """Return a list with the folder as its only source."""
    return f"""
[[source]]
name = "unionpay"
kind = "store"
url = "file://{remote.parent}/{{date:%Y%m%d}}"
files = ["unionpay/acomn", "unionpay/alfee"]
{extra}
"""


def test_a_folder_s_finished_files_come(home: FetchHome, remote: Path) -> None:
    home.sources(folder_source(remote))
    report = home.fetch()
    assert statuses(report) == ["fetched", "not_there"]
    assert home.files() == {OWN: b"transactions\r\n"}
    assert dict(report.counts) == {"files": 2, "fetched": 1, "not_there": 1}


def test_unfinished_and_hidden_files_are_not_listed(home: FetchHome, remote: Path) -> None:
    (remote / ".hidden").mkdir()
    (remote / ".hidden" / ALFEE).write_bytes(b"no")
    home.sources(folder_source(remote))
    (source,) = read_sources(sources_path(home.settings))
    listed = [file.name for file in open_store(source, None).files(DAY)]
    assert listed == ["IND26092301ACOMN", ACOMN, "readme.txt"]


def test_a_second_fetch_copies_nothing(
    home: FetchHome, remote: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.sources(folder_source(remote))
    os.utime(remote / ACOMN, (1_700_000_000, 1_700_000_000))
    home.fetch()
    copies: list[str] = []
    real = RemoteStore.copy

    def counted(self: RemoteStore, file: RemoteFile, receiver: Receiver) -> None:
        copies.append(file.name)
        real(self, file, receiver)

    monkeypatch.setattr(RemoteStore, "copy", counted)
    assert statuses(home.fetch()) == ["unchanged", "not_there"]
    assert copies == []
    os.utime(remote / ACOMN, (1, 1))
    assert statuses(home.fetch()) == ["unchanged", "not_there"], "touched, but the same bytes"
    assert copies == [ACOMN]


def test_a_corrected_file_lies_beside_the_first(home: FetchHome, remote: Path) -> None:
    home.sources(folder_source(remote))
    home.fetch()
    (remote / ACOMN).write_bytes(b"corrected\r\n")
    assert statuses(home.fetch()) == ["other_version", "not_there"]
    assert sorted(home.files().values()) == [b"corrected\r\n", b"transactions\r\n"]
    assert home.files()[OWN] == b"transactions\r\n"


def test_a_growing_file_is_left_for_the_next_look(home: FetchHome, remote: Path) -> None:
    home.sources(folder_source(remote))

    def grow() -> None:
        with (remote / ACOMN).open("ab") as stream:
            stream.write(b"more\r\n")

    home.on_sleep = grow
    assert statuses(home.fetch()) == ["growing", "not_there"]
    assert home.files() == {}
    home.on_sleep = lambda: None
    assert statuses(home.fetch()) == ["fetched", "not_there"]
    assert home.slept[0] == pytest.approx(2.0), "the two looks are apart"


def test_a_file_that_grows_while_it_is_copied_is_left(
    home: FetchHome, remote: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.sources(folder_source(remote))
    real = RemoteStore.copy

    def slow(self: RemoteStore, file: RemoteFile, receiver: Receiver) -> None:
        real(self, file, receiver)
        with (remote / ACOMN).open("ab") as stream:
            stream.write(b"more\r\n")

    monkeypatch.setattr(RemoteStore, "copy", slow)
    assert statuses(home.fetch()) == ["growing", "not_there"]
    assert home.files() == {}


def test_what_is_no_file_in_a_source_is_not_opened(home: FetchHome, remote: Path) -> None:
    (remote / ACOMN).unlink()
    os.mkfifo(remote / ACOMN)  # to open it would wait for ever
    home.sources(folder_source(remote))
    assert statuses(home.fetch()) == ["not_there", "not_there"]
    assert home.files() == {}


def test_a_short_read_is_tried_again_and_then_failed(
    home: FetchHome, remote: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.sources(folder_source(remote, "attempts = 3"))
    reads: list[str] = []

    class Short(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            reads.append("read")
            return super().read(size)

    monkeypatch.setattr(Store, "opened", lambda *_: Short(b"trans"))
    report = home.fetch()
    assert statuses(report) == ["failed", "not_there"]
    assert "another size than its store lists" in report.failed[0].reason
    assert len(reads) == 6, "three attempts of two reads"
    assert len(home.slept) == 3, "one pause between the looks and two between the attempts"
    assert home.files() == {}


def test_earlier_dates_are_looked_at_again(home: FetchHome, remote: Path) -> None:
    home.sources(folder_source(remote, "days_back = 2"))
    report = home.fetch(DAY + timedelta(days=2))
    assert [(str(one.accounting_date), one.status) for one in report.outcomes] == [
        ("2026-09-26", "not_there"),
        ("2026-09-26", "not_there"),
        ("2026-09-25", "not_there"),
        ("2026-09-25", "not_there"),
        ("2026-09-24", "fetched"),
        ("2026-09-24", "not_there"),
    ]


def test_only_what_was_asked_for(home: FetchHome, remote: Path) -> None:
    home.sources(folder_source(remote))
    assert home.fetch(channels=["bank"]).outcomes == ()
    assert statuses(home.fetch(kinds=["alfee"])) == ["not_there"]
    assert statuses(home.fetch(names=["unionpay"])) == ["fetched", "not_there"]
    with pytest.raises(FetchError, match="there is no source other"):
        home.fetch(names=["other"])


def test_a_source_that_is_down_does_not_stop_the_others(home: FetchHome, remote: Path) -> None:
    down = """
[[source]]
name = "down"
kind = "store"
connection = "down"
url = "sftp:///out"
files = ["wechat/trade_bill"]
attempts = 2
"""
    home.connections["down"] = Connection("down", "127.0.0.1", 1, "me", "pass word")
    home.sources(down + folder_source(remote))
    report = home.fetch()
    assert statuses(report) == ["failed", "fetched", "not_there"]
    assert report.is_transient
    assert "source down" in str(report.errors[0])


# --- SFTP ---------------------------------------------------------------------------------------


@pytest.fixture
def sftp(remote: Path) -> Iterator[SftpServer]:
    """An SFTP server whose root holds the folder of the date."""
    with serving_sftp(remote.parent) as server:
        yield server


SFTP_SOURCE = """
[[source]]
name = "unionpay"
kind = "store"
connection = "unionpay_sftp"
url = "sftp:///{date:%Y%m%d}"
files = ["unionpay/acomn", "unionpay/alfee"]
attempts = 2
"""


def sftp_connection(server: SftpServer, **changed: Any) -> Connection:
    """Return the server's connection, as it should be or with a change."""
    values = {
        "host": "127.0.0.1",
        "port": server.port,
        "login": "drop",
        "password": "pass word",
        "extra": {"host_key": server.host_key},
    }
    return Connection("unionpay_sftp", **{**values, **changed})


def test_sftp_files_come(home: FetchHome, sftp: SftpServer) -> None:
    home.connections["unionpay_sftp"] = sftp_connection(sftp)
    home.sources(SFTP_SOURCE)
    assert statuses(home.fetch()) == ["fetched", "not_there"]
    assert home.files() == {OWN: b"transactions\r\n"}
    assert statuses(home.fetch()) == ["unchanged", "not_there"]
    assert statuses(home.fetch(DAY - timedelta(days=9))) == ["not_there", "not_there"]


def test_a_large_file_comes_whole_by_sftp(home: FetchHome, sftp: SftpServer) -> None:
    content = os.urandom(5_000_001)
    (sftp.folder / "20260924" / ACOMN).write_bytes(content)
    home.connections["unionpay_sftp"] = sftp_connection(sftp)
    home.sources(SFTP_SOURCE)
    assert statuses(home.fetch()) == ["fetched", "not_there"]
    assert home.files() == {OWN: content}


OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"extra": {"host_key": OTHER_KEY}}, "the server's key is not the one"),
        ({"extra": {"known_hosts_file": "/dev/null"}}, "the server's key is not the one"),
        ({"extra": {"no_host_key_check": True}}, "no_host_key_check is true"),
        ({"password": "wrong pass"}, "login, or the right to read or write, is refused"),
        ({"login": "other"}, "login, or the right to read or write, is refused"),
    ],
)
def test_who_is_not_who_they_say_is_refused_at_once(
    home: FetchHome, sftp: SftpServer, change: dict[str, Any], why: str
) -> None:
    home.connections["unionpay_sftp"] = sftp_connection(sftp, **change)
    home.sources(SFTP_SOURCE)
    report = home.fetch()
    assert statuses(report) == ["failed", "failed"]
    assert why in str(report.errors[0])
    assert home.slept == [], "a second try could lock the account"
    assert home.files() == {}
    for secret in ("pass word", "wrong pass"):
        assert secret not in f"{report}{report.errors[0]}"


def test_a_known_hosts_file_is_enough(home: FetchHome, sftp: SftpServer, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{sftp.port} {sftp.host_key}\n")
    home.connections["unionpay_sftp"] = sftp_connection(
        sftp, extra={"known_hosts_file": str(known)}
    )
    home.sources(SFTP_SOURCE)
    assert statuses(home.fetch()) == ["fetched", "not_there"]


# --- S3 -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    """moto's S3 on a free port."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def test_s3_files_come(home: FetchHome, s3_endpoint: str) -> None:
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=s3_endpoint,
        region_name="us-east-1",
        aws_access_key_id="ACCESS",
        aws_secret_access_key="SECRET",
    )
    client.create_bucket(Bucket="channel")
    key = f"out/20260924/{ACOMN}"
    client.put_object(Bucket="channel", Key=key, Body=b"transactions\r\n")
    client.put_object(Bucket="channel", Key=f"out/20260924/{ALFEE}.tmp", Body=b"no")
    home.connections["minio"] = Connection(
        "minio",
        login="ACCESS",
        password="SECRET",
        extra={"endpoint_url": s3_endpoint, "region_name": "us-east-1"},
    )
    home.sources(
        """
[[source]]
name = "unionpay"
kind = "store"
connection = "minio"
url = "s3://channel/out/{date:%Y%m%d}"
files = ["unionpay/acomn", "unionpay/alfee"]
attempts = 1
"""
    )
    report = home.fetch()
    assert statuses(report) == ["fetched", "not_there"], report
    assert home.files() == {OWN: b"transactions\r\n"}
    client.put_object(Bucket="channel", Key=key, Body=b"corrected\r\n")
    assert statuses(home.fetch()) == ["other_version", "not_there"]
    assert len(find_files([home.settings.inbox_url])) == 2


def test_a_bucket_that_is_not_there_fails(home: FetchHome, s3_endpoint: str) -> None:
    home.connections["minio"] = Connection(
        "minio",
        login="ACCESS",
        password="SECRET",
        extra={"endpoint_url": s3_endpoint, "region_name": "us-east-1"},
    )
    home.sources(
        """
[[source]]
name = "unionpay"
kind = "store"
connection = "minio"
url = "s3://none/out"
files = ["unionpay/acomn"]
attempts = 1
"""
    )
    assert statuses(home.fetch()) == ["not_there"]
