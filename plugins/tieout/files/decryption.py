"""OpenPGP-encrypted files: opened before anything else looks at them.

A file whose name ends in `.pgp`, `.gpg` or `.asc` is known by the name without that ending, and by
the bytes inside. The private keys, in ASCII armor and one after another, come from TIEOUT_PGP_KEY,
from the file TIEOUT_PGP_KEY_FILE names, or from `secrets/pgp.asc` of the home; their passphrase
from TIEOUT_PGP_PASSPHRASE. Where TIEOUT_PGP_SIGNERS or TIEOUT_PGP_SIGNERS_FILE hold public keys, a
valid signature of one of them is required. A message without integrity protection is not opened:
Sequoia, which does the work, knows none.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from tieout.channels.common.model import ParsedFile, UnreadableFileError
from tieout.core.settings import Settings
from tieout.files import decryption_worker as worker
from tieout.files.stores import FileBytes

__all__ = ["is_refusal", "opened", "plain_name", "says_unopened"]

SUFFIXES = (".pgp", ".gpg", ".asc")
KEY_FILE_VARIABLE = "TIEOUT_PGP_KEY_FILE"
SIGNERS_FILE_VARIABLE = "TIEOUT_PGP_SIGNERS_FILE"
SECONDS_MAX = 1800
CHUNK_BYTES = 1024 * 1024
REASON_CODES = {
    "pgp_no_key": "the file is encrypted, and no private key is configured to open it",
    "pgp_key_unusable": "the private key, its passphrase or a signer's key cannot be used",
    "pgp_not_opened": "no configured private key opens the file, or it is damaged or unprotected",
    "pgp_not_signed": "the file has no valid signature of a configured signer",
    "pgp_too_large": "decrypted, the file is larger than TIEOUT_MAX_FILE_BYTES",
    "pgp_too_slow": "decrypting the file took too long",
}
EXIT_REASONS = {worker.UNUSABLE: "pgp_key_unusable", worker.UNSIGNED: "pgp_not_signed"}


def plain_name(file_name: str) -> str:
    """Return a file's name without the ending that says it is encrypted."""
    stem, dot, ending = file_name.rpartition(".")
    return stem if stem and f"{dot}{ending}".lower() in SUFFIXES else file_name


def opened(
    settings: Settings,
    file_name: str,
    read: FileBytes,
    environ: Mapping[str, str] | None = None,
) -> tuple[FileBytes, ParsedFile | None]:
    """Return what is inside a file, or what was read of it and why it cannot be opened.

    A file whose name does not say that it is encrypted is returned as it is, and so is one that is
    too large to be looked at.
    """
    if plain_name(file_name) == file_name or read.content is None:
        return read, None
    env = os.environ if environ is None else environ
    try:
        keys = _text(env, worker.KEYS_VARIABLE, KEY_FILE_VARIABLE, settings.secrets_dir / "pgp.asc")
        signers = _text(env, worker.SIGNERS_VARIABLE, SIGNERS_FILE_VARIABLE, None)
    except (OSError, UnicodeDecodeError):
        return read, _refused("pgp_key_unusable")
    if not keys:
        return read, _refused("pgp_no_key")
    secrets = {
        worker.KEYS_VARIABLE: keys,
        worker.SIGNERS_VARIABLE: signers,
        worker.PASSPHRASE_VARIABLE: env.get(worker.PASSPHRASE_VARIABLE) or "",
    }
    content, reason = _decrypt(read.content, secrets, settings.max_file_bytes)
    if reason:
        return read, _refused(reason)
    return FileBytes(content, hashlib.sha256(content).hexdigest(), len(content)), None


def is_refusal(parsed: ParsedFile) -> bool:
    """Say whether a file was not opened: its bytes say nothing about what is inside."""
    return any(row.reason_code in REASON_CODES for row in parsed.bad_rows)


def says_unopened(reason: str | None) -> bool:
    """Say whether the manifest's reason is that a file was not opened."""
    return any(f"[{code}]" in (reason or "") for code in REASON_CODES)


def _decrypt(content: bytes, secrets: Mapping[str, str], bytes_max: int) -> tuple[bytes, str]:
    """Return what the worker wrote and "", or nothing and the reason's code."""
    with tempfile.NamedTemporaryFile(prefix="tieout-", suffix=".pgp") as encrypted:
        encrypted.write(content)
        encrypted.flush()
        with subprocess.Popen(
            [sys.executable, "-I", str(Path(worker.__file__)), encrypted.name],
            env={**secrets, "PATH": os.environ.get("PATH", "")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        ) as process:
            if process.stdout is None:
                raise AssertionError("asked for a pipe")
            opened = _read(process.stdout, bytes_max)
            if opened is None:
                process.kill()
                return b"", "pgp_too_large"
            try:
                code = process.wait(SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                return b"", "pgp_too_slow"
    # What came before the end of a damaged message is not used.
    return (opened, "") if code == 0 else (b"", EXIT_REASONS.get(code, "pgp_not_opened"))


def _read(stream: IO[bytes], bytes_max: int) -> bytes | None:
    """Return everything, or None when it is more than `bytes_max`."""
    content = bytearray()
    while chunk := stream.read(CHUNK_BYTES):
        content += chunk
        if len(content) > bytes_max:
            return None
    return bytes(content)


def _text(env: Mapping[str, str], variable: str, file_variable: str, default: Path | None) -> str:
    if env.get(variable):
        return env[variable]
    path = Path(env[file_variable]) if env.get(file_variable) else default
    if path is None or (path == default and not path.exists()):
        return ""
    return path.read_text(encoding="utf-8")


def _refused(reason_code: str) -> ParsedFile:
    return UnreadableFileError(reason_code, REASON_CODES[reason_code]).as_parsed_file()
