"""What others put into our folders: only regular files are opened, and never read without end."""

from __future__ import annotations

import importlib
import os
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import channel_files as make
from fetch_homes import ACOMN, DAY
from landing_world import own_database, place, put, query
from tieout import landing
from tieout.core.settings import Settings
from tieout.fetching.inbox import Inbox, Place, Receiver
from tieout.files import local_files
from tieout.files.local_files import IrregularFileError
from tieout.files.stores import IrregularError, find_entries, find_files
from tieout.payouts.store import Store

__all__ = ["own_database", "place"]

SECONDS_MAX = 20
CAMT = "camt053_6600100200300400_20260924"


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        here = Path.cwd()
        os.chdir(path.parent)  # a socket's address has room for 107 bytes
        try:
            listening.bind(path.name)
        finally:
            os.chdir(here)


def a_link_to_an_endless_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def a_link_to_a_file(path: Path) -> None:
    path.symlink_to(Path(make.__file__))


def a_link_to_a_folder(path: Path) -> None:
    path.symlink_to("/etc", target_is_directory=True)


def a_link_to_nothing(path: Path) -> None:
    path.symlink_to("nothing")


def a_device(path: Path) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("devices may not be made here")


KINDS: dict[Callable[[Path], None], str] = {
    a_pipe: "a named pipe",
    a_socket: "a socket",
    a_link_to_an_endless_device: "a link",
    a_link_to_a_file: "a link",
    a_link_to_a_folder: "a link",
    a_link_to_nothing: "a link",
    a_device: "a device",
}
irregular = pytest.mark.parametrize(
    ("make_it", "kind"), KINDS.items(), ids=[kind.__name__ for kind in KINDS]
)


@pytest.fixture(autouse=True)
def not_for_ever() -> Iterator[None]:
    """End the process of a test that hangs: a blocked open takes no exception."""
    timer = threading.Timer(SECONDS_MAX * 3, lambda: os._exit(3))
    timer.start()
    yield
    timer.cancel()


@irregular
@pytest.mark.parametrize("name", [ACOMN, "unknown.txt", "pain002_x.xml"])
def test_what_is_no_file_is_told_and_stops_nothing(
    place: Settings, make_it: Callable[[Path], None], kind: str, name: str
) -> None:
    put(place, f"{CAMT}_1.xml", make.camt053())
    make_it(place.home / "inbox" / "x" / name)
    began = time.monotonic()
    report = landing.land(place)
    assert time.monotonic() - began < SECONDS_MAX
    (told,) = report.unrecognised
    assert (told.file_name, told.reason) == (
        name,
        f"it is {kind}, not a regular file; it was not opened",
    )
    assert report.counts["landed"] == 1
    # It is on record, once, and the next landing goes on, too.
    assert landing.land(place).unrecognised == (told,)
    rows = query(
        place,
        "select file_name, size_bytes, reason from control.channel_files where status = %s",
        "unrecognised",
    )
    assert rows == [(name, 0, told.reason)]
    assert not list(place.archive_dir.iterdir())


def test_a_file_in_its_place_lands(place: Settings) -> None:
    path = put(place, ACOMN, b"")
    path.unlink()
    a_pipe(path)
    assert landing.land(place).counts.get("landed") is None
    path.unlink()
    put(place, ACOMN, make.acomn())
    assert landing.land(place).counts["landed"] == 1


def test_an_inbox_that_is_a_link_to_a_folder_is_ours(place: Settings) -> None:
    put(place, ACOMN, make.acomn())
    link = place.home / "link"
    link.symlink_to(place.home / "inbox")
    assert landing.land(replace(place, inbox_url=f"file://{link}")).counts["landed"] == 1


def test_a_folder_that_becomes_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "inbox" / "a").mkdir(parents=True)
    (tmp_path / "inbox" / "a" / "f").write_bytes(b"theirs")
    (file,) = find_files([str(tmp_path / "inbox")])
    (tmp_path / "inbox" / "a").rename(tmp_path / "secrets")
    (tmp_path / "inbox" / "a").symlink_to(tmp_path / "secrets")
    with pytest.raises(IrregularError):
        file.read(100)
    with pytest.raises(IrregularFileError):
        local_files.read(str(tmp_path / "inbox"), ["a", "f"], 100)


