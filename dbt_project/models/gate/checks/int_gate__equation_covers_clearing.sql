{{ config(materialized='ephemeral') }}

{#- No paid entry is outside every group. -#}
with arrival_groups as (
    select currency_code
    from {{ ref('int_calendar__arrival_groups') }}
    where arrival_date > {{ previous_payment_date() }}
        and arrival_date <= {{ payment_date() }}
),

equation as (
    select
        currency_code,
        clearing_amount_minor
    from {{ ref('balance_equation') }}
    where payment_date = {{ payment_date() }}
),

clearing_entries as (
    select
        currency_code,
        clearing_amount_minor,
        payment_date
    from {{ ref('clearing_entries') }}
    where accounting_date >= {{ days_back(payment_date()) }}
        and accounting_date < {{ payment_date() }}
        and clearing_session_type = 'transaction'
),

currencies as (
    select distinct currency_code
    from arrival_groups
),

covered as (
    select
        currency_code,
        sum(clearing_amount_minor) as clearing_amount_minor
    from equation
    group by currency_code
),

to_cover as (
    select
        currency_code,
        sum(clearing_amount_minor) as clearing_amount_minor
    from clearing_entries
    where payment_date = {{ payment_date() }}
    group by currency_code
),

-- Every transaction that is paid stands in some group of the equation: none escapes the gate.
coverage_checks as (
    select
        currencies.currency_code as subject,
        coalesce(covered.clearing_amount_minor, 0) = coalesce(to_cover.clearing_amount_minor, 0)
            as holds,
        case
            when coalesce(covered.clearing_amount_minor, 0)
                = coalesce(to_cover.clearing_amount_minor, 0) then ''
            else 'clearing entries outside every arrival group (清算明细不属于任何到账组)'
        end as detail,
        coalesce(covered.clearing_amount_minor, 0) as measured,
        coalesce(to_cover.clearing_amount_minor, 0) as expected
    from currencies
    left join covered on currencies.currency_code = covered.currency_code
    left join to_cover on currencies.currency_code = to_cover.currency_code
),

final as (
    {{ check_rows('equation_covers_clearing', ['coverage_checks']) }}
)

select * from final
