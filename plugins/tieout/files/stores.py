"""Finding and reading files in any fsspec store: file://, sftp://, s3://, memory://."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tieout.channels.common.excerpts import masked_excerpt
from tieout.files.report import LandingError
from tieout.files.store import PARTIAL_SUFFIXES, IrregularFileError, Reading, Store
from tieout.files.store_urls import shown_url

__all__ = [
    "FileBytes",
    "FileGoneError",
    "FoundFile",
    "IrregularEntry",
    "IrregularError",
    "find_entries",
    "find_files",
]

# What stores call the time of the last change, and a mark that changes with the bytes.
_CHANGED_AT = ("mtime", "LastModified", "last_modified", "updated")
_MARKS = ("ETag", "etag", "md5Hash", *_CHANGED_AT)


class FileGoneError(LandingError):
    """A file that was found is not there any more."""


class IrregularError(LandingError):
    """What was found as a file is something else by now; it was not read."""


FileBytes = Reading


@dataclass(frozen=True, slots=True)
class IrregularEntry:
    """Something in a store that is no regular file; it is not opened. `kind` says what it is."""

    url: str
    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file in a store, not read yet.

    `version` changes with the bytes and `changed_at` says when; None where the store does not say.
    """

    url: str
    name: str
    size_bytes: int | None
    version: str | None
    changed_at: datetime | None
    _store: Store = field(repr=False, compare=False)
    _path: str = field(repr=False, compare=False)

    def read(self, bytes_max: int) -> FileBytes:
        """Return the file's bytes, or None for them where there are more than that.

        No more is read than that and one byte, whatever the store says of the size.

        Raises:
            FileGoneError: it is not there any more.
            IrregularError: it is no regular file any more.
            LandingError: it cannot be read.
        """
        try:
            return self._read(bytes_max)
        except FileNotFoundError as error:
            raise _unreadable(self.url, error, FileGoneError) from error
        except IrregularFileError as error:
            raise _unreadable(self.url, error, IrregularError) from error
        except Exception as error:
            raise _unreadable(self.url, error) from error

    def _read(self, bytes_max: int) -> FileBytes:
        return self._store.read(self._path, bytes_max, size_told=self.size_bytes)

    def opened(self) -> AbstractContextManager[Any]:
        """Open the file for reading; raises what its store does."""
        return self._store.opened(self._path)


def find_files(urls: Sequence[str]) -> list[FoundFile]:
    """Return the files below each URL or path (a file stands for itself), in order of their names.

    Hidden files and files still being written are left alone, and so is what is no regular file.

    Raises:
        LandingError: a store does not answer, or a path is not there.
    """
    return find_entries(urls)[0]


def find_entries(urls: Sequence[str]) -> tuple[list[FoundFile], list[IrregularEntry]]:
    """Return the files, and apart from them what is no regular file: links, pipes, devices.

    Raises as `find_files` does.
    """
    found = {entry.url: entry for url in urls for entry in _find(url)}
    ordered = sorted(found.values(), key=lambda entry: entry.url)
    return (
        [entry for entry in ordered if isinstance(entry, FoundFile)],
        [entry for entry in ordered if isinstance(entry, IrregularEntry)],
    )


def _find(url: str) -> Iterator[FoundFile | IrregularEntry]:
    try:
        store = Store(url)
        own = store.own_file
        if own is not None:
            store = store.parent
        entries = store.entries() if own is None else [own]
    except Exception as error:
        raise _unreadable(url, error) from error
    for entry in entries:
        if entry.path.endswith(PARTIAL_SUFFIXES):
            continue
        url_of_file = store.url_of(entry.path)
        if entry.kind is not None:
            yield IrregularEntry(url_of_file, entry.name, entry.kind)
            continue
        yield FoundFile(
            url_of_file,
            entry.name,
            entry.size_bytes,
            _version(entry.info),
            _changed_at(entry.info),
            store,
            entry.path,
        )


def _version(info: Mapping[str, Any]) -> str | None:
    return next((str(info[name]) for name in _MARKS if info.get(name) is not None), None)


def _changed_at(info: Mapping[str, Any]) -> datetime | None:
    found = next((info[name] for name in _CHANGED_AT if info.get(name) is not None), None)
    if isinstance(found, int | float):
        return datetime.fromtimestamp(found, UTC)
    return found if isinstance(found, datetime) and found.tzinfo is not None else None


def _unreadable(
    url: str, error: Exception, kind: type[LandingError] = LandingError
) -> LandingError:
    # A name can hold anything, a card number too, and the error may repeat it.
    return kind(
        what="a file store cannot be read",
        where=masked_excerpt(shown_url(url)),
        why=masked_excerpt(f"{type(error).__name__}: {error}"),
        next_step="check TIEOUT_INBOX (or the path given) and that the store answers",
    )
