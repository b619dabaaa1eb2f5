"""Channels with one thing wrong, or two, each with its truth: what the explainer is measured on.

A case is a channel (a world of `worlds`) for four accounting dates, Thursday to Sunday, in two
arrival groups. What the bank pays is what really happened; then a fault changes the bank's lines or
what the channel's files say. Amounts, rows and places are drawn; nothing here knows how the
explainer looks for them. All cases are closed and paid in one database by the project's own models
(`closed_worlds`), as channels of it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any

import builds
import closed_worlds
import worlds
from tieout import database
from tieout.core.settings import Settings
from tieout.explaining import (
    Candidate,
    Explanation,
    Facts,
    Group,
    Part,
    Row,
    explain,
    read_facts,
)
from tieout.explaining.facts import BankLine, OpenItem
from worlds import Adjustment, BrandFee, Merchant, Record, Refs, Voucher, World

FIRST = date(2026, 9, 10)  # a Thursday; its money comes on Friday, that of the others on Monday
THURSDAY, WEEKEND = (0,), (1, 2, 3)
CLOSED = 4
FORMATS = ("unionpay", "wechat", "alipay")
NEIGHBOURS = 3
ANY = "any"  # of several refs, one has to be named
ITEM_CAUSES = frozenset({"record_missing", "record_not_paid", "old_item_moved"})
TIES = "ties"  # the equation closes all the same: there is nothing to explain


class DoesNotFitError(Exception):
    """A fault cannot be put into this channel, or two cannot be there at once."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the bank: for which arrival date its text says it is, and when it was booked.

    ``names`` None: a text that no rule reads. ``days``: the accounting dates it pays.
    """

    amount: int
    names: date | None
    booked: date
    days: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Truth:
    """What is wrong: the cause, and what of the case its rows have to name.

    ``cause`` None: no row anywhere shows it. ``refs`` are records, charges, terms or ``kind day``;
    the explanation's rows must hold all of them, or with `ANY` one of them.
    """

    kind: str
    cause: str | None
    refs: frozenset[str] = frozenset()


@dataclass
class Case:
    """A channel while faults are put into it."""

    name: str
    seed: int
    random: random.Random
    format: str
    days: tuple[int, ...]
    rates: tuple[int, ...]
    vouchers: list[Voucher] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    adjustments: list[Adjustment] = field(default_factory=list)
    fees: list[BrandFee] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    truths: list[Truth] = field(default_factory=list)
    missing_files: list[tuple[str, int]] = field(default_factory=list)
    companion: Case | None = None
    touched: set[str] = field(default_factory=set)
    unseen_days: set[int] = field(default_factory=set)
    identity: int = 100

    @property
    def arrives_on(self) -> date:
        """The arrival date of the group that the faults are in."""
        return arrival_date(self.days)

    @property
    def payment_date(self) -> date:
        """The payment date of that group: working days, so the arrival date."""
        return self.arrives_on

    def touch(self, *names: str) -> None:
        """Keep two faults off one thing."""
        if self.touched & set(names):
            raise DoesNotFitError(names)
        self.touched |= set(names)

    def own_lines(self) -> list[int]:
        """Places of the group's lines."""
        return [
            place
            for place, line in enumerate(self.lines)
            if line.days and set(line.days) <= set(self.days)
        ]

    def only_line(self) -> int:
        """The place of the line that a fault is put into."""
        own = self.own_lines()
        if not own:
            raise DoesNotFitError("no line")
        self.touch("line")
        return self.random.choice(own)

    def pay(self, day: int, amount: int) -> None:
        """Have the bank pay more or less for a date."""
        for place, line in enumerate(self.lines):
            if day in line.days:
                changed = line.amount + amount
                if changed == 0:
                    raise DoesNotFitError("a line of nothing")
                self.lines[place] = replace(line, amount=changed)
                return
        raise DoesNotFitError("no line pays the date")


def arrival_date(days: Sequence[int]) -> date:
    """The day on which accounting dates arrive."""
    return FIRST + timedelta(days=1 if tuple(days) == THURSDAY else 4)


# --- a channel ----------------------------------------------------------------------------------


def drawn(
    name: str, seed: int, *, format_: str | None = None, days: tuple[int, ...] | None = None
) -> Case:
    """Draw a channel in which nothing is wrong, with open items as on any day."""
    chance = random.Random(seed)
    format_ = format_ or chance.choice(FORMATS)
    days = days or chance.choice((THURSDAY, WEEKEND))
    rates = tuple(chance.sample((20, 25, 30, 38, 45, 55, 60), 2 if format_ == "unionpay" else 1))
    case = Case(name, seed, chance, format_, days, rates)
    size = int(10 ** chance.uniform(1.0, 2.2))
    for day in range(CLOSED):
        for _ in range(max(5, int(size * chance.uniform(0.7, 1.3)))):
            matched(case, day)
        for _ in range(chance.randrange(4)):
            voucher(case, day, amount(case), references(case))
        for _ in range(chance.randrange(3)):
            record(case, day, amount(case), references(case))
        if chance.random() < 0.4:
            legitimate_mismatch(case, day)
        charges(case, day)
    chance.shuffle(case.records)
    by_date = chance.random() < 0.3
    for group in (THURSDAY, WEEKEND):
        for some in [(day,) for day in group] if by_date else [group]:
            total = sum(net(case, day) for day in some)
            if total == 0:
                raise DoesNotFitError("a group of nothing")
            when = arrival_date(group)
            case.lines.append(Line(total, when, when, tuple(some)))
    return case


