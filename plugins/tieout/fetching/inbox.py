"""Putting a file into the inbox: whole, checked, under its own name, never over another.

A file is written beside its place under a hidden name ending in `.part`, which landing leaves
alone, and gets its name only when it is complete. The same bytes again change nothing. Other bytes
for a name that is taken go to `versions/<first 12 hex of the sha256>/<name>` beside it: landing
knows a file by its name, not its folder, so they are another file of the same slot, and it is
landing that decides between the two (decision 0010).
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

from tieout.fetching.report import FetchError
from tieout.files import local_files, store_urls
from tieout.files.stores import shown_url

__all__ = ["Inbox", "Place", "Receiver"]

CHUNK_BYTES = 1024 * 1024
VERSION_DIGITS = 12

Delivery = Literal["fetched", "unchanged", "other_version"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file belongs in the inbox: `<channel>/<yyyymmdd>/<name>`."""

    channel: str
    day: date
    file_name: str

    @property
    def folder(self) -> str:
        """Return the folder below the inbox's root."""
        return f"{self.channel}/{self.day:%Y%m%d}"


class Receiver:
    """Takes the bytes of one file: writes, counts and hashes them.

    Raises FetchError as soon as there are more than `bytes_max`.
    """

    def __init__(self, write: Callable[[bytes], object], bytes_max: int, shown: str) -> None:
        self._write = write
        self._bytes_max = bytes_max
        self._shown = shown
        self._hashes = {"sha256": hashlib.sha256()}
        self.size_bytes = 0

    def also_hash(self, name: str) -> None:
        """Count another hash, too; before the first byte."""
        if self.size_bytes:
            raise RuntimeError("a hash that starts late proves nothing")
        self._hashes[name] = hashlib.new(name, usedforsecurity=False)

    def hexdigest(self, name: str = "sha256") -> str:
        """Return the hash of what has come so far."""
        return self._hashes[name].hexdigest()

    def write(self, chunk: bytes) -> None:
        """Take the next bytes.

        Raises:
            FetchError: the file is larger than the source may send.
        """
        self.size_bytes += len(chunk)
        if self.size_bytes > self._bytes_max:
            raise FetchError(
                what="a file is larger than its source may send",
                where=self._shown,
                why=f"more than {self._bytes_max:,} bytes came",
                next_step="raise bytes_max of the source if such a size is right",
            )
        for one in self._hashes.values():
            one.update(chunk)
        self._write(chunk)


