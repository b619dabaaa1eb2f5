"""Files in local folders that others write to: regular files only, no link followed, never endless.

Who may write into a folder may put a pipe, a device, a socket or a link where a file is expected:
to open one may hang, read without end, or read what its sender could not. Here an entry is opened
only when it is a regular file, step by step below a root that we trust, and what was opened is
looked at again; then no more is read than was asked for, whatever the size says.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from fsspec.implementations.local import LocalFileSystem

__all__ = [
    "Entry",
    "IrregularFileError",
    "Reading",
    "entries",
    "entry",
    "hexdigest",
    "is_local",
    "kind_of",
    "make_private",
    "names",
    "opened",
    "read",
    "read_bounded",
    "rename",
    "write",
]

CHUNK_BYTES = 8 * 1024**2
PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700
_KINDS = (
    (stat.S_ISLNK, "a link"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_SAFELY = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class IrregularFileError(OSError):
    """What lies there is no regular file; it was not read. ``kind`` says what it is."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"it is {kind}, not a regular file; it was not opened")
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Entry:
    """What lies below a root. ``kind`` is None for a regular file, else what it is."""

    path: str
    parts: tuple[str, ...]
    size_bytes: int
    changed_at_seconds: float
    kind: str | None


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read: all of it, or None where there is more than was asked for.

    Of what is too large, ``sha256`` is of its beginning and of its size, and ``size_bytes`` what
    the file system says of it.
    """

    content: bytes | None = field(repr=False)
    sha256: str
    size_bytes: int


def is_local(filesystem: object) -> bool:
    """Say whether an fsspec file system is this machine's folders."""
    return isinstance(filesystem, LocalFileSystem)


def kind_of(mode: int) -> str | None:
    """Return what a file's mode says it is; None for a regular file."""
    if stat.S_ISREG(mode):
        return None
    return next((kind for holds, kind in _KINDS if holds(mode)), "no file of a known kind")


def entries(root: str) -> Iterator[Entry]:
    """Yield what lies below a folder, or the file itself; links are told, not followed.

    The root may itself be a link to a folder: it is ours, not its senders'. Hidden entries are left
    alone.

    Raises:
        FileNotFoundError: there is nothing of that name.
    """
    place = Path(root)
    if place.is_dir():
        yield from _below(root, ())
    else:
        yield entry(root)


def entry(path: str) -> Entry:
    """Return what lies at a path; a link is told, not followed.

    Raises:
        FileNotFoundError: there is nothing of that name.
    """
    place = Path(path)
    return _entry(path, (place.name,), place.lstat())


def _below(folder: str, parts: tuple[str, ...]) -> Iterator[Entry]:
    with os.scandir(folder) as found:
        children = sorted((child for child in found), key=lambda child: child.name)
    for child in children:
        if child.name.startswith("."):
            continue
        with suppress(FileNotFoundError):  # gone since it was listed
            state = child.stat(follow_symlinks=False)
            here = (*parts, child.name)
            if not stat.S_ISDIR(state.st_mode):
                yield _entry(child.path, here, state)
                continue
            try:
                yield from _below(child.path, here)
            except PermissionError:
                state_kind = "a folder we may not look into"
                yield Entry(child.path, here, 0, state.st_mtime, state_kind)


def _entry(path: str, parts: tuple[str, ...], state: os.stat_result) -> Entry:
    return Entry(path, parts, state.st_size, state.st_mtime, kind_of(state.st_mode))


def names(root: str, parts: Sequence[str], *, folders: bool = False) -> tuple[str, ...]:
    """Return the regular files (or the folders) directly in a folder below a root, sorted."""
    try:
        with _folder(root, parts) as descriptor, os.scandir(descriptor) as found:
            wanted = (
                entry.name
                for entry in found
                if (
                    entry.is_dir(follow_symlinks=False)
                    if folders
                    else entry.is_file(follow_symlinks=False)
                )
            )
            return tuple(sorted(wanted))
    except (FileNotFoundError, NotADirectoryError):
        return ()


