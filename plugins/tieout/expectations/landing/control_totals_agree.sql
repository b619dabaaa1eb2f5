-- id: control_totals_agree
-- kind: agreement
-- severity: critical
-- subject: control.channel_files
-- terms: control_totals
-- english: A landed file's own control totals agree with its rows
-- chinese: 落地文件自带的控制总数与其明细一致

select
    batch.file_name as subject,
    'control_totals' as term,
    (batch.counted_total_minor - batch.declared_total_minor)::text as amount_minor,
    null::text as currency_code,
    'declared ' || coalesce(batch.declared_row_count::text, 'no') || ' rows, landed '
    || coalesce(batch.row_count::text, 'none') || '; totals '
    || coalesce(batch.totals_status, 'unknown') as detail
from control.channel_files as batch
where
    batch.accounting_date = :day
    and batch.status = 'landed'
    and (
        coalesce(batch.totals_status, 'unknown') not in ('agree', 'none_in_format')
        or batch.row_count is null
        or batch.declared_row_count <> batch.row_count
        or batch.declared_total_minor <> batch.counted_total_minor
    )
    -- A status report states how many payments the order had, not how many lines it has itself.
    and batch.file_kind not in ('pain002', 'agency_answer')
