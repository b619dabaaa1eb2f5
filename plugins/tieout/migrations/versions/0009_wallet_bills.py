"""Raw tables of the wallets' other bills, and what new variants of the trade bills have.

None of the new tables is read by a close: parts of a day's bill, changes of an account and the QR
gateway's bill tell of the same transactions once more.
"""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# name: (comment, columns after file_id, line_number, accounting_date)
TABLES: dict[str, tuple[str, str]] = {
    "wechat_trade_bill_parts": (
        "WeChat Pay trade bills SUCCESS and REFUND, parts of the day (微信支付交易账单分表)",
        """
        bill_form text not null check (bill_form in ('success', 'refund')),
        transaction_at timestamptz not null,
        refund_requested_at timestamptz,
        refund_succeeded_at timestamptz,
        app_id text,
        channel_merchant_id text not null,
        sub_merchant_id text,
        device_id text,
        channel_order_id text not null,
        merchant_order_id text not null,
        payer_token text,
        trade_type text,
        trade_state text not null,
        transaction_type text not null,
        bank_code text,
        currency_code text not null,
        settlement_amount_minor bigint not null,
        coupon_amount_minor bigint not null,
        channel_refund_id text,
        merchant_refund_id text,
        refund_amount_minor bigint not null,
        coupon_refund_amount_minor bigint not null,
        refund_type text,
        refund_state text,
        fee_minor bigint not null,
        fee_rate numeric,
        order_amount_minor bigint,
        applied_refund_amount_minor bigint
        """,
    ),
    "wechat_fund_bill": (
        "WeChat Pay fund bill: changes of an account, in positive (微信支付资金账单)",
        """
        account_type text not null
            check (account_type in ('basic', 'operation', 'fees', 'deposit')),
        booked_at timestamptz not null,
        channel_business_id text,
        funds_flow_id text not null,
        business_name text not null,
        business_type text not null,
        voucher_id text,
        submitter_token text,
        currency_code text not null,
        amount_minor bigint not null,
        balance_after_minor bigint not null
        """,
    ),
    "alipay_account_bill": (
        "Alipay account bill: changes of the account, in positive (支付宝账务明细)",
        """
        ledger_entry_id text not null,
        business_id text,
        merchant_order_id text,
        base_order_id text,
        business_order_id text,
        booked_at timestamptz not null,
        counterparty_token text,
        counterparty_mask text,
        trade_channel text,
        business_type text not null,
        business_source text,
        currency_code text not null,
        amount_minor bigint not null,
        balance_after_minor bigint not null
        """,
    ),
    "unionpay_qr_gateway_bill": (
        "UnionPay QR gateway bill: wallets through UnionPay (银联条码支付综合前置对账单)",
        """
        transaction_at timestamptz not null,
        transaction_type text not null,
        app_id text,
        third_party_merchant_id text,
        merchant_id text not null,
        sub_merchant_id text,
        terminal_id text,
        platform_order_id text not null,
        channel_order_id text,
        merchant_order_id text not null,
        payer_token text,
        trade_type text,
        trade_state text not null,
        bank_code text,
        currency_code text not null,
        amount_minor bigint not null,
        red_packet_amount_minor bigint not null,
        platform_refund_id text,
        merchant_refund_id text,
        refund_amount_minor bigint not null,
        red_packet_refund_amount_minor bigint not null,
        refund_type text,
        refund_state text,
        fee_minor bigint not null,
        fee_rate numeric not null,
        terminal_type text,
        local_settlement_flag text,
        store_id text,
        acquiring_institution_id text,
        forwarding_institution_id text,
        trace_number text,
        transmission_time text,
        merchant_coupon_amount_minor bigint not null,
        actual_amount_minor bigint not null,
        settlement_amount_minor bigint not null,
        acquirer_cost_minor bigint not null,
        cost_note text
        """,
    ),
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

CHANGES = """
-- The form of 2014 has neither.
alter table raw.wechat_trade_bill alter column order_amount_minor drop not null;
alter table raw.wechat_trade_bill alter column applied_refund_amount_minor drop not null;
-- Only in the bill that UnionPay passes on.
alter table raw.alipay_trade_bill
add column net_received_minor bigint,
add column merchant_identifier text,
add column trade_method text,
add column instalment_fee_minor bigint,
add column instalment_count integer;
"""


def upgrade() -> None:
    """Create the partitioned parents; landing adds a partition a date."""
    for table, (comment, columns) in TABLES.items():
        op.execute(CREATE.format(table=table, columns=columns.strip()))
        op.execute(f"comment on table raw.{table} is '{comment}'")
    op.execute(CHANGES)
