"""Files in the inbox and the outbox through fsspec: list, read, and write once.

Works on any URL fsspec knows (``file://``, ``sftp://``, ``s3://``); secrets stay in the
environment's connections, never in a URL of ours. In a local folder only regular files count, no
link is followed, and what is written is for its owner only (0600, its folders 0700).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import fsspec

from tieout import local_files
from tieout.errors import TieoutError
from tieout.local_files import IrregularFileError, Reading

# Far above any file of ours: 3,000 payments are 3 MB.
BYTES_MAX = 64 * 1024**2


@dataclass(frozen=True)
class Store:
    """A folder of a file system, addressed with relative paths."""

    url: str

    def _open(self) -> tuple[Any, str]:
        file_system, root = fsspec.core.url_to_fs(self.url)
        return file_system, str(root).rstrip("/")

    def names(self, folder: str) -> tuple[str, ...]:
        """Return the names of the files directly in ``folder``, sorted; empty where it is missing.

        What is no regular file is left out.
        """
        return self._listed(folder, "file")

    def folders(self, folder: str) -> tuple[str, ...]:
        """Return the names of the folders directly in ``folder``, sorted."""
        return self._listed(folder, "directory")

    def _listed(self, folder: str, kind: str) -> tuple[str, ...]:
        file_system, root = self._open()
        if local_files.is_local(file_system):
            return local_files.names(root, _parts(folder), folders=kind == "directory")
        file_system.invalidate_cache()
        try:
            found = file_system.ls(f"{root}/{folder}".rstrip("/"), detail=True)
        except FileNotFoundError:
            return ()
        return tuple(
            sorted(
                str(entry["name"]).rstrip("/").rsplit("/", 1)[-1]
                for entry in found
                if entry["type"] == kind
            )
        )

    def read(self, path: str) -> bytes | None:
        """Return a file's bytes, or None where it does not exist.

        Raises:
            TieoutError: what lies there is no regular file, or larger than any file of ours.
        """
        try:
            reading = self.read_bounded(path, BYTES_MAX)
        except IrregularFileError as error:
            raise self._not_ours(path, str(error)) from error
        if reading is not None and reading.content is None:
            raise self._not_ours(path, f"it has {reading.size_bytes:,} bytes")
        return None if reading is None else reading.content

    def read_bounded(self, path: str, bytes_max: int) -> Reading | None:
        """Read a file, no more of it than ``bytes_max`` bytes; None where it does not exist.

        Raises:
            IrregularFileError: it is no regular file.
        """
        file_system, root = self._open()
        try:
            if local_files.is_local(file_system):
                return local_files.read(root, _parts(path), bytes_max)
            file_system.invalidate_cache()
            with file_system.open(f"{root}/{path}", "rb") as file:
                return local_files.read_bounded(file, bytes_max, None)
        except FileNotFoundError:
            return None

    def _not_ours(self, path: str, why: str) -> TieoutError:
        return TieoutError(
            what=f"{self.path_url(path)} is not a file of ours",
            where=self.path_url(path),
            why=why,
            next_step="find out who put it there, take it away, and run the same again",
        )

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
                self._make_private(path)
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
        else:
            self._make_private(path)

    def _write(self, path: str, content: bytes) -> None:
        file_system, root = self._open()
        if local_files.is_local(file_system):
            local_files.write(root, _parts(path), content)
            return
        target = f"{root}/{path}"
        folder, name = target.rsplit("/", 1)
        file_system.makedirs(folder, exist_ok=True)
        partial = f"{folder}/.{name}.part"
        with file_system.open(partial, "wb") as file:
            file.write(content)
        file_system.mv(partial, target)

    def _make_private(self, path: str) -> None:
        """Narrow a file of a version before, which was readable by others."""
        file_system, root = self._open()
        if local_files.is_local(file_system):
            local_files.make_private(root, _parts(path))


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part]
