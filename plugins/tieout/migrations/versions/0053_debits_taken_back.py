"""A debit of a fee bill that the merchant's bank takes back: the bill is open again.

What was collected stood for ever, so the line by which the bank takes the money back explained
nothing and the bill stayed paid. Now the owner's function finds the line of the fee account that
names the debit and takes all of it back, once. A mandate by which a debit was taken back, or was
refused because of the mandate, debits nobody any more until two people enter another.
"""

from __future__ import annotations

from alembic import op

revision = "0053"
down_revision = "0052"
branch_labels = None
depends_on = None

STATES = """
create or replace function settlement.collection_may_follow(current_status text, new_status text)
returns boolean
language sql
immutable
set search_path = pg_catalog
as $body$
    -- A bank may refuse and have debited: the history keeps both. What it takes back, it takes
    -- back once; money that comes again after that is for people.
    select case coalesce(current_status, '')
        when '' then new_status = 'created'
        when 'created' then new_status = 'submitted'
        when 'submitted'
            then new_status in ('accepted', 'paid', 'part_paid', 'failed', 'unknown')
        when 'accepted' then new_status in ('paid', 'part_paid', 'failed', 'unknown')
        when 'unknown' then new_status in ('paid', 'part_paid', 'failed')
        when 'failed' then new_status in ('paid', 'part_paid')
        when 'paid' then new_status = 'returned'
        when 'part_paid' then new_status = 'returned'
        else false
    end
$body$;

-- Money goes back by a line of the bank, and by nothing else.
alter table settlement.collection_events
    add constraint collection_events_returned check (
        status <> 'returned' or (file_id is not null and line_number is not null)
    );
"""

RETURNING = """
create function settlement.apply_returned_lines(on_date date) returns integer
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    line record;
    changed_count integer := 0;
begin
    perform settlement.require_open_date(on_date);
    perform pg_advisory_xact_lock(hashtextextended('tieout.fee_bills', 0));
    for line in
        select distinct on (collections.collection_id)
            collections.collection_id,
            lines.file_id,
            lines.line_number,
            substring(lines.remittance_text, ' ([A-Z]{2}[0-9]{2})$') as reason_code
        from settlement.collections as collections
        inner join settlement.collection_events as collected
            on collections.collection_id = collected.collection_id
            and collected.status in ('paid', 'part_paid')
        inner join raw.bank_statement_lines as collected_lines
            on collected.file_id = collected_lines.file_id
            and collected.line_number = collected_lines.line_number
        -- All of what was collected, named by its debit: a part of it nobody can assign.
        inner join raw.bank_statement_lines as lines
            on substring(
                lines.remittance_text,
                '^FEEBILL RETURN (FB[0-9]{8}C[0-9]{2})(?: [A-Z]{2}[0-9]{2})?$'
            ) = collections.collection_id
            and collected_lines.bank_account_id = lines.bank_account_id
            and collections.currency_code = lines.currency_code
            and collected.collected_minor = -lines.amount_minor
            and lines.statement_date >= collected_lines.statement_date
            and lines.accounting_date >= collections.started_on
        inner join control.channel_files as files
            on lines.file_id = files.file_id and files.status = 'landed'
        where
            lines.statement_date <= on_date
            and settlement.collection_status(collections.collection_id) in ('paid', 'part_paid')
        order by
            collections.collection_id, lines.statement_date, lines.file_id, lines.line_number
    loop
        if settlement.add_collection_event(
            line.collection_id, 'returned', on_date, 0, line.reason_code, line.file_id,
            line.line_number
        ) then
            changed_count := changed_count + 1;
        end if;
    end loop;
    return changed_count;
end
$body$;
comment on function settlement.apply_returned_lines(date) is
'What a landed line of the fee account takes back is open again; returns how many (代收退回).';
revoke execute on function settlement.apply_returned_lines(date) from public;
grant execute on function settlement.apply_returned_lines(date) to tieout_payout;

create function settlement.mandate_is_refused(wanted_mandate_id bigint) returns boolean
language sql
stable
set search_path = pg_catalog
as $body$
    -- Only a lack of money (AM04) says nothing about the mandate. A return without a reason may
    -- be the merchant's word that nothing was owed by it.
    select exists (
        select 1
        from settlement.collections as collections
        inner join settlement.collection_events as events
            on collections.collection_id = events.collection_id
        where
            collections.mandate_id = wanted_mandate_id
            and (
                (events.status = 'returned' and events.reason_code is distinct from 'AM04')
                or (events.status = 'failed' and events.reason_code ~ '^(MD[0-9]{2}|MS02)$')
            )
    )
$body$;
comment on function settlement.mandate_is_refused(bigint) is
'Whether a debit by the mandate came back or was refused because of it (授权是否被拒).';
"""

# The function stays as it was made, but for one more reason.
WHY_NOT = """
do $$
declare
    body text := pg_get_functiondef('settlement.why_not_debited(integer, date)'::regprocedure);
    before text := '    elsif on_date < mandate.known_from + limits.mandate_notice_days then';
begin
    if position(before in body) = 0 then
        raise exception 'settlement.why_not_debited is not the one that this migration changes';
    end if;
    execute replace(
        body, before,
        '    elsif settlement.mandate_is_refused(mandate.mandate_id) then' || chr(10)
        || '        return ''mandate_refused'';' || chr(10) || before
    );
end
$$
"""

# A home of before its first payment has no table yet.
KINDS = """
do $$
declare
    changed record;
begin
    for changed in
        select conrelid::regclass as name, conname, pg_get_constraintdef(oid) as definition
        from pg_constraint
        where
            conrelid = to_regclass('reconciliation.bank_match_lines')
            and conname = 'bank_match_lines_kind'
    loop
        execute format('alter table %s drop constraint %I', changed.name, changed.conname);
        execute format(
            'alter table %s add constraint %I %s', changed.name, changed.conname,
            replace(
                changed.definition,
                '''fee_collection''::text',
                '''fee_collection''::text, ''fee_collection_return''::text'
            )
        );
    end loop;
end
$$
"""


def upgrade() -> None:
    """Let a collected debit go back, and hold the mandate by which it was made."""
    op.execute(STATES)
    op.execute(RETURNING)
    op.execute(WHY_NOT)
    op.execute(KINDS)
