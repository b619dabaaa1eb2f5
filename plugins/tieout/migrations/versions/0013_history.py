"""Registers over all dates: a voucher once, an entry in one statement, what was given back.

The tables of a close are partitioned by date, so that no date costs more than the one before; what
must be unique or found over all dates stands here, behind an index, one probe a row.
"""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

CREATE = """
create schema if not exists clearing;
create schema if not exists settlement;

create table control.voucher_register (
    source text not null,
    voucher_id text not null,
    accounting_date date not null,
    file_id text not null,
    line_number integer not null,
    content_hash uuid not null,
    transaction_type text not null,
    transaction_status text not null,
    transaction_at timestamptz not null,
    merchant_id text not null,
    account_id text not null,
    channel text not null,
    currency_code text not null,
    amount_minor bigint not null,
    card_kind text not null,
    card_region text not null,
    original_voucher_id text,
    acquiring_institution_id text,
    forwarding_institution_id text,
    trace_number text,
    transmission_time text,
    retrieval_reference_number text,
    terminal_id text,
    channel_order_id text,
    refund_order_id text,
    merchant_order_id text,
    lookup_key text,
    primary key (source, voucher_id)
);
create index voucher_register_by_file on control.voucher_register (file_id);
create index voucher_register_by_key on control.voucher_register (lookup_key)
where lookup_key is not null;
comment on table control.voucher_register is
'Every source voucher that counts, once over all dates, and its original''s data (凭证登记).';

create table settlement.statement_entries (
    entry_id text primary key,
    statement_id text not null,
    payment_date date not null,
    accounting_date date not null
);
create index statement_entries_by_payment on settlement.statement_entries (payment_date);
comment on table settlement.statement_entries is
'The one statement in which a clearing entry stands, over all payment dates (结算单登记).';

create table clearing.original_movements (
    movement_id text primary key,
    original_voucher_id text not null,
    accounting_date date not null,
    movement_kind text not null check (movement_kind in ('voucher', 'adjustment')),
    amount_minor bigint not null,
    fee_amount_minor bigint not null
);
create index original_movements_by_original
on clearing.original_movements (original_voucher_id);
create index original_movements_by_date
on clearing.original_movements (accounting_date, movement_kind);
comment on table clearing.original_movements is
'What was given back of each sale: refunds, voids, chargebacks; + given back (退回登记).';

create function control.voucher_lookup_key(
    channel text, order_id text, refund_id text, trace text, sent_at text, merchant_order text
) returns text language sql immutable parallel safe as $$
    select channel || '|' || coalesce(
        order_id || '|' || coalesce(refund_id, ''),
        trace || '|' || sent_at,
        merchant_order || '|' || coalesce(refund_id, '')
    )
$$;
comment on function control.voucher_lookup_key is
'What the register is searched by: the order and refund of a wallet, else trace and time.';

create function control.voucher_content_hash(voucher raw.platform_source_vouchers) returns uuid
language sql stable parallel safe as $$
    select md5(
        row(
            voucher.transaction_at, voucher.transaction_type, voucher.transaction_status,
            voucher.merchant_id, voucher.account_id, voucher.terminal_id, voucher.channel,
            voucher.currency_code, voucher.amount_minor, voucher.acquiring_institution_id,
            voucher.forwarding_institution_id, voucher.trace_number, voucher.transmission_time,
            voucher.retrieval_reference_number, voucher.channel_order_id,
            voucher.refund_order_id, voucher.merchant_order_id, voucher.original_voucher_id,
            voucher.original_transaction_at, voucher.original_amount_minor
        )::text
    )::uuid
$$;
comment on function control.voucher_content_hash is
'What a voucher says, whatever file and date bring it (凭证内容摘要).';

create function control.register_vouchers(of_file text, of_date date) returns bigint
language sql as $$
    with registered as (
        insert into control.voucher_register
        select
            'platform',
            vouchers.voucher_id,
            vouchers.accounting_date,
            vouchers.file_id,
            vouchers.line_number,
            control.voucher_content_hash(vouchers),
            vouchers.transaction_type,
            vouchers.transaction_status,
            vouchers.transaction_at,
            vouchers.merchant_id,
            vouchers.account_id,
            vouchers.channel,
            vouchers.currency_code,
            vouchers.amount_minor,
            vouchers.card_kind,
            vouchers.card_region,
            vouchers.original_voucher_id,
            vouchers.acquiring_institution_id,
            vouchers.forwarding_institution_id,
            vouchers.trace_number,
            vouchers.transmission_time,
            vouchers.retrieval_reference_number,
            vouchers.terminal_id,
            vouchers.channel_order_id,
            vouchers.refund_order_id,
            vouchers.merchant_order_id,
            control.voucher_lookup_key(
                vouchers.channel, vouchers.channel_order_id, vouchers.refund_order_id,
                vouchers.trace_number, vouchers.transmission_time, vouchers.merchant_order_id
            )
        from raw.platform_source_vouchers as vouchers
        where vouchers.accounting_date = of_date and vouchers.file_id = of_file
        -- A repeat is left out; the caller counts, and refuses the file.
        on conflict (source, voucher_id) do nothing
        returning 1
    )
    select count(*) from registered
$$;
comment on function control.register_vouchers is
'Register a landed file''s vouchers; returns how many were new (登记凭证).';

create function control.keep_sealed_registers() returns trigger language plpgsql as $$
begin
    if exists (
        select 1
        from (select distinct accounting_date from changed) as dates
        inner join control.accounting_days as days
            on dates.accounting_date = days.accounting_date and days.state = 'sealed'
    ) then
        raise exception '%.% of a sealed date cannot change', tg_table_schema, tg_table_name
            using errcode = 'integrity_constraint_violation';
    end if;
    return null;
end
$$;

create function control.refuse_register_change() returns trigger language plpgsql as $$
begin
    raise exception '%.%: rows are added and taken away with their file or date, never changed',
        tg_table_schema, tg_table_name
        using errcode = 'integrity_constraint_violation';
end
$$;

create function control.unregister_vouchers() returns trigger language plpgsql as $$
begin
    delete from control.voucher_register where file_id = old.file_id;
    return null;
end
$$;
create trigger channel_files_unregister
after update of status on control.channel_files
for each row
when (
    old.status = 'landed' and new.status <> 'landed' and old.file_kind = 'source_vouchers'
)
execute function control.unregister_vouchers();
"""

