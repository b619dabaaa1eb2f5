"""What looks like a card number, or like the track of a card, in text that should hold none.

A card number here is 13 to 19 digits, in one run or in groups parted by one blank or one hyphen
each, that pass Luhn (ISO/IEC 7812-1) and begin with a range of `card_ranges.csv` in a length that
range has. One in ten numbers passes Luhn by chance; the ranges and lengths leave about one in
fifty.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from stdnum import luhn

__all__ = [
    "DIGITS_MAX",
    "DIGITS_MIN",
    "GROUPED_NUMBER",
    "TRACK_DATA",
    "CardRange",
    "FoundNumber",
    "card_ranges",
    "find_card_numbers",
    "find_track_data",
    "is_card_number",
]

RANGES_PATH = Path(__file__).with_name("card_ranges.csv")
DIGITS_MIN, DIGITS_MAX = 13, 19

# What a number in groups has at least (for Polars' regex, too).
GROUPED_NUMBER = "[0-9]{4}[ -][0-9]{4}"
# Track 1 (%B number ^ name ^ YYMM…) and track 2 (; number = YYMM…) of a magnetic stripe, with or
# without their first and last sign; D and ' also part number and expiry (ISO 8583 fields 35, 45).
TRACK_DATA = (
    r"%?[Bb][0-9]{12,19}\^[^\^\r\n\t]{0,40}\^[0-9]{4}[^?,\r\n\t]{0,60}\??"
    r"|;?(?<![0-9])[0-9]{13,19}[=D][0-9][0-9=]{0,33}\??"
)
_TRACK = re.compile(TRACK_DATA)
_TRACK_2 = re.compile("^;?([0-9]+)[=D]([0-9]+)")
# The sign behind a number is rare, and quickly found; the track around it is looked at then.
_TRACK_SEPARATOR = re.compile(r"(?<=[0-9]{12})[=D^]")
TRACK_HEAD_MAX, TRACK_TAIL_MAX = 21, 120
EXPIRY_DIGITS = 4

_RUN = re.compile(r"(?<![0-9])[0-9]{13,19}(?![0-9])")
# Groups of four or more digits, the last of any length, parted by the same sign each time.
_GROUPS = re.compile(
    r"(?<![0-9])[0-9]{4,}(?:(?: [0-9]{4,})+(?: [0-9]{1,3})?|(?:-[0-9]{4,})+(?:-[0-9]{1,3})?)"
    r"(?![0-9])"
)


@dataclass(frozen=True, slots=True)
class CardRange:
    """First digits a network's cards begin with, and how many digits they have."""

    network: str
    prefix_from: str
    prefix_to: str
    lengths: frozenset[int]

    def holds(self, digits: str) -> bool:
        """Say whether a number begins in this range and has one of its lengths."""
        prefix = digits[: len(self.prefix_from)]
        return len(digits) in self.lengths and self.prefix_from <= prefix <= self.prefix_to

    def prefixes(self) -> list[str]:
        """Return the first digits of the range, one text each; at most two digits."""
        width = min(len(self.prefix_from), 2)
        first, last = self.prefix_from[:width], self.prefix_to[:width]
        return [str(number) for number in range(int(first), int(last) + 1)]


@dataclass(frozen=True, slots=True)
class FoundNumber:
    """A card number in a text: where it begins and ends (characters), and its digits."""

    start: int
    end: int
    digits: str


@cache
def card_ranges() -> tuple[CardRange, ...]:
    """Return the known ranges, as `card_ranges.csv` lists them."""
    with RANGES_PATH.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return tuple(
        CardRange(row["network"], row["prefix_from"], row["prefix_to"], _lengths(row["lengths"]))
        for row in rows
    )


def is_card_number(digits: str) -> bool:
    """Say whether digits pass Luhn and are of a known range and length."""
    # Most numbers begin as no card does: one look-up says so.
    in_range = any(known.holds(digits) for known in _ranges_by_prefix().get(digits[:2], ()))
    return in_range and bool(luhn.is_valid(digits))


@cache
def _ranges_by_prefix() -> dict[str, list[CardRange]]:
    """Return the ranges by the first two digits of their cards."""
    found: dict[str, list[CardRange]] = {}
    for known in card_ranges():
        for prefix in known.prefixes():
            for number in (prefix,) if len(prefix) == 2 else (f"{prefix}{n}" for n in range(10)):
                found.setdefault(number, []).append(known)
    return found


def find_card_numbers(text: str) -> Iterator[FoundNumber]:
    """Yield the card numbers of a text, in runs of digits and in groups."""
    for match in _RUN.finditer(text):
        if is_card_number(match[0]):
            yield FoundNumber(match.start(), match.end(), match[0])
    for match in _GROUPS.finditer(text):
        yield from _in_groups(match)


def find_track_data(text: str) -> Iterator[tuple[int, int]]:
    """Yield first and last character + 1 of each track of a card.

    Track 1 tells itself by its signs. Of track 2 the number has to pass Luhn, and where the field's
    end cut its expiry off, has to be of a known range too.
    """
    done = 0
    for separator in _TRACK_SEPARATOR.finditer(text):
        at = separator.start()
        match = _TRACK.search(text, max(at - TRACK_HEAD_MAX, done), at + TRACK_TAIL_MAX)
        if match is not None and match.start() < at < match.end() and _is_track(match[0]):
            yield match.start(), match.end()
            done = match.end()


def _is_track(text: str) -> bool:
    found = _TRACK_2.match(text)
    if found is None:
        return True
    has_expiry = len(found[2]) >= EXPIRY_DIGITS
    return bool(luhn.is_valid(found[1])) if has_expiry else is_card_number(found[1])


def _in_groups(match: re.Match[str]) -> Iterator[FoundNumber]:
    """Yield the card numbers that neighbouring groups make; the longest from each group on."""
    groups = list(re.finditer("[0-9]+", match[0]))
    first = 0
    while first < len(groups):
        step = 1
        for last in range(len(groups) - 1, first, -1):
            digits = "".join(group[0] for group in groups[first : last + 1])
            if DIGITS_MIN <= len(digits) <= DIGITS_MAX and is_card_number(digits):
                start = match.start() + groups[first].start()
                yield FoundNumber(start, match.start() + groups[last].end(), digits)
                step = last - first + 1
                break
        first += step


def _lengths(text: str) -> frozenset[int]:
    """Return `16-19` or `13 16 19` as the lengths it means."""
    if "-" in text:
        first, last = text.split("-")
        return frozenset(range(int(first), int(last) + 1))
    return frozenset(int(part) for part in text.split())
