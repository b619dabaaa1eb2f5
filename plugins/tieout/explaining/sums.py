"""Which few of many amounts add up to a target: exact, bounded and the same each time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from math import comb
from typing import Final

__all__ = ["SUBSETS_OF_A_HALF", "largest_size", "subsets_with_sum"]

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


def subsets_with_sum(
    amounts: Sequence[int], target: int, *, sizes: range, bound: int = SUBSETS_OF_A_HALF
) -> Iterator[tuple[int, ...]]:
    """Yield the places of each subset of ``amounts`` with that sum, smaller subsets first.

    Meet in the middle: the subsets of one half are kept by their sum, those of the other look for
    what is missing. Every subset of a size in ``sizes`` is found, once, each in ascending places.

    Raises:
        ValueError: a size is larger than what is searched whole (`largest_size`).
    """
    last = min(sizes.stop - 1, len(amounts))
    if last > largest_size(len(amounts), bound):
        raise ValueError(f"subsets of {last} of {len(amounts)} amounts are more than {bound}")
    middle = len(amounts) // 2
    left = _by_size_and_sum(amounts, range(middle), last)
    right = _by_size_and_sum(amounts, range(middle, len(amounts)), last)
    for size in range(max(sizes.start, 1), last + 1):
        found = [
            (*first, *second)
            for of_left in range(size + 1)
            for total, firsts in left[of_left].items()
            for first in firsts
            for second in right[size - of_left].get(target - total, ())
        ]
        yield from sorted(found)


def _by_size_and_sum(
    amounts: Sequence[int], places: range, last: int
) -> list[dict[int, list[tuple[int, ...]]]]:
    found: list[dict[int, list[tuple[int, ...]]]] = []
    for size in range(last + 1):
        by_sum: dict[int, list[tuple[int, ...]]] = {}
        for chosen in combinations(places, size):
            by_sum.setdefault(sum(amounts[place] for place in chosen), []).append(chosen)
        found.append(by_sum)
    return found
