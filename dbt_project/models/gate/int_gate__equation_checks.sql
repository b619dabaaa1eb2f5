{{ config(materialized='ephemeral') }}

{#-
    Gate checks on the money that arrived: the balance equation of each expected arrival group,
    the channel receivable of the ledger computed apart from it, and what no group of this
    payment date explains.
-#}
with arrival_groups as (
    select
        channel,
        currency_code,
        accounting_date,
        arrival_date,
        arrival_group_id
    from {{ ref('int_calendar__arrival_groups') }}
    where arrival_date > {{ previous_payment_date() }}
        and arrival_date <= {{ payment_date() }}
),

equation as (
    select
        arrival_group_id,
        currency_code,
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
    where accounting_date >= {{ payment_date() }} - 31 and accounting_date < {{ payment_date() }}
),

matched_results as (
    select
        accounting_date,
        channel,
        currency_code,
        system_amount_minor
    from {{ ref('reconciliation_results') }}
    where accounting_date >= {{ payment_date() }} - 31
        and accounting_date < {{ payment_date() }}
        and outcome = 'matched'
),

clearing_entries as (
    select
        accounting_date,
        channel,
        currency_code,
        clearing_session_type,
        transaction_amount_minor,
        clearing_amount_minor,
        payment_date
    from {{ ref('clearing_entries') }}
    where accounting_date >= {{ payment_date() }} - 31
        and accounting_date < {{ payment_date() }}
        and clearing_session_type = 'transaction'
),

receivable_postings as (
    select
        accounting_date,
        case 'channel_receivable' when debit_account then debit_subledger_id
            else credit_subledger_id
        end as arrival_group_id,
        case 'channel_receivable' when debit_account then amount_minor else -amount_minor end
            as amount_minor
    from {{ ref('postings') }}
    where accounting_date >= {{ payment_date() }} - 31
        and accounting_date < {{ payment_date() }}
        and 'channel_receivable' in (debit_account, credit_account)
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
        'balance_equation_zero' as check_name,
        arrival_group_id as subject,
        coalesce(residual_minor = 0 and file_date_count = date_count, false) as holds,
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
        'balance_equation_zero' as check_name,
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

-- The bank's lines of the group against what the closes of its dates booked as receivable.
group_postings as (
    select
        arrival_groups.arrival_group_id,
        sum(receivable_postings.amount_minor) as booked_amount_minor
    from arrival_groups
    inner join receivable_postings
        on arrival_groups.arrival_group_id = receivable_postings.arrival_group_id
        and arrival_groups.accounting_date = receivable_postings.accounting_date
    group by arrival_groups.arrival_group_id
),

group_lines as (
    select
        arrival_group_id,
        sum(amount_minor) as arrived_amount_minor
    from match_lines
    where side = 'bank'
    group by arrival_group_id
),

receivable_checks as (
    select
        'channel_receivable_zero' as check_name,
        expected_groups.arrival_group_id as subject,
        coalesce(group_postings.booked_amount_minor, 0)
        = coalesce(group_lines.arrived_amount_minor, 0) as holds,
        'receivable booked (应收渠道清算款) ' || coalesce(group_postings.booked_amount_minor, 0)
        || ', arrived (到账) ' || coalesce(group_lines.arrived_amount_minor, 0) as detail,
        cast(
            coalesce(group_postings.booked_amount_minor, 0)
            - coalesce(group_lines.arrived_amount_minor, 0) as text
        ) as measured,
        '0' as expected
    from expected_groups
    left join group_postings on expected_groups.arrival_group_id = group_postings.arrival_group_id
    left join group_lines on expected_groups.arrival_group_id = group_lines.arrival_group_id
),

currencies as (
    select distinct currency_code
    from arrival_groups
),

covered as (
    select
        currency_code,
        sum(clearing_amount_minor) as clearing_amount_minor
    from equation
    group by currency_code
),

to_cover as (
    select
        currency_code,
        sum(clearing_amount_minor) as clearing_amount_minor
    from clearing_entries
    where payment_date = {{ payment_date() }}
    group by currency_code
),

-- Every transaction that is paid stands in some group of the equation: none escapes the gate.
coverage_checks as (
    select
        'equation_covers_clearing' as check_name,
        currencies.currency_code as subject,
        coalesce(covered.clearing_amount_minor, 0) = coalesce(to_cover.clearing_amount_minor, 0)
            as holds,
        case
            when coalesce(covered.clearing_amount_minor, 0)
                = coalesce(to_cover.clearing_amount_minor, 0) then ''
            else 'clearing entries outside every arrival group (清算明细不属于任何到账组)'
        end as detail,
        cast(coalesce(covered.clearing_amount_minor, 0) as text) as measured,
        cast(coalesce(to_cover.clearing_amount_minor, 0) as text) as expected
    from currencies
    left join covered on currencies.currency_code = covered.currency_code
    left join to_cover on currencies.currency_code = to_cover.currency_code
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
        'late_arrivals_explained' as check_name,
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
        'late_arrivals_explained' as check_name,
        'all' as subject,
        true as holds,
        '' as detail,
        cast(count(*) as text) as measured,
        'any' as expected
    from late_lines
),

final as (
    select * from balance_checks
    union all
    select * from receivable_checks
    union all
    select * from coverage_checks
    union all
    select * from late_checks
)

select * from final
