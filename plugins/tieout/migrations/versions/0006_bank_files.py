"""Bank files: notifications (camt.054), and charges and account tokens of statement lines."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# What the bank says of one booking, whichever message it stands in.
ENTRY = """
    entry_reference text,
    booking_date date,
    value_date date,
    currency_code text not null
        constraint currency_is_iso_4217 check (currency_code ~ '^[A-Z]{3}$'),
    amount_minor bigint not null,
    charge_amount_minor bigint,
    is_reversal boolean not null,
    is_return boolean not null,
    bank_transaction_code text,
    counterparty_name text,
    counterparty_account_token text,
    end_to_end_id text,
    remittance_text text,
    batch_message_id text,
    detail_count integer not null check (detail_count >= 0)
"""

TABLES = f"""
alter table raw.bank_statement_lines
    add column charge_amount_minor bigint,
    add column counterparty_account_token text;
alter table raw.bank_statement_line_details
    add column charge_amount_minor bigint,
    add column counterparty_account_token text;

create table raw.bank_notification_entries (
    file_id text not null,
    line_number integer not null check (line_number > 0),
    accounting_date date not null,
    notification_id text not null,
    bank_account_id text not null,
    notification_date date not null,
    entry_state text not null check (entry_state in ('BOOK', 'PDNG', 'INFO', 'FUTR')),
    {ENTRY.strip()},
    primary key (accounting_date, file_id, line_number)
) partition by list (accounting_date);
comment on table raw.bank_notification_entries is
'Notified bookings (camt.054), credit positive; never an arrival of the gate (银行到账通知)';

create table raw.bank_notification_details (
    file_id text not null,
    line_number integer not null check (line_number > 0),
    accounting_date date not null,
    detail_number integer not null check (detail_number > 0),
    amount_minor bigint,
    charge_amount_minor bigint,
    end_to_end_id text,
    counterparty_name text,
    counterparty_account_token text,
    remittance_text text,
    return_reason_code text,
    primary key (accounting_date, file_id, line_number, detail_number)
) partition by list (accounting_date);
comment on table raw.bank_notification_details is
'Details of notified bookings, such as returned payouts (银行到账通知明细)';
"""


def upgrade() -> None:
    """Add columns that stay empty for older rows, and the two tables."""
    op.execute(TABLES)
