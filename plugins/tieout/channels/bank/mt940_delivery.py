"""An MT940 file of several days or accounts, as banks deliver it, cut into its statements.

Each statement becomes a file as if it had come alone, `mt940_<account>_<yyyymmdd>_<number>.sta`:
its own place, its own findings. What lands of a statement is written from its fields, so that the
same statement in a longer delivery has the same bytes and is known.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import IO

from tieout.channels.bank.mt940 import account_of
from tieout.channels.bank.mt940_fields import (
    CLOSING,
    OPENING,
    Field,
    Refusal,
    by_message,
    fields_of,
    read_balance,
    read_number,
    read_text,
    text_encoding,
)
from tieout.channels.common.excerpts import masked_excerpt
from tieout.channels.common.model import BadRow, Findings, UnreadableFileError, file_problem

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
    """The statements of a delivery, or why it cannot be cut: then nothing of it lands.

    The statements are cut from the stream when they are asked for, once, one after the other.
    """

    statements: Iterator[StatementFile]
    bad_rows: tuple[BadRow, ...]


def statements_of(stream: IO[bytes]) -> Delivery:
    """Cut a delivery into its statements; a statement that cannot be named holds the whole.

    The stream can be sought in: it is read to its end before the first statement is given.
    """
    try:
        encoding = text_encoding(stream)
    except UnreadableFileError as error:
        return Delivery(iter(()), error.as_parsed_file().bad_rows)
    findings = Findings()
    is_empty = True
    for pages in _statements(fields_of(stream, encoding)):
        is_empty = False
        named = _named(pages)
        if isinstance(named, BadRow):
            findings.add(named)
    if is_empty:
        findings.add(file_problem("no_mt940", "there is no field of an MT940 message in it"))
    if findings:
        return Delivery(iter(()), findings.bad_rows)
    return Delivery(_files(stream, encoding), ())


def _files(stream: IO[bytes], encoding: str) -> Iterator[StatementFile]:
    for pages in _statements(fields_of(stream, encoding)):
        file_name = _named(pages)
        # The delivery was read before, and every statement of it had a name.
        assert isinstance(file_name, str)
        yield StatementFile(file_name, "".join(_written(page) for page in pages).encode())


def _statements(fields: Iterator[Field]) -> Iterator[list[list[Field]]]:
    """Yield the pages of each statement: it ends with a final closing balance."""
    pages: list[list[Field]] = []
    for _, of_message in itertools.groupby(by_message(fields), key=itemgetter(0)):
        message = [found for _, found in of_message]
        pages.append(message)
        if _first(message, ("62M",)) is None:
            yield pages
            pages = []
    if pages:
        yield pages


def _named(pages: Sequence[Sequence[Field]]) -> str | BadRow:
    """Return the name a statement would have had by itself, or what it lacks for one."""
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
    return f"mt940_{name}_{closing.day:%Y%m%d}_{number.statement_number}.sta"


def _first(message: Sequence[Field], tags: Sequence[str]) -> Field | None:
    return next((found for found in message if found.tag in tags), None)


def _written(message: Sequence[Field]) -> str:
    """Return a message as text again, without what a bank wrote around it."""
    return "".join(f":{found.tag}:{found.text.rstrip()}\n" for found in message) + "-\n"
