"""Random weeks: one world is one channel for seven accounting dates, small and full of trouble.

`worlds()` is the Hypothesis strategy. `tables()` turns any number of worlds into the rows that
landing would have left (raw tables, manifest, reference rows), for the oracle and for a database
alike. The money at the bank is what the channel's own files say, in whole minor units, so that the
equation of each arrival group must close, unless the world says that the bank was wrong.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import hypothesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tieout.dates import workdays

SHANGHAI = ZoneInfo("Asia/Shanghai")
SEEDS = Path(__file__).parents[1] / "dbt_project" / "seeds" / "reference"
DAYS = 7
FIRST_DATE = date(2026, 9, 24)  # Thursday; the Friday is a holiday, and so is 1 to 7 October
MAX_RECORDS = 25

Refs = dict[str, str | None]
Tables = dict[str, list[dict[str, Any]]]

UNIONPAY_KEY = (
    "acquiring_institution_id",
    "forwarding_institution_id",
    "trace_number",
    "transmission_time",
)
REFERENCE = ("retrieval_reference_number",)
ORDER = ("channel_order_id", "refund_order_id")
MERCHANT_ORDER = ("merchant_order_id", "refund_order_id")
Rule = tuple[tuple[str, ...], tuple[str, ...]]
_WALLET_RULES: tuple[tuple[Rule, ...], ...] = (
    ((ORDER, ORDER[:1]),),
    ((ORDER, ORDER[:1]), (MERCHANT_ORDER, MERCHANT_ORDER[:1])),
    (
        (ORDER, ORDER[:1]),
        (("merchant_order_id", "terminal_id"), ("merchant_order_id", "terminal_id")),
        (MERCHANT_ORDER, MERCHANT_ORDER[:1]),
    ),
    # Channel records without the terminal have no primary key.
    ((("terminal_id", "merchant_order_id"), ("terminal_id",)), (ORDER, ORDER[:1])),
)
# The keys a channel of a format may have: (key columns, required columns), the primary one first.
RULES: Mapping[str, tuple[tuple[Rule, ...], ...]] = {
    "unionpay": (
        ((UNIONPAY_KEY, UNIONPAY_KEY),),
        ((UNIONPAY_KEY, UNIONPAY_KEY), (REFERENCE, REFERENCE)),
        (
            (UNIONPAY_KEY, UNIONPAY_KEY),
            ((*REFERENCE, "terminal_id"), (*REFERENCE, "terminal_id")),
            (REFERENCE, REFERENCE),
        ),
        # Channel records without the reference number have no primary key.
        ((REFERENCE, REFERENCE), (UNIONPAY_KEY, ("trace_number", "transmission_time"))),
    ),
    "wechat": _WALLET_RULES,
    "alipay": _WALLET_RULES,
}
# What may be missing: of the platform's voucher, and of the channel's record.
DROPS = {
    "unionpay": (
        (("trace_number",), ("retrieval_reference_number",), ("trace_number", "terminal_id")),
        (("retrieval_reference_number",), ("terminal_id",)),
    ),
    "wechat": (
        (("channel_order_id",), ("terminal_id",), ("merchant_order_id",)),
        (("terminal_id",),),
    ),
    "alipay": (
        (("channel_order_id",), ("terminal_id",), ("merchant_order_id",)),
        (("terminal_id",),),
    ),
}
EVERY_REFERENCE = (*UNIONPAY_KEY, *REFERENCE, "terminal_id", *ORDER, "merchant_order_id")
CHANNEL_TYPES = {
    "unionpay": ("purchase", "preauth_completion", "refund", "void", "reversal"),
    "wechat": ("purchase", "refund", "void"),
    "alipay": ("purchase", "refund"),
}
AMOUNTS = (100, 5_000, 1, 999, 12_345, 20_001)
# Weighted: a kind stands as often as it should be drawn. The first is what a world shrinks to.
SCENES = (
    *("matched",) * 3,
    *("system_only", "channel_only", "late_channel", "late_system") * 2,
    *("duplicate", "identical", "keyless", "void_pair", "contention") * 2,
    *("mismatch", "fallback") * 4,
    *("refund", "failed_reversal", "unpooled"),
    *("adjustment", "adjusted_pair", "adjustment") * 2,
    *("pair_by_hand", "offset", "adjust", "write_off", "stray_action"),
)


@dataclass(frozen=True, slots=True)
class Features:
    """What the database can do already; the generator makes nothing else."""

    fallback_rules: bool = True
    currencies: bool = True
    voided_pairs: bool = True
    actions: bool = True


@dataclass(frozen=True, slots=True)
class Voucher:
    """A source voucher to come; ``day`` counts from the first accounting date."""

    ref: str
    day: int
    at: datetime
    transaction_type: str
    merchant: int
    currency_code: str
    amount_minor: int
    references: tuple[tuple[str, str | None], ...]
    is_success: bool = True
    original: str | None = None
    original_at: datetime | None = None
    original_amount_minor: int | None = None
    refunded_before_minor: int | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """A row of the channel's transaction file to come."""

    ref: str
    day: int
    at: datetime
    transaction_type: str
    currency_code: str
    amount_minor: int
    cost_minor: int
    references: tuple[tuple[str, str | None], ...]
    part: int = 0


@dataclass(frozen=True, slots=True)
class Adjustment:
    """A row of the channel's adjustment file to come; effects + = we get it."""

    ref: str
    day: int
    adjustment_type: str
    merchant: int
    currency_code: str
    funds_effect_minor: int
    fees_effect_minor: int
    original: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True)
class BrandFee:
    """A row of the channel's brand-fee file to come."""

    day: int
    currency_code: str
    brand_fee_minor: int


@dataclass(frozen=True, slots=True)
class Action:
    """What a person does about the items of records."""

    kind: str
    item: str
    second: str | None
    day: int
    is_approved: bool


@dataclass(frozen=True, slots=True)
class Merchant:
    """A merchant with one contract, or with a dearer one from the day ``changes_on``."""

    settlement_mode: str
    refund_fee_policy: str
    fee_rate: str
    minimum_fee_minor: int
    cap_fee_minor: int | None
    changes_on: int | None


@dataclass(frozen=True, slots=True)
class World:
    """One channel for a week. Shown whole when a test fails."""

    format: str
    rules: tuple[Rule, ...]
    currencies: tuple[str, ...]
    platform_cutoff_minutes: int
    cutoff_minutes: int
    skew_minutes: int
    doubt_period_closes: int
    arrival_calendar: str
    arrival_lag_days: int
    voided_pairs: str
    merchants: tuple[Merchant, ...]
    vouchers: tuple[Voucher, ...]
    records: tuple[Record, ...]
    adjustments: tuple[Adjustment, ...]
    brand_fees: tuple[BrandFee, ...]
    actions: tuple[Action, ...]
    splits: tuple[int, ...] = (1,)
    wrong_arrival: tuple[int, int] | None = None  # which group, and by how much
    shuffle_seed: int | None = None

    @property
    def size(self) -> int:
        """Records of both sides."""
        return len(self.vouchers) + len(self.records)

    def __str__(self) -> str:
        """Header and rows, one a line: what a person needs to work it out by hand."""
        header = {
            name: getattr(self, name)
            for name in self.__dataclass_fields__
            if name not in ("rules", "merchants", *_ROWS)
        }
        lines = [", ".join(f"{name}={value}" for name, value in header.items())]
        lines += [
            f"  key {number}: {' '.join(keys)} (required: {' '.join(required)})"
            for number, (keys, required) in enumerate(self.rules, start=1)
        ]
        lines += [f"  {row}" for row in self.merchants]
        used = {column for keys, required in self.rules for column in (*keys, *required)}
        for name in _ROWS:
            lines += [f"  {name}: {_short(row, used)}" for row in getattr(self, name)]
        return "\n".join(lines)


