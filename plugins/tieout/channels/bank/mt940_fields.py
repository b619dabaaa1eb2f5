"""The fields of MT940: where one begins, and what each may hold.

A line is a field only in its place and form: a wrapped `:86:` may begin a line with `:21:08`, a
time of day, which is text. Each value is matched to its end: what a pattern does not know is a
finding, never a shorter value.
"""

from __future__ import annotations

import itertools
import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import IO

from tieout.channels.common.amounts import minor_units_of
from tieout.channels.common.excerpts import masked_excerpt
from tieout.channels.common.model import UnreadableFileError
from tieout.channels.common.universal_lines import encoding_of, universal_lines
from tieout.core.money import CURRENCY_EXPONENTS

__all__ = [
    "BLANKS",
    "CLOSING",
    "INTERIM",
    "OPENING",
    "Balance",
    "Field",
    "Refusal",
    "StatementLine",
    "StatementNumber",
    "by_message",
    "fields_of",
    "read_balance",
    "read_line",
    "read_number",
    "read_text",
    "text_encoding",
]

# What is no part of a value at its ends; any other blank is.
BLANKS = " \t\r\n"
OPENING, CLOSING = ("60F", "60M"), ("62F", "62M")
# Fields that only an MT942 has: floor limit, and time of the report.
INTERIM = ("34F", "13", "13D")
# SWIFT's references have 16 characters; banks write SEPA's of 35 into their places.
REFERENCE_CHARACTERS_MAX = 35

_FIELD = re.compile(r":(20|21|25P?|28C?|60[FM]|61|62[FM]|64|65|86|13D?|34F|90[DC]|NS):(.*)")
# {1:…}{2:…}{3:{108:…}}{4: opens a message, -} or a lone - ends it.
_BLOCKS = re.compile(r"(?:\{[1235]:(?:[^{}]|\{[^{}]*\})*\})*(?:\{4:)?")
_END = re.compile(r"-\}?(?:\{.*)?")
# What follows :20: at the head of a message: its header, and soon the balance it opens with.
_HEADER = re.compile(r":(?:21|25P?|28C?|13D?):")
_OPENS = re.compile(r":60[FM]:[DC]\d{6}[A-Z]{3}|:34F:[A-Z]{3}")
_HEADER_WITHIN_LINES = 6
_TIME_OF_DAY = re.compile(r"\d{2}(?!\d)", re.ASCII)
# Where the entries stand, and after the closing balance.
_IN_THE_BODY = {"61", "86", *OPENING, *CLOSING, "90D", "90C", "NS"}
_AT_THE_FOOT = {*_IN_THE_BODY, "64", "65"}

_BALANCE = re.compile(r"([DC])(\d{2})(\d{2})(\d{2})([A-Z]{3})([\d,.]+)", re.ASCII)
_NUMBER = re.compile(r"(\d{1,18})(?:/(\d{1,5}))?", re.ASCII)
_LINE = re.compile(
    r"(?P<year>\d{2})(?P<month>\d{2})(?P<day>\d{2})"
    # Some banks leave the place of the entry date blank, or break the line before the amount.
    r"(?:(?P<entry_month>\d{2})(?P<entry_day>\d{2})|[ ]{4})?"
    r"(?P<mark>R?[DC])(?P<funds_code>[A-Z])?[\n ]?(?P<amount>[\d,.]+)"
    r"(?P<type>[A-Z][A-Z0-9 ]{3})(?P<own>(?:(?!//)[^\n])*)"
    r"(?://(?P<banks>[^\n]*))?(?:\n(?P<more>[^\n]*))?",
    re.ASCII,
)
_WITH_COMMA = re.compile(r"(\d+)(?:,(\d*))?", re.ASCII)
_WITH_POINT = re.compile(r"(\d+)\.(\d+)", re.ASCII)
# Some banks fill the 16 places of their reference and write the other side's name behind it.
_PADDING = "  "
# With three decimals a point could be one between thousands.
_AMBIGUOUS_DECIMALS = 3
# A booking date is written without a year; this far from the value date it is of another one.
_YEAR_BOUNDARY_DAYS = 330


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its tag, its first line, and its text with line ends. `-` ends a message."""

    tag: str
    line_number: int
    text: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a field is not read: what was found, and the form that is wanted."""

    reason_code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Balance:
    """A balance; `is_final` is False for the intermediate one between two pages."""

    is_final: bool
    amount_minor: int
    currency_code: str
    day: date


@dataclass(frozen=True, slots=True)
class StatementNumber:
    """What :28C: says; a bank that does not number its pages has one page."""

    statement_number: int
    page_number: int


@dataclass(frozen=True, slots=True)
class StatementLine:
    """What a :61: says; the amount is signed, + = credit. NONREF is no reference."""

    value_date: date
    booking_date: date
    amount_minor: int
    is_reversal: bool
    type_code: str
    own_reference: str | None
    bank_reference: str | None
    more: str | None


# --- where a field begins -------------------------------------------------------------------------


