"""Contracts and fee rules of one file against each other: what would price a sale twice or never.

A sale has to meet one contract of its merchant and account, and one rule of it. What two rows say
at once, no model can decide; it is told here, with both rows, before anything is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import combinations
from operator import attrgetter
from typing import TypeVar

import numpy as np
import polars as pl

from tieout.channels.common.model import Findings

__all__ = ["check_contracts", "check_fee_rates"]

SCOPE = ("channel", "transaction_type", "card_kind", "card_region", "merchant_category_code")


@dataclass(frozen=True, slots=True)
class _Row:
    """A row and the days on which it is in force, the end exclusive."""

    position: int
    line_number: int
    row_id: str
    key: tuple[object, ...]
    starts_on: date
    ends_on: date

    @property
    def name(self) -> str:
        """Return id and line, as a finding names it."""
        return f"{self.row_id} (line {self.line_number})"


@dataclass(frozen=True, slots=True)
class _Rule(_Row):
    """A fee rule: its key is its contract; what it is for, and which of several goes first."""

    scope: tuple[object, ...]
    tier_from_minor: int
    priority: int


_AnyRow = TypeVar("_AnyRow", bound=_Row)


def check_contracts(typed: pl.DataFrame, line_numbers: Sequence[int], findings: Findings) -> None:
    """Flag contracts of one merchant and account that are in force on one day, or leave days out.

    A contract that ended (`ended_on`) leaves no gap: the merchant was gone.
    """
    rows = _rows(typed, line_numbers, "contract_id", ("merchant_id", "account_id"))
    _flag(
        findings,
        line_numbers,
        "overlapping_contracts",
        {
            later.position: f"contracts {earlier.name} and {later.name} are of one merchant and "
            f"account and both in force on {later.starts_on}; end one before the other begins"
            for earlier, later in _overlaps(rows)
        },
    )
    ended = set(np.flatnonzero(typed["ended_on"].is_not_null().to_numpy()))
    _flag(
        findings,
        line_numbers,
        "gap_between_contracts",
        {
            later.position: f"contracts {earlier.name} and {later.name} are of one merchant and "
            f"account, and none of it is in force from {earlier.ends_on} to {later.starts_on}; "
            "begin one where the other ends, or say with ended_on that it ended"
            for earlier, later in _gaps(rows)
            if earlier.position not in ended
        },
    )


def check_fee_rates(typed: pl.DataFrame, line_numbers: Sequence[int], findings: Findings) -> None:
    """Flag rules of one contract between which nothing decides, and days that no rule prices."""
    rules = _rules(typed, line_numbers)
    same = {
        later.position: f"fee rules {earlier.name} and {later.name} are of one contract, "
        f"scope, tier and priority and both in force on {later.starts_on}; end one before the "
        "other begins, or give it another priority"
        for earlier, later in _ties(rules)
        if earlier.scope == later.scope
    }
    _flag(findings, line_numbers, "overlapping_fee_rates", same)
    _flag(
        findings,
        line_numbers,
        "tied_fee_rates",
        {
            later.position: f"fee rules {earlier.name} and {later.name} are of one contract, "
            f"tier and priority, and a sale of {later.starts_on} fits both; give one of them "
            "another priority"
            for earlier, later in _ties(rules)
            if later.position not in same
        },
    )
    _flag(
        findings,
        line_numbers,
        "tier_without_base",
        {
            tier.position: f"fee rule {tier.name} applies from a volume on, and on {day} no "
            f"rule of contract {tier.key[0]} with tier_from_minor 0 is in force for what it is for"
            for tier, day in _tiers_without_base(rules)
        },
    )
    _flag(
        findings,
        line_numbers,
        "gap_between_fee_rates",
        {
            later.position: f"fee rules {earlier.name} and {later.name} are of one contract, and "
            f"on {earlier.ends_on} none is in force for what they are for; begin one where the "
            "other ends"
            for earlier, later in _gaps_of_rules(rules)
        },
    )


def _rows(
    typed: pl.DataFrame, line_numbers: Sequence[int], row_id: str, key: Sequence[str]
) -> list[_Row]:
    """Return the rows whose days can be read; the others have findings of their own."""
    days = pl.col("effective_from"), pl.col("effective_to").fill_null(date.max)
    rows = typed.select(pl.int_range(pl.len()), row_id, *days, *key).iter_rows()
    return [
        _Row(position, line_numbers[position], name, tuple(values), starts_on, ends_on)
        for position, name, starts_on, ends_on, *values in rows
        if name is not None and starts_on is not None and starts_on < ends_on
    ]


def _rules(typed: pl.DataFrame, line_numbers: Sequence[int]) -> list[_Rule]:
    columns = ("contract_id", "tier_from_minor", "priority", *SCOPE)
    return [
        _Rule(
            row.position,
            row.line_number,
            row.row_id,
            (contract_id,),
            row.starts_on,
            row.ends_on,
            scope=tuple(scope),
            tier_from_minor=tier,
            priority=priority,
        )
        for row in _rows(typed, line_numbers, "fee_rule_id", columns)
        for contract_id, tier, priority, *scope in [row.key]
        if isinstance(tier, int) and isinstance(priority, int)
    ]


def _overlaps(rows: Iterable[_Row]) -> Iterator[tuple[_Row, _Row]]:
    """Yield each row that begins while another one of its key is in force, behind that one."""
    for earlier, row in _behind(rows):
        if row.starts_on < earlier.ends_on:
            yield earlier, row


def _gaps(rows: Iterable[_Row]) -> Iterator[tuple[_Row, _Row]]:
    """Yield each row that begins after all earlier ones of its key have ended, behind the last."""
    for earlier, row in _behind(rows):
        if row.starts_on > earlier.ends_on:
            yield earlier, row


def _behind(rows: Iterable[_AnyRow]) -> Iterator[tuple[_AnyRow, _AnyRow]]:
    """Yield each row of a key but its first, behind the one before it that ends last."""
    for of_key in _by(rows, lambda row: row.key):
        last: _AnyRow | None = None
        for row in sorted(of_key, key=attrgetter("starts_on", "position")):
            if last is not None:
                yield last, row
            if last is None or row.ends_on > last.ends_on:
                last = row


def _ties(rules: Iterable[_Rule]) -> Iterator[tuple[_Rule, _Rule]]:
    """Yield the pairs of rules that one sale fits while neither tier nor priority decides."""
    for of_order in _by(rules, lambda rule: (rule.key, rule.tier_from_minor, rule.priority)):
        in_time = sorted(of_order, key=attrgetter("starts_on", "position"))
        for earlier, later in combinations(in_time, 2):
            if later.starts_on < earlier.ends_on and _meet(earlier, later):
                yield earlier, later


def _meet(one: _Rule, other: _Rule) -> bool:
    """Say whether a sale can fit both: an empty field is for any."""
    pairs = zip(one.scope, other.scope, strict=True)
    return all(left is None or right is None or left == right for left, right in pairs)


def _tiers_without_base(rules: Sequence[_Rule]) -> Iterator[tuple[_Rule, date]]:
    """Yield the rules of higher tiers with the first day on which no base rule covers them."""
    for of_contract in _by(rules, lambda rule: rule.key):
        bases = [rule for rule in of_contract if not rule.tier_from_minor]
        for tier in of_contract:
            if tier.tier_from_minor:
                day = _first_day_uncovered(tier, [base for base in bases if _covers(base, tier)])
                if day is not None:
                    yield tier, day


def _gaps_of_rules(rules: Sequence[_Rule]) -> Iterator[tuple[_Rule, _Rule]]:
    """Yield base rules of one scope with days between them that no base rule covers."""
    for of_contract in _by(rules, lambda rule: rule.key):
        bases = [rule for rule in of_contract if not rule.tier_from_minor]
        for of_scope in _by(bases, lambda rule: rule.scope):
            for earlier, later in _behind(of_scope):
                if later.starts_on > earlier.ends_on and not _is_covered(earlier, later, bases):
                    yield earlier, later


def _covers(base: _Rule, rule: _Rule) -> bool:
    """Say whether a rule is for all that another is for: an empty field is for any."""
    pairs = zip(base.scope, rule.scope, strict=True)
    return all(wide is None or wide == narrow for wide, narrow in pairs)


def _is_covered(earlier: _Rule, later: _Rule, bases: Iterable[_Rule]) -> bool:
    """Say whether other rules are for what these two are for, on each day between them."""
    wide = [base for base in bases if _covers(base, later)]
    return _first_uncovered(earlier.ends_on, later.starts_on, wide) is None


def _first_day_uncovered(row: _Row, others: Iterable[_Row]) -> date | None:
    return _first_uncovered(row.starts_on, row.ends_on, others)


def _first_uncovered(starts_on: date, ends_on: date, others: Iterable[_Row]) -> date | None:
    day = starts_on
    for other in sorted(others, key=attrgetter("starts_on")):
        if other.starts_on <= day < other.ends_on:
            day = other.ends_on
    return day if day < ends_on else None


def _by(rows: Iterable[_AnyRow], key: Callable[[_AnyRow], object]) -> Iterable[list[_AnyRow]]:
    found: dict[object, list[_AnyRow]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return found.values()


def _flag(
    findings: Findings,
    line_numbers: Sequence[int],
    reason_code: str,
    reasons: Mapping[int, str],
) -> None:
    wrong = np.zeros(len(line_numbers), dtype=bool)
    wrong[list(reasons)] = True
    findings.of_block(line_numbers).flag(
        wrong, "effective_from", reason_code, lambda position: reasons[position]
    )
