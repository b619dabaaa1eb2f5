"""Files that only their owner reads, whole or not at all: secrets, keys, evidence."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

__all__ = ["prepare_private", "write_private"]


def write_private(path: Path, content: bytes) -> None:
    """Replace the file; a reader sees the old or the new one. Its folder is made (0700)."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    prepare_private(path, content).replace(path)


def prepare_private(path: Path, content: bytes) -> Path:
    """Write the bytes beside the file (0600, on disk) and return where; who calls names it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    return temporary
