"""Small bills of the wallets, made by hand: what `test_channels_wallets.py` feeds on.

Written from docs/formats, not from the parsers' tables.
"""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal

import channel_files as make

DAY = make.DAY

# --- WeChat: forms of the trade bill ----------------------------------------------------------

REFUND_ONLY = [*make.WECHAT_HEADER[14:20], "申请退款金额"]
SUCCESS_HEADER = [name for name in make.WECHAT_HEADER if name not in REFUND_ONLY]
REFUND_HEADER = [
    *make.WECHAT_HEADER[:14],
    "退款申请时间",
    "退款成功时间",
    *make.WECHAT_HEADER[14:],
]
WECHAT_REFUND = {
    **make.WECHAT_REFUND,
    "退款申请时间": "2026-09-24 11:00:00",
    "退款成功时间": "2026-09-24 11:00:07",
}
# What 2014 called what is in the columns of today.
OLD_NAMES = {
    "特约商户号": "子商户号",
    "应结订单金额": "总金额",
    "代金券金额": "代金券或立减优惠金额",
    "充值券退款金额": "代金券或立减优惠退款金额",
}
OLD_TOTALS = {
    "总交易额": "应结订单金额",
    "总退款金额": "退款金额",
    "总代金券或立减优惠退款金额": "充值券退款金额",
    "手续费总金额": "手续费",
}
UNIONPAY_NAMES = {"微信订单号": "银联订单号", "微信退款单号": "银联退款单号"}
NOT_OLD = ("订单金额", "申请退款金额", "费率备注")


def backticks(
    header: Sequence[str] | None,
    rows: Sequence[Sequence[str]],
    totals: Mapping[str, str] | None,
    *,
    line_end: str = "\r\n",
    encoding: str = "utf-8",
) -> bytes:
    """Return a bill of values behind backticks; `totals` are headings and values."""
    lines = [] if header is None else [",".join(header)]
    lines += [",".join(f"`{value}" for value in row) for row in rows]
    if totals is not None:
        lines += [",".join(totals), ",".join(f"`{value}" for value in totals.values())]
    return "".join(f"{line}{line_end}" for line in lines).encode(encoding)


def wechat_bill(
    rows: Sequence[Mapping[str, str]] = (make.WECHAT_PAYMENT, make.WECHAT_REFUND),
    *,
    header: Sequence[str] = tuple(make.WECHAT_HEADER),
    spelled: Mapping[str, str] | None = None,
    totals: Mapping[str, str] | None = None,
    line_end: str = "\r\n",
    encoding: str = "utf-8",
) -> bytes:
    """Return a trade bill whose totals fit.

    `spelled` renames headings of today; `totals` are headings of sums and the column each sums.
    """
    names = spelled or {}
    sums = {"总交易单数": str(len(rows))}
    for name, column in (make.WECHAT_TOTALS if totals is None else totals).items():
        sums[name] = str(sum((Decimal(row[column]) for row in rows), Decimal("0.00")))
    return backticks(
        [names.get(name, name) for name in header],
        [[row.get(name, "") for name in header] for row in rows],
        sums,
        line_end=line_end,
        encoding=encoding,
    )


def old_wechat_bill(
    rows: Sequence[Mapping[str, str]] = (make.WECHAT_PAYMENT, make.WECHAT_REFUND),
) -> bytes:
    """Return a bill in the 24 columns and 5 totals of 2014."""
    header = [name for name in make.WECHAT_HEADER if name not in NOT_OLD]
    assert len(header) == 24
    return wechat_bill(rows, header=header, spelled=OLD_NAMES, totals=OLD_TOTALS)


def gzipped(content: bytes) -> bytes:
    """Return the bytes in gzip, the same at any time."""
    return gzip.compress(content, mtime=0)


NO_BILL = (
    b"<xml>\n<return_code><![CDATA[FAIL]]></return_code>\n"
    b"<return_msg><![CDATA[No Bill Exist]]></return_msg>\n"
    b"<error_code><![CDATA[20002]]></error_code>\n</xml>\n"
)

# --- WeChat: fund bill --------------------------------------------------------------------------

