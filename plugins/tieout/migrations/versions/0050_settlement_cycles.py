"""Settlement cycles: the date from which an entry may be paid follows from its contract.

`control.due_date` says it of a cycle (结算周期), by the working days of the reference data. It has
no default: an unknown cycle, and a date past the list of working days, are refused.

A statement says what of its balance is not due yet; of what was stated before, that is nothing.
"""

from __future__ import annotations

from alembic import op

revision = "0050"
down_revision = "0049"
branch_labels = None
depends_on = None

# What the platform's file may say (plugins/tieout/channels/platform/platform_schema.json).
DELIVERED = """
alter table raw.platform_contracts
add constraint platform_contracts_settlement_cycle_check check (
    settlement_cycle ~ '^(T[+]([1-9]|1[0-9]|20)|weekly:(MON|TUE|WED|THU|FRI|SAT|SUN)'
    '|monthly:([1-9]|1[0-9]|2[0-8]|last))$'
);
"""

# `paid_on` is the first working day on which the entry's money can be there: T+1's payment date.
DUE_DATE = """
create function control.due_date(settlement_cycle text, accounting_date date, paid_on date)
returns date
language plpgsql
stable
set search_path = pg_catalog
as $body$
declare
    cycle_kind text := split_part(settlement_cycle, ':', 1);
    named_day text := split_part(settlement_cycle, ':', 2);
    due_on date;
begin
    if settlement_cycle = 'T+1' then
        return paid_on;
    elsif settlement_cycle ~ '^T[+]([2-9]|1[0-9]|20)$' then
        select days.calendar_date
        into due_on
        from reference.calendar_days as days
        where days.is_working_day and days.calendar_date > accounting_date
        order by days.calendar_date
        offset split_part(settlement_cycle, '+', 2)::integer - 1
        limit 1;
        -- Not known is not early: greatest() would leave it out.
        due_on := case when due_on is not null then greatest(due_on, paid_on) end;
    elsif cycle_kind = 'weekly' and named_day in ('MON', 'TUE', 'WED', 'THU', 'FRI', 'SAT', 'SUN')
    then
        select min(days.working_day_on_or_after)
        into due_on
        from reference.calendar_days as days
        where
            days.calendar_date between paid_on - 31 and paid_on + 6
            and to_char(days.calendar_date, 'DY') = named_day
            and days.working_day_on_or_after >= paid_on;
    elsif settlement_cycle ~ '^monthly:([1-9]|1[0-9]|2[0-8])$' then
        select min(days.working_day_on_or_after)
        into due_on
        from reference.calendar_days as days
        where
            days.calendar_date between paid_on - 31 and paid_on + 31
            and extract(day from days.calendar_date) = named_day::integer
            and days.working_day_on_or_after >= paid_on;
    elsif settlement_cycle = 'monthly:last' then
        -- The last day of a month whose next day is in the list, or ends it.
        select
            min(
                case
                    when days.is_working_day then days.calendar_date
                    else days.previous_working_day
                end
            )
        into due_on
        from reference.calendar_days as days
        where
            days.calendar_date between paid_on and paid_on + 62
            and extract(day from days.calendar_date + 1) = 1
            and case
                when days.is_working_day then days.calendar_date
                else days.previous_working_day
            end >= paid_on;
    else
        raise exception '% is no settlement cycle', coalesce(settlement_cycle, 'nothing')
        using
            errcode = 'invalid_parameter_value',
            hint = 'docs/formats/platform.md: T+1 to T+20, weekly:FRI, monthly:15, monthly:last.';
    end if;
    if due_on is null then
        raise exception 'nobody knows when what is paid by % is due after %', settlement_cycle,
            paid_on
        using
            errcode = 'no_data_found',
            detail = 'the list of working days ends on ' || coalesce(
                (select max(days.calendar_date) from reference.calendar_days as days)::text,
                'no day'
            ),
            hint = 'docs/runbooks/calendar-ends.md';
    end if;
    return due_on;
end
$body$;
comment on function control.due_date(text, date, date) is
'From which payment date on an entry may be paid by its contract''s cycle (结算到期日).';
"""

# A table that an earlier version built gets what its contract has now.
COMPUTED = """
do $$
begin
    if to_regclass('settlement.settlement_statements') is null then
        return;
    end if;
    alter table settlement.settlement_statements
        add column if not exists not_due_amount_minor bigint not null default 0;
    alter table settlement.settlement_statements
        alter column not_due_amount_minor drop default;
    if exists (
        select 1
        from pg_constraint
        where
            conrelid = to_regclass('settlement.settlement_statements')
            and conname = 'statements_available_amount'
    ) then
        alter table settlement.settlement_statements
            drop constraint statements_available_amount,
            drop constraint statements_payable_status;
        alter table settlement.settlement_statements
            add constraint statements_available_amount check (
                available_amount_minor = settlement_amount_minor + adjustment_amount_minor
                - advance_amount_minor + previous_unsettled_amount_minor
                + transfer_amount_minor - held_amount_minor - frozen_amount_minor
                - not_due_amount_minor
            ),
            add constraint statements_payable_status check (
                payable_status = case when available_amount_minor <= 0 then case when
                not_due_amount_minor > 0 then 'not_due' when
                available_amount_minor + held_amount_minor + frozen_amount_minor < 0 then 'negative'
                when available_amount_minor + held_amount_minor + frozen_amount_minor = 0 then
                'no_balance' when available_amount_minor + frozen_amount_minor > 0 then 'frozen'
                else 'held' end when available_amount_minor < payout_minimum_amount_minor then
                'below_minimum' when withheld_reason is not null then 'withheld' else 'payable' end
            ),
            add constraint statements_not_due check (
                not_due_amount_minor >= 0
                and (not_due_amount_minor = 0 or available_amount_minor >= 0)
            );
    end if;
end
$$
"""


def upgrade() -> None:
    """Bound the platform's cycles, say when each pays, and give statements what is not due."""
    op.execute(DELIVERED)
    op.execute(DUE_DATE)
    op.execute(COMPUTED)
