"""A fourth channel: wallets through UnionPay's QR gateway, settled apart, with a bill of its own.

What happens there has dice of its own, so that the other channels' days are the same without it.
"""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl

from tieout.simulator.events import (
    NEVER,
    QR_GATEWAY,
    REFUND,
    Day,
    own_dice,
    plain_purchases,
    refunds_of,
)
from tieout.simulator.scenes import one_sale
from tieout.simulator.texts import pick, timestamps, with_references, yuan
from tieout.simulator.wechat_files import WalletDay, half_up_share
from tieout.simulator.world import (
    ACQUIRING_INSTITUTION_ID,
    FORWARDING_INSTITUTION_ID,
    World,
    qr_gateway_merchant_id,
)

__all__ = ["bill_path", "events_of", "write_day"]

SHARE = 0.08
LEAST_SALES = 14
REFUNDS = 2
RATE_BASIS_POINTS = 38
_COLUMNS = 38


def bill_path(day: date) -> str:
    """Return the inbox path of the bill."""
    return f"unionpay/{day:%Y%m%d}/{day:%Y%m%d}_{day:%Y%m%d}_ALL.csv"


def events_of(day: Day, transactions: int) -> pl.DataFrame:
    """Return the day of the fourth channel: sales, refunds of them, and what goes wrong there."""
    with own_dice(day, QR_GATEWAY):
        count = max(LEAST_SALES, round(transactions * SHARE))
        sales = plain_purchases(day, QR_GATEWAY, count)
        return pl.concat([sales, refunds_of(day, sales.head(REFUNDS)), _scenes(day)])


def _scenes(day: Day) -> pl.DataFrame:
    """Return a sale booked on the next date, one that came a file late and one that never came."""
    special = (
        # After the platform's cutoff, before the gateway's: booked on the next date.
        (day.at(23, 20), {"platform_day": day.day + 1, "open_outcome": "channel_in_doubt",
                          "scene": "hour_before_midnight"}),
        (day.at(14, 40), {"channel_day": day.day + 1, "channel_time": day.at(24, 0, 2),
                          "open_outcome": "system_in_doubt", "scene": "late_channel_record"}),
        (day.at(13, 10), {"platform_day": NEVER, "open_outcome": "channel_one_sided",
                          "scene": "lost_by_platform"}),
        (day.at(16, 30), {"channel_day": NEVER, "open_outcome": "system_in_doubt",
                          "scene": "never_in_channel"}),
    )  # fmt: skip
    # One of each in turn, and the late one each day: money of two dates has to come apart.
    chosen = [special[0], special[1 + day.day % 3]]
    return pl.concat([one_sale(day, QR_GATEWAY, time, **what) for time, what in chosen])


def write_day(world: World, day: date, events: pl.DataFrame) -> WalletDay:
    """Return the bill of a date; ``events`` are the channel's records of the date.

    38 values behind backticks, no headings and no totals, GB18030: as the one known row stands.
    """
    records = with_references(world.first_date, events.sort("channel_time", "event_no"))
    amounts = records["channel_amount"].to_numpy()
    size = np.abs(amounts)
    is_refund = (records["type"] == REFUND).to_numpy()
    fees = np.where(is_refund, -1, 1) * half_up_share(size, RATE_BASIS_POINTS)
    money = records.with_columns(
        paid=pl.Series(np.where(is_refund, 0, size)),
        given_back=pl.Series(np.where(is_refund, size, 0)),
        fee=pl.Series(fees),
        settled=pl.Series(amounts - fees),
        zero=pl.lit(0, dtype=pl.Int64),
    )
    refund = pl.Series(is_refund)
    merchants = [qr_gateway_merchant_id(m.index) for m in world.merchants]
    known = {
        1: timestamps(records["channel_time"], "%Y-%m-%d %H:%M:%S"),
        3: pl.lit("QRA000000000FFU"),
        4: pick(merchants, records["merchant"]),
        6: pick(
            [terminal for m in world.merchants for terminal in m.terminal_ids],
            records["merchant"] * 3 + records["terminal"],
        ),
        7: pl.col("channel_order_id"),
        8: pl.lit("502") + pl.col("merchant_order_id").str.slice(1),
        9: pl.col("merchant_order_id"),
        11: pl.lit("pay.unionpay.proxy.micropay"),
        12: pl.when(refund).then(pl.lit("转入退款")).otherwise(pl.lit("支付成功")),
        13: pl.lit("01"),
        14: pl.lit("CNY"),
        15: yuan("paid"),
        16: yuan("zero"),
        17: pl.col("refund_order_id").fill_null(""),
        18: pl.when(refund).then(pl.lit("R") + pl.col("merchant_order_id")).otherwise(pl.lit("")),
        19: yuan("given_back"),
        20: yuan("zero"),
        23: pl.lit("测试商品"),
        25: yuan("fee"),
        26: pl.lit(f"0.{RATE_BASIS_POINTS:02d}%"),
        28: pl.lit("0"),
        32: pl.concat_str(
            [
                pl.lit(f"{ACQUIRING_INSTITUTION_ID:<11}{FORWARDING_INSTITUTION_ID:<11}"),
                (pl.col("key_no") % 1_000_000).cast(pl.String).str.zfill(6),
                timestamps(records["channel_time"], "%m%d%H%M%S"),
            ]
        ),
        33: yuan("zero"),
        34: yuan("paid"),
        35: yuan("settled"),
        36: yuan("zero"),
    }
    rows = money.select(
        pl.lit("`")
        + pl.concat_str(
            [known[number] if number in known else pl.lit("") for number in range(1, _COLUMNS + 1)],
            separator=",`",
        )
    )
    path = bill_path(day)
    return WalletDay(
        files={path: ("\r\n".join([*rows.to_series().to_list(), ""])).encode("gb18030")},
        records=records.select("event_no").with_columns(
            channel_file=pl.lit(path),
            channel_line=pl.int_range(1, pl.len() + 1, dtype=pl.Int64),
        ),
        net_amount_minor=int(amounts.sum()) - int(fees.sum()),
    )
