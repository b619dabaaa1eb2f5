"""Encrypted files: opened with a configured key, kept and named with the reason otherwise."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from dataclasses import replace
from functools import cache
from pathlib import Path

import pysequoia
import pytest

import channel_files as make
from landing_world import own_database, put
from landing_world import place as place_with_tables
from tieout import database, landing
from tieout.channels.common.model import ParsedFile
from tieout.core.settings import Settings, load_settings
from tieout.files import archive, decryption
from tieout.files.decryption import opened, plain_name
from tieout.files.stores import FileBytes

__all__ = ["own_database", "place_with_tables"]

NAME = "IND26092401ACOMN.pgp"


@cache
def key(name: str) -> pysequoia.Tsk:
    """Return a key of the test run."""
    return pysequoia.Tsk.generate(f"{name} <{name}@example.org>")


def encrypted(content: bytes, to: str = "us", signer: str = "", *, armor: bool = False) -> bytes:
    """Encrypt to a test key, signed by another."""
    return pysequoia.encrypt(
        bytes=content,
        recipients=[key(to).extract_certificate()],
        signer=key(signer).signer() if signer else None,
        armor=armor,
    )


def keys(*names: str) -> dict[str, str]:
    """Return the setting with these private keys, one after another."""
    return {"TIEOUT_PGP_KEY": "\n".join(str(key(name)) for name in names)}


@pytest.fixture
def place(tmp_path: Path) -> Settings:
    """Settings of a home without a database."""
    settings = load_settings({"TIEOUT_HOME": str(tmp_path / "home")})
    settings.ensure_dirs()
    return settings


def open_content(
    settings: Settings, name: str, content: bytes, environ: dict[str, str]
) -> tuple[bytes | None, ParsedFile | None]:
    """Open these bytes; what comes back has its own hash and size."""
    read = FileBytes(content, hashlib.sha256(content).hexdigest(), len(content))
    back, refused = opened(settings, name, read, environ)
    assert back.content is not None
    assert back.sha256 == hashlib.sha256(back.content).hexdigest()
    assert back.size_bytes == len(back.content)
    return back.content, refused


def reason(settings: Settings, content: bytes, environ: dict[str, str]) -> str:
    """Return the code of why a file is not opened; its bytes come back as they are."""
    back, refused = open_content(settings, NAME, content, environ)
    assert back == content
    assert refused is not None
    assert decryption.is_refusal(refused)
    assert not refused.is_good
    return refused.bad_rows[0].reason_code


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("a.csv.pgp", "a.csv"),
        ("IND26092401ACOMN.GPG", "IND26092401ACOMN"),
        ("a.csv.asc", "a.csv"),
        ("a.csv", "a.csv"),
        (".pgp", ".pgp"),
        ("", ""),
    ],
)
def test_the_ending_is_no_part_of_the_name(name: str, plain: str) -> None:
    assert plain_name(name) == plain


@pytest.mark.parametrize("armor", [False, True])
@pytest.mark.parametrize("content", [b"", b"one line\r\n", bytes(range(256)) * 20_000])
def test_a_file_is_opened(place: Settings, content: bytes, armor: bool) -> None:
    sealed = encrypted(content, armor=armor)
    assert open_content(place, NAME, sealed, keys("us")) == (content, None)
    assert open_content(place, NAME, sealed, keys("old", "us")) == (content, None), "any key"


def test_a_plain_file_is_left_alone(place: Settings) -> None:
    assert open_content(place, "IND26092401ACOMN", b"x", {}) == (b"x", None)


def test_the_key_may_be_a_file(place: Settings, tmp_path: Path) -> None:
    (tmp_path / "k.asc").write_text(str(key("us")))
    sealed = encrypted(b"x")
    assert open_content(place, NAME, sealed, {"TIEOUT_PGP_KEY_FILE": str(tmp_path / "k.asc")}) == (
        b"x",
        None,
    )
    (place.secrets_dir / "pgp.asc").write_text(str(key("us")))
    assert open_content(place, NAME, sealed, {}) == (b"x", None)


def test_no_key_a_wrong_key_a_broken_key(place: Settings, tmp_path: Path) -> None:
    sealed = encrypted(b"x")
    assert reason(place, sealed, {}) == "pgp_no_key"
    assert reason(place, sealed, keys("other")) == "pgp_not_opened"
    assert reason(place, sealed, {"TIEOUT_PGP_KEY": "no key"}) == "pgp_key_unusable"
    none = {"TIEOUT_PGP_KEY_FILE": str(tmp_path / "none")}
    assert reason(place, sealed, none) == "pgp_key_unusable"
    wrong = keys("us") | {"TIEOUT_PGP_SIGNERS": "no key"}
    assert reason(place, sealed, wrong) in {"pgp_key_unusable", "pgp_not_opened"}


@pytest.mark.parametrize(
    "content", [b"", b"plain text", b"\x99\x01", b"-----BEGIN PGP MESSAGE-----"]
)
def test_what_is_no_message_is_not_opened(place: Settings, content: bytes) -> None:
    assert reason(place, content, keys("us")) == "pgp_not_opened"


@pytest.mark.parametrize("at", [-1, -40, -5000, 300])
def test_a_changed_message_is_not_opened(place: Settings, at: int) -> None:
    # Larger than what a decryptor holds back: its first megabytes do come out before the end.
    sealed = bytearray(encrypted(bytes(range(256)) * 200_000))
    sealed[at] ^= 1
    assert reason(place, bytes(sealed), keys("us")) == "pgp_not_opened"


def test_a_cut_message_is_not_opened(place: Settings) -> None:
    sealed = encrypted(bytes(range(256)) * 200_000)
    for length in (len(sealed) - 1, len(sealed) // 2, 400):
        assert reason(place, sealed[:length], keys("us")) == "pgp_not_opened"


def without_protection(sealed: bytes) -> bytes:
    """Turn the integrity-protected packet (tag 18) into an unprotected one (tag 9)."""
    at, packets = 0, []
    while at < len(sealed):
        tag, first = sealed[at] & 0x3F, sealed[at + 1]
        assert sealed[at] & 0xC0 == 0xC0, "a new-format packet"
        if first < 192:
            size, start = first, at + 2
        elif first < 224:
            size, start = ((first - 192) << 8) + sealed[at + 2] + 192, at + 3
        else:
            assert first == 255
            size, start = int.from_bytes(sealed[at + 2 : at + 6], "big"), at + 6
        packets.append((tag, sealed[start : start + size]))
        at = start + size
    assert [tag for tag, _ in packets] == [1, 18]
    packets[1] = (9, packets[1][1][1:])
    return b"".join(
        bytes([0xC0 | tag, 255]) + len(body).to_bytes(4, "big") + body for tag, body in packets
    )


def test_a_message_without_integrity_protection_is_not_opened(place: Settings) -> None:
    sealed = encrypted(b"a" * 40)
    assert open_content(place, NAME, sealed, keys("us")) == (b"a" * 40, None)
    assert reason(place, without_protection(sealed), keys("us")) == "pgp_not_opened"


def test_what_grows_beyond_the_limit_is_stopped(place: Settings) -> None:
    sealed = encrypted(b"0" * 3_000_000)
    roomy, narrow = (replace(place, max_file_bytes=size) for size in (3_000_000, 2_999_999))
    assert open_content(roomy, NAME, sealed, keys("us"))[1] is None
    assert reason(narrow, sealed, keys("us")) == "pgp_too_large"


def test_what_is_too_large_to_be_read_is_not_opened(place: Settings) -> None:
    unread = FileBytes(None, "0" * 64, 10**12)
    assert opened(place, NAME, unread, keys("us")) == (unread, None)


def test_a_signature_is_required_where_signers_are_known(place: Settings) -> None:
    signers = {"TIEOUT_PGP_SIGNERS": str(key("channel").extract_certificate())}
    known = keys("us") | signers
    assert open_content(place, NAME, encrypted(b"x", signer="channel"), known) == (b"x", None)
    assert reason(place, encrypted(b"x", signer="other"), known) == "pgp_not_signed"
    assert reason(place, encrypted(b"x"), known) == "pgp_not_signed"
    assert open_content(place, NAME, encrypted(b"x", signer="other"), keys("us")) == (b"x", None)


@pytest.mark.skipif(shutil.which("gpg") is None, reason="GnuPG is not installed here")
def test_a_file_of_gnupg_is_opened(place: Settings, tmp_path: Path) -> None:
    home = tmp_path / "gnupg"
    home.mkdir(mode=0o700)

    def gpg(*arguments: str, content: bytes = b"") -> bytes:
        command = ["gpg", "--homedir", str(home), "--batch", "--yes", "--pinentry-mode", "loopback"]
        return subprocess.run(
            [*command, "--passphrase", "pass word", *arguments],
            input=content,
            capture_output=True,
            check=True,
        ).stdout

    gpg("--quick-gen-key", "us@example.org", "rsa2048", "default", "never")
    gpg("--quick-add-key", gpg("--list-keys", "--with-colons").decode().split("fpr:")[1]
        .split(":")[8], "rsa2048", "encr", "never")  # fmt: skip
    secret = gpg("--armor", "--export-secret-keys").decode()
    sealed = gpg("--encrypt", "--trust-model", "always", "-r", "us@example.org", content=b"of gpg")
    gpg_key = {"TIEOUT_PGP_KEY": secret, "TIEOUT_PGP_PASSPHRASE": "pass word"}
    assert open_content(place, NAME, sealed, gpg_key) == (b"of gpg", None)
    wrong = {**gpg_key, "TIEOUT_PGP_PASSPHRASE": "another"}
    assert reason(place, sealed, wrong) == "pgp_key_unusable"
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False)


# --- landing --------------------------------------------------------------------------------------


@pytest.fixture
def own_home(place_with_tables: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A home with empty tables and without a key."""
    for name in ("TIEOUT_PGP_KEY", "TIEOUT_PGP_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    return place_with_tables


def file_rows(settings: Settings) -> list[tuple[str, str, str | None]]:
    """Return name, status and reason of every file, by status."""
    with database.connect(settings) as connection:
        rows = connection.execute(
            "select file_name, status, reason from control.channel_files order by status"
        ).fetchall()
    return [(row[0], row[1], row[2]) for row in rows]


def test_an_encrypted_file_waits_for_its_key_and_lands(
    own_home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = make.acomn()
    sealed = encrypted(content)
    put(own_home, NAME, sealed)
    landing.land(own_home)
    ((name, status, why),) = file_rows(own_home)
    assert (name, status) == ("IND26092401ACOMN", "quarantined")
    assert "pgp_no_key" in str(why)
    (kept,) = own_home.archive_dir.iterdir()
    assert archive.read(own_home, kept.name) == sealed, "the bytes are kept, as they came"

    monkeypatch.setenv("TIEOUT_PGP_KEY", str(key("us")))
    assert [file.status for file in landing.land(own_home).files] == ["landed"]
    assert [row[1] for row in file_rows(own_home)] == ["landed", "superseded"]
    with database.connect(own_home) as connection:
        assert connection.execute("select count(*) from raw.unionpay_acomn").fetchone() == (1,)

    put(own_home, "IND26092401ACOMN", content)
    assert {file.status for file in landing.land(own_home).files} == {"already_landed"}, (
        "plain or encrypted, the same content is the same file"
    )


def test_a_landed_file_that_opens_no_longer_is_no_conflict(
    own_home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(own_home, NAME, encrypted(make.acomn()))
    monkeypatch.setenv("TIEOUT_PGP_KEY", str(key("us")))
    landing.land(own_home)
    monkeypatch.setenv("TIEOUT_PGP_KEY", str(key("other")))
    landing.land(own_home)
    assert [row[1] for row in file_rows(own_home)] == ["landed", "quarantined"]


def test_an_encrypted_copy_of_what_has_landed_blocks_nothing_once_opened(
    own_home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(own_home, "IND26092401ACOMN", make.acomn())
    put(own_home, NAME, encrypted(make.acomn()))
    landing.land(own_home)
    assert [row[1] for row in file_rows(own_home)] == ["landed", "quarantined"]
    monkeypatch.setenv("TIEOUT_PGP_KEY", str(key("us")))
    landing.land(own_home)
    assert [row[1] for row in file_rows(own_home)] == ["landed", "superseded"]


def test_what_is_inside_is_checked_like_any_file(
    own_home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIEOUT_PGP_KEY", str(key("us")))
    put(own_home, NAME, encrypted(make.acomn()[:100] + b"\r\n"))
    assert [file.status for file in landing.land(own_home).files] == ["quarantined"]
    assert "pgp" not in str(file_rows(own_home)[0][2])
