{{ config(materialized='ephemeral') }}

{#- Holds and backed balances open where they closed, and statements show what is held. -#}
with arrival_groups as (
    select currency_code
    from {{ ref('int_calendar__arrival_groups') }}
    where arrival_date > {{ previous_payment_date() }}
        and arrival_date <= {{ payment_date() }}
),

backed_rollforward as (
    select
        account_id,
        settlement_session_type,
        currency_code,
        opening_amount_minor,
        closing_amount_minor
    from {{ ref('backed_rollforward') }}
    where payment_date = {{ payment_date() }}
),

backed_before as (
    select
        account_id,
        settlement_session_type,
        currency_code,
        closing_amount_minor
    from {{ ref('backed_rollforward') }}
    where payment_date = {{ previous_payment_date() }}
),

statements_now as (
    select
        account_id,
        settlement_session_type,
        currency_code,
        held_amount_minor
    from {{ ref('settlement_statements') }}
    where payment_date = {{ payment_date() }}
),

holds as (
    select
        payment_date,
        account_id,
        settlement_session_type,
        currency_code,
        opening_amount_minor,
        closing_amount_minor
    from {{ ref('holds') }}
    where payment_date in ({{ payment_date() }}, {{ previous_payment_date() }})
),

currencies as (
    select distinct currency_code
    from arrival_groups
),

-- Per account and session: a hold opens with what it closed with, and the statement shows it.
hold_sides as (
    select
        account_id,
        settlement_session_type,
        currency_code,
        opening_amount_minor as opening_now_minor,
        0 as closing_before_minor,
        closing_amount_minor as closing_now_minor,
        0 as stated_now_minor
    from holds
    where payment_date = {{ payment_date() }}
    union all
    select
        account_id,
        settlement_session_type,
        currency_code,
        0 as opening_now_minor,
        closing_amount_minor as closing_before_minor,
        0 as closing_now_minor,
        0 as stated_now_minor
    from holds
    where payment_date = {{ previous_payment_date() }}
    union all
    select
        account_id,
        settlement_session_type,
        currency_code,
        0 as opening_now_minor,
        0 as closing_before_minor,
        0 as closing_now_minor,
        held_amount_minor as stated_now_minor
    from statements_now
    union all
    -- What backs a balance opens where it closed, but for the balances of go-live.
    select
        backed_before.account_id,
        backed_before.settlement_session_type,
        backed_before.currency_code,
        coalesce(backed_rollforward.opening_amount_minor, 0) as opening_now_minor,
        backed_before.closing_amount_minor as closing_before_minor,
        0 as closing_now_minor,
        0 as stated_now_minor
    from backed_before
    left join backed_rollforward
        on backed_before.account_id = backed_rollforward.account_id
        and backed_before.settlement_session_type = backed_rollforward.settlement_session_type
        and backed_before.currency_code = backed_rollforward.currency_code
),

wrong_holds as (
    select
        currency_code,
        account_id
    from hold_sides
    group by currency_code, account_id, settlement_session_type
    having sum(opening_now_minor) <> sum(closing_before_minor)
        or sum(closing_now_minor) <> sum(stated_now_minor)
),

hold_checks as (
    select
        currencies.currency_code as subject,
        count(wrong_holds.account_id) = 0 as holds,
        coalesce('first account: ' || min(wrong_holds.account_id) || ' (待到账滚动不平)', '')
            as detail,
        count(wrong_holds.account_id) as measured,
        '0' as expected
    from currencies
    left join wrong_holds on currencies.currency_code = wrong_holds.currency_code
    group by currencies.currency_code
),

final as (
    {{ check_rows('holds_rollforward_exact', ['hold_checks']) }}
)

select * from final