def amount(case: Case) -> int:
    """An amount as people pay: many are whole yuan or a price."""
    drawn_amount = int(10 ** case.random.uniform(2, 5.7))
    how = case.random.random()
    if how < 0.35:
        return max(100, drawn_amount // 100 * 100)
    if how < 0.5:
        return case.random.choice((990, 1_990, 2_900, 5_000, 9_900, 19_900, 49_900))
    return drawn_amount


def references(case: Case, *, is_reverse: bool = False) -> Refs:
    """References that no other transaction of the channel has."""
    case.identity += 1
    number = case.identity
    return {
        "acquiring_institution_id": "48370000",
        "forwarding_institution_id": "00049992",
        "trace_number": f"{number:06d}",
        "transmission_time": f"0910{number:06d}",
        "retrieval_reference_number": f"R{number}",
        "terminal_id": f"T{number % 5}",
        "channel_order_id": f"O{number}",
        "refund_order_id": f"F{number}" if is_reverse else None,
        "merchant_order_id": f"M{number}",
    }


def moment(case: Case, day: int) -> datetime:
    """An instant of an accounting date, far from its ends."""
    on = FIRST + timedelta(days=day)
    noon = datetime(on.year, on.month, on.day, 12, tzinfo=worlds.SHANGHAI)
    return noon + timedelta(seconds=case.random.randrange(-20_000, 20_000))


def voucher(case: Case, day: int, minor: int, refs: Refs, at: datetime | None = None) -> Voucher:
    """Add a transaction of the platform."""
    at = at or moment(case, day)
    is_refund = minor < 0
    made = Voucher(
        ref=f"v{len(case.vouchers) + 1}",
        day=day,
        at=at,
        transaction_type="refund" if is_refund else "purchase",
        merchant=case.random.randrange(2),
        currency_code="CNY",
        amount_minor=minor,
        references=tuple(refs.items()),
        original="before" if is_refund else None,
        original_at=at - timedelta(days=20) if is_refund else None,
        original_amount_minor=abs(minor) if is_refund else None,
        refunded_before_minor=0 if is_refund else None,
    )
    case.vouchers.append(made)
    return made


def record(case: Case, day: int, minor: int, refs: Refs, at: datetime | None = None) -> Record:
    """Add a record of the channel's file."""
    made = Record(
        ref=f"c{len(case.records) + 1}",
        day=day,
        at=at or moment(case, day),
        transaction_type="refund" if minor < 0 else "purchase",
        currency_code="CNY",
        amount_minor=minor,
        cost_minor=cost(minor, case.random.choice(case.rates)),
        references=tuple(refs.items()),
    )
    case.records.append(made)
    return made


def cost(minor: int, rate: int) -> int:
    """The channel's cost of an amount, rounded half up, given back with a refund."""
    size = (abs(minor) * rate * 2 + 10_000) // 20_000
    return size if minor >= 0 else -size


def matched(case: Case, day: int) -> None:
    """Add a transaction that both sides have."""
    is_refund = case.random.random() < 0.05
    minor, at = amount(case), moment(case, day)
    refs = references(case, is_reverse=is_refund)
    voucher(case, day, -minor if is_refund else minor, refs, at)
    record(case, day, -minor if is_refund else minor, refs, at)


def legitimate_mismatch(case: Case, day: int) -> None:
    """Two amounts of one transaction, of which the bank pays the channel's: nothing is wrong."""
    minor, refs, at = amount(case), references(case), moment(case, day)
    voucher(case, day, minor, refs, at)
    record(case, day, minor + case.random.choice((1, 100, minor // 3 + 1)), refs, at)


def charges(case: Case, day: int) -> None:
    """Add brand fees, fee records and adjustments, which only UnionPay's files have."""
    if case.format != "unionpay":
        return
    for _ in range(case.random.randrange(2, 9)):
        case.fees.append(BrandFee(day, "CNY", int(10 ** case.random.uniform(0.5, 3))))
    for _ in range(case.random.randrange(4)):
        charge(case, day)


def charge(case: Case, day: int) -> Adjustment:
    """Add a fee record or an adjustment of no sale we know."""
    kind = case.random.choice(
        ("credit_adjustment", "issuer_claim", "debit_adjustment", "fee_collection")
    )
    minor = int(10 ** case.random.uniform(2, 5))
    effect = minor if kind == "debit_adjustment" else -minor
    made = Adjustment(
        ref=f"a{len(case.adjustments) + 1}",
        day=day,
        adjustment_type=kind,
        merchant=0,
        currency_code="CNY",
        funds_effect_minor=effect,
        fees_effect_minor=0,
        original=tuple(references(case).items()),
    )
    case.adjustments.append(made)
    return made


def net(case: Case, day: int) -> int:
    """What a date's files bring."""
    return (
        sum(row.amount_minor - row.cost_minor for row in case.records if row.day == day)
        - sum(row.brand_fee_minor for row in case.fees if row.day == day)
        + sum(
            row.funds_effect_minor + row.fees_effect_minor
            for row in case.adjustments
            if row.day == day
        )
    )


# --- what goes wrong at the bank ----------------------------------------------------------------

Fault = Callable[[Case], Truth]
FAULTS: dict[str, Fault] = {}


def fault(function: Fault) -> Fault:
    """Register a kind of fault under its function's name."""
    FAULTS[function.__name__] = function
    return function


@fault
def bank_line_missing(case: Case) -> Truth:
    # Nothing else can be seen of a group of which nothing came.
    own = case.own_lines()
    case.touch("alone")
    case.lines = [line for place, line in enumerate(case.lines) if place not in own]
    return Truth("", "arrival_missing")


@fault
def bank_line_unreadable(case: Case) -> Truth:
    place = case.only_line()
    case.lines[place] = replace(case.lines[place], names=None)
    return Truth("", "bank_line_unclassified")


@fault
def bank_line_names_another_date(case: Case) -> Truth:
    place = case.only_line()
    other = arrival_date(WEEKEND if case.days == THURSDAY else THURSDAY)
    if case.days == WEEKEND:
        other = FIRST + timedelta(days=5)
    case.lines[place] = replace(case.lines[place], names=other)
    return Truth("", "bank_line_of_another_group")


@fault
def bank_line_twice(case: Case) -> Truth:
    place = case.only_line()
    case.lines.insert(place, case.lines[place])
    return Truth("", "bank_line_doubled")


@fault
def bank_line_reversed(case: Case) -> Truth:
    place = case.only_line()
    case.lines[place] = replace(case.lines[place], amount=-case.lines[place].amount)
    return Truth("", "bank_line_wrong_sign")


@fault
def bank_line_digits(case: Case) -> Truth:
    place = case.only_line()
    line = case.lines[place]
    digits = str(abs(line.amount))
    places = [n for n in range(len(digits) - 1) if digits[n] != digits[n + 1]]
    if digits.find("0") == 1:
        places = [n for n in places if n != 0]  # a leading zero is not written
    if not places:
        raise DoesNotFitError("no two digits differ")
    n = case.random.choice(places)
    changed = int(digits[:n] + digits[n + 1] + digits[n] + digits[n + 2 :])
    case.lines[place] = replace(line, amount=changed if line.amount > 0 else -changed)
    return Truth("", "bank_digits_transposed")


@fault
def bank_line_decimal(case: Case) -> Truth:
    place = case.only_line()
    line = case.lines[place]
    factor = case.random.choice((10, 100))
    if case.random.random() < 0.5 or line.amount % factor:
        case.lines[place] = replace(line, amount=line.amount * factor)
    else:
        case.lines[place] = replace(line, amount=line.amount // factor)
    return Truth("", "bank_decimal_shifted")


@fault
def bank_pays_another_dates_total(case: Case) -> Truth:
    # A sum that has nothing to do with the group shows nothing else that is wrong with it.
    case.touch("alone")
    place = case.only_line()
    line = case.lines[place]
    # What the bank knows: dates before this one, of which the files have come.
    days = [day for day in range(min(case.days)) if day not in case.days]
    if case.days == THURSDAY or not days:
        raise DoesNotFitError("no date before")
    case.lines[place] = replace(line, amount=net(case, days[0]))
    return Truth("", "other_dates_total")


@fault
def bank_omits_a_date(case: Case) -> Truth:
    if case.days == THURSDAY:
        raise DoesNotFitError("one date")
    case.touch("dates")
    day = case.random.choice(case.days)
    # What is wrong with a date whose money is not there cannot be seen.
    case.unseen_days.add(day)
    place = next(place for place, line in enumerate(case.lines) if day in line.days)
    line = case.lines[place]
    if line.days == (day,):
        del case.lines[place]
    else:
        case.pay(day, -net(case, day))
    return Truth("", "date_not_arrived", frozenset({f"date {day}"}))


@fault
def bank_pays_a_date_twice(case: Case) -> Truth:
    if case.days == THURSDAY:
        raise DoesNotFitError("one date")
    case.touch("dates")
    day = case.random.choice(case.days)
    case.pay(day, net(case, day))
    return Truth("", "date_arrived_twice", frozenset({f"date {day}"}))


@fault
def bank_swaps_two_channels(case: Case) -> Truth:
    case.touch("line", "bank sum", "alone")
    other = drawn(f"{case.name}b", case.seed + 1_000_003, days=case.days)
    mine, theirs = case.own_lines(), other.own_lines()
    if len(mine) != 1 or len(theirs) != 1:
        raise DoesNotFitError("several lines")
    one, two = case.lines[mine[0]], other.lines[theirs[0]]
    case.lines[mine[0]] = replace(one, amount=two.amount)
    other.lines[theirs[0]] = replace(two, amount=one.amount)
    case.companion = other
    return Truth("", "groups_swapped")


@fault
def bank_takes_an_unknown_sum(case: Case) -> Truth:
    case.touch("alone")
    day = case.random.choice(case.days)
    case.pay(day, -int(10 ** case.random.uniform(1, 5)))
    return Truth("", None)


@fault
def bank_pays_an_unknown_sum(case: Case) -> Truth:
    case.touch("alone")
    day = case.random.choice(case.days)
    case.pay(day, int(10 ** case.random.uniform(1, 5)))
    return Truth("", None)


@fault
def bank_takes_a_round_sum(case: Case) -> Truth:
    case.touch("alone")
    day = case.random.choice(case.days)
    case.pay(day, -100 * int(10 ** case.random.uniform(0, 3)))
    return Truth("", None)


@fault
def bank_short_one_fen(case: Case) -> Truth:
    case.touch("alone")
    case.pay(case.random.choice(case.days), -1)
    return Truth("", None)


def _both_sides(case: Case, days: Iterable[int]) -> list[Record]:
    theirs = {row.references: row for row in case.vouchers}
    return [
        row
        for row in case.records
        if row.day in days
        and row.references in theirs
        and theirs[row.references].amount_minor == row.amount_minor
    ]


def _chosen(case: Case, rows: Sequence[Any]) -> Any:
    free = [row for row in rows if row.ref not in case.touched and row.day not in case.unseen_days]
    if not free:
        raise DoesNotFitError("no row")
    row = case.random.choice(free)
    case.touch(row.ref)
    return row


def _seen_day(case: Case) -> int:
    days = [day for day in case.days if day not in case.unseen_days]
    if not days:
        raise DoesNotFitError("no date")
    return case.random.choice(days)


@fault
def bank_leaves_out_a_record(case: Case) -> Truth:
    row = _chosen(case, _both_sides(case, case.days))
    case.pay(row.day, -(row.amount_minor - row.cost_minor))
    return Truth("", "matched_record_not_paid", frozenset({row.ref}))


@fault
def bank_pays_a_record_twice(case: Case) -> Truth:
    row = _chosen(case, _both_sides(case, case.days))
    case.pay(row.day, row.amount_minor - row.cost_minor)
    return Truth("", "matched_record_paid_twice", frozenset({row.ref}))


@fault
def bank_leaves_out_what_only_the_file_has(case: Case) -> Truth:
    known = {row.references for row in case.vouchers}
    rows = [row for row in case.records if row.day in case.days and row.references not in known]
    row = _chosen(case, rows)
    case.pay(row.day, -(row.amount_minor - row.cost_minor))
    return Truth("", "record_not_paid", frozenset({row.ref}))


@fault
def bank_pays_an_old_item(case: Case) -> Truth:
    if case.days == THURSDAY:
        raise DoesNotFitError("no date before")
    known = {row.references for row in case.records}
    rows = [row for row in case.vouchers if row.day == 0 and row.references not in known]
    row = _chosen(case, rows)
    day = case.random.choice(case.days)
    case.pay(day, row.amount_minor - cost(row.amount_minor, case.random.choice(case.rates)))
    return Truth("", "old_item_moved", frozenset({row.ref}))


def _charge(case: Case) -> Adjustment:
    if case.format != "unionpay":
        raise DoesNotFitError("no charges")
    if not any(row.day in case.days for row in case.adjustments):
        # One more, which the bank took as it should have.
        day = case.random.choice(case.days)
        case.pay(day, charge(case, day).funds_effect_minor)
    row: Adjustment = _chosen(case, [row for row in case.adjustments if row.day in case.days])
    return row


@fault
def bank_does_not_take_a_charge(case: Case) -> Truth:
    row = _charge(case)
    case.pay(row.day, -row.funds_effect_minor)
    return Truth("", "charge_not_taken", frozenset({row.ref}))


@fault
def bank_takes_a_charge_twice(case: Case) -> Truth:
    row = _charge(case)
    case.pay(row.day, row.funds_effect_minor)
    return Truth("", "charge_taken_twice", frozenset({row.ref}))


@fault
def bank_turns_a_charge_round(case: Case) -> Truth:
    row = _charge(case)
    case.pay(row.day, -2 * row.funds_effect_minor)
    return Truth("", "charge_wrong_sign", frozenset({row.ref}))


def _term(case: Case) -> tuple[str, int, int]:
    """A whole term of the group: its name, its amount and a date that it is paid with."""
    case.touch("term")
    names = ["channel_cost", *(["brand_fee"] if case.format == "unionpay" else [])]
    name = case.random.choice(names)
    total = (
        sum(row.cost_minor for row in case.records if row.day in case.days)
        if name == "channel_cost"
        else sum(row.brand_fee_minor for row in case.fees if row.day in case.days)
    )
    if total == 0:
        raise DoesNotFitError("nothing to take")
    return name, total, case.days[0]


@fault
def bank_does_not_take_a_term(case: Case) -> Truth:
    name, total, day = _term(case)
    case.pay(day, total)
    return Truth("", "term_not_taken", frozenset({name}))


@fault
def bank_takes_a_term_twice(case: Case) -> Truth:
    name, total, day = _term(case)
    case.pay(day, -total)
    return Truth("", "term_taken_twice", frozenset({name}))


@fault
def bank_turns_a_term_round(case: Case) -> Truth:
    name, total, day = _term(case)
    case.pay(day, 2 * total)
    return Truth("", "term_wrong_sign", frozenset({name}))


# --- what goes wrong in the channel's files -----------------------------------------------------


def _system_refs(case: Case, rows: Iterable[Record]) -> frozenset[str]:
    by_references = {row.references: row.ref for row in case.vouchers}
    return frozenset(by_references[row.references] for row in rows)


@fault
def file_lacks_a_record(case: Case) -> Truth:
    row = _chosen(case, _both_sides(case, case.days))
    case.records.remove(row)
    return Truth("", "record_missing", _system_refs(case, [row]))


@fault
def file_lacks_several_records(case: Case) -> Truth:
    case.touch("several")
    count = case.random.randrange(3, 5)
    rows = [_chosen(case, _both_sides(case, case.days)) for _ in range(count)]
    for row in rows:
        case.records.remove(row)
    return Truth("", "open_items_moved", _system_refs(case, rows))


@fault
def file_lacks_its_second_half(case: Case) -> Truth:
    case.touch("several", "file")
    day = _seen_day(case)
    rows = _both_sides(case, [day])
    gone = rows[len(rows) - max(2, int(len(rows) * case.random.uniform(0.1, 0.5))) :]
    lonely = {row.references for row in case.vouchers if row.day == day} - {
        row.references for row in case.records
    }
    case.vouchers = [row for row in case.vouchers if row.references not in lonely]
    for row in gone:
        case.touch(row.ref)
        case.records.remove(row)
    return Truth("", "records_missing", _system_refs(case, gone))


@fault
def file_repeats_a_record(case: Case) -> Truth:
    row = _chosen(case, _both_sides(case, case.days))
    again = replace(row, ref=f"c{900_000 + len(case.records)}")
    case.records.append(again)
    return Truth("", "record_doubled", frozenset({row.ref, again.ref, ANY}))


@fault
def file_comes_twice(case: Case) -> Truth:
    case.touch("file", "several")
    day = _seen_day(case)
    rows = [row for row in case.records if row.day == day]
    case.records += [
        replace(row, ref=f"c{800_000 + number}", part=1) for number, row in enumerate(rows)
    ]
    return Truth("", "doubled_file", frozenset({f"file {day}"}))


@fault
def file_is_another_dates(case: Case) -> Truth:
    case.touch("file", "several", "alone")
    if case.days == THURSDAY:
        raise DoesNotFitError("no date before")
    day = case.random.choice(case.days)
    before = [row for row in case.records if row.day == day - 1]
    case.records = [row for row in case.records if row.day != day] + [
        replace(row, ref=f"c{700_000 + number}", day=day) for number, row in enumerate(before)
    ]
    return Truth("", "other_dates_file", frozenset({f"file {day}"}))


def _changed(case: Case, change: Callable[[int], int]) -> Truth:
    row = _chosen(case, [row for row in _both_sides(case, case.days) if row.amount_minor > 0])
    minor = change(row.amount_minor)
    if minor in (0, row.amount_minor):
        raise DoesNotFitError("the same amount")
    changed = replace(
        row, amount_minor=minor, transaction_type="refund" if minor < 0 else "purchase"
    )
    if case.random.random() < 0.5:
        # The file's cost is that of its amount.
        rate = next(rate for rate in case.rates if cost(row.amount_minor, rate) == row.cost_minor)
        changed = replace(changed, cost_minor=cost(minor, rate))
    case.records[case.records.index(row)] = changed
    return Truth("", "mismatched_pair", frozenset({row.ref}))


@fault
def file_has_another_amount(case: Case) -> Truth:
    return _changed(case, lambda _: amount(case))


@fault
def file_has_digits_exchanged(case: Case) -> Truth:
    def exchange(minor: int) -> int:
        digits = str(minor)
        n = case.random.randrange(len(digits) - 1)
        return int(digits[:n] + digits[n + 1] + digits[n] + digits[n + 2 :])

    return _changed(case, exchange)


@fault
def file_has_ten_times_the_amount(case: Case) -> Truth:
    return _changed(case, lambda minor: minor * 10)


@fault
def file_adds_a_record(case: Case) -> Truth:
    row = record(case, _seen_day(case), amount(case), references(case))
    case.touch(row.ref)
    return Truth("", "record_not_paid", frozenset({row.ref}))


@fault
def file_repeats_a_charge(case: Case) -> Truth:
    row = _charge(case)
    again = replace(row, ref=f"b{row.ref[1:]}")
    case.adjustments.append(again)
    return Truth("", "charge_doubled", frozenset({row.ref, again.ref, ANY}))


@fault
def file_lacks_a_charge(case: Case) -> Truth:
    case.touch("alone")
    row = _charge(case)
    case.adjustments.remove(row)
    return Truth("", None)


@fault
def file_of_charges_is_missing(case: Case) -> Truth:
    case.touch("alone", "charges")
    if case.format != "unionpay":
        raise DoesNotFitError("no such file")
    day = case.random.choice(case.days)
    if not any(row.day == day for row in case.fees):
        raise DoesNotFitError("nothing in it")
    case.fees = [row for row in case.fees if row.day != day]
    case.missing_files.append(("alfee", day))
    return Truth("", "file_missing", frozenset({f"alfee {day}"}))


# --- what the equation does not see -------------------------------------------------------------


@fault
def platform_lacks_a_voucher(case: Case) -> Truth:
    case.touch("alone")
    row = _chosen(case, _both_sides(case, case.days))
    case.vouchers = [one for one in case.vouchers if one.references != row.references]
    return Truth("", TIES)


@fault
def platform_repeats_a_voucher(case: Case) -> Truth:
    case.touch("alone")
    row = case.random.choice([row for row in case.vouchers if row.day in case.days])
    case.vouchers.append(replace(row, ref=f"v{900_000 + len(case.vouchers)}"))
    return Truth("", TIES)


# --- cases, closed and explained ----------------------------------------------------------------

NAMED_KINDS = frozenset(FAULTS) - {
    "bank_takes_an_unknown_sum",
    "bank_pays_an_unknown_sum",
    "bank_takes_a_round_sum",
    "bank_short_one_fen",
    "file_lacks_a_charge",
    "platform_lacks_a_voucher",
    "platform_repeats_a_voucher",
}
_BANK_LAST = tuple(sorted(FAULTS, key=lambda kind: kind.startswith("bank_line")))


def with_faults(name: str, seed: int, kinds: Sequence[str]) -> Case | None:
    """Draw a channel and put faults of some kinds into it; None where they do not fit."""
    needs = {
        "bank_does_not_take_a_charge", "bank_takes_a_charge_twice", "bank_turns_a_charge_round",
        "file_repeats_a_charge", "file_lacks_a_charge", "file_of_charges_is_missing",
    }  # fmt: skip
    late = {
        "bank_pays_another_dates_total", "bank_omits_a_date", "bank_pays_a_date_twice",
        "bank_pays_an_old_item", "file_is_another_dates",
    }  # fmt: skip
    try:
        case = drawn(
            name,
            seed,
            format_="unionpay" if needs & set(kinds) else None,
            days=WEEKEND if late & set(kinds) else None,
        )
        # What the bank does wrong with a line, it does with the sum that it pays.
        for kind in sorted(kinds, key=_BANK_LAST.index):
            if len(kinds) > 1 and "alone" in case.touched:
                return None
            truth = FAULTS[kind](case)
            case.truths.append(replace(truth, kind=kind))
            if len(kinds) > 1 and "alone" in case.touched:
                return None
    except DoesNotFitError:
        return None
    return case


def alone(count: int, seed: int) -> list[Case]:
    """Cases of one fault, each kind as often as the others."""
    chance = random.Random(seed)
    found: list[Case] = []
    kinds = sorted(FAULTS)
    while len(found) < count:
        kind = kinds[len(found) % len(kinds)]
        case = with_faults(f"x{len(found):04d}", chance.randrange(10**12), [kind])
        if case is not None:
            found.append(case)
    return found


def pairs(count: int, seed: int) -> list[Case]:
    """Cases of two faults of different kinds in one group."""
    chance = random.Random(seed)
    found: list[Case] = []
    while len(found) < count:
        kinds = chance.sample(sorted(NAMED_KINDS), 2)
        case = with_faults(f"y{len(found):04d}", chance.randrange(10**12), kinds)
        if case is not None:
            found.append(case)
    return found


class _Writer(worlds._Writer):
    """Writes what the bank really did, and leaves out files that did not come."""

    def __init__(self, cases: Mapping[str, Case]) -> None:
        super().__init__(FIRST)
        self.cases = cases
        self.paid: list[tuple[str, Line]] = []
        self.unclassified: dict[str, str] = {}

    def arrivals(self, name: str, world: World) -> None:
        del world
        self.paid += [(name, line) for line in self.cases[name].lines]

    def statements(self) -> None:
        balance = 0
        for on in sorted({line.booked for _, line in self.paid}):
            lines = [(name, line) for name, line in self.paid if line.booked == on]
            opening = balance
            balance += sum(line.amount for _, line in lines)
            file_id = self.file("bank", "camt053", on)
            account = worlds.BANK_ACCOUNTS["CNY"]
            place = {
                "statement_id": f"ST{on:%Y%m%d}",
                "bank_account_id": account,
                "statement_date": on,
                "currency_code": "CNY",
            }
            self.add(
                "raw.bank_statements",
                file_id,
                on,
                **place,
                sequence_number=1,
                opening_balance_minor=opening,
                closing_balance_minor=balance,
                entry_count=len(lines),
            )
            for name, line in lines:
                text = "ARRIVAL PENDING" if line.names is None else f"ARRIVAL {line.names:%Y%m%d}"
                number = self.add(
                    "raw.bank_statement_lines",
                    file_id,
                    on,
                    **place,
                    booking_date=on,
                    value_date=on,
                    amount_minor=line.amount,
                    is_reversal=False,
                    is_return=False,
                    counterparty_name=f"{name} clearing",
                    remittance_text=text,
                    detail_count=0,
                )
                if line.names is None:
                    self.unclassified[f"{file_id}:{number}"] = name


def _world(case: Case) -> World:
    return World(
        format=case.format,
        rules=worlds.RULES[case.format][0],
        currencies=("CNY",),
        platform_cutoff_minutes=1320,
        cutoff_minutes=1320,
        skew_minutes=0,
        doubt_period_closes=2,
        arrival_calendar="working_day",
        arrival_lag_days=1,
        voided_pairs="both",
        merchants=(Merchant("net", "return", "0.006", 0, None, None),) * 2,
        vouchers=tuple(case.vouchers),
        records=tuple(case.records),
        adjustments=tuple(case.adjustments),
        brand_fees=tuple(case.fees),
        actions=(),
    )


@dataclass(frozen=True)
class Explained:
    """A case, its group's explanation, and the names that the database has for its refs."""

    case: Case
    explanation: Explanation
    ids: Mapping[str, str]

    def is_named_by(self, truth: Truth, parts: Iterable[Part]) -> bool:
        """Say whether one of some parts is the truth: its cause, and its rows.

        Open items that stand together in a part of several are named by it, too.
        """
        return any(
            self._has_rows(truth, part)
            for part in parts
            if part.cause_id == truth.cause
            or (part.cause_id == "open_items_moved" and truth.cause in ITEM_CAUSES)
        )

    def is_true(self, candidate: Candidate) -> bool:
        """Say whether a candidate names nothing that is not so."""
        return all(
            any(self.is_named_by(truth, [part]) for truth in self.case.truths)
            for part in candidate.parts
        )

    def _has_rows(self, truth: Truth, part: Part) -> bool:
        """Say whether a part's rows are the truth's, or those of a place alike are."""
        wanted = {ref for ref in truth.refs if ref != ANY}
        for rows in (part.rows, *part.alike):
            named = {_bare(row) for row in rows}
            found = [ref for ref in wanted if self._name(ref) in named]
            if len(found) == len(wanted) or (found and ANY in truth.refs):
                return True
        return False

    def _name(self, ref: str) -> str:
        """What `_bare` makes of the row that a ref is about."""
        name, _, day = ref.partition(" ")
        if day:
            return f"{name} {FIRST + timedelta(days=int(day))}"
        return self.ids.get(ref, ref)


def _bare(row: Row) -> str:
    """A row's name as the truth has it: its record, its term, or what of which date it is."""
    if row.table == "clearing.channel_terms":
        return f"date {row.row_id.partition('/')[0]}"
    if row.table == "gate.balance_equation":
        return row.row_id.rpartition("/")[2]
    if row.table == "control.channel_files":
        if "/" in row.row_id:
            _, kind, day = row.row_id.split("/")
            return f"{kind} {day}"
        day = (row.file_name or "").rsplit("_", 2)[1]
        return f"file {date.fromisoformat(day)}"
    if row.table == "reconciliation.suspense_items":
        return row.row_id[2:]
    return row.row_id


def closed(settings: Settings, cases: Sequence[Case]) -> list[Explained]:
    """Close and pay all cases in a migrated, seeded database of their own; explain each."""
    named = {case.name: case for case in cases}
    named |= {case.companion.name: case.companion for case in cases if case.companion}
    rendered, writer = rows_of(named)
    with database.connect(settings) as connection:
        closed_worlds.load(connection, rendered)
        # No case has dollars, and an account without statements holds nothing.
        connection.execute("delete from reference.bank_accounts where currency_code = 'USD'")
        for case in cases:
            for kind, _ in case.missing_files:
                connection.execute(
                    "insert into reference.expected_files"
                    " (channel, file_kind, calendar, due_minutes, correction)"
                    " values (%s, %s, 'every_day', 1980, 'by_person')",
                    [case.name, kind],
                )
    for day in range(CLOSED):
        builds.close(settings, FIRST + timedelta(days=day))
    for days in (THURSDAY, WEEKEND):
        builds.payment(settings, arrival_date(days))
    return explained(settings, cases, rendered, writer.unclassified)


def rows_of(named: Mapping[str, Case]) -> tuple[worlds.Rendered, _Writer]:
    """Write cases as landed rows."""
    writer = _Writer(named)
    for number, (name, case) in enumerate(named.items(), start=1):
        writer.world(number, name, _world(case))
    writer.statements()
    writer.window()
    return worlds.Rendered(writer.tables, writer.ids), writer


def explained(
    settings: Settings,
    cases: Sequence[Case],
    rendered: worlds.Rendered,
    unclassified: Mapping[str, str],
) -> list[Explained]:
    """Explain each case by itself, with a few other channels beside it as an acquirer has them."""
    facts: dict[date, Facts] = {}
    with database.connect(settings) as connection:
        for payment_date in sorted({case.payment_date for case in cases}):
            with connection.transaction():
                facts[payment_date] = read_facts(connection, payment_date)
    found = []
    for place, case in enumerate(cases):
        beside = [cases[(place + step) % len(cases)].name for step in range(1, NEIGHBOURS + 1)]
        names = {case.name, *beside, *([case.companion.name] if case.companion else [])}
        everything = facts[case.payment_date]
        own = replace(
            everything,
            groups=tuple(group for group in everything.groups if group.channel in names),
            strays=tuple(
                line
                for line in everything.strays
                if (line.arrival_group_id or "").partition("-")[0] in names
            ),
            unclassified=tuple(
                line
                for line in everything.unclassified
                if unclassified.get(line.row.row_id) in names
            ),
        )
        group_id = f"{case.name}-{case.arrives_on:%Y%m%d}-CNY"
        explanation = next(one for one in explain(own) if one.group.arrival_group_id == group_id)
        found.append(Explained(case, explanation, rendered.ids[case.name]))
    return found


# --- how good it is -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Judged:
    """What the explainer said of a case, beside the truth."""

    case: Case
    is_right: bool
    is_wrong_and_sure: bool
    said: str


def judge(one: Explained) -> Judged:
    """Judge a case: of one fault, the first candidate; of two, the first three together.

    Where no row shows the cause, right is to name none that is likely. A candidate that is sure and
    names one thing that is not so is wrong.
    """
    truths = [truth for truth in one.case.truths if truth.cause not in (None, TIES)]
    candidates = one.explanation.candidates
    first = candidates[0] if candidates else None
    if any(truth.cause == TIES for truth in one.case.truths):
        is_right = one.explanation.is_closed
    elif not truths:
        is_right = first is None or first.confidence == "possible"
    elif len(truths) == 1:
        is_right = first is not None and one.is_true(first)
    else:
        parts = [part for candidate in candidates[:3] for part in candidate.parts]
        is_right = all(one.is_named_by(truth, parts) for truth in truths)
    is_sure = first is not None and first.confidence == "sure"
    return Judged(
        case=one.case,
        is_right=is_right,
        is_wrong_and_sure=is_sure and first is not None and not one.is_true(first),
        said=_said(one),
    )


def _said(one: Explained) -> str:
    wanted = ", ".join(f"{truth.kind}={truth.cause}" for truth in one.case.truths)
    candidates = "; ".join(
        f"{candidate.confidence} {'+'.join(candidate.causes)} {candidate.share:.3f}"
        for candidate in one.explanation.candidates
    )
    group = one.explanation.group
    return (
        f"{one.case.name} seed {one.case.seed} {one.case.format} {group.arrival_group_id} "
        f"residual {group.residual_minor}: wanted {wanted}; said {candidates or 'nothing'}"
    )


# --- how long it takes --------------------------------------------------------------------------


def many_items(count: int, seed: int, payment_date: date) -> Facts:
    """One group with a great many open items, and a residual that is none of theirs."""
    chance = random.Random(seed)
    day = payment_date - timedelta(days=1)
    items = []
    for number in range(count):
        side = ("system", "channel")[number % 2]
        minor = int(10 ** chance.uniform(2, 5.7))
        row = Row("reconciliation.suspense_items", f"{side[0].upper()}:{number}", minor)
        opened = day if number % 4 < 2 else day - timedelta(days=chance.randrange(1, 60))
        is_pair = number < 200
        items.append(
            OpenItem(
                row=row,
                side=side,
                opened_on=opened,
                break_reason="amount_mismatch" if is_pair else None,
                linked_row_id=f"{'SC'[1 - number % 2]}:{number ^ 1}" if is_pair else None,
                cost_minor=cost(minor, 38) if side == "channel" else 0,
            )
        )
    group = Group(
        arrival_group_id="many",
        channel="many",
        currency_code="CNY",
        arrival_date=payment_date,
        accounting_dates=(day,),
        is_expected=True,
        residual_minor=chance.randrange(-5_000_000, 5_000_000),
        terms={"bank_arrival": 900_000_001, "channel_cost": 3_000_017},
        lines=(
            BankLine(
                Row("reconciliation.bank_match_lines", "f:1", 900_000_001), payment_date, "many"
            ),
        ),
        items=tuple(items),
        cost_rates=(38, 45, 55),
    )
    return Facts(payment_date, (group,))
