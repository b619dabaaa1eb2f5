{{ config(materialized='ephemeral') }}

{#- What is paid before its arrival stays below the channel's limits, by gross amounts. -#}
with holds as (
    select
        payment_date,
        currency_code,
        channel,
        merchant_id,
        accounting_date,
        closing_gross_amount_minor,
        paid_early_amount_minor
    from {{ ref('holds') }}
    where payment_date in ({{ payment_date() }}, {{ previous_payment_date() }})
),

channels as (
    select
        channels.channel,
        channel_currencies.currency_code,
        channels.suspense_limit_amount_minor,
        channels.suspense_limit_age_days
    from {{ ref('channels') }} as channels
    inner join {{ ref('channel_currencies') }} as channel_currencies
        on channels.channel = channel_currencies.channel
),

early_payments as (
    select
        channel,
        currency_code,
        limit_amount_minor,
        limit_count,
        merchant_limit_amount_minor,
        item_limit_amount_minor
    from {{ ref('early_payments') }}
),

-- What is paid before it arrives is our own risk: by gross amounts, never by a net.
early_totals as (
    select
        channel,
        currency_code,
        count(*) as early_count,
        sum(paid_early_amount_minor) as early_amount_minor,
        max(closing_gross_amount_minor) as largest_item_minor,
        max({{ payment_date() }} - accounting_date) as oldest_age_days
    from holds
    where payment_date = {{ payment_date() }} and paid_early_amount_minor > 0
    group by channel, currency_code
),

early_merchants as (
    select
        channel,
        currency_code,
        max(early_amount_minor) as largest_merchant_minor
    from (
        select
            channel,
            currency_code,
            merchant_id,
            sum(paid_early_amount_minor) as early_amount_minor
        from holds
        where payment_date = {{ payment_date() }} and paid_early_amount_minor > 0
        group by channel, currency_code, merchant_id
    ) as of_merchants
    group by channel, currency_code
),

early_checks as (
    select
        channels.channel || ' ' || channels.currency_code as subject,
        early_totals.channel is null
        or coalesce(
            early_totals.early_count <= early_payments.limit_count
            and early_totals.early_amount_minor <= early_payments.limit_amount_minor
            and early_totals.early_amount_minor <= channels.suspense_limit_amount_minor
            and early_totals.largest_item_minor <= early_payments.item_limit_amount_minor
            and early_merchants.largest_merchant_minor
            <= early_payments.merchant_limit_amount_minor
            and early_totals.oldest_age_days <= channels.suspense_limit_age_days,
            false
        ) as holds,
        'paid before arrival (到账前付款) ' || coalesce(early_totals.early_count, 0)
        || ' items, the largest ' || coalesce(early_totals.largest_item_minor, 0)
        || ', of one merchant ' || coalesce(early_merchants.largest_merchant_minor, 0)
        || ', the oldest ' || coalesce(early_totals.oldest_age_days, 0) || ' days' as detail,
        coalesce(early_totals.early_amount_minor, 0) as measured,
        'at most ' || coalesce(early_payments.limit_amount_minor, 0) as expected
    from channels
    left join early_payments
        on channels.channel = early_payments.channel
        and channels.currency_code = early_payments.currency_code
    left join early_totals
        on channels.channel = early_totals.channel
        and channels.currency_code = early_totals.currency_code
    left join early_merchants
        on channels.channel = early_merchants.channel
        and channels.currency_code = early_merchants.currency_code
),

final as (
    {{ check_rows('paid_early_within_limit', ['early_checks']) }}
)

select * from final
