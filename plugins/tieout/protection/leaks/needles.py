"""Known values in every form a text may carry them in, and finding them all in one pass.

Texts are taken as Latin-1, which gives each byte one character, so that any encoding is searched.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote

import polars as pl

from tieout.protection.leaks.known_values import KnownValue

__all__ = ["Needle", "NeedleHit", "Needles"]

# In UTF-8, numbers are found in GB18030 and Latin-1 too. Shorter forms of a name in another
# encoding would meet other bytes by chance.
FORM_BYTES_MIN = 6
# Beyond this many values only their plain forms are searched, so that memory stays bounded: each
# form costs about 1 kB.
VALUES_IN_ALL_FORMS_MAX = 50_000


@dataclass(frozen=True, slots=True)
class Needle:
    """One form of a known value."""

    value: KnownValue
    encoding: str


@dataclass(frozen=True, slots=True)
class NeedleHit:
    """A needle found: first and last character + 1 in the text."""

    start: int
    end: int
    needle: Needle


class Needles:
    """All forms of all values, searched together (Aho-Corasick, in Polars)."""

    def __init__(self, values: Sequence[KnownValue]) -> None:
        self.in_all_forms = len(values) <= VALUES_IN_ALL_FORMS_MAX
        self._by_form: dict[str, Needle] = {}
        for value in values:
            for encoding, form in _forms(value.text, in_all_forms=self.in_all_forms):
                if len(form) >= FORM_BYTES_MIN:
                    self._by_form.setdefault(form.decode("latin-1"), Needle(value, encoding))
        self._patterns = pl.Series("pattern", [list(self._by_form)], dtype=pl.List(pl.String))

    def __len__(self) -> int:
        """Return the number of forms."""
        return len(self._by_form)

    def find(self, texts: Sequence[str]) -> list[list[NeedleHit]]:
        """Return the hits of each text. A form inside a longer one of the same text counts too."""
        if not self._by_form or not texts:
            return [[] for _ in texts]
        series = pl.Series("text", texts, dtype=pl.String)
        hit = (
            series.to_frame()
            .select(pl.col("text").str.contains_any(pl.lit(self._patterns)))
            .to_series()
        )
        return [self._hits(text) if is_hit else [] for text, is_hit in zip(texts, hit, strict=True)]

    def _hits(self, text: str) -> list[NeedleHit]:
        """Locate the forms in one text that has some."""
        forms = (
            pl.DataFrame({"text": [text]})
            .select(pl.col("text").str.extract_many(pl.lit(self._patterns), overlapping=True))
            .item()
        )
        return [
            NeedleHit(position, position + len(form), self._by_form[form])
            for form in dict.fromkeys(forms)
            for position in _positions(text, form)
        ]


def _positions(text: str, form: str) -> Iterator[int]:
    position = text.find(form)
    while position >= 0:
        yield position
        position = text.find(form, position + 1)


def _forms(text: str, *, in_all_forms: bool) -> Iterator[tuple[str, bytes]]:
    """Yield the encodings of a text; equal bytes may come more than once."""
    plain = text.encode()
    yield "UTF-8", plain
    if text.isascii() and text.isdigit() and len(text) >= 13:
        groups = [text[start : start + 4] for start in range(0, len(text), 4)]
        yield "in groups", " ".join(groups).encode()
        yield "in groups", "-".join(groups).encode()
    if not text.isascii():
        yield "GB18030", text.encode("gb18030")
        escaped = json.dumps(text)[1:-1]
        yield "JSON escape", escaped.encode()
        yield "JSON escape", escaped.replace("\\", "\\\\").encode()  # as COPY writes it
        yield "percent", quote(text).encode()
        yield "HTML escape", "".join(f"&#{ord(character)};" for character in text).encode()
    if in_all_forms:
        yield "UTF-16", text.encode("utf-16-le")
        yield "UTF-16", text.encode("utf-16-be")
        yield "hexadecimal", plain.hex().encode()
        for standard in _base64_forms(plain):
            yield "base64", standard
            yield "base64", standard.translate(bytes.maketrans(b"+/", b"-_"))


def _base64_forms(content: bytes) -> Iterator[bytes]:
    """Yield base64 of the bytes at each of the three places they may have in a longer text.

    The first and last characters that share bits with their neighbours fall away.
    """
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + content)
        first = (before * 8 + 5) // 6
        last = (before + len(content)) * 8 // 6
        yield encoded[first:last]
