"""Finding and reading files in any fsspec store: file://, sftp://, s3://, memory://."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from tieout.channels.common.excerpts import masked_excerpt
from tieout.files import local_files, store_urls
from tieout.files.report import LandingError

__all__ = [
    "PARTIAL_SUFFIXES",
    "FileBytes",
    "FileGoneError",
    "FoundFile",
    "IrregularEntry",
    "IrregularError",
    "find_entries",
    "find_files",
    "shown_url",
]

# What stores call the time of the last change, and a mark that changes with the bytes.
_CHANGED_AT = ("mtime", "LastModified", "last_modified", "updated")
_MARKS = ("ETag", "etag", "md5Hash", *_CHANGED_AT)

# Names of files still being written, by the habits of rsync, sftp servers and browsers.
PARTIAL_SUFFIXES = (".part", ".partial", ".tmp", ".filepart", ".crdownload")


class FileGoneError(LandingError):
    """A file that was found is not there any more."""


class IrregularError(LandingError):
    """What was found as a file is something else by now; it was not read."""


FileBytes = local_files.Reading


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
    _filesystem: Any = field(repr=False, compare=False)
    _path: str = field(repr=False, compare=False)

    _below: tuple[str, tuple[str, ...]] | None = field(default=None, repr=False, compare=False)

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
        except local_files.IrregularFileError as error:
            raise _unreadable(self.url, error, IrregularError) from error
        except Exception as error:
            raise _unreadable(self.url, error) from error

    def _read(self, bytes_max: int) -> FileBytes:
        if self._below is not None:
            return local_files.read(*self._below, bytes_max)
        with self._filesystem.open(self._path, "rb", cache_type="none") as stream:
            return local_files.read_bounded(stream, bytes_max, self.size_bytes)


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
        filesystem, root = store_urls.open_url(url)
        if local_files.is_local(filesystem):
            yield from _find_here(filesystem, root)
            return
        filesystem.invalidate_cache()
        paths = filesystem.find(root, detail=True)
        is_there = bool(paths) or filesystem.exists(root)
    except Exception as error:
        raise _unreadable(url, error) from error
    if not is_there:
        raise _unreadable(url, FileNotFoundError("there is no such folder or file"))
    for path, info in paths.items():
        parts = PurePosixPath(path).parts
        below = parts[len(PurePosixPath(root).parts) :] or parts[-1:]
        if any(part.startswith(".") for part in below) or path.endswith(PARTIAL_SUFFIXES):
            continue
        url_of_file = filesystem.unstrip_protocol(path)
        kind = info.get("type", "file")
        if kind != "file":
            shown = "a link" if kind == "link" else "no regular file"
            yield IrregularEntry(url_of_file, parts[-1], shown)
            continue
        yield FoundFile(
            url_of_file,
            parts[-1],
            info.get("size"),
            _version(info),
            _changed_at(info),
            filesystem,
            path,
        )


def _find_here(filesystem: Any, root: str) -> Iterator[FoundFile | IrregularEntry]:
    """Look into folders of this machine, whose writers are not trusted."""
    is_folder = Path(root).is_dir()
    for entry in local_files.entries(root):
        if entry.path.endswith(PARTIAL_SUFFIXES):
            continue
        url = filesystem.unstrip_protocol(entry.path)
        if entry.kind is not None:
            yield IrregularEntry(url, entry.parts[-1], entry.kind)
            continue
        info = {"mtime": entry.changed_at_seconds}
        trusted = root if is_folder else str(PurePosixPath(root).parent)
        yield FoundFile(
            url,
            entry.parts[-1],
            entry.size_bytes,
            _version(info),
            _changed_at(info),
            filesystem,
            entry.path,
            (trusted, entry.parts),
        )


def _version(info: Mapping[str, Any]) -> str | None:
    return next((str(info[name]) for name in _MARKS if info.get(name) is not None), None)


def _changed_at(info: Mapping[str, Any]) -> datetime | None:
    found = next((info[name] for name in _CHANGED_AT if info.get(name) is not None), None)
    if isinstance(found, int | float):
        return datetime.fromtimestamp(found, UTC)
    return found if isinstance(found, datetime) and found.tzinfo is not None else None


def shown_url(url: str) -> str:
    """Return a URL as people may see it: it may carry a password before its host."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}" if separator else url


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
