{{ config(materialized='view', tags=['views']) }}

{#-
    How much of each date's records paired (对平率), one row a date, channel and currency: records of
    the date on each side, and how many of them have their counterpart, now or from before.
-#}
with results as (
    select
        accounting_date,
        channel,
        currency_code,
        outcome,
        match_rule,
        system_amount_minor,
        channel_amount_minor
    from {{ ref('reconciliation_results') }}
    -- A pair made by people ends two items of earlier dates: no record of this date is in it.
    where match_rule is distinct from 'manual'
),

counted as (
    select
        accounting_date,
        channel,
        currency_code,
        count(*) filter (
            where outcome in (
                'matched', 'channel_resolved', 'system_in_doubt', 'system_one_sided'
            )
        ) as system_record_count,
        count(*) filter (
            where outcome in (
                'matched', 'system_resolved', 'channel_in_doubt', 'channel_one_sided'
            )
        ) as channel_record_count,
        count(*) filter (where outcome = 'matched') as matched_count,
        count(*) filter (where outcome = 'system_resolved') as system_resolved_count,
        count(*) filter (where outcome = 'channel_resolved') as channel_resolved_count,
        count(*) filter (where outcome in ('system_in_doubt', 'system_one_sided'))
            as system_opened_count,
        count(*) filter (where outcome in ('channel_in_doubt', 'channel_one_sided'))
            as channel_opened_count,
        cast(
            coalesce(sum(abs(system_amount_minor)) filter (where outcome = 'matched'), 0) as bigint
        ) as matched_amount_minor
    from results
    group by accounting_date, channel, currency_code
),

final as (
    select
        accounting_date,
        channel,
        currency_code,
        system_record_count,
        channel_record_count,
        matched_count,
        system_resolved_count,
        channel_resolved_count,
        system_opened_count,
        channel_opened_count,
        matched_amount_minor,
        round(
            cast(matched_count + channel_resolved_count as numeric)
            / nullif(system_record_count, 0), 6
        ) as system_match_rate,
        round(
            cast(matched_count + system_resolved_count as numeric)
            / nullif(channel_record_count, 0), 6
        ) as channel_match_rate
    from counted
)

select * from final
