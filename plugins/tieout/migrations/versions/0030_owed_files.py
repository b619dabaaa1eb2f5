"""One list of owed files: which file a channel owes for which accounting date, and until when.

`control.owed_files()` reads `reference.expected_files`, which dbt loads before anything lands.
Landing, the close, dbt and the checks of the gate ask it, and none has a rule of its own.
"""

from __future__ import annotations

from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

OWED = """
create function control.slot_has_part(slot text, name_part text) returns boolean
language sql
immutable
parallel safe
set search_path = pg_catalog
as $body$
    select
        coalesce(name_part, '') = ''
        or position('/' || name_part || '/' in '/' || coalesce(slot, '') || '/') > 0
$body$;
comment on function control.slot_has_part(text, text) is
'Whether a place is the one meant: of several files of a kind by a part of the name (文件位置).';

create function control.owed_files(first_date date, last_date date)
returns table (
    accounting_date date,
    channel text,
    file_kind text,
    name_part text,
    due_at timestamptz,
    correction text
)
language plpgsql
stable
set search_path = pg_catalog
as $body$
begin
    if to_regclass('reference.expected_files') is null
        or to_regclass('reference.calendar_days') is null
    then
        return;
    end if;
    return query
    with dates as (
        select days.day::date as owed_date
        from generate_series(first_date::timestamp, last_date::timestamp, '1 day') as days (day)
    ),

    -- The business's first date, by the newest window and by what each date's own says of itself:
    -- a window that moved may owe a file too many, and never one too few.
    first_dates as (
        select operating_window.first_accounting_date as owed_date
        from control.operating_window() as operating_window
        union
        select windows.accounting_date
        from raw.platform_operating_window as windows
        inner join control.channel_files as files on windows.file_id = files.file_id
        where
            files.status = 'landed'
            and windows.accounting_date between owed_files.first_date and owed_files.last_date
            and windows.accounting_date = windows.first_accounting_date
    )

    select
        dates.owed_date,
        listed.channel::text,
        listed.file_kind::text,
        coalesce(listed.name_part, '')::text,
        (dates.owed_date::timestamp + make_interval(mins => listed.due_minutes))
            at time zone 'Asia/Shanghai',
        listed.correction::text
    from dates
    cross join reference.expected_files as listed
    left join reference.calendar_days as days on dates.owed_date = days.calendar_date
    where
        case listed.calendar
            when 'first_accounting_date' then dates.owed_date in (
                select first_dates.owed_date from first_dates
            )
            -- A date the calendar does not hold counts as a working day.
            when 'working_day' then coalesce(days.is_working_day, true)
            -- A calendar nobody knows is not "never": owed until the list is mended.
            else true
        end;
end
$body$;
comment on function control.owed_files(date, date) is
'Which files each channel owes for each accounting date, and until when (应到文件清单).';
grant execute on function control.slot_has_part(text, text), control.owed_files(date, date)
to tieout_ingest, tieout_transform, tieout_gate, tieout_payout, tieout_finance;
"""


def upgrade() -> None:
    """Create the list."""
    op.execute(OWED)
