"""Contracts say under which ids the channels know the merchant.

A channel's record that names another merchant than the voucher is no match: what the platform calls
the merchant and what WeChat or Alipay call it are different ids, so the contract has to say them.
"""

from __future__ import annotations

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

CHANGE = """
alter table raw.platform_contracts add column channel_merchant_ids text
    check (channel_merchant_ids ~ '^[a-z]+:[^ :]+( [a-z]+:[^ :]+)*$');
comment on column raw.platform_contracts.channel_merchant_ids is
'Ids under which channels know the merchant, channel:id each (渠道侧商户标识).';
"""


def upgrade() -> None:
    """Add the column; contracts that landed before name no ids."""
    op.execute(CHANGE)
