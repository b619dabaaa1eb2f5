"""WeChat Pay's error answers, which come where a bill was asked for.

Format: docs/formats/wechat-trade-bill.md.

An answer has neither merchant nor date inside. Only one is a statement about the day: that there is
no bill, because nothing was sold or refunded. It may be taken as an empty bill without danger: if
it is the answer for another day or merchant, every transaction of the platform stays one-sided and
is not paid, and the bank's arrival fails the balance equation.
"""

from __future__ import annotations

import itertools
from typing import IO

from tieout.channels.common import safe_xml
from tieout.channels.common.excerpts import masked_excerpt
from tieout.channels.common.model import UnreadableFileError
from tieout.channels.common.text_files import lines_of

__all__ = ["answer_in", "says_no_bill"]

NO_BILL = {"return_code": "FAIL", "return_msg": "No Bill Exist"}
NO_BILL_ERROR_CODE = "20002"
ANSWER_CHARACTERS_MAX = 10_000
BEGINNING_BYTES = 1_000


def answer_in(stream: IO[bytes]) -> str | None:
    """Return the text where it is XML or JSON, which no bill is; not more of it than is compared.

    Raises:
        UnreadableFileError: it begins like an answer, and is not UTF-8.
    """
    stream.seek(0)
    if not stream.read(BEGINNING_BYTES).lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<", b"{")):
        return None
    lines = itertools.islice(lines_of(stream, "utf-8"), ANSWER_CHARACTERS_MAX)
    return "\n".join(lines)[: ANSWER_CHARACTERS_MAX + 1]


def says_no_bill(text: str) -> bool:
    """Return True where the answer says that there is no bill, exactly in these words.

    Raises:
        UnreadableFileError: it is any other answer; what it says is quoted.
    """
    fields = _fields(text)
    error_code = fields.pop("error_code", NO_BILL_ERROR_CODE)
    if fields == NO_BILL and error_code == NO_BILL_ERROR_CODE:
        return True
    said = fields.get("return_msg", "").strip() or "nothing we know"
    raise UnreadableFileError(
        "error_answer",
        f"it is no bill but an error answer, which says: {masked_excerpt(said)[:80]}",
        line_number=1,
    )


def _fields(text: str) -> dict[str, str]:
    """Return the names and texts below the root; nothing for what is no such XML."""
    if len(text) > ANSWER_CHARACTERS_MAX:
        return {}
    try:
        root = safe_xml.root(text.strip().encode())
    except UnreadableFileError:
        return {}
    names = [child.tag for child in root]
    if root.tag != "xml" or len(set(names)) < len(names):
        return {}
    return {str(child.tag): child.text or "" for child in root}
