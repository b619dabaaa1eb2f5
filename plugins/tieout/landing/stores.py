"""Finding and reading files in any fsspec store: file://, sftp://, s3://, memory://."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

import fsspec

from tieout.channels.excerpts import masked_excerpt
from tieout.landing.report import LandingError

__all__ = ["PARTIAL_SUFFIXES", "FileBytes", "FileGoneError", "FoundFile", "find_files", "shown_url"]

CHUNK_BYTES = 8 * 1024**2
# What stores call the time of the last change, and a mark that changes with the bytes.
_CHANGED_AT = ("mtime", "LastModified", "last_modified", "updated")
_MARKS = ("ETag", "etag", "md5Hash", *_CHANGED_AT)

# Names of files still being written, by the habits of rsync, sftp servers and browsers.
PARTIAL_SUFFIXES = (".part", ".partial", ".tmp", ".filepart", ".crdownload")


class FileGoneError(LandingError):
    """A file that was found is not there any more."""


@dataclass(frozen=True, slots=True)
class FileBytes:
    """What was read of a file; `content` is None where it is larger than was asked for."""

    content: bytes | None = field(repr=False)
    sha256: str
    size_bytes: int


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

    def read(self, bytes_max: int) -> FileBytes:
        """Return the file's bytes, or only their hash and number where there are more than that.

        A file that is too large is never in memory: it is hashed piece by piece.

        Raises:
            FileGoneError: it is not there any more.
            LandingError: it cannot be read.
        """
        try:
            return self._read(bytes_max)
        except FileNotFoundError as error:
            raise _unreadable(self.url, error, FileGoneError) from error
        except Exception as error:
            raise _unreadable(self.url, error) from error

    def _read(self, bytes_max: int) -> FileBytes:
        if self.size_bytes is not None and self.size_bytes <= bytes_max:
            content: bytes = self._filesystem.cat_file(self._path)
            if len(content) <= bytes_max:
                return FileBytes(content, hashlib.sha256(content).hexdigest(), len(content))
            del content  # it grew meanwhile
        digest, size, kept = hashlib.sha256(), 0, bytearray()
        with self._filesystem.open(self._path, "rb", cache_type="none") as stream:
            while piece := stream.read(CHUNK_BYTES):
                digest.update(piece)
                size += len(piece)
                if size <= bytes_max:
                    kept += piece
                else:
                    kept.clear()
        whole = bytes(kept) if size <= bytes_max else None
        return FileBytes(whole, digest.hexdigest(), size)


def find_files(urls: Sequence[str]) -> list[FoundFile]:
    """Return the files below each URL or path (a file stands for itself), in order of their names.

    Hidden files and files still being written are left alone.

    Raises:
        LandingError: a store does not answer, or a path is not there.
    """
    found = {file.url: file for url in urls for file in _find(url)}
    return sorted(found.values(), key=lambda file: file.url)


def _find(url: str) -> Iterator[FoundFile]:
    try:
        filesystem, root = fsspec.core.url_to_fs(url)
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
        yield FoundFile(
            url_of_file,
            parts[-1],
            info.get("size"),
            _version(info),
            _changed_at(info),
            filesystem,
            path,
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
