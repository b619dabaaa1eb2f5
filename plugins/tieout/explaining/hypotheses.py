"""What may be wrong with a group, one thing at a time, and by how much that moves its residual.

A hypothesis is made of rows that are there; whether it is the cause is for `ranking` to say. Its
effect is what the residual is, if nothing else is wrong.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from tieout.explaining.facts import BankLine, Charge, Facts, FileContent, Group, OpenItem, Row

__all__ = ["Hypothesis", "cost_of", "hypotheses"]

_TERMS_TAKEN: Final = (
    "channel_cost",
    "brand_fee",
    "adjustments_taken",
    "fee_collections",
    "recovery_fee",
)
_BASIS: Final = 10_000
_SEVERAL: Final = 2


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One thing that may be wrong: its cause, its effect on the residual, the rows that say so.

    ``effect_minor`` is None where the rows say that, and not how much. ``width``: how many minor
    units the effect may be more, where it is known between two ends only.
    """

    cause_id: str
    effect_minor: int | None
    rows: tuple[Row, ...]
    width: int = 0


def hypotheses(facts: Facts, group: Group) -> list[Hypothesis]:
    """Return everything that may be wrong with a group, without regard to its residual's size."""
    found: dict[Hypothesis, None] = {}
    for make in _MAKERS:
        for hypothesis in make(facts, group):
            if hypothesis.effect_minor != 0:
                found[hypothesis] = None
    return list(found)


def cost_of(amount_minor: int, rate: int) -> int:
    """Return the channel's cost of an amount by a rate in hundredths of a percent, half up."""
    size = (abs(amount_minor) * rate * 2 + _BASIS) // (2 * _BASIS)
    return size if amount_minor >= 0 else -size


# --- the bank's side ----------------------------------------------------------------------------


def _group_row(group: Group) -> Row:
    return Row("gate.balance_equation", group.arrival_group_id, group.residual_minor)


def _no_arrival(_: Facts, group: Group) -> Iterator[Hypothesis]:
    """Where no line is there, the residual is all that is owed, whatever the files say of it."""
    if not group.lines and group.is_expected:
        yield Hypothesis("arrival_missing", None, (_group_row(group),))


def _unclassified(facts: Facts, _: Group) -> Iterator[Hypothesis]:
    for line in facts.unclassified:
        yield Hypothesis("bank_line_unclassified", -line.row.amount_minor, (line.row,))


def _other_groups_lines(facts: Facts, group: Group) -> Iterator[Hypothesis]:
    """A line too much there and lacking here, or the reverse; both groups have to say so."""
    for line in facts.strays:
        yield Hypothesis("bank_line_of_another_group", -line.row.amount_minor, (line.row,))
    for line in group.lines:
        if group.accounting_dates and line.booking_date <= group.accounting_dates[0]:
            # Money of a date that had not ended.
            yield Hypothesis("bank_line_of_another_group", line.row.amount_minor, (line.row,))
    for other in facts.groups:
        if other.arrival_group_id == group.arrival_group_id or other.residual_minor == 0:
            continue
        if other.currency_code != group.currency_code:
            continue
        # Another channel's line is named by another counterparty: its group must close without it.
        is_own = other.channel == group.channel
        for line in other.lines:
            if is_own or other.residual_minor == line.row.amount_minor:
                yield Hypothesis("bank_line_of_another_group", -line.row.amount_minor, (line.row,))
        for line in group.lines:
            amount = line.row.amount_minor
            if other.residual_minor == -amount or (is_own and not other.lines):
                yield Hypothesis(
                    "bank_line_of_another_group", amount, (line.row, _group_row(other))
                )
        if _is_swapped(group, other):
            rows = (group.lines[0].row, other.lines[0].row)
            yield Hypothesis("groups_swapped", group.residual_minor, rows)


def _is_swapped(group: Group, other: Group) -> bool:
    """Say whether two groups have got what the other is owed, in a line each."""
    return (
        len(group.lines) == len(other.lines) == 1
        and group.currency_code == other.currency_code
        and group.arrival_minor == other.owed_minor
        and other.arrival_minor == group.owed_minor
    )


