"""Tokens, ciphertext and masks: what stands in the database instead of a number.

A *token* (keyed HMAC-SHA256) is equal for equal numbers under one key, so that records can be
searched exactly; it cannot be turned back. A *ciphertext* (Fernet) can be, by who holds the data
key. A *bound* ciphertext (AES-256-GCM) opens only in the row and field it was made for: its place
is authenticated with it. A *mask*, for
people's eyes, is in `tieout.core.masks`. The keys are those of `tieout.protection.key_ring`.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import os
from collections.abc import Callable, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from tieout.core.settings import Settings, load_settings
from tieout.protection.key_ring import (
    DATA_KEY_VARIABLE,
    PAN_KEY_VARIABLE,
    SecretsError,
    key_id,
    key_ring,
)

__all__ = [
    "SecretsError",
    "account_search_tokens",
    "account_token",
    "account_token_like",
    "data_key_ids",
    "decrypt",
    "decrypt_bound",
    "decrypt_bytes",
    "encrypt",
    "encrypt_bound",
    "encrypt_bytes",
    "pan_key_id",
    "pan_search_tokens",
    "pan_token",
    "rotate",
    "rotate_bound",
]

BOUND_MARK = ".bound."
_NONCE_BYTES = 12


def pan_token(pans: Sequence[str], *, settings: Settings | None = None) -> list[str]:
    """Return one token a card number, in order: key id (8 hex) + '.' + HMAC-SHA256 (64 hex).

    Spaces and hyphens do not count. Raises SecretsError for a value that is not 8 to 19 digits,
    with its position, never with the value.
    """
    return _tokens("pan", pans, settings, check=_clean_pan)


def account_token(values: Sequence[str], *, settings: Settings | None = None) -> list[str]:
    """Like `pan_token`, for bank account numbers, names, phones: any non-blank text."""
    return _tokens("account", values, settings, check=_clean_text)


def pan_search_tokens(pan: str, *, settings: Settings | None = None) -> list[str]:
    """Return the number's token under every key we hold: rows of before a rotation have an old one.

    Raises SecretsError as `pan_token` does.
    """
    return _search_tokens("pan", _clean_pan(pan, 0), settings)


def account_search_tokens(value: str, *, settings: Settings | None = None) -> list[str]:
    """Like `pan_search_tokens`, for what `account_token` takes."""
    return _search_tokens("account", _clean_text(value, 0), settings)


def account_token_like(token: str, value: str, *, settings: Settings | None = None) -> str:
    """Return the value's token under the key that `token` is of, so that the two compare.

    Raises SecretsError when that key is not in the ring, or the value is blank.
    """
    used_id = token.partition(".")[0]
    for found in account_search_tokens(value, settings=settings):
        if found.startswith(f"{used_id}."):
            return found
    raise SecretsError(
        what="a token cannot be compared",
        where=f"key id {used_id[:8] if used_id.isalnum() else '?'}",
        why="the token key it was made with is not at hand",
        next_step=f"add the old key to {PAN_KEY_VARIABLE} (comma-separated, newest first) or where "
        "the keys are kept",
    )


def encrypt_bound(text: str, place: Sequence[str], *, settings: Settings | None = None) -> str:
    """Return a ciphertext of `text` that opens at `place` only: key id + '.bound.' + base64.

    `place` names the row and the field, such as a payee's id, its version and the column.
    """
    current = key_ring(settings or load_settings(), "data").current
    nonce = os.urandom(_NONCE_BYTES)
    sealed = AESGCM(_bound_key(current)).encrypt(nonce, text.encode(), _place_bytes(place))
    body = base64.urlsafe_b64encode(nonce + sealed).decode("ascii")
    return f"{key_id(current)}{BOUND_MARK}{body}"


def decrypt_bound(
    ciphertext: str, place: Sequence[str], *, settings: Settings | None = None
) -> str:
    """Return the text of a ciphertext that was made for `place`.

    Raises SecretsError when it was made for another row or field, was changed, is of a key we do
    not hold, or is bound to nothing at all.
    """
    ring = key_ring(settings or load_settings(), "data")
    used_id, mark, body = ciphertext.partition(BOUND_MARK)
    key = next((known for known in ring.keys if mark and key_id(known) == used_id), None)
    shown = " ".join(place)
    if key is None:
        raise SecretsError(
            what=f"the ciphertext of {shown} does not open",
            where=f"key id {used_id[:8] if mark and used_id.isalnum() else '?'}",
            why=f"the keys at hand are {', '.join(ring.ids)}; the text is of another key"
            if mark
            else "it is not bound to its row",
            next_step=f"add the old key to {DATA_KEY_VARIABLE} (comma-separated, newest first) or "
            "where the keys are kept"
            if mark
            else "have the sender's file land again; nothing is paid by it",
        )
    try:
        content = base64.urlsafe_b64decode(body)
        opened = AESGCM(_bound_key(key)).decrypt(
            content[:_NONCE_BYTES], content[_NONCE_BYTES:], _place_bytes(place)
        )
    except (InvalidTag, ValueError, binascii.Error) as error:
        raise SecretsError(
            what=f"the ciphertext of {shown} does not open",
            where=f"key id {used_id}",
            why="it was made for another row or field, or it was changed",
            next_step="find out who changed the row; the file as it came is in the archive of its "
            "sender",
        ) from error
    return opened.decode()


def rotate_bound(ciphertext: str, place: Sequence[str], *, settings: Settings | None = None) -> str:
    """Return the same text under the current data key, bound to the same place."""
    used = settings or load_settings()
    return encrypt_bound(decrypt_bound(ciphertext, place, settings=used), place, settings=used)


def encrypt(text: str, *, settings: Settings | None = None) -> str:
    """Return key id + '.' + Fernet ciphertext under the current data key (not deterministic)."""
    return encrypt_bytes(text.encode(), settings=settings).decode("ascii")


def decrypt(ciphertext: str, *, settings: Settings | None = None) -> str:
    """Return the text. Raises SecretsError when no key we hold opens it, or it was changed."""
    return decrypt_bytes(ciphertext.encode("utf-8"), settings=settings).decode()


def encrypt_bytes(content: bytes, *, settings: Settings | None = None) -> bytes:
    """Return key id + '.' + Fernet ciphertext (ASCII, without a line end) of bytes."""
    current = key_ring(settings or load_settings(), "data").current
    return key_id(current).encode("ascii") + b"." + Fernet(current).encrypt(content)


def decrypt_bytes(ciphertext: bytes, *, settings: Settings | None = None) -> bytes:
    """Return the bytes. Raises SecretsError when no key we hold opens it, or it was changed."""
    ring = key_ring(settings or load_settings(), "data")
    written_id, _, body = ciphertext.partition(b".")
    try:
        return MultiFernet([Fernet(key) for key in ring.keys]).decrypt(body)
    except InvalidToken as error:
        shown = written_id[:8].decode("ascii", errors="replace")
        raise SecretsError(
            what="a ciphertext does not open",
            where=f"key id {shown if shown.isalnum() else '?'}",
            why=f"the keys at hand are {', '.join(ring.ids)}; the text is of another key, or was "
            "changed",
            next_step=f"add the old key to {DATA_KEY_VARIABLE} (comma-separated, newest first) or "
            "where the keys are kept",
        ) from error


def rotate(ciphertext: str, *, settings: Settings | None = None) -> str:
    """Return the same text under the current data key; an up-to-date ciphertext stays as it is."""
    used = settings or load_settings()
    if ciphertext.partition(".")[0] == key_ring(used, "data").ids[0]:
        return ciphertext
    return encrypt(decrypt(ciphertext, settings=used), settings=used)


def pan_key_id(settings: Settings | None = None) -> str:
    """Return the id of the current token key: tokens compare only under one key."""
    return key_ring(settings or load_settings(), "token").ids[0]


def data_key_ids(settings: Settings | None = None) -> list[str]:
    """Return the ids of the data keys, the current one first."""
    return key_ring(settings or load_settings(), "data").ids


def _tokens(
    domain: str,
    values: Sequence[str],
    settings: Settings | None,
    *,
    check: Callable[[str, int], str],
) -> list[str]:
    key = key_ring(settings or load_settings(), "token").current
    keyed = HMAC(_domain_key(key, domain), SHA256())
    prefix = f"{key_id(key)}."

    def token(text: str) -> str:
        # A copy has the key in it already: three times faster than `hmac.digest`.
        code = keyed.copy()
        code.update(text.encode())
        return prefix + code.finalize().hex()

    return [token(check(value, position)) for position, value in enumerate(values)]


def _search_tokens(domain: str, cleaned: str, settings: Settings | None) -> list[str]:
    return [
        f"{key_id(key)}." + hmac.digest(_domain_key(key, domain), cleaned.encode(), "sha256").hex()
        for key in key_ring(settings or load_settings(), "token").keys
    ]


def _bound_key(key: bytes) -> bytes:
    """Return the AES key of a data key: one key is never used by two ciphers."""
    return hmac.digest(base64.urlsafe_b64decode(key), b"tieout/bound", "sha256")


def _place_bytes(place: Sequence[str]) -> bytes:
    """Return the place as bytes that no other place has, whatever stands in its parts."""
    return json.dumps(list(place), ensure_ascii=False).encode()


def _domain_key(key: bytes, domain: str) -> bytes:
    """Return a key for each kind: a card and an account of equal digits have two tokens."""
    return hmac.digest(key, f"tieout/{domain}".encode(), "sha256")


def _clean_pan(value: str, position: int) -> str:
    # A million of them come from one file, nearly all without blanks.
    digits = value if value.isdigit() else value.replace(" ", "").replace("-", "")
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
