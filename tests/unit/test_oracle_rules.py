"""The oracle by itself: the rules of docs/reconciliation.md on examples worked out by hand.

And its properties on random weeks, without a database, so that a broken one shrinks.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings

import closed_worlds
import oracle
import worlds
from parts import examples
from worlds import Action, Adjustment, BrandFee, Merchant, Record, Voucher, World

SHANGHAI = ZoneInfo("Asia/Shanghai")
DATES = closed_worlds.dates_from(worlds.FIRST_DATE)
NET = Merchant("net", "return", "0.006", 0, None, None)
PLAIN = World(
    format="unionpay",
    rules=worlds.RULES["unionpay"][1],
    currencies=("CNY", "USD"),
    platform_cutoff_minutes=1380,
    cutoff_minutes=1440,
    skew_minutes=5,
    doubt_period_closes=1,
    arrival_calendar="calendar_day",
    arrival_lag_days=1,
    voided_pairs="both",
    merchants=(NET, NET),
    vouchers=(),
    records=(),
    adjustments=(),
    brand_fees=(),
    actions=(),
)
SMALL = settings(
    max_examples=examples(60),
    deadline=None,
    derandomize=True,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def refs(key: str | None, reference: str | None = None) -> tuple[tuple[str, str | None], ...]:
    """References with ``key`` as the primary key (None: none) and a fallback reference."""
    return (
        ("acquiring_institution_id", "48370000"),
        ("forwarding_institution_id", "00049992"),
        ("trace_number", key),
        ("transmission_time", "0924101530"),
        ("retrieval_reference_number", reference),
        ("terminal_id", None),
        ("channel_order_id", None),
        ("refund_order_id", None),
        ("merchant_order_id", None),
    )


def at(day: int, clock: str = "12:00:00") -> datetime:
    """An instant on a date of the week."""
    on = DATES[0] + timedelta(days=day)
    return datetime.fromisoformat(f"{on}T{clock}").replace(tzinfo=SHANGHAI)


def s(
    ref: str,
    day: int,
    amount: int,
    key: str | None = "1",
    *,
    currency: str = "CNY",
    fallback: str | None = None,
    time: datetime | None = None,
    **columns: Any,
) -> Voucher:
    """A voucher of the platform."""
    kind = columns.pop("kind", "purchase" if amount > 0 else "refund")
    if amount < 0:
        columns = {
            "original": "before",
            "original_at": at(-20),
            "original_amount_minor": -amount,
            "refunded_before_minor": 0,
            **columns,
        }
    return Voucher(
        ref, day, time or at(day), kind, 0, currency, amount, refs(key, fallback), **columns
    )


def c(
    ref: str,
    day: int,
    amount: int,
    key: str | None = "1",
    *,
    currency: str = "CNY",
    fallback: str | None = None,
    time: datetime | None = None,
    cost: int = 0,
    kind: str | None = None,
) -> Record:
    """A record of the channel."""
    kind = kind or ("purchase" if amount > 0 else "refund")
    return Record(ref, day, time or at(day), kind, currency, amount, cost, refs(key, fallback))


def a(ref: str, day: int, effect: int, key: str = "1", kind: str | None = None) -> Adjustment:
    """An adjustment of the channel; effect + = we get it."""
    kind = kind or ("debit_adjustment" if effect > 0 else "credit_adjustment")
    return Adjustment(ref, day, kind, 0, "CNY", effect, 0, refs(key))


def closed(*rows: Any, actions: tuple[Action, ...] = (), **changes: Any) -> Week:
    """Close the week of some rows."""
    world = replace(
        PLAIN,
        vouchers=tuple(row for row in rows if isinstance(row, Voucher)),
        records=tuple(row for row in rows if isinstance(row, Record)),
        adjustments=tuple(row for row in rows if isinstance(row, Adjustment)),
        brand_fees=tuple(row for row in rows if isinstance(row, BrandFee)),
        actions=actions,
        **changes,
    )
    return Week(world)


class Week:
    """What became of a world, by the refs of its rows."""

    def __init__(self, world: World) -> None:
        self.all = closed_worlds.by_oracle_alone({"w": world})
        self.refs = self.all.rendered.references("w")
        self.closes = self.all.closes["w"]

    def _ref(self, some_id: str | None) -> str:
        return "-" if some_id is None else self.refs[some_id.removeprefix("S:").removeprefix("C:")]

    def results(self) -> list[str]:
        """Each row as `day outcome system record [reason] [rule]`, in order."""
        found = []
        for row in (row for close in self.closes for row in close.results):
            parts = [
                str((row.accounting_date - DATES[0]).days),
                row.outcome,
                self._ref(row.system_id),
                self._ref(row.channel_id),
                *([row.break_reason] if row.break_reason else []),
                *([row.match_rule] if row.match_rule else []),
            ]
            found.append(" ".join(parts))
        return sorted(found)

    def item(self, ref: str, day: int) -> str:
        """An item on a date as `status [method] [reason] [>linked]`; gone where it ended before."""
        for item in self.closes[day].items:
            if self._ref(item.item_id) == ref:
                linked = item.linked_item_id
                parts = (
                    item.status,
                    item.resolution_method,
                    item.break_reason,
                    f">{self._ref(linked)}" if linked else None,
                )
                return " ".join(part for part in parts if part)
        return "gone"


# --- docs/domain.md#worked-example --------------------------------------------------------------


def test_worked_example_of_the_balance_equation() -> None:
    week = closed(
        s("v1", 0, 10_000, "1"),
        s("v2", 0, 20_000, "2"),
        s("v3", 0, 5_000, "3"),
        c("c1", 0, 10_000, "1", cost=85),
        c("c2", 0, 20_000, "2", cost=60),
        c("c3", 0, 7_000, "4", cost=40),
        a("a1", 0, -1_000, "old"),
        BrandFee(0, "CNY", 4),
    )
    equation = next(
        row
        for row in week.all.equations
        if row.accounting_dates == (DATES[0],) and row.currency_code == "CNY"
    )
    assert equation == oracle.Equation(
        payment_date=date(2026, 9, 28),
        arrival_date=date(2026, 9, 25),
        channel="w",
        currency_code="CNY",
        accounting_dates=(DATES[0],),
        bank_arrival=35_811,
        channel_suspense_opened=7_000,
        channel_suspense_resolved=0,
        system_suspense_opened=5_000,
        system_suspense_resolved=0,
        channel_cost=185,
        brand_fee=4,
        adjustments_taken=1_000,
        fee_collections=0,
        merchant_fee=210,
        clearing=34_790,
    )
    assert equation.residual == 0


@pytest.mark.parametrize(
    ("amount", "expected"),
    [("0.5", 1), ("-0.5", -1), ("1.4999", 1), ("2.5", 3), ("-2.5", -3), ("0", 0)],
)
def test_rounding_is_half_away_from_zero(amount: str, expected: int) -> None:
    assert oracle.round_half_away(Fraction(amount)) == expected


@pytest.mark.parametrize(("amount", "fee"), [(20_000, 60), (1, 2), (5_000, 30)])
def test_fee_has_a_minimum_and_a_cap(amount: int, fee: int) -> None:
    limited = replace(NET, minimum_fee_minor=2, cap_fee_minor=60)
    week = closed(s("v1", 0, amount), merchants=(limited, limited))
    assert oracle.merchant_fee(week.all.source, week.all.source.vouchers[0]) == fee


def test_parts_of_a_refund_return_the_whole_fee() -> None:
    """docs/decisions/0003: three thirds of 1.00 with a fee of 0.01."""
    parts = [
        s(
            f"v{number}",
            0,
            -amount,
            str(number),
            original_amount_minor=100,
            refunded_before_minor=before,
        )
        for number, (amount, before) in enumerate([(33, 0), (33, 33), (34, 66)], start=1)
    ]
    week = closed(*parts)
    fees = [oracle.merchant_fee(week.all.source, voucher) for voucher in week.all.source.vouchers]
    assert sum(fees) == -1
    assert sorted(fees) == [-1, 0, 0]


# --- §1 and §2 ----------------------------------------------------------------------------------

PAIRING = {
    "same date": ([s("v1", 1, 5), c("c1", 1, 5)], ["1 matched v1 c1 rule_1"]),
    "identical records by occurrence": (
        [
            s("v1", 1, 5, time=at(1, "10:00:00")),
            s("v2", 1, 5, time=at(1, "11:00:00")),
            c("c1", 1, 5, time=at(1, "11:30:00")),
            c("c2", 1, 5, time=at(1, "09:00:00")),
        ],
        ["1 matched v1 c2 rule_1", "1 matched v2 c1 rule_1"],
    ),
    "a late channel": (
        [s("v1", 1, 5), c("c1", 3, 5)],
        ["1 system_in_doubt v1 -", "3 system_resolved v1 c1 rule_1"],
    ),
    "a late platform": (
        [s("v1", 2, 5), c("c1", 1, 5, time=at(1, "23:30:00"))],
        ["1 channel_in_doubt - c1", "2 channel_resolved v1 c1 rule_1"],
    ),
    "same date before an older item": (
        [c("c1", 1, 5), s("v1", 2, 5), c("c2", 2, 5)],
        ["1 channel_one_sided - c1", "2 matched v1 c2 rule_1"],
    ),
    "the oldest item first": (
        [c("c1", 2, 5, time=at(0)), c("c2", 1, 5), s("v1", 3, 5)],
        [
            "1 channel_one_sided - c2",
            "2 channel_one_sided - c1",
            "3 channel_resolved v1 c2 rule_1",
        ],
    ),
    "duplicate": (
        [s("v1", 1, 5), c("c1", 1, 5), c("c2", 1, 5)],
        ["1 channel_one_sided - c2 duplicate", "1 matched v1 c1 rule_1"],
    ),
    "a second one on a later date is a duplicate too": (
        [s("v1", 1, 5), c("c1", 1, 5), c("c2", 2, 5)],
        ["1 matched v1 c1 rule_1", "2 channel_one_sided - c2 duplicate"],
    ),
    "but not one of the other direction": (
        [s("v1", 1, 5), c("c1", 1, 5), c("c2", 2, -5)],
        ["1 matched v1 c1 rule_1", "2 channel_one_sided - c2"],
    ),
    "nor of a voucher that an adjustment ended unpaired": (
        [s("v1", 1, 5), a("a1", 2, 5), c("c1", 3, 5)],
        ["1 system_in_doubt v1 -", "3 channel_one_sided - c1"],
    ),
    "duplicate of a late match, by another amount": (
        [s("v1", 1, 5), c("c1", 2, 5), c("c2", 2, 7)],
        [
            "1 system_in_doubt v1 -",
            "2 channel_one_sided - c2 duplicate",
            "2 system_resolved v1 c1 rule_1",
        ],
    ),
    "fallback without a primary key on the platform": (
        [s("v1", 1, 5, None, fallback="R"), c("c1", 1, 5, fallback="R")],
        ["1 matched v1 c1 rule_2"],
    ),
    "no fallback between two primary keys": (
        [s("v1", 1, 5, "1", fallback="R"), c("c1", 1, 5, "2", fallback="R")],
        ["1 channel_one_sided - c1", "1 system_in_doubt v1 -"],
    ),
    "fallback with an open item": (
        [s("v1", 1, 5, None, fallback="R"), c("c1", 2, 5, fallback="R")],
        ["1 system_in_doubt v1 -", "2 system_resolved v1 c1 rule_2"],
    ),
    "primary key with an open item before a fallback of the date": (
        [
            s("v1", 1, 5, "1"),
            s("v2", 2, 5, None, fallback="R"),
            c("c1", 2, 5, "1", fallback="R"),
        ],
        [
            "1 system_in_doubt v1 -",
            "2 system_in_doubt v2 -",
            "2 system_resolved v1 c1 rule_1",
        ],
    ),
    "duplicate by a fallback only without a primary key": (
        [
            s("v1", 1, 5, None, fallback="R"),
            c("c1", 1, 5, "1", fallback="R"),
            c("c2", 1, 5, "2", fallback="R"),
            s("v2", 1, 7, None, fallback="R"),
            s("v3", 1, 7, None, fallback="R"),
        ],
        [
            "1 channel_one_sided - c2 amount_mismatch",
            "1 matched v1 c1 rule_2",
            "1 system_one_sided v2 - amount_mismatch",
            "1 system_one_sided v3 - duplicate",
        ],
    ),
    "a primary key keeps a fallback from calling it a duplicate": (
        [
            s("v1", 1, 5, None, fallback="R"),
            c("c1", 1, 5, "1", fallback="R"),
            c("c2", 1, 5, "2", fallback="R"),
        ],
        ["1 channel_one_sided - c2", "1 matched v1 c1 rule_2"],
    ),
    "a linked item links to nothing else": (
        [s("v1", 1, 5), c("c1", 1, 6), c("c2", 2, 7)],
        [
            "1 channel_one_sided - c1 amount_mismatch",
            "1 system_one_sided v1 - amount_mismatch",
            "2 channel_one_sided - c2",
        ],
    ),
    "nor does one of the channel": (
        [s("v1", 1, 5), c("c1", 1, 6), s("v2", 2, 7)],
        [
            "1 channel_one_sided - c1 amount_mismatch",
            "1 system_one_sided v1 - amount_mismatch",
            "2 system_in_doubt v2 -",
        ],
    ),
    "no reference": (
        [s("v1", 1, 5, None), c("c1", 1, 5)],
        ["1 channel_one_sided - c1", "1 system_one_sided v1 - no_reference"],
    ),
    "another amount": (
        [s("v1", 1, 5), c("c1", 1, 6)],
        [
            "1 channel_one_sided - c1 amount_mismatch",
            "1 system_one_sided v1 - amount_mismatch",
        ],
    ),
    "another direction": (
        [s("v1", 1, 5), c("c1", 1, -6)],
        [
            "1 channel_one_sided - c1 direction_mismatch",
            "1 system_one_sided v1 - direction_mismatch",
        ],
    ),
    "another currency says more than the rest": (
        [s("v1", 1, 5), c("c1", 1, -6, currency="USD")],
        [
            "1 channel_one_sided - c1 currency_mismatch",
            "1 system_one_sided v1 - currency_mismatch",
        ],
    ),
    "another amount on another date": (
        [s("v1", 1, 5), c("c1", 2, 6)],
        ["1 system_in_doubt v1 -", "2 channel_one_sided - c1 amount_mismatch"],
    ),
    "not in the pool": (
        [s("v1", 1, 5, is_success=False), s("v2", 1, 0, "2", kind="balance_inquiry")],
        [],
    ),
    "the reversal of a failed sale": (
        [
            s("v1", 1, 5, is_success=False),
            s("v2", 2, -5, "2", kind="reversal", original="v1", original_at=at(1)),
        ],
        [],
    ),
    "the reversal of a sale that failed long ago": (
        [
            s("v1", 1, 5, is_success=False),
            s("v2", 3, -5, "2", kind="reversal", original="v1", original_at=at(1)),
        ],
        [],
    ),
}


@pytest.mark.parametrize("name", PAIRING)
def test_pairing(name: str) -> None:
    rows, expected = PAIRING[name]
    assert closed(*rows).results() == expected


BY_REFERENCE = {
    "fallback without a primary key in the channel": (
        [s("v1", 1, 5, fallback="R"), c("c1", 1, 5)],
        ["1 matched v1 c1 rule_2"],
    ),
    "and with an open item": (
        [c("c1", 1, 5), s("v1", 2, 5, fallback="R")],
        ["1 channel_one_sided - c1", "2 channel_resolved v1 c1 rule_2"],
    ),
    "(a) before (b)": (
        [
            s("v1", 1, 5, fallback="R", time=at(1, "10:00:00")),
            s("v2", 1, 5, time=at(1, "11:00:00")),
            c("c1", 1, 5),
        ],
        ["1 matched v2 c1 rule_2", "1 system_in_doubt v1 -"],
    ),
    "a mismatch by a fallback": (
        [s("v1", 1, 5, fallback="R"), c("c1", 1, 6)],
        [
            "1 channel_one_sided - c1 amount_mismatch",
            "1 system_one_sided v1 - amount_mismatch",
        ],
    ),
}


@pytest.mark.parametrize("name", BY_REFERENCE)
def test_pairing_where_the_channel_may_lack_the_primary_key(name: str) -> None:
    rows, expected = BY_REFERENCE[name]
    assert closed(*rows, rules=worlds.RULES["unionpay"][3]).results() == expected


OF_V1 = {"kind": "void", "original": "v1", "original_at": at(1), "original_amount_minor": 5}
VOID = [s("v1", 1, 5), s("v2", 1, -5, "2", **OF_V1)]
VOIDED_LATER = [s("v1", 1, 5), s("v2", 2, -5, "2", **OF_V1)]
# Refused (docs/decisions/0036): a void takes all of its sale. So the sale stays alone.
VOIDED_IN_PART = [s("v1", 1, 5), s("v2", 1, -4, "2", **OF_V1)]


@pytest.mark.parametrize(
    ("rows", "voided_pairs", "left"),
    [
        (VOID, "both", 2),
        (VOID, "none", 0),
        (VOIDED_LATER, "none", 2),
        (VOIDED_IN_PART, "both", 1),
        (VOIDED_IN_PART, "none", 1),
    ],
)
def test_voided_pairs(rows: list[Voucher], voided_pairs: str, left: int) -> None:
    week = closed(*rows, voided_pairs=voided_pairs)
    assert len(week.results()) == left
    assert all(
        row.clearing == row.system_suspense_opened - row.merchant_fee for row in week.all.equations
    )


# --- §3 -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cutoff", "row", "expected"),
    [
        (1440, c("c1", 1, 5, time=at(1, "22:54:59")), "channel_one_sided"),
        (1440, c("c1", 1, 5, time=at(1, "22:55:00")), "channel_in_doubt"),
        (1440, c("c1", 1, 5, time=at(1, "23:59:59")), "channel_in_doubt"),
        (1380, c("c1", 1, 5, time=at(1, "22:54:59")), "channel_one_sided"),
        (1380, c("c1", 1, 5, time=at(1, "22:55:00")), "channel_in_doubt"),
        (1380, c("c1", 1, 5, time=at(1, "23:05:00")), "channel_in_doubt"),
        (1380, c("c1", 1, 5, time=at(1, "23:05:01")), "channel_one_sided"),
        # The cutoff before is not this date's.
        (1380, c("c1", 1, 5, time=at(0, "23:00:00")), "channel_one_sided"),
        (1440, s("v1", 1, 5, time=at(0, "23:59:59")), "system_one_sided"),
        (1440, s("v1", 1, 5, time=at(1, "00:00:00")), "system_in_doubt"),
        (1380, s("v1", 1, 5, time=at(0, "23:00:00")), "system_in_doubt"),
    ],
)
def test_doubt_to_the_second(cutoff: int, row: Voucher | Record, expected: str) -> None:
    (result,) = closed(row, cutoff_minutes=cutoff).results()
    assert result.split()[:2] == ["1", expected]


@pytest.mark.parametrize("period", [1, 2])
def test_doubt_ends_after_its_period(period: int) -> None:
    week = closed(s("v1", 1, 5), doubt_period_closes=period)
    statuses = [week.item("v1", day) for day in range(1, 5)]
    assert statuses == ["in_doubt"] * period + ["one_sided"] * (4 - period)
    assert len(week.results()) == 1


# --- §4 -----------------------------------------------------------------------------------------


def test_a_mismatch_on_another_date_marks_the_old_item() -> None:
    week = closed(s("v1", 1, 5), c("c1", 2, 6), doubt_period_closes=2)
    assert week.item("v1", 1) == "in_doubt"
    assert week.item("v1", 2) == "one_sided amount_mismatch >c1"
    assert week.item("c1", 2) == "one_sided amount_mismatch >v1"


def test_a_linked_item_stays_matchable() -> None:
    week = closed(s("v1", 1, 5), c("c1", 1, 6), c("c2", 2, 5))
    assert week.item("v1", 2) == "resolved late_match amount_mismatch >c1"
    assert week.item("c1", 2) == "one_sided amount_mismatch >v1"


@pytest.mark.parametrize(
    ("rows", "ends", "on"),
    [
        ([c("c1", 1, 5), a("a1", 2, -5)], "c1", 2),
        ([s("v1", 1, 5), a("a1", 2, 5)], "v1", 2),
        # Parts, and one that came on the item's own date.
        ([c("c1", 1, 5), a("a1", 2, -2), a("a2", 4, -3)], "c1", 4),
        ([c("c1", 1, 5), a("a1", 1, -5)], "c1", 2),
        # A chargeback is taken where it fits exactly.
        ([c("c1", 1, 5), a("a1", 2, -5, kind="first_chargeback")], "c1", 2),
        # One that names no sale of ours is charged to nobody: suspended, it waits for more.
        ([c("c1", 1, 5), a("a1", 2, -2, kind="first_chargeback"), a("a2", 3, -3)], "c1", 3),
        ([c("c1", 1, 5), a("a1", 2, -2, kind="first_chargeback"), a("a2", 2, -3)], "c1", 3),
        # A linked pair needs its difference.
        ([s("v1", 1, 5), c("c1", 1, 8), a("a1", 2, -3)], "v1", 2),
        ([s("v1", 1, 5), c("c1", 1, 8), a("a1", 2, -3)], "c1", 2),
        ([s("v1", 1, 5), c("c1", 2, 8), a("a1", 3, -1), a("a2", 3, -2)], "v1", 3),
        # One linked by a fallback has the primary key that one of its items has.
        ([s("v1", 1, 5, None, fallback="R"), c("c1", 1, 8, fallback="R"), a("a1", 2, -3)], "v1", 2),
    ],
)
def test_adjustments_that_end_an_item(rows: list[Any], ends: str, on: int) -> None:
    week = closed(*rows)
    assert week.item(ends, on).startswith("adjusted adjustment")
    assert week.item(ends, on - 1).startswith(("one_sided", "in_doubt"))
    assert week.item(ends, on + 1) == "gone"


# A sale of ours that the channel has twice: the first is paired, c1 is left.
PAID_TWICE = [s("v0", 1, 5), c("c0", 1, 5, time=at(1, "11:00:00")), c("c1", 1, 5)]


@pytest.mark.parametrize(
    "rows",
    [
        [c("c1", 1, 5), a("a1", 2, -6)],
        [c("c1", 1, 5), a("a1", 2, 5)],
        [c("c1", 1, 5), a("a1", 2, -5, "other")],
        # What is charged to a merchant does not wait for more.
        [*PAID_TWICE, a("a1", 2, -2, kind="first_chargeback"), a("a2", 3, -3)],
        [*PAID_TWICE, a("a1", 2, -2, kind="first_chargeback"), a("a2", 2, -3)],
        [s("v0", 1, 5), c("c1", 1, 8, currency="USD"), a("a1", 2, -3)],
        # Of two currencies nothing helps, nor does one item of a pair alone.
        [s("v1", 1, 5, currency="USD"), c("c1", 1, 5), a("a1", 2, -5)],
        [s("v1", 1, 5), c("c1", 1, 8), a("a1", 2, -8)],
        # No funds effect of this term.
        [c("c1", 1, 5), a("a1", 2, -5, kind="fee_collection")],
    ],
)
def test_adjustments_that_end_nothing(rows: list[Any]) -> None:
    assert closed(*rows).item("c1", 6).startswith("one_sided")


def act(kind: str, item: str, second: str | None, day: int, *, approved: bool = True) -> Action:
    """What a person does."""
    return Action(kind, item, second, day, approved)


TWO_SIDES = (s("v1", 1, 5, "1"), c("c1", 1, 5, "2"))


def test_a_pair_by_hand_writes_two_linked_rows() -> None:
    week = closed(*TWO_SIDES, actions=(act("pair", "v1", "c1", 3),))
    assert week.results()[2:] == [
        "3 channel_resolved - c1 manual_match",
        "3 system_resolved v1 - manual_match",
    ]
    assert week.item("v1", 3) == week.item("c1", 3) == "resolved manual_match"
    assert sum(row.residual for row in week.all.equations) == 0


@pytest.mark.parametrize(
    ("rows", "action", "expected"),
    [
        (TWO_SIDES, act("pair", "v1", "c1", 3, approved=False), "one_sided"),
        (TWO_SIDES, act("pair", "c1", "v1", 3), "resolved manual_match"),
        ((s("v1", 1, 5), c("c1", 1, 6, "2")), act("pair", "v1", "c1", 3), "one_sided"),
        ((s("v1", 1, 5), s("v2", 1, -5, "2")), act("offset", "v1", "v2", 3), "adjusted offset"),
        ((s("v1", 1, 5), s("v2", 1, -4, "2")), act("offset", "v1", "v2", 3), "one_sided"),
        ((s("v1", 1, 5), c("c1", 1, -5, "2")), act("offset", "v1", "c1", 3), "one_sided"),
        ((s("v1", 1, 5),), act("adjust", "v1", None, 3), "adjusted manual_adjustment"),
        ((s("v1", 1, 5),), act("write_off", "v1", None, 3), "written_off write_off"),
        ((s("v1", 1, 5),), act("assign", "v1", None, 3), "one_sided"),
        # What ends it first counts: a late match, then the channel's adjustment.
        ((s("v1", 1, 5), c("c1", 3, 5)), act("write_off", "v1", None, 3), "resolved late_match"),
        ((s("v1", 1, 5), a("a1", 3, 5)), act("write_off", "v1", None, 3), "adjusted adjustment"),
        # Open on the date before is what can be acted on.
        ((s("v1", 3, 5),), act("write_off", "v1", None, 3), "in_doubt"),
    ],
)
def test_what_persons_do(rows: tuple[Any, ...], action: Action, expected: str) -> None:
    assert closed(*rows, actions=(action,)).item("v1", 3) == expected


def test_items_ended_otherwise_do_not_enter_the_equation() -> None:
    week = closed(s("v1", 1, 5), actions=(act("write_off", "v1", None, 3),))
    assert [row.system_suspense_resolved for row in week.all.equations if row.clearing] == [0]
    last = week.closes[3].roll_forwards[0]
    assert last.written_off == oracle.Movement(1, 5)
    assert last.closing == oracle.Movement(0, 0)


# --- properties on random weeks -----------------------------------------------------------------


@SMALL
@given(worlds.worlds())
def test_the_equation_closes_whatever_happens(world: World) -> None:
    found = closed_worlds.by_oracle_alone({"w": world})
    residuals = [row.residual for row in found.equations if row.residual]
    assert residuals == ([world.wrong_arrival[1]] if world.wrong_arrival else [])


@SMALL
@given(worlds.worlds())
def test_each_record_is_used_once(world: World) -> None:
    for close in closed_worlds.by_oracle_alone({"w": world}).closes["w"]:
        for side, entries in (("system", close.system), ("channel", close.from_channel)):
            ids = [getattr(row, f"{side}_id") for row in close.results]
            used = [found for found in ids if found is not None]
            assert len(used) == len(set(used))
            todays = {entry.source_id for entry in entries}
            # Matched, resolving or opened: nothing is left over and nothing comes from nowhere.
            assert todays <= set(used)
            older = {
                row.opened_on
                for row in close.results
                if getattr(row, f"{side}_id") is not None
                and getattr(row, f"{side}_id") not in todays
            }
            assert all(opened is not None and opened < close.accounting_date for opened in older)


@SMALL
@given(worlds.worlds())
def test_the_order_of_input_does_not_matter(world: World) -> None:
    assume(not worlds.has_ties(world))
    found = closed_worlds.by_oracle_alone({"w": world, "ws": worlds.shuffled(world, 1)})
    for table in closed_worlds.COMPARED:
        plain = found.by_content(table, "w", found.by_oracle)
        assert plain == found.by_content(table, "ws", found.by_oracle)


@SMALL
@given(worlds.worlds())
def test_a_matched_pair_changes_nothing_else(world: World) -> None:
    more = worlds.with_matched_pair(world)
    found = closed_worlds.by_oracle_alone({"w": world, "wp": more})
    for table in ("results", "items", "roll_forwards"):
        plain = found.by_content(table, "w", found.by_oracle)
        assert plain == found.by_content(table, "wp", found.by_oracle)
    added = [
        row
        for close in found.closes["wp"]
        for row in close.results
        if row.system_id == "wp-v_extra"
    ]
    assert [row.outcome for row in added] == ["matched"]