def _doubled_lines(_: Facts, group: Group) -> Iterator[Hypothesis]:
    by_amount: dict[int, list[BankLine]] = defaultdict(list)
    for line in group.lines:
        by_amount[line.row.amount_minor].append(line)
    for amount, lines in by_amount.items():
        if len(lines) > 1:
            rows = tuple(line.row for line in lines)
            yield Hypothesis("bank_line_doubled", amount, rows)


def _misread_lines(_: Facts, group: Group) -> Iterator[Hypothesis]:
    """A line whose amount was written wrongly: its sign, two digits, the decimal point."""
    for line in group.lines:
        amount = line.row.amount_minor
        yield Hypothesis("bank_line_wrong_sign", 2 * amount, (line.row,))
        for other in _transposed(amount):
            yield Hypothesis("bank_digits_transposed", amount - other, (line.row,))
        for factor in (10, 100):
            yield Hypothesis("bank_decimal_shifted", amount - amount * factor, (line.row,))
            if amount % factor == 0:
                yield Hypothesis("bank_decimal_shifted", amount - amount // factor, (line.row,))


def _transposed(amount: int) -> Iterator[int]:
    """Each amount that two neighbouring digits of which, exchanged, give this one."""
    digits = str(abs(amount))
    sign = 1 if amount >= 0 else -1
    for place in range(len(digits) - 1):
        one, other = digits[place], digits[place + 1]
        if one != other:
            yield sign * int(digits[:place] + other + one + digits[place + 2 :])


def _dates(facts: Facts, group: Group) -> Iterator[Hypothesis]:
    own = {total.accounting_date: total.net_minor for total in group.totals}
    for day in group.accounting_dates if len(group.accounting_dates) > 1 else ():
        if day in own:
            row = _total_row(group, day.isoformat(), own[day])
            yield Hypothesis("date_not_arrived", -own[day], (row,))
            yield Hypothesis("date_arrived_twice", own[day], (row,))
    if any(_is_swapped(group, other) for other in facts.groups if other is not group):
        return  # that says of both groups what another date's total says of one
    for line in group.lines:
        for day, net in own.items():
            if day not in group.accounting_dates and net == line.row.amount_minor:
                # What the line should have been is what all the others leave of the group's money.
                effect = group.residual_minor
                row = _total_row(group, day.isoformat(), net)
                yield Hypothesis("other_dates_total", effect, (line.row, row))


def _total_row(group: Group, day: str, net: int) -> Row:
    return Row("clearing.channel_terms", f"{day}/{group.channel}/{group.currency_code}", net)


# --- the channel's files ------------------------------------------------------------------------


def _files(_: Facts, group: Group) -> Iterator[Hypothesis]:
    for waiting in group.waiting:
        yield Hypothesis("file_missing", None, (waiting.row,))
    by_digest: dict[tuple[str, int], list[FileContent]] = defaultdict(list)
    for file in group.files:
        by_digest[file.digest, file.record_count].append(file)
    for files in by_digest.values():
        for file in files:
            if file.accounting_date not in group.accounting_dates or file.record_count == 0:
                continue
            others = [other for other in files if other.row.row_id != file.row.row_id]
            twins = [other for other in others if other.accounting_date == file.accounting_date]
            if twins and file.row.row_id > twins[0].row.row_id:
                rows = (file.row, twins[0].row)
                yield Hypothesis("doubled_file", -file.row.amount_minor, rows)
            elif others and not twins:
                yield Hypothesis("other_dates_file", None, (file.row, others[0].row))


def _pairs(_: Facts, group: Group) -> Iterator[Hypothesis]:
    """The bank paid what the platform says; the file's cost fits one amount or the other."""
    system = {item.row.row_id: item for item in group.items if item.side == "system"}
    for item in group.items:
        if item.side != "channel" or item.linked_row_id not in system:
            continue
        mine, theirs = system[item.linked_row_id].row, item.row
        difference = mine.amount_minor - theirs.amount_minor
        yield Hypothesis("mismatched_pair", difference, (theirs, mine))
        for rate in group.cost_rates:
            cost = cost_of(mine.amount_minor, rate)
            effect = difference - (cost - item.cost_minor)
            yield Hypothesis("mismatched_pair", effect, (theirs, mine))


def _open_items(_: Facts, group: Group) -> Iterator[Hypothesis]:
    for item in group.items:
        if item.break_reason == "duplicate" and item.side == "channel":
            yield from _moved("record_doubled", item, group)
        elif item.linked_row_id is not None:
            continue
        elif item.opened_on not in group.accounting_dates:
            yield from _moved("old_item_moved", item, group)
        else:
            cause = "record_missing" if item.side == "system" else "record_not_paid"
            yield from _moved(cause, item, group)


def _moved(cause_id: str, item: OpenItem, group: Group) -> Iterator[Hypothesis]:
    for effect in effects_of(item, group):
        yield Hypothesis(cause_id, effect, (item.row,))


def effects_of(item: OpenItem, group: Group) -> Iterator[int]:
    """What the residual is if the bank handled the money of an item otherwise than the files.

    A record that the file lacks, and that was paid, came less its cost, which no file says: the
    channel's rates of the date do. A record that was not paid is in the file with its cost.
    """
    amount = item.row.amount_minor
    if item.side == "channel":
        yield -(amount - item.cost_minor)
        return
    for rate in group.cost_rates:
        yield amount - cost_of(amount, rate)
    if 0 not in group.cost_rates:
        yield amount


def _whole_sides(_: Facts, group: Group) -> Iterator[Hypothesis]:
    """All that the platform alone has of one date: a part of the channel's file is missing."""
    by_date: dict[str, list[OpenItem]] = defaultdict(list)
    for item in group.items:
        if item.side == "system" and item.linked_row_id is None:
            by_date[item.opened_on.isoformat()].append(item)
    for items in by_date.values():
        if len(items) < _SEVERAL or items[0].opened_on not in group.accounting_dates:
            continue
        # What each cost is unknown where the channel has several rates; the ends are known.
        ends = [
            sum(item.row.amount_minor - cost_of(item.row.amount_minor, rate) for item in items)
            for rate in group.cost_rates or (0,)
        ]
        rows = tuple(item.row for item in items)
        yield Hypothesis("records_missing", min(ends), rows, width=max(ends) - min(ends))


def _records(_: Facts, group: Group) -> Iterator[Hypothesis]:
    for record in group.records:
        net = record.row.amount_minor - record.cost_minor
        yield Hypothesis("matched_record_not_paid", -net, (record.row,))
        yield Hypothesis("matched_record_paid_twice", net, (record.row,))


def _charges(_: Facts, group: Group) -> Iterator[Hypothesis]:
    by_content: dict[tuple[str, str], list[Charge]] = defaultdict(list)
    for charge in group.charges:
        by_content[charge.term, charge.content].append(charge)
    for same in by_content.values():
        taken = same[0].row.amount_minor
        if len(same) > 1:
            yield Hypothesis("charge_doubled", taken, tuple(charge.row for charge in same))
            continue
        rows = (same[0].row,)
        yield Hypothesis("charge_not_taken", taken, rows)
        yield Hypothesis("charge_taken_twice", -taken, rows)
        yield Hypothesis("charge_wrong_sign", 2 * taken, rows)


def _whole_terms(_: Facts, group: Group) -> Iterator[Hypothesis]:
    counts = Counter(charge.term for charge in group.charges)
    for term in _TERMS_TAKEN:
        total = group.terms.get(term, 0)
        if counts[term] == 1:
            continue  # the charge itself says more
        row = Row("gate.balance_equation", f"{group.arrival_group_id}/{term}", total)
        yield Hypothesis("term_not_taken", total, (row,))
        yield Hypothesis("term_taken_twice", -total, (row,))
        yield Hypothesis("term_wrong_sign", 2 * total, (row,))


_MAKERS: Final[tuple[Callable[[Facts, Group], Iterator[Hypothesis]], ...]] = (
    _no_arrival,
    _unclassified,
    _other_groups_lines,
    _doubled_lines,
    _misread_lines,
    _dates,
    _files,
    _pairs,
    _open_items,
    _whole_sides,
    _records,
    _charges,
    _whole_terms,
)
