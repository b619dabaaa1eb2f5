{{ config(materialized='ephemeral') }}

{#- Gate checks on what the closes computed: ledger, suspense, adjustments and clearing records. -#}
with arrival_groups as (
    select
        channel,
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
        accounting_date,
        channel,
        currency_code,
        adjustments_taken_amount_minor
    from {{ ref('channel_terms') }}
    where accounting_date >= {{ previous_payment_date() }}
        and accounting_date < {{ payment_date() }}
),

channel_adjustments as (
    select
        accounting_date,
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
        accounting_date,
        account_id,
        clearing_session_type,
        clearing_session_no,
        channel,
        currency_code,
        transaction_type,
        transaction_amount_minor,
        fee_amount_minor,
        clearing_amount_minor
    from {{ ref('clearing_entries') }}
    where accounting_date >= {{ previous_payment_date() }}
        and accounting_date < {{ payment_date() }}
),

clearing_records as (
    select
        accounting_date,
        account_id,
        clearing_session_type,
        clearing_session_no,
        currency_code,
        transaction_count,
        transaction_amount_minor,
        fee_amount_minor,
        clearing_amount_minor
    from {{ ref('clearing_records') }}
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
        'trial_balance_zero' as check_name,
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
        'suspense_rollforward_exact' as check_name,
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
        cast(count(*) filter (where is_wrong) as text) as measured,
        '0' as expected
    from rollforward_faults
    group by channel, side, currency_code
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
        'adjustments_tie' as check_name,
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

entry_totals as (
    select
        accounting_date,
        account_id,
        clearing_session_type,
        clearing_session_no,
        currency_code,
        count(*) as transaction_count,
        sum(transaction_amount_minor) as transaction_amount_minor,
        sum(fee_amount_minor) as fee_amount_minor,
        sum(clearing_amount_minor) as clearing_amount_minor
    from clearing_entries
    group by
        accounting_date, account_id, clearing_session_type, clearing_session_no, currency_code
),

record_differences as (
    select
        coalesce(entry_totals.accounting_date, clearing_records.accounting_date)
            as accounting_date,
        coalesce(entry_totals.account_id, clearing_records.account_id) as account_id,
        entry_totals.transaction_count is distinct from clearing_records.transaction_count
        or entry_totals.transaction_amount_minor
        is distinct from clearing_records.transaction_amount_minor
        or entry_totals.fee_amount_minor is distinct from clearing_records.fee_amount_minor
        or entry_totals.clearing_amount_minor
        is distinct from clearing_records.clearing_amount_minor as is_wrong
    from entry_totals
    full join clearing_records
        on entry_totals.accounting_date = clearing_records.accounting_date
        and entry_totals.account_id = clearing_records.account_id
        and entry_totals.clearing_session_type = clearing_records.clearing_session_type
        and entry_totals.clearing_session_no = clearing_records.clearing_session_no
        and entry_totals.currency_code = clearing_records.currency_code
),

accounting_dates as (
    select distinct accounting_date
    from arrival_groups
),

record_checks as (
    select
        'clearing_records_sum_to_entries' as check_name,
        to_char(accounting_dates.accounting_date, 'YYYY-MM-DD') as subject,
        count(*) filter (where record_differences.is_wrong) = 0 as holds,
        coalesce(
            'first account: '
            || min(record_differences.account_id) filter (where record_differences.is_wrong),
            ''
        ) as detail,
        cast(count(*) filter (where record_differences.is_wrong) as text) as measured,
        '0' as expected
    from accounting_dates
    left join record_differences
        on accounting_dates.accounting_date = record_differences.accounting_date
    group by accounting_dates.accounting_date
),

final as (
    select * from trial_balance_checks
    union all
    select * from rollforward_checks
    union all
    select * from adjustment_checks
    union all
    select * from record_checks
)

select * from final
