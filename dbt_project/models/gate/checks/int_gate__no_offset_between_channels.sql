{{ config(materialized='ephemeral') }}

{#-
    No difference of one channel is that of another with the opposite sign. Each equation closes
    by itself, whatever its terms are; only beside each other they show that a total was moved: a
    sale booked on one channel and recorded by another, a fee that one took and another gave. Of
    residuals two arrival groups are compared, so that nobody releases a date because its sums
    agree.
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
        tolerance_minor
    from {{ ref('channel_offset_limits') }}
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

moved as (
    select
        one.currency_code,
        one.term || ' ' || one.place || ' ' || one.difference_minor || ', ' || other.place || ' '
        || other.difference_minor as moved_text,
        row_number() over (
            partition by one.currency_code
            order by abs(one.difference_minor) desc, one.term asc, one.place asc, other.place asc
        ) as moved_order
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
