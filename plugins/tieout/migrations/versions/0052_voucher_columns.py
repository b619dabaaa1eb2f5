"""Accounting vouchers may say type, direction and subject code of what the platform booked.

They are compared with the source voucher and the chart of accounts, and never used.
"""

from __future__ import annotations

from alembic import op

revision = "0052"
down_revision = "0051"
branch_labels = None
depends_on = None

COLUMNS = """
alter table raw.platform_accounting_vouchers
    add column transaction_type text,
    add column direction text check (direction in ('debit', 'credit')),
    add column subject_code text;
comment on column raw.platform_accounting_vouchers.transaction_type is
'Kind of transaction the platform booked; null where it states none (交易类型).';
comment on column raw.platform_accounting_vouchers.direction is
'Side of the account the platform booked on; null where it states none (借贷方向).';
comment on column raw.platform_accounting_vouchers.subject_code is
'Subject code the platform booked on; null where it states none (科目代码).';

-- The versions of a sealed date's files have their tables' columns.
alter table raw_versions.platform_accounting_vouchers
    add column transaction_type text,
    add column direction text,
    add column subject_code text;
"""


def upgrade() -> None:
    """Add the columns; vouchers that landed before state none of them."""
    op.execute(COLUMNS)