FUND_HEADER = [
    "记账时间",
    "微信支付业务单号",
    "资金流水单号",
    "业务名称",
    "业务类型",
    "收支类型",
    "收支金额(元)",
    "账户结余(元)",
    "资金变更提交申请人",
    "备注",
    "业务凭证号",
]
SUBMITTER = "李小四的操作员"


def fund_rows(
    changes: Sequence[str] = ("100.00", "-0.60", "-30.00", "200.00"), opening: str = "1000.00"
) -> list[dict[str, str]]:
    """Return one row a signed change, each with the balance after it."""
    balance, rows = Decimal(opening), []
    for number, text in enumerate(changes, start=1):
        change = Decimal(text)
        balance += change
        rows.append(
            {
                "记账时间": f"{DAY} 10:{number % 60:02}:00",
                "微信支付业务单号": f"5000000{number:03}",
                "资金流水单号": f"19000001092026{number:014}",
                "业务名称": "交易" if change > 0 else "退款",
                "业务类型": "交易" if change > 0 else "退款",
                "收支类型": "收入" if change > 0 else "支出",
                "收支金额(元)": str(abs(change)),
                "账户结余(元)": str(balance),
                "资金变更提交申请人": SUBMITTER,
                "备注": "王小五退货,两件",
                "业务凭证号": f"REF\\1{number:05}\\r\\n",
            }
        )
    return rows


def fund_bill(
    rows: Sequence[Mapping[str, str]] | None = None,
    *,
    header: Sequence[str] = tuple(FUND_HEADER),
    **totals: str,
) -> bytes:
    """Return a fund bill whose totals fit, unless others are given; counts as decimals."""
    given = fund_rows() if rows is None else rows
    sums = {"资金流水总笔数": f"{len(given)}.0"}
    for kind in ("收入", "支出"):
        amounts = [Decimal(row["收支金额(元)"] or "0") for row in given if row["收支类型"] == kind]
        sums[f"{kind}笔数"] = f"{len(amounts)}.0"
        sums[f"{kind}金额"] = str(sum(amounts, Decimal("0.00")))
    sums.update(totals)
    ascii_names = [name.replace("（", "(").replace("）", ")") for name in header]
    return backticks(header, [[row[name] for name in ascii_names] for row in given], sums)


# --- Alipay -------------------------------------------------------------------------------------

RULE = "-" * 41


