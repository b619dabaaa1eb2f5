"""The one store: a folder of files in any file system fsspec knows (file, sftp, s3, memory).

Inbox, outbox, sources and the simulated world all list, read and write through it, so that what
protects them stands once:

- a path is relative and stays in its store;
- in folders of this machine, whose writers are not trusted, only regular files count and no link
  is followed (`local_files`);
- no more is read than was asked for, whatever the store says of a size;
- a file is written under a hidden name and gets its own when it is whole; on this machine it is
  its owner's only (0600, its folders 0700);
- an SFTP server has to prove who it is (`store_urls`);
- a URL that is shown or kept has its host and never a login.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from tieout.files import local_files, store_urls
from tieout.files.local_files import CHUNK_BYTES, IrregularFileError, Reading

__all__ = ["PARTIAL_SUFFIXES", "Entry", "IrregularFileError", "Reading", "Store"]

# Names of files still being written, by the habits of rsync, sftp servers and browsers.
PARTIAL_SUFFIXES = (".part", ".partial", ".tmp", ".filepart", ".crdownload")


@dataclass(frozen=True, slots=True)
class Entry:
    """What lies in a store, not opened. ``kind`` is None for a regular file, else what it is.

    ``info`` is what the store says of it, under the store's own names.
    """

    parts: tuple[str, ...]
    size_bytes: int | None
    kind: str | None
    info: Mapping[str, Any] = field(repr=False)

    @property
    def name(self) -> str:
        """Return the name without folders."""
        return self.parts[-1]

    @property
    def path(self) -> str:
        """Return the path in its store."""
        return "/".join(self.parts)

    @property
    def is_finished(self) -> bool:
        """Say whether its name is not that of a file still being written."""
        return not self.name.lower().endswith(PARTIAL_SUFFIXES)


class Store:
    """A folder of a file system, addressed with relative paths. Nothing is reached until used."""

    def __init__(self, url: str, *, file_system: Any = None, root: str | None = None) -> None:
        """Take a URL or a path; ``file_system`` and ``root`` where its login is not in the URL."""
        self._url = url
        self.root = store_urls.root_of(url) if root is None else root
        if file_system is not None:
            self.__dict__["file_system"] = file_system

    @cached_property
    def file_system(self) -> Any:
        """The file system of fsspec."""
        return store_urls.open_url(self._url)[0]

    @cached_property
    def is_local(self) -> bool:
        """Say whether it is a folder of this machine."""
        return local_files.is_local(self.file_system)

    @property
    def moves_in_one_step(self) -> bool:
        """Say whether a move is one step, so that a file has its hidden name or its own."""
        protocols = self.file_system.protocol
        names = {protocols} if isinstance(protocols, str) else set(protocols)
        return bool(names & {"file", "local", "sftp", "ssh"})

    def url_of(self, path: str) -> str:
        """Return the URL of a path, as it is shown and kept: with its host, without a login."""
        return store_urls.url_of(self._url, self._full(parts_of(path)))

    # --- looking ---------------------------------------------------------------------------------

    def entries(self, folder: str = "") -> list[Entry]:
        """Return what lies below a folder, at any depth, in order; links are told, not followed.

        What is hidden is left alone.

        Raises:
            FileNotFoundError: there is nothing of that name.
        """
        above = parts_of(folder)
        root = self._full(above)
        if self.is_local:
            return [_local_entry(entry, above) for entry in local_files.entries(root)]
        self.file_system.invalidate_cache()
        found = self.file_system.find(root, detail=True)
        if not found and not self.file_system.exists(root):
            raise FileNotFoundError("there is no such folder or file")
        depth = len(PurePosixPath(root).parts)
        listed = [
            _remote_entry((*above, *PurePosixPath(path).parts[depth:]), info)
            for path, info in sorted(found.items())
            if len(PurePosixPath(path).parts) > depth
        ]
        return [entry for entry in listed if not _is_hidden(entry.parts[len(above) :])]

    def names(self, folder: str) -> tuple[str, ...]:
        """Return the names of the files directly in a folder, sorted; none where it is missing.

        What is no regular file is left out.
        """
        return self._listed(folder, "file")

    def folders(self, folder: str) -> tuple[str, ...]:
        """Return the names of the folders directly in a folder, sorted."""
        return self._listed(folder, "directory")

    def _listed(self, folder: str, kind: str) -> tuple[str, ...]:
        parts = parts_of(folder)
        if self.is_local:
            return local_files.names(self.root, parts, folders=kind == "directory")
        self.file_system.invalidate_cache()
        try:
            found = self.file_system.ls(self._full(parts), detail=True)
        except FileNotFoundError:
            return ()
        names = (PurePosixPath(entry["name"]).name for entry in found if entry["type"] == kind)
        return tuple(sorted(names))

    def look(self, path: str) -> Entry | None:
        """Return what lies at a path; None where there is nothing."""
        parts = parts_of(path)
        try:
            if self.is_local:
                return _local_entry(local_files.entry(self._full(parts)), parts[:-1])
            self.file_system.invalidate_cache()
            return _remote_entry(parts, self.file_system.info(self._full(parts)))
        except FileNotFoundError:
            return None

    def exists(self, path: str) -> bool:
        """Say whether anything lies at a path."""
        return self.look(path) is not None

    @property
    def own_file(self) -> Entry | None:
        """Return the entry of what the store's URL names, where that is a file and no folder."""
        if self.is_local:
            return None if Path(self.root).is_dir() else self.parent.look(_name_of(self.root))
        self.file_system.invalidate_cache()
        if not self.file_system.isfile(self.root):
            return None
        return self.parent.look(_name_of(self.root))

    @property
    def parent(self) -> Store:
        """Return the store of the folder above."""
        above = str(PurePosixPath(self.root).parent)
        return Store(self._url, file_system=self.file_system, root=above)

    # --- reading ---------------------------------------------------------------------------------

    @contextmanager
    def opened(self, path: str) -> Iterator[Any]:
        """Open a file for reading.

        Raises:
            FileNotFoundError: it is not there.
            IrregularFileError: it, or a folder above it, is no regular file or folder.
        """
        parts = parts_of(path)
        if self.is_local:
            with local_files.opened(self.root, parts) as stream:
                yield stream
            return
        self.file_system.invalidate_cache()
        with self.file_system.open(self._full(parts), "rb", cache_type="none") as stream:
            yield stream

    def read(self, path: str, bytes_max: int, *, size_told: int | None = None) -> Reading:
        """Read a file, at most ``bytes_max`` bytes and one more. Raises as `opened` does."""
        if self.is_local:
            return local_files.read(self.root, parts_of(path), bytes_max)
        with self.opened(path) as stream:
            return local_files.read_bounded(stream, bytes_max, size_told)

    def hexdigest(self, path: str, name: str = "sha256") -> str:
        """Return a hash of a file. Raises as `opened` does."""
        if self.is_local:
            return local_files.hexdigest(self.root, parts_of(path), name)
        counted = hashlib.new(name, usedforsecurity=False)
        with self.opened(path) as stream:
            while piece := stream.read(CHUNK_BYTES):
                counted.update(piece)
        return counted.hexdigest()

    # --- writing ---------------------------------------------------------------------------------

    def write(self, path: str, content: bytes) -> None:
        """Write a file whatever is there, whole or not at all."""
        self.write_hidden(path, content)
        self._give_its_name(path)

    def write_hidden(self, path: str, content: bytes) -> None:
        """Write the bytes under the hidden name of ``path``, which nobody fetches."""
        parts = parts_of(hidden(path))
        if self.is_local:
            local_files.write(self.root, parts, content)
            return
        self.make_folder_of(path)
        with self.file_system.open(self._full(parts), "wb") as file:
            file.write(content)

    def put_out(self, path: str) -> None:
        """Give the hidden file of ``path`` its name: from now on it may be fetched."""
        self._give_its_name(path)

    def _give_its_name(self, path: str) -> None:
        if self.is_local:
            local_files.rename(self.root, parts_of(hidden(path)), parts_of(path)[-1])
            return
        self.file_system.mv(self._full(parts_of(hidden(path))), self._full(parts_of(path)))

    def make_private(self, path: str) -> None:
        """Narrow a file of a version before, which was readable by others."""
        if self.is_local:
            local_files.make_private(self.root, parts_of(path))

    def make_folder_of(self, path: str) -> None:
        """Make the folders above a path."""
        self.file_system.makedirs(self._full(parts_of(path)[:-1]), exist_ok=True)

    def open_new(self, path: str) -> Any:
        """Open a new file for writing piece by piece; `finish` closes it."""
        return self.file_system.open(self._full(parts_of(path)), "wb")

    def finish(self, stream: Any) -> None:
        """Close what `open_new` opened; on this machine it is on the disk then."""
        if self.is_local:
            stream.flush()
            os.fsync(stream.fileno())
        stream.close()

    def move_new(self, path: str, target: str) -> bool:
        """Give a file another path; False where, on this machine, another has it by now."""
        self.make_folder_of(target)
        before, after = self._full(parts_of(path)), self._full(parts_of(target))
        if not self.is_local:
            self.file_system.mv(before, after)
            return True
        try:
            os.link(before, after)  # fails, unlike a rename, when the name is taken
            Path(before).unlink()
        except FileExistsError:
            return False
        except OSError:  # a mounted folder without hard links
            if Path(after).exists():
                return False
            Path(before).rename(after)
        return True

    def set_changed_at(self, path: str, seconds: float) -> None:
        """Set the time of the last change (seconds since 1970), where the store can."""
        if self.is_local:
            os.utime(self._full(parts_of(path)), (seconds, seconds))

    def remove(self, path: str) -> None:
        """Remove a file."""
        self.file_system.rm_file(self._full(parts_of(path)))

    def close(self) -> None:
        """Close the connection of a store that has one; others close theirs themselves."""
        client = getattr(self.file_system, "client", None)
        if client is not None:
            self.file_system.loop.call_soon_threadsafe(client.close)

    def _full(self, parts: Sequence[str]) -> str:
        return "/".join([self.root.rstrip("/"), *parts]) or "/"


def parts_of(path: str) -> tuple[str, ...]:
    """Return the parts of a path in a store.

    Raises:
        OSError: it would leave the store.
    """
    parts = tuple(part for part in path.split("/") if part)
    if any(part in {".", ".."} or "\0" in part for part in parts):
        raise OSError(errno.EACCES, "a path has to stay in its store")
    return parts


def hidden(path: str) -> str:
    """Return the name a file has while it is written: no pattern of ours or the bank's takes it."""
    folder, _, name = path.rpartition("/")
    return f"{folder}/.{name}.part" if folder else f".{name}.part"


def _is_hidden(parts: Sequence[str]) -> bool:
    return any(part.startswith(".") for part in parts)


def _name_of(root: str) -> str:
    return PurePosixPath(root).name


def _local_entry(entry: local_files.Entry, above: tuple[str, ...]) -> Entry:
    info = {"mtime": entry.changed_at_seconds}
    return Entry((*above, *entry.parts), entry.size_bytes, entry.kind, info)


def _remote_entry(parts: tuple[str, ...], info: Mapping[str, Any]) -> Entry:
    kind = info.get("type", "file")
    shown = None if kind == "file" else ("a link" if kind == "link" else "no regular file")
    return Entry(parts, info.get("size"), shown, info)
