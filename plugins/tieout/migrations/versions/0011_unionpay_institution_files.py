"""Raw tables of UnionPay's other institution files.

No close reads them: agency clearing pays the merchants past us, the issuer's side is not ours, and
of the others it is not known whether ACOMN and AERRN have the same money once more.
"""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

KEYS = """
acquiring_institution_id text not null
forwarding_institution_id text
trace_number text not null
transmission_time text not null
transmitted_at timestamptz not null
card_token text
card_mask text
"""
TRANSACTION = f"""
{KEYS}
transaction_type text not null
message_type text not null
processing_code text
pos_condition_code text
merchant_category_code text
terminal_id text
merchant_id text
retrieval_reference_number text
authorisation_code text
response_code text
pos_entry_mode text
receiving_institution_id text
issuer_institution_id text
region_flag text
original_trace_number text
original_transmission_time text
currency_code text not null
amount_minor bigint not null
interchange_receivable_minor bigint not null
interchange_payable_minor bigint not null
network_fee_minor bigint not null
"""
ADJUSTMENT = f"""
adjustment_code text not null
adjustment_type text not null
{KEYS}
terminal_id text
merchant_id text
retrieval_reference_number text
original_trace_number text
original_transmission_time text
original_settlement_date date
original_amount_minor bigint
reason_code text
currency_code text not null
interchange_receivable_minor bigint not null
interchange_payable_minor bigint not null
fee_receivable_minor bigint not null
fee_payable_minor bigint not null
"""
ROLES = "\n".join(
    f"service_role_{role}_institution_id text\nservice_role_{role}_fee_minor bigint"
    for role in range(1, 10)
)
NCP = """
transaction_code text not null
transaction_type text not null
transaction_id text not null
business_kind text
original_transaction_id text
currency_code text not null
amount_minor bigint not null check (amount_minor > 0)
original_amount_minor bigint not null
sending_institution_id text
payer_institution_id text
payer_account_type text
payer_account_token text
channel_institution text
agreement_number_token text
payee_institution_id text
payee_account_type text
payee_account_token text
reserve_bank_id text
reserve_account_token text
product_type text
merchant_id text
merchant_category_code text
sub_merchant_id text
sub_merchant_category_code text
terminal_type text
network_fee_minor bigint not null
brand_fee_minor bigint not null
participation_fee_payable_minor bigint not null
participation_fee_receivable_minor bigint not null
"""

# name: (comment, columns after file_id, line_number, accounting_date, one a line)
TABLES: dict[str, tuple[str, str]] = {
    "unionpay_acoma": (
        "UnionPay transactions under agency clearing, ACOMA (银联代理清算一般交易流水)",
        f"""
        {TRANSACTION}
        sender_clearing_institution_id text
        receiver_clearing_institution_id text
        reversal_flag text
        void_flag text
        clearing_session_number text
        automatic_discount_fee_minor bigint not null
        merchant_fee_minor bigint not null
        merchant_settlement_bank_id text
        settlement_bank_fee_minor bigint not null
        {ROLES}
        custom_fee_1_minor bigint not null
        custom_fee_2_minor bigint not null
        custom_fee_3_minor bigint not null
        """,
    ),
    "unionpay_aerra": (
        "UnionPay error transactions under agency clearing, AERRA (银联代理清算差错交易流水)",
        f"""
        form_year integer not null check (form_year in (2017, 2020))
        {ADJUSTMENT}
        funds_effect_minor bigint not null
        order_number text
        original_transaction_type text
        merchant_fee_minor bigint not null
        merchant_settlement_bank_id text
        settlement_bank_fee_minor bigint not null
        {ROLES}
        """,
    ),
    "unionpay_icomn": (
        "UnionPay transactions of the issuer, ICOMN (银联发卡方一般交易流水)",
        f"""
        {TRANSACTION}
        order_number text
        """,
    ),
    "unionpay_ierrn": (
        "UnionPay error transactions of the issuer, IERRN (银联发卡方差错交易流水)",
        f"""
        {ADJUSTMENT}
        amount_minor bigint not null check (amount_minor >= 0)
        """,
    ),
    "unionpay_ilfee": (
        "UnionPay brand fees of the issuer, ILFEE (银联发卡方品牌服务费流水)",
        f"""
        {KEYS}
        message_type text
        processing_code text
        terminal_id text
        merchant_id text
        retrieval_reference_number text
        currency_code text not null
        amount_minor bigint not null
        brand_fee_minor bigint not null
        """,
    ),
    "unionpay_upi_icomn": (
        "Cross-border transactions of UnionPay International, ICOMN (银联国际一般交易流水)",
        f"""
        {KEYS}
        transaction_type text not null
        message_type text not null
        processing_code text
        pos_condition_code text
        merchant_category_code text
        terminal_id text
        merchant_id text not null
        retrieval_reference_number text
        authorisation_code text
        response_code text
        pos_entry_mode text
        receiving_institution_id text
        original_trace_number text
        transaction_currency_code text not null check (transaction_currency_code ~ '^[A-Z]{{3}}$')
        transaction_amount_minor bigint not null check (transaction_amount_minor >= 0)
        currency_code text not null
        settlement_amount_minor bigint not null check (settlement_amount_minor >= 0)
        settlement_rate numeric check (settlement_rate > 0)
        exchange_date date not null
        billing_currency_code text check (billing_currency_code ~ '^[A-Z]{{3}}$')
        billing_amount_minor bigint not null check (billing_amount_minor >= 0)
        billing_rate numeric check (billing_rate > 0)
        fee_receivable_minor bigint not null
        fee_payable_minor bigint not null
        signed_fee_1_minor bigint not null
        signed_fee_2_minor bigint not null
        """,
    ),
    "unionpay_fcp": (
        "UnionPay fees collected and paid, FCP, + = we receive (银联收付费流水)",
        """
        adjustment_code text not null
        adjustment_type text not null
        reason_code text
        sending_institution_id text not null
        sender_institution_id_2 text
        receiving_institution_id text not null
        receiver_institution_id_2 text
        trace_number text not null
        transmission_time text not null
        transmitted_at timestamptz not null
        currency_code text not null
        funds_effect_minor bigint not null
        """,
    ),
    "unionpay_inf": (
        "UnionPay offline transactions of IC cards, INF, without card expiry (银联 IC 卡脱机批量)",
        f"""
        batch_kind text not null check (batch_kind in ('accepted', 'rejected'))
        record_code text not null check (record_code in ('300', '301'))
        {KEYS}
        authorisation_code text
        authorisation_date text
        retrieval_reference_number text
        merchant_category_code text
        terminal_id text
        merchant_id text not null
        reason_code text
        unionpay_serial_number text
        receiving_institution_id text
        issuer_institution_id text
        transaction_channel text
        pos_condition_code text
        pos_entry_mode text
        region_flag text
        card_sequence_number text
        chip_response_code text
        chip_transaction_type text
        transaction_date date not null
        currency_code text not null
        amount_minor bigint not null check (amount_minor > 0)
        own_fee_minor bigint not null
        """,
    ),
    "unionpay_ncp_comtrx": (
        "UnionPay online debit and credit payments, NCP COMTRX (无卡业务转接清算交易流水)",
        f"""
        {NCP}
        order_number text
        """,
    ),
    "unionpay_ncp_errtrx": (
        "Errors of UnionPay online payments, NCP ERRTRX (无卡业务转接清算差错流水)",
        f"""
        {NCP}
        adjustment_code text not null
        adjustment_type text not null
        reason_code text
        dispute_fee_minor bigint not null
        """,
    ),
}

