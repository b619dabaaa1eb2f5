"""Keys, tokens, ciphertext and masks: what stands in the database instead of a number.

A *token* (keyed HMAC-SHA256) is equal for equal numbers, so that records can be joined and searched
exactly; it cannot be turned back. A *ciphertext* (Fernet) can be, by who holds the data key. A
*mask* is for people's eyes. Keys come from TIEOUT_PAN_KEY and TIEOUT_DATA_KEY, else are generated
once into `home/secrets` (0600).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import secrets as random_secrets
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from tieout.errors import TieoutError
from tieout.settings import Settings, load_settings

__all__ = [
    "account_token",
    "data_key_ids",
    "decrypt",
    "encrypt",
    "mask_account",
    "mask_name",
    "mask_pan",
    "pan_key_id",
    "pan_token",
    "rotate",
]

PAN_KEY_VARIABLE = "TIEOUT_PAN_KEY"
DATA_KEY_VARIABLE = "TIEOUT_DATA_KEY"
MINIMUM_KEY_BYTES = 32


class SecretsError(TieoutError):
    """A key is missing, malformed, or not the one the data was written with."""


def pan_token(pans: Sequence[str], *, settings: Settings | None = None) -> list[str]:
    """Return one token a card number, in order: key id (8 hex) + '.' + HMAC-SHA256 (64 hex).

    Spaces and hyphens do not count. Raises SecretsError for a value that is not 8 to 19 digits,
    with its position, never with the value.
    """
    return _tokens("pan", pans, settings, check=_clean_pan)


def account_token(values: Sequence[str], *, settings: Settings | None = None) -> list[str]:
    """Like `pan_token`, for bank account numbers, names, phones: any non-blank text."""
    return _tokens("account", values, settings, check=_clean_text)


def encrypt(text: str, *, settings: Settings | None = None) -> str:
    """Return key id + '.' + Fernet ciphertext under the current data key (not deterministic)."""
    keys = _data_keys(settings or load_settings())
    return f"{_key_id(keys[0])}.{Fernet(keys[0]).encrypt(text.encode()).decode('ascii')}"


def decrypt(ciphertext: str, *, settings: Settings | None = None) -> str:
    """Return the text. Raises SecretsError when no key we hold opens it, or it was changed."""
    used = settings or load_settings()
    keys = _data_keys(used)
    key_id, _, body = ciphertext.partition(".")
    try:
        return MultiFernet([Fernet(key) for key in keys]).decrypt(body.encode("ascii")).decode()
    except (InvalidToken, UnicodeEncodeError) as error:
        known = ", ".join(_key_id(key) for key in keys)
        raise SecretsError(
            what="a ciphertext does not open",
            where=f"key id {key_id[:8] if key_id.isalnum() else '?'}",
            why=f"the keys at hand are {known}; the text is of another key, or was changed",
            next_step=f"add the old key to {DATA_KEY_VARIABLE} (comma-separated, newest first)",
        ) from error


def rotate(ciphertext: str, *, settings: Settings | None = None) -> str:
    """Return the same text under the current data key; an up-to-date ciphertext stays as it is."""
    used = settings or load_settings()
    if ciphertext.partition(".")[0] == _key_id(_data_keys(used)[0]):
        return ciphertext
    return encrypt(decrypt(ciphertext, settings=used), settings=used)


def pan_key_id(settings: Settings | None = None) -> str:
    """Return the id of the token key: tokens compare only under one key."""
    return _key_id(_pan_key(settings or load_settings()))


def data_key_ids(settings: Settings | None = None) -> list[str]:
    """Return the ids of the data keys, the current one first."""
    return [_key_id(key) for key in _data_keys(settings or load_settings())]


def mask_pan(pan: str) -> str:
    """Return first six and last four, the rest as stars; a short number shows its last four only.

    Six and four is what PCI DSS lets people see of a number of 13 digits or more.
    """
    digits = "".join(character for character in pan if character.isalnum())
    if len(digits) < 13:
        return mask_account(digits)
    return f"{digits[:6]}{'*' * (len(digits) - 10)}{digits[-4:]}"


def mask_account(number: str) -> str:
    """Return stars and the last four; nothing but stars when eight characters or fewer."""
    text = number.strip()
    if len(text) <= 8:
        return "*" * len(text)
    return "*" * (len(text) - 4) + text[-4:]


def mask_name(name: str) -> str:
    """Return the first character and stars: 张*, 上**********."""
    text = name.strip()
    return text[:1] + "*" * max(len(text) - 1, 1) if text else ""


def _tokens(
    domain: str,
    values: Sequence[str],
    settings: Settings | None,
    *,
    check: Callable[[str, int], str],
) -> list[str]:
    key = _pan_key(settings or load_settings())
    # One key for each kind of number, so that a card and an account of equal digits differ.
    domain_key = hmac.digest(key, f"tieout/{domain}".encode(), "sha256")
    prefix = f"{_key_id(key)}."
    known: dict[str, str] = {}
    tokens: list[str] = []
    for position, value in enumerate(values):
        token = known.get(value)
        if token is None:
            cleaned = check(value, position).encode()
            token = prefix + hmac.digest(domain_key, cleaned, "sha256").hex()
            known[value] = token
        tokens.append(token)
    return tokens


def _clean_pan(value: str, position: int) -> str:
    digits = value.replace(" ", "").replace("-", "")
    if not (digits.isascii() and digits.isdigit() and 8 <= len(digits) <= 19):
        raise SecretsError(
            what="a value is not a card number",
            where=f"position {position} of the list",
            why="a card number has 8 to 19 digits",
            next_step="leave records without a card out of the list",
        )
    return digits


def _clean_text(value: str, position: int) -> str:
    text = "".join(value.split())
    if not text:
        raise SecretsError(
            what="a blank value has no token",
            where=f"position {position} of the list",
            why="all blanks would join with one another",
            next_step="leave blank values out of the list",
        )
    return text


def _key_id(key: bytes) -> str:
    """Name a key without showing it: 8 hex of a hash made for nothing else."""
    return hashlib.sha256(b"tieout/key-id/" + key).hexdigest()[:8]


def _pan_key(settings: Settings) -> bytes:
    return _read_pan_key(os.environ.get(PAN_KEY_VARIABLE, ""), settings.secrets_dir)


def _data_keys(settings: Settings) -> tuple[bytes, ...]:
    return _read_data_keys(os.environ.get(DATA_KEY_VARIABLE, ""), settings.secrets_dir)


@lru_cache(maxsize=8)
def _read_pan_key(value: str, folder: Path) -> bytes:
    text = value or _stored(folder / "pan.key", lambda: random_secrets.token_hex(32))
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        key = b""
    if len(key) < MINIMUM_KEY_BYTES:
        raise SecretsError(
            what="the token key is not usable",
            where=PAN_KEY_VARIABLE if value else str(folder / "pan.key"),
            why=f"it has to be {MINIMUM_KEY_BYTES} bytes or more, written in hexadecimal",
            next_step="make one with: openssl rand -hex 32",
        )
    return key


@lru_cache(maxsize=8)
def _read_data_keys(value: str, folder: Path) -> tuple[bytes, ...]:
    text = value or _stored(folder / "data.key", lambda: Fernet.generate_key().decode("ascii"))
    keys = tuple(part.strip().encode() for part in text.split(",") if part.strip())
    try:
        good = bool(keys) and all(len(base64.urlsafe_b64decode(key)) == 32 for key in keys)
    except (binascii.Error, ValueError):
        good = False
    if not good:
        raise SecretsError(
            what="a data key is not usable",
            where=DATA_KEY_VARIABLE if value else str(folder / "data.key"),
            why="each key is 32 bytes in URL-safe base64; several are separated by commas",
            next_step="make one with: python -c 'from cryptography.fernet import Fernet as F; "
            "print(F.generate_key().decode())'",
        )
    return keys


def _stored(path: Path, make: Callable[[], str]) -> str:
    """Return the file's text; make it first (0600) when it is not there. Two racers agree."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        temporary = path.with_name(f".{path.name}.{os.getpid()}.{random_secrets.token_hex(4)}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(make() + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        try:
            os.link(temporary, path)  # fails when another process was first: its key counts
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    return path.read_text().strip()
