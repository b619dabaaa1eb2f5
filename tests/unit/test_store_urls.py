"""A store reached by SFTP proves who it is before anything is read from it or written to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import asyncssh
import pytest

from file_servers import SftpServer, serving_sftp
from tieout.core.settings import Settings, load_settings
from tieout.files import store, store_urls, stores
from tieout.files.report import LandingError
from tieout.landing import corrections
from tieout.landing.land import _sealed
from tieout.landing.manifest import KnownFile
from tieout.payouts.store import Store, StoreError
from tieout.protection.leaks import places


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
    # What is shown and kept names the server, and never the login.
    assert found.url == f"sftp://127.0.0.1:{server.port}/inbox/a.csv"
    shown = Store(url_of(server, "outbox/")).url_of("payouts/one.xml")
    assert shown == f"sftp://127.0.0.1:{server.port}/outbox/payouts/one.xml"
    (alone,) = stores.find_files([url_of(server, "inbox/a.csv")])
    assert (alone, alone.read(100).content) == (found, b"of the platform")


def settings_of(server: SftpServer, tmp_path: Path) -> Settings:
    """A home whose stores are the server's."""
    names = {"TIEOUT_HOME": str(tmp_path / "home")}
    stores_of = {f"TIEOUT_{name.upper()}": url_of(server, name) for name in ("inbox", "outbox")}
    return load_settings({**names, **stores_of})


def test_a_file_on_record_is_read_again_from_the_inbox(
    server: SftpServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """So a file can be released of which no copy is kept; also by the URL of versions before."""
    knows(server, server.host_key, monkeypatch, tmp_path)
    settings = settings_of(server, tmp_path)
    (found,) = stores.find_files([settings.inbox_url])
    sha256 = found.read(100).sha256
    for url in (found.url, "sftp:///inbox/a.csv"):
        entry = KnownFile("f", "a.csv", url, None, sha256, "quarantined", 1, None, None, None, "x")
        assert corrections._content(settings, entry) == b"of the platform"


def test_an_outbox_on_a_server_is_looked_through_for_leaks(
    server: SftpServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    knows(server, server.host_key, monkeypatch, tmp_path)
    settings = settings_of(server, tmp_path)
    Store(settings.outbox_url).replace("payouts/one.xml", b"payment")
    (source,) = places._remote_outbox(settings)
    with source.open() as stream:
        assert stream.read() == b"payment"


@pytest.mark.parametrize(
    ("recorded", "opened"),
    [
        ("sftp://h:22/in/a.csv", "sftp://me:secret@h:22/in/a.csv"),
        ("sftp:///in/a.csv", "sftp://me:secret@h:22/in/a.csv"),
        ("sftp://other:22/in/a.csv", "sftp://other:22/in/a.csv"),
        ("sftp://h:22/inner/a.csv", "sftp://h:22/inner/a.csv"),
        ("file:///in/a.csv", "file:///in/a.csv"),
    ],
)
def test_a_login_goes_to_its_own_store_only(recorded: str, opened: str) -> None:
    found = store_urls.with_login(recorded, ["file:///in", "sftp://me:secret@h:22/in"])
    assert found == opened


def test_places_of_versions_before_are_known() -> None:
    place = "sftp://h:22/in/d.sta#s.sta"
    assert store_urls.is_same_place(place, place)
    assert store_urls.is_same_place("sftp:///in/d.sta#s.sta", place)
    assert not store_urls.is_same_place("sftp://g:22/in/d.sta#s.sta", place)
    assert not store_urls.is_same_place("file:///in/other", "file:///in/d")


def test_a_file_of_a_sealed_date_is_known_by_the_url_of_versions_before() -> None:
    file = stores.FoundFile("sftp://h:22/in/a.csv", "a.csv", 1, "v", None, None, "a.csv")
    known = KnownFile("f", "a.csv", "x", None, "s", "landed", 1, None, None, None, None)
    for url in ("sftp://h:22/in/a.csv", "sftp:///in/a.csv"):
        assert _sealed({(url, 1, "v"): known}, file) is known
        assert _sealed({(url, 1, "w"): known}, file) is None
    assert _sealed({("sftp://g:22/in/a.csv", 1, "v"): known}, file) is None


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sftp://me:secret@h:22/in", "sftp://h:22/in"),
        ("sftp://me:se/c@ret@h:22/in", "sftp://h:22/in"),
        ("file:///home/a@b/in", "file:///home/a@b/in"),
        ("/home/a@b/in", "/home/a@b/in"),
    ],
)
def test_a_url_is_shown_without_its_login(url: str, shown: str) -> None:
    assert store_urls.shown_url(url) == shown


@pytest.mark.parametrize("path", ["../secret", "payouts/../../secret", "a/./b", "a\0b"])
@pytest.mark.parametrize("url", ["file://{}/box", "memory://box"])
def test_a_path_stays_in_its_store(tmp_path: Path, path: str, url: str) -> None:
    box = store.Store(url.format(tmp_path))
    (tmp_path / "box").mkdir()
    (tmp_path / "secret").write_bytes(b"s")
    box.write("a.txt", b"a")
    for use in (
        lambda: box.read(path, 10),
        lambda: box.hexdigest(path),
        lambda: box.names(path),
        lambda: box.entries(path),
        lambda: box.look(path),
        lambda: box.write(path, b"x"),
        lambda: box.remove(path),
        lambda: box.move_new("a.txt", path),
        lambda: box.open_new(path),
        lambda: box.url_of(path),
    ):
        with pytest.raises(OSError, match="has to stay in its store"):
            use()
    assert (tmp_path / "secret").read_bytes() == b"s"


@pytest.mark.parametrize("url", ["file://{}/box", "memory://{}/box"])
def test_every_store_lists_reads_and_writes_alike(tmp_path: Path, url: str) -> None:
    box = store.Store(url.format(tmp_path))
    with pytest.raises(FileNotFoundError):
        box.entries()
    assert box.names("") == box.folders("") == ()
    assert box.look("b/a.txt") is None
    box.write("b/a.txt", b"first")
    box.write("b/a.txt", b"again")
    box.write_hidden("b/c.txt", b"half")
    assert [(entry.path, entry.size_bytes, entry.kind) for entry in box.entries()] == [
        ("b/a.txt", 5, None)
    ]
    assert [entry.path for entry in box.entries("b")] == ["b/a.txt"]
    assert box.names("b") in {("a.txt",), (".c.txt.part", "a.txt")}
    assert box.folders("") == ("b",)
    box.put_out("b/c.txt")
    assert box.read("b/c.txt", 3).content is None
    assert box.read("b/c.txt", 4).content == b"half"
    assert box.hexdigest("b/c.txt") == box.read("b/c.txt", 4).sha256
    assert box.move_new("b/c.txt", "d/c.txt")
    assert not box.exists("b/c.txt")
    box.remove("d/c.txt")
    assert not box.exists("d/c.txt")
    only = store.Store(f"{url.format(tmp_path)}/b/a.txt")
    assert only.own_file is not None
    assert only.own_file.name == "a.txt"
    assert box.own_file is None


@pytest.mark.parametrize("known", ["another key", "nothing"])
def test_a_store_that_may_be_anybody_is_refused(
    server: SftpServer, known: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if known == "another key":
        other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
        knows(server, other.strip(), monkeypatch, tmp_path)
    with pytest.raises(LandingError):
        stores.find_files([url_of(server, "inbox")])
    with pytest.raises(StoreError, match="TIEOUT_SSH_KNOWN_HOSTS"):
        Store(url_of(server, "outbox")).replace("payouts/one.xml", b"payment")
    assert not (server.folder / "outbox").exists()
