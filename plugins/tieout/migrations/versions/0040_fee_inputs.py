"""Contracts have a merchant category, fee rules may be for one; entries say what priced them.

A file in which two contracts or rules price one sale does not land, whoever writes the rows.

What was cleared before the upgrade was priced by the base tier, and says so with a volume that is
not known: nobody had added a month up.
"""

from __future__ import annotations

from alembic import op

revision = "0040"
down_revision = "0039"
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

# Of a file that counts no two rows price one sale, whoever wrote them: asked when the transaction
# that lands it ends, because rows come into partitions that are attached, which fires no trigger.
LANDED = """
create function control.refuse_two_prices() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $body$
declare
    pair record;
begin
    if new.file_kind = 'contracts' then
        select earlier.contract_id as one, later.contract_id as other, later.effective_from as day
        into pair
        from raw.platform_contracts as earlier
        inner join raw.platform_contracts as later
            on earlier.merchant_id = later.merchant_id
            and earlier.account_id = later.account_id
            and (earlier.effective_from, earlier.line_number)
            < (later.effective_from, later.line_number)
            and later.effective_from < coalesce(earlier.effective_to, date 'infinity')
        where earlier.accounting_date = new.accounting_date
            and later.accounting_date = new.accounting_date
            and earlier.file_id = new.file_id
            and later.file_id = new.file_id
        order by later.line_number, earlier.line_number
        limit 1;
    else
        select earlier.fee_rule_id as one, later.fee_rule_id as other, later.effective_from as day
        into pair
        from raw.platform_fee_rates as earlier
        inner join raw.platform_fee_rates as later
            on earlier.contract_id = later.contract_id
            and earlier.priority = later.priority
            and earlier.tier_from_minor = later.tier_from_minor
            and coalesce(earlier.channel = later.channel, true)
            and coalesce(earlier.transaction_type = later.transaction_type, true)
            and coalesce(earlier.card_kind = later.card_kind, true)
            and coalesce(earlier.card_region = later.card_region, true)
            and coalesce(earlier.merchant_category_code = later.merchant_category_code, true)
            and (earlier.effective_from, earlier.line_number)
            < (later.effective_from, later.line_number)
            and later.effective_from < coalesce(earlier.effective_to, date 'infinity')
        where earlier.accounting_date = new.accounting_date
            and later.accounting_date = new.accounting_date
            and earlier.file_id = new.file_id
            and later.file_id = new.file_id
        order by later.line_number, earlier.line_number
        limit 1;
    end if;
    if pair.one is not null then
        raise exception '% and % of file % both price a sale of %', pair.one, pair.other,
            new.file_name, pair.day
        using
            errcode = 'exclusion_violation',
            hint = 'docs/formats/platform.md: end one before the other begins, or give it another '
            'priority.';
    end if;
    return null;
end
$body$;
comment on function control.refuse_two_prices() is
'Refuses a landed file in which two contracts or fee rules price one sale (计价重叠).';

create constraint trigger channel_files_price_once
after insert or update of status on control.channel_files
deferrable initially deferred
for each row
when (new.status = 'landed' and new.channel = 'platform'
    and new.file_kind in ('contracts', 'fee_rates'))
execute function control.refuse_two_prices();
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
    op.execute(LANDED)
    op.execute(COMPUTED)
