"""Alipay's trade detail (业务明细): a ZIP of two GBK csv files with GBK member names.

25 columns, comment lines with ``#``, values that end with a TAB as in real files. Refund rows print
negative amounts; the service fee is negative on payments and given back on refunds.
"""

from __future__ import annotations

import io
import zipfile
from datetime import date, timedelta

import numpy as np
import polars as pl

from tieout.simulator.events import PURCHASE
from tieout.simulator.texts import pick, timestamps, with_references, yuan, yuan_text
from tieout.simulator.wechat_files import WalletDay, agreed_rates, half_up_share
from tieout.simulator.world import ALIPAY_PARTNER_ID, World

HEADER = (
    "支付宝交易号,商户订单号,业务类型,商品名称,创建时间,完成时间,门店编号,门店名称,操作员,终端号,对方账户,"
    "订单金额（元）,商家实收（元）,支付宝红包（元）,集分宝（元）,支付宝优惠（元）,商家优惠（元）,券核销金额（元）,"
    "券名称,商家红包消费金额（元）,卡消费金额（元）,退款批次号/请求号,服务费（元）,分润（元）,备注"
)
FIRST_DATA_LINE = 6
_RATES = (38, 45, 55, 60)
RULE = "-" * 41


class _GbkZipInfo(zipfile.ZipInfo):
    """A member whose name is written in GBK without the UTF-8 flag, as Alipay does."""

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:  # noqa: N802 (zipfile's own hook)
        return self.filename.encode("gbk"), self.flag_bits & ~0x800


def bill_path(day: date) -> str:
    """Return the inbox path of the bill."""
    return f"alipay/{day:%Y%m%d}/{ALIPAY_PARTNER_ID}0156_{day:%Y%m%d}.zip"


def write_day(world: World, day: date, events: pl.DataFrame) -> WalletDay:
    """Return the bill of a date; ``events`` are the channel's records of the date."""
    records = with_references(world.first_date, events.sort("channel_time", "event_no"))
    amounts = records["channel_amount"].to_numpy()
    size = np.abs(amounts)
    direction = np.where(records["type"].to_numpy() == PURCHASE, 1, -1)
    rates = np.array(agreed_rates(world, _RATES))[records["merchant"].to_numpy()]
    fees = -direction * half_up_share(size, rates)
    coupon = np.where(direction > 0, records["coupon"].to_numpy(), 0)
    money = records.with_columns(
        order=pl.Series(amounts + coupon), fee=pl.Series(fees), discount=pl.Series(coupon)
    )
    path = bill_path(day)
    payments = int((direction > 0).sum())
    detail = [
        *_opening_lines(day),
        HEADER,
        *_rows(world, money),
        f"#{RULE}业务明细列表结束{RULE[:-5]}",
        f"#交易合计：{payments}笔，商家实收共{yuan_text(int(amounts[direction > 0].sum()))}元，"
        f"商家优惠共{yuan_text(int(coupon.sum()))}元",
        f"#退款合计：{records.height - payments}笔，"
        f"商家实收退款共{yuan_text(int(amounts[direction < 0].sum()))}元，商家优惠退款共0.00元",
        f"#导出时间：[{day + timedelta(days=1):%Y年%m月%d日} 09:00:00]",
        "",
    ]
    summary = [
        *_opening_lines(day),
        "门店编号,门店名称,交易订单总笔数,退款订单总笔数,订单金额（元）,商家实收（元）,服务费（元）",
        f"合计,,{payments},{records.height - payments},{yuan_text(int((amounts + coupon).sum()))},"
        f"{yuan_text(int(amounts.sum()))},{yuan_text(int(fees.sum()))}",
        f"#{RULE}业务汇总列表结束{RULE[:-5]}",
        "",
    ]
    return WalletDay(
        files={path: zip_members(day, detail, summary)},
        records=records.select("event_no").with_columns(
            channel_file=pl.lit(path),
            channel_line=pl.int_range(FIRST_DATA_LINE, pl.len() + FIRST_DATA_LINE, dtype=pl.Int64),
        ),
        # reference.channels: cost_billing = billed_apart.
        net_amount_minor=int(amounts.sum()),
        billed_cost_minor=-int(fees.sum()),
    )


def _opening_lines(day: date) -> list[str]:
    return [
        "#支付宝业务明细查询",
        f"#账号：[{ALIPAY_PARTNER_ID}0156]",
        f"#起始日期：[{day:%Y年%m月%d日} 00:00:00]   "
        f"终止日期：[{day + timedelta(days=1):%Y年%m月%d日} 00:00:00]",
        f"#{RULE}业务明细列表{RULE[:-1]}",
    ]


def _rows(world: World, money: pl.DataFrame) -> list[str]:
    """Return the detail lines."""
    tab = pl.lit("\t")
    zero = pl.lit("0.00")
    terminals = [terminal for m in world.merchants for terminal in m.terminal_ids]
    accounts = [m.account_id for m in world.merchants]
    names = [f"测试门店{m.index + 1:06d}" for m in world.merchants]
    columns: list[pl.Expr | pl.Series] = [
        pl.col("channel_order_id") + tab,
        pl.col("merchant_order_id") + tab,
        pl.when(pl.col("type") == PURCHASE).then(pl.lit("交易\t")).otherwise(pl.lit("退款\t")),
        pl.lit("测试商品"),
        timestamps(money["channel_time"] - 5, "%Y-%m-%d %H:%M:%S"),
        timestamps(money["channel_time"], "%Y-%m-%d %H:%M:%S"),
        pick(accounts, money["merchant"]) + tab,
        pick(names, money["merchant"]) + tab,
        tab,
        pick(terminals, money["merchant"] * 3 + money["terminal"]) + tab,
        pl.lit("**测(138******00)"),
        yuan("order"),
        yuan("channel_amount"),
        zero,
        zero,
        zero,
        yuan("discount"),
        zero,
        pl.lit(""),
        zero + tab,
        zero + tab,
        pl.col("refund_order_id").fill_null("") + tab,
        yuan("fee"),
        zero,
        pl.lit(""),
    ]
    named = [
        (pl.lit(column) if isinstance(column, pl.Series) else column).alias(f"c{number}")
        for number, column in enumerate(columns)
    ]
    rows = money.select(named).select(
        pl.concat_str([f"c{number}" for number in range(len(named))], separator=",")
    )
    return rows.to_series().to_list()


def zip_members(day: date, detail: list[str], summary: list[str]) -> bytes:
    """Return the ZIP of the detail and the summary; the member times follow from the date."""
    content = io.BytesIO()
    stamp = day + timedelta(days=1)
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, lines in (("业务明细(汇总)", summary), ("业务明细", detail)):
            member = _GbkZipInfo(
                f"{ALIPAY_PARTNER_ID}0156_{day:%Y%m%d}_{name}.csv",
                (stamp.year, stamp.month, stamp.day, 9, 0, 0),
            )
            member.compress_type = zipfile.ZIP_DEFLATED
            # One system and one set of permissions, whichever machine writes it.
            member.create_system = 0
            member.external_attr = 0
            archive.writestr(member, "\r\n".join(lines).encode("gbk"))
    return content.getvalue()
