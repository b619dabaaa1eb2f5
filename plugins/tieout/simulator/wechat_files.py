"""WeChat Pay's trade bill (交易账单), form ALL: 27 columns, backticks, UTF-8 with BOM, CRLF.

Fees are a rate a merchant agreed with WeChat (0.2 % to 0.6 %), rounded half up to the fen,
printed with five decimals: positive on payments, negative on refunds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from tieout.simulator.events import REFUND, VOID
from tieout.simulator.texts import pick, timestamps, with_references, yuan, yuan_text
from tieout.simulator.world import (
    WECHAT_APP_ID,
    WECHAT_MERCHANT_ID,
    World,
    wechat_sub_merchant_id,
)

HEADER = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,"
    "货币种类,应结订单金额,代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,"
    "商品名称,商户数据包,手续费,费率,订单金额,申请退款金额,费率备注"
)
SUMMARY_HEADER = (
    "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"
)
# Basis points of each merchant's rate, by its place.
_RATES = (20, 38, 54, 60)
_STANDARD_RATE = 60
_AGREED_MERCHANTS = 12
_TRADE_TYPES = ("JSAPI", "NATIVE", "MICROPAY", "APP")
_BANKS = ("CFT", "OTHERS", "ICBC_DEBIT", "PSBC_DEBIT")


@dataclass(frozen=True)
class WalletDay:
    """A wallet channel's file of one date, and what it pays for it.

    ``billed_cost_minor`` is the cost it does not keep back and bills apart (外扣).
    """

    files: dict[str, bytes]
    records: pl.DataFrame
    net_amount_minor: int
    billed_cost_minor: int = 0


def bill_path(day: date, merchant_id: str = WECHAT_MERCHANT_ID) -> str:
    """Return the inbox path of the trade bill."""
    return f"wechat/{day:%Y%m%d}/{merchant_id}All{day.isoformat()}.csv"


def half_up_share(amounts: Any, basis_points: Any) -> Any:
    """Return ``basis_points`` of whole amounts >= 0, rounded half up."""
    return (amounts * basis_points + 5_000) // 10_000


def agreed_rates(world: World, rates: Sequence[int]) -> list[int]:
    """Return each merchant's rate in basis points: the first ones have agreed on one, as
    ``reference.channel_prices`` says, all others pay the standard rate.
    """
    return [
        rates[merchant.index % len(rates)] if merchant.index < _AGREED_MERCHANTS else _STANDARD_RATE
        for merchant in world.merchants
    ]


def kept_back(world: World, records: pl.DataFrame) -> Any:
    """Return the fee of each record in fen, negative where it is given back."""
    merchants = records["merchant"].to_numpy()
    gives_back = records["type"].is_in([REFUND, VOID]).to_numpy()
    rates = np.array(agreed_rates(world, _RATES))[merchants]
    size = np.abs(records["channel_amount"].to_numpy())
    return np.where(gives_back, -1, 1) * half_up_share(size, rates)


def write_day(world: World, day: date, events: pl.DataFrame) -> WalletDay:
    """Return the trade bill of a date; ``events`` are the channel's records of the date."""
    records = with_references(world.first_date, events.sort("channel_time", "event_no"))
    amounts = records["channel_amount"].to_numpy()
    size = np.abs(amounts)
    gives_back = records["type"].is_in([REFUND, VOID]).to_numpy()
    rates = agreed_rates(world, _RATES)
    fees = kept_back(world, records)
    zero = np.zeros(len(size), dtype=np.int64)
    payment = np.where(gives_back, 0, size)
    refund = np.where(gives_back, size, 0)
    coupon = np.where(gives_back, 0, records["coupon"].to_numpy())
    money = records.with_columns(
        payment=pl.Series(payment),
        refund=pl.Series(refund),
        coupon=pl.Series(coupon),
        order=pl.Series(payment + coupon),
        zero=pl.Series(zero),
        fee=pl.Series(fees),
    )
    merchant_orders = pl.col("merchant_order_id")
    columns = [
        timestamps(records["channel_time"], "%Y-%m-%d %H:%M:%S").alias("c1"),
        pl.lit(WECHAT_APP_ID).alias("c2"),
        pl.lit(WECHAT_MERCHANT_ID).alias("c3"),
        pick([wechat_sub_merchant_id(m.index) for m in world.merchants], records["merchant"]).alias(
            "c4"
        ),
        pick(
            [terminal for m in world.merchants for terminal in m.terminal_ids],
            records["merchant"] * 3 + records["terminal"],
        ).alias("c5"),
        pl.col("channel_order_id").alias("c6"),
        merchant_orders.alias("c7"),
        (pl.lit("oUser") + (pl.col("order_no") % 100_003).cast(pl.String).str.zfill(8)).alias("c8"),
        pick(_TRADE_TYPES, records["order_no"] % len(_TRADE_TYPES)).alias("c9"),
        pl.when(pl.col("type") == VOID)
        .then(pl.lit("REVOKED"))
        .when(pl.col("type") == REFUND)
        .then(pl.lit("REFUND"))
        .otherwise(pl.lit("SUCCESS"))
        .alias("c10"),
        pick(_BANKS, records["order_no"] % len(_BANKS)).alias("c11"),
        pl.lit("CNY").alias("c12"),
        yuan("payment").alias("c13"),
        yuan("coupon").alias("c14"),
        pl.col("refund_order_id").fill_null("0").alias("c15"),
        pl.when(pl.Series(gives_back))
        .then(pl.lit("R") + pl.col("merchant_order_id"))
        .otherwise(pl.lit("0"))
        .alias("c16"),
        yuan("refund").alias("c17"),
        yuan("zero").alias("c18"),
        pl.when(pl.Series(gives_back)).then(pl.lit("ORIGINAL")).otherwise(pl.lit("")).alias("c19"),
        pl.when(pl.Series(gives_back)).then(pl.lit("SUCCESS")).otherwise(pl.lit("")).alias("c20"),
        pl.lit("测试商品").alias("c21"),
        pl.lit("").alias("c22"),
        (yuan("fee") + pl.lit("000")).alias("c23"),
        pick([f"0.{rate:02d}%" for rate in rates], records["merchant"]).alias("c24"),
        yuan("order").alias("c25"),
        yuan("refund").alias("c26"),
        pl.lit("").alias("c27"),
    ]
    rows = money.select(columns).select(
        pl.lit("`") + pl.concat_str([f"c{number}" for number in range(1, 28)], separator=",`")
    )
    totals = ",`".join(
        [
            str(records.height),
            yuan_text(int(payment.sum())),
            yuan_text(int(refund.sum())),
            "0.00",
            yuan_text(int(fees.sum())) + "000",
            yuan_text(int((payment + coupon).sum())),
            yuan_text(int(refund.sum())),
        ]
    )
    lines = [HEADER, *rows.to_series().to_list(), SUMMARY_HEADER, "`" + totals, ""]
    path = bill_path(day)
    return WalletDay(
        files={path: b"\xef\xbb\xbf" + "\r\n".join(lines).encode("utf-8")},
        records=records.select("event_no").with_columns(
            channel_file=pl.lit(path),
            channel_line=pl.int_range(2, pl.len() + 2, dtype=pl.Int64),
        ),
        net_amount_minor=int(amounts.sum()) - int(fees.sum()),
    )
