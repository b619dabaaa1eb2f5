{{ config(materialized='ephemeral') }}

{#- Debits equal credits. -#}
with arrival_groups as (
    select
        currency_code,
        accounting_date
    from {{ ref('int_calendar__arrival_groups') }}
    where accounting_date >= {{ previous_payment_date() }}
        and accounting_date < {{ payment_date() }}
),

trial_balance as (
    select
        accounting_date,
        currency_code,
        debit_amount_minor,
        credit_amount_minor,
        closing_amount_minor
    from {{ ref('trial_balance') }}
    where accounting_date >= {{ previous_payment_date() }}
        and accounting_date < {{ payment_date() }}
),

expected_currencies as (
    select distinct
        accounting_date,
        currency_code
    from arrival_groups
),

trial_balance_totals as (
    select
        accounting_date,
        currency_code,
        sum(debit_amount_minor) - sum(credit_amount_minor) as movement_amount_minor,
        sum(closing_amount_minor) as closing_amount_minor
    from trial_balance
    group by accounting_date, currency_code
),

trial_balance_checks as (
    select
        to_char(coalesce(expected_currencies.accounting_date, totals.accounting_date), 'YYYY-MM-DD')
        || ' ' || coalesce(expected_currencies.currency_code, totals.currency_code) as subject,
        coalesce(
            totals.movement_amount_minor = 0 and totals.closing_amount_minor = 0, false
        ) as holds,
        case
            when totals.accounting_date is null then 'no trial balance (缺试算平衡表)'
            when totals.movement_amount_minor <> 0 or totals.closing_amount_minor <> 0
                then 'debits minus credits of the date ' || totals.movement_amount_minor
                    || ', of all balances ' || totals.closing_amount_minor || ' (借贷不平)'
            else ''
        end as detail,
        coalesce(cast(totals.closing_amount_minor as text), 'missing') as measured,
        '0' as expected
    from expected_currencies
    full join trial_balance_totals as totals
        on expected_currencies.accounting_date = totals.accounting_date
        and expected_currencies.currency_code = totals.currency_code
),

final as (
    {{ check_rows('trial_balance_zero', ['trial_balance_checks'], of_new_dates=true) }}
)

select * from final
