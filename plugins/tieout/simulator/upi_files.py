"""Foreign cards that UnionPay International clears: sold in dollars, settled in yuan by ICOMN.

An event's amounts are cents of the dollar on both sides; what the channel settles follows from the
rate of its record. The platform quotes one rate, the records have rates around it. What happens
here has dice of its own, so that the other channels' days are the same without it.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import polars as pl

from tieout.simulator.events import (
    NEVER,
    PREAUTH_COMPLETION,
    PURCHASE,
    REFUND,
    REVERSAL,
    UPI,
    VOID,
    Day,
    own_dice,
    plain_purchases,
    refunds_of,
)
from tieout.simulator.fixed_width import Records
from tieout.simulator.scenes import one_sale
from tieout.simulator.texts import TRACE_NUMBERS, compact_dates, timestamps
from tieout.simulator.wechat_files import WalletDay
from tieout.simulator.world import (
    ACQUIRING_INSTITUTION_ID,
    FORWARDING_INSTITUTION_ID,
    ISSUER_INSTITUTION_ID,
    World,
)

__all__ = ["QUOTED_RATE", "SETTLED_IN", "SOLD_IN", "as_settled", "events_of", "write_day"]

SOLD_IN, SETTLED_IN = "USD", "CNY"
QUOTED_RATE = "7.12"
LEAST_SALES = 8
SHARE = 0.03
REFUNDS = 2
# A rate that nobody believes.
RATE_FAR = "rate_far"
_FAR_RATE = 9_000_000
_MILLION = 1_000_000
_COST_BASIS_POINTS = 110
_BYTES = 681
_WIDTHS = (
    *(11, 11, 6, 10, 19, 12, 4, 6, 4, 8, 15, 40, 12, 2, 6, 11, 6, 2, 3, 3, 3, 12, 8, 4, 4, 3, 12),
    *(8, 12, 12, 12, 12, 12, 343),
)
_MESSAGES = {
    PURCHASE: ("0200", "000000", "00"),
    REFUND: ("0220", "200000", "00"),
    VOID: ("0200", "200000", "00"),
    REVERSAL: ("0420", "000000", "00"),
    PREAUTH_COMPLETION: ("0200", "000000", "06"),
}


def events_of(day: Day, transactions: int) -> pl.DataFrame:
    """Return the day of the foreign cards: sales, refunds of them, and what goes wrong there."""
    with own_dice(day, UPI):
        count = max(LEAST_SALES, round(transactions * SHARE))
        sales = _by_foreign_cards(day, plain_purchases(day, UPI, count))
        scenes = _by_foreign_cards(day, _scenes(day))
        return pl.concat([sales, refunds_of(day, sales.head(REFUNDS)), scenes])


def _by_foreign_cards(day: Day, events: pl.DataFrame) -> pl.DataFrame:
    foreign = [n for n, region in enumerate(day.world.card_regions) if region == "foreign"]
    cards = day.random.choice(foreign, size=events.height)
    return events.with_columns(card=pl.Series(cards, dtype=pl.Int64))


def _scenes(day: Day) -> pl.DataFrame:
    """Return a record a file late, one booked on the next date, one never sent, one far off."""
    special = (
        (day.at(14, 40), {"channel_day": day.day + 1, "scene": "waits_for_its_rate"}),
        (day.at(22, 58, 30), {"platform_day": day.day + 1, "platform_time": day.at(23, 0, 10),
                              "open_outcome": "channel_in_doubt", "scene": "clock_skew"}),
        (day.at(16, 30), {"channel_day": NEVER, "scene": "never_in_channel"}),
        (day.at(12, 15), {"open_outcome": "channel_one_sided", "scene": RATE_FAR}),
    )  # fmt: skip
    return pl.concat([one_sale(day, UPI, time, **what) for time, what in special])


def _rates(events: pl.DataFrame) -> np.ndarray[Any, Any]:
    """Return each record's rate in millionths: 7.10 to 7.15, or one that nobody believes."""
    rates = 7_100_000 + events["key_no"].to_numpy() % 500 * 100
    far = events["scene"].eq_missing(RATE_FAR).to_numpy()
    chosen: np.ndarray[Any, Any] = np.where(far, _FAR_RATE, rates)
    return chosen


