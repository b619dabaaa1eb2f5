"""Packed files (ZIP, gzip, .Z), opened in memory without trusting what they say of themselves.

Nothing is written to disk. What unpacks to far more than a day's file can have is refused before
it is in memory.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable
from pathlib import PurePosixPath

import ncompress

from tieout.channels.model import UnreadableFileError

__all__ = [
    "gunzipped",
    "is_compressed",
    "is_gzip",
    "is_zip",
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

UTF8_NAME_FLAG = 0x800
GZIP_WINDOW = 16 + zlib.MAX_WBITS
TOO_MUCH = "it unpacks to far more than such a file can have"


def is_zip(content: bytes) -> bool:
    """Say whether the bytes begin as a ZIP does."""
    return content[:4] in {b"PK\x03\x04", b"PK\x05\x06"}


def is_gzip(content: bytes) -> bool:
    """Say whether the bytes begin as gzip does. No text in UTF-8 or GBK does."""
    return content[:2] == b"\x1f\x8b"


def is_compressed(content: bytes) -> bool:
    """Say whether the bytes begin as those of Unix compress (.Z). No text in UTF-8 or GBK does."""
    return content[:2] == b"\x1f\x9d"


def gunzipped(content: bytes) -> bytes:
    """Return the unpacked bytes, of all members where there are several.

    Raises:
        UnreadableFileError: cut off, damaged (its own CRC says so), or far too large unpacked.
    """
    bytes_max = _unpacked_bytes_max(content)
    pieces: list[bytes] = []
    size, rest = 0, content
    while rest:
        unpacker = zlib.decompressobj(wbits=GZIP_WINDOW)
        try:
            piece = unpacker.decompress(rest, bytes_max - size + 1)
        except zlib.error:
            raise UnreadableFileError("bad_gzip", "it is no gzip file, or is damaged") from None
        pieces.append(piece)
        size += len(piece)
        if size > bytes_max:
            raise UnreadableFileError("unsafe_gzip", TOO_MUCH)
        if not unpacker.eof:
            raise UnreadableFileError("bad_gzip", "it is cut off before its end")
        rest = unpacker.unused_data
    return b"".join(pieces)


def uncompressed(content: bytes) -> bytes:
    """Return the unpacked bytes of a .Z file.

    The form has neither length nor checksum: one that is cut off yields the beginning of the text,
    and only the text's own form can show it.

    Raises:
        UnreadableFileError: not of Unix compress, damaged so that it shows, or far too large.
    """
    unpacked = _BoundedBuffer(_unpacked_bytes_max(content))
    try:
        ncompress.decompress(_Until(content, unpacked), unpacked)
    except ValueError:
        if not unpacked.is_full:
            raise UnreadableFileError("bad_compress", "it is no .Z file, or is damaged") from None
    if unpacked.is_full:
        raise UnreadableFileError("unsafe_compress", TOO_MUCH)
    return unpacked.getvalue()


class _BoundedBuffer(io.BytesIO):
    """Keeps so many bytes and no more; what comes behind them is dropped.

    It must not raise: an exception in a writer's last call ends ncompress, and the process with it.
    """

    def __init__(self, bytes_max: int) -> None:
        super().__init__()
        self._bytes_max = bytes_max
        self.is_full = False

    def write(self, piece: bytes, /) -> int:  # type: ignore[override]
        """Keep a piece, or note that it is too much; say that all of it was taken."""
        self.is_full = self.is_full or self.tell() + len(piece) > self._bytes_max
        return len(piece) if self.is_full else super().write(piece)


class _Until(io.BytesIO):
    """Yields the content, and its end as soon as the buffer is full.

    ncompress asks for a kilobyte at a time, which unpacks to 32 MiB at most.
    """

    def __init__(self, content: bytes, unpacked: _BoundedBuffer) -> None:
        super().__init__(content)
        self._unpacked = unpacked

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes, none where enough has been unpacked."""
        return b"" if self._unpacked.is_full else super().read(size)


def _unpacked_bytes_max(content: bytes) -> int:
    return min(UNPACKED_BYTES_MAX, max(RATIO_APPLIES_FROM_BYTES, len(content) * PACKING_RATIO_MAX))


def only_member(content: bytes, *, bytes_max: int = UNPACKED_BYTES_MAX) -> bytes:
    """Return the bytes of the one file in a ZIP.

    Raises:
        UnreadableFileError: as `zip_members` does, or not one file.
    """
    files = zip_members(content, wanted=lambda name: not name.endswith("/"), bytes_max=bytes_max)
    if len(files) != 1:
        raise UnreadableFileError(
            "several_members", f"{len(files)} files in the archive, 1 expected: send one a file"
        )
    return files[0][1]


def zip_members(
    content: bytes, *, wanted: Callable[[str], bool], bytes_max: int = UNPACKED_BYTES_MAX
) -> list[tuple[str, bytes]]:
    """Return name and bytes of the wanted members, in the archive's order.

    Args:
        content: the archive.
        wanted: says by a member's name whether it is read.
        bytes_max: the most the whole archive may unpack to.

    Raises:
        UnreadableFileError: no whole ZIP, an encrypted one, or an unsafe member, wanted or not.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [(_name(member), member) for member in archive.infolist()]
            _check(members, bytes_max)
            return [(name, _bytes(archive, member)) for name, member in members if wanted(name)]
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


def _bytes(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """Return the bytes; a member that is larger than its own header says is refused."""
    with archive.open(member) as stream:
        content = stream.read(member.file_size + 1)
    if len(content) != member.file_size:
        raise UnreadableFileError("unsafe_zip", "a member's size is not what the archive says")
    return content
