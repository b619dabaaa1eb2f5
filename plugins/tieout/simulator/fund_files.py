"""The wallets' fund bills: how each trade record, its fee and a withdrawal moved the account.

WeChat's fund bill (资金账单) books a payment and its fee as two lines and a return less its fee as
one, oldest first. Alipay's account bill (账务明细) books no fees, since they are billed apart, and
has the newest line first. Each morning what the account held goes to our bank.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from tieout.simulator.alipay_files import RULE
from tieout.simulator.events import PURCHASE
from tieout.simulator.texts import timestamps, with_references, yuan_text
from tieout.simulator.wechat_files import kept_back
from tieout.simulator.world import ALIPAY_PARTNER_ID, WECHAT_MERCHANT_ID, World

__all__ = ["FundBill", "account_bill_path", "fund_bill_path", "write_alipay", "write_wechat"]

_WITHDRAWN_AT = "08:00:00"
_WECHAT_HEADER = (
    "记账时间,微信支付业务单号,资金流水单号,业务名称,业务类型,收支类型,收支金额(元),账户结余(元),资金变更提交申请人,备注,"
    "业务凭证号"
)
_WECHAT_TOTALS = "资金流水总笔数,收入笔数,收入金额,支出笔数,支出金额"
_ALIPAY_HEADER = (
    "账务流水号,业务流水号,商户订单号,商品名称,发生时间,对方账号,收入金额（+元）,支出金额（-元）,账户余额（元）,交易渠道,"
    "业务类型,备注"
)


@dataclass(frozen=True, slots=True)
class FundBill:
    """A fund bill: where it lies, its bytes, and what the account holds at its end in fen."""

    path: str
    content: bytes
    closing_minor: int


@dataclass(frozen=True, slots=True)
class _Change:
    """One change of the balance in fen; ``balance_minor`` is the balance after it."""

    booked_at: str
    key: str
    order_id: str
    word: str
    amount_minor: int
    balance_minor: int


def fund_bill_path(day: date) -> str:
    """Return the inbox path of WeChat's bill of the basic account."""
    return f"wechat/{day:%Y%m%d}/{WECHAT_MERCHANT_ID}FundFlowBasic{day.isoformat()}.csv"


def account_bill_path(day: date) -> str:
    """Return the inbox path of Alipay's account bill."""
    return f"alipay/{day:%Y%m%d}/{ALIPAY_PARTNER_ID}0156_{day:%Y%m%d}_账务明细.csv"


def write_wechat(world: World, day: date, events: pl.DataFrame, opening_minor: int) -> FundBill:
    """Return WeChat's fund bill of a date; ``events`` are the channel's records of the date."""
    records = with_references(world.first_date, events.sort("channel_time", "event_no"))
    moves = []
    for row in records.with_columns(fee=pl.Series(kept_back(world, records))).iter_rows(named=True):
        amount, fee = row["channel_amount"], row["fee"]
        if row["type"] == PURCHASE:
            moves.append((row, row["channel_order_id"], "交易", amount))
            moves.append((row, row["channel_order_id"], "扣除交易手续费", -fee))
        else:
            moves.append((row, row["refund_order_id"], "退款", amount - fee))
    changes = _changes(day, records, moves, opening_minor)
    incomes = [each.amount_minor for each in changes if each.amount_minor > 0]
    expenses = [-each.amount_minor for each in changes if each.amount_minor < 0]
    lines = [_WECHAT_HEADER]
    for number, each in enumerate(changes, start=1):
        values = (
            each.booked_at,
            each.key,
            f"{WECHAT_MERCHANT_ID}{day:%Y%m%d}{number:010d}",
            each.word,
            each.word,
            "收入" if each.amount_minor > 0 else "支出",
            yuan_text(abs(each.amount_minor)),
            yuan_text(each.balance_minor),
            "system",
            "",
            each.order_id,
        )
        lines.append("`" + ",`".join(values))
    totals = (
        str(len(changes)),
        str(len(incomes)),
        yuan_text(sum(incomes)),
        str(len(expenses)),
        yuan_text(sum(expenses)),
    )
    lines += [_WECHAT_TOTALS, "`" + ",`".join(totals), ""]
    content = b"\xef\xbb\xbf" + "\r\n".join(lines).encode("utf-8")
    return FundBill(fund_bill_path(day), content, _closing(changes, opening_minor))


