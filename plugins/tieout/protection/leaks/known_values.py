"""What must not stand anywhere else: the card numbers and people's data of a home's own files.

The parsers themselves say what is sensitive: each is run once more with a vault that only writes
down what it is asked to protect. So a new format is covered as soon as it protects something.
Values the parsers do not get as far as (a file that is refused) are read from the platform's
declared columns, and card numbers from the files' bytes.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tieout import database
from tieout.channels.common.card_numbers import find_card_numbers, is_card_number
from tieout.channels.platform import csv_files
from tieout.channels.registry import RecognisedFile, parse_file, recognise
from tieout.core.masks import mask_account, mask_name, mask_pan
from tieout.core.settings import Settings
from tieout.files import archive, decryption
from tieout.files.stores import find_files

__all__ = ["CollectingVault", "KnownValue", "collect"]

# Shorter ones stand in other words by chance: eight digits are a date, one character is any name.
NUMBER_LENGTH_MIN = 9
NAME_BYTES_MIN = 6


@dataclass(frozen=True, slots=True)
class KnownValue:
    """One value of the files and what it is. `text` is in the clear: never show it."""

    kind: str
    text: str = field(repr=False)

    @property
    def masked(self) -> str:
        """Return it as people may see it."""
        if self.kind == "card number":
            return mask_pan(self.text)
        if self.kind == "account number":
            return mask_account(self.text)
        return mask_name(self.text)

    @property
    def is_searchable(self) -> bool:
        """Say whether it is long enough not to be met by chance."""
        if self.text.isascii():
            return len(self.text) >= NUMBER_LENGTH_MIN
        return len(self.text.encode()) >= NAME_BYTES_MIN


@dataclass
class CollectingVault:
    """A vault without keys that remembers what it was asked to protect. See `model.Vault`."""

    cards: set[str] = field(default_factory=set)
    others: set[str] = field(default_factory=set)

    def card_tokens(self, card_numbers: Sequence[str]) -> list[str]:
        """Remember the numbers; the tokens are no tokens."""
        self.cards.update(card_numbers)
        return [""] * len(card_numbers)

    def account_tokens(self, values: Sequence[str]) -> list[str]:
        """Remember the values; the tokens are no tokens."""
        self.others.update(values)
        return [""] * len(values)

    def encrypt(self, text: str, place: Sequence[str]) -> str:
        """Remember the text; there is no ciphertext, and so no place."""
        self.others.add(text)
        return ""

    def values(self) -> Iterator[KnownValue]:
        """Yield what was remembered, each with its kind."""
        for number in sorted(self.cards):
            yield KnownValue("card number", number)
        for text in sorted(self.others - self.cards):
            yield KnownValue(_kind(text), text)


def collect(settings: Settings) -> list[KnownValue]:
    """Return the sensitive values of every file in the inbox, and of every file kept since.

    One file is in memory at a time.

    Raises:
        LandingError: the inbox cannot be read, or a kept file is not what it was.
        SecretsError: no key opens a kept file.
    """
    vault = CollectingVault()
    for file in find_files([settings.inbox_url]):
        read = file.read(settings.max_file_bytes)
        opened, unopened = decryption.opened(settings, file.name, read)
        # What is too large to be parsed, or was not opened, has no value that could be elsewhere.
        if opened.content is not None and unopened is None:
            _collect_from(vault, decryption.plain_name(file.name), opened.content)
    for name, sha256 in _kept_files(settings):
        _collect_from(vault, name, archive.read(settings, sha256))
    return [value for value in vault.values() if value.text.strip()]


def _collect_from(vault: CollectingVault, name: str, content: bytes) -> None:
    recognised = recognise(name)
    if recognised is not None:
        parse_file(content, recognised, vault)
        vault.others.update(_declared_values(content, recognised))
    vault.cards.update(found.digits for found in find_card_numbers(content.decode("latin-1")))


def _kept_files(settings: Settings) -> list[tuple[str, str]]:
    """Return name and SHA-256 of the files whose bytes are kept; the inbox may not have them."""
    with database.connect(settings, autocommit=True) as connection:
        rows = connection.execute(
            "select distinct file_name, sha256 from control.channel_files where status <> 'landed'"
        ).fetchall()
    return [(name, sha256) for name, sha256 in rows if archive.is_kept(settings, sha256)]


def _declared_values(content: bytes, file: RecognisedFile) -> Iterator[str]:
    """Yield the values of a platform file's columns that the contract calls sensitive.

    The parser protects them only in a file without a fault; here a faulty one counts as well. Of a
    secret a part may be delivered: what is longer is the secret.
    """
    if file.channel != "platform":
        return
    schema: dict[str, Any] = json.loads(csv_files.SCHEMA_PATH.read_text(encoding="utf-8"))
    columns = schema["file_kinds"][file.file_kind]["columns"]
    names = [column["name"] for column in columns if column.get("sensitive")]
    secrets = [(column["name"], column["pattern"]) for column in columns if column.get("secret")]
    if not names and not secrets:
        return
    for row in csv.DictReader(io.StringIO(content.decode("utf-8", errors="replace"))):
        yield from (value for name in names if (value := row.get(name)))
        yield from (
            value
            for name, pattern in secrets
            if (value := row.get(name)) and not re.search(pattern, value)
        )


def _kind(text: str) -> str:
    if is_card_number(text):
        return "card number"
    return "account number" if text.isascii() and text.isdigit() else "name or user id"
