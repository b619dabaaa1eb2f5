"""Which of the things that may be wrong explain a residual exactly, and how sure each is.

Amounts are compared as integers, and only what adds up to the last minor unit is a candidate. A
candidate's weight is that of its cause, shared among all rows that could be it: one fitting row of
three means more than one of 100,000. Beside them stands what no row shows, whose amount could be
any. Where that outweighs all, no cause is named.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from tieout.explaining.causes import CAUSES
from tieout.explaining.facts import Facts, Group, OpenItem, Row
from tieout.explaining.hypotheses import Hypothesis, effects_of, hypotheses
from tieout.explaining.sums import Subsets, largest_size

__all__ = ["Candidate", "Explanation", "Part", "explain"]

# How often two things are wrong at once, beside one; how often more open items than two.
_TWO: Final = 0.1
_EACH_FURTHER: Final = 0.3
# What no row shows: its share, and the width of its amounts (natural logarithms of minor units).
_UNSEEN: Final = 0.3
_WIDTH: Final = 16.0
_ROUND: Final = 100
# Amounts of whole yuan are more frequent than chance has it.
_ROUND_FACTOR: Final = 20.0
_SURE: Final = 0.95
_LIKELY: Final = 0.5
_NAMED: Final = 0.05
_SHOWN: Final = 6
_ALIKE: Final = 20
_NEGLIGIBLE: Final = 1e-3
_SEVERAL: Final = 3
_RATES_TOGETHER: Final = 2
# Subsets of a half that are tried beside each other thing that may be wrong.
_BESIDE: Final = 20_000
_TRIED_BESIDE: Final = 200
# Their effect is the whole residual, whatever it is.
_ALONE: Final = frozenset({"groups_swapped", "other_dates_total"})
_ITEM_CAUSES: Final = frozenset(
    {"record_missing", "record_not_paid", "old_item_moved", "records_missing"}
)
# Without any line, one of these is so, whatever else is wrong.
_NO_LINE: Final = frozenset(
    {"arrival_missing", "bank_line_unclassified", "bank_line_of_another_group"}
)
# A line of the channel that names another date, and that has nothing to do with it.
_STRAY_BY_ITSELF: Final = 0.03


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that is wrong, its effect on the residual, and its rows.

    ``alike``: other places that fit as well, the first of them.
    """

    cause_id: str
    effect_minor: int
    rows: tuple[Row, ...]
    alike: tuple[tuple[Row, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """One or more things that explain a residual to the last minor unit.

    Where no line of a group is there, one that may be it stands alone, and leaves a rest.
    ``confidence``: sure, likely or possible.
    """

    parts: tuple[Part, ...]
    confidence: str
    share: float

    @property
    def causes(self) -> tuple[str, ...]:
        """The ids of its causes."""
        return tuple(part.cause_id for part in self.parts)


@dataclass(frozen=True, slots=True)
class Explanation:
    """The identity of a group's residual, and the ranked candidates, best first; none fits: empty.

    residual = the sum of the best candidate's parts that are named open things + rest; the rest is
    what its other parts explain, or all of it where no candidate is named.
    """

    group: Group
    candidates: tuple[Candidate, ...]
    named: tuple[Part, ...]
    rest_minor: int
    open_beside: int
    tried: int

    @property
    def is_closed(self) -> bool:
        """Whether there is nothing to explain."""
        return self.group.residual_minor == 0


@dataclass(frozen=True, slots=True)
class _Fit:
    parts: tuple[Hypothesis, ...]
    weight: float


def explain(facts: Facts) -> tuple[Explanation, ...]:
    """Explain each group of a payment date, those that do not close first."""
    groups = sorted(
        facts.groups, key=lambda group: (not group.residual_minor, group.arrival_group_id)
    )
    return tuple(_explained(facts, group) for group in groups)


def _explained(facts: Facts, group: Group) -> Explanation:
    if group.residual_minor == 0:
        return Explanation(group, (), (), 0, 0, 0)
    found = hypotheses(facts, group)
    unseen = _UNSEEN / (_WIDTH * abs(group.residual_minor))
    if group.residual_minor % _ROUND == 0:
        unseen *= _ROUND_FACTOR
    fits = [_with_strays(facts, group, fit) for fit in _fits(group, found, unseen)]
    if not group.lines and group.is_expected:
        fits = [fit for fit in fits if _NO_LINE & {part.cause_id for part in fit.parts}]
        unseen = 0.0
    candidates = _candidates(group, fits, unseen)
    named = tuple(
        part
        for candidate in candidates[:1]
        for part in candidate.parts
        if CAUSES[part.cause_id].is_named_thing
    )
    things = {item.rows for item in found if CAUSES[item.cause_id].is_named_thing}
    taken = {part.rows for part in named}
    return Explanation(
        group=group,
        candidates=candidates,
        named=named,
        rest_minor=group.residual_minor - sum(part.effect_minor for part in named),
        open_beside=len(things - taken),
        tried=len(found),
    )


def _with_strays(facts: Facts, group: Group, fit: _Fit) -> _Fit:
    """Trust a fit less that leaves a line of the channel aside that is in no group of the date."""
    own = {
        line.row
        for line in facts.strays
        if (line.arrival_group_id or "").startswith(f"{group.channel}-")
    }
    used = {row for part in fit.parts for row in part.rows}
    return _Fit(fit.parts, fit.weight * _STRAY_BY_ITSELF) if own - used else fit


# --- what fits ----------------------------------------------------------------------------------


def _fits(group: Group, found: Sequence[Hypothesis], unseen: float) -> Iterator[_Fit]:
    by_cause: dict[str, list[Hypothesis]] = defaultdict(list)
    for hypothesis in found:
        by_cause[hypothesis.cause_id].append(hypothesis)
    weights = {
        cause_id: _weight_of_one(group, cause_id, some) for cause_id, some in by_cause.items()
    }
    for cause_id, some in by_cause.items():
        for hypothesis in some:
            if _reaches(hypothesis, group.residual_minor):
                yield _Fit((hypothesis,), weights[cause_id] / (hypothesis.width + 1))
            elif hypothesis.effect_minor is None:
                # The rows say that it is so, and no amount speaks for or against it.
                times = unseen / _UNSEEN * CAUSES[cause_id].weight / len(some)
                yield _Fit((hypothesis,), times)
            elif not group.lines and cause_id in _NO_LINE:
                # The group's line is somewhere: it may be this one, and something else be wrong.
                yield _Fit((hypothesis,), unseen * _TWO * weights[cause_id] / _UNSEEN)
    yield from _pairs(group.residual_minor, by_cause, weights, unseen * _NEGLIGIBLE)
    yield from _wide_pairs(group.residual_minor, by_cause, weights)
    yield from _subsets(group, unseen, by_cause, weights)


def _reaches(hypothesis: Hypothesis, residual: int) -> bool:
    effect = hypothesis.effect_minor
    return effect is not None and effect <= residual <= effect + hypothesis.width


def _weight_of_one(group: Group, cause_id: str, some: Sequence[Hypothesis]) -> float:
    """Return the weight of one thing among all that may be wrong in the same way."""
    count = len({hypothesis.rows for hypothesis in some})
    if cause_id.startswith("matched_record"):
        count = max(count, group.record_count)
    return CAUSES[cause_id].weight / count


def _pairs(
    residual: int,
    by_cause: dict[str, list[Hypothesis]],
    weights: dict[str, float],
    negligible: float,
) -> Iterator[_Fit]:
    """Two things at once; kinds whose pairs would mean nothing beside chance are left out."""
    by_effect: dict[str, dict[int, list[Hypothesis]]] = {}
    for cause_id, some in by_cause.items():
        effects = by_effect.setdefault(cause_id, {})
        for hypothesis in some:
            if hypothesis.effect_minor is not None and hypothesis.width == 0:
                effects.setdefault(hypothesis.effect_minor, []).append(hypothesis)
    names = sorted(by_cause)
    for place, one in enumerate(names):
        for other in names[place:]:
            weight = _TWO * weights[one] * weights[other]
            if weight < negligible:
                continue
            few, many = sorted((one, other), key=lambda name: (len(by_cause[name]), name))
            for effect, firsts in by_effect[few].items():
                for second in by_effect[many].get(residual - effect, ()):
                    for first in firsts:
                        is_new = few != many or _order(first) < _order(second)
                        if is_new and _go_together(first, second):
                            yield _Fit(tuple(sorted((first, second), key=_order)), weight)


def _order(hypothesis: Hypothesis) -> tuple[str, str, int]:
    return hypothesis.cause_id, hypothesis.rows[0].row_id, hypothesis.effect_minor or 0


def _go_together(one: Hypothesis, other: Hypothesis) -> bool:
    """Say whether two things can both be wrong: not two things about one row."""
    of_one = {(row.table, row.row_id) for row in one.rows}
    if any((row.table, row.row_id) in of_one for row in other.rows):
        return False
    causes = {one.cause_id, other.cause_id}
    return not causes & _ALONE


def _wide_pairs(
    residual: int, by_cause: dict[str, list[Hypothesis]], weights: dict[str, float]
) -> Iterator[_Fit]:
    """Two things, one of them known between two ends only."""
    wide = [one for some in by_cause.values() for one in some if one.width]
    others = sorted(
        ((one.effect_minor, _order(one), one) for some in by_cause.values() for one in some
         if one.effect_minor is not None and not one.width),
        key=lambda one: one[:2],
    )  # fmt: skip
    for one in wide:
        assert one.effect_minor is not None, "what has ends has an effect"
        first = bisect_left(others, residual - one.effect_minor - one.width, key=lambda it: it[0])
        last = bisect_right(others, residual - one.effect_minor, key=lambda it: it[0])
        for _, _, other in others[first:last]:
            weight = _TWO * weights[one.cause_id] * weights[other.cause_id] / (one.width + 1)
            if _go_together(one, other):
                yield _Fit(tuple(sorted((one, other), key=_order)), weight)


def _subsets(
    group: Group,
    unseen: float,
    by_cause: dict[str, list[Hypothesis]],
    weights: dict[str, float],
) -> Iterator[_Fit]:
    """Three or more open items together, as far as that means more than chance.

    A smaller number of them is tried beside each other thing that may be wrong.
    """
    items = [item for item in group.items if item.linked_row_id is None]
    places = [
        (item, effect)
        for item in items
        for effect in sorted(set(islice(effects_of(item, group), _RATES_TOGETHER)))
        if effect
    ]
    last = _largest_meant(len(items), len(places), unseen, 1.0)
    if last >= _SEVERAL:
        subsets = Subsets.of([effect for _, effect in places], last)
        yield from _of_several(places, subsets, last, group.residual_minor, len(items))
    beside = [
        one
        for cause_id, some in by_cause.items()
        for one in some
        if one.effect_minor is not None
        and not one.width
        and cause_id not in _ITEM_CAUSES
        and len(some) <= _TRIED_BESIDE
    ]
    last = min(last, largest_size(len(places), _BESIDE))
    if last >= _SEVERAL and len(beside) <= _TRIED_BESIDE:
        subsets = Subsets.of([effect for _, effect in places], last, _BESIDE)
        for one in beside:
            rest = group.residual_minor - (one.effect_minor or 0)
            for fit in _of_several(places, subsets, last, rest, len(items)):
                weight = _TWO * weights[one.cause_id] * fit.weight
                if weight >= unseen * _NEGLIGIBLE and _go_together(one, fit.parts[0]):
                    yield _Fit(tuple(sorted((one, *fit.parts), key=_order)), weight)


def _largest_meant(items: int, places: int, unseen: float, factor: float) -> int:
    """Return the largest subset of open items that is more than chance and is searched whole."""
    weight = CAUSES["open_items_moved"].weight * factor
    largest = min(items, largest_size(places))
    size = _SEVERAL - 1
    while size < largest and (
        weight * _EACH_FURTHER ** (size + 1 - _SEVERAL) / math.comb(items, size + 1)
        >= unseen * _NEGLIGIBLE
    ):
        size += 1
    return size


def _of_several(
    places: Sequence[tuple[OpenItem, int]], subsets: Subsets, last: int, target: int, count: int
) -> Iterator[_Fit]:
    weight = CAUSES["open_items_moved"].weight
    for size in range(_SEVERAL, last + 1):
        share = weight * _EACH_FURTHER ** (size - _SEVERAL) / math.comb(count, size)
        for chosen in subsets.with_sum(target, size):
            rows = tuple(places[place][0].row for place in chosen)
            if len(set(rows)) == size:
                yield _Fit((Hypothesis("open_items_moved", target, rows),), share)


# --- what is named ------------------------------------------------------------------------------


def _candidates(group: Group, fits: Iterable[_Fit], unseen: float) -> tuple[Candidate, ...]:
    """Return what is worth naming, best first; places that fit alike stand together."""
    alike: dict[tuple[str, ...], list[_Fit]] = defaultdict(list)
    seen: set[tuple[tuple[str, tuple[Row, ...]], ...]] = set()
    for fit in fits:
        rows = tuple((part.cause_id, part.rows) for part in fit.parts)
        if rows not in seen:
            seen.add(rows)
            alike[tuple(part.cause_id for part in fit.parts)].append(fit)
    total = unseen + sum(fit.weight for some in alike.values() for fit in some)
    ranked = sorted(
        ((sum(fit.weight for fit in some) / total, causes, some) for causes, some in alike.items()),
        key=lambda one: (-one[0], one[1]),
    )
    return tuple(
        Candidate(_parts(group, some), _confidence(share), share)
        for share, _, some in ranked[:_SHOWN]
        if share >= _NAMED
    )


def _parts(group: Group, some: Sequence[_Fit]) -> tuple[Part, ...]:
    best = max(some, key=lambda fit: fit.weight)
    return tuple(
        Part(
            cause_id=part.cause_id,
            effect_minor=_effect(group, best, part),
            rows=part.rows,
            alike=tuple(
                dict.fromkeys(
                    fit.parts[place].rows for fit in some if fit.parts[place].rows != part.rows
                )
            )[:_ALIKE],
        )
        for place, part in enumerate(best.parts)
    )


def _effect(group: Group, fit: _Fit, part: Hypothesis) -> int:
    """Return what a part explains; what is known between two ends explains what others leave."""
    if part.effect_minor is None:
        return group.residual_minor
    if part.width:
        others = sum(other.effect_minor or 0 for other in fit.parts if other is not part)
        return group.residual_minor - others
    return part.effect_minor


def _confidence(share: float) -> str:
    if share >= _SURE:
        return "sure"
    return "likely" if share >= _LIKELY else "possible"