def utf8_zipped(members: Mapping[str, bytes]) -> bytes:
    """Return a ZIP whose names are UTF-8 and say so (flag 0x800)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def alipay_summary(
    rows: Sequence[Mapping[str, str]] = (make.ALIPAY_PAYMENT, make.ALIPAY_REFUND),
    *,
    per_store: bool = False,
    **changes: str,
) -> bytes:
    """Return the summary (汇总) of trades; `changes` are values of the total row by heading."""
    columns = ("订单金额（元）", "商家实收（元）", "商家优惠（元）", "服务费（元）")

    def line(of: Sequence[Mapping[str, str]], store: str) -> dict[str, str]:
        refunds = sum(row["业务类型"] == "退款" for row in of)
        sums = {
            name: str(sum((Decimal(row[name]) for row in of), Decimal("0.00"))) for name in columns
        }
        return {
            "门店编号": store,
            "门店名称": "",
            "交易订单总笔数": str(len(of) - refunds),
            "退款订单总笔数": str(refunds),
            **sums,
        }

    if per_store:
        lines = [line([row], f"A{number}\t") for number, row in enumerate(rows)]
    else:
        lines = [{**line(rows, "合计"), **changes}]
    return encoded(
        [
            "#支付宝业务汇总查询",
            f"#{RULE}业务汇总列表{RULE}",
            ",".join(line([], "")),
            *(",".join(values.values()) for values in lines),
            f"#{RULE}业务汇总列表结束{RULE}",
        ]
    )


def encoded(lines: Sequence[str], encoding: str = "gb18030") -> bytes:
    """Return lines as Alipay writes them."""
    return "".join(f"{line}\r\n" for line in lines).encode(encoding)


def alipay_zip(detail: bytes, summary: bytes, *, kind: str = "业务明细") -> bytes:
    """Return the ZIP of a detail and its summary."""
    stem = f"{make.PID}0156_{DAY:%Y%m%d}_{kind}"
    return make.zipped({f"{stem}(汇总).csv": summary, f"{stem}.csv": detail})


def saved_by_excel(content: bytes, width: int) -> bytes:
    """Return the CSV with every line padded with commas to the same width."""
    lines = content.decode("gb18030").split("\r\n")
    return "\r\n".join(
        line + "," * (width - 1 - line.count(",")) if line else line for line in lines
    ).encode("gb18030")


UNIONPAY_ALIPAY_HEADER = [
    "银联交易号",
    *make.ALIPAY_HEADER[1:21],
    "退款批次号",
    "服务费（元）",
    "实收净额（元）",
    "商户识别号",
    "交易方式",
    "备注",
    "花呗分期手续费",
    "花呗分期数",
]


def through_unionpay(row: Mapping[str, str], **more: str) -> dict[str, str]:
    """Return a record of the 29 columns."""
    renamed = {
        **row,
        "银联交易号": row["支付宝交易号"],
        "退款批次号": row.get("退款批次号/请求号", ""),
        "实收净额（元）": "94.43",
        "商户识别号": "M-4711",
        "交易方式": "扫码",
        "花呗分期手续费": "0.00",
        "花呗分期数": "3",
        **more,
    }
    return {name: renamed.get(name, "") for name in [*UNIONPAY_ALIPAY_HEADER, "业务类型"]}


ACCOUNT_HEADER = [
    "账务流水号",
    "业务流水号",
    "商户订单号",
    "商品名称",
    "发生时间",
    "对方账号",
    "收入金额（+元）",
    "支出金额（-元）",
    "账户余额（元）",
    "交易渠道",
    "业务类型",
    "备注",
]
COUNTERPARTY = "王小五(wangxiaowu@example.com)"


def account_rows(
    changes: Sequence[str] = ("100.00", "-0.60", "-30.00", "200.00"), opening: str = "1000.00"
) -> list[dict[str, str]]:
    """Return one row a signed change, newest first, each with the balance after it."""
    balance, rows = Decimal(opening), []
    for number, text in enumerate(changes, start=1):
        change = Decimal(text)
        balance += change
        rows.append(
            {
                "账务流水号": f"5463244653{number:04}\t",
                "业务流水号": f"2026092422001{number:04}\t",
                "商户订单号": f"M{number}\t",
                "商品名称": "茶\t",
                "发生时间": f"{DAY} 10:{number % 60:02}:00",
                "对方账号": f"{COUNTERPARTY}\t",
                "收入金额（+元）": str(max(change, Decimal("0.00"))),
                "支出金额（-元）": str(max(-change, Decimal("0.00"))),
                "账户余额（元）": str(balance),
                "交易渠道": "支付宝",
                "业务类型": "在线支付" if change > 0 else "收费",
                "备注": "给王小五",
            }
        )
    return rows[::-1]


def account_sums(rows: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return how often and how much, in and out."""
    sums = {}
    for label, name in (("收入", "收入金额（+元）"), ("支出", "支出金额（-元）")):
        amounts = [abs(Decimal(row[name] or "0")) for row in rows]
        sums[f"{label}笔数"] = str(sum(amount != 0 for amount in amounts))
        sums[name] = str(sum(amounts, Decimal("0.00")))
    return sums


def account_detail(
    rows: Sequence[Mapping[str, str]] | None = None,
    *,
    header: Sequence[str] = tuple(ACCOUNT_HEADER),
    footer: Sequence[str] | None = None,
    day: date = DAY,
) -> bytes:
    """Return the account bill's detail with totals that fit, unless others are given."""
    given = account_rows() if rows is None else rows
    sums = account_sums(given)
    end = day + timedelta(days=1)
    totals = [
        f"#支出合计：{sums['支出笔数']}笔，共{sums['支出金额（-元）']}元",
        f"#收入合计：{sums['收入笔数']}笔，共{sums['收入金额（+元）']}元",
    ]
    return encoded(
        [
            "#支付宝账务明细查询",
            f"#账号：[{make.PID}0156]",
            f"#起始日期：[{day:%Y年%m月%d日} 00:00:00]   终止日期：[{end:%Y年%m月%d日} 00:00:00]",
            f"#{RULE}账务明细列表{RULE}",
            ",".join(header),
            *(",".join(row.get(name, "") for name in header) for row in given),
            f"#{RULE}账务明细列表结束{RULE}",
            *(totals if footer is None else footer),
            "#导出时间：[2026年09月25日 09:00:00]",
        ]
    )


