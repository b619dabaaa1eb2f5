{{ config(materialized='ephemeral') }}

{#-
    What the channels kept back is what their price lists ask: of each paid date the absolute
    differences together stay within the channel's limit. The equation cannot see it: it takes
    the cost from the file that says it.
-#}
with paid_dates as (
    select
        accounting_date,
        channel,
        currency_code
    from {{ ref('int_calendar__arrival_groups') }}
    where payment_date = {{ payment_date() }}
),

findings as (
    select
        accounting_date,
        channel,
        currency_code,
        channel_record_id,
        charged_cost_amount_minor,
        listed_cost_amount_minor,
        difference_minor,
        claimable_amount_minor
    from {{ ref('channel_cost_findings') }}
    where accounting_date >= {{ days_back(payment_date()) }}
        and accounting_date < {{ payment_date() }}
),

cost_limits as (
    select
        channel,
        currency_code,
        day_limit_amount_minor
    from {{ ref('channel_cost_limits') }}
),

date_sums as (
    select
        paid_dates.accounting_date,
        paid_dates.channel,
        paid_dates.currency_code,
        coalesce(cost_limits.day_limit_amount_minor, 0) as limit_minor,
        count(findings.channel_record_id) as finding_count,
        coalesce(sum(abs(findings.difference_minor)), 0) as difference_minor,
        coalesce(sum(findings.claimable_amount_minor), 0) as claimable_minor,
        min(
            findings.channel_record_id || ' kept ' || findings.charged_cost_amount_minor
            || ', the list asks '
            || coalesce(cast(findings.listed_cost_amount_minor as text), 'nothing (无价目)')
        ) as first_finding
    from paid_dates
    left join cost_limits
        on paid_dates.channel = cost_limits.channel
        and paid_dates.currency_code = cost_limits.currency_code
    left join findings
        on paid_dates.accounting_date = findings.accounting_date
        and paid_dates.channel = findings.channel
        and paid_dates.currency_code = findings.currency_code
    group by
        paid_dates.accounting_date,
        paid_dates.channel,
        paid_dates.currency_code,
        cost_limits.day_limit_amount_minor
),

compared as (
    select
        channel || ' ' || currency_code as subject,
        bool_and(difference_minor <= limit_minor) as holds,
        coalesce(
            string_agg(
                to_char(accounting_date, 'YYYY-MM-DD') || ': ' || finding_count
                || ' records are away from the price list (与渠道价目不符), claimable '
                || claimable_minor || ' (可索赔), such as ' || first_finding,
                '; ' order by accounting_date
            ) filter (where difference_minor > limit_minor),
            ''
        ) as detail,
        max(difference_minor) as measured,
        'at most ' || min(limit_minor) || ' a date' as expected
    from date_sums
    group by channel, currency_code
),

final as (
    {{ check_rows('channel_cost_as_listed', ['compared'], of_new_dates=true) }}
)

select * from final
