"""A voucher says what it settles in and at which rate; what is matched names both currencies.

The channel's record decides the rate; the platform's is what it is held against
(docs/domain.md#foreign-currency).
"""

from __future__ import annotations

from alembic import op

revision = "0048"
down_revision = "0047"
branch_labels = None
depends_on = None

DELIVERED = """
alter table raw.platform_source_vouchers
    add column settlement_currency_code text,
    add column quoted_exchange_rate numeric check (quoted_exchange_rate > 0),
    add constraint platform_source_vouchers_exchange_is_whole
    check ((settlement_currency_code is null) = (quoted_exchange_rate is null)),
    add constraint platform_source_vouchers_exchange_is_of_two check (
        settlement_currency_code ~ '^[A-Z]{3}$' and settlement_currency_code <> currency_code
    );
comment on column raw.platform_source_vouchers.settlement_currency_code is
'Currency the voucher settles in; null: its own (清算币种).';
comment on column raw.platform_source_vouchers.quoted_exchange_rate is
'Settlement currency for one of the voucher''s, as the platform quotes it (平台列示汇率).';
"""

# The versions of a sealed date's files have their tables' columns.
VERSIONS = """
alter table raw_versions.platform_source_vouchers
    add column settlement_currency_code text,
    add column quoted_exchange_rate numeric;
"""

# A table that an earlier version built gets what its contract has now; only new dates fill it.
# Until now every record settled in its own currency.
COMPUTED = """
do $$
begin
    if to_regclass('reconciliation.reconciliation_results') is not null then
        alter table reconciliation.reconciliation_results
            add column transaction_currency_code text,
            add column transaction_amount_minor bigint,
            add column exchange_rate numeric,
            add constraint results_exchange_is_whole check (
                (transaction_currency_code is null) = (transaction_amount_minor is null)
                and (transaction_currency_code is null) = (exchange_rate is null)
                and coalesce(
                    transaction_currency_code <> currency_code and exchange_rate > 0, true
                )
            );
    end if;
    if to_regclass('clearing.refused_vouchers') is not null then
        alter table clearing.refused_vouchers
            drop constraint if exists refused_vouchers_known_reason,
            drop constraint if exists refused_vouchers_name_both_rows,
            add constraint refused_vouchers_known_reason check (
                reason in (
                    'unknown_original', 'unknown_original_beyond_limit', 'other_channel',
                    'other_merchant', 'other_account', 'other_currency', 'original_is_no_sale',
                    'before_original', 'other_original_time', 'other_original_amount',
                    'original_not_successful', 'not_the_full_amount', 'above_original',
                    'other_settlement_currency', 'original_not_settled', 'other_refunded_before'
                )
            ),
            add constraint refused_vouchers_name_both_rows check (
                reason in (
                    'unknown_original', 'unknown_original_beyond_limit', 'above_original',
                    'not_the_full_amount', 'original_not_settled'
                )
                or original_file_id is not null
            );
    end if;
end
$$
"""


def upgrade() -> None:
    """Give raw tables and tables of the close the columns that their contracts have now."""
    op.execute(DELIVERED)
    op.execute(VERSIONS)
    op.execute(COMPUTED)
