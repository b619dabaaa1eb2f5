"""The bytes of files that did not land, kept for corrections: encrypted, since they hold numbers.

A kept file is lines of text: `FORMAT`, then one line a part of the content, each encrypted under
the home's data key (key id + '.' + Fernet). Parts bound the memory Fernet needs, which is several
times what it encrypts. That no part is missing, doubled or of another file is proved by the SHA-256
of the whole, which is the file's name.
"""

from __future__ import annotations

import hashlib
import os
import secrets as random_secrets
from collections.abc import Iterator
from pathlib import Path

from tieout.core.settings import Settings
from tieout.files.report import LandingError
from tieout.protection import tokens

__all__ = ["archive_path", "is_kept", "keep", "kept_key_ids", "kept_parts", "re_encrypt", "read"]

FORMAT = b"tieout-archive-1\n"
PART_BYTES = 1 << 20


def archive_path(settings: Settings, sha256: str) -> Path:
    """Return where the bytes of that SHA-256 are kept."""
    return settings.archive_dir / sha256


def is_kept(settings: Settings, sha256: str) -> bool:
    """Say whether bytes of that SHA-256 are kept."""
    return archive_path(settings, sha256).is_file()


def keep(settings: Settings, sha256: str, content: bytes) -> Path:
    """Keep bytes, encrypted, for the owner only (folder 0700, file 0600); the same bytes once."""
    path = archive_path(settings, sha256)
    if not path.exists():
        view = memoryview(content)
        # An empty file is one empty part, so that it too says its key.
        starts = range(0, max(len(view), 1), PART_BYTES)
        parts = (bytes(view[at : at + PART_BYTES]) for at in starts)
        _write(settings, path, parts)
    return path


def read(settings: Settings, sha256: str) -> bytes:
    """Return kept bytes, in memory only.

    Raises:
        LandingError: they are not kept, or are not the bytes of that SHA-256 any more.
        SecretsError: no key at hand opens them.
    """
    return b"".join(kept_parts(settings, sha256))


def kept_parts(settings: Settings, sha256: str) -> Iterator[bytes]:
    """Yield kept bytes part by part; that they were whole is known only after the last one.

    Bytes kept by a version before encryption are read as they are.

    Raises:
        LandingError, SecretsError: as `read` does.
    """
    path = archive_path(settings, sha256)
    digest = hashlib.sha256()
    try:
        for part in _parts(settings, path):
            digest.update(part)
            yield part
    except OSError as error:
        raise _unusable(path, f"they cannot be read: {error.strerror}") from error
    if digest.hexdigest() != sha256:
        raise _unusable(path, "they are not the bytes that were kept: part is missing or changed")


def kept_key_ids(settings: Settings) -> dict[str, int]:
    """Return how many kept files each data key opens; `` counts those kept in the clear."""
    counts: dict[str, int] = {}
    for path in _kept_files(settings):
        used = _key_id_of(path)
        counts[used] = counts.get(used, 0) + 1
    return counts


def re_encrypt(settings: Settings) -> int:
    """Write every kept file that is in the clear or under an old key anew; return how many."""
    current = tokens.data_key_ids(settings)[0]
    count = 0
    for path in _kept_files(settings):
        if _key_id_of(path) != current:
            # Written to a temporary file first: what does not open stays as it is.
            _write(settings, path, kept_parts(settings, path.name))
            count += 1
    return count


def _kept_files(settings: Settings) -> list[Path]:
    if not settings.archive_dir.is_dir():
        return []
    return sorted(path for path in settings.archive_dir.iterdir() if not path.name.startswith("."))


def _key_id_of(path: Path) -> str:
    """Return the id of the key of a kept file, `` for one in the clear."""
    with path.open("rb") as stream:
        head = stream.read(len(FORMAT) + 9)
    if not head.startswith(FORMAT):
        return ""
    return head[len(FORMAT) :].partition(b".")[0].decode("ascii", errors="replace")


def _parts(settings: Settings, path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        if stream.read(len(FORMAT)) == FORMAT:
            for line in stream:
                yield tokens.decrypt_bytes(line.removesuffix(b"\n"), settings=settings)
            return
        stream.seek(0)
        while part := stream.read(PART_BYTES):
            yield part


def _write(settings: Settings, path: Path, parts: Iterator[bytes]) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{random_secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(FORMAT)
            for part in parts:
                stream.write(tokens.encrypt_bytes(part, settings=settings) + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _unusable(path: Path, why: str) -> LandingError:
    return LandingError(
        what="the kept bytes of a file cannot be used",
        where=str(path),
        why=why,
        next_step="ask the sender for the file again and land that",
    )
