"""The journal becomes postings: one row an event, its two legs a view of the same name as before.

Every date there is, sealed ones too, is turned leg for leg: a debit and its credit become one row
of `ledger.postings`, and what the view then shows of the date must be what the table held, or the
migration stops. An opening balance stood alone; it stands against `opening_balances` now, whose
legs are all that is new. Rows of before keep their sub-ledgers, name no rule, and say that their
source was not recorded. A database in which dbt has built nothing yet has nothing to turn.
"""

from __future__ import annotations

from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

# As the contract of the model has it; a test compares the two.
POSTINGS = """
create table ledger.postings (
    accounting_date date not null,
    posting_id text not null,
    event_type text not null,
    rule text not null,
    voucher_id text not null,
    source_id text not null,
    source_kind text not null,
    file_id text,
    line_number integer,
    decision_id text,
    channel text,
    settlement_mode text,
    currency_code text not null,
    amount_minor bigint not null,
    debit_account text not null,
    debit_subledger text not null,
    debit_subledger_id text not null,
    credit_account text not null,
    credit_subledger text not null,
    credit_subledger_id text not null,
    account_id text,
    arrival_group_id text,
    bank_account_id text,
    is_catch_up boolean not null,
    primary key (accounting_date, posting_id),
    constraint posting_amount check (amount_minor > 0),
    constraint posting_two_accounts check (debit_account <> credit_account),
    constraint posting_source check (
        case source_kind
            when 'file_line' then file_id is not null and line_number is not null
            when 'action' then decision_id is not null
            when 'bank_line_decision' then decision_id is not null
            when 'term_change' then decision_id is not null
            else source_kind in (
                'payout_event', 'statement', 'channel_totals', 'not_recorded'
            )
        end
    ),
    foreign key (accounting_date) references control.accounting_days (accounting_date)
)
partition by list (accounting_date)
"""

ENTRIES = """
create view ledger.journal_entries as
select
    accounting_date,
    posting_id || '\\:D' as entry_id,
    voucher_id,
    event_type,
    source_id,
    channel,
    settlement_mode,
    currency_code,
    debit_account as ledger_account,
    debit_subledger_id as subledger_id,
    case debit_subledger when 'account' then debit_subledger_id end as account_id,
    case debit_subledger when 'arrival_group' then debit_subledger_id end as arrival_group_id,
    'debit' as direction,
    amount_minor,
    is_catch_up,
    file_id,
    line_number
from ledger.postings
union all
select
    accounting_date,
    posting_id || '\\:C' as entry_id,
    voucher_id,
    event_type,
    source_id,
    channel,
    settlement_mode,
    currency_code,
    credit_account as ledger_account,
    credit_subledger_id as subledger_id,
    case credit_subledger when 'account' then credit_subledger_id end as account_id,
    case credit_subledger when 'arrival_group' then credit_subledger_id end as arrival_group_id,
    'credit' as direction,
    amount_minor,
    is_catch_up,
    file_id,
    line_number
from ledger.postings
"""

# What a sub-ledger names was read from the row (account, arrival group) or is the chart's word for
# the account as version 0024 had it.
DIMENSION = """
create function pg_temp.subledger(entry ledger.journal_entries_before) returns text
language sql immutable as $body$
    select case
        when entry.account_id is not null then 'account'
        when entry.arrival_group_id is not null then 'arrival_group'
        when entry.ledger_account in (
            'client_reserve_bank', 'fee_bank', 'own_funds_bank', 'bank_suspense',
            'own_transfers_in_transit', 'claims_on_banks', 'bank_charges_and_interest'
        ) then 'bank_account'
        when entry.ledger_account = 'own_funds' then 'opening'
        else 'channel'
    end
$body$
"""

