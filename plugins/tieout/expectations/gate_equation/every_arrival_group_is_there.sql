-- id: every_arrival_group_is_there
-- kind: presence
-- severity: critical
-- subject: gate.balance_equation
-- terms: arrival_group
-- english: Every accounting date this payment date pays stands in one arrival group of each
--     channel and currency, and there is at least one such date
-- chinese: 本付款日支付的每个会计日期，在每个渠道和币种下都恰有一个到账组，且至少有一个会计日期

-- Read from the calendar and the operating window, not from the table under test, which would then
-- agree with itself.
with paid_dates as (
    select
        calendar.channel,
        calendar.currency_code,
        calendar.accounting_date,
        calendar.arrival_date
    from control.operating_window() as operating_window
    cross join lateral control.arrival_calendar(
        greatest(operating_window.first_accounting_date, :day - 40),
        least(operating_window.last_accounting_date, :day)
    ) as calendar
    where calendar.payment_date = :day
),

equation as (
    select batch.*
    from gate.balance_equation as batch
    where batch.payment_date = :day
),

group_counts as (
    select
        paid_dates.channel,
        paid_dates.currency_code,
        paid_dates.accounting_date,
        paid_dates.arrival_date,
        count(equation.channel) as group_count
    from paid_dates
    left join equation
        on
            paid_dates.channel = equation.channel
            and paid_dates.currency_code = equation.currency_code
            and paid_dates.arrival_date = equation.arrival_date
            and paid_dates.accounting_date = any(equation.accounting_dates)
    group by
        paid_dates.channel,
        paid_dates.currency_code,
        paid_dates.accounting_date,
        paid_dates.arrival_date
)

select
    group_counts.channel || ' arrival ' || group_counts.arrival_date || ' '
    || group_counts.currency_code as subject,
    'arrival_group' as term,
    null::text as amount_minor,
    group_counts.currency_code,
    'accounting date ' || group_counts.accounting_date || ' stands in ' || group_counts.group_count
    || ' rows of the balance equation instead of one' as detail
from group_counts
where group_counts.group_count <> 1
union all
select
    'payment date' as subject,
    'arrival_group' as term,
    null::text as amount_minor,
    null::text as currency_code,
    'no accounting date is paid on it: no landed operating window, no channel or no calendar'
    as detail
where not exists (select 1 from paid_dates)
