{#-
    Which accounting dates of a channel arrive together (docs/domain.md#arrival-group), and when
    they are paid (docs/domain.md#payment-date). The operating window bounds the dates; an acquirer
    without a last date gets 30 days past its latest delivered date.
-#}
with channels as (
    select
        channels.channel,
        channel_currencies.currency_code,
        channels.arrival_calendar,
        channels.arrival_lag_days
    from {{ ref('channels') }} as channels
    inner join {{ ref('channel_currencies') }} as channel_currencies
        on channels.channel = channel_currencies.channel
),

calendar_days as (
    select
        calendar_date,
        working_day_on_or_after
    from {{ ref('calendar_days') }}
),

operating_windows as (
    select
        snapshot_date,
        first_accounting_date,
        last_accounting_date
    from {{ ref('stg_platform__operating_window') }}
),

operating_window as (
    select
        first_accounting_date,
        coalesce(last_accounting_date, snapshot_date + 30) as last_accounting_date
    from operating_windows
    order by snapshot_date desc
    limit 1
),

accounting_dates as (
    select calendar_days.calendar_date as accounting_date
    from calendar_days
    inner join operating_window
        on calendar_days.calendar_date
        between operating_window.first_accounting_date and operating_window.last_accounting_date
),

arrivals as (
    select
        channels.channel,
        channels.currency_code,
        accounting_dates.accounting_date,
        case
            when channels.arrival_calendar = 'working_day' then earliest.working_day_on_or_after
            when channels.arrival_calendar = 'calendar_day' then earliest.calendar_date
        end as arrival_date
    from accounting_dates
    cross join channels
    inner join calendar_days as earliest
        on earliest.calendar_date = accounting_dates.accounting_date + channels.arrival_lag_days
),

final as (
    select
        arrivals.channel,
        arrivals.currency_code,
        arrivals.accounting_date,
        arrivals.arrival_date,
        arrivals.channel || '-' || to_char(arrivals.arrival_date, 'YYYYMMDD') || '-'
        || arrivals.currency_code as arrival_group_id,
        payments.working_day_on_or_after as payment_date
    from arrivals
    inner join calendar_days as payments
        -- Never before the arrival, never before the day after the accounting date.
        on payments.calendar_date = greatest(arrivals.arrival_date, arrivals.accounting_date + 1)
)

select * from final
