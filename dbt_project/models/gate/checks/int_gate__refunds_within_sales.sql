{{ config(materialized='ephemeral') }}

{#-
    No merchant gives back more than it sells, by count or by amount, over the window of dates that
    ends with those paid. Only merchants with a refund on a paid date are looked at: the same
    refunds stop once. The equation cannot see it: a refund without a sale is money of others
    that leaves by the channel, and both files and the bank agree on it.
-#}
with paid_dates as (
    select distinct
        accounting_date,
        currency_code
    from {{ ref('int_calendar__arrival_groups') }}
    where payment_date = {{ payment_date() }}
),

limits as (
    select
        currency_code,
        window_days,
        least_refund_count,
        least_refund_amount_minor
    from {{ ref('refund_limits') }}
),

clearing_entries as (
    select
        accounting_date,
        merchant_id,
        currency_code,
        transaction_type,
        transaction_amount_minor
    from {{ ref('clearing_entries') }}
    where accounting_date >= {{ previous_payment_date() }} - 10
        and accounting_date < {{ payment_date() }}
        and clearing_session_type = 'transaction'
        and transaction_type in ('purchase', 'preauth_completion', 'refund')
),

windows as (
    select
        paid_dates.currency_code,
        max(paid_dates.accounting_date) as last_date,
        max(paid_dates.accounting_date) - max(coalesce(limits.window_days, 10)) as day_before,
        max(coalesce(limits.least_refund_count, 0)) as least_refund_count,
        max(coalesce(limits.least_refund_amount_minor, 0)) as least_refund_amount_minor
    from paid_dates
    left join limits on paid_dates.currency_code = limits.currency_code
    group by paid_dates.currency_code
),

merchants as (
    select
        clearing_entries.currency_code,
        clearing_entries.merchant_id,
        windows.least_refund_count,
        windows.least_refund_amount_minor,
        count(*) filter (where clearing_entries.transaction_type = 'refund') as refund_count,
        count(*) filter (where clearing_entries.transaction_type <> 'refund') as sale_count,
        coalesce(
            -sum(clearing_entries.transaction_amount_minor)
                filter (where clearing_entries.transaction_type = 'refund'),
            0
        ) as refund_amount_minor,
        coalesce(
            sum(clearing_entries.transaction_amount_minor)
                filter (where clearing_entries.transaction_type <> 'refund'),
            0
        ) as sale_amount_minor,
        bool_or(
            clearing_entries.transaction_type = 'refund'
            and paid_dates.accounting_date is not null
        ) as has_new_refund
    from clearing_entries
    inner join windows
        on clearing_entries.currency_code = windows.currency_code
        and clearing_entries.accounting_date > windows.day_before
        and clearing_entries.accounting_date <= windows.last_date
    left join paid_dates
        on clearing_entries.accounting_date = paid_dates.accounting_date
        and clearing_entries.currency_code = paid_dates.currency_code
    group by
        clearing_entries.currency_code,
        clearing_entries.merchant_id,
        windows.least_refund_count,
        windows.least_refund_amount_minor
),

above as (
    select
        currency_code,
        merchant_id || ': ' || refund_count || ' refunds of ' || refund_amount_minor
        || ', ' || sale_count || ' sales of ' || sale_amount_minor as merchant_text,
        row_number() over (
            partition by currency_code
            order by refund_amount_minor desc, merchant_id asc
        ) as merchant_order
    from merchants
    where has_new_refund
        and (
            (refund_count > sale_count and refund_count >= least_refund_count)
            or (
                refund_amount_minor > sale_amount_minor
                and refund_amount_minor >= least_refund_amount_minor
            )
        )
),

counted as (
    select
        currency_code,
        count(*) as merchant_count,
        string_agg(merchant_text, '; ' order by merchant_order)
            filter (where merchant_order <= 5) as largest
    from above
    group by currency_code
),

compared as (
    select
        windows.currency_code as subject,
        counted.currency_code is null as holds,
        coalesce('more refunds than sales (退货多于消费): ' || counted.largest, '') as detail,
        coalesce(counted.merchant_count, 0) as measured,
        '0' as expected
    from windows
    left join counted on windows.currency_code = counted.currency_code
),

final as (
    {{ check_rows('refunds_within_sales', ['compared'], of_new_dates=true) }}
)

select * from final
