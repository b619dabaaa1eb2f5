{{ config(materialized='ephemeral') }}

{#-
    What the channels' fund bills booked is what their trade bills say: of each paid date the
    absolute differences together stay within the channel's limit. What a later bill has booked
    since is no difference. The equation adds up trade bills; a fund bill is the channel's own
    word on which of it moved. A date without a fund bill is not compared: no file is owed.
-#}
with paid_dates as (
    select
        accounting_date,
        channel,
        currency_code
    from {{ ref('int_calendar__arrival_groups') }}
    where payment_date = {{ payment_date() }}
),

fund_bills as (
    select
        channel,
        currency_code,
        day_limit_amount_minor
    from {{ ref('fund_bills') }}
),

findings as (
    select
        accounting_date,
        finding_id,
        channel,
        currency_code,
        finding,
        booked_amount_minor,
        expected_amount_minor,
        difference_minor
    from {{ ref('fund_bill_findings') }}
    where accounting_date >= {{ days_back(payment_date()) }}
        and accounting_date < {{ payment_date() }}
),

open_findings as (
    select
        findings.accounting_date,
        findings.finding_id,
        findings.channel,
        findings.currency_code,
        findings.finding,
        findings.booked_amount_minor,
        findings.expected_amount_minor,
        findings.difference_minor,
        row_number() over (
            partition by findings.accounting_date, findings.channel, findings.currency_code
            order by abs(findings.difference_minor) desc, findings.finding_id
        ) as place
    from findings
    left join findings as next_day
        on findings.finding_id = next_day.finding_id
        and next_day.accounting_date = findings.accounting_date + 1
        and next_day.finding = 'booked_later'
    where
        findings.finding is distinct from 'booked_later'
        and not (findings.finding = 'not_booked' and next_day.finding_id is not null)
),

date_sums as (
    select
        paid_dates.accounting_date,
        fund_bills.channel,
        fund_bills.currency_code,
        fund_bills.day_limit_amount_minor as limit_minor,
        count(open_findings.finding_id) as finding_count,
        coalesce(sum(abs(open_findings.difference_minor)), 0) as difference_minor,
        min(
            open_findings.finding_id || ' (' || open_findings.finding || '): booked '
            || open_findings.booked_amount_minor || ', expected '
            || open_findings.expected_amount_minor
        ) filter (where open_findings.place = 1) as largest_finding
    from paid_dates
    inner join fund_bills
        on paid_dates.channel = fund_bills.channel
        and paid_dates.currency_code = fund_bills.currency_code
    left join open_findings
        on paid_dates.accounting_date = open_findings.accounting_date
        and paid_dates.channel = open_findings.channel
        and paid_dates.currency_code = open_findings.currency_code
    group by
        paid_dates.accounting_date,
        fund_bills.channel,
        fund_bills.currency_code,
        fund_bills.day_limit_amount_minor
),

compared as (
    select
        channel || ' ' || currency_code as subject,
        bool_and(difference_minor <= limit_minor) as holds,
        coalesce(
            string_agg(
                to_char(accounting_date, 'YYYY-MM-DD') || ': ' || finding_count
                || ' differences between fund bill and trade bill (资金账单与交易账单不符), together '
                || difference_minor || ', the largest ' || largest_finding,
                '; ' order by accounting_date
            ) filter (where difference_minor > limit_minor),
            ''
        ) as detail,
        max(difference_minor) as measured,
        'at most ' || min(limit_minor) || ' a date' as expected
    from date_sums
    group by channel, currency_code
),

final as (
    {{ check_rows('fund_bills_agree', ['compared'], of_new_dates=true) }}
)

select * from final