GUARD = """
create trigger {name}_sealed_insert after insert on {table}
referencing new table as changed
for each statement execute function control.keep_sealed_registers();
create trigger {name}_sealed_delete after delete on {table}
referencing old table as changed
for each statement execute function control.keep_sealed_registers();
create trigger {name}_no_update before update or truncate on {table}
for each statement execute function control.refuse_register_change();
"""

# Files that landed before there were registers. A repeat among them stays where it stood first.
FILL = """
select control.register_vouchers(files.file_id, files.booked_on)
from control.channel_files as files
where files.channel = 'platform'
    and files.file_kind = 'source_vouchers'
    and files.status = 'landed'
    and files.booked_on is not null
order by files.booked_on, files.file_id
"""

FILL_ENTRIES = """
do $$
begin
    if to_regclass('settlement.statement_lines') is not null then
        insert into settlement.statement_entries
        select entry_id, statement_id, payment_date, accounting_date
        from settlement.statement_lines
        order by payment_date, entry_id
        on conflict (entry_id) do nothing;
    end if;
end
$$
"""

# A table that an earlier version built gets what its contract has now; only new dates fill it.
COLUMNS = """
do $$
begin
    if to_regclass('clearing.channel_adjustments') is not null then
        alter table clearing.channel_adjustments
            add column original_voucher_id text,
            add column original_channel_record_id text,
            add column suspended_reason text;
    end if;
end
$$
"""


def upgrade() -> None:
    """Create the registers, fill them from what is there, then guard them."""
    op.execute(CREATE)
    op.execute(FILL)
    op.execute(FILL_ENTRIES)
    op.execute(COLUMNS)
    for table in (
        "control.voucher_register",
        "settlement.statement_entries",
        "clearing.original_movements",
    ):
        op.execute(GUARD.format(table=table, name=table.split(".")[1]))
