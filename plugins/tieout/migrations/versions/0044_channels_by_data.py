"""A voucher says with which digits its payment code begins; channels' tokens may have digits and _.

The whole code pays whoever shows it: it has no column.
"""

from __future__ import annotations

from alembic import op

revision = "0044"
down_revision = "0043"
branch_labels = None
depends_on = None

CODES = """
alter table raw.platform_source_vouchers
    add column payment_code_prefix text check (payment_code_prefix ~ '^[0-9]{2,4}$'),
    add column payment_code_digits integer check (payment_code_digits between 10 and 99),
    add constraint platform_source_vouchers_payment_code_is_whole
    check ((payment_code_prefix is null) = (payment_code_digits is null));
comment on column raw.platform_source_vouchers.payment_code_prefix is
'First digits of the payment code, two to four, never the code; null: none was shown (付款码前缀).';
comment on column raw.platform_source_vouchers.payment_code_digits is
'How many digits the payment code had (付款码位数).';
"""

# The versions of a sealed date's files have their tables' columns.
VERSIONS = """
alter table raw_versions.platform_source_vouchers
    add column payment_code_prefix text,
    add column payment_code_digits integer;
"""

TOKENS = """
alter table raw.platform_contracts
    drop constraint platform_contracts_channel_merchant_ids_check,
    add constraint platform_contracts_channel_merchant_ids_check check (
        channel_merchant_ids ~ '^[a-z][a-z0-9_]*:[^ :]+( [a-z][a-z0-9_]*:[^ :]+)*$'
    );
"""


def upgrade() -> None:
    """Add the columns; vouchers that landed before say nothing of their codes."""
    op.execute(CODES)
    op.execute(VERSIONS)
    op.execute(TOKENS)
