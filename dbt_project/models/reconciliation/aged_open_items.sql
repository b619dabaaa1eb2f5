{{ config(materialized='view', tags=['views']) }}

{#- Open items by age, one row a date, channel, side, currency and age bucket (账龄分析). -#}
with suspense_items as (
    select
        accounting_date,
        channel,
        side,
        currency_code,
        amount_minor,
        age_days,
        variance_kind
    from {{ ref('suspense_items') }}
    where status in ('in_doubt', 'one_sided')
),

bucketed as (
    select
        suspense_items.*,
        case
            when age_days = 0 then 0
            when age_days = 1 then 1
            when age_days <= 3 then 2
            when age_days <= 7 then 4
            when age_days <= 30 then 8
            else 31
        end as age_from_days,
        case
            when age_days = 0 then '0'
            when age_days = 1 then '1'
            when age_days <= 3 then '2-3'
            when age_days <= 7 then '4-7'
            when age_days <= 30 then '8-30'
            else '31+'
        end as age_bucket
    from suspense_items
),

final as (
    select
        accounting_date,
        channel,
        side,
        currency_code,
        age_bucket,
        age_from_days,
        count(*) as item_count,
        cast(sum(amount_minor) as bigint) as amount_minor,
        cast(
            coalesce(sum(abs(amount_minor)) filter (where variance_kind = 'overage'), 0) as bigint
        ) as overage_amount_minor,
        cast(
            coalesce(sum(abs(amount_minor)) filter (where variance_kind = 'shortage'), 0) as bigint
        ) as shortage_amount_minor,
        max(age_days) as oldest_age_days
    from bucketed
    group by accounting_date, channel, side, currency_code, age_bucket, age_from_days
)

select * from final
