{{ config(
    materialized='table', schema='intermediate', unlogged=true, tags=['payment'],
    post_hook='analyze {{ this }}'
) }}

{#-
    The arrival groups that were short on the payment date before, with what late lines of the bank
    have brought since. Apart from unconfirmed_arrivals, which adds what is short today: holds must
    not wait for the equation, whose ledger reads the statements of earlier dates.
-#}
with arrivals_before as (
    select
        arrival_group_id,
        channel,
        currency_code,
        opened_on,
        residual_minor
    from {{ unconfirmed_arrivals_relation() }}
    where payment_date = {{ previous_payment_date() }} and residual_minor <> 0
),

late_lines as (
    select
        arrival_group_id,
        sum(amount_minor) as late_amount_minor
    from {{ ref('bank_match_lines') }}
    where
        payment_date = {{ payment_date() }}
        and side = 'bank'
        and item_kind = 'channel_arrival'
        and is_new
    group by arrival_group_id
),

final as (
    select
        arrivals_before.arrival_group_id,
        arrivals_before.channel,
        arrivals_before.currency_code,
        arrivals_before.opened_on,
        arrivals_before.residual_minor as opening_amount_minor,
        coalesce(late_lines.late_amount_minor, 0) as late_amount_minor
    from arrivals_before
    left join late_lines on arrivals_before.arrival_group_id = late_lines.arrival_group_id
)

select * from final
