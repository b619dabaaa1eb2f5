"""WeChat Pay's error answers, which come where a bill was asked for (formats.md §4.1).

An answer has neither merchant nor date inside. Only one is a statement about the day: that there is
no bill, because nothing was sold or refunded. It may be taken as an empty bill without danger: if
it is the answer for another day or merchant, every transaction of the platform stays one-sided and
is not paid, and the bank's arrival fails the balance equation.
"""

from __future__ import annotations

from lxml import etree

from tieout.channels.excerpts import masked_excerpt
from tieout.channels.model import UnreadableFileError

__all__ = ["is_answer", "says_no_bill"]

NO_BILL = {"return_code": "FAIL", "return_msg": "No Bill Exist"}
NO_BILL_ERROR_CODE = "20002"
ANSWER_CHARACTERS_MAX = 10_000


def is_answer(text: str) -> bool:
    """Say whether the text is XML or JSON, which no bill is."""
    return text.lstrip()[:1] in {"<", "{"}


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
    if len(text) > ANSWER_CHARACTERS_MAX or "<!DOCTYPE" in text.upper():
        return {}
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        root = etree.fromstring(text.strip().encode(), parser)
    except (etree.XMLSyntaxError, ValueError):
        return {}
    names = [child.tag for child in root]
    if root.tag != "xml" or len(set(names)) < len(names):
        return {}
    return {str(child.tag): child.text or "" for child in root}
