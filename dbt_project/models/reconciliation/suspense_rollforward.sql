{{ config(materialized='dated_partition', partition_by='accounting_date', tags=['close']) }}

{#-
    Opening + opened − resolved − adjusted − written off = closing, by count and amount. The
    opening is the closing of T−1, the movements come from the results and the adjustments of T,
    the closing from the items open at the end of T: three sources, and a CHECK that they agree
    (docs/domain.md#roll-forward).
-#}
with channel_currencies as (
    select
        channel,
        currency_code
    from {{ ref('channel_currencies') }}
),

sides as (
    select 'system' as side
    union all
    select 'channel' as side
),

rollforward_before as (
    select
        channel,
        side,
        currency_code,
        closing_count,
        closing_amount_minor
    from {{ this }}
    where accounting_date = {{ accounting_date() }} - 1
),

results as (
    select
        channel,
        currency_code,
        split_part(outcome, '_', 1) as side,
        outcome in ('system_resolved', 'channel_resolved') as is_resolved,
        case
            when split_part(outcome, '_', 1) = 'system' then system_amount_minor
            else channel_amount_minor
        end as amount_minor
    from {{ ref('reconciliation_results') }}
    where accounting_date = {{ accounting_date() }} and outcome is distinct from 'matched'
),

adjusted_items as (
    select
        channel,
        side,
        currency_code,
        amount_minor
    from {{ ref('int_reconciliation__adjusted_items') }}
),

item_actions as (
    select
        channel,
        side,
        currency_code,
        amount_minor,
        action_kind = 'write_off' as is_written_off
    from {{ ref('int_reconciliation__item_actions') }}
    where refused_because is null
),

items_open as (
    select
        channel,
        side,
        currency_code,
        amount_minor
    from {{ ref('suspense_items') }}
    where accounting_date = {{ accounting_date() }} and status in ('in_doubt', 'one_sided')
),

movements as (
    select
        channel,
        side,
        currency_code,
        count(*) filter (where not is_resolved) as opened_count,
        coalesce(sum(amount_minor) filter (where not is_resolved), 0) as opened_amount_minor,
        count(*) filter (where is_resolved) as resolved_count,
        coalesce(sum(amount_minor) filter (where is_resolved), 0) as resolved_amount_minor
    from results
    group by channel, side, currency_code
),

adjusted as (
    select
        channel,
        side,
        currency_code,
        count(*) as adjusted_count,
        sum(amount_minor) as adjusted_amount_minor
    from (
        select channel, side, currency_code, amount_minor from adjusted_items
        union all
        select channel, side, currency_code, amount_minor
        from item_actions
        where not is_written_off
    ) as adjusted_by_channel_or_people
    group by channel, side, currency_code
),

written_off as (
    select
        channel,
        side,
        currency_code,
        count(*) as written_off_count,
        sum(amount_minor) as written_off_amount_minor
    from item_actions
    where is_written_off
    group by channel, side, currency_code
),

closing as (
    select
        channel,
        side,
        currency_code,
        count(*) as closing_count,
        sum(amount_minor) as closing_amount_minor
    from items_open
    group by channel, side, currency_code
),

-- Every channel and side has a row every date, and so has every currency an item is open in.
grain as (
    select
        channel_currencies.channel,
        sides.side,
        channel_currencies.currency_code
    from channel_currencies
    cross join sides
    union
    select channel, side, currency_code from rollforward_before
    union
    select channel, side, currency_code from movements
    union
    select channel, side, currency_code from closing
),

final as (
    select
        {{ accounting_date() }} as accounting_date,
        grain.channel,
        grain.side,
        grain.currency_code,
        coalesce(rollforward_before.closing_count, 0) as opening_count,
        coalesce(rollforward_before.closing_amount_minor, 0) as opening_amount_minor,
        coalesce(movements.opened_count, 0) as opened_count,
        coalesce(movements.opened_amount_minor, 0) as opened_amount_minor,
        coalesce(movements.resolved_count, 0) as resolved_count,
        coalesce(movements.resolved_amount_minor, 0) as resolved_amount_minor,
        coalesce(adjusted.adjusted_count, 0) as adjusted_count,
        coalesce(adjusted.adjusted_amount_minor, 0) as adjusted_amount_minor,
        coalesce(written_off.written_off_count, 0) as written_off_count,
        coalesce(written_off.written_off_amount_minor, 0) as written_off_amount_minor,
        coalesce(closing.closing_count, 0) as closing_count,
        coalesce(closing.closing_amount_minor, 0) as closing_amount_minor
    from grain
    left join rollforward_before
        on grain.channel = rollforward_before.channel
        and grain.side = rollforward_before.side
        and grain.currency_code = rollforward_before.currency_code
    left join movements
        on grain.channel = movements.channel
        and grain.side = movements.side
        and grain.currency_code = movements.currency_code
    left join adjusted
        on grain.channel = adjusted.channel
        and grain.side = adjusted.side
        and grain.currency_code = adjusted.currency_code
    left join written_off
        on grain.channel = written_off.channel
        and grain.side = written_off.side
        and grain.currency_code = written_off.currency_code
    left join closing
        on grain.channel = closing.channel
        and grain.side = closing.side
        and grain.currency_code = closing.currency_code
)

select * from final
