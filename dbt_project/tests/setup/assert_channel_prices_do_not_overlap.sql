-- A record has one price: of a part of the cost and the same facts no two rows of a channel's price
-- list (渠道价目) are in force on one date, and none ends before it begins. Two would let the list be
-- read either way.
{{ config(tags=['setup']) }}

with channel_prices as (
    select
        price_id,
        channel,
        currency_code,
        cost_part,
        channel_merchant_id,
        transaction_type,
        card_kind,
        card_region,
        effective_from,
        coalesce(effective_until, date '9999-12-31') as effective_until,
        lead(effective_from) over (
            partition by
                channel,
                currency_code,
                cost_part,
                channel_merchant_id,
                transaction_type,
                card_kind,
                card_region
            order by effective_from asc, price_id asc
        ) as next_from
    from {{ ref('channel_prices') }}
),

final as (
    select price_id
    from channel_prices
    where effective_until <= effective_from or effective_until > next_from
)

select * from final
