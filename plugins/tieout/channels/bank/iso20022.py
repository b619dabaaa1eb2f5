"""What the bank's XML messages of ISO 20022 have in common.

Format: docs/formats/camt053.md.

Versions differ in namespace and in small forms, so elements are matched by local name. Nothing in a
message is trusted: no entity is expanded, no network or file is opened, size and depth are bounded.
A message of entries is read one by one (`tieout.channels.bank.camt_stream`), a small one at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from tieout.channels.common.amounts import minor_units_of
from tieout.channels.common.excerpts import masked_excerpt
from tieout.channels.common.model import BUSINESS_TIME_ZONE
from tieout.channels.common.safe_xml import Element
from tieout.core.money import CURRENCY_EXPONENTS

__all__ = [
    "XML_BLANKS",
    "Element",
    "Money",
    "child",
    "children",
    "day_of",
    "decimal_minor",
    "find",
    "is_true",
    "local_name",
    "money_of",
    "own_text",
    "signed_money_of",
    "text_of",
    "truth",
    "unread_day",
    "unread_money",
]

# What XML calls white space. Any other blank is a character of the value.
XML_BLANKS = " \t\r\n"

# xs:date may carry an offset, which does not change the day: 2026-09-24+08:00.
_DATE = re.compile(r"(\d{4}-\d{2}-\d{2})(?:Z|[+-]\d{2}:\d{2})?", re.ASCII)
_MOMENT = re.compile(
    r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2})?", re.ASCII
)
# xs:decimal needs no digit on one side of its point: .50 and 50. are amounts.
_DECIMAL = re.compile(r"([+-]?)(?=\.?\d)(\d*)\.?(\d*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in minor units of its currency."""

    amount_minor: int
    currency_code: str


# --- elements by local name -----------------------------------------------------------------------


def local_name(element: Element) -> str:
    """Return an element's name without its namespace."""
    return _local(element.tag)


@lru_cache(maxsize=4096)
def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def children(element: Element, name: str) -> Iterator[Element]:
    """Yield the child elements of that local name."""
    for candidate in element:
        if _local(candidate.tag) == name:
            yield candidate


def child(element: Element, name: str) -> Element | None:
    """Return the first child element of that local name."""
    return next(children(element, name), None)


def find(element: Element, path: str) -> Element | None:
    """Return the first element at a path of local names."""
    name, _, rest = path.partition("/")
    for candidate in children(element, name):
        found = find(candidate, rest) if rest else candidate
        if found is not None:
            return found
    return None


def text_of(element: Element, path: str) -> str | None:
    """Return the stripped text at a path; blank is None."""
    found = find(element, path)
    return (own_text(found) or None) if found is not None else None


def own_text(element: Element) -> str:
    """Return an element's text with what stands behind its children, which no simple value has."""
    parts = [element.text, *(inner.tail for inner in element)]
    stripped = (part.strip(XML_BLANKS) for part in parts if part is not None)
    return " ".join(part for part in stripped if part)


def truth(text: str | None) -> bool | None:
    """Return an xs:boolean; None where it is none."""
    return {"true": True, "1": True, "false": False, "0": False}.get(text or "")


def is_true(element: Element, path: str) -> bool:
    """Say whether there is a true xs:boolean at the path."""
    return truth(text_of(element, path)) is True


def day_of(element: Element, path: str) -> date | None:
    """Return Dt, or the day of DtTm in Beijing when it states an offset; None for no such day.

    The path may itself be a date or a time (`CreDtTm`).
    """
    text = text_of(element, f"{path}/Dt")
    try:
        if text is not None:
            return _day(text)
        text = text_of(element, f"{path}/DtTm") or text_of(element, path)
        if text is None:
            return None
        if _MOMENT.fullmatch(text) is None:
            return _day(text) if find(element, f"{path}/DtTm") is None else None
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is not None:
        try:
            moment = moment.astimezone(ZoneInfo(BUSINESS_TIME_ZONE))
        except OverflowError:
            return None
    return moment.date()


def _day(text: str) -> date | None:
    match = _DATE.fullmatch(text)
    return date.fromisoformat(match[1]) if match is not None else None


def unread_day(element: Element, path: str) -> str | None:
    """Say in which form a day is written that `day_of` does not read; None where none is written.

    A time in `Dt` is no day of that element: whether it is Beijing's is not said.
    """
    for place, wanted in (
        ("/Dt", "a day (2026-09-24)"),
        ("/DtTm", "a time (2026-09-24T18:00:00+08:00)"),
        ("", "a day or a time (2026-09-24T18:00:00+08:00)"),
    ):
        text = text_of(element, f"{path}{place}")
        if text is not None:
            return f"{path}{place} is '{masked_excerpt(text)}'; it has to be {wanted}"
    return None


def money_of(amount: Element) -> Money | None:
    """Return an amount with its Ccy; None where it is not exact, or of no known currency."""
    currency = str(amount.get("Ccy") or "")
    exponent = CURRENCY_EXPONENTS.get(currency)
    if exponent is None:
        return None
    minor = decimal_minor(own_text(amount), exponent=exponent)
    return None if minor is None else Money(minor, currency)


def unread_money(element: Element) -> tuple[str, str]:
    """Return code and reason of an Amt (or of an element's own) that `money_of` does not read."""
    amount = child(element, "Amt")
    amount = element if amount is None else amount
    currency, text = str(amount.get("Ccy") or ""), own_text(amount)
    shown = f"'{masked_excerpt(text)}'"
    if not currency and not text:
        return "not_an_amount", "there is no amount (Amt)"
    if currency not in CURRENCY_EXPONENTS:
        found = f"'{masked_excerpt(currency)}'"
        return "unknown_currency", f"Ccy is {found}; it has to be a currency of ISO 4217"
    digits = CURRENCY_EXPONENTS[currency]
    return (
        "not_an_amount",
        f"{shown} is no exact amount in {currency}; it has to be digits, a point and at most "
        f"{digits} decimals that are not 0",
    )


def decimal_minor(text: str | None, *, exponent: int) -> int | None:
    """Return an xs:decimal in minor units, or None where it is not exact."""
    match = _DECIMAL.fullmatch((text or "").strip(XML_BLANKS))
    if match is None:
        return None
    return minor_units_of(f"{match[1]}{match[2] or 0}.{match[3] or 0}", exponent=exponent)


def signed_money_of(element: Element) -> Money | tuple[str, str]:
    """Return Amt with the sign of CdtDbtInd, or code and reason of what is wrong with it."""
    amount = child(element, "Amt")
    money = money_of(amount) if amount is not None else None
    if money is None:
        return unread_money(element)
    indicator = text_of(element, "CdtDbtInd")
    if indicator not in {"CRDT", "DBIT"} or money.amount_minor < 0:
        found = masked_excerpt(indicator or "")
        return (
            "wrong_sign",
            f"CdtDbtInd is '{found}'; it has to be CRDT or DBIT, beside an amount without a sign",
        )
    return money if indicator == "CRDT" else Money(-money.amount_minor, money.currency_code)
