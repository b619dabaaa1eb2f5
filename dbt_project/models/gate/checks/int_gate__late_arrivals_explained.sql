{{ config(materialized='ephemeral') }}

{#- Late money closes, or makes smaller, the variance its group was released with. -#}
with equation as (
    select
        arrival_group_id,
        is_expected
    from {{ ref('balance_equation') }}
    where payment_date = {{ payment_date() }}
),

match_lines as (
    select
        match_id,
        side,
        arrival_group_id,
        group_arrival_date,
        amount_minor,
        is_new
    from {{ ref('bank_match_lines') }}
    where payment_date = {{ payment_date() }} and item_kind = 'channel_arrival'
),

late_lines as (
    select
        match_id,
        arrival_group_id,
        sum(amount_minor) as late_amount_minor
    from match_lines
    where
        side = 'bank'
        and is_new
        and group_arrival_date <= {{ previous_payment_date() }}
    group by match_id, arrival_group_id
),

variances as (
    select
        match_id,
        sum(case side when 'bank' then amount_minor else -amount_minor end) as variance_minor
    from match_lines
    group by match_id
),

late_variances as (
    select
        late_lines.arrival_group_id,
        late_lines.late_amount_minor,
        variances.variance_minor - late_lines.late_amount_minor as variance_before_minor,
        variances.variance_minor
    from late_lines
    inner join variances on late_lines.match_id = variances.match_id
    left join equation
        on late_lines.arrival_group_id = equation.arrival_group_id
        and not equation.is_expected
    -- A group nobody expects fails with its own row of the equation.
    where equation.arrival_group_id is null
),

-- Money of an earlier group that came late makes the variance smaller that the group was released
-- with: to nothing, or towards it. Anything else is money nobody expects.
late_checks as (
    select
        arrival_group_id as subject,
        abs(variance_minor) < abs(variance_before_minor)
        and (variance_minor = 0 or sign(variance_minor) = sign(variance_before_minor)) as holds,
        'arrival variance before (当时差额) ' || variance_before_minor || ', late (迟到) '
        || late_amount_minor as detail,
        cast(variance_minor as text) as measured,
        'between ' || variance_before_minor || ' and 0' as expected
    from late_variances
    union all
    select
        'all' as subject,
        true as holds,
        '' as detail,
        cast(count(*) as text) as measured,
        'any' as expected
    from late_lines
),

final as (
    {{ check_rows('late_arrivals_explained', ['late_checks']) }}
)

select * from final
