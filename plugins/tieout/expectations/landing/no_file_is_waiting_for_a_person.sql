-- id: no_file_is_waiting_for_a_person
-- kind: finding
-- severity: critical
-- subject: control.channel_files
-- terms: file
-- english: No file of the date is quarantined or in conflict without a good one in its place
-- chinese: 本日期没有被隔离或冲突而尚无正确文件替代的文件

select
    batch.file_name as subject,
    'file' as term,
    null::text as amount_minor,
    null::text as currency_code,
    batch.status || ': ' || coalesce(batch.reason, 'no reason given') as detail
from control.channel_files as batch
where
    batch.accounting_date = :day
    and (
        batch.status = 'conflict'
        or (
            batch.status = 'quarantined'
            and not exists (
                select 1
                from control.channel_files as good
                where
                    good.channel = batch.channel
                    and good.file_kind = batch.file_kind
                    and good.accounting_date = batch.accounting_date
                    and good.status = 'landed'
                    and good.landed_at > batch.landed_at
            )
        )
    )
