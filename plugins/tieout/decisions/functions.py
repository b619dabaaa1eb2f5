"""How people's decisions ask the functions of the database's owner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, LiteralString

from tieout import database
from tieout.core.errors import TieoutError
from tieout.core.settings import Settings

__all__ = ["Desk"]


@dataclass(frozen=True, slots=True)
class Desk:
    """What a kind of decision says where the database refuses one: the error, its place, the help.

    ``where`` is the table of the requests, ``next_step`` what to do about a refusal.
    """

    error: type[TieoutError]
    where: str
    next_step: str

    def ask(
        self, settings: Settings, what: str, function: LiteralString, arguments: tuple[Any, ...]
    ) -> int:
        """Call a function that returns a number; ``what`` is not done where it refuses.

        Raises:
            TieoutError: of the desk's kind, in the database's words.
        """
        with (
            database.explained(self.error, what, where=self.where, next_step=self.next_step),
            database.connect(settings) as connection,
        ):
            row = connection.execute(function, arguments).fetchone()
        assert row is not None
        return int(row[0])
