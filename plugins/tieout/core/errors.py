"""The one family of errors a person is shown."""

from __future__ import annotations

__all__ = ["DatabaseError", "TieoutError"]


class TieoutError(Exception):
    """Something a person has to act on.

    The four parts are fixed when it is raised: what happened, where (file and line, date, table),
    why it is so, and what to do next. None of them may hold a secret, a card or account number.
    Subclasses name a kind (`class LandingError(TieoutError)`), they add no text of their own.
    """

    what: str
    where: str
    why: str
    next_step: str

    __slots__ = ("next_step", "what", "where", "why")

    def __init__(self, *, what: str, where: str = "", why: str = "", next_step: str = "") -> None:
        super().__init__(what, where, why, next_step)
        for name, value in (("what", what), ("where", where), ("why", why)):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "next_step", next_step)

    def __setattr__(self, name: str, value: object) -> None:
        if name in TieoutError.__slots__:
            raise AttributeError(f"{name} of an error is fixed when it is raised")
        super().__setattr__(name, value)

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle by the parts (Airflow and multiprocessing carry errors across processes)."""
        return _rebuild, (type(self), self.what, self.where, self.why, self.next_step)

    def __str__(self) -> str:
        """Return one line a part; a part without text has no line."""
        lines = [self.what]
        lines += [
            f"  {label}: {text}"
            for label, text in (
                ("where", self.where),
                ("why", self.why),
                ("next", self.next_step),
            )
            if text
        ]
        return "\n".join(lines)


class DatabaseError(TieoutError):
    """The database cannot be started, reached or migrated."""


def _rebuild(
    kind: type[TieoutError], what: str, where: str, why: str, next_step: str
) -> TieoutError:
    return kind(what=what, where=where, why=why, next_step=next_step)
