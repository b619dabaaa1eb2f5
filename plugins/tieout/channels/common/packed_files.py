"""Packed files (ZIP, gzip, .Z), unpacked without trusting what they say of themselves.

What is unpacked goes to a spool: in memory while it is small, else in a file without a name in the
system's folder for temporary files, which ends with the process. What unpacks to far more than a
day's file can have is refused before it is there.
"""

from __future__ import annotations

import os
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import IO

import ncompress

from tieout.channels.common.model import UnreadableFileError

__all__ = [
    "gunzipped",
    "is_compressed",
    "is_gzip",
    "is_zip",
    "maybe_gunzipped",
    "only_member",
    "uncompressed",
    "zip_members",
]

# Guards against bombs: a day of five million rows has about 1.5 GB, and text packs about ten to
# one.
MEMBERS_MAX = 16
UNPACKED_BYTES_MAX = 4 * 1024**3
PACKING_RATIO_MAX = 200
RATIO_APPLIES_FROM_BYTES = 1024**2
# A spool larger than that is on disk.
SPOOL_MEMORY_BYTES = 32 * 1024**2
PIECE_BYTES = 1 << 20

UTF8_NAME_FLAG = 0x800
GZIP_WINDOW = 16 + zlib.MAX_WBITS
TOO_MUCH = "it unpacks to far more than such a file can have"


def is_zip(stream: IO[bytes]) -> bool:
    """Say whether the bytes begin as a ZIP does."""
    return _begins_with(stream, b"PK\x03\x04", b"PK\x05\x06")


def is_gzip(stream: IO[bytes]) -> bool:
    """Say whether the bytes begin as gzip does. No text in UTF-8 or GBK does."""
    return _begins_with(stream, b"\x1f\x8b")


def is_compressed(stream: IO[bytes]) -> bool:
    """Say whether the bytes begin as those of Unix compress (.Z). No text in UTF-8 or GBK does."""
    return _begins_with(stream, b"\x1f\x9d")


def _begins_with(stream: IO[bytes], *beginnings: bytes) -> bool:
    stream.seek(0)
    begins = stream.read(4).startswith(beginnings)
    stream.seek(0)
    return begins


def _spool() -> IO[bytes]:
    return tempfile.SpooledTemporaryFile(max_size=SPOOL_MEMORY_BYTES)


def gunzipped(stream: IO[bytes]) -> IO[bytes]:
    """Return the unpacked bytes as a stream, of all members where there are several.

    Raises:
        UnreadableFileError: cut off, damaged (its own CRC says so), or far too large unpacked.
    """
    bytes_max = _unpacked_bytes_max(stream)
    unpacked = _spool()
    for piece in _gunzipped_pieces(stream):
        if unpacked.tell() + len(piece) > bytes_max:
            raise UnreadableFileError("unsafe_gzip", TOO_MUCH)
        unpacked.write(piece)
    unpacked.seek(0)
    return unpacked


