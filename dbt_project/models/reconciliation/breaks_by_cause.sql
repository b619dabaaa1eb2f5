{{ config(materialized='view', tags=['views']) }}

{#-
    What opened on each date and why, one row a date, channel, side, currency, cause and suggested
    action (差异原因). The cause of a single record is whether it may still come.
-#}
with suspense_items as (
    select
        accounting_date,
        channel,
        side,
        currency_code,
        amount_minor,
        status,
        break_reason,
        variance_kind,
        suggested_action,
        suggestion_rule
    from {{ ref('suspense_items') }}
    where opened_on = accounting_date
),

final as (
    select
        accounting_date,
        channel,
        side,
        currency_code,
        coalesce(break_reason, case status when 'in_doubt' then 'may_still_come' else 'missing' end)
            as cause,
        suggested_action,
        suggestion_rule,
        count(*) as item_count,
        cast(sum(amount_minor) as bigint) as amount_minor,
        cast(
            coalesce(sum(abs(amount_minor)) filter (where variance_kind = 'overage'), 0) as bigint
        ) as overage_amount_minor,
        cast(
            coalesce(sum(abs(amount_minor)) filter (where variance_kind = 'shortage'), 0) as bigint
        ) as shortage_amount_minor
    from suspense_items
    group by
        accounting_date, channel, side, currency_code, break_reason, status, suggested_action,
        suggestion_rule
)

select * from final
