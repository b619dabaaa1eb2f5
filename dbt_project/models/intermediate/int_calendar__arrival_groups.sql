{#-
    Which accounting dates of a channel arrive together (docs/domain.md#arrival-group), and when
    they are paid (docs/domain.md#payment-date): what the database's calendar says, by each
    channel's lag (docs/decisions/0056-one-calendar-one-door.md). The operating window bounds the
    dates; an acquirer without a last date gets 30 days past its latest delivered date.
-#}
-- depends_on: {{ ref('channels') }}, {{ ref('channel_currencies') }}, {{ ref('calendar_days') }}
with operating_windows as (
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

calendar as (
    select arrival_calendar.*
    from operating_window
    cross join lateral control.arrival_calendar(
        operating_window.first_accounting_date, operating_window.last_accounting_date
    ) as arrival_calendar
),

final as (
    select
        channel,
        currency_code,
        accounting_date,
        arrival_date,
        channel || '-' || to_char(arrival_date, 'YYYYMMDD') || '-' || currency_code
            as arrival_group_id,
        payment_date
    from calendar
)

select * from final
