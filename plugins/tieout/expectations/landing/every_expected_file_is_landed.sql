-- id: every_expected_file_is_landed
-- kind: presence
-- severity: critical
-- subject: control.channel_files
-- terms: file
-- english: Every file the platform and the channels owe for the accounting date is landed, and
--     at least one is owed
-- chinese: 平台和各渠道本会计日期应到的文件均已落地，且至少应有一个文件

with expected as (
    select
        owed_files.channel,
        owed_files.file_kind,
        owed_files.name_part
    from control.owed_files(:day, :day) as owed_files
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
            and control.slot_has_part(others.slot, expected.name_part)
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
        and control.slot_has_part(batch.slot, expected.name_part)
)
union all
select
    'all' as subject,
    'file' as term,
    null::text as amount_minor,
    null::text as currency_code,
    'no file is expected on any date: the list of expected files is empty' as detail
where not exists (select 1 from expected)
