{{ config(materialized='dated_partition', partition_by='payment_date', tags=['payment']) }}

{#-
    The balance equation (平衡校验), one row for every arrival group that this payment date expects,
    zeros and missing arrivals included. Each term is read from its own source and from no
    other: the bank matches, the reconciliation results, the channel's files, the ledger's
    fee entries, the clearing entries. Money of a group nobody expects gets a row as well
    (is_expected false) and fails the gate.
-#}
with arrival_groups as (
    select
        channel,
        currency_code,
        accounting_date,
        arrival_date,
        arrival_group_id
    from {{ ref('int_calendar__arrival_groups') }}
),

-- What the funds level says has arrived; no other place is asked.
bank_lines as (
    select
        channel,
        currency_code,
        arrival_group_id,
        group_arrival_date,
        booking_date,
        is_new,
        amount_minor
    from {{ ref('bank_match_lines') }}
    where
        payment_date = {{ payment_date() }}
        and side = 'bank'
        and item_kind = 'channel_arrival'
),

results as (
    select
        accounting_date,
        channel,
        currency_code,
        outcome,
        system_amount_minor,
        channel_amount_minor
    from {{ ref('reconciliation_results') }}
    where accounting_date >= {{ days_back(payment_date()) }}
        and accounting_date < {{ payment_date() }}
        and outcome is distinct from 'matched'
),

channel_terms as (
    select
        accounting_date,
        channel,
        currency_code,
        channel_cost_amount_minor,
        brand_fee_amount_minor,
        adjustments_taken_amount_minor,
        fee_collections_amount_minor,
        recovery_fee_amount_minor
    from {{ ref('channel_terms') }}
    where accounting_date >= {{ days_back(payment_date()) }}
        and accounting_date < {{ payment_date() }}
),

fee_entries as (
    select
        accounting_date,
        channel,
        currency_code,
        case 'fee_income'
            when credit_account then amount_minor
            when debit_account then -amount_minor
        end as fee_amount_minor
    from {{ ref('postings') }}
    where accounting_date >= {{ days_back(payment_date()) }}
        and accounting_date < {{ payment_date() }}
        and event_type = 'merchant_fee'
        and settlement_mode = 'net'
),

clearing_entries as (
    select
        accounting_date,
        channel,
        currency_code,
        clearing_amount_minor
    from {{ ref('clearing_entries') }}
    where accounting_date >= {{ days_back(payment_date()) }}
        and accounting_date < {{ payment_date() }}
        and clearing_session_type = 'transaction'
),

equation_terms as (
    select
        term,
        sign
    from {{ ref('equation_terms') }}
),

expected_dates as (
    select
        channel,
        currency_code,
        accounting_date,
        arrival_date,
        arrival_group_id
    from arrival_groups
    where arrival_date > {{ previous_payment_date() }}
        and arrival_date <= {{ payment_date() }}
),

expected_groups as (
    select
        channel,
        currency_code,
        arrival_date,
        arrival_group_id,
        {{ array_of('accounting_date', order_by='accounting_date') }} as accounting_dates,
        true as is_expected
    from expected_dates
    group by channel, currency_code, arrival_date, arrival_group_id
),

unexpected_groups as (
    select
        bank_lines.channel,
        bank_lines.currency_code,
        bank_lines.group_arrival_date as arrival_date,
        bank_lines.arrival_group_id,
        cast('{}' as date[]) as accounting_dates,
        false as is_expected
    from bank_lines
    left join arrival_groups on bank_lines.arrival_group_id = arrival_groups.arrival_group_id
    where bank_lines.is_new and arrival_groups.arrival_group_id is null
    group by
        bank_lines.channel, bank_lines.currency_code, bank_lines.group_arrival_date,
        bank_lines.arrival_group_id
),

all_groups as (
    select * from expected_groups
    union all
    select * from unexpected_groups
),

bank_totals as (
    select
        arrival_group_id,
        sum(amount_minor) as bank_arrival_amount_minor,
        max(booking_date) as actual_arrival_date,
        count(*) as line_count
    from bank_lines
    group by arrival_group_id
),

suspense_totals as (
    select
        expected_dates.arrival_group_id,
        sum(results.channel_amount_minor)
            filter (where results.outcome in ('channel_in_doubt', 'channel_one_sided'))
            as channel_suspense_opened_amount_minor,
        sum(results.channel_amount_minor) filter (where results.outcome = 'channel_resolved')
            as channel_suspense_resolved_amount_minor,
        sum(results.system_amount_minor)
            filter (where results.outcome in ('system_in_doubt', 'system_one_sided'))
            as system_suspense_opened_amount_minor,
        sum(results.system_amount_minor) filter (where results.outcome = 'system_resolved')
            as system_suspense_resolved_amount_minor
    from results
    inner join expected_dates
        on results.channel = expected_dates.channel
        and results.currency_code = expected_dates.currency_code
        and results.accounting_date = expected_dates.accounting_date
    group by expected_dates.arrival_group_id
),

channel_term_totals as (
    select
        expected_dates.arrival_group_id,
        sum(channel_terms.channel_cost_amount_minor) as channel_cost_amount_minor,
        sum(channel_terms.brand_fee_amount_minor) as brand_fee_amount_minor,
        sum(channel_terms.adjustments_taken_amount_minor) as adjustments_taken_amount_minor,
        sum(channel_terms.fee_collections_amount_minor) as fee_collections_amount_minor,
        sum(channel_terms.recovery_fee_amount_minor) as recovery_fee_amount_minor
    from channel_terms
    inner join expected_dates
        on channel_terms.channel = expected_dates.channel
        and channel_terms.currency_code = expected_dates.currency_code
        and channel_terms.accounting_date = expected_dates.accounting_date
    group by expected_dates.arrival_group_id
),

fee_totals as (
    select
        expected_dates.arrival_group_id,
        sum(fee_entries.fee_amount_minor) as merchant_fee_amount_minor
    from fee_entries
    inner join expected_dates
        on fee_entries.channel = expected_dates.channel
        and fee_entries.currency_code = expected_dates.currency_code
        and fee_entries.accounting_date = expected_dates.accounting_date
    group by expected_dates.arrival_group_id
),

clearing_totals as (
    select
        expected_dates.arrival_group_id,
        sum(clearing_entries.clearing_amount_minor) as clearing_amount_minor
    from clearing_entries
    inner join expected_dates
        on clearing_entries.channel = expected_dates.channel
        and clearing_entries.currency_code = expected_dates.currency_code
        and clearing_entries.accounting_date = expected_dates.accounting_date
    group by expected_dates.arrival_group_id
),

terms as (
    select
        all_groups.channel,
        all_groups.currency_code,
        all_groups.arrival_date,
        all_groups.arrival_group_id,
        all_groups.accounting_dates,
        all_groups.is_expected,
        bank_totals.actual_arrival_date,
        coalesce(bank_totals.line_count, 0) as line_count,
        coalesce(bank_totals.bank_arrival_amount_minor, 0) as bank_arrival_amount_minor,
        coalesce(suspense_totals.channel_suspense_opened_amount_minor, 0)
            as channel_suspense_opened_amount_minor,
        coalesce(suspense_totals.channel_suspense_resolved_amount_minor, 0)
            as channel_suspense_resolved_amount_minor,
        coalesce(suspense_totals.system_suspense_opened_amount_minor, 0)
            as system_suspense_opened_amount_minor,
        coalesce(suspense_totals.system_suspense_resolved_amount_minor, 0)
            as system_suspense_resolved_amount_minor,
        coalesce(channel_term_totals.channel_cost_amount_minor, 0) as channel_cost_amount_minor,
        coalesce(channel_term_totals.brand_fee_amount_minor, 0) as brand_fee_amount_minor,
        coalesce(channel_term_totals.adjustments_taken_amount_minor, 0)
            as adjustments_taken_amount_minor,
        coalesce(channel_term_totals.fee_collections_amount_minor, 0)
            as fee_collections_amount_minor,
        coalesce(channel_term_totals.recovery_fee_amount_minor, 0) as recovery_fee_amount_minor,
        coalesce(fee_totals.merchant_fee_amount_minor, 0) as merchant_fee_amount_minor,
        coalesce(clearing_totals.clearing_amount_minor, 0) as clearing_amount_minor
    from all_groups
    left join bank_totals on all_groups.arrival_group_id = bank_totals.arrival_group_id
    left join suspense_totals on all_groups.arrival_group_id = suspense_totals.arrival_group_id
    left join channel_term_totals
        on all_groups.arrival_group_id = channel_term_totals.arrival_group_id
    left join fee_totals on all_groups.arrival_group_id = fee_totals.arrival_group_id
    left join clearing_totals on all_groups.arrival_group_id = clearing_totals.arrival_group_id
),

-- Which terms there are, and their signs, is the seed's to say; Great Expectations adds them again.
residuals as (
    select
        terms.arrival_group_id,
        cast(sum(equation_terms.sign * amounts.amount_minor) as bigint) as residual_minor
    from terms
    cross join lateral (
        values
            ('bank_arrival', terms.bank_arrival_amount_minor),
            ('channel_suspense_opened', terms.channel_suspense_opened_amount_minor),
            ('channel_suspense_resolved', terms.channel_suspense_resolved_amount_minor),
            ('system_suspense_opened', terms.system_suspense_opened_amount_minor),
            ('system_suspense_resolved', terms.system_suspense_resolved_amount_minor),
            ('channel_cost', terms.channel_cost_amount_minor),
            ('brand_fee', terms.brand_fee_amount_minor),
            ('adjustments_taken', terms.adjustments_taken_amount_minor),
            ('fee_collections', terms.fee_collections_amount_minor),
            ('recovery_fee', terms.recovery_fee_amount_minor),
            ('merchant_fee', terms.merchant_fee_amount_minor),
            ('clearing', terms.clearing_amount_minor)
    ) as amounts (term, amount_minor)
    inner join equation_terms on amounts.term = equation_terms.term
    group by terms.arrival_group_id
),

final as (
    select
        {{ payment_date() }} as payment_date,
        terms.arrival_date,
        terms.channel,
        terms.currency_code,
        terms.arrival_group_id,
        terms.arrival_date as expected_arrival_date,
        terms.actual_arrival_date,
        terms.accounting_dates,
        terms.bank_arrival_amount_minor,
        terms.channel_suspense_opened_amount_minor,
        terms.channel_suspense_resolved_amount_minor,
        terms.system_suspense_opened_amount_minor,
        terms.system_suspense_resolved_amount_minor,
        terms.channel_cost_amount_minor,
        terms.brand_fee_amount_minor,
        terms.adjustments_taken_amount_minor,
        terms.fee_collections_amount_minor,
        terms.recovery_fee_amount_minor,
        terms.merchant_fee_amount_minor,
        terms.clearing_amount_minor,
        residuals.residual_minor,
        terms.line_count,
        terms.is_expected
    from terms
    left join residuals on terms.arrival_group_id = residuals.arrival_group_id
)

select * from final
