"""A ZIP that holds one file, opened without trusting anything the archive says."""

from __future__ import annotations

import io
import zipfile
from pathlib import PurePosixPath

from tieout.channels.model import UnreadableFileError

__all__ = ["UNPACKED_BYTES_MAX", "is_zip", "only_member"]

# Far above any statement; the whole is held in memory.
UNPACKED_BYTES_MAX = 256 * 1024 * 1024
PACKING_RATIO_MAX = 200
RATIO_APPLIES_FROM_BYTES = 1024 * 1024
MEMBERS_MAX = 16


def is_zip(content: bytes) -> bool:
    """Say whether the bytes begin as a ZIP does."""
    return content[:4] in {b"PK\x03\x04", b"PK\x05\x06"}


def only_member(content: bytes) -> bytes:
    """Return the bytes of the one file in the archive. Nothing is written to disk.

    Raises:
        UnreadableFileError: no whole ZIP, an encrypted one, several files, or a member that points
            outside or unpacks to more than it should.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return _read(archive)
    except UnreadableFileError:
        raise
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError):
        raise UnreadableFileError("bad_zip", "it is no whole ZIP file, or is encrypted") from None
    except zipfile.zlib.error:  # type: ignore[attr-defined]
        raise UnreadableFileError("bad_zip", "a member is damaged") from None


def _read(archive: zipfile.ZipFile) -> bytes:
    members = archive.infolist()
    if len(members) > MEMBERS_MAX:
        raise UnreadableFileError("unsafe_zip", f"more than {MEMBERS_MAX} members")
    files = [member for member in members if not member.is_dir()]
    for member in files:
        _check(member)
    if len(files) != 1:
        raise UnreadableFileError(
            "several_members", f"{len(files)} files in the archive, 1 expected: send one a file"
        )
    with archive.open(files[0]) as stream:
        content = stream.read(files[0].file_size + 1)
    if len(content) != files[0].file_size:
        raise UnreadableFileError("unsafe_zip", "a member's size is not what the archive says")
    return content


def _check(member: zipfile.ZipInfo) -> None:
    path = PurePosixPath(member.filename.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in member.filename:
        raise UnreadableFileError("unsafe_zip", "a member's name points outside the archive")
    too_dense = (
        member.file_size > RATIO_APPLIES_FROM_BYTES
        and member.file_size > member.compress_size * PACKING_RATIO_MAX
    )
    if member.file_size > UNPACKED_BYTES_MAX or too_dense:
        raise UnreadableFileError("unsafe_zip", "a member unpacks to far more than it should")