def test_a_file_that_becomes_a_pipe_while_it_is_landed_is_told(
    place: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(place, ACOMN, make.acomn())

    def exchanged(urls: list[str]) -> object:
        found = find_entries(urls)
        path.unlink()
        a_pipe(path)
        return found

    module = importlib.import_module("tieout.landing.land")
    monkeypatch.setattr(module, "find_entries", exchanged)
    (told,) = landing.land(place).unrecognised
    assert "not a regular file" in (told.reason or "")


@pytest.mark.parametrize("size", [0, 10, 1 << 40])
def test_no_more_is_read_than_asked_for_whatever_the_size_says(tmp_path: Path, size: int) -> None:
    """/dev/zero stands for a file that grows as fast as it is read."""
    with Path("/dev/zero").open("rb", buffering=0) as endless:
        reading = local_files.read_bounded(endless, 1000, size)
        assert (reading.content, reading.size_bytes) == (None, max(size, 1001))


def test_a_file_that_says_it_is_empty_is_read_all_the_same() -> None:
    """As files of /proc do."""
    path = Path("/proc/self/status")
    assert path.stat().st_size == 0
    reading = local_files.read("/proc/self", ["status"], 1 << 20)
    assert reading.content is not None
    assert reading.content.startswith(b"Name:")
    assert local_files.read("/proc/self", ["status"], 10).content is None


def test_two_files_that_are_too_large_are_two(tmp_path: Path) -> None:
    for name, length in (("a", 100), ("b", 101)):
        (tmp_path / name).write_bytes(b"x" * length)
    first, second = (local_files.read(str(tmp_path), [name], 10) for name in "ab")
    assert (first.content, first.size_bytes, second.size_bytes) == (None, 100, 101)
    assert first.sha256 != second.sha256


# --- fetching, and the payouts' store -----------------------------------------------------------


@irregular
def test_a_fetched_file_goes_beside_what_is_no_file(
    tmp_path: Path, make_it: Callable[[Path], None], kind: str
) -> None:
    inbox, content = Inbox(f"file://{tmp_path}"), b"whole"
    own = tmp_path / "unionpay" / "20260924" / ACOMN
    own.parent.mkdir(parents=True)
    make_it(own)

    def transfer(receiver: Receiver) -> None:
        receiver.write(content)

    target = Place("unionpay", DAY, ACOMN)
    assert not inbox.holds_hash(target, "sha256", "0" * 64)
    assert not inbox.holds_look_alike(target, 5, 1.0)
    assert inbox.receive(target, transfer, bytes_max=100) == "other_version"
    files, others = find_entries([f"file://{tmp_path}/unionpay"])
    assert [file.read(100).content for file in files] == [content]
    assert [entry.kind for entry in others] == [kind]
    assert inbox.receive(target, transfer, bytes_max=100) == "unchanged"


@irregular
def test_a_report_that_is_no_file_is_not_read(
    tmp_path: Path, make_it: Callable[[Path], None], kind: str
) -> None:
    folder = tmp_path / "bank" / "20260928"
    folder.mkdir(parents=True)
    (folder / "pain002_a.xml").write_bytes(b"<a/>")
    make_it(folder / "pain002_b.xml")
    (tmp_path / "bank" / "20260929").symlink_to("/etc", target_is_directory=True)
    store = Store(f"file://{tmp_path}")
    assert store.names("bank/20260928") == ("pain002_a.xml",)
    assert store.folders("bank") == ("20260928",)
    assert store.names("bank/20260929") == ()
    with pytest.raises(IrregularFileError) as caught:
        store.read_bounded("bank/20260928/pain002_b.xml", 100)
    assert kind in str(caught.value)
    reading = store.read_bounded("bank/20260928/pain002_a.xml", 3)
    assert reading is not None
    assert (reading.content, reading.size_bytes) == (None, 4)


def put_out(store: Store, path: str, content: bytes) -> None:
    store.prepare(path, content)
    store.put_out(path)


@pytest.mark.parametrize("umask", [0o022, 0o000])
def test_what_is_written_is_its_owner_s_only(tmp_path: Path, umask: int) -> None:
    store = Store(f"file://{tmp_path}/out/box")
    before = os.umask(umask)
    try:
        put_out(store, "payouts/20260928/a.xml", b"a")
        store.replace("statements/20260928/s.csv", b"s")
        paths = list((tmp_path / "out" / "box").rglob("*"))
        assert len(paths) == 6
        assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in paths} == {
            **dict.fromkeys(("payouts", "20260928", "statements"), 0o700),
            **dict.fromkeys(("a.xml", "s.csv"), 0o600),
        }
        assert stat.S_IMODE((tmp_path / "out" / "box").stat().st_mode) == 0o700
        # What a version before left is narrowed when it is met again; a root of others' stays.
        for path in paths:
            path.chmod(0o755)
        (tmp_path / "out" / "box").chmod(0o750)
        put_out(store, "payouts/20260928/a.xml", b"a")
        store.replace("statements/20260928/s.csv", b"s")
        assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o700, 0o600}
        assert stat.S_IMODE((tmp_path / "out" / "box").stat().st_mode) == 0o750
    finally:
        os.umask(before)


def test_a_payment_file_is_not_written_through_a_link(tmp_path: Path) -> None:
    from tieout.core.errors import TieoutError

    folder = tmp_path / "payouts"
    folder.mkdir()
    (tmp_path / "elsewhere").write_bytes(b"a")
    (folder / "a.xml").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TieoutError, match="is not a file of ours"):
        Store(f"file://{tmp_path}").whole("payouts/a.xml")
    (folder / ".b.xml.part").symlink_to(tmp_path / "elsewhere")
    put_out(Store(f"file://{tmp_path}"), "payouts/b.xml", b"b")
    assert (folder / "b.xml").read_bytes() == b"b"
    assert not (folder / "b.xml").is_symlink()
    assert (tmp_path / "elsewhere").read_bytes() == b"a"
