"""Which channel a sender's files belong to: reference data, where it is not the sender itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import psycopg

from tieout import database
from tieout.channels.registry import RecognisedFile

__all__ = ["Senders", "senders"]

EVERY_KIND = "*"
NEEDS_A_ROW = "institution_id"


@dataclass(frozen=True, slots=True)
class _Row:
    sender: str
    file_kind: str
    name_part: str
    channel: str

    def is_of(self, file: RecognisedFile) -> bool:
        return self.sender == file.channel and self.file_kind in {EVERY_KIND, file.file_kind}


@dataclass(frozen=True, slots=True)
class Senders:
    """The rows of `reference.channel_senders`."""

    rows: tuple[_Row, ...] = ()

    def channel_of(self, file: RecognisedFile) -> RecognisedFile:
        """Return the file with its channel; one whose name no row has is of no channel.

        Files that no row is about belong to the channel of their sender's name. One with an
        institution's number in front needs a row: the same file without it has another place.
        """
        rows = [row for row in self.rows if row.is_of(file)]
        if not rows and NEEDS_A_ROW not in file.name_parts:
            return file
        parts = {f"{name}={value}" for name, value in file.name_parts.items()}
        for row in rows:
            if not row.name_part or row.name_part in parts:
                return replace(file, channel=row.channel)
        return replace(file, is_of_a_channel=False)


def senders(connection: psycopg.Connection[Any]) -> Senders:
    """Return the rows of `reference.channel_senders`; none, where no close has loaded it yet."""
    if not database.has_table(connection, "reference.channel_senders"):
        return Senders()
    # A row with a part of the name is asked before the one for all the others.
    rows = connection.execute(
        "select sender, file_kind, coalesce(name_part, ''), channel from reference.channel_senders"
        " order by coalesce(name_part, '') = '', sender, file_kind, name_part"
    ).fetchall()
    return Senders(tuple(_Row(*row) for row in rows))
