-- id: every_expected_file_is_landed
-- kind: presence
-- severity: critical
-- subject: control.channel_files
-- terms: file
-- english: Every file the platform and the channels owe for the accounting date is landed, and
--     at least one is owed
-- chinese: 平台和各渠道本会计日期应到的文件均已落地，且至少应有一个文件

with first_date as (
    select min(windows.first_accounting_date) as accounting_date
    from raw.platform_operating_window as windows
    inner join control.channel_files as files
        on windows.file_id = files.file_id
    where
        files.status = 'landed'
        and windows.accounting_date = :day
),

expected as (
    select
        expected_files.channel,
        expected_files.file_kind,
        coalesce(expected_files.name_part, '') as name_part
    from reference.expected_files as expected_files
    cross join first_date
    where
        case expected_files.calendar
            when 'first_accounting_date' then first_date.accounting_date = :day
            -- A date the calendar does not hold counts as a working day.
            when 'working_day' then coalesce(
                (
                    select calendar_days.is_working_day
                    from reference.calendar_days as calendar_days
                    where calendar_days.calendar_date = :day
                ),
                true
            )
            -- A calendar nobody knows is not "never": expected until the list is mended.
            else true
        end
)

select
    rtrim(expected.channel || ' ' || expected.file_kind || ' ' || expected.name_part) as subject,
    'file' as term,
    null::text as amount_minor,
    null::text as currency_code,
    'not landed' || coalesce('; ' || (
        select min(
            others.file_name || ' is ' || others.status || ': ' || coalesce(others.reason, '')
        )
        from control.channel_files as others
        where
            others.channel = expected.channel
            and others.file_kind = expected.file_kind
            and others.accounting_date = :day
            and (
                expected.name_part = ''
                or position('/' || expected.name_part || '/' in '/' || others.slot || '/') > 0
            )
    ), '') as detail
from expected
where not exists (
    select 1
    from control.channel_files as batch
    where
        batch.channel = expected.channel
        and batch.file_kind = expected.file_kind
        and batch.accounting_date = :day
        and batch.status = 'landed'
        and (
            expected.name_part = ''
            or position('/' || expected.name_part || '/' in '/' || batch.slot || '/') > 0
        )
)
union all
select
    'all' as subject,
    'file' as term,
    null::text as amount_minor,
    null::text as currency_code,
    'no file is expected on any date: the list of expected files is empty' as detail
where not exists (select 1 from expected)
