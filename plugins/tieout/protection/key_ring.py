"""The keys of an installation: where they come from, which is current, how one is added or removed.

There are two rings. *Token* keys (HMAC) make the tokens by which numbers are searched; *data* keys
(Fernet) encrypt what has to be read again. The first key of a ring is the current one: new tokens
and ciphertexts are made under it. The others stay, so that what was written under them is still
found and opened. A key's id (8 hexadecimal digits) stands before each token and ciphertext.

A ring comes from its variable (TIEOUT_PAN_KEY, TIEOUT_DATA_KEY), else from the file that
TIEOUT_KEYS_FILE names (a secret store mounts it), else from the home's folder `secrets`, where the
first key is made on first use.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import fcntl
import hashlib
import json
import os
import secrets as random_secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Literal

from cryptography.fernet import Fernet

from tieout.core.errors import TieoutError
from tieout.core.private_files import prepare_private, write_private
from tieout.core.settings import Settings

__all__ = [
    "DATA_KEY_VARIABLE",
    "KEYS_FILE_VARIABLE",
    "KIND_NAMES",
    "PAN_KEY_VARIABLE",
    "KeyKind",
    "KeyRing",
    "SecretsError",
    "add_key",
    "key_id",
    "key_ring",
    "remove_key",
]

PAN_KEY_VARIABLE = "TIEOUT_PAN_KEY"
DATA_KEY_VARIABLE = "TIEOUT_DATA_KEY"
KEYS_FILE_VARIABLE = "TIEOUT_KEYS_FILE"
MINIMUM_KEY_BYTES = 32

KeyKind = Literal["token", "data"]
KIND_NAMES: tuple[KeyKind, ...] = ("token", "data")


class SecretsError(TieoutError):
    """A key is missing, malformed, in use, or not the one the data was written with."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """What differs between the two rings."""

    variable: str
    json_name: str
    file_name: str
    rule: str
    recipe: str
    make: Callable[[], str]
    read: Callable[[str], bytes]


def _read_token_key(text: str) -> bytes:
    key = bytes.fromhex(text)
    if len(key) < MINIMUM_KEY_BYTES:
        raise ValueError("too short")
    return key


def _read_data_key(text: str) -> bytes:
    if len(base64.urlsafe_b64decode(text)) != 32:
        raise ValueError("wrong length")
    return text.encode("ascii")


_KINDS: Mapping[KeyKind, _Kind] = {
    "token": _Kind(
        PAN_KEY_VARIABLE,
        "token_keys",
        "pan.key",
        f"each key is {MINIMUM_KEY_BYTES} bytes or more in hexadecimal",
        "make one with: openssl rand -hex 32",
        lambda: random_secrets.token_hex(32),
        _read_token_key,
    ),
    "data": _Kind(
        DATA_KEY_VARIABLE,
        "data_keys",
        "data.key",
        "each key is 32 bytes in URL-safe base64",
        "make one with: python -c 'from cryptography.fernet import Fernet as F; "
        "print(F.generate_key().decode())'",
        lambda: Fernet.generate_key().decode("ascii"),
        _read_data_key,
    ),
}


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys of one kind, the current one first. `source` says where they come from."""

    kind: KeyKind
    source: str
    in_home: bool
    keys: tuple[bytes, ...] = field(repr=False)

    @property
    def current(self) -> bytes:
        """The key under which new tokens and ciphertexts are made."""
        return self.keys[0]

    @property
    def ids(self) -> list[str]:
        """The ids of the keys, the current one first."""
        return [key_id(key) for key in self.keys]


def key_id(key: bytes) -> str:
    """Name a key without showing it: 8 hex of a hash made for nothing else."""
    return hashlib.sha256(b"tieout/key-id/" + key).hexdigest()[:8]


def key_ring(settings: Settings, kind: KeyKind) -> KeyRing:
    """Return the ring of a kind.

    Raises:
        SecretsError: a key is not usable, or TIEOUT_KEYS_FILE cannot be read. No key is shown.
    """
    how = _KINDS[kind]
    if given := os.environ.get(how.variable, "").strip():
        return _ring(kind, given, how.variable, in_home=False)
    if path := os.environ.get(KEYS_FILE_VARIABLE, "").strip():
        return _ring(kind, _from_keys_file(Path(path), how), path, in_home=False)
    file = settings.secrets_dir / how.file_name
    return _ring(kind, _stored(file, how.make), str(file), in_home=True)


