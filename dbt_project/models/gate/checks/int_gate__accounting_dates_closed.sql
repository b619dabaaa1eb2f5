{{ config(materialized='ephemeral') }}

{#-
    The dates since the last payment date and those it pays are closed, and there is one: the money
    of a channel may come later than that of others, after the business's last date too.
-#}
with arrival_groups as (
    select distinct accounting_date
    from {{ ref('int_calendar__arrival_groups') }}
    where (
            accounting_date >= {{ previous_payment_date() }}
            and accounting_date < {{ payment_date() }}
        )
        or payment_date = {{ payment_date() }}
),

accounting_days as (
    select
        accounting_date,
        state
    from {{ source('control', 'accounting_days') }}
),

day_checks as (
    select
        to_char(arrival_groups.accounting_date, 'YYYY-MM-DD') as subject,
        coalesce(accounting_days.state in ('closed', 'sealed'), false) as holds,
        case
            when accounting_days.state in ('closed', 'sealed') then ''
            else 'accounting date is not closed (会计日期未关账)'
        end as detail,
        -- Sealed follows closed once its payouts are submitted; both mean closed here.
        case
            when accounting_days.state in ('closed', 'sealed') then 'closed'
            else coalesce(accounting_days.state, 'missing')
        end as measured,
        'closed' as expected
    from arrival_groups
    left join accounting_days
        on arrival_groups.accounting_date = accounting_days.accounting_date
    union all
    select
        'all' as subject,
        count(*) > 0 as holds,
        case
            when count(*) > 0 then ''
            else 'no accounting date is paid on this payment date (无待付会计日期)'
        end as detail,
        cast(count(*) as text) as measured,
        'at least 1' as expected
    from arrival_groups
),

final as (
    {{ check_rows('accounting_dates_closed', ['day_checks']) }}
)

select * from final
