"""Accounting vouchers may say which fee the platform booked.

The fee is a third source beside contract and voucher: it is compared with the priced fee and never
used. Models that were renamed leave their tables of before behind; they are made anew each close.
"""

from __future__ import annotations

from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

CHANGE = """
alter table raw.platform_accounting_vouchers add column fee_minor bigint;
comment on column raw.platform_accounting_vouchers.fee_minor is
'Merchant fee the platform booked; null where it states none, minor units (商户手续费).';

drop view if exists intermediate.int_clearing__vouchers cascade;
drop table if exists intermediate.int_clearing__adjustment_originals cascade;
drop table if exists intermediate.int_clearing__decided_charges cascade;
drop table if exists intermediate.int_clearing__late_priced_sales cascade;
drop table if exists intermediate.int_clearing__priced_vouchers cascade;
drop table if exists intermediate.int_clearing__returned_sales cascade;
drop table if exists intermediate.int_clearing__voucher_history cascade;
"""


def upgrade() -> None:
    """Add the column; vouchers that landed before state no fee."""
    op.execute(CHANGE)
