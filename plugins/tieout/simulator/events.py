"""What really happened on a day: every transaction once, with who saw it and when.

An event knows on which accounting date the platform books it (``platform_day``) and in which of
its channel's files it stands (``channel_day``), both as day numbers from 0, −1 for never. From
these alone follow the platform's and the channels' files and the truth of reconciliation: nothing
is compared.

Times are seconds since 1970-01-01 00:00 on the clock of Asia/Shanghai. Amounts are fen, signed
from the merchant's side.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from tieout.simulator.world import World

CHANNELS = ("unionpay", "wechat", "alipay", "qr_gateway", "upi")
UNIONPAY, WECHAT, ALIPAY, QR_GATEWAY, UPI = range(5)
TYPES = (
    "purchase",
    "refund",
    "void",
    "reversal",
    "preauth_completion",
    "manual_refund",
    "pre_authorisation",
    "balance_inquiry",
)
(
    PURCHASE,
    REFUND,
    VOID,
    REVERSAL,
    PREAUTH_COMPLETION,
    MANUAL_REFUND,
    PRE_AUTHORISATION,
    BALANCE_INQUIRY,
) = range(8)
NEVER = -1
EVENTS_PER_DAY = 10_000_000  # event numbers of day d start at d times this
HISTORY_ROWS = 2_000

_HOUR = 3_600
_LAST_SECOND = 22 * _HOUR + 59 * 60 + 50
CUTOFF_MINUTES = 23 * 60
# A wallet sale of the hour before midnight that neither of the channel's two files has.
MISSED_BY_BOTH_FILES = "missed_by_both_files"
# Share of a day's transactions in each hour; the hour before midnight is drawn apart.
_HOUR_WEIGHTS = (1, 1, 1, 1, 1, 2, 5, 12, 18, 22, 26, 32, 34, 28, 26, 26, 28, 34, 38, 34, 26, 16, 9)
_LATE_SHARE = 0.04

SCHEMA: dict[str, Any] = {
    "event_no": pl.Int64,
    "key_no": pl.Int64,
    "order_no": pl.Int64,
    "channel": pl.Int64,
    "type": pl.Int64,
    "merchant": pl.Int64,
    "terminal": pl.Int64,
    "card": pl.Int64,
    "platform_amount": pl.Int64,
    "channel_amount": pl.Int64,
    "coupon": pl.Int64,
    "platform_time": pl.Int64,
    "channel_time": pl.Int64,
    "platform_day": pl.Int64,
    "channel_day": pl.Int64,
    "failed": pl.Boolean,
    "late_order": pl.Boolean,
    "posted": pl.Boolean,
    "original_no": pl.Int64,
    "original_voucher_id": pl.String,
    "original_time": pl.Int64,
    "original_key_no": pl.Int64,
    "original_channel_time": pl.Int64,
    "original_amount": pl.Int64,
    "refunded_before": pl.Int64,
    "open_outcome": pl.String,
    "break_reason": pl.String,
    "scene": pl.String,
}
_DEFAULTS: dict[str, Any] = {
    "card": NEVER,
    "coupon": 0,
    "failed": False,
    "late_order": False,
    "posted": True,
    "original_no": NEVER,
    "original_voucher_id": None,
    "original_time": None,
    "original_key_no": None,
    "original_channel_time": None,
    "original_amount": None,
    "refunded_before": None,
    "open_outcome": None,
    "break_reason": None,
    "scene": None,
}


@dataclass
class Day:
    """One accounting date being played: its number, its midnight, its dice, its event numbers.

    Everybody's clock is `early_minutes` ahead of ours: what happens at 23:00 here is told of as of
    so much earlier. So a platform that cuts at 22:00 has the same day as one that cuts at 23:00.
    """

    world: World
    day: int
    days: int
    accounting_date: date
    random: np.random.Generator
    early_minutes: int = 0
    next_event_no: int = field(init=False)

    def __post_init__(self) -> None:
        # From 1: a trace number of zeros means "none" in UnionPay's files.
        self.next_event_no = self.day * EVENTS_PER_DAY + 1

    @property
    def midnight(self) -> int:
        """Seconds of 00:00 of the accounting date, by the clock of who plays."""
        days = (self.accounting_date - date(1970, 1, 1)).days
        return days * 24 * _HOUR - self.early_minutes * 60

    def at(self, hour: int, minute: int, second: int = 0) -> int:
        """Return the seconds of a time of day of the accounting date."""
        return self.midnight + hour * _HOUR + minute * 60 + second

    def take(self, count: int) -> np.ndarray[Any, Any]:
        """Return ``count`` fresh event numbers."""
        first = self.next_event_no
        self.next_event_no += count
        return np.arange(first, first + count, dtype=np.int64)


def open_day(
    world: World, day: int, days: int, accounting_date: date, *, early_minutes: int = 0
) -> Day:
    """Return the day with dice of its own, so that a date does not depend on the dates before."""
    sequence = np.random.SeedSequence([world.seed, 2, day])
    random = np.random.Generator(np.random.PCG64(sequence))
    return Day(world, day, days, accounting_date, random, early_minutes)


@contextmanager
def own_dice(day: Day, channel: int) -> Iterator[None]:
    """Let a channel that not every acquirer has play with dice of its own."""
    common = day.random
    sequence = np.random.SeedSequence([day.world.seed, 4, day.day, channel])
    day.random = np.random.Generator(np.random.PCG64(sequence))
    try:
        yield
    finally:
        day.random = common


def plain_purchases(day: Day, channel: int, count: int) -> pl.DataFrame:
    """Return purchases of one channel that both sides book on the same date."""
    channels = np.full(count, channel, dtype=np.int64)
    times, amounts = _times(day, count), _amounts(day, count)
    return frame(
        {
            "event_no": day.take(count),
            "type": PURCHASE,
            "platform_amount": amounts,
            "channel_amount": amounts,
            "channel_time": times,
            "platform_time": times + 1,
            "platform_day": day.day,
            "channel_day": day.day,
            **_parties(day, channels),
        }
    )


def refunds_of(day: Day, purchases: pl.DataFrame) -> pl.DataFrame:
    """Return a refund of each of the day's purchases that leaves time for one."""
    early = purchases.filter(pl.col("channel_time") < day.at(20, 0))
    return _returns(day, REFUND, early.with_columns(refunded=pl.lit(0, dtype=pl.Int64)))