_ROWS = ("vouchers", "records", "adjustments", "brand_fees", "actions")


def _short(row: Any, used: set[str]) -> str:
    """The row without what is empty, and of its references those that a rule uses."""
    parts = []
    for name in row.__dataclass_fields__:
        value = getattr(row, name)
        if name in ("references", "original") and isinstance(value, tuple):
            kept = (f"{key[:12]}:{part}" for key, part in value if key in used)
            parts.append("[" + " ".join(kept) + "]")
        elif isinstance(value, datetime):
            parts.append(f"{name}={value:%m-%d %H:%M:%S}")
        elif value is not None:
            parts.append(str(value) if name == "ref" else f"{name}={value}")
    return " ".join(parts)


# --- drawing a world ----------------------------------------------------------------------------


@dataclass
class _Builder:
    """A world while it is drawn."""

    draw: Callable[[Any], Any]
    first: date
    head: World
    features: Features
    vouchers: list[Voucher] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    adjustments: list[Adjustment] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)
    identity: int = 10
    serial: int = 0

    def name(self, side: str) -> str:
        """A ref that no other row has, also where the row falls outside the week."""
        self.serial += 1
        return f"{side}{self.serial}"

    def one_of(self, *values: Any) -> Any:
        """One of some values; shrinks to the first."""
        return self.draw(st.sampled_from(values))

    def chance(self, out_of: int) -> bool:
        """True once in ``out_of``; shrinks to False."""
        return self.draw(st.integers(0, out_of - 1)) == out_of - 1

    def references(self, *, is_reverse: bool = False, contended: bool = False) -> Refs:
        """The references of a new transaction; contended ones come from a pool of two."""
        self.identity += 1
        first = second = third = self.identity
        if contended:
            first, second, third = (self.one_of(1, 2), self.one_of(1, 2), self.one_of(1, 2))
        return {
            "acquiring_institution_id": "48370000",
            "forwarding_institution_id": "00049992",
            "trace_number": f"{first:06d}",
            "transmission_time": f"0924{first:06d}",
            "retrieval_reference_number": f"R{second}",
            "terminal_id": f"T{third % 5}",
            "channel_order_id": f"O{first}",
            "refund_order_id": f"F{first}" if is_reverse else None,
            "merchant_order_id": f"M{second}",
        }

    def moment(self) -> tuple[int, datetime]:
        """An accounting date of the platform, and an instant in it, often next to a cutoff."""
        day = self.draw(st.integers(0, DAYS - 1))
        cutoff, skew = self.head.platform_cutoff_minutes * 60, self.head.skew_minutes * 60
        seconds = self.one_of(
            12 * 3600,
            -1,
            0,
            cutoff - 86_400,
            cutoff - 86_400 + skew,
            cutoff - 86_400 + skew + 1,
            cutoff - 1,
            cutoff - skew,
            cutoff - skew - 1,
            12 * 3600 + 1,
        )
        return day, self.at(day, seconds)

    def at(self, day: int, seconds: int) -> datetime:
        """An instant by seconds from 00:00 of a date."""
        on = self.first + timedelta(days=day)
        return datetime(on.year, on.month, on.day, tzinfo=SHANGHAI) + timedelta(seconds=seconds)

    def channel_day(self, at: datetime) -> int:
        """The file the channel puts an instant into."""
        shifted = at.astimezone(SHANGHAI) + timedelta(minutes=1440 - self.head.cutoff_minutes)
        return (shifted.date() - self.first).days

    def amount(self) -> int:
        """A positive amount of a few, so that amounts collide."""
        return int(self.one_of(*AMOUNTS))

    def currency(self) -> str:
        """A currency of the channel."""
        return str(self.one_of(*self.head.currencies))

    def voucher(
        self,
        day: int,
        at: datetime,
        amount: int,
        currency: str,
        references: Refs,
        *,
        transaction_type: str | None = None,
        drops: Sequence[str] = (),
        is_success: bool = True,
        original: Voucher | None = None,
        merchant: int | None = None,
    ) -> Voucher:
        """Add a voucher. What refers to nothing of this week refers to a sale before it."""
        kind = transaction_type or ("purchase" if amount > 0 else "refund")
        reverses = kind in ("refund", "void", "reversal")
        if kind == "preauth_completion":
            original_ref: str | None = "before"
        else:
            original_ref = original.ref if original else "before"
        sale = original.amount_minor if original else max(abs(amount), self.one_of(100, 20_001))
        before = 0 if kind != "refund" or original else self.one_of(0, 1, 37)
        made = Voucher(
            ref=self.name("v"),
            day=day,
            at=at,
            transaction_type=kind,
            merchant=self.one_of(0, 1) if merchant is None else merchant,
            currency_code=currency,
            amount_minor=amount,
            references=_kept(references, drops),
            is_success=is_success,
            original=original_ref if reverses or kind == "preauth_completion" else None,
            original_at=(original.at if original else self.at(-20, 3600)) if reverses else None,
            original_amount_minor=sale + before if reverses and not original else None,
            refunded_before_minor=before if reverses else None,
        )
        if reverses and original:
            made = replace(made, original_amount_minor=original.amount_minor)
        if 0 <= day < DAYS:
            self.vouchers.append(made)
        return made

    def record(
        self,
        day: int,
        at: datetime,
        amount: int,
        currency: str,
        references: Refs,
        *,
        transaction_type: str | None = None,
        drops: Sequence[str] = (),
    ) -> Record:
        """Add a record of the channel; a type its files do not know becomes one they know."""
        kind = transaction_type or ("purchase" if amount > 0 else "refund")
        if kind not in CHANNEL_TYPES[self.head.format] and kind != "balance_inquiry":
            kind = "purchase" if amount > 0 else "refund"
        cost = self.one_of(0, 3, 17)
        made = Record(
            ref=self.name("c"),
            day=day,
            at=at,
            transaction_type=kind,
            currency_code=currency,
            amount_minor=amount,
            cost_minor=cost if amount >= 0 else -cost,
            references=_kept(references, drops),
            part=self.one_of(0, 0, 0, 1),
        )
        if 0 <= day < DAYS:
            self.records.append(made)
        return made

    def act(self, kind: str, item: str, second: str | None, day: int) -> None:
        """Let a person act, approved as a rule; a second decision on an item's date is refused."""
        taken = {(ref, made.day) for made in self.actions for ref in (made.item, made.second)}
        if taken & {(item, day), (second or item, day)} and kind != "assign":
            return
        if self.features.actions and 0 <= day < DAYS:
            approved = not self.chance(6)
            self.actions.append(Action(kind, item, second, day, approved))

    def adjust(
        self, day: int, references: Refs, effect: int, currency: str, kind: str | None = None
    ) -> None:
        """Add an adjustment with an effect on our funds, where the format has a file of them."""
        if self.head.format != "unionpay" or not 0 <= day < DAYS or effect == 0:
            return
        usual = (
            ("debit_adjustment", "exceptional_credit", "acquirer_chargeback", "representment")
            if effect > 0
            else ("credit_adjustment", "issuer_claim", "exceptional_credit", "first_chargeback")
        )
        self.adjustments.append(
            Adjustment(
                ref=self.name("a"),
                day=day,
                adjustment_type=kind or self.one_of(*usual),
                merchant=self.one_of(0, 1),
                currency_code=currency,
                funds_effect_minor=effect,
                fees_effect_minor=self.one_of(0, 0, 5, -2),
                original=_kept(references, ()),
            )
        )