@contextmanager
def _folder(root: str, parts: Sequence[str]) -> Iterator[int]:
    """Yield a descriptor of a folder below a root, no part of whose path is a link."""
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts:
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | _SAFELY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def opened(root: str, parts: Sequence[str]) -> Iterator[io.FileIO]:
    """Open a regular file below a root for reading.

    Raises:
        FileNotFoundError: it is not there.
        IrregularFileError: it, or a folder above it, is something else.
    """
    try:
        with _folder(root, parts[:-1]) as folder:
            descriptor = _open_regular(parts[-1], folder)
    except OSError as error:
        # A part of the path became a link, or the file did since it was looked at.
        if error.errno in {errno.ELOOP, errno.ENOTDIR, errno.ENXIO}:
            raise IrregularFileError("a link, or below one") from error
        raise
    with os.fdopen(descriptor, "rb", buffering=0) as stream:
        _refuse_irregular(os.fstat(descriptor))
        yield stream


def _open_regular(name: str, folder: int) -> int:
    # Looked at before it is opened: opening alone rewinds a tape and wakes a device.
    _refuse_irregular(os.stat(name, dir_fd=folder, follow_symlinks=False))
    return os.open(name, os.O_RDONLY | _SAFELY, dir_fd=folder)


def _refuse_irregular(state: os.stat_result) -> None:
    kind = kind_of(state.st_mode)
    if kind is not None:
        raise IrregularFileError(kind)


def read(root: str, parts: Sequence[str], bytes_max: int) -> Reading:
    """Read a regular file below a root, at most ``bytes_max`` bytes and one more.

    Raises as `opened` does.
    """
    with opened(root, parts) as stream:
        return read_bounded(stream, bytes_max, os.fstat(stream.fileno()).st_size)


def hexdigest(root: str, parts: Sequence[str], name: str) -> str:
    """Return a hash of a regular file below a root, of as many bytes as it has when it is opened.

    Raises as `opened` does.
    """
    counted = hashlib.new(name, usedforsecurity=False)
    with opened(root, parts) as stream:
        left = os.fstat(stream.fileno()).st_size
        while left > 0 and (piece := stream.read(min(CHUNK_BYTES, left))):
            counted.update(piece)
            left -= len(piece)
    return counted.hexdigest()


def read_bounded(stream: io.FileIO | BinaryIO, bytes_max: int, size_told: int | None) -> Reading:
    """Read a stream to its end, or until it has more than ``bytes_max`` bytes."""
    content = bytearray()
    while len(content) <= bytes_max:
        piece = stream.read(min(CHUNK_BYTES, bytes_max + 1 - len(content)))
        if not piece:
            whole = bytes(content)
            return Reading(whole, hashlib.sha256(whole).hexdigest(), len(whole))
        content += piece
    size = max(size_told or 0, len(content))
    return Reading(None, hashlib.sha256(content + f"\n{size}".encode()).hexdigest(), size)


def write(root: str, parts: Sequence[str], content: bytes) -> None:
    """Write a file below a root for its owner only, whole or not at all.

    It and the folders between are made 0600 and 0700, whatever the umask, and so are those there
    already; the root is made 0700 where it is missing.
    """
    _make_folders(root, parts)
    with _folder(root, parts[:-1]) as descriptor:
        partial = f".{parts[-1]}.part"
        with suppress(FileNotFoundError):
            os.unlink(partial, dir_fd=descriptor)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        file = os.open(partial, flags, PRIVATE_FILE, dir_fd=descriptor)
        with os.fdopen(file, "wb") as stream:
            os.fchmod(file, PRIVATE_FILE)
            stream.write(content)
            stream.flush()
            os.fsync(file)
        os.rename(partial, parts[-1], src_dir_fd=descriptor, dst_dir_fd=descriptor)
        os.fsync(descriptor)


def rename(root: str, parts: Sequence[str], name: str) -> None:
    """Give a file below a root another name in its folder, in one step that lasts."""
    with _folder(root, parts[:-1]) as descriptor:
        os.rename(parts[-1], name, src_dir_fd=descriptor, dst_dir_fd=descriptor)
        os.fsync(descriptor)


def make_private(root: str, parts: Sequence[str]) -> None:
    """Make a file of ours, and the folders between the root and it, its owner's only."""
    _make_folders(root, parts)
    with opened(root, parts) as stream:
        os.fchmod(stream.fileno(), PRIVATE_FILE)


def _make_folders(root: str, parts: Sequence[str]) -> None:
    folder = Path(root)
    if not folder.exists():
        folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    for part in parts[:-1]:
        folder /= part
        folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
        if folder.lstat().st_mode & 0o777 != PRIVATE_FOLDER and not folder.is_symlink():
            folder.chmod(PRIVATE_FOLDER)