def cut_before_the_platform(
    day: Day, events: pl.DataFrame, wechat_cutoff_minutes: int | None
) -> pl.DataFrame:
    """Return the day's events as a WeChat that cuts before the platform has them.

    What it has after its cut stands in its next file: a sale of the date in doubt, one of the next
    date matched there. What neither of two files has is only missed by the one it belongs to.
    """
    if wechat_cutoff_minutes is None:
        return events
    cut = day.midnight + (wechat_cutoff_minutes + day.early_minutes) * 60
    is_wechat = pl.col("channel") == WECHAT
    is_moved = is_wechat & (pl.col("channel_day") == day.day) & (pl.col("channel_time") >= cut)
    is_doubtful = (is_moved & (pl.col("platform_day") == day.day)) | (
        is_wechat & (pl.col("scene") == MISSED_BY_BOTH_FILES)
    ).fill_null(False)
    return events.with_columns(
        pl.when(is_moved).then(day.day + 1).otherwise(pl.col("channel_day")).alias("channel_day"),
        pl.when(is_doubtful)
        .then(pl.lit("system_in_doubt"))
        .when(is_moved)
        .then(pl.lit(None))
        .otherwise(pl.col("open_outcome"))
        .alias("open_outcome"),
    )


def frame(columns: Mapping[str, Any]) -> pl.DataFrame:
    """Return events from columns (arrays or scalars), defaults filled in, in the schema's order."""
    filled = {**_DEFAULTS, **columns}
    filled.setdefault("key_no", filled["event_no"])
    filled.setdefault("order_no", filled["event_no"])
    count = len(filled["event_no"])
    series = []
    for name, kind in SCHEMA.items():
        value = filled[name]
        if isinstance(value, np.ndarray | pl.Series | list):
            series.append(pl.Series(name, value, dtype=kind))
        else:
            series.append(pl.Series(name, [value], dtype=kind).new_from_index(0, count))
    return pl.DataFrame(series)


def empty_events() -> pl.DataFrame:
    """Return no events."""
    return pl.DataFrame(schema=SCHEMA)


