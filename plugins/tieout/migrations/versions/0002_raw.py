"""The raw tables: one a file format, partitioned by the file's accounting date.

Landing makes the date's partition in the transaction that fills it. The rows of a file count only
while `control.channel_files` says landed. Ids that only some channels have may be null; what every
row of a format has may not.
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# name: (comment, columns after file_id, line_number, accounting_date[, detail_number])
TABLES: dict[str, tuple[str, str]] = {
    "platform_source_vouchers": (
        "Transactions as the platform records them (原始凭证)",
        """
        voucher_id text not null,
        transaction_at timestamptz not null,
        transaction_type text not null,
        transaction_status text not null check (transaction_status in ('success', 'failed')),
        merchant_id text not null,
        account_id text not null,
        terminal_id text,
        channel text not null,
        currency_code text not null,
        amount_minor bigint not null,
        card_kind text not null,
        card_region text not null,
        card_token text,
        acquiring_institution_id text,
        forwarding_institution_id text,
        trace_number text,
        transmission_time text,
        retrieval_reference_number text,
        channel_order_id text,
        refund_order_id text,
        merchant_order_id text,
        original_voucher_id text,
        original_transaction_at timestamptz,
        original_amount_minor bigint,
        original_refunded_before_minor bigint,
        is_late_order boolean not null
        """,
    ),
    "platform_accounting_vouchers": (
        "Platform bookings to account balances (记账凭证)",
        """
        accounting_voucher_id text not null,
        source_voucher_id text not null,
        account_id text not null,
        currency_code text not null,
        amount_minor bigint not null,
        booked_at timestamptz not null
        """,
    ),
    "platform_contracts": (
        "Merchant contracts, a full snapshot a date (商户合同)",
        """
        contract_id text not null,
        merchant_id text not null,
        account_id text not null,
        settlement_mode text not null check (settlement_mode in ('net', 'gross')),
        payout_minimum_minor bigint not null check (payout_minimum_minor >= 0),
        settlement_cycle text not null,
        refund_fee_policy text not null check (refund_fee_policy in ('return', 'keep')),
        fee_period text not null,
        fee_collection_method text not null,
        effective_from date not null,
        effective_to date,
        ended_on date,
        constraint contract_period check (effective_to > effective_from)
        """,
    ),
    "platform_fee_rates": (
        "Fee rules of contracts, a full snapshot a date (费率)",
        """
        fee_rule_id text not null,
        contract_id text not null,
        channel text,
        transaction_type text,
        card_kind text,
        card_region text,
        tier_from_minor bigint not null check (tier_from_minor >= 0),
        fee_rate numeric not null check (fee_rate >= 0 and fee_rate < 1),
        fixed_fee_minor bigint not null check (fixed_fee_minor >= 0),
        minimum_fee_minor bigint not null check (minimum_fee_minor >= 0),
        cap_fee_minor bigint check (cap_fee_minor >= minimum_fee_minor),
        effective_from date not null,
        effective_to date,
        priority integer not null,
        constraint fee_rate_period check (effective_to > effective_from)
        """,
    ),
    "platform_payees": (
        "Where merchants are paid, a full snapshot a date; numbers encrypted (收款人)",
        """
        payee_id text not null,
        payee_version integer not null check (payee_version > 0),
        account_id text not null,
        bank_name text not null,
        bank_code text not null,
        account_number_ciphertext text not null,
        account_number_mask text not null,
        account_number_token text not null,
        account_name_ciphertext text not null,
        account_name_mask text not null,
        currency_code text not null,
        payee_status text not null check (payee_status in ('active', 'blocked')),
        effective_from date not null,
        effective_to date,
        constraint payee_period check (effective_to > effective_from)
        """,
    ),
    "platform_advances": (
        "Advances paid to merchants before settlement, a full snapshot a date (垫款)",
        """
        advance_id text not null,
        account_id text not null,
        advanced_on date not null,
        for_accounting_date date not null,
        currency_code text not null,
        amount_minor bigint not null check (amount_minor > 0),
        advance_fee_minor bigint not null check (advance_fee_minor >= 0)
        """,
    ),
    "platform_freezes": (
        "Frozen parts of account balances, a full snapshot a date (冻结)",
        """
        freeze_id text not null,
        account_id text not null,
        currency_code text not null,
        amount_minor bigint not null check (amount_minor > 0),
        reason_code text not null,
        effective_from date not null,
        effective_to date
        """,
    ),
    "platform_operating_window": (
        "First and last accounting date of the platform (营业区间)",
        """
        first_accounting_date date not null,
        last_accounting_date date,
        constraint operating_window check (last_accounting_date >= first_accounting_date)
        """,
    ),
    "platform_opening_balances": (
        "Balances at go-live, debit positive (期初余额)",
        """
        ledger_account text not null,
        subledger_id text not null,
        currency_code text not null,
        balance_minor bigint not null
        """,
    ),
    "unionpay_acomn": (
        "UnionPay transactions of the acquirer, ACOMN (银联一般交易流水)",
        """
        acquiring_institution_id text not null,
        forwarding_institution_id text not null,
        trace_number text not null,
        transmission_time text not null,
        transmitted_at timestamptz not null,
        card_token text,
        card_mask text,
        transaction_type text not null,
        message_type text not null,
        processing_code text,
        pos_condition_code text,
        merchant_category_code text,
        terminal_id text,
        merchant_id text,
        retrieval_reference_number text,
        authorisation_code text,
        response_code text,
        pos_entry_mode text,
        receiving_institution_id text,
        issuer_institution_id text,
        region_flag text,
        order_number text,
        original_trace_number text,
        original_transmission_time text,
        currency_code text not null,
        amount_minor bigint not null,
        interchange_receivable_minor bigint not null,
        interchange_payable_minor bigint not null,
        network_fee_minor bigint not null
        """,
    ),
    "unionpay_aerrn": (
        "UnionPay error transactions of the acquirer, AERRN (银联差错交易流水)",
        """
        adjustment_code text not null,
        adjustment_type text not null,
        acquiring_institution_id text not null,
        forwarding_institution_id text,
        trace_number text not null,
        transmission_time text not null,
        transmitted_at timestamptz not null,
        card_token text,
        card_mask text,
        terminal_id text,
        merchant_id text,
        retrieval_reference_number text,
        original_trace_number text,
        original_transmission_time text,
        original_settlement_date date,
        original_amount_minor bigint,
        reason_code text,
        currency_code text not null,
        funds_effect_minor bigint not null,
        interchange_receivable_minor bigint not null,
        interchange_payable_minor bigint not null,
        fee_receivable_minor bigint not null,
        fee_payable_minor bigint not null
        """,
    ),
    "unionpay_alfee": (
        "UnionPay brand fees of the acquirer, ALFEE (银联品牌服务费流水)",
        """
        acquiring_institution_id text not null,
        forwarding_institution_id text,
        trace_number text not null,
        transmission_time text not null,
        transmitted_at timestamptz not null,
        card_token text,
        card_mask text,
        message_type text,
        processing_code text,
        terminal_id text,
        merchant_id text,
        retrieval_reference_number text,
        currency_code text not null,
        amount_minor bigint not null,
        brand_fee_minor bigint not null
        """,
    ),
    "wechat_trade_bill": (
        "WeChat Pay trade bill, form ALL (微信支付交易账单)",
        """
        transaction_at timestamptz not null,
        app_id text,
        channel_merchant_id text,
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
        order_amount_minor bigint not null,
        applied_refund_amount_minor bigint not null
        """,
    ),
    "alipay_trade_bill": (
        "Alipay trade bill (支付宝业务明细)",
        """
        channel_order_id text not null,
        merchant_order_id text not null,
        business_type text not null,
        transaction_type text not null,
        created_at timestamptz not null,
        finished_at timestamptz not null,
        store_id text,
        operator_id text,
        terminal_id text,
        counterparty_mask text,
        currency_code text not null,
        order_amount_minor bigint not null,
        merchant_received_minor bigint not null,
        merchant_discount_minor bigint,
        refund_request_id text,
        service_fee_minor bigint not null,
        profit_share_minor bigint,
        remark text
        """,
    ),
    "bank_statements": (
        "Statements of our bank accounts, camt.053 (银行对账单); accounting_date = booking day",
        """
        statement_id text not null,
        bank_account_id text not null,
        statement_date date not null,
        sequence_number integer not null,
        currency_code text not null,
        opening_balance_minor bigint not null,
        closing_balance_minor bigint not null,
        entry_count integer not null check (entry_count >= 0)
        """,
    ),
    "bank_statement_lines": (
        "Lines of bank statements, credit positive (银行流水)",
        """
        statement_id text not null,
        bank_account_id text not null,
        statement_date date not null,
        entry_reference text,
        booking_date date not null,
        value_date date,
        currency_code text not null,
        amount_minor bigint not null,
        is_reversal boolean not null,
        is_return boolean not null,
        bank_transaction_code text,
        counterparty_name text,
        end_to_end_id text,
        remittance_text text,
        batch_message_id text,
        detail_count integer not null check (detail_count >= 0)
        """,
    ),
    "bank_statement_line_details": (
        "Details of batch lines of bank statements (银行流水明细)",
        """
        amount_minor bigint not null,
        end_to_end_id text,
        counterparty_name text,
        remittance_text text,
        return_reason_code text
        """,
    ),
}

CREATE = """
create table raw.{table} (
    file_id text not null,
    line_number integer not null check (line_number > 0),
    accounting_date date not null,{detail_column}
    {columns},
    primary key (accounting_date, file_id, line_number{detail_key})
) partition by list (accounting_date)
"""


def upgrade() -> None:
    """Create the partitioned parents; landing adds a partition a date."""
    for table, (comment, columns) in TABLES.items():
        has_details = table == "bank_statement_line_details"
        op.execute(
            CREATE.format(
                table=table,
                columns=columns.strip(),
                detail_column=(
                    "\n    detail_number integer not null check (detail_number > 0),"
                    if has_details
                    else ""
                ),
                detail_key=", detail_number" if has_details else "",
            )
        )
        op.execute(f"comment on table raw.{table} is '{comment}'")
        if "currency_code" in columns:
            op.execute(
                f"alter table raw.{table} add constraint currency_is_iso_4217 "
                "check (currency_code ~ '^[A-Z]{3}$')"
            )
