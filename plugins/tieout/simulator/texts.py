"""Vectorised texts of events: ids, times and amounts as both sides print them."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import polars as pl

from tieout.simulator.events import (
    ALIPAY,
    EVENTS_PER_DAY,
    QR_GATEWAY,
    REFUND,
    UNIONPAY,
    UPI,
    VOID,
    WECHAT,
)

TRACE_NUMBERS = 1_000_000


def pick(values: Any, indices: pl.Series) -> pl.Series:
    """Return ``values[index]`` for each index; null where the index is negative or null."""
    texts = pl.Series(values=list(values), dtype=pl.String)
    wanted = pl.select(pl.when(indices >= 0).then(indices)).to_series()
    return texts.gather(wanted)


def compact_dates(first_date: date, numbers: pl.Series) -> pl.Series:
    """Return YYYYMMDD of the day each event number belongs to (see EVENTS_PER_DAY)."""
    offsets = numbers // EVENTS_PER_DAY
    last = max(offsets.to_list(), default=0)
    days = [f"{first_date + timedelta(days=offset):%Y%m%d}" for offset in range(last + 1)]
    return pick(days, offsets)


def padded(numbers: pl.Series, width: int) -> pl.Series:
    """Return each number's remainder of the day, zero-filled."""
    return (numbers % EVENTS_PER_DAY).cast(pl.String).str.zfill(width)


def timestamps(seconds: pl.Series, form: str) -> pl.Series:
    """Return local seconds printed in ``form`` (strftime)."""
    return pl.from_epoch(seconds, time_unit="s").dt.strftime(form)


def yuan(name: str) -> pl.Expr:
    """Return the fen of a column printed in yuan with two decimals, minus sign kept."""
    size = pl.col(name).abs()
    sign = pl.when(pl.col(name) < 0).then(pl.lit("-")).otherwise(pl.lit(""))
    cents = (size % 100).cast(pl.String).str.zfill(2)
    return pl.concat_str([sign, (size // 100).cast(pl.String), pl.lit("."), cents])


def yuan_text(amount_minor: int) -> str:
    """Return fen printed in yuan with two decimals."""
    sign = "-" if amount_minor < 0 else ""
    return f"{sign}{abs(amount_minor) // 100}.{abs(amount_minor) % 100:02d}"


def with_references(first_date: date, events: pl.DataFrame) -> pl.DataFrame:
    """Return the events with the reference texts both sides print.

    Adds ``trace_number``, ``transmission_time``, ``retrieval_reference_number`` (UnionPay, else
    null), ``channel_order_id``, ``refund_order_id`` (wallets, else null) and ``merchant_order_id``.
    """
    key_date = compact_dates(first_date, events["key_no"])
    order_date = compact_dates(first_date, events["order_no"])
    trace = (events["key_no"] % TRACE_NUMBERS).cast(pl.String).str.zfill(6)
    order = padded(events["order_no"], 13)
    key = padded(events["key_no"], 9)
    texts = pl.DataFrame(
        {
            "key_date": key_date,
            "order_date": order_date,
            "trace": trace,
            "order": order,
            "key": key,
            "time": timestamps(events["channel_time"], "%m%d%H%M%S"),
            "channel": events["channel"],
            "type": events["type"],
        }
    )
    is_unionpay = pl.col("channel").is_in([UNIONPAY, UPI])
    is_wechat = pl.col("channel") == WECHAT
    is_alipay = pl.col("channel") == ALIPAY
    is_qr_gateway = pl.col("channel") == QR_GATEWAY
    gives_back = pl.col("type").is_in([REFUND, VOID])
    references = texts.select(
        trace_number=pl.when(is_unionpay).then("trace"),
        transmission_time=pl.when(is_unionpay).then("time"),
        retrieval_reference_number=pl.when(is_unionpay).then(
            pl.concat_str([pl.col("key_date").str.slice(2), "trace"])
        ),
        channel_order_id=pl.when(is_wechat)
        .then(pl.concat_str([pl.lit("4200001"), "order_date", "order"]))
        .when(is_alipay)
        .then(pl.concat_str(["order_date", pl.lit("2200141"), "order"]))
        .when(is_qr_gateway)
        .then(pl.concat_str([pl.lit("9551600000"), "order_date", pl.col("order").str.slice(3)])),
        refund_order_id=pl.when(is_wechat & gives_back)
        .then(pl.concat_str([pl.lit("50300000"), "key_date", pl.lit("0000"), "key"]))
        .when(is_alipay & gives_back)
        .then(pl.concat_str([pl.lit("RF"), "key_date", "key"]))
        .when(is_qr_gateway & gives_back)
        .then(pl.concat_str([pl.lit("9551600001"), "key_date", pl.lit("0"), "key"])),
        merchant_order_id=pl.concat_str([pl.lit("M"), "order_date", pl.col("order").str.slice(4)]),
    )
    return pl.concat([events, references], how="horizontal")
