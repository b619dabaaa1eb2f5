{{ config(
    materialized='dated_partition', schema='settlement', partition_by='payment_date',
    tags=['payment']
) }}

{#-
    Arrival groups whose money did not arrive whole (未足额到账), from the payment date that expected
    them until late lines of the bank have made it up. A group is confirmed only whole: what people
    released was paid, what else depends on the group's money is held.
-#}
with equation as (
    select
        arrival_group_id,
        channel,
        currency_code,
        residual_minor
    from {{ ref('balance_equation') }}
    where payment_date = {{ payment_date() }}
),

short_arrivals as (
    select
        arrival_group_id,
        channel,
        currency_code,
        opened_on,
        opening_amount_minor,
        late_amount_minor
    from {{ ref('int_settlement__short_arrivals') }}
),

open_arrivals as (
    select
        arrival_group_id,
        channel,
        currency_code,
        {{ payment_date() }} as opened_on,
        residual_minor as opening_amount_minor,
        0 as late_amount_minor
    from equation
    where residual_minor <> 0
    union all
    select * from short_arrivals
),

final as (
    select
        {{ payment_date() }} as payment_date,
        arrival_group_id,
        channel,
        currency_code,
        opened_on,
        opening_amount_minor,
        late_amount_minor,
        opening_amount_minor + late_amount_minor as residual_minor
    from open_arrivals
)

select * from final
