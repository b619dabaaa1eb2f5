"""Which of the things that may be wrong explain a residual exactly, and how sure each is.

Amounts are compared as integers, and only what adds up to the last minor unit is a candidate. A
candidate's weight is that of its cause, shared among all rows that could be it: one fitting row of
three means more than one of 100,000. Beside them stands what no row shows, whose amount could be
any. Where that outweighs all, no cause is named.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from tieout.explaining.causes import CAUSES
from tieout.explaining.facts import Facts, Group, OpenItem, Row
from tieout.explaining.hypotheses import Hypothesis, effects_of, hypotheses
from tieout.explaining.sums import largest_size, subsets_with_sum

__all__ = ["Candidate", "Explanation", "Part", "explain"]

# How often two things are wrong at once, beside one; how often more open items than two.
_TWO: Final = 0.1
_EACH_FURTHER: Final = 0.3
# What no row shows: its share, and the width of its amounts (natural logarithms of minor units).
_UNSEEN: Final = 0.05
_WIDTH: Final = 30.0
_ROUND: Final = 100
# Amounts of whole yuan are more frequent than chance has it.
_ROUND_FACTOR: Final = 20.0
_SURE: Final = 0.95
_LIKELY: Final = 0.5
_NAMED: Final = 0.05
_SHOWN: Final = 6
_NEGLIGIBLE: Final = 1e-3
# Their effect is the whole residual, whatever it is.
_ALONE: Final = frozenset({"groups_swapped", "other_dates_total"})
# A line that is elsewhere is why none arrived.
_NOT_TOGETHER: Final = (
    {"arrival_missing", "bank_line_of_another_group"},
    {"arrival_missing", "bank_line_unclassified"},
)


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that is wrong, its effect on the residual, and its rows.

    ``alternatives`` counts the places that fit alike, this one included.
    """

    cause_id: str
    effect_minor: int
    rows: tuple[Row, ...]
    alternatives: int = 1


@dataclass(frozen=True, slots=True)
class Candidate:
    """One or more things that explain a residual to the last minor unit.

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
    candidates = _candidates(group, list(_fits(group, found, unseen)), unseen)
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
            if hypothesis.effect_minor == group.residual_minor:
                yield _Fit((hypothesis,), weights[cause_id])
            elif hypothesis.effect_minor is None:
                # The rows say that it is so, and no amount speaks for or against it.
                times = unseen / _UNSEEN * CAUSES[cause_id].weight / len(some)
                yield _Fit((hypothesis,), times)
    yield from _pairs(group.residual_minor, by_cause, weights, unseen * _NEGLIGIBLE)
    yield from _subsets(group, unseen)


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
            if hypothesis.effect_minor is not None:
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
    return causes not in _NOT_TOGETHER and not causes & _ALONE


def _subsets(group: Group, unseen: float) -> Iterator[_Fit]:
    """Three or more open items together, as far as that means more than chance."""
    items: list[OpenItem] = []
    effects: list[int] = []
    for item in group.items:
        effect = next(effects_of(item, group), 0)
        if item.linked_row_id is None and effect:
            items.append(item)
            effects.append(effect)
    weight = CAUSES["open_items_moved"].weight
    last = 2
    while last < min(len(items), largest_size(len(items))) and (
        weight * _EACH_FURTHER ** (last - 2) / math.comb(len(items), last + 1)
        >= unseen * _NEGLIGIBLE
    ):
        last += 1
    for places in subsets_with_sum(effects, group.residual_minor, sizes=range(3, last + 1)):
        rows = tuple(items[place].row for place in places)
        share = weight * _EACH_FURTHER ** (len(places) - 3) / math.comb(len(items), len(places))
        yield _Fit((Hypothesis("open_items_moved", group.residual_minor, rows),), share)


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
            effect_minor=group.residual_minor if part.effect_minor is None else part.effect_minor,
            rows=part.rows,
            alternatives=len({fit.parts[place].rows for fit in some}),
        )
        for place, part in enumerate(best.parts)
    )


def _confidence(share: float) -> str:
    if share >= _SURE:
        return "sure"
    return "likely" if share >= _LIKELY else "possible"
