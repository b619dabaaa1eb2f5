"""Files in the inbox and the outbox through fsspec: list, read, and write once.

Works on any URL fsspec knows (``file://``, ``sftp://``, ``s3://``); secrets stay in the
environment's connections, never in a URL of ours.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import fsspec

from tieout.errors import TieoutError


@dataclass(frozen=True)
class Store:
    """A folder of a file system, addressed with relative paths."""

    url: str

    def _open(self) -> tuple[Any, str]:
        file_system, root = fsspec.core.url_to_fs(self.url)
        return file_system, str(root).rstrip("/")

    def names(self, folder: str) -> tuple[str, ...]:
        """Return the file names directly in ``folder``, sorted; empty where it is missing."""
        file_system, root = self._open()
        file_system.invalidate_cache()
        try:
            found = file_system.ls(f"{root}/{folder}".rstrip("/"), detail=True)
        except FileNotFoundError:
            return ()
        return tuple(
            sorted(
                str(entry["name"]).rsplit("/", 1)[-1] for entry in found if entry["type"] == "file"
            )
        )

    def folders(self, folder: str) -> tuple[str, ...]:
        """Return the names of the folders directly in ``folder``, sorted."""
        file_system, root = self._open()
        file_system.invalidate_cache()
        try:
            found = file_system.ls(f"{root}/{folder}".rstrip("/"), detail=True)
        except FileNotFoundError:
            return ()
        return tuple(
            sorted(
                str(entry["name"]).rstrip("/").rsplit("/", 1)[-1]
                for entry in found
                if entry["type"] == "directory"
            )
        )

    def read(self, path: str) -> bytes | None:
        """Return a file's bytes, or None where it does not exist."""
        file_system, root = self._open()
        file_system.invalidate_cache()
        try:
            with file_system.open(f"{root}/{path}", "rb") as file:
                return bytes(file.read())
        except FileNotFoundError:
            return None

    def path_url(self, path: str) -> str:
        """Return the URL people see for ``path``."""
        return f"{self.url.rstrip('/')}/{path}"

    def write_once(self, path: str, content: bytes) -> bool:
        """Write ``path`` unless it already holds these bytes; return whether it was written.

        A reader sees the whole file or none: the bytes go to a temporary name that no pattern of
        ours takes, then the file is moved.

        Raises:
            TieoutError: the path exists with other bytes.
        """
        present = self.read(path)
        if present is not None:
            if present == content:
                return False
            raise TieoutError(
                what=f"{self.path_url(path)} exists with other content",
                where=self.path_url(path),
                why=(
                    f"sha256 {hashlib.sha256(present).hexdigest()[:16]} there,"
                    f" {hashlib.sha256(content).hexdigest()[:16]} now; a file that may have"
                    " been sent is never replaced"
                ),
                next_step="find out which of the two the bank has, then remove the other by hand",
            )
        self._write(path, content)
        return True

    def replace(self, path: str, content: bytes) -> None:
        """Write ``path`` whatever is there, whole or not at all."""
        if self.read(path) != content:
            self._write(path, content)

    def _write(self, path: str, content: bytes) -> None:
        file_system, root = self._open()
        target = f"{root}/{path}"
        folder, name = target.rsplit("/", 1)
        file_system.makedirs(folder, exist_ok=True)
        partial = f"{folder}/.{name}.part"
        with file_system.open(partial, "wb") as file:
            file.write(content)
        file_system.mv(partial, target)