def _settled(amounts: np.ndarray[Any, Any], rates: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return what is settled, half away from zero."""
    size = (np.abs(amounts) * rates + _MILLION // 2) // _MILLION
    settled: np.ndarray[Any, Any] = np.sign(amounts) * size
    return settled


def as_settled(events: pl.DataFrame) -> pl.DataFrame:
    """Return the events as reconciliation has to see them.

    A foreign voucher is taken in with its record, for what the record settles it for: until then,
    and where the rate is far off, only the channel's side counts.
    """
    is_foreign = pl.col("channel") == UPI
    is_late = is_foreign & (pl.col("platform_day") < pl.col("channel_day"))
    is_alone = is_foreign & pl.col("scene").eq_missing(pl.lit(RATE_FAR))
    settled = _settled(events["channel_amount"].to_numpy(), _rates(events))
    return (
        events.with_columns(settled=pl.Series(settled, dtype=pl.Int64))
        .filter(~(is_foreign & (pl.col("channel_day") == NEVER)))
        .with_columns(
            platform_amount=pl.when(is_foreign).then("settled").otherwise("platform_amount"),
            channel_amount=pl.when(is_foreign).then("settled").otherwise("channel_amount"),
            platform_day=pl.when(is_alone)
            .then(NEVER)
            .when(is_late)
            .then("channel_day")
            .otherwise("platform_day"),
        )
        .drop("settled")
    )


def write_day(world: World, day: date, events: pl.DataFrame) -> WalletDay:
    """Return ICOMN of a date; ``events`` are the channel's records of the date."""
    records = events.sort("channel_time", "event_no")
    amounts = records["channel_amount"].to_numpy()
    rates = _rates(records)
    settled = _settled(amounts, rates)
    cost = (np.abs(settled) * _COST_BASIS_POINTS + 5_000) // 10_000
    types = records["type"].to_numpy()
    merchants = records["merchant"].to_numpy()
    keys = records["key_no"].to_numpy()
    out = Records(records.height, _BYTES, _fields())
    out.text(1, ACQUIRING_INSTITUTION_ID)
    out.text(2, FORWARDING_INSTITUTION_ID)
    out.digits(3, keys % TRACE_NUMBERS)
    out.digits(4, timestamps(records["channel_time"], "%m%d%H%M%S").cast(pl.Int64).to_list())
    out.lookup(5, world.card_numbers, records["card"].to_numpy())
    out.digits(6, np.abs(amounts))
    for number, place in ((7, 0), (8, 1), (14, 2)):
        table = [_MESSAGES.get(kind, ("", "", ""))[place] for kind in range(max(_MESSAGES) + 1)]
        out.lookup(number, table, types)
    out.lookup(9, [m.merchant_category_code for m in world.merchants], merchants)
    terminals = [terminal for m in world.merchants for terminal in m.terminal_ids]
    out.lookup(10, terminals, merchants * 3 + records["terminal"].to_numpy())
    out.lookup(11, [m.merchant_id for m in world.merchants], merchants)
    out.lookup(12, [f"TEST MERCHANT {m.index + 1:06d}" for m in world.merchants], merchants)
    days = compact_dates(world.first_date, records["key_no"]).str.slice(2).to_list()
    traces = (records["key_no"] % TRACE_NUMBERS).cast(pl.String).str.zfill(6).to_list()
    out.texts(13, [f"{each}{trace}" for each, trace in zip(days, traces, strict=True)])
    out.digits(15, keys * 7 % TRACE_NUMBERS)
    out.text(16, ISSUER_INSTITUTION_ID)
    out.digits(17, records["original_key_no"].fill_null(0).to_numpy() % TRACE_NUMBERS)
    out.text(18, "00")
    out.text(19, "840")
    out.text(20, "051")
    out.text(21, "156")
    out.digits(22, np.abs(settled))
    # Six decimals and seven digits.
    out.digits(23, 6 * 10**7 + rates)
    out.text(24, f"{day:%m%d}")
    out.text(25, f"{day:%m%d}")
    out.text(26, "840")
    out.digits(27, np.abs(amounts))
    out.text(28, "61000000")
    out.digits(29, np.where(settled < 0, cost, 0))
    out.digits(30, np.where(settled > 0, cost, 0))
    out.signed(31, np.zeros(records.height))
    out.signed(33, np.zeros(records.height))
    path = f"unionpay/{day:%Y%m%d}/IFD{day:%y%m%d}01ICOMN"
    return WalletDay(
        files={path: out.to_bytes()},
        records=records.select("event_no").with_columns(
            channel_file=pl.lit(path),
            channel_line=pl.int_range(1, pl.len() + 1, dtype=pl.Int64),
        ),
        net_amount_minor=int(settled.sum()) - int((np.sign(settled) * cost).sum()),
    )


def _fields() -> list[tuple[int, int]]:
    """Return (first byte, width) of each field: one blank between fields."""
    places = []
    start = 0
    for width in _WIDTHS:
        places.append((start, width))
        start += width + 1
    return places
