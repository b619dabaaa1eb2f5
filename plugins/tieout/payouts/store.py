"""Files in the inbox and the outbox through fsspec: list, read, prepare and put out.

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

    def other_content(self, path: str, present: bytes, sha256: str) -> TieoutError:
        """Return the error that says another file lies where one of this hash belongs."""
        return TieoutError(
            what=f"{self.path_url(path)} exists with other content",
            where=self.path_url(path),
            why=(
                f"sha256 {hashlib.sha256(present).hexdigest()[:16]} there, {sha256[:16]} of ours; "
                "a file that may have been sent is never replaced"
            ),
            next_step="find out which of the two the bank has, then remove the other by hand",
        )

    @property
    def moves_in_one_step(self) -> bool:
        """Say whether a move is one step, so that a file has its hidden name or its own."""
        file_system, _ = self._open()
        protocols = file_system.protocol
        names = {protocols} if isinstance(protocols, str) else set(protocols)
        return bool(names & {"file", "local", "sftp", "ssh"})

    def prepare(self, path: str, content: bytes) -> None:
        """Write the bytes under the hidden name of ``path``, which nobody fetches."""
        self._write_hidden(path, content)

    def prepared(self, path: str) -> bytes | None:
        """Return what lies under the hidden name of ``path``, or None."""
        return self.read(_hidden(path))

    def put_out(self, path: str) -> None:
        """Give the prepared file its name: from now on it may be fetched."""
        file_system, root = self._open()
        file_system.mv(f"{root}/{_hidden(path)}", f"{root}/{path}")

    def drop_prepared(self, path: str) -> None:
        """Remove what was prepared for ``path``, where there is something."""
        file_system, root = self._open()
        if self.prepared(path) is not None:
            file_system.rm_file(f"{root}/{_hidden(path)}")

    def replace(self, path: str, content: bytes) -> None:
        """Write ``path`` whatever is there, whole or not at all."""
        if self.read(path) != content:
            self._write(path, content)

    def _write(self, path: str, content: bytes) -> None:
        self._write_hidden(path, content)
        self.put_out(path)

    def _write_hidden(self, path: str, content: bytes) -> None:
        file_system, root = self._open()
        target = f"{root}/{_hidden(path)}"
        file_system.makedirs(target.rsplit("/", 1)[0], exist_ok=True)
        with file_system.open(target, "wb") as file:
            file.write(content)


def _hidden(path: str) -> str:
    """Return the name a file has while it is written: no pattern of ours or the bank's takes it."""
    folder, _, name = path.rpartition("/")
    return f"{folder}/.{name}.part" if folder else f".{name}.part"