def add_key(settings: Settings, kind: KeyKind) -> KeyRing:
    """Make a new key and put it in front; the old ones stay.

    Raises:
        SecretsError: the keys are not the home's own: only their owner can change them.
    """
    with _changing(settings, kind) as ring:
        how = _KINDS[kind]
        texts = [how.make(), *(_text(kind, key) for key in ring.keys)]
        _write(Path(ring.source), "\n".join(texts))
    return key_ring(settings, kind)


def remove_key(settings: Settings, kind: KeyKind, removed_id: str) -> KeyRing:
    """Take a key out of the home's ring. Whether it is still used is for the caller to know.

    Raises:
        SecretsError: it is the current key, not in the ring, or the keys are not the home's own.
    """
    with _changing(settings, kind) as ring:
        if removed_id not in ring.ids[1:]:
            is_current = removed_id == ring.ids[0]
            raise SecretsError(
                what=f"{kind} key {removed_id} is not removed",
                where=ring.source,
                why="it is the current key" if is_current else "there is no such key",
                next_step="`tieout keys rotate` makes another one current"
                if is_current
                else "`tieout keys list` shows the ids",
            )
        kept = [_text(kind, key) for key in ring.keys if key_id(key) != removed_id]
        _write(Path(ring.source), "\n".join(kept))
    return key_ring(settings, kind)


# --- reading --------------------------------------------------------------------------------------


@lru_cache(maxsize=16)
def _ring(kind: KeyKind, text: str, source: str, *, in_home: bool) -> KeyRing:
    how = _KINDS[kind]
    try:
        keys = tuple(how.read(part) for part in text.replace(",", " ").split())
    except (binascii.Error, ValueError):
        keys = ()
    if not keys:
        raise SecretsError(
            what=f"a {kind} key is not usable",
            where=source,
            why=f"{how.rule}; several stand newest first, parted by commas or lines",
            next_step=how.recipe,
        )
    return KeyRing(kind, source, in_home, keys)


def _from_keys_file(path: Path, how: _Kind) -> str:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        keys = content[how.json_name]
        if isinstance(keys, list) and keys and all(isinstance(key, str) for key in keys):
            return ",".join(keys)
        why = f"{how.json_name} is not a list of keys"
    except OSError as error:
        why = f"it cannot be read: {error.strerror}"
    except (ValueError, KeyError, TypeError):
        # The error's own text may quote the file.
        why = f"it is no JSON object with the list {how.json_name}"
    raise SecretsError(
        what="the file of keys is not usable",
        where=f"{KEYS_FILE_VARIABLE}={path}",
        why=why,
        next_step='write {"token_keys": ["…"], "data_keys": ["…"]}, the newest key first',
    )


# --- the home's own keys --------------------------------------------------------------------------


@contextlib.contextmanager
def _changing(settings: Settings, kind: KeyKind) -> Iterator[KeyRing]:
    """Yield the ring as it is while nobody else changes it."""
    ring = key_ring(settings, kind)
    if not ring.in_home:
        raise SecretsError(
            what=f"the {kind} keys are not changed",
            where=ring.source,
            why="they do not lie in the home; who made them changes them",
            next_step="put the new key in front of the old ones there, or take the old one away; "
            "`tieout keys list` says which are still used",
        )
    descriptor = os.open(settings.secrets_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield key_ring(settings, kind)
    finally:
        os.close(descriptor)


def _text(kind: KeyKind, key: bytes) -> str:
    return key.hex() if kind == "token" else key.decode("ascii")


def _stored(path: Path, make: Callable[[], str]) -> str:
    """Return the file's text; make it first (0600) when it is not there. Two racers agree."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = _temporary(path, make())
        try:
            os.link(temporary, path)  # fails when another process was first: its key counts
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    state = path.stat()
    return _text_of(path, state.st_ino, state.st_mtime_ns)


@lru_cache(maxsize=16)
def _text_of(path: Path, _inode: int, _changed_ns: int) -> str:
    """Read a file once for as long as it stays the same: a key is asked for with every value."""
    return path.read_text(encoding="ascii").strip()


def _write(path: Path, text: str) -> None:
    """Replace the file; a reader sees the old or the new one."""
    write_private(path, f"{text}\n".encode("ascii"))


def _temporary(path: Path, text: str) -> Path:
    return prepare_private(path, f"{text}\n".encode("ascii"))
