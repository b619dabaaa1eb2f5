{{ config(materialized='ephemeral') }}

{#-
    Each payout is backed by records of the channel whose money arrived: per account, arrival
    group and line.
-#}
with arrival_groups as (
    select
        arrival_group_id,
        currency_code
    from {{ ref('int_calendar__arrival_groups') }}
    where arrival_date > {{ previous_payment_date() }}
        and arrival_date <= {{ payment_date() }}
),

equation as (
    select
        arrival_group_id,
        bank_arrival_amount_minor,
        channel_suspense_opened_amount_minor,
        channel_suspense_resolved_amount_minor,
        channel_cost_amount_minor,
        brand_fee_amount_minor,
        adjustments_taken_amount_minor,
        fee_collections_amount_minor,
        recovery_fee_amount_minor
    from {{ ref('balance_equation') }}
    where payment_date = {{ payment_date() }}
),

newly_backed as (
    select
        account_id,
        currency_code,
        arrival_group_id,
        open_amount_minor,
        newly_backed_amount_minor
    from {{ ref('int_settlement__newly_backed') }}
),

backed_rollforward as (
    select
        account_id,
        settlement_session_type,
        currency_code,
        frozen_amount_minor,
        payout_amount_minor,
        closing_amount_minor
    from {{ ref('backed_rollforward') }}
    where payment_date = {{ payment_date() }}
),

statements_now as (
    select
        account_id,
        settlement_session_type,
        currency_code,
        held_amount_minor,
        payout_amount_minor,
        carried_forward_amount_minor
    from {{ ref('settlement_statements') }}
    where payment_date = {{ payment_date() }}
),

holds as (
    select
        payment_date,
        entry_id,
        currency_code,
        channel,
        accounting_date
    from {{ ref('holds') }}
    where payment_date in ({{ payment_date() }}, {{ previous_payment_date() }})
),

statement_lines as (
    select
        entry_id,
        channel,
        currency_code,
        accounting_date,
        statement_id,
        clearing_amount_minor
    from {{ ref('statement_lines') }}
    where payment_date = {{ payment_date() }}
        and clearing_session_type = 'transaction'
),

results as (
    select
        accounting_date,
        system_transaction_id
    from {{ ref('reconciliation_results') }}
    where accounting_date >= {{ days_back(payment_date()) }}
        and accounting_date < {{ payment_date() }}
        and outcome in ('matched', 'channel_resolved')
        and system_amount_minor = channel_amount_minor
),

channels as (
    select
        channels.channel,
        channel_currencies.currency_code,
        channels.voided_pairs
    from {{ ref('channels') }} as channels
    inner join {{ ref('channel_currencies') }} as channel_currencies
        on channels.channel = channel_currencies.channel
),

equation_terms as (
    select
        term,
        sign
    from {{ ref('equation_terms') }}
    where is_of_arrival
),

currencies as (
    select distinct currency_code
    from arrival_groups
),

-- Account by account: what is backed and not paid, and what is held, is all that is carried.
account_states as (
    select
        coalesce(statements_now.currency_code, backed_rollforward.currency_code) as currency_code,
        coalesce(statements_now.account_id, backed_rollforward.account_id) as account_id,
        coalesce(
            statements_now.carried_forward_amount_minor - statements_now.held_amount_minor, 0
        ) as carried_amount_minor,
        coalesce(backed_rollforward.closing_amount_minor, 0) as backed_amount_minor,
        coalesce(statements_now.payout_amount_minor, 0) as payout_amount_minor,
        greatest(
            coalesce(
                backed_rollforward.closing_amount_minor + backed_rollforward.payout_amount_minor
                - backed_rollforward.frozen_amount_minor,
                0
            ),
            0
        ) as payable_amount_minor
    from statements_now
    full join backed_rollforward
        on statements_now.account_id = backed_rollforward.account_id
        and statements_now.settlement_session_type = backed_rollforward.settlement_session_type
        and statements_now.currency_code = backed_rollforward.currency_code
),

wrong_accounts as (
    select *
    from account_states
    where carried_amount_minor <> backed_amount_minor
        or payout_amount_minor > payable_amount_minor
),

-- A record whose voucher nobody states would back nothing, and be lost.
ownerless as (
    select
        currency_code,
        sum(newly_backed_amount_minor) as amount_minor
    from newly_backed
    where account_id is null
    group by currency_code
),

account_checks as (
    select
        currencies.currency_code || ' accounts' as subject,
        count(wrong_accounts.account_id) = 0 and count(ownerless.currency_code) = 0 as holds,
        concat_ws(
            '; ',
            'first account: ' || min(wrong_accounts.account_id)
            || ', paid ' || (array_agg(
                wrong_accounts.payout_amount_minor order by wrong_accounts.account_id
            ))[1]
            || ', backed ' || (array_agg(
                wrong_accounts.backed_amount_minor order by wrong_accounts.account_id
            ))[1]
            || ', carried and not held ' || (array_agg(
                wrong_accounts.carried_amount_minor order by wrong_accounts.account_id
            ))[1] || ' (出款无到账支持)',
            'records without an entry: ' || max(ownerless.amount_minor) || ' (渠道记录无清算明细)'
        ) as detail,
        count(wrong_accounts.account_id) + count(distinct ownerless.currency_code) as measured,
        '0' as expected
    from currencies
    left join wrong_accounts on currencies.currency_code = wrong_accounts.currency_code
    left join ownerless on currencies.currency_code = ownerless.currency_code
    group by currencies.currency_code
),

-- What arrived, before the channel's suspense, cost and fees.
arrivals as (
    select
        equation.arrival_group_id,
        sum(equation_terms.sign * amounts.amount_minor) as arrived_amount_minor
    from equation
    cross join lateral (
        values
            ('bank_arrival', equation.bank_arrival_amount_minor),
            ('channel_suspense_opened', equation.channel_suspense_opened_amount_minor),
            ('channel_suspense_resolved', equation.channel_suspense_resolved_amount_minor),
            ('channel_cost', equation.channel_cost_amount_minor),
            ('brand_fee', equation.brand_fee_amount_minor),
            ('adjustments_taken', equation.adjustments_taken_amount_minor),
            ('fee_collections', equation.fee_collections_amount_minor),
            ('recovery_fee', equation.recovery_fee_amount_minor)
    ) as amounts (term, amount_minor)
    inner join equation_terms on amounts.term = equation_terms.term
    group by equation.arrival_group_id
),

-- Group by group: what the records back is what arrived, gross of what the channel kept.
group_totals as (
    select
        arrival_group_id,
        sum(newly_backed_amount_minor) as newly_backed_amount_minor,
        sum(open_amount_minor) as open_amount_minor
    from newly_backed
    group by arrival_group_id
),

expected_groups as (
    select distinct arrival_group_id
    from arrival_groups
),

group_states as (
    select
        expected_groups.arrival_group_id,
        coalesce(group_totals.newly_backed_amount_minor, 0) as newly_backed_amount_minor,
        arrivals.arrived_amount_minor + coalesce(group_totals.open_amount_minor, 0)
            as arrived_amount_minor
    from expected_groups
    left join arrivals on expected_groups.arrival_group_id = arrivals.arrival_group_id
    left join group_totals on expected_groups.arrival_group_id = group_totals.arrival_group_id
),

group_checks as (
    select
        arrival_group_id as subject,
        coalesce(newly_backed_amount_minor = arrived_amount_minor, false) as holds,
        case
            when newly_backed_amount_minor = arrived_amount_minor then ''
            else 'newly backed (新增到账支持) ' || newly_backed_amount_minor
                || ', arrived before cost and suspense (到账还原) '
                || coalesce(cast(arrived_amount_minor as text), 'missing')
        end as detail,
        newly_backed_amount_minor as measured,
        coalesce(cast(arrived_amount_minor as text), 'missing') as expected
    from group_states
),

-- Line by line: each has its record, or is held, or is half of a voided pair that the channel
-- does not send; the halves of a date cancel each other within their account.
unproven_lines as (
    select
        statement_lines.statement_id,
        statement_lines.currency_code,
        statement_lines.channel,
        statement_lines.accounting_date,
        statement_lines.entry_id,
        statement_lines.clearing_amount_minor
    from statement_lines
    left join results
        on statement_lines.entry_id = 'T:' || results.system_transaction_id
        and statement_lines.accounting_date = results.accounting_date
    left join holds
        on statement_lines.entry_id = holds.entry_id
        and holds.payment_date = {{ payment_date() }}
    where results.system_transaction_id is null and holds.entry_id is null
),

unproven_sums as (
    select
        unproven_lines.currency_code,
        min(unproven_lines.entry_id) as entry_id,
        count(*) as line_count
    from unproven_lines
    left join channels
        on unproven_lines.channel = channels.channel
        and unproven_lines.currency_code = channels.currency_code
    group by
        unproven_lines.currency_code, unproven_lines.statement_id, unproven_lines.channel,
        unproven_lines.accounting_date, channels.voided_pairs
    having
        channels.voided_pairs is distinct from 'none'
        or sum(unproven_lines.clearing_amount_minor) <> 0
),

line_checks as (
    select
        currencies.currency_code || ' lines' as subject,
        count(unproven_sums.entry_id) = 0 as holds,
        coalesce(
            'first line with neither record nor hold (无渠道记录且未列待到账): '
            || min(unproven_sums.entry_id),
            ''
        ) as detail,
        coalesce(sum(unproven_sums.line_count), 0) as measured,
        '0' as expected
    from currencies
    left join unproven_sums on currencies.currency_code = unproven_sums.currency_code
    group by currencies.currency_code
),

final as (
    {{ check_rows('payout_backed_by_arrival', ['account_checks', 'group_checks', 'line_checks']) }}
)

select * from final
