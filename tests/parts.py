"""The parts of `make test`, how long each may take, and how long it took.

A part's minutes are those its tests kept workers busy, shared out among the workers: two parts run
at once, so no clock on the wall tells them apart. What exceeds its part moves cases to an option.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

__all__ = ["PARTS", "Part", "part_of", "table"]


@dataclass(frozen=True)
class Part:
    """Some folders or files of tests, and the minutes they may take on two cores."""

    name: str
    budget_minutes: int
    paths: tuple[str, ...]


# The first whose path a test's file begins with. Installation and `make close` have 5 minutes more,
# lint is in the check's.
PARTS = (
    Part("oracle worlds", 5, ("tests/integration/test_oracle.py",)),
    Part("attacks", 4, ("tests/attacks/",)),
    Part("check", 5, ("tests/unit/", "tests/dbt/test_dbt.py")),
    Part("the rest", 14, ("tests/",)),
)


def part_of(node_id: str) -> Part:
    """Return the part of a test."""
    return next(part for part in PARTS if node_id.startswith(part.paths))


def table(seconds: Iterable[tuple[str, float]], workers: int) -> Iterator[str]:
    """Yield a line for each part: tests, minutes, budget.

    Args:
        seconds: test and seconds of each phase (setup, call, teardown) of it.
        workers: how many ran at once.
    """
    spent = dict.fromkeys(PARTS, 0.0)
    tests: dict[Part, set[str]] = {part: set() for part in PARTS}
    for node_id, lasted in seconds:
        part = part_of(node_id)
        spent[part] += lasted
        tests[part].add(node_id)
    for part in PARTS:
        if tests[part]:
            minutes = spent[part] / workers / 60
            over = "  OVER ITS BUDGET" if minutes > part.budget_minutes else ""
            yield (
                f"{part.name:<14} {len(tests[part]):>5} tests {minutes:>5.1f} min"
                f" of {part.budget_minutes}{over}"
            )