def _kept(references: Refs, drops: Sequence[str]) -> tuple[tuple[str, str | None], ...]:
    return tuple((name, None if name in drops else value) for name, value in references.items())


@st.composite
def worlds(
    draw: Callable[[Any], Any], features: Features | None = None, first: date = FIRST_DATE
) -> World:
    """Draw one world of at most `MAX_RECORDS` records."""
    features = features or Features()
    format_ = draw(st.sampled_from(("unionpay", "wechat", "alipay")))
    sets = RULES[format_]
    # The one without a fallback is drawn as often as each of the others.
    rules = draw(st.sampled_from(sets)) if features.fallback_rules else sets[0]
    several = (("CNY",), ("CNY", "USD")) if features.currencies else (("CNY",),)
    pairs = ("both", "none") if features.voided_pairs else ("both",)
    platform_cutoff = draw(st.sampled_from((1380, 1380, 1320)))
    head = World(
        format=format_,
        rules=rules,
        currencies=draw(st.sampled_from(several)),
        platform_cutoff_minutes=platform_cutoff,
        # Later than the platform, with it, or before it.
        cutoff_minutes=draw(st.sampled_from((platform_cutoff, 1440, platform_cutoff - 30))),
        skew_minutes=draw(st.sampled_from((5, 0, 10))),
        doubt_period_closes=draw(st.sampled_from((1, 2))),
        arrival_calendar=draw(st.sampled_from(("working_day", "calendar_day"))),
        arrival_lag_days=draw(st.sampled_from((1, 1, 2))),
        voided_pairs=draw(st.sampled_from(pairs)),
        merchants=tuple(draw(_merchants()) for _ in range(2)),
        vouchers=(),
        records=(),
        adjustments=(),
        brand_fees=(),
        actions=(),
    )
    builder = _Builder(draw, first, head, features)
    for kind in draw(st.lists(st.sampled_from(SCENES), min_size=4, max_size=9)):
        if len(builder.vouchers) + len(builder.records) > MAX_RECORDS - 7:
            break
        _SCENES[kind](builder)
    fees = st.builds(
        BrandFee,
        st.integers(0, DAYS - 1),
        st.sampled_from(head.currencies),
        st.sampled_from((4, 1, -2)),
    )
    wrong = st.tuples(st.integers(0, 9), st.sampled_from((1, -1)))
    return replace(
        head,
        vouchers=tuple(builder.vouchers),
        records=tuple(builder.records),
        adjustments=tuple(builder.adjustments),
        brand_fees=tuple(draw(st.lists(fees, max_size=2))) if format_ == "unionpay" else (),
        actions=tuple(builder.actions),
        splits=tuple(draw(st.lists(st.sampled_from((1, 1, 1, 2, 3)), min_size=1, max_size=4))),
        wrong_arrival=draw(st.one_of(st.none(), st.none(), st.none(), wrong)),
    )


BATCH = 25


