{{ config(materialized='ephemeral') }}

{#- Each fee that the platform states is the one that was cleared. -#}
with paid_dates as (
    select
        accounting_date,
        channel,
        currency_code
    from {{ ref('int_calendar__arrival_groups') }}
    where payment_date = {{ payment_date() }}
),

findings as (
    select
        accounting_date,
        accounting_voucher_id,
        channel,
        currency_code,
        stated_fee_amount_minor,
        fee_amount_minor
    from {{ ref('stated_fee_findings') }}
    where accounting_date >= {{ days_back(payment_date()) }}
        and accounting_date < {{ payment_date() }}
        and stops_payment
),

-- What no landed voucher says the channel of stops each payment of its date.
stopping as (
    select
        paid_dates.channel,
        paid_dates.currency_code,
        findings.accounting_date,
        findings.accounting_voucher_id,
        findings.stated_fee_amount_minor,
        findings.fee_amount_minor,
        row_number() over (
            partition by paid_dates.channel, paid_dates.currency_code
            order by findings.accounting_date, findings.accounting_voucher_id
        ) as finding_order
    from paid_dates
    inner join findings
        on paid_dates.accounting_date = findings.accounting_date
        and paid_dates.channel = coalesce(findings.channel, paid_dates.channel)
        and (
            findings.channel is null
            or paid_dates.currency_code = findings.currency_code
        )
),

counted as (
    select
        channel,
        currency_code,
        count(*) as finding_count,
        min(
            to_char(accounting_date, 'YYYY-MM-DD') || ' ' || accounting_voucher_id || ' states '
            || stated_fee_amount_minor || ', ' || coalesce(
                'the contract asks ' || fee_amount_minor, 'nothing was cleared (未清算)'
            )
        ) filter (where finding_order = 1) as first_finding
    from stopping
    group by channel, currency_code
),

subjects as (
    select distinct
        channel,
        currency_code
    from paid_dates
),

compared as (
    select
        subjects.channel || ' ' || subjects.currency_code as subject,
        counted.finding_count is null as holds,
        coalesce(
            'another fee than the platform states (与平台列示手续费不符), first '
            || counted.first_finding, ''
        ) as detail,
        coalesce(counted.finding_count, 0) as measured,
        '0' as expected
    from subjects
    left join counted
        on subjects.channel = counted.channel
        and subjects.currency_code = counted.currency_code
),

final as (
    {{ check_rows('stated_fees_agree', ['compared']) }}
)

select * from final
