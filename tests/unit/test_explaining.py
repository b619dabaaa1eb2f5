"""What explains a residual: each cause from its rows, two at once, and none where nothing fits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import parts
from tieout.explaining import CAUSES, Explanation, Facts, Group, Row, as_dict, explain, told
from tieout.explaining.facts import (
    BankLine,
    ChannelRecord,
    Charge,
    DateTotal,
    FileContent,
    OpenItem,
    Waiting,
)
from tieout.explaining.hypotheses import cost_of
from tieout.explaining.sums import largest_size, subsets_with_sum

DAY = date(2026, 9, 24)
ARRIVAL = DAY + timedelta(days=1)
OWED = 8_512_437


def row(row_id: str, amount: int, table: str = "reconciliation.suspense_items") -> Row:
    return Row(table, row_id, amount, "file.csv", 7)


def line(number: int, amount: int, group_id: str | None = "g", booked: date = ARRIVAL) -> BankLine:
    place = row(f"bank:{number}", amount, "reconciliation.bank_match_lines")
    return BankLine(place, booked, group_id)


def item(row_id: str, amount: int, **changes: object) -> OpenItem:
    side = "system" if row_id.startswith("S") else "channel"
    made = OpenItem(row(row_id, amount), side, DAY, None, None, 0)
    return replace(made, **changes)  # type: ignore[arg-type]


def group(*lines: BankLine, owed: int = OWED, **changes: object) -> Group:
    """A group that is owed a sum and got its lines."""
    arrived = sum(one.row.amount_minor for one in lines)
    made = Group(
        arrival_group_id="g",
        channel="unionpay",
        currency_code="CNY",
        arrival_date=ARRIVAL,
        accounting_dates=(DAY,),
        is_expected=True,
        residual_minor=arrived - owed,
        terms={"bank_arrival": arrived},
        lines=lines,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def facts(*groups: Group, **changes: object) -> Facts:
    return replace(Facts(ARRIVAL, groups), **changes)  # type: ignore[arg-type]


def paid(effect: int, **changes: object) -> Facts:
    """One group that got more than it is owed, by an effect, in one line, with some rows."""
    return facts(group(line(1, OWED + effect), **changes))


# The rows that a day has, whatever is wrong: some of each kind, none of which fits by itself.
ITEMS = tuple(item(f"S:{n}", 1_000 + 317 * n * n) for n in range(8))
ITEMS += tuple(item(f"C:{n}", 2_003 + 411 * n * n, cost_minor=n) for n in range(8))
CHARGES = tuple(
    Charge(row(f"fee{n}", 151 + 97 * n * n, "fees"), "fee_collections", f"fee{n}") for n in range(4)
)
PAIR = (
    item("S:p", 51_200, break_reason="amount_mismatch", linked_row_id="C:p"),
    item("C:p", 15_200, break_reason="amount_mismatch", linked_row_id="S:p"),
)
DATES = (DAY, DAY + timedelta(days=1))
TOTALS = (DateTotal(DATES[0], 5_012_437), DateTotal(DATES[1], 3_500_000))


def missing_file(name: str) -> Waiting:
    return Waiting(row(name, 0, "control.channel_files"), DAY, "missing")


def file(name: str, digest: str, day: date = DAY, net: int = 777_123) -> FileContent:
    return FileContent(row(name, net, "control.channel_files"), day, 40, digest)


def swapped() -> Facts:
    # The other group is the date before of the channel, too.
    before = (DateTotal(DAY - timedelta(days=1), 4_000_123),)
    one = group(line(1, 4_000_123), totals=before)
    two = replace(group(line(2, OWED, "h"), owed=4_000_123), arrival_group_id="h")
    return facts(one, two)


BY_CAUSE: dict[str, Callable[[], Facts]] = {
    "arrival_missing": lambda: facts(group(items=ITEMS, charges=CHARGES)),
    "bank_line_unclassified": lambda: facts(
        group(items=ITEMS), unclassified=(line(1, OWED, None), line(2, 5, None))
    ),
    "bank_line_of_another_group": lambda: facts(group(items=ITEMS), strays=(line(1, OWED, "z"),)),
    "groups_swapped": swapped,
    "bank_line_doubled": lambda: facts(group(line(1, OWED), line(2, OWED), items=ITEMS)),
    "bank_line_wrong_sign": lambda: facts(group(line(1, -OWED), items=ITEMS)),
    "bank_digits_transposed": lambda: facts(group(line(1, 8_521_437), items=ITEMS)),
    "bank_decimal_shifted": lambda: facts(group(line(1, OWED * 100), items=ITEMS)),
    "other_dates_total": lambda: facts(
        group(line(1, 3_500_000), totals=(DateTotal(DAY - timedelta(days=1), 3_500_000),))
    ),
    "date_not_arrived": lambda: paid(-3_500_000, accounting_dates=DATES, totals=TOTALS),
    "date_arrived_twice": lambda: paid(3_500_000, accounting_dates=DATES, totals=TOTALS),
    "file_missing": lambda: paid(-4_711, waiting=(missing_file("unionpay/alfee"),)),
    "doubled_file": lambda: paid(
        -777_123, files=(file("f1", "a"), file("f2", "a"), file("f3", "b"))
    ),
    "other_dates_file": lambda: paid(
        98_765, files=(file("f1", "a"), file("f2", "a", DAY - timedelta(days=1)))
    ),
    "mismatched_pair": lambda: paid(36_000, items=(*ITEMS, *PAIR)),
    "record_doubled": lambda: paid(
        -(9_321 - 21), items=(*ITEMS, item("C:d", 9_321, break_reason="duplicate", cost_minor=21))
    ),
    # A rate of 0.38 %: the file that lacks the record lacks its cost, too.
    "record_missing": lambda: paid(
        98_700 - 375, items=(*ITEMS, item("S:m", 98_700)), cost_rates=(38,)
    ),
    "records_missing": lambda: paid(
        sum(one.row.amount_minor - cost_of(one.row.amount_minor, 38) for one in ITEMS[:8]),
        items=ITEMS,
        cost_rates=(38,),
    ),
    "record_not_paid": lambda: paid(
        -(45_600 - 33), items=(*ITEMS, item("C:n", 45_600, cost_minor=33))
    ),
    "old_item_moved": lambda: paid(
        61_200, items=(*ITEMS, item("S:o", 61_200, opened_on=DAY - timedelta(days=3)))
    ),
    "open_items_moved": lambda: paid(
        sum(one.row.amount_minor for one in ITEMS[3:6]), items=ITEMS[:8]
    ),
    "matched_record_not_paid": lambda: paid(
        -(88_123 - 44),
        items=ITEMS,
        records=(ChannelRecord(row("r1", 88_123), 44), ChannelRecord(row("r2", 5_000), 1)),
    ),
    "matched_record_paid_twice": lambda: paid(
        88_123 - 44,
        items=ITEMS,
        records=(ChannelRecord(row("r1", 88_123), 44), ChannelRecord(row("r2", 5_000), 1)),
    ),
    "charge_doubled": lambda: paid(
        31_700,
        charges=(
            *CHARGES,
            *(Charge(row(f"d{n}", 31_700, "fees"), "fee_collections", "d") for n in range(2)),
        ),
    ),
    "charge_not_taken": lambda: paid(
        66_213,
        items=ITEMS,
        charges=(*CHARGES, Charge(row("big", 66_213, "fees"), "brand_fee", "b")),
    ),
    "charge_taken_twice": lambda: paid(
        -66_213,
        items=ITEMS,
        charges=(*CHARGES, Charge(row("big", 66_213, "fees"), "brand_fee", "b")),
    ),
    "charge_wrong_sign": lambda: paid(
        -2 * 66_213,
        items=ITEMS,
        charges=(*CHARGES, Charge(row("big", -66_213, "fees"), "adjustments_taken", "b")),
    ),
    "term_not_taken": lambda: paid(
        23_119, items=ITEMS, terms={"bank_arrival": OWED + 23_119, "channel_cost": 23_119}
    ),
    "term_taken_twice": lambda: paid(
        -23_119, items=ITEMS, terms={"bank_arrival": OWED - 23_119, "channel_cost": 23_119}
    ),
    "term_wrong_sign": lambda: paid(
        46_238, items=ITEMS, terms={"bank_arrival": OWED + 46_238, "channel_cost": 23_119}
    ),
}


def explained(known: Facts) -> Explanation:
    """The explanation of the group that the test is about."""
    return next(one for one in explain(known) if one.group.arrival_group_id == "g")


def test_every_cause_has_its_case() -> None:
    assert len(CAUSES) > 25
    assert set(BY_CAUSE) == set(CAUSES)


@pytest.mark.parametrize("cause_id", sorted(CAUSES))
def test_a_cause_is_named_first_from_its_rows(cause_id: str) -> None:
    one = explained(BY_CAUSE[cause_id]())
    assert one.candidates, cause_id
    first = one.candidates[0]
    assert first.causes == (cause_id,)
    assert first.confidence in ("sure", "likely")
    assert sum(part.effect_minor for part in first.parts) == one.group.residual_minor
    assert all(part.rows for part in first.parts)


@pytest.mark.parametrize("cause_id", sorted(CAUSES))
def test_without_its_rows_a_cause_is_not_named(cause_id: str) -> None:
    """The same residual, of a group that has nothing to show for it but a line of equal digits."""
    known = BY_CAUSE[cause_id]()
    residual = explained(known).group.residual_minor
    bare = facts(group(line(1, 11_111_111), owed=11_111_111 - residual))
    assert cause_id not in {
        cause for candidate in explained(bare).candidates for cause in candidate.causes
    }


def test_a_group_that_closes_has_nothing_to_explain() -> None:
    one = explained(facts(group(line(1, OWED), items=(*ITEMS, *PAIR), charges=CHARGES)))
    assert one.is_closed
    assert one.candidates == ()
    assert told((one,)) == []


def test_no_cause_is_named_where_none_fits() -> None:
    one = explained(paid(-123_457, items=(*ITEMS, *PAIR), charges=CHARGES))
    assert one.candidates == ()
    assert one.rest_minor == -123_457
    assert one.open_beside > len(ITEMS)
    assert "no cause is named" in told((one,))[1]


def test_two_things_at_once_are_both_named() -> None:
    doubled = facts(group(line(1, OWED - 45_567), line(2, OWED - 45_567), items=(
        *ITEMS, item("C:n", 45_600, cost_minor=33)), charges=CHARGES))  # fmt: skip
    first = explained(doubled).candidates[0]
    assert first.causes == ("bank_line_doubled", "record_not_paid")
    assert [part.effect_minor for part in first.parts] == [OWED - 45_567, -45_567]


def test_the_identity_is_what_is_named_and_the_rest() -> None:
    """A mismatched pair is an open thing with a name; a line of the wrong direction is not."""
    one = explained(facts(group(line(1, -OWED - 36_000), items=PAIR)))
    (candidate, *_) = one.candidates
    assert set(candidate.causes) == {"bank_line_wrong_sign", "mismatched_pair"}
    assert [(part.cause_id, part.effect_minor) for part in one.named] == [
        ("mismatched_pair", 36_000)
    ]
    assert one.rest_minor == one.group.residual_minor - 36_000 == 2 * (-OWED - 36_000)


def test_places_that_fit_alike_are_all_shown_and_none_is_chosen() -> None:
    records = tuple(ChannelRecord(row(f"r{n}", 9_900), 30) for n in range(3))
    one = explained(paid(-9_870, items=ITEMS, records=records))
    (part,) = one.candidates[0].parts
    assert {part.rows[0].row_id, *(rows[0].row_id for rows in part.alike)} == {"r0", "r1", "r2"}
    assert "or one of 2 alike" in told((one,))[1]


def test_one_fitting_item_of_very_many_is_not_sure() -> None:
    """Among so many amounts one fits by chance."""
    few = explained(paid(777, items=(item("S:1", 777),)))
    assert few.candidates[0].confidence == "sure"
    many = tuple(item(f"S:{n}", 77 + 2 * n) for n in range(20_000))
    assert [one.confidence for one in explained(paid(777, items=many)).candidates] == ["possible"]
    assert explained(paid(77, items=many)).candidates == ()


def test_a_line_in_no_group_makes_missing_money_less_sure() -> None:
    one = explained(facts(group(), unclassified=(line(1, OWED - 5_555, None),)))
    missing, unclassified = one.candidates
    assert (missing.causes, missing.confidence) == (("arrival_missing",), "likely")
    assert unclassified.causes == ("bank_line_unclassified",)
    assert unclassified.parts[0].effect_minor == -(OWED - 5_555)
    assert missing.share > unclassified.share


def test_a_line_of_the_channel_that_stays_unexplained_lessens_trust() -> None:
    """Of another channel it has nothing to do with the group."""
    found = {}
    for channel in ("unionpay", "wechat"):
        stray = line(9, 1_234_567, f"{channel}-20260930-CNY")
        known = paid(-3_500_000, accounting_dates=DATES, totals=TOTALS)
        (found[channel], *_) = explained(replace(known, strays=(stray,))).candidates
    assert found["unionpay"].causes == found["wechat"].causes == ("date_not_arrived",)
    assert found["unionpay"].share < found["wechat"].share


def test_explaining_is_the_same_each_time() -> None:
    known = paid(36_000 - 45_567, items=(*ITEMS, *PAIR, item("C:n", 45_600, cost_minor=33)))
    shuffled = replace(
        known, groups=tuple(replace(one, items=one.items[::-1]) for one in known.groups)
    )
    assert as_dict(explained(known)) == as_dict(explained(known))
    causes = [candidate.causes for candidate in explained(known).candidates]
    assert causes == [candidate.causes for candidate in explained(shuffled).candidates]


def test_what_is_told_names_file_and_line_and_amount() -> None:
    (head, first, *_) = told(explain(paid(36_000, items=(*ITEMS, *PAIR))))
    assert head == "g: residual 360.00 CNY = mismatched_pair 360.00 + rest 0.00"
    assert first.startswith("  sure: mismatched_pair 360.00 CNY: ")
    assert "file.csv:7" in first


def test_json_holds_whole_amounts_and_every_row() -> None:
    found = as_dict(explained(paid(36_000, items=(*ITEMS, *PAIR))))
    (part,) = found["candidates"][0]["parts"]
    assert part["effect_minor"] == 36_000
    assert part["next_step"] == CAUSES["mismatched_pair"].next_step
    assert {one["id"] for one in part["rows"]} == {"S:p", "C:p"}
    assert {"table", "id", "file", "line", "amount_minor"} == set(part["rows"][0])


# --- subsets ------------------------------------------------------------------------------------


@given(
    amounts=st.lists(st.integers(-12, 12), max_size=9),
    target=st.integers(-30, 30),
    sizes=st.tuples(st.integers(0, 4), st.integers(1, 7)),
)
@settings(max_examples=parts.examples(400), deadline=None)
def test_subsets_are_those_of_brute_force(
    amounts: list[int], target: int, sizes: tuple[int, int]
) -> None:
    wanted = range(sizes[0], sizes[0] + sizes[1])
    by_force = [
        chosen
        for size in wanted
        if size > 0
        for chosen in combinations(range(len(amounts)), size)
        if sum(amounts[place] for place in chosen) == target
    ]
    assert list(subsets_with_sum(amounts, target, sizes=wanted)) == by_force


@given(count=st.integers(0, 400), bound=st.integers(1, 5_000))
@settings(max_examples=parts.examples(100), deadline=None)
def test_what_is_searched_whole_stays_within_its_bound(count: int, bound: int) -> None:
    size = largest_size(count, bound)
    half = list(range((count + 1) // 2))

    def kept(last: int) -> int:
        total, of_size = 1, 1
        for number in range(1, last + 1):
            of_size = of_size * (len(half) - number + 1) // number
            total += of_size
        return total

    assert 0 <= size <= count
    assert kept(size) <= bound or size == 0
    assert size == count or kept(size + 1) > bound


def test_more_subsets_than_are_searched_whole_are_refused() -> None:
    with pytest.raises(ValueError, match="more than 10"):
        list(subsets_with_sum(list(range(30)), 5, sizes=range(1, 4), bound=10))
