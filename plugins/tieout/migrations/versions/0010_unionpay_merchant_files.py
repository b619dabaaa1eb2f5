"""Raw tables of UnionPay's merchant files (ZM, ZME) and merchant totals (ZSUM, ZPSUM).

None of them is read by a close: they tell of transactions and payouts that ACOMN, AERRN and our own
books tell of, too, or that UnionPay settles itself.
"""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

Column = tuple[str, str, str]

KEY: tuple[Column, ...] = (
    ("acquiring_institution_id", "text not null", "Acquiring institution (代理机构)"),
    ("forwarding_institution_id", "text not null", "Forwarding institution (发送机构)"),
    ("trace_number", "text not null", "System trace number, STAN (系统跟踪号)"),
    ("transmission_time", "text not null", "MMDDhhmmss as delivered (交易传输时间)"),
    ("transmitted_at", "timestamptz not null", "The same with its year (交易传输时间)"),
    ("merchant_id", "text not null", "Merchant code (商户代码)"),
    ("group_merchant_id", "text", "Group merchant code (集团商户代码)"),
    ("card_token", "text", "Token of the card number; null where it came masked (卡号标记)"),
    ("card_mask", "text", "First six and last four of the card number (卡号掩码)"),
    ("merchant_category_code", "text", "Merchant category (商户类别)"),
    ("terminal_type", "text", "Terminal type, code as delivered (终端类型)"),
    ("card_kind_code", "text", "Card kind, code as delivered (支付卡类型)"),
    ("original_trace_number", "text", "Trace number of the original (原始系统跟踪号)"),
    ("original_transmission_time", "text", "MMDDhhmmss of the original (原始交易时间)"),
    ("split_mode", "text", "Split mode, code as delivered (分账入账方式)"),
    ("instalment_count", "text", "Number of instalments as delivered (分期付款期数)"),
    ("currency_code", "text not null", "ISO 4217, CNY (币种)"),
)
ZM: tuple[Column, ...] = (
    ("transaction_code", "text", "Transaction code as delivered, such as S56 (交易代码)"),
    ("transaction_type", "text not null", "Our token of the transaction kind (交易类型)"),
    *KEY,
    ("amount_minor", "bigint not null", "Fen, + of a sale, - of a refund (交易金额)"),
    ("merchant_fee_minor", "bigint not null", "Fen, + the merchant pays (商户手续费)"),
    ("settlement_amount_minor", "bigint not null", "Fen, + the merchant receives (结算金额)"),
    ("split_amount_minor", "bigint not null", "Fen, to the sub-merchant (二级商户分账金额)"),
    ("net_amount_minor", "bigint not null", "Fen, + the merchant receives (清算净额)"),
    ("discount_amount_minor", "bigint not null", "Fen, sign as delivered, C + (优惠金额)"),
    ("invoice_amount_minor", "bigint not null", "Fen, sign as delivered, C + (发票金额)"),
    ("instalment_fee_minor", "bigint not null", "Fen, + the merchant pays (分期附加手续费)"),
    ("query_id", "text", "Id of the transaction at UnionPay (查询流水号)"),
    ("merchant_order_id", "text", "Order of the merchant (商户订单号)"),
    ("original_query_id", "text", "Id of the original (原交易查询流水号)"),
    ("original_merchant_order_id", "text", "Order of the original (原始交易订单号)"),
    ("payment_mode", "text", "Payment mode, code as delivered (支付方式)"),
    ("transaction_subkind", "text", "Transaction sub-kind as delivered (交易子类)"),
    ("business_type", "text", "Business type as delivered (业务类型)"),
    ("account_type", "text", "Account type as delivered (账号类型)"),
    ("bill_type", "text", "Bill type as delivered (账单类型)"),
    ("sub_merchant_id", "text", "Sub-merchant code (二级商户代码)"),
    ("terminal_id", "text", "Terminal (终端号)"),
    ("transaction_medium", "text", "Medium, code as delivered (交易介质)"),
)
ZME: tuple[Column, ...] = (
    ("adjustment_code", "text not null", "Error code, such as E22 (差错交易代码)"),
    ("adjustment_type", "text not null", "Our token of the code, as in AERRN (差错类型)"),
    *KEY,
    ("amount_minor", "bigint not null", "Fen, unsigned as delivered (交易金额)"),
    ("merchant_fee_minor", "bigint not null", "Fen, + the merchant pays (商户手续费)"),
    ("settlement_amount_minor", "bigint not null", "Fen, + the merchant receives (结算金额)"),
    ("instalment_fee_minor", "bigint not null", "Fen, + the merchant pays (分期附加手续费)"),
    ("original_settlement_date", "date", "Settlement date of the record before (上一笔清算日期)"),
    ("original_amount_minor", "bigint not null", "Fen, of the record before (上一笔金额)"),
)
ZSUM: tuple[Column, ...] = (
    ("merchant_id", "text not null", "Merchant code (商户代码)"),
    ("currency_code", "text not null", "ISO 4217, CNY (币种)"),
    ("amount_minor", "bigint not null", "Fen, C + and D - (交易金额)"),
    ("fee_minor", "bigint not null", "Fen, C + and D - (手续费)"),
    ("net_amount_minor", "bigint not null", "Fen, C + and D - (清算金额)"),
)
ZPSUM: tuple[Column, ...] = (
    ("merchant_id", "text not null", "Merchant code (商户代码)"),
    ("code_2", "text", "Field 2, meaning not known (含义未核实)"),
    ("currency_code", "text not null", "ISO 4217, CNY (币种)"),
    ("bank_name", "text", "Name of the bank of the account (开户行名)"),
    ("bank_code", "text", "CNAPS code of the bank (支付系统行号)"),
    ("second_bank_code", "text", "Field 6, meaning not known (含义未核实)"),
    ("account_number_token", "text", "Token of the account (账号标记)"),
    ("account_number_mask", "text", "Last four of the account (账号掩码)"),
    ("region_code", "text", "Region (地区)"),
    ("transaction_count", "bigint not null", "Number of transactions (正常笔数)"),
    ("amount_minor", "bigint not null", "Fen, C + and D - (金额)"),
    ("fee_minor", "bigint not null", "Fen, C + and D - (费用)"),
    ("adjustment_count", "bigint not null", "Number of error records (差错笔数)"),
    ("adjustment_amount_minor", "bigint not null", "Fen, C + and D - (差错金额)"),
    ("adjustment_fee_minor", "bigint not null", "Fen, C + and D - (差错费用)"),
    ("other_amount_minor", "bigint not null", "Fen, C + and D - (其他)"),
    ("settlement_total_minor", "bigint not null", "Fen, C + and D - (清算汇总)"),
    ("offset_amount_minor", "bigint not null", "Fen, C + and D - (收支两条线抵减)"),
    ("flag_19", "text", "Field 19, meaning not known (含义未核实)"),
    ("amount_20_minor", "bigint not null", "Field 20, meaning not known (含义未核实)"),
    ("amount_21_minor", "bigint not null", "Field 21, meaning not known (含义未核实)"),
    ("amount_22_minor", "bigint not null", "Field 22, meaning not known (含义未核实)"),
    ("credited_amount_minor", "bigint not null", "Fen, C + and D - (入账金额)"),
    ("responsible_party", "text", "Who credits, code as delivered (入账责任方)"),
    ("make_up_type", "text", "Make-up type, code as delivered (回补类型)"),
)
TABLES: dict[str, tuple[str, tuple[Column, ...]]] = {
    "unionpay_zm": ("UnionPay merchant file ZM: transactions (银联商户交易明细)", ZM),
    "unionpay_zme": ("UnionPay merchant file ZME: errors (银联商户差错明细)", ZME),
    "unionpay_zsum": ("UnionPay ZSUM: totals of merchants (银联代理清算商户汇总)", ZSUM),
    "unionpay_zpsum": ("UnionPay ZPSUM: transfers to merchants (银联代理清算商户资金划付)", ZPSUM),
}

CREATE = """
create table raw.{table} (
    file_id text not null,
    line_number integer not null check (line_number > 0),
    accounting_date date not null,
    {columns},
    primary key (accounting_date, file_id, line_number),
    constraint currency_is_iso_4217 check (currency_code ~ '^[A-Z]{{3}}$')
) partition by list (accounting_date)
"""


def upgrade() -> None:
    """Create the partitioned parents; landing adds a partition a date."""
    for table, (comment, columns) in TABLES.items():
        defined = ",\n    ".join(f"{name} {kind}" for name, kind, _ in columns)
        op.execute(CREATE.format(table=table, columns=defined))
        op.execute(f"comment on table raw.{table} is '{comment}'")
        for name, _, text in columns:
            op.execute(f"comment on column raw.{table}.{name} is '{text}'")