def generated(count: int, seed: int | None = None, features: Features | None = None) -> list[World]:
    """``count`` different worlds: always the same ones without a seed.

    In small batches of seeds of their own: within one run Hypothesis likes to draw variations of
    what it has drawn, and it starts from the smallest.
    """
    found: dict[World, None] = {}
    batch = 0
    while len(found) < count:
        batch += 1

        @hypothesis.seed(1_000_000 * (seed or 0) + batch)
        @given(worlds(features))
        @settings(
            max_examples=BATCH,
            database=None,
            phases=[Phase.generate],
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        def collect(world: World) -> None:
            found[world] = None

        collect()
    return list(found)[:count]


def _merchants() -> st.SearchStrategy[Merchant]:
    return st.builds(
        Merchant,
        settlement_mode=st.sampled_from(("net", "gross")),
        refund_fee_policy=st.sampled_from(("return", "keep")),
        fee_rate=st.sampled_from(("0.006", "0.0038", "0.0055", "0.5")),
        minimum_fee_minor=st.sampled_from((0, 0, 2)),
        cap_fee_minor=st.sampled_from((None, None, 60)),
        changes_on=st.sampled_from((None, None, 3)),
    )


def _drift(b: _Builder) -> timedelta:
    """How far the channel's clock is off, up to just beyond the skew."""
    skew = b.head.skew_minutes * 60
    return timedelta(seconds=b.one_of(0, 0, skew, -skew, skew + 1, -skew - 1))


def _both(
    b: _Builder,
    *,
    late_system: int = 0,
    late_channel: int = 0,
    systems: int = 1,
    channels: int = 1,
    contended: bool = False,
) -> None:
    """A transaction on either side some times, on its dates or later."""
    day, at = b.moment()
    is_reverse = b.chance(5)
    amount, currency = b.amount() * (-1 if is_reverse else 1), b.currency()
    references = b.references(is_reverse=is_reverse, contended=contended)
    for _ in range(systems):
        b.voucher(day + late_system, at, amount, currency, references)
    for _ in range(channels):
        b.record(b.channel_day(at) + late_channel, at + _drift(b), amount, currency, references)


def _matched(b: _Builder) -> None:
    _both(b)


def _system_only(b: _Builder) -> None:
    _both(b, channels=0)


def _channel_only(b: _Builder) -> None:
    _both(b, systems=0)


def _late_channel(b: _Builder) -> None:
    _both(b, late_channel=b.one_of(1, 2, 3))


def _late_system(b: _Builder) -> None:
    _both(b, late_system=b.one_of(1, 2, 3))


def _identical(b: _Builder) -> None:
    _both(b, systems=b.one_of(2, 3), channels=b.one_of(2, 3))


def _duplicate(b: _Builder) -> None:
    """One side has it twice, the second time perhaps later or by another amount."""
    day, at = b.moment()
    amount, currency, references = b.amount(), b.currency(), b.references()
    again = amount + b.one_of(0, 0, 1)
    b.voucher(day, at, amount, currency, references)
    b.record(b.channel_day(at), at, amount, currency, references)
    later = b.one_of(0, 0, 1)
    if b.one_of(True, False):
        b.voucher(day + later, at, again, currency, references)
    else:
        b.record(b.channel_day(at) + later, at, again, currency, references)


def _mismatch(b: _Builder, *, again: bool = True) -> tuple[Voucher, Record, Refs]:
    """The same key, another amount, currency or direction; on one date or on two."""
    day, at = b.moment()
    amount, currency, references = b.amount(), b.currency(), b.references()
    kind = b.one_of("amount", "direction", "currency", "currency")
    other_amount, other_currency = amount, currency
    if kind == "direction":
        other_amount = -amount
    elif kind == "currency" and len(b.head.currencies) > 1:
        other_currency = next(name for name in b.head.currencies if name != currency)
    else:
        other_amount += b.one_of(1, -50, 300)
        other_amount = other_amount if other_amount > 0 else amount + 7
    late_system, late_channel = b.one_of((0, 0), (0, 1), (1, 0), (0, 2))
    drops = b.one_of(*DROPS[b.head.format][0]) if b.chance(4) else ()
    voucher = b.voucher(day + late_system, at, amount, currency, references, drops=drops)
    record = b.record(
        b.channel_day(at) + late_channel, at, other_amount, other_currency, references
    )
    if again and b.chance(4):
        # The exact counterpart of the linked item comes after all.
        b.record(b.channel_day(at) + late_channel + 1, at, amount, currency, references)
    return voucher, record, references


def _mismatched(b: _Builder) -> None:
    _mismatch(b)


def _keyless(b: _Builder) -> None:
    """Parts of the reference are missing on one side or on both; sometimes all of it."""
    day, at = b.moment()
    is_reverse = b.chance(4)
    amount, currency = b.amount() * (-1 if is_reverse else 1), b.currency()
    references = b.references(is_reverse=is_reverse, contended=b.chance(3))
    on_system, on_channel = DROPS[b.head.format]
    late_system, late_channel = b.one_of((0, 0), (0, 0), (0, 1), (1, 0))
    for _ in range(b.one_of(1, 1, 2)):
        drops = EVERY_REFERENCE if b.chance(5) else b.one_of(*on_system, ())
        b.voucher(day + late_system, at, amount, currency, references, drops=drops)
    for _ in range(b.one_of(1, 1, 0, 2)):
        drops = b.one_of((), *on_channel)
        wrong = 1 if b.chance(4) else 0
        b.record(
            b.channel_day(at) + late_channel,
            at + _drift(b),
            amount + (wrong if amount > 0 else -wrong),
            currency,
            references,
            drops=drops,
        )


def _fallback(b: _Builder) -> None:
    """One side or both lack a part of the primary key, and sometimes of the next one, too."""
    day, at = b.moment()
    amount, currency, references = b.amount(), b.currency(), b.references()
    _, required = b.head.rules[0]
    on_channel = [names for names in DROPS[b.head.format][1] if set(names) & set(required)]
    late_system, late_channel = b.one_of((0, 0), (0, 0), (0, 1), (1, 0), (0, 2))
    drops = (b.one_of(*required), *b.one_of((), ("terminal_id",)))
    if on_channel and b.one_of(True, False):
        b.voucher(day + late_system, at, amount, currency, references)
        taken = b.one_of(*on_channel)
    else:
        b.voucher(day + late_system, at, amount, currency, references, drops=drops)
        taken = ()
    wrong = 1 if b.chance(5) else 0
    b.record(
        b.channel_day(at) + late_channel, at, amount + wrong, currency, references, drops=taken
    )
    if b.chance(4):
        b.voucher(day + late_system, at, amount, currency, references, drops=b.one_of((), drops))


def _contention(b: _Builder) -> None:
    """Several transactions that share parts of their references with one another."""
    on_system, on_channel = DROPS[b.head.format]
    for _ in range(b.one_of(2, 3)):
        day, at = b.moment()
        day, at = (day, at) if b.chance(3) else (2, b.at(2, 12 * 3600 + b.one_of(0, 1)))
        amount, currency = b.one_of(100, 100, 5_000), b.currency()
        references = b.references(contended=True)
        if not b.chance(4):
            drops = b.one_of((), *on_system)
            b.voucher(day + b.one_of(0, 0, 1), at, amount, currency, references, drops=drops)
        if not b.chance(4):
            references = references if b.one_of(True, False) else b.references(contended=True)
            drops = b.one_of((), *on_channel)
            late = b.one_of(0, 0, 1)
            b.record(b.channel_day(at) + late, at, amount, currency, references, drops=drops)


def _refund(b: _Builder) -> None:
    """A sale of the week, and one or two parts of it given back."""
    day, at = b.moment()
    amount, currency, references = 999, b.currency(), b.references()
    sale = b.voucher(day, at, amount, currency, references)
    b.record(b.channel_day(at), at, amount, currency, references)
    before = 0
    for part in b.one_of((333,), (333, 333)):
        later = b.one_of(0, 1)
        back = b.references(is_reverse=True)
        made = b.voucher(
            day + later, at, -part, currency, back, original=sale, merchant=sale.merchant
        )
        if b.vouchers and b.vouchers[-1] is made:
            b.vouchers[-1] = replace(made, refunded_before_minor=before)
        b.record(b.channel_day(at) + later, at, -part, currency, back)
        before += part


def _void_pair(b: _Builder) -> None:
    """A sale and its void or reversal; the channel shows both, or neither, or one."""
    day, at = b.moment()
    amount, currency = b.amount(), b.currency()
    sale_keys, void_keys = b.references(), b.references(is_reverse=True)
    kind = b.one_of("void", "reversal")
    sale = b.voucher(day, at, amount, currency, sale_keys)
    later = b.one_of(0, 0, 0, 1)
    back = -amount if not b.chance(6) or amount == 1 else -amount + 1
    b.voucher(
        day + later,
        at + timedelta(seconds=30),
        back,
        currency,
        void_keys,
        transaction_type=kind,
        original=sale,
        merchant=sale.merchant,
    )
    shown = b.one_of("usual", "usual", "both", "none", "sale", "void")
    if shown == "usual":
        shown = b.head.voided_pairs
    if shown in ("both", "sale"):
        b.record(b.channel_day(at), at, amount, currency, sale_keys)
    if shown in ("both", "void"):
        b.record(b.channel_day(at) + later, at, back, currency, void_keys, transaction_type=kind)


def _failed_reversal(b: _Builder) -> None:
    """The reversal of a sale that failed: neither side owes anything; the channel may differ."""
    day, at = b.moment()
    amount, currency = b.amount(), b.currency()
    sale_keys, back_keys = b.references(), b.references(is_reverse=True)
    sale = b.voucher(day, at, amount, currency, sale_keys, is_success=False)
    later = b.one_of(0, 0, 1, 2)
    b.voucher(
        day + later,
        at + timedelta(seconds=30),
        -amount,
        currency,
        back_keys,
        transaction_type="reversal",
        original=sale,
        merchant=sale.merchant,
    )
    if b.chance(4):
        b.record(
            b.channel_day(at) + later, at, -amount, currency, back_keys, transaction_type="reversal"
        )


def _unpooled(b: _Builder) -> None:
    """Records that are no one's money, with the channel's cost; and fee records of the channel."""
    day, at = b.moment()
    references = b.references()
    if b.head.format == "unionpay":
        b.record(day, at, 0, b.currency(), references, transaction_type="balance_inquiry")
        for kind, effect in (("fee_collection", -70), ("funds_disbursement", 30)):
            if b.one_of(True, False):
                b.adjust(day, references, effect, b.currency(), kind)
    b.voucher(day, at, 0, b.currency(), references, transaction_type="balance_inquiry")


def _adjustment(b: _Builder) -> None:
    """An item of one side, and the channel's adjustments: exact, in parts, too much, unknown."""
    day, at = b.moment()
    amount, currency, references = b.amount(), b.currency(), b.references()
    if b.one_of(True, False):
        b.record(b.channel_day(at), at, amount, currency, references)
        needs, opens = -amount, b.channel_day(at)
    else:
        b.voucher(day, at, amount, currency, references)
        needs, opens = amount, day
    _adjustments_for(b, references, needs, currency, opens)


def _adjustments_for(b: _Builder, references: Refs, needs: int, currency: str, opens: int) -> None:
    sign = 1 if needs > 0 else -1
    first, later = opens + b.one_of(1, 1, 2, 0), b.one_of(0, 1, 2)
    how = b.one_of("exact", "exact", "parts", "parts", "too_much", "twice", "unknown", "currency")
    part = sign * max(abs(needs) // 3, 1)
    parted = ("debit_adjustment", "exceptional_credit") if sign > 0 else ("credit_adjustment",)
    if how == "parts" and abs(needs) > 1:
        b.adjust(first, references, part, currency, b.one_of(*parted))
        b.adjust(first + later, references, needs - part, currency, b.one_of(*parted))
    elif how == "too_much":
        b.adjust(first, references, needs + sign, currency)
    elif how == "twice":
        b.adjust(first, references, needs, currency)
        b.adjust(first + later, references, needs, currency)
    elif how == "unknown":
        b.adjust(first, b.references(), needs, currency)
    elif how == "currency":
        b.adjust(first, references, needs, b.head.currencies[-1])
    else:
        b.adjust(first, references, needs, currency)


def _adjusted_pair(b: _Builder) -> None:
    """A mismatch, and adjustments of its difference."""
    voucher, record, references = _mismatch(b, again=b.chance(4))
    opens = max(voucher.day, record.day)
    needs = voucher.amount_minor - record.amount_minor
    if needs:
        _adjustments_for(b, references, needs, voucher.currency_code, opens)


def _pair_by_hand(b: _Builder) -> None:
    """Two items with nothing in common but the amount, paired by a person."""
    day, at = b.moment()
    amount, currency = b.amount(), b.currency()
    other = amount + (1 if b.chance(6) else 0)
    voucher = b.voucher(day, at, amount, currency, b.references())
    record = b.record(b.channel_day(at) + b.one_of(0, 1), at, other, currency, b.references())
    last = max(voucher.day, record.day)
    if max(last, 0) < DAYS and min(voucher.day, record.day) >= 0:
        items = (voucher.ref, record.ref)
        for _ in range(b.one_of(1, 1, 2)):
            b.act("pair", *(items if b.one_of(True, False) else items[::-1]), last + b.one_of(1, 2))


def _offset(b: _Builder) -> None:
    """Two items of one side that cancel each other, or nearly."""
    day, at = b.moment()
    amount, currency = b.amount(), b.currency()
    back = -amount - (1 if b.chance(5) else 0)
    keys, back_keys = b.references(), b.references(is_reverse=True)
    made: list[Voucher | Record] = []
    if b.one_of(True, False):
        made.append(b.voucher(day, at, amount, currency, keys))
        made.append(b.voucher(day, at, back, currency, back_keys))
    else:
        on = b.channel_day(at)
        made.append(b.record(on, at, amount, currency, keys))
        made.append(b.record(on, at, back, currency, back_keys))
    if 0 <= made[0].day < DAYS:
        b.act("offset", made[0].ref, made[1].ref, made[0].day + b.one_of(1, 2, 3))


def _adjust_by_hand(b: _Builder, kind: str = "adjust") -> None:
    """An item of either side ended by a person; sometimes its counterpart comes the same day."""
    day, at = b.moment()
    amount, currency, references = b.amount(), b.currency(), b.references()
    later = b.one_of(1, 2, 3)
    made: Voucher | Record
    if b.one_of(True, False):
        made = b.voucher(day, at, amount, currency, references)
        if b.chance(4):
            b.record(made.day + later, at, amount, currency, references)
    else:
        made = b.record(b.channel_day(at), at, amount, currency, references)
        if b.chance(4):
            b.voucher(made.day + later, at, amount, currency, references)
    if 0 <= made.day < DAYS:
        b.act(kind, made.ref, None, made.day + later)
        if b.chance(3):
            b.act(b.one_of("adjust", "write_off"), made.ref, None, made.day + later)


def _write_off(b: _Builder) -> None:
    _adjust_by_hand(b, "write_off")


def _stray_action(b: _Builder) -> None:
    """A person acts on whatever records there are, whether open or not."""
    refs = [row.ref for row in (*b.vouchers, *b.records)]
    if not refs:
        return
    kind = b.one_of("write_off", "adjust", "offset", "pair", "assign")
    item, second = b.one_of(*refs), b.one_of(*refs)
    if kind in ("offset", "pair") and item == second:
        return
    days = {row.ref: row.day for row in (*b.vouchers, *b.records)}
    opened = days[item]
    if kind in ("offset", "pair"):
        opened = max(opened, days[second])
    else:
        second = None  # type: ignore[assignment]
    b.act(kind, item, second, opened + b.one_of(1, 2, 3))


_SCENES: Mapping[str, Callable[[_Builder], None]] = {
    "matched": _matched,
    "system_only": _system_only,
    "channel_only": _channel_only,
    "late_channel": _late_channel,
    "late_system": _late_system,
    "duplicate": _duplicate,
    "identical": _identical,
    "mismatch": _mismatched,
    "keyless": _keyless,
    "fallback": _fallback,
    "contention": _contention,
    "refund": _refund,
    "void_pair": _void_pair,
    "failed_reversal": _failed_reversal,
    "unpooled": _unpooled,
    "adjustment": _adjustment,
    "adjusted_pair": _adjusted_pair,
    "pair_by_hand": _pair_by_hand,
    "offset": _offset,
    "adjust": _adjust_by_hand,
    "write_off": _write_off,
    "stray_action": _stray_action,
}


# --- variants -----------------------------------------------------------------------------------


def shuffled(world: World, seed: int) -> World:
    """The same content on other lines and in other files."""
    return replace(world, shuffle_seed=seed)


def has_ties(world: World) -> bool:
    """Whether the order of lines decides between records that differ in content.

    Then another order may rightly pair others: two records of one side and instant that share a
    key and differ in something else, or adjustments that compete for items.
    """
    for rows in (world.vouchers, world.records):
        for number, one in enumerate(rows):
            for other in rows[:number]:
                # Of identical records a person names one, and another may be the one that is left.
                if (
                    one.at == other.at
                    and (bare(one) != bare(other) or world.actions)
                    and _share_a_key(world, dict(one.references), dict(other.references))
                ):
                    return True
    return bool(world.adjustments)


def bare(row: Voucher | Record) -> Voucher | Record:
    """What of a row is its content, not its place."""
    return replace(row, ref="", part=0) if isinstance(row, Record) else replace(row, ref="")


def _share_a_key(world: World, one: Refs, other: Refs) -> bool:
    return any(
        all(one[name] is not None and other[name] is not None for name in required)
        and all(one[name] == other[name] for name in keys)
        for keys, required in world.rules
    )


EXTRA = ("v_extra", "c_extra")


def with_matched_pair(world: World, first: date = FIRST_DATE) -> World:
    """The world and one more pair, which has nothing to do with the rest."""
    references = {
        "acquiring_institution_id": "48370000",
        "forwarding_institution_id": "00049992",
        "trace_number": "999999",
        "transmission_time": "0924999999",
        "retrieval_reference_number": "R999999",
        "terminal_id": "T999",
        "channel_order_id": "O999999",
        "refund_order_id": None,
        "merchant_order_id": "M999999",
    }
    on = first + timedelta(days=2)
    at = datetime(on.year, on.month, on.day, 12, tzinfo=SHANGHAI)
    currency = world.currencies[0]
    kept = tuple(references.items())
    voucher = Voucher("v_extra", 2, at, "purchase", 0, currency, 4_321, kept)
    record = Record("c_extra", 2, at, "purchase", currency, 4_321, 3, kept)
    # In front, so that every other line number changes, too.
    return replace(world, vouchers=(voucher, *world.vouchers), records=(record, *world.records))


# --- from worlds to rows ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rendered:
    """The rows of all worlds by table, and for each world's channel what its rows' ids are."""

    tables: Tables
    ids: Mapping[str, Mapping[str, str]]  # channel -> ref -> source id

    def references(self, channel: str) -> dict[str, str]:
        """Source id to ref of one world."""
        return {source_id: ref for ref, source_id in self.ids[channel].items()}


def tables(named: Mapping[str, World], first: date = FIRST_DATE) -> Rendered:
    """Write worlds as landed rows; each world is the channel of its name.

    Tables that are the same for all worlds (calendar, codes) are not made here.
    """
    writer = _Writer(first)
    for number, (name, world) in enumerate(named.items(), start=1):
        writer.world(number, name, world)
    writer.statements()
    writer.window()
    return Rendered(writer.tables, writer.ids)


class _Writer:
    """Writes worlds down as landed rows; ``days`` is how many accounting dates there are."""

    def __init__(self, first: date, days: int = DAYS) -> None:
        self.first = first
        self.days = days
        self.tables: Tables = {
            name: []
            for name in (
                "control.channel_files",
                "reference.channels",
                "reference.channel_currencies",
                "reference.match_rules",
                "reference.bank_line_rules",
                "raw.platform_source_vouchers",
                "raw.platform_contracts",
                "raw.platform_fee_rates",
                "raw.platform_operating_window",
                "raw.unionpay_acomn",
                "raw.unionpay_aerrn",
                "raw.unionpay_alfee",
                "raw.wechat_trade_bill",
                "raw.alipay_trade_bill",
                "raw.bank_statements",
                "raw.bank_statement_lines",
                "reconciliation.actions",
                "reconciliation.action_approvals",
            )
        }
        self.ids: dict[str, dict[str, str]] = {}
        self.lines: dict[str, int] = {}
        self.bank: dict[tuple[str, date], list[tuple[str, date, int]]] = {}

    def on(self, day: int) -> date:
        return self.first + timedelta(days=day)

    def file(self, channel: str, kind: str, on: date, part: int = 0) -> str:
        """The id of a landed file; it is written down when it is first named.

        Ids of one date's parts are in the order of the parts, whatever the world's name: where
        records tie, the id decides, and a world that is drawn twice has to end the same way.
        """
        name = f"{channel}_{kind}_{on:%Y%m%d}_{part}"
        sha256 = f"{part:x}{hashlib.sha256(name.encode()).hexdigest()[1:]}"
        file_id = sha256[:16]
        if file_id not in self.lines:
            self.lines[file_id] = 0
            self.tables["control.channel_files"].append(
                {
                    "file_id": file_id,
                    "file_name": name,
                    "file_url": f"file:///{name}",
                    "sha256": sha256,
                    "size_bytes": 1,
                    "channel": channel,
                    "file_kind": kind,
                    "accounting_date": on,
                    "booked_on": on,
                    "row_count": 0,
                    "totals_status": "agree",
                    "status": "landed",
                }
            )
        return file_id

    def add(self, table: str, file_id: str, on: date, **columns: Any) -> int:
        """Add a row on the next line of its file; return the line's number."""
        self.lines[file_id] += 1
        place = {
            "file_id": file_id,
            "line_number": self.lines[file_id],
            "accounting_date": on,
        }
        self.tables[table].append({**place, **columns})
        return self.lines[file_id]

    def world(self, number: int, name: str, world: World) -> None:
        self.ids[name] = {}
        self.reference(number, name, world)
        self.contracts(name, world)
        vouchers, records = list(world.vouchers), list(world.records)
        adjustments = list(world.adjustments)
        if world.shuffle_seed is not None:
            shuffle = random.Random(world.shuffle_seed)
            for rows in (vouchers, records, adjustments):
                shuffle.shuffle(rows)
            records = [replace(record, part=shuffle.randrange(3)) for record in records]
        by_ref = {voucher.ref: voucher for voucher in vouchers}
        for voucher in vouchers:
            self.voucher(name, voucher, by_ref)
        for record in records:
            self.record(name, world, record)
        for adjustment in adjustments:
            self.adjustment(name, adjustment)
        for fee in world.brand_fees:
            on = self.on(fee.day)
            self.add(
                "raw.unionpay_alfee",
                self.file(name, "alfee", on),
                on,
                **_own_key(fee.day),
                transmitted_at=_noon(on),
                currency_code=fee.currency_code,
                amount_minor=100,
                brand_fee_minor=fee.brand_fee_minor,
            )
        self.actions(name, world)
        self.arrivals(name, world)

    def reference(self, number: int, name: str, world: World) -> None:
        self.tables["reference.channels"].append(
            {
                "channel": name,
                "channel_name_zh": name,
                "currency_code": world.currencies[0],
                "platform_cutoff_minutes": world.platform_cutoff_minutes,
                "cutoff_minutes": world.cutoff_minutes,
                "skew_minutes": world.skew_minutes,
                "doubt_period_closes": world.doubt_period_closes,
                "arrival_calendar": world.arrival_calendar,
                "arrival_lag_days": world.arrival_lag_days,
                "cost_billing": "kept_back",
                "suspense_limit_amount_minor": 100_000_000,
                "suspense_limit_age_days": 30,
                "voided_pairs": world.voided_pairs,
            }
        )
        for currency in world.currencies:
            self.tables["reference.channel_currencies"].append(
                {"channel": name, "currency_code": currency}
            )
        for rule_no, (keys, required) in enumerate(world.rules, start=1):
            self.tables["reference.match_rules"].append(
                {
                    "channel": name,
                    "rule_no": rule_no,
                    "match_rule": f"rule_{rule_no}",
                    "key_columns": " ".join(keys),
                    "required_columns": " ".join(required),
                }
            )
        self.tables["reference.bank_line_rules"].append(
            {
                "rule_no": 100 + number,
                "line_kind": "channel_arrival",
                "channel": name,
                "counterparty_pattern": f"^{name} clearing$",
                # Postgres keeps 32 compiled patterns: hundreds more of them would be its work.
                "reference_pattern": "^ARRIVAL ([0-9]{8})$",
            }
        )

    def contracts(self, name: str, world: World) -> None:
        """Every contract stands in the snapshot of every date."""
        for index, merchant in enumerate(world.merchants):
            terms: list[tuple[date, date | None, Decimal]] = []
            rate = Decimal(merchant.fee_rate)
            start, change = date(2026, 1, 1), merchant.changes_on
            if change is None:
                terms.append((start, None, rate))
            else:
                terms.append((start, self.on(change), rate))
                terms.append((self.on(change), None, rate + Decimal("0.001")))
            for version, (since, until, fee_rate) in enumerate(terms, start=1):
                contract_id = f"{name}-C{index}-{version}"
                for day in range(self.days):
                    on = self.on(day)
                    self.add(
                        "raw.platform_contracts",
                        self.file("platform", "contracts", on),
                        on,
                        contract_id=contract_id,
                        merchant_id=_merchant_id(name, index),
                        account_id=_account_id(name, index),
                        settlement_mode=merchant.settlement_mode,
                        payout_minimum_minor=0,
                        settlement_cycle="T+1",
                        refund_fee_policy=merchant.refund_fee_policy,
                        fee_period="month",
                        fee_collection_method="invoice",
                        effective_from=since,
                        effective_to=until,
                        ended_on=None,
                        merchant_category_code=None,
                    )
                    self.add(
                        "raw.platform_fee_rates",
                        self.file("platform", "fee_rates", on),
                        on,
                        fee_rule_id=f"{contract_id}-1",
                        contract_id=contract_id,
                        channel=None,
                        transaction_type=None,
                        card_kind=None,
                        card_region=None,
                        tier_from_minor=0,
                        fee_rate=fee_rate,
                        fixed_fee_minor=0,
                        minimum_fee_minor=merchant.minimum_fee_minor,
                        cap_fee_minor=merchant.cap_fee_minor,
                        effective_from=since,
                        effective_to=until,
                        priority=10,
                        merchant_category_code=None,
                    )

    def voucher(self, name: str, voucher: Voucher, by_ref: Mapping[str, Voucher]) -> None:
        on = self.on(voucher.day)
        voucher_id = f"{name}-{voucher.ref}"
        original = voucher.original
        if original is not None:
            original = (
                f"{name}-{original}" if original in by_ref else f"{name}-before-{voucher.ref}"
            )
        self.ids[name][voucher.ref] = voucher_id
        self.add(
            "raw.platform_source_vouchers",
            self.file("platform", "source_vouchers", on),
            on,
            voucher_id=voucher_id,
            transaction_at=voucher.at,
            transaction_type=voucher.transaction_type,
            transaction_status="success" if voucher.is_success else "failed",
            merchant_id=_merchant_id(name, voucher.merchant),
            account_id=_account_id(name, voucher.merchant),
            channel=name,
            currency_code=voucher.currency_code,
            amount_minor=voucher.amount_minor,
            card_kind="none",
            card_region="none",
            card_token=None,
            **dict(voucher.references),
            original_voucher_id=original,
            original_transaction_at=voucher.original_at,
            original_amount_minor=voucher.original_amount_minor,
            original_refunded_before_minor=voucher.refunded_before_minor,
            is_late_order=False,
        )

    def record(self, name: str, world: World, record: Record) -> None:
        on = self.on(record.day)
        write = {
            "unionpay": ("acomn", "raw.unionpay_acomn", _acomn),
            "wechat": ("trade_bill", "raw.wechat_trade_bill", _wechat),
            "alipay": ("trade_bill", "raw.alipay_trade_bill", _alipay),
        }
        kind, table, columns = write[world.format]
        file_id = self.file(name, kind, on, record.part)
        line = self.add(table, file_id, on, **columns(record))
        self.ids[name][record.ref] = f"{file_id}:{line}"

    def adjustment(self, name: str, adjustment: Adjustment) -> None:
        on = self.on(adjustment.day)
        file_id = self.file(name, "aerrn", on)
        columns = aerrn_columns(
            adjustment,
            f"8{adjustment.ref[1:]:0>5}",
            _noon(on),
            _merchant_id(name, adjustment.merchant),
        )
        line = self.add("raw.unionpay_aerrn", file_id, on, **columns)
        self.ids[name][adjustment.ref] = f"{file_id}:{line}"

    def actions(self, name: str, world: World) -> None:
        known = {row.ref for row in (*world.vouchers, *world.records)}
        for action in world.actions:
            items = [action.item, *([action.second] if action.second else [])]
            if not known.issuperset(items):
                continue
            number = len(self.tables["reconciliation.actions"]) + 1
            requested_at = _noon(self.on(action.day))
            self.tables["reconciliation.actions"].append(
                {
                    "action_id": number,
                    "action_kind": action.kind,
                    "suspense_item_id": self.item_id(name, action.item),
                    "second_item_id": self.item_id(name, action.second) if action.second else None,
                    "account_id": _account_id(name, 0) if action.kind == "adjust" else None,
                    "assigned_to": "wang" if action.kind == "assign" else None,
                    "effective_on": self.on(action.day),
                    "reason": "checked by hand",
                    "requested_by": "zhang",
                    "requested_at": requested_at,
                }
            )
            if action.is_approved and action.kind != "assign":
                self.tables["reconciliation.action_approvals"].append(
                    {"action_id": number, "approved_by": "li", "approved_at": requested_at}
                )

    def item_id(self, name: str, ref: str) -> str:
        return f"{'C' if ref.startswith('c') else 'S'}:{self.ids[name][ref]}"

    def arrivals(self, name: str, world: World) -> None:
        """What the channel's files say it pays, in one line or several, by arrival date."""
        owed: dict[tuple[str, date], int] = {}
        for day in range(self.days):
            arrives_on = self.arrival_date(world, self.on(day))
            for currency in world.currencies:
                owed.setdefault((currency, arrives_on), 0)
        for currency, day, amount in _money(world):
            owed[currency, self.arrival_date(world, self.on(day))] += amount
        if world.wrong_arrival is not None:
            index, difference = world.wrong_arrival
            owed[list(owed)[index % len(owed)]] += difference
        for index, ((currency, arrives_on), amount) in enumerate(owed.items()):
            for part in _parts(amount, world.splits[index % len(world.splits)]):
                self.bank.setdefault((currency, arrives_on), []).append((name, arrives_on, part))

    def arrival_date(self, world: World, on: date) -> date:
        earliest = on + timedelta(days=world.arrival_lag_days)
        if world.arrival_calendar == "working_day":
            return workdays.working_day_on_or_after(earliest)
        return earliest

    def statements(self) -> None:
        """The morning statement of each date: all arrivals of a currency on its account."""
        balance: dict[str, int] = {}
        for (currency, on), lines in sorted(self.bank.items()):
            opening = balance.get(currency, 0)
            balance[currency] = opening + sum(amount for _, _, amount in lines)
            account = BANK_ACCOUNTS[currency]
            statement_id = f"ST{on:%Y%m%d}{currency}"
            file_id = self.file("bank", "camt053", on, list(BANK_ACCOUNTS).index(currency))
            self.add(
                "raw.bank_statements",
                file_id,
                on,
                statement_id=statement_id,
                bank_account_id=account,
                statement_date=on,
                sequence_number=1,
                currency_code=currency,
                opening_balance_minor=opening,
                closing_balance_minor=balance[currency],
                entry_count=len(lines),
            )
            for name, arrives_on, amount in lines:
                self.add(
                    "raw.bank_statement_lines",
                    file_id,
                    on,
                    statement_id=statement_id,
                    bank_account_id=account,
                    statement_date=on,
                    booking_date=on,
                    value_date=on,
                    currency_code=currency,
                    amount_minor=amount,
                    is_reversal=False,
                    is_return=False,
                    counterparty_name=f"{name} clearing",
                    remittance_text=f"ARRIVAL {arrives_on:%Y%m%d}",
                    detail_count=0,
                )

    def window(self) -> None:
        for day in range(self.days):
            on = self.on(day)
            self.add(
                "raw.platform_operating_window",
                self.file("platform", "operating_window", on),
                on,
                first_accounting_date=self.first,
                last_accounting_date=self.on(self.days - 1),
            )


@functools.cache
def common_tables() -> Tables:
    """The reference tables that do not depend on worlds, as the project's seeds have them."""

    def seed(name: str) -> list[dict[str, Any]]:
        with (SEEDS / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            return [
                {
                    column: {"true": True, "false": False}.get(value, value)
                    for column, value in row.items()
                }
                for row in csv.DictReader(file)
            ]

    days = [
        {**row, "calendar_date": date.fromisoformat(row["calendar_date"])}
        for row in seed("calendar_days")
    ]
    return {
        "reference.calendar_days": days,
        "reference.transaction_types": seed("transaction_types"),
        "reference.adjustment_types": seed("adjustment_types"),
    }


BANK_ACCOUNTS = {"CNY": "6600100200300400", "USD": "6600100200300401"}


def _money(world: World) -> list[tuple[str, int, int]]:
    """What each row of the channel's files brings us: (currency, day, amount)."""
    rows = [
        (row.currency_code, row.day, row.amount_minor - row.cost_minor) for row in world.records
    ]
    rows += [(row.currency_code, row.day, -row.brand_fee_minor) for row in world.brand_fees]
    rows += [
        (row.currency_code, row.day, row.funds_effect_minor + row.fees_effect_minor)
        for row in world.adjustments
    ]
    return rows


def _parts(amount: int, count: int) -> list[int]:
    """An amount in up to ``count`` lines, none of them 0."""
    share = amount // count
    parts = [share] * (count - 1) + [amount - share * (count - 1)]
    return [part for part in parts if part]


def _merchant_id(name: str, index: int) -> str:
    return f"{name}M{index}"


def _account_id(name: str, index: int) -> str:
    return f"{name}A{index}"


def _noon(on: date) -> datetime:
    return datetime(on.year, on.month, on.day, 12, tzinfo=SHANGHAI)


def _own_key(number: int) -> dict[str, str]:
    return {
        "acquiring_institution_id": "48370000",
        "forwarding_institution_id": "00049992",
        "trace_number": f"7{number:05d}",
        "transmission_time": "0925000000",
    }


def aerrn_columns(
    adjustment: Adjustment, trace_number: str, transmitted_at: datetime, merchant_id: str
) -> dict[str, Any]:
    """The columns of an adjustment in UnionPay's error file."""
    original = dict(adjustment.original)
    fees = adjustment.fees_effect_minor
    return {
        "adjustment_code": "E00",
        "adjustment_type": adjustment.adjustment_type,
        "acquiring_institution_id": original["acquiring_institution_id"],
        "forwarding_institution_id": original["forwarding_institution_id"],
        "trace_number": trace_number,
        "transmission_time": "0925000000",
        "transmitted_at": transmitted_at,
        "terminal_id": original["terminal_id"],
        "merchant_id": merchant_id,
        "retrieval_reference_number": original["retrieval_reference_number"],
        "original_trace_number": original["trace_number"],
        "original_transmission_time": original["transmission_time"],
        "currency_code": adjustment.currency_code,
        "funds_effect_minor": adjustment.funds_effect_minor,
        "interchange_receivable_minor": max(fees, 0),
        "interchange_payable_minor": 1,
        "fee_receivable_minor": 1,
        "fee_payable_minor": max(-fees, 0),
    }


def _acomn(record: Record) -> dict[str, Any]:
    references = dict(record.references)
    names = (*UNIONPAY_KEY, *REFERENCE, "terminal_id")
    # The parts of the cost are apart, so that each sign is used.
    return {
        **{name: references[name] for name in names},
        "transmitted_at": record.at,
        "transaction_type": record.transaction_type,
        "message_type": "0200",
        "response_code": "00",
        "region_flag": "0",
        "currency_code": record.currency_code,
        "amount_minor": record.amount_minor,
        "interchange_receivable_minor": 2,
        "interchange_payable_minor": record.cost_minor + 3 if record.cost_minor > 0 else 1,
        "network_fee_minor": -1 if record.cost_minor > 0 else record.cost_minor + 1,
    }


def _wechat(record: Record) -> dict[str, Any]:
    references = dict(record.references)
    is_payment = record.transaction_type == "purchase"
    amount = abs(record.amount_minor)
    return {
        "transaction_at": record.at,
        "device_id": references["terminal_id"],
        "channel_order_id": references["channel_order_id"],
        "merchant_order_id": references["merchant_order_id"],
        "trade_type": "JSAPI",
        "trade_state": "SUCCESS" if is_payment else "REFUND",
        "transaction_type": record.transaction_type,
        "currency_code": record.currency_code,
        "settlement_amount_minor": amount if is_payment else 0,
        "coupon_amount_minor": 0,
        "channel_refund_id": references["refund_order_id"] or "0",
        "refund_amount_minor": 0 if is_payment else amount,
        "coupon_refund_amount_minor": 0,
        "fee_minor": record.cost_minor,
        "order_amount_minor": amount if is_payment else 0,
        "applied_refund_amount_minor": 0 if is_payment else amount,
    }


def _alipay(record: Record) -> dict[str, Any]:
    references = dict(record.references)
    return {
        "channel_order_id": references["channel_order_id"],
        "merchant_order_id": references["merchant_order_id"],
        "business_type": "交易" if record.transaction_type == "purchase" else "退款",
        "transaction_type": record.transaction_type,
        "created_at": record.at - timedelta(seconds=40),
        "finished_at": record.at,
        "terminal_id": references["terminal_id"],
        "currency_code": record.currency_code,
        "order_amount_minor": record.amount_minor,
        "merchant_received_minor": record.amount_minor,
        "refund_request_id": references["refund_order_id"],
        "service_fee_minor": -record.cost_minor,
    }
