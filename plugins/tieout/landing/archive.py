"""The bytes of files that did not land, kept for people to look at and for corrections."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from tieout.settings import Settings

__all__ = ["archive_path", "keep"]


def archive_path(settings: Settings, sha256: str) -> Path:
    """Return where the bytes of that SHA-256 are kept."""
    return settings.archive_dir / sha256


def keep(settings: Settings, sha256: str, content: bytes) -> Path:
    """Keep bytes for the owner's eyes only (folder 0700, file 0600); the same bytes once."""
    path = archive_path(settings, sha256)
    if path.exists():
        return path
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{sha256}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)
    return path
