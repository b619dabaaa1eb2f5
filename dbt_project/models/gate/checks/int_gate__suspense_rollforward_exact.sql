{{ config(materialized='ephemeral') }}

{#- The roll-forward holds, and opens where it closed. -#}
with arrival_groups as (
    select
        channel,
        currency_code,
        accounting_date
    from {{ ref('int_calendar__arrival_groups') }}
    where accounting_date >= {{ previous_payment_date() }}
        and accounting_date < {{ payment_date() }}
),

suspense_rollforward as (
    select
        accounting_date,
        channel,
        side,
        currency_code,
        opening_count,
        opening_amount_minor,
        opened_count,
        opened_amount_minor,
        resolved_count,
        resolved_amount_minor,
        adjusted_count,
        adjusted_amount_minor,
        written_off_count,
        written_off_amount_minor,
        closing_count,
        closing_amount_minor
    from {{ ref('suspense_rollforward') }}
    -- One date more, whose closing the first date must have opened with.
    where accounting_date >= {{ previous_payment_date() }} - 1
        and accounting_date < {{ payment_date() }}
),

suspense_items as (
    select
        accounting_date,
        channel,
        side,
        currency_code,
        amount_minor
    from {{ ref('suspense_items') }}
    where accounting_date >= {{ previous_payment_date() }}
        and accounting_date < {{ payment_date() }}
        and status in ('in_doubt', 'one_sided')
),

items_open as (
    select
        accounting_date,
        channel,
        side,
        currency_code,
        count(*) as open_count,
        sum(amount_minor) as open_amount_minor
    from suspense_items
    group by accounting_date, channel, side, currency_code
),

sides as (
    select 'system' as side
    union all
    select 'channel' as side
),

expected_rollforwards as (
    select
        arrival_groups.accounting_date,
        arrival_groups.channel,
        sides.side,
        arrival_groups.currency_code
    from arrival_groups
    cross join sides
    union
    select
        accounting_date,
        channel,
        side,
        currency_code
    from suspense_rollforward
    where accounting_date >= {{ previous_payment_date() }}
),

-- The roll-forward of each date against itself, the date before, and the items that are open.
rollforward_differences as (
    select
        expected_rollforwards.accounting_date,
        expected_rollforwards.channel,
        expected_rollforwards.side,
        expected_rollforwards.currency_code,
        today.accounting_date is null as is_missing,
        coalesce(
            today.opening_amount_minor + today.opened_amount_minor - today.resolved_amount_minor
            - today.adjusted_amount_minor - today.written_off_amount_minor
            - today.closing_amount_minor, 0
        ) as own_amount_minor,
        coalesce(today.opening_amount_minor, 0) - coalesce(yesterday.closing_amount_minor, 0)
            as opening_amount_minor,
        coalesce(today.closing_amount_minor, 0) - coalesce(items_open.open_amount_minor, 0)
            as items_amount_minor,
        abs(
            coalesce(
                today.opening_count + today.opened_count - today.resolved_count
                - today.adjusted_count - today.written_off_count - today.closing_count, 0
            )
        )
        + abs(coalesce(today.opening_count, 0) - coalesce(yesterday.closing_count, 0))
        + abs(coalesce(today.closing_count, 0) - coalesce(items_open.open_count, 0))
            as count_differences
    from expected_rollforwards
    left join suspense_rollforward as today
        on expected_rollforwards.accounting_date = today.accounting_date
        and expected_rollforwards.channel = today.channel
        and expected_rollforwards.side = today.side
        and expected_rollforwards.currency_code = today.currency_code
    left join suspense_rollforward as yesterday
        on expected_rollforwards.accounting_date = yesterday.accounting_date + 1
        and expected_rollforwards.channel = yesterday.channel
        and expected_rollforwards.side = yesterday.side
        and expected_rollforwards.currency_code = yesterday.currency_code
    left join items_open
        on expected_rollforwards.accounting_date = items_open.accounting_date
        and expected_rollforwards.channel = items_open.channel
        and expected_rollforwards.side = items_open.side
        and expected_rollforwards.currency_code = items_open.currency_code
),

rollforward_faults as (
    select
        rollforward_differences.*,
        is_missing
        or own_amount_minor <> 0
        or opening_amount_minor <> 0
        or items_amount_minor <> 0
        or count_differences <> 0 as is_wrong
    from rollforward_differences
),

rollforward_checks as (
    select
        channel || ' ' || side || ' ' || currency_code as subject,
        count(*) filter (where is_wrong) = 0 as holds,
        coalesce(
            string_agg(
                case
                    when is_missing then to_char(accounting_date, 'YYYY-MM-DD') || ' missing (缺失)'
                    else to_char(accounting_date, 'YYYY-MM-DD') || ' sum ' || own_amount_minor
                        || ', opening ' || opening_amount_minor || ', items ' || items_amount_minor
                        || ', counts ' || count_differences || ' (滚动不平)'
                end,
                '; ' order by accounting_date
            ) filter (where is_wrong),
            ''
        ) as detail,
        count(*) filter (where is_wrong) as measured,
        '0' as expected
    from rollforward_faults
    group by channel, side, currency_code
),

final as (
    {{ check_rows('suspense_rollforward_exact', ['rollforward_checks'], of_new_dates=true) }}
)

select * from final
