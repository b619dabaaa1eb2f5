{{ config(materialized='ephemeral') }}

{#-
    The residual of each group is 0, and so is each of the four differences that make it: two that
    cancel each other are two faults, and a sum that ties proves no part of it.
-#}
with arrival_groups as (
    select
        channel,
        currency_code,
        accounting_date,
        arrival_group_id
    from {{ ref('int_calendar__arrival_groups') }}
    where arrival_date > {{ previous_payment_date() }}
        and arrival_date <= {{ payment_date() }}
),

equation as (
    select
        arrival_group_id,
        is_expected,
        bank_arrival_amount_minor,
        channel_suspense_opened_amount_minor,
        channel_suspense_resolved_amount_minor,
        system_suspense_opened_amount_minor,
        system_suspense_resolved_amount_minor,
        merchant_fee_amount_minor,
        clearing_amount_minor,
        residual_minor,
        line_count
    from {{ ref('balance_equation') }}
    where payment_date = {{ payment_date() }}
),

channel_terms as (
    select
        accounting_date,
        channel,
        currency_code,
        channel_amount_minor,
        channel_cost_amount_minor,
        brand_fee_amount_minor,
        adjustments_taken_amount_minor,
        fee_collections_amount_minor,
        recovery_fee_amount_minor
    from {{ ref('channel_terms') }}
    where accounting_date >= {{ days_back(payment_date()) }}
        and accounting_date < {{ payment_date() }}
),

matched_results as (
    select
        accounting_date,
        channel,
        currency_code,
        system_amount_minor
    from {{ ref('reconciliation_results') }}
    where accounting_date >= {{ days_back(payment_date()) }}
        and accounting_date < {{ payment_date() }}
        and outcome = 'matched'
),

clearing_entries as (
    select
        accounting_date,
        channel,
        currency_code,
        transaction_amount_minor
    from {{ ref('clearing_entries') }}
    where accounting_date >= {{ days_back(payment_date()) }}
        and accounting_date < {{ payment_date() }}
        and clearing_session_type = 'transaction'
),

expected_groups as (
    select
        arrival_group_id,
        count(*) as date_count
    from arrival_groups
    group by arrival_group_id
),

file_totals as (
    select
        arrival_groups.arrival_group_id,
        count(*) as date_count,
        sum(channel_terms.channel_amount_minor) as channel_amount_minor,
        sum(
            channel_terms.channel_amount_minor
            - channel_terms.channel_cost_amount_minor
            - channel_terms.brand_fee_amount_minor
            - channel_terms.adjustments_taken_amount_minor
            - channel_terms.fee_collections_amount_minor
            - channel_terms.recovery_fee_amount_minor
        ) as expected_arrival_amount_minor
    from arrival_groups
    inner join channel_terms
        on arrival_groups.channel = channel_terms.channel
        and arrival_groups.currency_code = channel_terms.currency_code
        and arrival_groups.accounting_date = channel_terms.accounting_date
    group by arrival_groups.arrival_group_id
),

matched_totals as (
    select
        arrival_groups.arrival_group_id,
        sum(matched_results.system_amount_minor) as matched_amount_minor
    from arrival_groups
    inner join matched_results
        on arrival_groups.channel = matched_results.channel
        and arrival_groups.currency_code = matched_results.currency_code
        and arrival_groups.accounting_date = matched_results.accounting_date
    group by arrival_groups.arrival_group_id
),

cleared_totals as (
    select
        arrival_groups.arrival_group_id,
        sum(clearing_entries.transaction_amount_minor) as transaction_amount_minor
    from arrival_groups
    inner join clearing_entries
        on arrival_groups.channel = clearing_entries.channel
        and arrival_groups.currency_code = clearing_entries.currency_code
        and arrival_groups.accounting_date = clearing_entries.accounting_date
    group by arrival_groups.arrival_group_id
),

-- A residual is the sum of four differences, each with its own place to look; so the check can
-- say where.
differences as (
    select
        expected_groups.arrival_group_id,
        expected_groups.date_count,
        equation.residual_minor,
        coalesce(equation.line_count, 0) as line_count,
        coalesce(file_totals.date_count, 0) as file_date_count,
        equation.bank_arrival_amount_minor,
        coalesce(file_totals.expected_arrival_amount_minor, 0) as expected_arrival_amount_minor,
        equation.bank_arrival_amount_minor
        - coalesce(file_totals.expected_arrival_amount_minor, 0) as bank_difference_minor,
        coalesce(file_totals.channel_amount_minor, 0)
        - equation.channel_suspense_opened_amount_minor
        - equation.system_suspense_resolved_amount_minor
        - coalesce(matched_totals.matched_amount_minor, 0) as channel_difference_minor,
        coalesce(matched_totals.matched_amount_minor, 0)
        + equation.system_suspense_opened_amount_minor
        + equation.channel_suspense_resolved_amount_minor
        - coalesce(cleared_totals.transaction_amount_minor, 0) as system_difference_minor,
        coalesce(cleared_totals.transaction_amount_minor, 0)
        - equation.merchant_fee_amount_minor
        - equation.clearing_amount_minor as fee_difference_minor
    from expected_groups
    left join equation on expected_groups.arrival_group_id = equation.arrival_group_id
    left join file_totals on expected_groups.arrival_group_id = file_totals.arrival_group_id
    left join matched_totals on expected_groups.arrival_group_id = matched_totals.arrival_group_id
    left join cleared_totals on expected_groups.arrival_group_id = cleared_totals.arrival_group_id
),

balance_checks as (
    select
        arrival_group_id as subject,
        coalesce(
            residual_minor = 0
            and file_date_count = date_count
            and bank_difference_minor = 0
            and channel_difference_minor = 0
            and system_difference_minor = 0
            and fee_difference_minor = 0,
            false
        ) as holds,
        concat_ws(
            '; ',
            case when residual_minor is null then 'no row of the equation (缺平衡校验行)' end,
            case
                when file_date_count <> date_count
                    then 'channel files of ' || date_count - file_date_count
                        || ' accounting dates are not computed (渠道文件未计算)'
            end,
            case
                when bank_difference_minor <> 0
                    then 'bank_arrival (银行到账) is ' || bank_arrival_amount_minor || ' in '
                        || line_count || ' lines, the channel files say '
                        || expected_arrival_amount_minor || ': ' || bank_difference_minor
            end,
            case
                when channel_difference_minor <> 0
                    then 'channel_suspense (渠道单边): channel records without an outcome '
                        || channel_difference_minor
            end,
            case
                when system_difference_minor <> 0
                    then 'system_suspense (系统单边): outcomes and cleared transactions differ by '
                        || system_difference_minor
            end,
            case
                when fee_difference_minor <> 0
                    then 'merchant_fee (商户手续费): fees of the ledger and of clearing differ by '
                        || fee_difference_minor
            end
        ) as detail,
        coalesce(cast(residual_minor as text), 'missing') as measured,
        '0' as expected
    from differences
    union all
    select
        arrival_group_id as subject,
        residual_minor = 0 as holds,
        case
            when residual_minor = 0 then ''
            else 'bank_arrival (银行到账) of a group nobody expects: ' || bank_arrival_amount_minor
        end as detail,
        cast(residual_minor as text) as measured,
        '0' as expected
    from equation
    where not is_expected
),

final as (
    {{ check_rows('balance_equation_zero', ['balance_checks']) }}
)

select * from final
