"""Finding and reading files in any fsspec store: file://, sftp://, s3://, memory://."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import fsspec

from tieout.landing.report import LandingError

__all__ = ["PARTIAL_SUFFIXES", "FoundFile", "find_files", "shown_url"]

# Names of files still being written, by the habits of rsync, sftp servers and browsers.
PARTIAL_SUFFIXES = (".part", ".partial", ".tmp", ".filepart", ".crdownload")


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file in a store, not read yet."""

    url: str
    name: str
    size_bytes: int | None
    _filesystem: Any = field(repr=False, compare=False)
    _path: str = field(repr=False, compare=False)

    def read(self) -> bytes:
        """Return the file's bytes.

        Raises:
            LandingError: it cannot be read.
        """
        try:
            content: bytes = self._filesystem.cat_file(self._path)
        except Exception as error:
            raise _unreadable(self.url, error) from error
        return content


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
        yield FoundFile(url_of_file, parts[-1], info.get("size"), filesystem, path)


def shown_url(url: str) -> str:
    """Return a URL as people may see it: it may carry a password before its host."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}" if separator else url


def _unreadable(url: str, error: Exception) -> LandingError:
    return LandingError(
        what="a file store cannot be read",
        where=shown_url(url),
        why=f"{type(error).__name__}: {error}"[:300],
        next_step="check TIEOUT_INBOX (or the path given) and that the store answers",
    )
