{{ config(materialized='ephemeral') }}

{#-
    The reserve is what clients are owed and a named own part, to the minor unit, and the own part
    is not below 0: else a merchant would be paid with the money of another. What else is ours is
    on own funds, as their statements say. Whether it covers
    these payouts is reserve_covers_payouts.
-#}
with currencies as (
    select distinct currency_code
    from {{ ref('channel_currencies') }}
),

proofs as (
    select
        currency_code,
        as_of_date,
        client_reserve_amount_minor,
        own_part_amount_minor,
        booked_own_part_amount_minor,
        difference_minor,
        own_funds_difference_minor,
        topped_up_amount_minor,
        own_part_amount_minor + topped_up_amount_minor as covered_minor
    from {{ ref('reserve_proof') }}
    where payment_date = {{ payment_date() }}
),

compared as (
    select
        currencies.currency_code as subject,
        coalesce(
            proofs.difference_minor = 0
            and proofs.covered_minor >= 0
            and proofs.own_funds_difference_minor = 0,
            false
        ) as holds,
        case
            when proofs.currency_code is null then 'no close before the payment (无已关账日期)'
            when proofs.client_reserve_amount_minor is null
                then 'no statement of the reserve (无备付金对账单)'
            else concat_ws(
                '; ',
                case
                    when proofs.difference_minor <> 0
                        then 'the reserve differs from the books by ' || proofs.difference_minor
                            || ' (备付金与账面不符)'
                end,
                case
                    when proofs.covered_minor < 0
                        then 'the reserve lacks ' || -proofs.covered_minor
                            || ', to be topped up from own funds (需以自有资金补足)'
                end,
                case
                    when proofs.own_funds_difference_minor <> 0
                        then 'own funds differ from the books by '
                            || proofs.own_funds_difference_minor || ' (自有资金与账面不符)'
                end
            )
        end as detail,
        coalesce(
            proofs.own_part_amount_minor
            || case
                when proofs.topped_up_amount_minor <> 0
                    then ' and ' || proofs.topped_up_amount_minor || ' topped up'
                else ''
            end,
            'no own part'
        ) as measured,
        coalesce(
            proofs.booked_own_part_amount_minor || ' on ' || proofs.as_of_date || ', not below 0',
            'an own part'
        ) as expected
    from currencies
    left join proofs on currencies.currency_code = proofs.currency_code
),

final as (
    {{ check_rows('reserve_proven', ['compared']) }}
)

select * from final