def ordinary_events(day: Day, count: int, history: pl.DataFrame) -> pl.DataFrame:
    """Return the day's ordinary life: about ``count`` transactions of all kinds and channels."""
    purchases = _purchases(day, count)
    parts = [
        purchases,
        _late_purchases(day, count),
        _failed_purchases(day, count),
        _pre_authorisations(day, count),
        _balance_inquiries(day, count),
        _returns_of_today(day, count, purchases),
        _returns_of_history(day, count, history),
    ]
    return pl.concat(parts)


def _share(count: int, share: float, least: int = 1) -> int:
    return max(least, round(count * share))


def _times(day: Day, count: int) -> np.ndarray[Any, Any]:
    """Return times of day in [00:00:00, 22:59:50], busier at noon and in the evening."""
    weights = np.array(_HOUR_WEIGHTS, dtype=np.float64)
    hours = day.random.choice(len(weights), size=count, p=weights / weights.sum())
    seconds = day.random.integers(0, _HOUR, size=count)
    times: np.ndarray[Any, Any] = day.midnight + np.minimum(hours * _HOUR + seconds, _LAST_SECOND)
    return times


def _amounts(day: Day, count: int) -> np.ndarray[Any, Any]:
    """Return amounts of 1.00 to 20,000.00 CNY, most of them small."""
    drawn: np.ndarray[Any, Any] = np.exp(day.random.normal(np.log(8_000.0), 1.3, size=count))
    amounts: np.ndarray[Any, Any] = np.clip(np.rint(drawn), 100, 2_000_000).astype(np.int64)
    return amounts