def _gunzipped_pieces(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield what each member unpacks to, at most `PIECE_BYTES` at a time."""
    unpacker, is_begun = zlib.decompressobj(wbits=GZIP_WINDOW), False
    while packed := stream.read(PIECE_BYTES):
        while packed:
            is_begun = True
            try:
                yield unpacker.decompress(packed, PIECE_BYTES)
            except zlib.error:
                raise UnreadableFileError("bad_gzip", "it is no gzip file, or is damaged") from None
            packed = unpacker.unconsumed_tail
            if unpacker.eof:
                packed = unpacker.unused_data
                unpacker, is_begun = zlib.decompressobj(wbits=GZIP_WINDOW), False
    if is_begun:
        raise UnreadableFileError("bad_gzip", "it is cut off before its end")


@contextmanager
def maybe_gunzipped(stream: IO[bytes]) -> Iterator[IO[bytes]]:
    """Give the unpacked bytes of gzip, whatever the file's name, else the bytes as they are.

    Raises:
        UnreadableFileError: as `gunzipped` does.
    """
    if is_gzip(stream):
        with gunzipped(stream) as unpacked:
            yield unpacked
    else:
        yield stream


def uncompressed(stream: IO[bytes]) -> IO[bytes]:
    """Return the unpacked bytes of a .Z file as a stream.

    The form has neither length nor checksum: one that is cut off yields the beginning of the text,
    and only the text's own form can show it.

    Raises:
        UnreadableFileError: not of Unix compress, damaged so that it shows, or far too large.
    """
    unpacked = _BoundedSpool(_unpacked_bytes_max(stream))
    try:
        ncompress.decompress(_Until(stream, unpacked), unpacked)
    except ValueError:
        if not unpacked.is_full:
            raise UnreadableFileError("bad_compress", "it is no .Z file, or is damaged") from None
    if unpacked.is_full:
        raise UnreadableFileError("unsafe_compress", TOO_MUCH)
    unpacked.spool.seek(0)
    return unpacked.spool


class _BoundedSpool:
    """Keeps so many bytes and no more; what comes behind them is dropped.

    It must not raise: an exception in a writer's last call ends ncompress, and the process with it.
    """

    def __init__(self, bytes_max: int) -> None:
        self.spool = _spool()
        self.is_full = False
        self._bytes_max = bytes_max

    def write(self, piece: bytes, /) -> int:
        """Keep a piece, or note that it is too much; say that all of it was taken."""
        self.is_full = self.is_full or self.spool.tell() + len(piece) > self._bytes_max
        return len(piece) if self.is_full else self.spool.write(piece)


class _Until:
    """Yields the stream's bytes, and its end as soon as the spool is full.

    ncompress asks for a kilobyte at a time, which unpacks to 32 MiB at most.
    """

    def __init__(self, stream: IO[bytes], unpacked: _BoundedSpool) -> None:
        self._stream = stream
        self._unpacked = unpacked

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes, none where enough has been unpacked."""
        return b"" if self._unpacked.is_full else self._stream.read(size)


def _unpacked_bytes_max(stream: IO[bytes]) -> int:
    """Return the most the stream may unpack to, and set it to its beginning."""
    packed_bytes = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    return min(UNPACKED_BYTES_MAX, max(RATIO_APPLIES_FROM_BYTES, packed_bytes * PACKING_RATIO_MAX))


def only_member(stream: IO[bytes], *, bytes_max: int | None = None) -> IO[bytes]:
    """Return the bytes of the one file in a ZIP as a stream.

    Raises:
        UnreadableFileError: as `zip_members` does, or not one file.
    """
    files = zip_members(stream, wanted=lambda name: not name.endswith("/"), bytes_max=bytes_max)
    if len(files) != 1:
        raise UnreadableFileError(
            "several_members", f"{len(files)} files in the archive, 1 expected: send one a file"
        )
    return files[0][1]


def zip_members(
    stream: IO[bytes], *, wanted: Callable[[str], bool], bytes_max: int | None = None
) -> list[tuple[str, IO[bytes]]]:
    """Return name and bytes (a stream) of the wanted members, in the archive's order.

    Args:
        stream: the archive.
        wanted: says by a member's name whether it is read.
        bytes_max: the most the whole archive may unpack to; `UNPACKED_BYTES_MAX` where not given.

    Raises:
        UnreadableFileError: no whole ZIP, an encrypted one, or an unsafe member, wanted or not.
    """
    try:
        with zipfile.ZipFile(stream) as archive:
            members = [(_name(member), member) for member in archive.infolist()]
            _check(members, UNPACKED_BYTES_MAX if bytes_max is None else bytes_max)
            return [(name, _unpacked(archive, member)) for name, member in members if wanted(name)]
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError):
        raise UnreadableFileError("bad_zip", "it is no whole ZIP file, or is encrypted") from None
    except zlib.error:
        raise UnreadableFileError("bad_zip", "a member is damaged") from None


def _check(members: list[tuple[str, zipfile.ZipInfo]], bytes_max: int) -> None:
    """Refuse names that point outside and sizes no such file has."""
    if len(members) > MEMBERS_MAX:
        raise UnreadableFileError("unsafe_zip", f"more than {MEMBERS_MAX} members")
    if sum(member.file_size for _, member in members) > bytes_max:
        raise UnreadableFileError("unsafe_zip", TOO_MUCH)
    for name, member in members:
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in name:
            raise UnreadableFileError("unsafe_zip", "a member's name points outside the archive")
        if member.file_size > max(
            RATIO_APPLIES_FROM_BYTES, member.compress_size * PACKING_RATIO_MAX
        ):
            raise UnreadableFileError("unsafe_zip", f"a member: {TOO_MUCH}")


def _name(member: zipfile.ZipInfo) -> str:
    """Return the name. Alipay writes GBK without the UTF-8 flag, which zipfile takes for cp437."""
    if member.flag_bits & UTF8_NAME_FLAG:
        return member.filename
    try:
        return member.filename.encode("cp437").decode("gb18030")
    except (UnicodeEncodeError, UnicodeDecodeError):
        return member.filename


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> IO[bytes]:
    """Return the bytes; a member that is larger than its own header says is refused."""
    unpacked = _spool()
    with archive.open(member) as packed:
        while unpacked.tell() <= member.file_size and (piece := packed.read(PIECE_BYTES)):
            unpacked.write(piece)
    if unpacked.tell() != member.file_size:
        raise UnreadableFileError("unsafe_zip", "a member's size is not what the archive says")
    unpacked.seek(0)
    return unpacked