# What is not plain from the name. Fees with a letter: D +, C −.
COMMENTS = {
    "accounting_date": "settlement date, from the file name (清算日期)",
    "line_number": "line of the file; in INF the record, the header being 1 (行号)",
    "acquiring_institution_id": "acquiring institution, F32 (代理机构标识码)",
    "forwarding_institution_id": "forwarding institution, F33 (发送机构标识码)",
    "trace_number": "STAN, F11 (系统跟踪号)",
    "transmission_time": "MMDDhhmmss as written, F7 (交易传输时间)",
    "transmitted_at": "the same with its year, Beijing time (交易传输时间)",
    "card_token": "keyed token of the card number (卡号令牌)",
    "card_mask": "first six and last four digits (卡号掩码)",
    "transaction_type": "our token of the kind (交易类型)",
    "amount_minor": "amount; in ACOMA and ICOMN signed for the merchant, else not (交易金额)",
    "funds_effect_minor": "effect on our cash, + = the channel gives us (资金影响)",
    "currency_code": "currency of settlement, ISO 4217 (清算币种)",
    "interchange_receivable_minor": "interchange the institution receives (应收手续费)",
    "interchange_payable_minor": "interchange the institution pays (应付手续费)",
    "network_fee_minor": "network fee, + = the institution pays (转接服务费)",
    "brand_fee_minor": "brand fee, + = the institution pays (品牌服务费)",
    "reversal_flag": "R reversed or reversal, A original (冲正标志)",
    "void_flag": "C voided or void, A original (撤销标志)",
    "clearing_session_number": "clearing session of the date (清算场次)",
    "automatic_discount_fee_minor": "automatic discount fee, sign D + (自动折扣手续费)",
    "merchant_fee_minor": "fee of the merchant, sign D + (商户手续费)",
    "merchant_settlement_bank_id": "bank that pays the merchant (商户结算行)",
    "settlement_bank_fee_minor": "fee of that bank, sign D + (结算行费用)",
    "form_year": "which of the known forms the file has (版本年份)",
    "settlement_rate": "settlement currency for one of the transaction's (清算汇率)",
    "exchange_date": "date of the rate (兑换日期)",
    "billing_amount_minor": "what the cardholder is billed (持卡人扣账金额)",
    "batch_kind": "file B accepted, file R rejected (批次类别)",
    "record_code": "300 or 301 (TC 代码)",
    "transaction_date": "date given to the chip (交易日期)",
    "own_fee_minor": "fee of this side, sign D + (本方手续费)",
    "payer_account_token": "keyed token of the payer's account or card (付款账户令牌)",
    "payee_account_token": "keyed token of the payee's account or card (收款账户令牌)",
    "reserve_account_token": "keyed token of the client reserve's account (备付金账户令牌)",
    "agreement_number_token": "keyed token of the payer's agreement (协议号令牌)",
    "participation_fee_payable_minor": "participation fee payable (应付业务参与价)",
    "participation_fee_receivable_minor": "participation fee receivable (应收业务参与价)",
    "dispute_fee_minor": "dispute fee, sign D + (争议费)",
    "reason_code": "why, as the channel codes it (原因代码)",
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
    for table, (comment, text) in TABLES.items():
        columns = [line.strip() for line in text.splitlines() if line.strip()]
        op.execute(CREATE.format(table=table, columns=",\n    ".join(columns)))
        op.execute(f"comment on table raw.{table} is '{comment}'")
        names = ["line_number", "accounting_date", *(column.split()[0] for column in columns)]
        for name in names:
            if name in COMMENTS:
                described = COMMENTS[name].replace("'", "''")
                op.execute(f"comment on column raw.{table}.{name} is '{described}'")
