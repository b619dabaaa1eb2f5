"""Texts as a spreadsheet program may be given them: none of them runs as a formula.

Order numbers, shop names and the like are written by others. Excel, WPS and LibreOffice run what
begins with one of `STARTS` in a CSV file (formulas, and through them DDE), whatever blanks stand
before it and wherever their list separator is a semicolon or a tab.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

__all__ = ["STARTS", "csv_text", "is_formula_like", "visible"]

# Also the full-width and small forms, which East Asian versions take for the same, and U+2212.
STARTS: Final = "=+-@＝＋－＠﹦﹢﹣﹫−"
_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
# Controls, invisible and reversing characters, line separators, halves of pairs, private use.
_UNSEEN: Final = frozenset(("Cc", "Cf", "Zl", "Zp", "Cs", "Co"))
_LEADS: Final = re.compile(rf"\s*[{re.escape(STARTS)}]")
# Where a cell may begin: at the start, and after what may end a cell or open its quotes.
_CELL_STARTS: Final = re.compile(rf"(^|[,;|\"])(?=\s*[{re.escape(STARTS)}])")


def visible(text: str) -> str:
    """Return the text with a replacement character for each one that nobody sees."""
    return "".join(
        _REPLACEMENT
        if unicodedata.category(character) in _UNSEEN or ord(character) & 0xFFFE == 0xFFFE
        else character
        for character in text
    )


def is_formula_like(text: str) -> bool:
    """Say whether a spreadsheet program would run the text where it is typed into a cell."""
    return _LEADS.match(text) is not None


def csv_text(text: str) -> str:
    """Return the text for a cell of a CSV file: visible, an apostrophe before what would run."""
    return _CELL_STARTS.sub(r"\1'", visible(text))
