"""Contracts and fee rules of one file against each other: what would price a sale twice or never.

A sale has to meet one contract of its merchant and account, and one rule of it. What two rows say
at once, no model can decide; it is told here, with both rows, before anything is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from operator import attrgetter

import numpy as np
import polars as pl

from tieout.channels.common.model import Findings

__all__ = ["check_contracts", "check_fee_rates"]

SCOPE = ("channel", "transaction_type", "card_kind", "card_region")


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


def check_contracts(typed: pl.DataFrame, line_numbers: Sequence[int], findings: Findings) -> None:
    """Flag contracts of one merchant and account that are in force on one day."""
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


def check_fee_rates(typed: pl.DataFrame, line_numbers: Sequence[int], findings: Findings) -> None:
    """Flag rules of one contract that fit the same sales equally well, and tiers without a base."""
    same = ("contract_id", *SCOPE, "tier_from_minor", "priority")
    _flag(
        findings,
        line_numbers,
        "overlapping_fee_rates",
        {
            later.position: f"fee rules {earlier.name} and {later.name} are of one contract, "
            f"scope, tier and priority and both in force on {later.starts_on}; end one before the "
            "other begins, or give it another priority"
            for earlier, later in _overlaps(_rows(typed, line_numbers, "fee_rule_id", same))
        },
    )
    columns = ("contract_id", *SCOPE, "tier_from_minor")
    _flag(
        findings,
        line_numbers,
        "tier_without_base",
        {
            tier.position: f"fee rule {tier.name} applies from a volume on, and on {day} no "
            f"rule of contract {tier.key[0]} with tier_from_minor 0 is in force for what it is for"
            for tier, day in _tiers_without_base(_rows(typed, line_numbers, "fee_rule_id", columns))
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


def _overlaps(rows: Iterable[_Row]) -> Iterator[tuple[_Row, _Row]]:
    """Yield each row that begins while another one of its key is in force, behind that one."""
    for of_key in _by(rows, lambda row: row.key).values():
        last: _Row | None = None
        for row in sorted(of_key, key=attrgetter("starts_on", "position")):
            if last is not None and row.starts_on < last.ends_on:
                yield last, row
            if last is None or row.ends_on > last.ends_on:
                last = row


def _tiers_without_base(rows: Sequence[_Row]) -> Iterator[tuple[_Row, date]]:
    """Yield the rules of higher tiers with the first day on which no base rule covers them."""
    for of_contract in _by(rows, lambda row: row.key[0]).values():
        bases = [row for row in of_contract if not row.key[-1]]
        for tier in of_contract:
            if tier.key[-1]:
                day = _first_day_uncovered(tier, [base for base in bases if _covers(base, tier)])
                if day is not None:
                    yield tier, day


def _covers(base: _Row, tier: _Row) -> bool:
    """Say whether a rule is for all that another is for: an empty field is for any."""
    pairs = zip(base.key[1:-1], tier.key[1:-1], strict=True)
    return all(wide is None or wide == narrow for wide, narrow in pairs)


def _first_day_uncovered(row: _Row, others: Iterable[_Row]) -> date | None:
    day = row.starts_on
    for other in sorted(others, key=attrgetter("starts_on")):
        if other.starts_on <= day < other.ends_on:
            day = other.ends_on
    return day if day < row.ends_on else None


def _by(rows: Iterable[_Row], key: Callable[[_Row], object]) -> dict[object, list[_Row]]:
    found: dict[object, list[_Row]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return found


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
