{{ config(materialized='ephemeral') }}

{#-
    Charged + absorbed + applied + suspended = taken; what was charged, by the record or by
    people, is cleared.
-#}
with arrival_groups as (
    select
        channel,
        currency_code
    from {{ ref('int_calendar__arrival_groups') }}
    where accounting_date >= {{ previous_payment_date() }}
        and accounting_date < {{ payment_date() }}
),

-- What people decided to charge to merchants (-) or to credit them (+), with both names.
items_charged as (
    select
        channel,
        currency_code,
        case side when 'system' then -amount_minor else amount_minor end as amount_minor
    from {{ ref('suspense_items') }}
    where accounting_date >= {{ previous_payment_date() }}
        and accounting_date < {{ payment_date() }}
        and resolution_method = 'manual_adjustment'
        and approvers is not null
),

-- Written-off items that people charged: what the holds say was held, before its fee.
write_offs_charged as (
    select
        channel,
        currency_code,
        -charged_amount_minor as amount_minor
    from {{ ref('charged_write_offs') }}
    where accounting_date >= {{ previous_payment_date() }}
        and accounting_date < {{ payment_date() }}
),

-- Suspended adjustments that people charged, on the date of the decision.
suspended_charged as (
    select
        channel,
        currency_code,
        -funds_effect_minor as charged_amount_minor
    from {{ ref('suspended_adjustments') }}
    where accounting_date >= {{ previous_payment_date() }}
        and accounting_date < {{ payment_date() }}
        and status = 'charged'
        and approvers is not null
),

channel_terms as (
    select
        channel,
        currency_code,
        adjustments_taken_amount_minor
    from {{ ref('channel_terms') }}
    where accounting_date >= {{ previous_payment_date() }}
        and accounting_date < {{ payment_date() }}
),

channel_adjustments as (
    select
        channel,
        currency_code,
        charged_amount_minor,
        absorbed_amount_minor,
        applied_amount_minor,
        suspended_amount_minor
    from {{ ref('channel_adjustments') }}
    where accounting_date >= {{ previous_payment_date() }}
        and accounting_date < {{ payment_date() }}
),

clearing_entries as (
    select
        clearing_session_type,
        channel,
        currency_code,
        transaction_type,
        transaction_amount_minor
    from {{ ref('clearing_entries') }}
    where accounting_date >= {{ previous_payment_date() }}
        and accounting_date < {{ payment_date() }}
),

adjustments_received as (
    select
        channel,
        currency_code,
        sum(adjustments_taken_amount_minor) as taken_amount_minor
    from channel_terms
    group by channel, currency_code
),

adjustments_disposed as (
    select
        channel,
        currency_code,
        sum(charged_amount_minor) as charged_amount_minor,
        sum(absorbed_amount_minor) as absorbed_amount_minor,
        sum(applied_amount_minor) as applied_amount_minor,
        sum(suspended_amount_minor) as suspended_amount_minor
    from channel_adjustments
    group by channel, currency_code
),

adjustments_cleared as (
    select
        channel,
        currency_code,
        -- Before the fee that goes back with it, which the channel's record does not know.
        sum(transaction_amount_minor) as cleared_amount_minor
    from clearing_entries
    where clearing_session_type = 'adjustment'
        and transaction_type is distinct from 'manual_adjustment'
    group by channel, currency_code
),

manual_cleared as (
    select
        channel,
        currency_code,
        -- Before the fee that goes back with it, which no decision states.
        sum(transaction_amount_minor) as cleared_amount_minor
    from clearing_entries
    where clearing_session_type = 'adjustment' and transaction_type = 'manual_adjustment'
    group by channel, currency_code
),

manual_decided as (
    select
        channel,
        currency_code,
        sum(amount_minor) as decided_amount_minor
    from (
        select * from items_charged
        union all
        select * from write_offs_charged
    ) as charged_by_people
    group by channel, currency_code
),

adjustments_decided as (
    select
        channel,
        currency_code,
        sum(charged_amount_minor) as decided_amount_minor
    from suspended_charged
    group by channel, currency_code
),

adjustment_grain as (
    select distinct
        channel,
        currency_code
    from arrival_groups
    union
    select channel, currency_code from adjustments_received
    union
    select channel, currency_code from adjustments_disposed
    union
    select channel, currency_code from adjustments_cleared
    union
    select channel, currency_code from manual_cleared
    union
    select channel, currency_code from manual_decided
    union
    select channel, currency_code from adjustments_decided
),

adjustment_amounts as (
    select
        adjustment_grain.channel,
        adjustment_grain.currency_code,
        adjustments_received.taken_amount_minor,
        coalesce(adjustments_disposed.charged_amount_minor, 0) as charged_amount_minor,
        coalesce(adjustments_disposed.absorbed_amount_minor, 0) as absorbed_amount_minor,
        coalesce(adjustments_disposed.applied_amount_minor, 0) as applied_amount_minor,
        coalesce(adjustments_disposed.suspended_amount_minor, 0) as suspended_amount_minor,
        coalesce(adjustments_decided.decided_amount_minor, 0) as decided_amount_minor,
        coalesce(adjustments_cleared.cleared_amount_minor, 0) as cleared_amount_minor,
        coalesce(manual_cleared.cleared_amount_minor, 0) as manual_cleared_amount_minor,
        coalesce(manual_decided.decided_amount_minor, 0) as manual_decided_amount_minor
    from adjustment_grain
    left join adjustments_received
        on adjustment_grain.channel = adjustments_received.channel
        and adjustment_grain.currency_code = adjustments_received.currency_code
    left join adjustments_disposed
        on adjustment_grain.channel = adjustments_disposed.channel
        and adjustment_grain.currency_code = adjustments_disposed.currency_code
    left join adjustments_decided
        on adjustment_grain.channel = adjustments_decided.channel
        and adjustment_grain.currency_code = adjustments_decided.currency_code
    left join adjustments_cleared
        on adjustment_grain.channel = adjustments_cleared.channel
        and adjustment_grain.currency_code = adjustments_cleared.currency_code
    left join manual_cleared
        on adjustment_grain.channel = manual_cleared.channel
        and adjustment_grain.currency_code = manual_cleared.currency_code
    left join manual_decided
        on adjustment_grain.channel = manual_decided.channel
        and adjustment_grain.currency_code = manual_decided.currency_code
),

adjustment_checks as (
    select
        channel || ' ' || currency_code as subject,
        coalesce(
            charged_amount_minor + absorbed_amount_minor + applied_amount_minor
            + suspended_amount_minor = taken_amount_minor
            and charged_amount_minor + decided_amount_minor + cleared_amount_minor = 0
            and manual_cleared_amount_minor = manual_decided_amount_minor,
            false
        ) as holds,
        'charged ' || charged_amount_minor || ', absorbed ' || absorbed_amount_minor
        || ', applied to open items ' || applied_amount_minor || ', suspended '
        || suspended_amount_minor || '; charged by people ' || decided_amount_minor
        || '; cleared to merchants ' || cleared_amount_minor
        || '; by people ' || manual_cleared_amount_minor || ' of ' || manual_decided_amount_minor
        || ' (商户承担, 我方承担, 抵销挂账, 待定; 人工裁定; 清算; 人工调整)' as detail,
        cast(
            charged_amount_minor + absorbed_amount_minor + applied_amount_minor
            + suspended_amount_minor as text
        ) as measured,
        coalesce(cast(taken_amount_minor as text), 'missing') as expected
    from adjustment_amounts
),

final as (
    {{ check_rows('adjustments_tie', ['adjustment_checks'], of_new_dates=true) }}
)

select * from final
