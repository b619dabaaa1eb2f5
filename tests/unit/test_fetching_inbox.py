"""The inbox: nothing half-written has a name, and nothing is written over."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fetch_homes import ACOMN, DAY
from parts import examples
from tieout.fetching.inbox import Inbox, Place, Receiver
from tieout.fetching.report import FetchError
from tieout.files.stores import find_files

PLACE = Place("unionpay", DAY, ACOMN)
OWN = f"unionpay/20260924/{ACOMN}"


def bytes_of(*chunks: bytes) -> Callable[[Receiver], None]:
    """Return a transfer of these chunks."""

    def transfer(receiver: Receiver) -> None:
        for chunk in chunks:
            receiver.write(chunk)

    return transfer


def beside(content: bytes) -> str:
    """Return where another version with this content lies."""
    return f"unionpay/20260924/versions/{hashlib.sha256(content).hexdigest()[:12]}/{ACOMN}"


def found(folder: Path) -> dict[str, bytes]:
    """Return every file of a folder, hidden ones too."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    """A local inbox in `tmp_path`."""
    return Inbox(f"file://{tmp_path}")


def test_a_file_gets_its_name_when_it_is_whole(inbox: Inbox, tmp_path: Path) -> None:
    seen: list[list[str]] = []

    def transfer(receiver: Receiver) -> None:
        receiver.write(b"one")
        seen.append([file.name for file in find_files([f"file://{tmp_path}"])])
        receiver.write(b"two")

    assert inbox.receive(PLACE, transfer, bytes_max=10) == "fetched"
    assert seen == [[]], "landing sees nothing of a file that is still being written"
    assert found(tmp_path) == {OWN: b"onetwo"}


def test_a_transfer_that_fails_leaves_nothing(inbox: Inbox, tmp_path: Path) -> None:
    def broken(receiver: Receiver) -> None:
        receiver.write(b"half")
        raise FetchError(what="broke off")

    with pytest.raises(FetchError, match="broke off"):
        inbox.receive(PLACE, broken, bytes_max=10)
    assert found(tmp_path) == {}


def test_a_file_that_is_too_large_leaves_nothing(inbox: Inbox, tmp_path: Path) -> None:
    inbox.receive(PLACE, bytes_of(b"12345", b"12345"), bytes_max=10)
    with pytest.raises(FetchError, match="larger than its source may send"):
        inbox.receive(PLACE, bytes_of(b"12345", b"123456"), bytes_max=10)
    assert found(tmp_path) == {OWN: b"1234512345"}


def test_the_same_bytes_change_nothing(inbox: Inbox, tmp_path: Path) -> None:
    inbox.receive(PLACE, bytes_of(b"a"), bytes_max=10)
    before = (tmp_path / OWN).stat().st_ino
    assert inbox.receive(PLACE, bytes_of(b"a"), bytes_max=10) == "unchanged"
    assert found(tmp_path) == {OWN: b"a"}
    assert (tmp_path / OWN).stat().st_ino == before


def test_other_bytes_lie_beside_and_are_seen_by_landing(inbox: Inbox, tmp_path: Path) -> None:
    inbox.receive(PLACE, bytes_of(b"first"), bytes_max=10)
    assert inbox.receive(PLACE, bytes_of(b"second"), bytes_max=10) == "other_version"
    assert inbox.receive(PLACE, bytes_of(b"second"), bytes_max=10) == "unchanged"
    assert found(tmp_path) == {OWN: b"first", beside(b"second"): b"second"}
    assert [file.name for file in find_files([f"file://{tmp_path}"])] == [ACOMN, ACOMN]


def test_a_name_taken_meanwhile_is_not_written_over(
    inbox: Inbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.link

    def late(source: str, target: str) -> None:
        if target.endswith(OWN) and not Path(target).exists():
            Path(target).write_bytes(b"another fetch")
        real(source, target)

    monkeypatch.setattr("tieout.files.store.os.link", late)
    assert inbox.receive(PLACE, bytes_of(b"mine"), bytes_max=10) == "other_version"
    assert found(tmp_path) == {OWN: b"another fetch", beside(b"mine"): b"mine"}


def test_a_folder_without_hard_links(
    inbox: Inbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_source: str, _target: str) -> None:
        raise PermissionError(1, "no links here")

    monkeypatch.setattr("tieout.files.store.os.link", refuse)
    assert inbox.receive(PLACE, bytes_of(b"a"), bytes_max=10) == "fetched"
    assert inbox.receive(PLACE, bytes_of(b"b"), bytes_max=10) == "other_version"
    assert found(tmp_path) == {OWN: b"a", beside(b"b"): b"b"}


def test_a_name_taken_meanwhile_in_a_folder_without_hard_links(
    inbox: Inbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_source: str, target: str) -> None:
        if target.endswith(OWN) and "versions" not in target:
            Path(target).write_bytes(b"another fetch")
        raise PermissionError(1, "no links here")

    monkeypatch.setattr("tieout.files.store.os.link", refuse)
    assert inbox.receive(PLACE, bytes_of(b"mine"), bytes_max=10) == "other_version"
    assert found(tmp_path) == {OWN: b"another fetch", beside(b"mine"): b"mine"}


def test_size_and_time_say_that_a_copy_is_not_needed(inbox: Inbox) -> None:
    inbox.receive(PLACE, bytes_of(b"abc"), bytes_max=10, modified=1_790_000_000.5)
    assert inbox.holds_look_alike(PLACE, 3, 1_790_000_000.5)
    assert not inbox.holds_look_alike(PLACE, 4, 1_790_000_000.5)
    assert not inbox.holds_look_alike(PLACE, 3, 1_790_000_060.0)
    assert not inbox.holds_look_alike(PLACE, 3, None)


def test_an_inbox_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "unionpay").write_text("a file where a folder should be")
    with pytest.raises(FetchError, match="the inbox cannot be written"):
        Inbox(f"file://{tmp_path}").receive(PLACE, bytes_of(b"a"), bytes_max=10)


def test_an_inbox_elsewhere_keeps_the_rules() -> None:
    inbox = Inbox("memory://inbox_of_this_test")
    assert inbox.receive(PLACE, bytes_of(b"first"), bytes_max=10) == "fetched"
    assert inbox.receive(PLACE, bytes_of(b"second"), bytes_max=10) == "other_version"
    assert inbox.receive(PLACE, bytes_of(b"first"), bytes_max=10) == "unchanged"
    assert inbox.names("unionpay", DAY) == [ACOMN]
    files = find_files(["memory://inbox_of_this_test"])
    assert [file.read(100).content for file in files] == [b"first", b"second"]


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    max_examples=examples(60),
    deadline=None,
)
@given(versions=st.lists(st.binary(max_size=6), min_size=1, max_size=6))
def test_every_version_is_kept_once(
    tmp_path_factory: pytest.TempPathFactory, versions: list[bytes]
) -> None:
    folder = tmp_path_factory.mktemp("inbox")
    inbox = Inbox(f"file://{folder}")
    deliveries = [inbox.receive(PLACE, bytes_of(one), bytes_max=10) for one in versions]
    assert deliveries[0] == "fetched"
    assert found(folder)[OWN] == versions[0], "the first one keeps the name"
    assert sorted(found(folder).values()) == sorted(set(versions))
    assert deliveries.count("unchanged") == len(versions) - len(set(versions))
