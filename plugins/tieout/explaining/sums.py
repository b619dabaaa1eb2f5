"""Which few of many amounts add up to a target: exact, bounded and the same each time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Final

__all__ = ["SUBSETS_OF_A_HALF", "Places", "Subsets", "largest_size", "subsets_with_sum"]

Places = tuple[int, ...]

# A half's subsets are kept in memory: 200,000 take a fifth of a second and 40 MB.
SUBSETS_OF_A_HALF: Final = 200_000


def largest_size(count: int, bound: int = SUBSETS_OF_A_HALF) -> int:
    """Return the largest size of subsets of ``count`` amounts that is searched whole (0: none)."""
    half = (count + 1) // 2
    size, subsets = 0, 1
    while size < count:
        subsets += comb(half, size + 1)
        if subsets > bound:
            return size
        size += 1
    return size


@dataclass(frozen=True, slots=True)
class Subsets:
    """The subsets of some amounts by their sum, in two halves that meet in the middle.

    Made once, asked for any number of targets.
    """

    left: tuple[dict[int, list[Places]], ...]
    right: tuple[dict[int, list[Places]], ...]

    @classmethod
    def of(cls, amounts: Sequence[int], last: int, bound: int = SUBSETS_OF_A_HALF) -> Subsets:
        """Keep the subsets of both halves up to the size ``last``.

        Raises:
            ValueError: they are more than ``bound`` (`largest_size`).
        """
        if last > largest_size(len(amounts), bound):
            raise ValueError(f"subsets of {last} of {len(amounts)} amounts are more than {bound}")
        middle = len(amounts) // 2
        return cls(
            _by_size_and_sum(amounts, range(middle), last),
            _by_size_and_sum(amounts, range(middle, len(amounts)), last),
        )

    def with_sum(self, target: int, size: int) -> list[Places]:
        """Return the places of every subset of that size and sum, each once, in order."""
        return sorted(
            (*first, *second)
            for of_left in range(size + 1)
            for total, firsts in self.left[of_left].items()
            if (seconds := self.right[size - of_left].get(target - total))
            for first in firsts
            for second in seconds
        )


def subsets_with_sum(
    amounts: Sequence[int], target: int, *, sizes: range, bound: int = SUBSETS_OF_A_HALF
) -> Iterator[Places]:
    """Yield the places of each subset of ``amounts`` with that sum, smaller subsets first.

    Raises:
        ValueError: a size is larger than what is searched whole (`largest_size`).
    """
    last = min(sizes.stop - 1, len(amounts))
    subsets = Subsets.of(amounts, last, bound)
    for size in range(max(sizes.start, 1), last + 1):
        yield from subsets.with_sum(target, size)


def _by_size_and_sum(
    amounts: Sequence[int], places: range, last: int
) -> tuple[dict[int, list[Places]], ...]:
    found: list[dict[int, list[Places]]] = []
    for size in range(last + 1):
        by_sum: dict[int, list[Places]] = {}
        for chosen in combinations(places, size):
            by_sum.setdefault(sum(amounts[place] for place in chosen), []).append(chosen)
        found.append(by_sum)
    return tuple(found)
