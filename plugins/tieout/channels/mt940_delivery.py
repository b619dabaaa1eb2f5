"""An MT940 file of several days or accounts, as banks deliver it, cut into its statements.

Each statement becomes a file as if it had come alone, `mt940_<account>_<yyyymmdd>_<number>.sta`:
its own place, its own findings. What lands of a statement is written from its fields, so that the
same statement in a longer delivery has the same bytes and is known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tieout.channels.excerpts import masked_excerpt
from tieout.channels.model import BadRow, UnreadableFileError
from tieout.channels.mt940 import account_of
from tieout.channels.mt940_fields import (
    CLOSING,
    OPENING,
    Field,
    Refusal,
    fields_of,
    messages_of,
    read_balance,
    read_number,
    read_text,
    text_of,
)

__all__ = ["Delivery", "StatementFile", "statements_of"]

_ACCOUNT_OF_A_NAME = re.compile(r"[0-9A-Za-z]{5,34}")
# What names a statement: the header of its first page, the closing balance of its last.
_NAMING = (("25", "25P"), ("28C", "28"), OPENING)


@dataclass(frozen=True, slots=True)
class StatementFile:
    """One statement of a delivery, as a file of its own."""

    file_name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Delivery:
    """The statements of a delivery, or why it cannot be cut: then nothing of it lands."""

    statements: tuple[StatementFile, ...]
    bad_rows: tuple[BadRow, ...]


def statements_of(content: bytes) -> Delivery:
    """Cut a delivery into its statements; a statement that cannot be named holds the whole."""
    try:
        fields = fields_of(text_of(content))
    except UnreadableFileError as error:
        return Delivery((), error.as_parsed_file().bad_rows)
    bad_rows: list[BadRow] = []
    found: list[StatementFile] = []
    for pages in _statements(messages_of(fields)):
        named = _named(pages)
        if isinstance(named, BadRow):
            bad_rows.append(named)
        else:
            found.append(named)
    if not found and not bad_rows:
        bad_rows.append(BadRow(0, "", "no_mt940", "there is no field of an MT940 message in it"))
    return Delivery((), tuple(bad_rows)) if bad_rows else Delivery(tuple(found), ())


def _statements(messages: Iterator[list[Field]]) -> Iterator[list[list[Field]]]:
    """Yield the pages of each statement: it ends with a final closing balance."""
    pages: list[list[Field]] = []
    for message in messages:
        pages.append(message)
        if _first(message, ("62M",)) is None:
            yield pages
            pages = []
    if pages:
        yield pages


def _named(pages: Sequence[Sequence[Field]]) -> StatementFile | BadRow:
    """Return a statement under the name it would have had by itself, or what it lacks for one."""
    first, last = pages[0], pages[-1]
    line_number = first[0].line_number
    account_field, number_field, opening_field = (_first(first, tags) for tags in _NAMING)
    closing_field = _first(last, CLOSING)
    if (
        account_field is None
        or number_field is None
        or opening_field is None
        or closing_field is None
    ):
        reason = (
            "the statement cannot be told by account, day and number: its page lacks :25:, :28C:, "
            ":60F: or :62F:; ask the bank for the delivery again"
        )
        return BadRow(line_number, "", "missing_element", reason)
    account, number = read_text(account_field), read_number(number_field)
    opening, closing = read_balance(opening_field), read_balance(closing_field)
    for found, read in (
        (account_field, account),
        (number_field, number),
        (opening_field, opening),
        (closing_field, closing),
    ):
        if isinstance(read, Refusal):
            return BadRow(found.line_number, found.tag, read.reason_code, read.reason)
    # The loop above has returned where one of them is a refusal.
    assert isinstance(account, str) and not isinstance(number, Refusal)  # noqa: PT018
    assert not isinstance(opening, Refusal) and not isinstance(closing, Refusal)  # noqa: PT018
    name = account_of(account, opening.currency_code)
    if _ACCOUNT_OF_A_NAME.fullmatch(name) is None:
        reason = (
            f"the account '{masked_excerpt(name)}' cannot be part of a file's name; ask the bank "
            "to write 5 to 34 digits and letters, without points or blanks"
        )
        return BadRow(account_field.line_number, "25", "not_a_field", reason)
    return StatementFile(
        f"mt940_{name}_{closing.day:%Y%m%d}_{number.statement_number}.sta",
        "".join(_written(page) for page in pages).encode(),
    )


def _first(message: Sequence[Field], tags: Sequence[str]) -> Field | None:
    return next((found for found in message if found.tag in tags), None)


def _written(message: Sequence[Field]) -> str:
    """Return a message as text again, without what a bank wrote around it."""
    return "".join(f":{found.tag}:{found.text.rstrip()}\n" for found in message) + "-\n"
