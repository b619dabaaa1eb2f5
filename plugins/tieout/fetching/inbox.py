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
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from tieout.fetching.report import FetchError
from tieout.files.store import Entry, IrregularFileError, Store
from tieout.files.store_urls import shown_url

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
        self._store = Store(url)
        self._url = url

    def names(self, channel: str, day: date) -> list[str]:
        """Return the names of the files that lie in a channel's folder of a date."""
        return sorted({entry.name for entry in self._files_below(f"{channel}/{day:%Y%m%d}")})

    def holds_look_alike(self, place: Place, size_bytes: int, modified: float | None) -> bool:
        """Say whether a file of this name, size and time of change is here: no need to copy it.

        Only a local inbox keeps the time; elsewhere the answer is no.
        """
        if not self._store.is_local or modified is None:
            return False
        return any(
            entry.kind is None
            and entry.size_bytes == size_bytes
            and abs(entry.info["mtime"] - modified) < 1
            for entry in self._versions(place)
        )

    def holds_hash(self, place: Place, name: str, hexdigest: str) -> bool:
        """Say whether a file of this name and hash is here, in any version."""
        return any(self._hash(one.path, name) == hexdigest for one in self._versions(place))

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
        part = f"{place.folder}/.{place.file_name}.{secrets.token_hex(4)}.part"
        with self._own_errors():
            self._store.make_folder_of(part)
            stream = self._store.open_new(part)
        try:
            receiver = Receiver(self._writer(stream), bytes_max, place.file_name)
            try:
                transfer(receiver)
            finally:
                with self._own_errors():
                    self._store.finish(stream)
            with self._own_errors():
                return self._settle(place, part, receiver.hexdigest(), modified)
        finally:
            with suppress(OSError):
                self._store.remove(part)

    def _writer(self, stream: Any) -> Callable[[bytes], None]:
        def write(chunk: bytes) -> None:
            with self._own_errors():
                stream.write(chunk)

        return write

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
        own = f"{place.folder}/{place.file_name}"
        beside = f"{place.folder}/versions/{sha256[:VERSION_DIGITS]}/{place.file_name}"
        if modified is not None:
            self._store.set_changed_at(part, modified)
        # Twice: another fetch may take the name between the look and the move.
        for _ in range(2):
            for path, delivery in ((own, "fetched"), (beside, "other_version")):
                if self._store.exists(path):
                    if self._hash(path, "sha256") == sha256:
                        if modified is not None:
                            self._store.set_changed_at(path, modified)
                        return "unchanged"
                    continue
                if self._store.move_new(part, path):
                    return "fetched" if delivery == "fetched" else "other_version"
        raise FileExistsError(errno.EEXIST, "its name was taken twice", place.file_name)

    def _versions(self, place: Place) -> list[Entry]:
        """Return what has this name: in its own place, and the files beside it."""
        own = self._store.look(f"{place.folder}/{place.file_name}")
        beside = self._files_below(f"{place.folder}/versions")
        named = [entry for entry in beside if entry.name == place.file_name]
        return named if own is None else [own, *named]

    def _files_below(self, folder: str) -> list[Entry]:
        """Return the regular files below a folder; none where it is missing."""
        try:
            return [entry for entry in self._store.entries(folder) if entry.kind is None]
        except FileNotFoundError:
            return []

    def _hash(self, path: str, name: str) -> str:
        """Return the hash of a file; "" of what is no regular file, which no file's hash is."""
        try:
            return self._store.hexdigest(path, name)
        except IrregularFileError:
            return ""