def account_summary(rows: Sequence[Mapping[str, str]] | None = None, **changes: str) -> bytes:
    """Return the summary of account changes."""
    sums = account_sums(account_rows() if rows is None else rows)
    net = Decimal(sums["收入金额（+元）"]) - Decimal(sums["支出金额（-元）"])
    values = {"类型": "合计", **sums, "总金额（元）": str(net), **changes}
    return encoded(["#支付宝账务汇总查询", ",".join(values), ",".join(values.values())])


# --- QR gateway -----------------------------------------------------------------------------------

# In the order of docs/formats, by the names of the public program.
QR_ORDER = [
    "trans_date_time",
    "common_id",
    "third_mcht_no",
    "mcht_no",
    "child_mcht_no",
    "term_id",
    "pl_order_no",
    "un_order_no",
    "mc_order_no",
    "user_id",
    "trans_type",
    "trans_stat",
    "pay_bank",
    "curr_cd",
    "trans_amt",
    "ent_red_amt",
    "plre_order_no",
    "mcre_order_no",
    "refund_amt",
    "ent_red_refund_amt",
    "refund_type",
    "refund_stat",
    "pro_name",
    "mcht_date_package",
    "trans_fee",
    "fee_rate",
    "term_type",
    "local_settle_in",
    "store_no",
    "mcht_name",
    "cashier",
    "key_cup",
    "no_coupon_amt",
    "actual_amt",
    "settle_amt",
    "acq_cost_fee",
    "reserve1",
    "reserve2",
]
QR_PAYMENT = {
    "trans_date_time": f"{DAY} 10:00:00",
    "third_mcht_no": "QRA000000000FFU",
    "mcht_no": "QRA000000000FFL",
    "pl_order_no": "955160000020260924000000001",
    "un_order_no": "50200924000000001",
    "mc_order_no": "M1",
    "user_id": make.PAYER,
    "trans_type": "pay.unionpay.proxy.micropay",
    "trans_stat": "支付成功",
    "pay_bank": "01",
    "curr_cd": "CNY",
    "trans_amt": "100.00",
    "ent_red_amt": "0.00",
    "pro_name": "茶,两杯",
    "trans_fee": "0.15",
    "fee_rate": "0.153%",
    "mcht_name": "王小五茶馆",
    "cashier": "王小五",
    "key_cup": "48379219   00049992   7473020924100001",
    "no_coupon_amt": "0.00",
    "actual_amt": "100.00",
    "settle_amt": "99.85",
    "acq_cost_fee": "0.05",
    "reserve1": "0.05|0.05%|48379219",
    "reserve2": "13800000000",
}
QR_REFUND = {
    **QR_PAYMENT,
    "pl_order_no": "955160000020260923000000009",
    "mc_order_no": "M0",
    "trans_stat": "转入退款",
    "trans_amt": "0.00",
    "trans_fee": "-0.05",
    "plre_order_no": "R955",
    "mcre_order_no": "R1",
    "refund_amt": "30.00",
    "actual_amt": "0.00",
    "settle_amt": "-29.95",
    "key_cup": "48379219   00049992   7473030924110001",
}


def qr_bill(
    rows: Sequence[Mapping[str, str]] = (QR_PAYMENT, QR_REFUND),
    *,
    header: Sequence[str] | None = None,
    order: Sequence[str] = tuple(QR_ORDER),
    totals: Mapping[str, str] | None = None,
) -> bytes:
    """Return a bill of the QR gateway, without headings unless some are given."""
    assert len(order) == 38
    values = [[row.get(name, "") for name in order] for row in rows]
    return backticks(header, values, totals, encoding="gb18030")
