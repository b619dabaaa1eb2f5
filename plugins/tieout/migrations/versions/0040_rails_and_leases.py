"""Where a payee lives is part of its version, and so of what the gate decides.

A version's address could change under it: nobody was asked again, and the payment went to another
place's bank. The register keeps it as a token. A version without an address has the empty text, so
that the fingerprints of before stay; null is a version of before whose address was not looked at.
"""

from __future__ import annotations

from alembic import op

revision = "0040"
down_revision = "0037"
branch_labels = None
depends_on = None

PAYEES = """
alter table control.payee_versions add column address_token text;
comment on column control.payee_versions.address_token is
'Token of the address, empty where it states none; null: of a version before 0040 (地址令牌).';
alter table control.payee_versions disable trigger payee_versions_kept;
update control.payee_versions as versions
set address_token = ''
from raw.platform_payees as payees
where
    payees.accounting_date = versions.accounting_date
    and payees.file_id = versions.file_id
    and payees.line_number = versions.line_number
    and num_nonnulls(
        payees.town, payees.country_code, payees.post_code, payees.street_ciphertext,
        payees.building_ciphertext
    ) = 0;
alter table control.payee_versions enable trigger payee_versions_kept;
"""

FINGERPRINT = """
create or replace function gate.statement_fingerprint(wanted_payment_date date) returns text
language plpgsql
stable
set search_path = pg_catalog
as $body$
declare
    result text;
begin
    -- dbt makes the table with its first build; before that there is nothing to pay.
    if to_regclass('settlement.settlement_statements') is null then
        return null;
    end if;
    select encode(
        sha256(
            convert_to(
                coalesce(
                    string_agg(
                        format(
                            '%s|%s|%s|%s|%s|%s|%s|%s',
                            statements.statement_id,
                            statements.payout_amount_minor,
                            statements.currency_code,
                            statements.payee_id,
                            statements.payee_version,
                            payees.account_number_token,
                            payees.account_name_token,
                            -- Without an address it is what it was before there were any.
                            payees.bank_code
                            || coalesce('|' || nullif(payees.address_token, ''), '')
                        ),
                        E'\\n' order by statements.statement_id collate "C"
                    ),
                    ''
                ),
                'UTF8'
            )
        ),
        'hex'
    )
    into result
    from settlement.settlement_statements as statements
    left join control.payee_versions as payees
        on
            statements.payee_id = payees.payee_id
            and statements.payee_version = payees.payee_version
    where
        statements.payment_date = wanted_payment_date
        and statements.payable_status = 'payable'
        and statements.payout_amount_minor > 0;
    return result;
end
$body$;
"""


def upgrade() -> None:
    """Add the column, say of whom it is known already, and have the fingerprint cover it."""
    op.execute(PAYEES)
    op.execute(FINGERPRINT)
