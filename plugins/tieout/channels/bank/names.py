"""What a bank file's name says of its statement, and what is inside: they have to agree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from tieout.channels.common.model import FileContext
from tieout.core.masks import mask_account

__all__ = ["sequence_of", "wrong_names"]

# The column holds 31 bits. Of a longer number its last nine digits order the statements; the whole
# of it is part of the statement's id (MT940) or compared with the name.
_SEQUENCE_MAX = 2**31 - 1
_ORDERING_DIGITS = 10**9
_STATEMENTS_OF_A_DELIVERY = 1_000


def sequence_of(number: int | None, name_parts: Mapping[str, str], ordinal: int = 1) -> int:
    """Return the number that orders a date's statements of one account.

    It is the bank's own. A statement without one is ordered by its file's name, and by its place in
    a file of several: `ordinal` counts those of its account.
    """
    if number is None and "sequence" in name_parts:
        number = int(name_parts["sequence"])
    if number is None:
        number = int(name_parts.get("delivery", 0)) * _STATEMENTS_OF_A_DELIVERY + ordinal
    return number if number <= _SEQUENCE_MAX else number % _ORDERING_DIGITS


def wrong_names(
    statement: Mapping[str, Any], context: FileContext
) -> Iterator[tuple[str, str, str]]:
    """Yield what inside is not what the name says: field, reason code, reason.

    `sequence_number` of the statement is the bank's own, None where it wrote none: then nothing is
    compared.
    """
    parts = context.name_parts
    named, inside = parts.get("bank_account_id"), statement["bank_account_id"]
    if named is not None and inside != named:
        yield (
            "bank_account_id",
            "wrong_name",
            f"inside is the account {mask_account(inside)}, in the name {mask_account(named)}",
        )
    day, named_day = statement["statement_date"], context.accounting_date
    if named_day is not None and day != named_day:
        yield "statement_date", "wrong_date", f"inside is {day}, in the name {named_day}"
    number = statement["sequence_number"]
    if "sequence" not in parts or number is None:
        return
    named_number = int(parts["sequence"])
    if number != named_number and not _has_the_year(number, named_number, day):
        yield (
            "sequence_number",
            "wrong_name",
            f"inside is statement number {number}, in the name {named_number}",
        )


def _has_the_year(number: int, named_number: int, day: date | None) -> bool:
    """Say whether the number is the named one behind the year, such as 26123 or 2026123."""
    if day is None:
        return False
    text = str(number)
    years = (f"{day:%Y}", f"{day:%y}")
    return any(
        text.startswith(year)
        and text[len(year) :].isdigit()
        and int(text[len(year) :]) == named_number
        for year in years
    )
