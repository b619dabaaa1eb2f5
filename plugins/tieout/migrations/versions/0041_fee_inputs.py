"""Contracts have a merchant category, fee rules may be for one; entries say what priced them.

What was cleared before the upgrade was priced by the base tier, and says so with a volume that is
not known: nobody had added a month up.
"""

from __future__ import annotations

from alembic import op

revision = "0041"
down_revision = "0037"
branch_labels = None
depends_on = None

DELIVERED = """
alter table raw.platform_contracts add column merchant_category_code text
    check (merchant_category_code ~ '^[0-9]{4}$');
comment on column raw.platform_contracts.merchant_category_code is
'Merchant category code (MCC), ISO 18245; null where the contract has none (商户类别码).';
alter table raw.platform_fee_rates add column merchant_category_code text
    check (merchant_category_code ~ '^[0-9]{4}$');
comment on column raw.platform_fee_rates.merchant_category_code is
'Merchant category code (MCC) the rule is for; null: any (商户类别码).';
"""

# The versions of a sealed date's files have their tables' columns.
VERSIONS = """
alter table raw_versions.platform_contracts add column merchant_category_code text;
alter table raw_versions.platform_fee_rates add column merchant_category_code text;
"""

# A table that an earlier version built gets what its contract has now; only new dates fill it.
COMPUTED = """
do $$
begin
    if to_regclass('clearing.clearing_entries') is not null then
        alter table clearing.clearing_entries
            add column tier_from_minor bigint,
            add column tier_volume_minor bigint,
            add column merchant_category_code text,
            add constraint entries_tier check (
                tier_from_minor is null or tier_from_minor <= greatest(tier_volume_minor, 0)
            );
        alter table clearing.contract_terms add column merchant_category_code text;
        alter table clearing.fee_rate_terms add column merchant_category_code text;
    end if;
end
$$
"""


def upgrade() -> None:
    """Give raw tables and tables of the close the columns that their contracts have now."""
    op.execute(DELIVERED)
    op.execute(VERSIONS)
    op.execute(COMPUTED)