def _parties(day: Day, channels: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Return merchant, terminal and card of each transaction; wallets have no card."""
    count = len(channels)
    merchants = day.random.choice(len(day.world.merchants), size=count, p=day.world.weights)
    cards = day.random.integers(0, len(day.world.card_numbers), size=count)
    return {
        "channel": channels,
        "merchant": merchants.astype(np.int64),
        "terminal": day.random.integers(0, 3, size=count),
        "card": np.where(channels == UNIONPAY, cards, NEVER),
    }


def _purchases(day: Day, count: int) -> pl.DataFrame:
    """Return purchases that both sides book on the same date."""
    numbers = (
        _share(count, 0.46, 12),
        _share(count, 0.28, 10),
        _share(count, 0.19, 10),
    )
    channels = np.repeat(np.arange(3, dtype=np.int64), numbers)
    times = _times(day, len(channels))
    if day.day > 0:
        # UnionPay's day starts at the platform's cutoff: some of it lies before midnight.
        early = _share(numbers[UNIONPAY], 0.03)
        times[:early] = day.midnight - _HOUR + day.random.integers(5, _HOUR - 5, size=early)
    amounts = _amounts(day, len(channels))
    couponed = (channels != UNIONPAY) & (day.random.random(len(channels)) < 0.03)
    delays = day.random.integers(0, 3, size=len(channels))
    parties = _parties(day, channels)
    if day.world.every_merchant_sells:
        sellers = day.random.permutation(np.flatnonzero(day.world.weights > 0))[: len(channels)]
        places = day.random.permutation(len(channels))[: len(sellers)]
        parties["merchant"][places] = sellers
    return frame(
        {
            "event_no": day.take(len(channels)),
            "type": PURCHASE,
            "platform_amount": amounts,
            "channel_amount": amounts,
            "coupon": np.where(couponed, 50 + amounts // 50, 0),
            "channel_time": times,
            "platform_time": times + delays,
            "platform_day": day.day,
            "channel_day": day.day,
            **parties,
        }
    )


def _late_purchases(day: Day, count: int) -> pl.DataFrame:
    """Return wallet purchases in [23:00, 24:00): in the channel's file of T, booked on T+1."""
    late = _share(count, 0.47 * _LATE_SHARE, 4)
    channels = np.where(np.arange(late) % 5 < 3, WECHAT, ALIPAY).astype(np.int64)
    times = day.at(23, 0, 1) + day.random.integers(0, _HOUR - 2, size=late)
    amounts = _amounts(day, late)
    return frame(
        {
            "event_no": day.take(late),
            "type": PURCHASE,
            "platform_amount": amounts,
            "channel_amount": amounts,
            "channel_time": times,
            "platform_time": times,
            "platform_day": day.day + 1,
            "channel_day": day.day,
            "open_outcome": "channel_in_doubt",
            "scene": "hour_before_midnight",
            **_parties(day, channels),
        }
    )


def _failed_purchases(day: Day, count: int) -> pl.DataFrame:
    """Return purchases that failed: only the platform keeps a record of them."""
    failed = _share(count, 0.015, 2)
    channels = day.random.integers(0, 3, size=failed)
    times = _times(day, failed)
    return frame(
        {
            "event_no": day.take(failed),
            "type": PURCHASE,
            "platform_amount": _amounts(day, failed),
            "channel_amount": 0,
            "channel_time": times,
            "platform_time": times,
            "platform_day": day.day,
            "channel_day": NEVER,
            "failed": True,
            "posted": False,
            **_parties(day, channels),
        }
    )


def _pre_authorisations(day: Day, count: int) -> pl.DataFrame:
    """Return pre-authorisations (no money) and a completion for each."""
    holds = _share(count, 0.004)
    times = day.midnight + day.random.integers(8 * _HOUR, 18 * _HOUR, size=holds)
    amounts = _amounts(day, holds)
    parties = _parties(day, np.zeros(holds, dtype=np.int64))
    numbers = day.take(holds)
    common = {"platform_day": day.day, "channel_day": day.day, **parties}
    authorised = frame(
        {
            "event_no": numbers,
            "type": PRE_AUTHORISATION,
            "platform_amount": 0,
            # The file prints the amount held; it moves no money.
            "channel_amount": amounts,
            "channel_time": times,
            "platform_time": times + 1,
            "posted": False,
            **common,
        }
    )
    completed_at = times + day.random.integers(_HOUR, 4 * _HOUR, size=holds)
    completed = amounts * day.random.integers(80, 101, size=holds) // 100
    completion = frame(
        {
            "event_no": day.take(holds),
            "type": PREAUTH_COMPLETION,
            "platform_amount": completed,
            "channel_amount": completed,
            "channel_time": completed_at,
            "platform_time": completed_at + 1,
            "original_no": numbers,
            "original_time": times + 1,
            "original_key_no": numbers,
            "original_channel_time": times,
            "original_amount": amounts,
            "refunded_before": 0,
            **common,
        }
    )
    return pl.concat([authorised, completion])


def _balance_inquiries(day: Day, count: int) -> pl.DataFrame:
    """Return balance inquiries: no money, only the channel's fee."""
    inquiries = _share(count, 0.006)
    times = _times(day, inquiries)
    return frame(
        {
            "event_no": day.take(inquiries),
            "type": BALANCE_INQUIRY,
            "platform_amount": 0,
            "channel_amount": 0,
            "channel_time": times,
            "platform_time": times + 1,
            "platform_day": day.day,
            "channel_day": day.day,
            "posted": False,
            **_parties(day, np.zeros(inquiries, dtype=np.int64)),
        }
    )


def _returns_of_today(day: Day, count: int, purchases: pl.DataFrame) -> pl.DataFrame:
    """Return voids, reversals and refunds of the day's own purchases, each at most once."""
    candidates = purchases.filter(
        (pl.col("channel_time") >= day.midnight) & (pl.col("channel_time") < day.at(20, 0))
    )
    candidates = candidates[day.random.permutation(candidates.height)]
    of_channel = [candidates.filter(pl.col("channel") == channel) for channel in range(3)]
    plan = (
        (UNIONPAY, VOID, _share(count, 0.008)),
        (UNIONPAY, REVERSAL, _share(count, 0.003)),
        (WECHAT, VOID, _share(count, 0.002)),
        (UNIONPAY, REFUND, _share(count, 0.006)),
        (WECHAT, REFUND, _share(count, 0.004)),
        (ALIPAY, REFUND, _share(count, 0.003)),
    )
    used = [0, 0, 0]
    parts = []
    for channel, kind, wanted in plan:
        originals = of_channel[channel].slice(used[channel], wanted)
        used[channel] += originals.height
        if originals.height:
            parts.append(_returns(day, kind, originals.with_columns(refunded=pl.lit(0))))
    return pl.concat(parts) if parts else empty_events()


def _returns_of_history(day: Day, count: int, history: pl.DataFrame) -> pl.DataFrame:
    """Return refunds of purchases of earlier dates; some are the second or third of theirs."""
    wanted = min(history.height, _share(count, 0.008, 3))
    if wanted == 0:
        return empty_events()
    # Partly refunded originals first, so that some are given back to the last fen.
    order = np.lexsort((day.random.random(history.height), history["refunded"].to_numpy() == 0))
    return _returns(day, REFUND, history[order[:wanted]])


def _returns(day: Day, kind: int, originals: pl.DataFrame) -> pl.DataFrame:
    """Return one reverse transaction for each original; voids and reversals take all of it."""
    count = originals.height
    original_time = originals["channel_time"].to_numpy()
    left = (originals["platform_amount"] - originals["refunded"]).to_numpy()
    if kind == REFUND:
        whole = day.random.random(count) < 0.4
        part = np.maximum(1, left * day.random.integers(10, 90, size=count) // 100)
        amounts = np.where(whole, left, part)
    else:
        amounts = left
    earliest = np.maximum(original_time, day.midnight + 9 * _HOUR - 1_000)
    if kind == REVERSAL:
        times = earliest + 60
    else:
        latest = day.at(22, 50)
        times = earliest + 600 + (day.random.random(count) * (latest - earliest - 600)).astype(int)
    voucher_ids: Any = originals["voucher_id"] if "voucher_id" in originals.columns else None
    return frame(
        {
            "event_no": day.take(count),
            "order_no": originals["order_no"],
            "channel": originals["channel"],
            "type": kind,
            "merchant": originals["merchant"],
            "terminal": originals["terminal"],
            "card": originals["card"],
            "platform_amount": -amounts,
            "channel_amount": -amounts,
            "channel_time": times,
            "platform_time": times + 1,
            "platform_day": day.day,
            "channel_day": day.day,
            "original_no": originals["event_no"],
            "original_voucher_id": voucher_ids,
            "original_time": originals["platform_time"],
            "original_key_no": originals["key_no"],
            "original_channel_time": originals["channel_time"],
            "original_amount": originals["platform_amount"],
            "refunded_before": originals["refunded"],
        }
    )


HISTORY_COLUMNS = (
    "event_no",
    "key_no",
    "order_no",
    "channel",
    "merchant",
    "terminal",
    "card",
    "platform_amount",
    "platform_time",
    "channel_time",
    "platform_day",
    "voucher_id",
    "refunded",
)


def empty_history() -> pl.DataFrame:
    """Return no purchases to refund."""
    schema = {name: SCHEMA[name] for name in HISTORY_COLUMNS[:-2]}
    return pl.DataFrame(schema={**schema, "voucher_id": pl.String, "refunded": pl.Int64})


def next_history(day: Day, history: pl.DataFrame, booked: pl.DataFrame) -> pl.DataFrame:
    """Return the purchases later dates may refund, with what was refunded of each so far.

    Args:
        day: The date just played.
        history: The purchases its refunds could take from.
        booked: The platform's records of the date, with ``voucher_id``.
    """
    reversed_today = booked.filter(pl.col("type").is_in([VOID, REVERSAL, MANUAL_REFUND]))
    plain = booked.filter(
        (pl.col("type") == PURCHASE)
        & ~pl.col("failed")
        & pl.col("scene").is_null()
        & ~pl.col("event_no").is_in(reversed_today["original_no"].implode())
    ).with_columns(refunded=pl.lit(0, dtype=pl.Int64))
    if plain.height > HISTORY_ROWS // 2:
        chosen = np.sort(day.random.permutation(plain.height)[: HISTORY_ROWS // 2])
        plain = plain[chosen]
    refunds = (
        booked.filter(pl.col("type") == REFUND)
        .group_by("original_no")
        .agg(refunded_today=-pl.col("platform_amount").sum())
    )
    return (
        pl.concat([plain.select(HISTORY_COLUMNS), history.select(HISTORY_COLUMNS)])
        .filter(~pl.col("event_no").is_in(reversed_today["original_no"].implode()))
        .join(
            refunds, left_on="event_no", right_on="original_no", how="left", maintain_order="left"
        )
        .with_columns(refunded=pl.col("refunded") + pl.col("refunded_today").fill_null(0))
        .filter(pl.col("refunded") < pl.col("platform_amount"))
        .select(HISTORY_COLUMNS)
        .head(HISTORY_ROWS)
    )
