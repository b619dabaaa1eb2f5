-- id: every_check_holds
-- kind: finding
-- severity: critical
-- subject: gate.gate_checks
-- terms: *
-- english: Every check of the payment date holds
-- chinese: 付款日的每项检查都成立

select
    batch.subject,
    batch.check_name as term,
    null::text as amount_minor,
    null::text as currency_code,
    concat_ws(
        '; ',
        nullif(batch.detail, ''),
        'measured ' || coalesce(batch.measured, 'nothing'),
        'expected ' || coalesce(batch.expected, 'nothing')
    ) as detail
from gate.gate_checks as batch
where
    batch.payment_date = :day
    and batch.holds is distinct from true
