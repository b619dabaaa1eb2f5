"""A store reached by SFTP proves who it is before anything is read from it or written to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import asyncssh
import pytest

from file_servers import SftpServer, serving_sftp
from tieout.files import store_urls, stores
from tieout.files.report import LandingError
from tieout.payouts.store import Store


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SftpServer]:
    """A drop with one file; nobody has said yet what its key is."""
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    (tmp_path / "drop" / "inbox").mkdir(parents=True)
    (tmp_path / "drop" / "inbox" / "a.csv").write_bytes(b"of the platform")
    with serving_sftp(tmp_path / "drop") as found:
        yield found


def knows(server: SftpServer, key: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Say that the server's key is ``key``."""
    file = folder / "known_hosts"
    file.write_text(f"[127.0.0.1]:{server.port} {key}\n")
    monkeypatch.setenv(store_urls.KNOWN_HOSTS_VARIABLE, str(file))


def url_of(server: SftpServer, folder: str) -> str:
    """The store's URL, with a login."""
    return f"sftp://drop:pass word@127.0.0.1:{server.port}/{folder}"


def test_a_store_whose_key_is_known_is_read_and_written(
    server: SftpServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    knows(server, server.host_key, monkeypatch, tmp_path)
    (found,) = stores.find_files([url_of(server, "inbox")])
    assert found.read(100).content == b"of the platform"
    Store(url_of(server, "outbox")).replace("payouts/one.xml", b"payment")
    assert (server.folder / "outbox/payouts/one.xml").read_bytes() == b"payment"


@pytest.mark.parametrize("known", ["another key", "nothing"])
def test_a_store_that_may_be_anybody_is_refused(
    server: SftpServer, known: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if known == "another key":
        other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
        knows(server, other.strip(), monkeypatch, tmp_path)
    with pytest.raises(LandingError):
        stores.find_files([url_of(server, "inbox")])
    with pytest.raises((asyncssh.Error, OSError)):
        Store(url_of(server, "outbox")).replace("payouts/one.xml", b"payment")
    assert not (server.folder / "outbox").exists()