TURN = """
do $body$
declare
    part record;
    target text;
    differing bigint;
begin
    for part in
        select
            children.oid::regclass as relation,
            substring(
                pg_get_expr(children.relpartbound, children.oid) from '\\d{4}-\\d{2}-\\d{2}'
            )::date as day
        from pg_inherits as inherited
        inner join pg_class as children on inherited.inhrelid = children.oid
        where inherited.inhparent = 'ledger.journal_entries_before'::regclass
        order by 2
    loop
        target := format('ledger.postings_%s', to_char(part.day, 'YYYYMMDD'));
        execute format(
            'create table %1$s (like ledger.postings including constraints)', target
        );
        execute format($sql$
            insert into %1$s
            with entries as (
                select
                    entry_row.*,
                    pg_temp.subledger(entry_row) as subledger,
                    case entry_row.event_type
                        when 'opening_balance' then entry_row.entry_id
                        else left(entry_row.entry_id, -2)
                    end as posting_id
                from ledger.journal_entries_before as entry_row
                where entry_row.accounting_date = %2$L
            ),

            debits as (
                select * from entries where direction = 'debit'
            ),

            credits as (
                select * from entries where direction = 'credit'
            ),

            pairs as (
                select
                    coalesce(debits.posting_id, credits.posting_id) as posting_id,
                    coalesce(debits.event_type, credits.event_type) as event_type,
                    coalesce(debits.voucher_id, credits.voucher_id) as voucher_id,
                    coalesce(debits.source_id, credits.source_id) as source_id,
                    coalesce(debits.file_id, credits.file_id) as file_id,
                    coalesce(debits.line_number, credits.line_number) as line_number,
                    coalesce(debits.channel, credits.channel) as channel,
                    coalesce(debits.settlement_mode, credits.settlement_mode) as settlement_mode,
                    coalesce(debits.currency_code, credits.currency_code) as currency_code,
                    coalesce(debits.amount_minor, credits.amount_minor) as amount_minor,
                    debits.ledger_account as debit_account,
                    debits.subledger as debit_subledger,
                    debits.subledger_id as debit_subledger_id,
                    credits.ledger_account as credit_account,
                    credits.subledger as credit_subledger,
                    credits.subledger_id as credit_subledger_id,
                    coalesce(debits.account_id, credits.account_id) as account_id,
                    coalesce(debits.arrival_group_id, credits.arrival_group_id)
                        as arrival_group_id,
                    case 'bank_account'
                        when debits.subledger then debits.subledger_id
                        when credits.subledger then credits.subledger_id
                    end as bank_account_id,
                    coalesce(debits.is_catch_up, credits.is_catch_up) as is_catch_up
                from debits
                full join credits on debits.posting_id = credits.posting_id
            )

            select
                %2$L::date,
                posting_id,
                event_type,
                'before_rules',
                voucher_id,
                source_id,
                'not_recorded',
                file_id,
                line_number,
                null,
                channel,
                settlement_mode,
                currency_code,
                amount_minor,
                case
                    when debit_account is null and event_type = 'opening_balance'
                        then 'opening_balances'
                    else debit_account
                end,
                case
                    when debit_account is null and event_type = 'opening_balance' then 'currency'
                    else debit_subledger
                end,
                case
                    when debit_account is null and event_type = 'opening_balance'
                        then currency_code
                    else debit_subledger_id
                end,
                case
                    when credit_account is null and event_type = 'opening_balance'
                        then 'opening_balances'
                    else credit_account
                end,
                case
                    when credit_account is null and event_type = 'opening_balance'
                        then 'currency'
                    else credit_subledger
                end,
                case
                    when credit_account is null and event_type = 'opening_balance'
                        then currency_code
                    else credit_subledger_id
                end,
                account_id,
                arrival_group_id,
                bank_account_id,
                is_catch_up
            from pairs
            order by posting_id
        $sql$, target, part.day);
        execute format('alter table %1$s add primary key (accounting_date, posting_id)', target);
        execute format(
            'alter table ledger.postings attach partition %1$s for values in (%2$L)',
            target, part.day
        );
        execute format('analyze %1$s', target);

        execute format($sql$
            with before as (
                select
                    accounting_date,
                    entry_id || case
                        when event_type <> 'opening_balance' then ''
                        when direction = 'debit' then '\\:D'
                        else '\\:C'
                    end as entry_id,
                    voucher_id, event_type, source_id, channel, settlement_mode, currency_code,
                    ledger_account, subledger_id, account_id, arrival_group_id, direction,
                    amount_minor, is_catch_up, file_id, line_number
                from ledger.journal_entries_before
                where accounting_date = %1$L
            ),

            after as (
                select *
                from ledger.journal_entries
                where accounting_date = %1$L and ledger_account <> 'opening_balances'
            )

            select count(*)
            from (
                (select * from before except all select * from after)
                union all
                (select * from after except all select * from before)
            ) as differences
        $sql$, part.day) into differing;
        if differing > 0 then
            raise exception '% entries of % differ from what their postings show', differing,
                part.day
            using hint = 'Nothing was changed. Keep the home as it is, and ask with this message.';
        end if;
        perform control.guard_partition(target::regclass, 'accounting_date', part.day);
    end loop;
    perform control.guard_parent('ledger.postings'::regclass, 'accounting_date');
end
$body$
"""

# Who could read the table reads the view, which reads the postings as its owner does.
GRANTS = """
do $body$
declare
    given record;
begin
    for given in
        select
            case granted.grantee when 0 then 'public' else granted.grantee::regrole::text end
                as grantee,
            granted.is_grantable
        from pg_class as tables
        cross join lateral aclexplode(tables.relacl) as granted
        where
            tables.oid = 'ledger.journal_entries_before'::regclass
            and granted.privilege_type = 'SELECT'
            and granted.grantee <> tables.relowner
    loop
        execute format(
            'grant select on ledger.journal_entries to %s%s', given.grantee,
            case when given.is_grantable then ' with grant option' else '' end
        );
    end loop;
end
$body$
"""

# dbt fills a seed's table, and adds no column to it.
CHART = """
alter table if exists reference.chart_of_accounts add column if not exists is_side_checked boolean
"""


def upgrade() -> None:
    """Turn the journal that dbt built into postings, date by date, and prove each date equal."""
    op.execute(CHART)
    built = op.get_bind().exec_driver_sql(
        "select relkind = 'p' from pg_class where oid = to_regclass('ledger.journal_entries')"
    )
    if not built.scalar():
        return
    op.execute("alter table ledger.journal_entries rename to journal_entries_before")
    op.execute(POSTINGS)
    op.execute(ENTRIES)
    op.execute(DIMENSION)
    op.execute(TURN)
    op.execute(GRANTS)
    op.execute("drop function pg_temp.subledger; drop table ledger.journal_entries_before")