class Inbox:
    """The inbox of an installation, as a place to put files."""

    def __init__(self, url: str) -> None:
        self._filesystem, self._root = store_urls.open_url(url)
        self._url = url
        self._is_local = url.startswith("file://")

    def names(self, channel: str, day: date) -> list[str]:
        """Return the names of the files that lie in a channel's folder of a date."""
        paths = self._files_below(f"{self._root}/{channel}/{day:%Y%m%d}")
        names = {path.rpartition("/")[2] for path in paths}
        return sorted(name for name in names if not name.startswith("."))

    def holds_look_alike(self, place: Place, size_bytes: int, modified: float | None) -> bool:
        """Say whether a file of this name, size and time of change is here: no need to copy it.

        Only a local inbox keeps the time; elsewhere the answer is no.
        """
        if not self._is_local or modified is None:
            return False
        looks = (path.lstat() for path in map(Path, self._versions(place)))
        return any(
            local_files.kind_of(look.st_mode) is None
            and look.st_size == size_bytes
            and abs(look.st_mtime - modified) < 1
            for look in looks
        )

    def holds_hash(self, place: Place, name: str, hexdigest: str) -> bool:
        """Say whether a file of this name and hash is here, in any version."""
        return any(self._hash(path, name) == hexdigest for path in self._versions(place))

    def receive(
        self,
        place: Place,
        transfer: Callable[[Receiver], None],
        *,
        bytes_max: int,
        modified: float | None = None,
    ) -> Delivery:
        """Have `transfer` write a file, then put it in its place.

        `transfer` checks what it wrote and raises when it is not the whole file: then nothing is
        left. `modified` (seconds since 1970) is kept where the inbox can.

        Raises:
            FetchError: what `transfer` raises, or the inbox cannot be written.
        """
        folder = f"{self._root}/{place.folder}"
        part = f"{folder}/.{place.file_name}.{secrets.token_hex(4)}.part"
        with self._own_errors():
            self._filesystem.makedirs(folder, exist_ok=True)
            stream = self._filesystem.open(part, "wb")
        try:
            receiver = Receiver(self._writer(stream), bytes_max, place.file_name)
            try:
                transfer(receiver)
            finally:
                with self._own_errors():
                    self._close(stream)
            with self._own_errors():
                return self._settle(place, part, receiver.hexdigest(), modified)
        finally:
            with suppress(OSError):
                self._filesystem.rm_file(part)

    def _writer(self, stream: Any) -> Callable[[bytes], None]:
        def write(chunk: bytes) -> None:
            with self._own_errors():
                stream.write(chunk)

        return write

    def _close(self, stream: Any) -> None:
        if self._is_local:
            stream.flush()
            os.fsync(stream.fileno())
        stream.close()

    @contextmanager
    def _own_errors(self) -> Iterator[None]:
        """Tell the inbox's failures from those of a source."""
        try:
            yield
        except OSError as error:
            raise FetchError(
                what="the inbox cannot be written",
                where=shown_url(self._url),
                why=f"{type(error).__name__}: {error}"[:200],
                next_step="check TIEOUT_INBOX, its free space and who may write there",
            ) from error

    def _settle(self, place: Place, part: str, sha256: str, modified: float | None) -> Delivery:
        """Give the complete file its name, unless its bytes are here or another has it."""
        own = f"{self._root}/{place.folder}/{place.file_name}"
        beside = self._version_path(place, sha256)
        if self._is_local and modified is not None:
            os.utime(part, (modified, modified))
        # Twice: another fetch may take the name between the look and the move.
        for _ in range(2):
            for path, delivery in ((own, "fetched"), (beside, "other_version")):
                if self._filesystem.exists(path):
                    if self._hash(path, "sha256") == sha256:
                        if self._is_local and modified is not None:
                            os.utime(path, (modified, modified))
                        return "unchanged"
                    continue
                if self._move(part, path):
                    return "fetched" if delivery == "fetched" else "other_version"
        raise FileExistsError(errno.EEXIST, "its name was taken twice", place.file_name)

    def _move(self, part: str, path: str) -> bool:
        """Give `part` the name `path`; False when a local file has that name by now."""
        self._filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
        if not self._is_local:
            self._filesystem.mv(part, path)
            return True
        try:
            os.link(part, path)  # fails, unlike a rename, when the name is taken
        except FileExistsError:
            return False
        except OSError:  # a mounted folder without hard links
            if Path(path).exists():
                return False
            Path(part).rename(path)
        return True

    def _version_path(self, place: Place, sha256: str) -> str:
        version = sha256[:VERSION_DIGITS]
        return f"{self._root}/{place.folder}/versions/{version}/{place.file_name}"

    def _versions(self, place: Place) -> Iterator[str]:
        """Yield the paths of the files of this name: its own, and those beside it."""
        self._filesystem.invalidate_cache()
        own = f"{self._root}/{place.folder}/{place.file_name}"
        if self._filesystem.exists(own):
            yield own
        paths = self._files_below(f"{self._root}/{place.folder}/versions")
        yield from sorted(path for path in paths if path.endswith(f"/{place.file_name}"))

    def _files_below(self, folder: str) -> list[str]:
        """Return the paths of the files below a folder; in a local inbox, of regular files only."""
        self._filesystem.invalidate_cache()
        if not self._filesystem.exists(folder):
            return []
        if not local_files.is_local(self._filesystem):
            return [str(path) for path in self._filesystem.find(folder)]
        return [entry.path for entry in local_files.entries(folder) if entry.kind is None]

    def _hash(self, path: str, name: str) -> str:
        """Return the hash of a file; "" of what is no regular file, which no file's hash is."""
        if local_files.is_local(self._filesystem):
            folder, _, file_name = path.rpartition("/")
            try:
                return local_files.hexdigest(folder, [file_name], name)
            except local_files.IrregularFileError:
                return ""
        counted = hashlib.new(name, usedforsecurity=False)
        with self._filesystem.open(path, "rb") as stream:
            while chunk := stream.read(CHUNK_BYTES):
                counted.update(chunk)
        return counted.hexdigest()
