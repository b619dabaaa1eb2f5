"""Files in the inbox and the outbox through fsspec: list, read, prepare and put out.

Works on any URL fsspec knows (``file://``, ``sftp://``, ``s3://``); secrets stay in the
environment's connections, never in a URL of ours. In a local folder only regular files count, no
link is followed, and what is written is for its owner only (0600, its folders 0700).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from tieout.core.errors import TieoutError
from tieout.files import local_files, store_urls
from tieout.files.local_files import IrregularFileError, Reading

# Far above any file of ours: 3,000 payments are 3 MB.
BYTES_MAX = 64 * 1024**2


@dataclass(frozen=True)
class Store:
    """A folder of a file system, addressed with relative paths."""

    url: str

    def _open(self) -> tuple[Any, str]:
        file_system, root = store_urls.open_url(self.url)
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
        if local_files.is_local(file_system):
            local_files.rename(root, _parts(_hidden(path)), _parts(path)[-1])
            return
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
        else:
            self._make_private(path)

    def _write(self, path: str, content: bytes) -> None:
        self._write_hidden(path, content)
        self.put_out(path)

    def _write_hidden(self, path: str, content: bytes) -> None:
        file_system, root = self._open()
        if local_files.is_local(file_system):
            local_files.write(root, _parts(_hidden(path)), content)
            return
        target = f"{root}/{_hidden(path)}"
        file_system.makedirs(target.rsplit("/", 1)[0], exist_ok=True)
        with file_system.open(target, "wb") as file:
            file.write(content)

    def _make_private(self, path: str) -> None:
        """Narrow a file of a version before, which was readable by others."""
        file_system, root = self._open()
        if local_files.is_local(file_system):
            local_files.make_private(root, _parts(path))


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part]


def _hidden(path: str) -> str:
    """Return the name a file has while it is written: no pattern of ours or the bank's takes it."""
    folder, _, name = path.rpartition("/")
    return f"{folder}/.{name}.part" if folder else f".{name}.part"