def text_encoding(stream: IO[bytes]) -> str:
    """Return the encoding that the whole file has.

    Raises:
        UnreadableFileError: it is neither UTF-8 nor GB 18030.
    """
    encoding = encoding_of(stream, ("utf-8", "gb18030"))
    if encoding is None:
        raise UnreadableFileError("bad_encoding", "it is neither UTF-8 nor GB 18030 text")
    return encoding


class _Lines:
    """The lines of a file without their ends, one after the other, with a look at the next ones."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = (line.rstrip("\r\n") for line in lines)
        self._ahead: deque[str] = deque()

    def __iter__(self) -> Iterator[str]:
        while True:
            line = self._ahead.popleft() if self._ahead else next(self._lines, None)
            if line is None:
                return
            yield line

    def next_written(self, count: int) -> list[str]:
        """Return the next lines that are not blank, and one that is where there are none."""
        written = (line.strip(BLANKS) for line in self._following() if line.strip(BLANKS))
        return list(itertools.islice(written, count)) or [""]

    def _following(self) -> Iterator[str]:
        yield from self._ahead
        for line in self._lines:
            self._ahead.append(line)
            yield line


def fields_of(stream: IO[bytes], encoding: str) -> Iterator[Field]:
    """Cut a file into its fields; a line that begins none continues the one before."""
    lines = _Lines(universal_lines(stream, encoding))
    place, tag, first_line, parts = "head", "", 0, [""]
    for line_number, raw_line in enumerate(lines, start=1):
        line = raw_line if place == "body" else raw_line[_end_of_blocks(raw_line) :]
        begun, value = _field_in(line, place, lines)
        if begun is None:
            if tag not in {"", "-"}:
                parts.append(line)
            continue
        if tag:
            yield Field(tag, first_line, "\n".join(parts))
        tag, first_line, parts = begun, line_number, [value]
        place = _place_after(tag, place)
    if tag:
        yield Field(tag, first_line, "\n".join(parts))


def by_message(fields: Iterable[Field]) -> Iterator[tuple[int, Field]]:
    """Yield each field with the ordinal (0-based) of its message: a page of a statement."""
    ordinal, is_begun = 0, False
    for found in fields:
        if is_begun and found.tag in {"20", "-"}:
            ordinal, is_begun = ordinal + 1, False
        if found.tag != "-":
            is_begun = True
            yield ordinal, found


def _end_of_blocks(line: str) -> int:
    match = _BLOCKS.match(line)
    return match.end() if match is not None else 0


def _field_in(line: str, place: str, following: _Lines) -> tuple[str | None, str]:
    """Return the tag that a line begins at its place, and its value; None where it is text."""
    if _END.fullmatch(line) and (place != "body" or _ends_a_message(following)):
        return "-", ""
    match = _FIELD.fullmatch(line)
    if match is None:
        return None, ""
    tag, value = match[1], match[2]
    if place == "head":
        return tag, value
    if tag == "20":
        return (tag, value) if _begins_a_message(following) else (None, "")
    if tag not in (_IN_THE_BODY if place == "body" else _AT_THE_FOOT):
        return None, ""
    # A damaged entry stays an entry, so that it is refused and not read as text.
    is_text = tag == "61" and _TIME_OF_DAY.match(value) is not None
    return (None, "") if is_text else (tag, value)


def _begins_a_message(following: _Lines) -> bool:
    """Say whether a header stands behind a :20:; a text may begin a line with it as well."""
    lines = following.next_written(_HEADER_WITHIN_LINES)
    return _HEADER.match(lines[0]) is not None and any(_OPENS.match(line) for line in lines)


def _ends_a_message(following: _Lines) -> bool:
    """Say whether a lone - among the entries ends a message that was cut, or is a text's."""
    (line,) = following.next_written(1)
    return not line or line.startswith(("{1:", ":20:"))


def _place_after(tag: str, place: str) -> str:
    if tag in {"-", "20"}:
        return "head"
    if tag in CLOSING:
        return "foot"
    if place == "head" and tag in {*OPENING, "61", "86"}:
        return "body"
    return place


# --- what a field holds ---------------------------------------------------------------------------


def read_text(found: Field) -> str | Refusal:
    """Return a field of one line, such as :20: and :25:; :25P: has the bank's code in a second."""
    lines = [line.strip(BLANKS) for line in found.text.split("\n") if line.strip(BLANKS)]
    if not lines:
        return Refusal("missing_element", f":{found.tag}: is empty")
    if len(lines) > (2 if found.tag == "25P" else 1):
        return Refusal("not_a_field", f":{found.tag}: goes on over {len(lines)} lines, it has one")
    if len(lines[0]) > REFERENCE_CHARACTERS_MAX:
        return Refusal("too_long", _too_long(f":{found.tag}:", lines[0]))
    return lines[0]


def read_number(found: Field) -> StatementNumber | Refusal:
    """Return statement and page of `5/1`, `00005/001`, `26123` or `5`."""
    text = found.text.strip(BLANKS)
    match = _NUMBER.fullmatch(text)
    if match is None:
        return Refusal(
            "not_a_number",
            f"{_shown(text)} is no statement number; it has to be digits, or digits/digits (5/1)",
        )
    return StatementNumber(int(match[1]), int(match[2] or 1))


