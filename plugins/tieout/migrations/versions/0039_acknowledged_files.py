"""Payees' addresses are decided; receivers acknowledge payment files.

Where a payee lives is part of its version, and so of what the gate decides: a version's address
could change under it, nobody was asked again, and the payment went to another place's bank. The
register keeps it as a token. A version without an address has the empty text, so that the
fingerprints of before stay; null is a version of before whose address was not looked at.

Who takes a payment file may say which file it has (`NAME.ack`). One that names another file than
ours stops the account's further files until a person has looked.
"""

from __future__ import annotations

from alembic import op

revision = "0039"
down_revision = "0038"
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

ACKNOWLEDGEMENTS = """
create table payout.file_acknowledgements (
    acknowledgement_id bigint generated always as identity primary key,
    batch_message_id text not null references payout.outbox_files (batch_message_id),
    file_name text not null,
    sha256 text not null check (sha256 ~ '^[0-9a-f]{64}$'),
    stated_sha256 text check (stated_sha256 ~ '^[0-9a-f]{64}$'),
    stated_size_bytes bigint check (stated_size_bytes >= 0),
    finding text,
    business_date date not null,
    recorded_at timestamptz not null default now(),
    unique (batch_message_id, sha256)
);
comment on table payout.file_acknowledgements is
'What a receiver says of a payment file it has (回执); a finding where it is another one.';

create table payout.acknowledgement_looks (
    acknowledgement_id bigint primary key
        references payout.file_acknowledgements (acknowledgement_id),
    looked_by text not null,
    reason text not null check (btrim(reason) <> ''),
    signed_by_login text not null default session_user,
    looked_at timestamptz not null default now()
);
comment on table payout.acknowledgement_looks is
'Findings of acknowledgements that a person has looked at: files may leave again (人工核查).';

create view payout.open_acknowledgement_findings as
select
    acknowledgements.acknowledgement_id,
    acknowledgements.batch_message_id,
    acknowledgements.file_name,
    acknowledgements.finding,
    acknowledgements.business_date,
    files.payment_date,
    files.file_path,
    files.currency_code
from payout.file_acknowledgements as acknowledgements
inner join payout.outbox_files as files
    on acknowledgements.batch_message_id = files.batch_message_id
where
    acknowledgements.finding is not null
    and not exists (
        select 1
        from payout.acknowledgement_looks as looks
        where looks.acknowledgement_id = acknowledgements.acknowledgement_id
    );
comment on view payout.open_acknowledgement_findings is
'Acknowledgements of another file than ours, which nobody has looked at (未核查回执).';

create function payout.record_acknowledgement(
    wanted_batch_message_id text,
    new_file_name text,
    new_sha256 text,
    new_stated_sha256 text,
    new_stated_size_bytes bigint,
    why_unreadable text,
    on_date date
) returns text
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    ours payout.outbox_files;
    found_text text;
begin
    select * into ours from payout.outbox_files where batch_message_id = wanted_batch_message_id;
    if ours.batch_message_id is null then
        raise exception 'there is no payment file %', wanted_batch_message_id
        using errcode = 'restrict_violation';
    end if;
    found_text := case
        when why_unreadable is not null then why_unreadable
        when new_stated_sha256 is null and new_stated_size_bytes is null
            then 'it states neither size nor digest'
        when new_stated_sha256 <> ours.sha256
            then format(
                'it names sha256 %s, ours is %s', left(new_stated_sha256, 16), left(ours.sha256, 16)
            )
        when new_stated_size_bytes <> ours.size_bytes
            then format('it names %s bytes, ours has %s', new_stated_size_bytes, ours.size_bytes)
    end;
    insert into payout.file_acknowledgements (
        batch_message_id, file_name, sha256, stated_sha256, stated_size_bytes, finding,
        business_date
    )
    values (
        wanted_batch_message_id, new_file_name, new_sha256, new_stated_sha256,
        new_stated_size_bytes, found_text, on_date
    )
    on conflict (batch_message_id, sha256) do nothing;
    return found_text;
end
$body$;
comment on function payout.record_acknowledgement(text, text, text, text, bigint, text, date) is
'Puts on record what a receiver says of a file; returns the finding, if it is one (回执登记).';

create function payout.look_at_acknowledgement(
    wanted_acknowledgement_id bigint, wanted_by text, wanted_reason text
) returns text
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    looked payout.file_acknowledgements;
begin
    select *
    into looked
    from payout.file_acknowledgements
    where acknowledgement_id = wanted_acknowledgement_id;
    if looked.finding is null then
        raise exception 'there is no finding %', wanted_acknowledgement_id
        using errcode = 'restrict_violation', hint = 'tieout payouts acknowledgements';
    end if;
    if exists (
        select 1
        from payout.acknowledgement_looks
        where acknowledgement_id = wanted_acknowledgement_id
    ) then
        raise exception 'finding % was looked at already', wanted_acknowledgement_id
        using errcode = 'restrict_violation', hint = 'tieout payouts acknowledgements';
    end if;
    insert into payout.acknowledgement_looks (acknowledgement_id, looked_by, reason)
    values (wanted_acknowledgement_id, wanted_by, wanted_reason);
    return looked.batch_message_id;
end
$body$;
comment on function payout.look_at_acknowledgement(bigint, text, text) is
'A person has looked at a finding: the account''s files may leave again (核查回执).';

create function payout.refuse_unlooked_finding() returns trigger
language plpgsql
set search_path = pg_catalog
as $body$
declare
    other record;
begin
    select findings.file_name, findings.finding
    into other
    from payout.open_acknowledgement_findings as findings
    where findings.currency_code = new.currency_code
    order by findings.acknowledgement_id
    limit 1;
    if found then
        raise exception 'no file leaves: acknowledgement % is not of our file: %', other.file_name,
            other.finding
        using errcode = 'restrict_violation', hint = 'tieout payouts acknowledgements';
    end if;
    return new;
end
$body$;
create trigger b_acknowledged before insert on payout.outbox_files
for each row execute function payout.refuse_unlooked_finding();

create trigger a_signed before insert on payout.acknowledgement_looks
for each row execute function control.sign_decision('looked_by');
create trigger file_acknowledgements_append_only
before update or delete on payout.file_acknowledgements
for each row execute function control.refuse_change();
create trigger file_acknowledgements_no_truncate
before truncate on payout.file_acknowledgements
for each statement execute function control.refuse_change();
create trigger acknowledgement_looks_append_only
before update or delete on payout.acknowledgement_looks
for each row execute function control.refuse_change();
create trigger acknowledgement_looks_no_truncate
before truncate on payout.acknowledgement_looks
for each statement execute function control.refuse_change();

revoke execute on function
    payout.record_acknowledgement(text, text, text, text, bigint, text, date),
    payout.look_at_acknowledgement(bigint, text, text)
from public;
grant execute on function
    payout.record_acknowledgement(text, text, text, text, bigint, text, date)
to tieout_payout;
grant execute on function payout.look_at_acknowledgement(bigint, text, text) to tieout_people;
grant select on
    payout.file_acknowledgements,
    payout.acknowledgement_looks,
    payout.open_acknowledgement_findings
to tieout_people, tieout_finance, tieout_gate, tieout_payout, tieout_ingest, tieout_transform;
"""


def upgrade() -> None:
    """Have addresses decided on, and files acknowledged."""
    op.execute(PAYEES)
    op.execute(FINGERPRINT)
    op.execute(ACKNOWLEDGEMENTS)
