"""Files that did not land are kept encrypted, come back whole or not at all."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import channel_files as make
from parts import examples
from tieout.core.settings import Settings, load_settings
from tieout.files import archive
from tieout.files.report import LandingError
from tieout.protection import key_ring, tokens


@pytest.fixture
def place(tmp_path: Path) -> Settings:
    """A home with nothing in it; no database is needed."""
    return load_settings({"TIEOUT_HOME": str(tmp_path / "home")})


def keep(place: Settings, content: bytes) -> tuple[str, Path]:
    sha256 = hashlib.sha256(content).hexdigest()
    return sha256, archive.keep(place, sha256, content)


def test_kept_bytes_are_ciphertext_for_the_owner(place: Settings) -> None:
    content = make.acomn() * 3
    sha256, path = keep(place, content)
    assert archive.is_kept(place, sha256)
    assert archive.read(place, sha256) == content
    assert make.CARD.encode() in content
    for part in (make.CARD.encode(), b"48370000"):
        assert part not in path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [kept.name for kept in path.parent.iterdir()] == [sha256]


@hypothesis_settings(
    deadline=None,
    max_examples=examples(50),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(content=st.binary(max_size=100))
def test_any_bytes_come_back(place: Settings, content: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(archive, "PART_BYTES", 16)
        sha256, path = keep(place, content)
        assert len(path.read_bytes().splitlines()) == 1 + max(-(-len(content) // 16), 1)
        assert archive.read(place, sha256) == content
    assert archive.kept_key_ids(place).keys() == {tokens.data_key_ids(place)[0]}


def _without_last(lines: list[bytes]) -> list[bytes]:
    return lines[:-1]


def _swapped(lines: list[bytes]) -> list[bytes]:
    return [lines[0], lines[2], lines[1], *lines[3:]]


def _doubled(lines: list[bytes]) -> list[bytes]:
    return [*lines, lines[-1]]


def _in_the_clear(_lines: list[bytes]) -> list[bytes]:
    return [b"other bytes\n"]


@pytest.mark.parametrize("change", [_without_last, _swapped, _doubled, _in_the_clear])
def test_kept_bytes_that_were_changed_are_refused(
    place: Settings,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[list[bytes]], list[bytes]],
) -> None:
    monkeypatch.setattr(archive, "PART_BYTES", 16)
    sha256, path = keep(place, bytes(range(64)))
    lines = path.read_bytes().splitlines(keepends=True)
    assert len(lines) == 5
    path.write_bytes(b"".join(change(lines)))
    with pytest.raises(LandingError, match="missing or changed"):
        archive.read(place, sha256)


def test_a_changed_part_does_not_open(place: Settings) -> None:
    sha256, path = keep(place, b"content")
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(tokens.SecretsError):
        archive.read(place, sha256)


def test_bytes_kept_in_the_clear_before_are_read_and_then_encrypted(place: Settings) -> None:
    content = make.acomn()
    sha256 = hashlib.sha256(content).hexdigest()
    path = archive.archive_path(place, sha256)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert archive.read(place, sha256) == content
    assert archive.kept_key_ids(place) == {"": 1}
    assert archive.re_encrypt(place) == 1
    assert archive.read(place, sha256) == content
    assert make.CARD.encode() not in path.read_bytes()
    assert archive.re_encrypt(place) == 0


def test_a_rotated_key_still_opens_and_re_encrypting_frees_it(place: Settings) -> None:
    (old,) = tokens.data_key_ids(place)
    sha256, _ = keep(place, b"content")
    new = key_ring.add_key(place, "data").ids[0]
    assert archive.read(place, sha256) == b"content"
    assert archive.kept_key_ids(place) == {old: 1}
    assert archive.re_encrypt(place) == 1
    assert archive.kept_key_ids(place) == {new: 1}
    key_ring.remove_key(place, "data", old)
    assert archive.read(place, sha256) == b"content"


def test_no_archive_is_an_empty_one(place: Settings) -> None:
    assert archive.kept_key_ids(place) == {}
    assert archive.re_encrypt(place) == 0
    assert not archive.is_kept(place, "0" * 64)
