{{ config(materialized='ephemeral') }}

{#-
    No difference of one channel is that of another with the opposite sign. Each equation closes
    by itself, whatever its terms are; only beside each other they show that a total was moved: a
    sale booked on one channel and recorded by another, a fee that one took and another gave. Of
    residuals two arrival groups are compared, so that nobody releases a date because its sums
    agree; of open items each with each, of about the same time, for in a sum they drown.
-#}
with equations as (
    select
        channel,
        currency_code,
        arrival_group_id,
        residual_minor,
        system_suspense_opened_amount_minor - system_suspense_resolved_amount_minor
        - channel_suspense_opened_amount_minor + channel_suspense_resolved_amount_minor
            as suspense_minor,
        adjustments_taken_amount_minor,
        fee_collections_amount_minor
    from {{ ref('balance_equation') }}
    where payment_date = {{ payment_date() }}
),

limits as (
    select
        currency_code,
        least_amount_minor,
        tolerance_minor,
        item_minutes
    from {{ ref('channel_offset_limits') }}
),

paid_dates as (
    select
        accounting_date,
        channel,
        currency_code
    from {{ ref('int_calendar__arrival_groups') }}
    where payment_date = {{ payment_date() }}
),

suspense_items as (
    select
        accounting_date,
        suspense_item_id,
        channel,
        currency_code,
        side,
        amount_minor,
        transaction_at
    from {{ ref('suspense_items') }}
    where accounting_date >= {{ days_back(payment_date()) }}
        and accounting_date < {{ payment_date() }}
        and opened_on = accounting_date
),

opened_items as (
    select suspense_items.*
    from suspense_items
    inner join paid_dates
        on suspense_items.accounting_date = paid_dates.accounting_date
        and suspense_items.channel = paid_dates.channel
        and suspense_items.currency_code = paid_dates.currency_code
),

differences as (
    select
        currency_code,
        'suspense (挂账)' as term,
        channel as place,
        sum(suspense_minor) as difference_minor
    from equations
    group by currency_code, channel
    union all
    select
        currency_code,
        'adjustments_taken (差错交易)' as term,
        channel as place,
        sum(adjustments_taken_amount_minor) as difference_minor
    from equations
    group by currency_code, channel
    union all
    select
        currency_code,
        'fee_collections (收付费)' as term,
        channel as place,
        sum(fee_collections_amount_minor) as difference_minor
    from equations
    group by currency_code, channel
    union all
    select
        currency_code,
        'residual (差额)' as term,
        arrival_group_id as place,
        residual_minor as difference_minor
    from equations
),

moved_terms as (
    select
        one.currency_code,
        abs(one.difference_minor) as moved_minor,
        one.term || ' ' || one.place || ' ' || one.difference_minor || ', ' || other.place || ' '
        || other.difference_minor as moved_text
    from differences as one
    inner join differences as other
        on one.currency_code = other.currency_code
        and one.term = other.term
        and one.place < other.place
    left join limits on one.currency_code = limits.currency_code
    where
        one.difference_minor <> 0
        and (one.difference_minor > 0) <> (other.difference_minor > 0)
        and other.difference_minor <> 0
        and abs(one.difference_minor) >= coalesce(limits.least_amount_minor, 0)
        and abs(one.difference_minor + other.difference_minor)
        <= coalesce(limits.tolerance_minor, 0)
),

moved_items as (
    select
        one.currency_code,
        abs(one.amount_minor) as moved_minor,
        'item (单边) ' || one.channel || ' ' || one.suspense_item_id || ' only the platform has, '
        || other.channel || ' ' || other.suspense_item_id || ' only the channel, '
        || one.amount_minor as moved_text
    from opened_items as one
    inner join opened_items as other
        on one.currency_code = other.currency_code
        and one.amount_minor = other.amount_minor
        and one.channel <> other.channel
    left join limits on one.currency_code = limits.currency_code
    where
        one.side = 'system'
        and other.side = 'channel'
        and abs(one.amount_minor) >= coalesce(limits.least_amount_minor, 0)
        and abs(extract(epoch from one.transaction_at - other.transaction_at))
        <= coalesce(limits.item_minutes, 1440) * 60
),

moved as (
    select
        currency_code,
        moved_text,
        row_number() over (
            partition by currency_code
            order by moved_minor desc, moved_text asc
        ) as moved_order
    from (
        select * from moved_terms
        union all
        select * from moved_items
    ) as found
),

counted as (
    select
        currency_code,
        count(*) as moved_count,
        string_agg(moved_text, '; ' order by moved_order) filter (where moved_order <= 5)
            as largest
    from moved
    group by currency_code
),

currencies as (
    select distinct currency_code
    from equations
),

compared as (
    select
        currencies.currency_code as subject,
        counted.currency_code is null as holds,
        coalesce('moved between channels (渠道间对冲): ' || counted.largest, '') as detail,
        coalesce(counted.moved_count, 0) as measured,
        '0' as expected
    from currencies
    left join counted on currencies.currency_code = counted.currency_code
),

final as (
    {{ check_rows('no_offset_between_channels', ['compared'], of_new_dates=true) }}
)

select * from final