def read_balance(found: Field) -> Balance | Refusal:
    """Return a balance: mark, date, currency, amount, and nothing after it."""
    text = found.text.strip(BLANKS)
    match = _BALANCE.fullmatch(text)
    if match is None:
        return Refusal(
            "not_a_balance",
            f"{_shown(text)} is no balance; it has to be C or D, YYMMDD, a currency and an amount "
            "to the end of the field (C260924CNY1234,56)",
        )
    mark, year, month, day, currency, written = match.groups()
    amount = _amount(written, currency)
    if isinstance(amount, Refusal):
        return amount
    balance_date = _date(year, month, day)
    if balance_date is None:
        return Refusal("not_a_date", f"{year}{month}{day} is no day of a calendar (YYMMDD)")
    return Balance(
        found.tag.endswith("F"), -amount if mark == "D" else amount, currency, balance_date
    )


def read_line(found: Field, currency: str) -> StatementLine | Refusal:
    """Return an entry in the currency of its statement; every part is read to its end."""
    text = found.text.rstrip(BLANKS)
    match = _LINE.fullmatch(text)
    if match is None:
        return Refusal(
            "not_a_statement_line",
            f"{_shown(text)} is no entry; it has to be YYMMDD, maybe MMDD, D, C, RD or RC, amount, "
            "type and reference, and one more line of text at most",
        )
    value_date = _date(match["year"], match["month"], match["day"])
    booking_date = _booking_date(value_date, match["entry_month"], match["entry_day"])
    if value_date is None or booking_date is None:
        return Refusal("not_a_date", f"{_shown(text[:10])} has a day that no calendar has")
    if match["funds_code"] not in {None, currency[2]}:
        return Refusal(
            "wrong_currency",
            f"the letter {match['funds_code']} behind the mark is not the third of the account's "
            f"currency, {currency}",
        )
    amount = _amount(match["amount"], currency)
    if isinstance(amount, Refusal):
        return amount
    own_text, _, behind = match["own"].strip(BLANKS).partition(_PADDING)
    references = {
        "own reference": own_text,
        "bank's reference (after //)": (match["banks"] or "").strip(BLANKS),
    }
    for name, reference in references.items():
        if len(reference) > REFERENCE_CHARACTERS_MAX:
            return Refusal("too_long", _too_long(f"the {name}", reference))
    own, banks = (
        reference if reference not in {"", "NONREF"} else None for reference in references.values()
    )
    mark = match["mark"]
    return StatementLine(
        value_date=value_date,
        booking_date=booking_date,
        amount_minor=-amount if mark in {"D", "RC"} else amount,
        is_reversal=mark in {"RC", "RD"},
        type_code=match["type"].strip(BLANKS),
        own_reference=own,
        bank_reference=banks,
        more=" ".join(f"{behind} {match['more'] or ''}".split()) or None,
    )


def _amount(text: str, currency: str) -> int | Refusal:
    """Return an unsigned amount in minor units.

    MT940 writes a comma, also where no digit follows it. A point is read where it can be nothing
    but a decimal point: before as many digits as the currency has decimals, unless they are three.
    """
    exponent = CURRENCY_EXPONENTS.get(currency)
    if exponent is None:
        return Refusal("unknown_currency", f"{currency} is no currency of ISO 4217")
    match = _WITH_COMMA.fullmatch(text)
    if match is None and exponent != _AMBIGUOUS_DECIMALS:
        match = _WITH_POINT.fullmatch(text)
        match = match if match is not None and len(match[2]) == exponent else None
    # More decimals than the currency has may be thousands: 12,000 is no twelve.
    if match is not None and len(match[2] or "") <= exponent:
        whole = match[1].lstrip("0") or "0"
        amount = minor_units_of(f"{whole}.{match[2] or 0}", exponent=exponent)
        if amount is not None:
            return amount
    decimals = f"a comma and at most {exponent} digits after it" if exponent else "maybe a comma"
    return Refusal(
        "not_an_amount",
        f"{_shown(text)} is no exact amount in {currency}; it has to be at most 15 digits, "
        f"{decimals}, and nothing between thousands",
    )


def _too_long(name: str, text: str) -> str:
    return (
        f"{name} has {len(text)} characters, {REFERENCE_CHARACTERS_MAX} at most are read: "
        f"{_shown(text)}"
    )


def _shown(text: str) -> str:
    """Return a value as a finding quotes it: masked, on one line."""
    return f"'{masked_excerpt(text)}'"


def _date(year: str, month: str, day: str) -> date | None:
    try:
        return date(2000 + int(year), int(month), int(day))
    except ValueError:
        return None


def _booking_date(value_date: date | None, month: str | None, day: str | None) -> date | None:
    """Return the entry's date in the year nearest to its value date; without one, that date."""
    if value_date is None or month is None or day is None:
        return value_date
    for year in (value_date.year, value_date.year + 1, value_date.year - 1):
        booked = _date(str(year - 2000), month, day) if 2000 <= year < 2100 else None
        if booked is not None and abs((booked - value_date).days) < _YEAR_BOUNDARY_DAYS:
            return booked
    return None