def write_alipay(world: World, day: date, events: pl.DataFrame, opening_minor: int) -> FundBill:
    """Return Alipay's account bill of a date; ``events`` are the channel's records of the date."""
    records = with_references(world.first_date, events.sort("channel_time", "event_no"))
    moves = [
        (
            row,
            row["channel_order_id"],
            "在线支付" if row["type"] == PURCHASE else "交易退款",
            row["channel_amount"],
        )
        for row in records.iter_rows(named=True)
    ]
    changes = _changes(day, records, moves, opening_minor)
    incomes = [each.amount_minor for each in changes if each.amount_minor > 0]
    expenses = [-each.amount_minor for each in changes if each.amount_minor < 0]
    end = day + timedelta(days=1)
    lines = [
        "#支付宝账务明细查询",
        f"#账号：[{ALIPAY_PARTNER_ID}0156]",
        f"#起始日期：[{day:%Y年%m月%d日} 00:00:00]   终止日期：[{end:%Y年%m月%d日} 00:00:00]",
        f"#{RULE}账务明细列表{RULE}",
        _ALIPAY_HEADER,
    ]
    for number, each in reversed(list(enumerate(changes, start=1))):
        values = (
            f"{day:%Y%m%d}{number:020d}\t",
            f"{each.key}\t",
            f"{each.order_id}\t",
            "测试商品",
            each.booked_at,
            "**测(138******00)",
            yuan_text(max(each.amount_minor, 0)),
            yuan_text(max(-each.amount_minor, 0)),
            yuan_text(each.balance_minor),
            "支付宝",
            each.word,
            "",
        )
        lines.append(",".join(values))
    lines += [
        f"#{RULE}账务明细列表结束{RULE}",
        f"#支出合计：{len(expenses)}笔，共{yuan_text(sum(expenses))}元",
        f"#收入合计：{len(incomes)}笔，共{yuan_text(sum(incomes))}元",
        f"#导出时间：[{end:%Y年%m月%d日} 09:00:00]",
        "",
    ]
    content = "\r\n".join(lines).encode("gbk")
    return FundBill(account_bill_path(day), content, _closing(changes, opening_minor))


def _changes(
    day: date,
    records: pl.DataFrame,
    moves: list[tuple[dict[str, object], str, str, int]],
    opening_minor: int,
) -> list[_Change]:
    """Return the date's changes with their balances, the morning's withdrawal first of all.

    A day's records begin at midnight or later, and the bank is paid at eight: what is booked
    before that stands above it.
    """
    times = dict(
        zip(
            records["event_no"].to_list(),
            timestamps(records["channel_time"], "%Y-%m-%d %H:%M:%S").to_list(),
            strict=True,
        )
    )
    planned = [
        (times[row["event_no"]], key, str(row["merchant_order_id"]), word, amount)
        for row, key, word, amount in moves
        if amount
    ]
    if opening_minor > 0:
        at = f"{day.isoformat()} {_WITHDRAWN_AT}"
        planned.append((at, f"W{day:%Y%m%d}", "", "提现", -opening_minor))
    balance, changes = opening_minor, []
    # Stable: a payment stays before its fee.
    for at, key, order, word, amount in sorted(planned, key=lambda each: each[0]):
        balance += amount
        changes.append(_Change(at, key, order, word, amount, balance))
    return changes


def _closing(changes: list[_Change], opening_minor: int) -> int:
    return changes[-1].balance_minor if changes else opening_minor
