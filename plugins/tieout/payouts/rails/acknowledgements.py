"""What a receiver says of a payment file it has taken: `NAME.ack`, beside the file.

Lines of ``key=value``: ``size`` (bytes) and ``sha256`` (64 hex digits), one of them at least. A
bank with another way has a rail of its own, whose two functions read it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from tieout.core.errors import TieoutError

__all__ = ["BYTES_MAX", "SUFFIX", "Acknowledgement", "read"]

SUFFIX: Final = ".ack"
BYTES_MAX: Final = 4096
"""No acknowledgement is longer; what is, is none."""

_SHA256: Final = re.compile("[0-9a-f]{64}")
_SIZE: Final = re.compile("[0-9]{1,15}")


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Which file a receiver has, by what it states of it; the one that it does not is None."""

    sha256: str | None
    size_bytes: int | None


def read(content: bytes, source: str) -> Acknowledgement:
    """Read an acknowledgement.

    Raises:
        TieoutError: it is empty or too long, no ASCII, or has a line that is not understood.
    """
    if len(content) > BYTES_MAX:
        raise _unreadable(source, 1, f"it has more than {BYTES_MAX} bytes")
    try:
        lines = content.decode("ascii").splitlines()
    except UnicodeDecodeError:
        raise _unreadable(source, 1, "it is no ASCII") from None
    stated: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        key, mark, value = line.partition("=")
        pattern = {"sha256": _SHA256, "size": _SIZE}.get(key)
        if not mark or pattern is None:
            raise _unreadable(source, number, "it is neither sha256=… nor size=…")
        if key in stated:
            raise _unreadable(source, number, f"{key} stands in it twice")
        if pattern.fullmatch(value.lower()) is None:
            raise _unreadable(source, number, f"its {key} is none")
        stated[key] = value.lower()
    if not stated:
        raise _unreadable(source, 1, "it states neither size nor digest")
    size = stated.get("size")
    return Acknowledgement(stated.get("sha256"), None if size is None else int(size))


def _unreadable(source: str, line: int, why: str) -> TieoutError:
    return TieoutError(
        what=f"acknowledgement {source} cannot be used",
        where=f"{source}, line {line}",
        why=f"line {line}: {why}",
        next_step="ask the receiver which file it has; then: tieout payouts acknowledgements",
    )
