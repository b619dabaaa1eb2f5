{{ config(materialized='ephemeral') }}

{#-
    Gate checks that each merchant's part has arrived, not only the sum (docs/holds.md): from bank
    matches and reconciliation, never from clearing. What a statement pays is backed by records of
    the channel, account by account; what the records back is the money that arrived, group by
    group; each line has a record or a hold; holds roll forward.
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
        opening_amount_minor,
        frozen_amount_minor,
        payout_amount_minor,
        closing_amount_minor
    from {{ ref('backed_rollforward') }}
    where payment_date = {{ payment_date() }}
),

backed_before as (
    select
        account_id,
        settlement_session_type,
        currency_code,
        closing_amount_minor
    from {{ ref('backed_rollforward') }}
    where payment_date = {{ previous_payment_date() }}
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
        account_id,
        settlement_session_type,
        currency_code,
        channel,
        merchant_id,
        accounting_date,
        opening_amount_minor,
        closing_amount_minor,
        closing_gross_amount_minor,
        paid_early_amount_minor
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
    where accounting_date >= {{ payment_date() }} - 31
        and accounting_date < {{ payment_date() }}
        and outcome in ('matched', 'channel_resolved')
        and system_amount_minor = channel_amount_minor
),

channels as (
    select
        channels.channel,
        channel_currencies.currency_code,
        channels.voided_pairs,
        channels.suspense_limit_amount_minor,
        channels.suspense_limit_age_days
    from {{ ref('channels') }} as channels
    inner join {{ ref('channel_currencies') }} as channel_currencies
        on channels.channel = channel_currencies.channel
),

early_payments as (
    select
        channel,
        currency_code,
        limit_amount_minor,
        limit_count,
        merchant_limit_amount_minor,
        item_limit_amount_minor
    from {{ ref('early_payments') }}
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
        'payout_backed_by_arrival' as check_name,
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
        cast(count(wrong_accounts.account_id) + count(distinct ownerless.currency_code) as text)
            as measured,
        '0' as expected
    from currencies
    left join wrong_accounts on currencies.currency_code = wrong_accounts.currency_code
    left join ownerless on currencies.currency_code = ownerless.currency_code
    group by currencies.currency_code
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
        equation.bank_arrival_amount_minor
        - equation.channel_suspense_opened_amount_minor
        + equation.channel_suspense_resolved_amount_minor
        + equation.channel_cost_amount_minor
        + equation.brand_fee_amount_minor
        + equation.adjustments_taken_amount_minor
        + equation.fee_collections_amount_minor
        + equation.recovery_fee_amount_minor
        + coalesce(group_totals.open_amount_minor, 0) as arrived_amount_minor
    from expected_groups
    left join equation on expected_groups.arrival_group_id = equation.arrival_group_id
    left join group_totals on expected_groups.arrival_group_id = group_totals.arrival_group_id
),

group_checks as (
    select
        'payout_backed_by_arrival' as check_name,
        arrival_group_id as subject,
        coalesce(newly_backed_amount_minor = arrived_amount_minor, false) as holds,
        case
            when newly_backed_amount_minor = arrived_amount_minor then ''
            else 'newly backed (新增到账支持) ' || newly_backed_amount_minor
                || ', arrived before cost and suspense (到账还原) '
                || coalesce(cast(arrived_amount_minor as text), 'missing')
        end as detail,
        cast(newly_backed_amount_minor as text) as measured,
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
        'payout_backed_by_arrival' as check_name,
        currencies.currency_code || ' lines' as subject,
        count(unproven_sums.entry_id) = 0 as holds,
        coalesce(
            'first line with neither record nor hold (无渠道记录且未列待到账): '
            || min(unproven_sums.entry_id),
            ''
        ) as detail,
        cast(coalesce(sum(unproven_sums.line_count), 0) as text) as measured,
        '0' as expected
    from currencies
    left join unproven_sums on currencies.currency_code = unproven_sums.currency_code
    group by currencies.currency_code
),

-- Per account and session: a hold opens with what it closed with, and the statement shows it.
hold_sides as (
    select
        account_id,
        settlement_session_type,
        currency_code,
        opening_amount_minor as opening_now_minor,
        0 as closing_before_minor,
        closing_amount_minor as closing_now_minor,
        0 as stated_now_minor
    from holds
    where payment_date = {{ payment_date() }}
    union all
    select
        account_id,
        settlement_session_type,
        currency_code,
        0 as opening_now_minor,
        closing_amount_minor as closing_before_minor,
        0 as closing_now_minor,
        0 as stated_now_minor
    from holds
    where payment_date = {{ previous_payment_date() }}
    union all
    select
        account_id,
        settlement_session_type,
        currency_code,
        0 as opening_now_minor,
        0 as closing_before_minor,
        0 as closing_now_minor,
        held_amount_minor as stated_now_minor
    from statements_now
    union all
    -- What backs a balance opens where it closed, but for the balances of go-live.
    select
        backed_before.account_id,
        backed_before.settlement_session_type,
        backed_before.currency_code,
        coalesce(backed_rollforward.opening_amount_minor, 0) as opening_now_minor,
        backed_before.closing_amount_minor as closing_before_minor,
        0 as closing_now_minor,
        0 as stated_now_minor
    from backed_before
    left join backed_rollforward
        on backed_before.account_id = backed_rollforward.account_id
        and backed_before.settlement_session_type = backed_rollforward.settlement_session_type
        and backed_before.currency_code = backed_rollforward.currency_code
),

wrong_holds as (
    select
        currency_code,
        account_id
    from hold_sides
    group by currency_code, account_id, settlement_session_type
    having sum(opening_now_minor) <> sum(closing_before_minor)
        or sum(closing_now_minor) <> sum(stated_now_minor)
),

hold_checks as (
    select
        'holds_rollforward_exact' as check_name,
        currencies.currency_code as subject,
        count(wrong_holds.account_id) = 0 as holds,
        coalesce('first account: ' || min(wrong_holds.account_id) || ' (待到账滚动不平)', '')
            as detail,
        cast(count(wrong_holds.account_id) as text) as measured,
        '0' as expected
    from currencies
    left join wrong_holds on currencies.currency_code = wrong_holds.currency_code
    group by currencies.currency_code
),

-- What is paid before it arrives is our own risk: by gross amounts, never by a net.
early_totals as (
    select
        channel,
        currency_code,
        count(*) as early_count,
        sum(paid_early_amount_minor) as early_amount_minor,
        max(closing_gross_amount_minor) as largest_item_minor,
        max({{ payment_date() }} - accounting_date) as oldest_age_days
    from holds
    where payment_date = {{ payment_date() }} and paid_early_amount_minor > 0
    group by channel, currency_code
),

early_merchants as (
    select
        channel,
        currency_code,
        max(early_amount_minor) as largest_merchant_minor
    from (
        select
            channel,
            currency_code,
            merchant_id,
            sum(paid_early_amount_minor) as early_amount_minor
        from holds
        where payment_date = {{ payment_date() }} and paid_early_amount_minor > 0
        group by channel, currency_code, merchant_id
    ) as of_merchants
    group by channel, currency_code
),

early_checks as (
    select
        'paid_early_within_limit' as check_name,
        channels.channel || ' ' || channels.currency_code as subject,
        early_totals.channel is null
        or coalesce(
            early_totals.early_count <= early_payments.limit_count
            and early_totals.early_amount_minor <= early_payments.limit_amount_minor
            and early_totals.early_amount_minor <= channels.suspense_limit_amount_minor
            and early_totals.largest_item_minor <= early_payments.item_limit_amount_minor
            and early_merchants.largest_merchant_minor
            <= early_payments.merchant_limit_amount_minor
            and early_totals.oldest_age_days <= channels.suspense_limit_age_days,
            false
        ) as holds,
        'paid before arrival (到账前付款) ' || coalesce(early_totals.early_count, 0)
        || ' items, the largest ' || coalesce(early_totals.largest_item_minor, 0)
        || ', of one merchant ' || coalesce(early_merchants.largest_merchant_minor, 0)
        || ', the oldest ' || coalesce(early_totals.oldest_age_days, 0) || ' days' as detail,
        cast(coalesce(early_totals.early_amount_minor, 0) as text) as measured,
        'at most ' || coalesce(early_payments.limit_amount_minor, 0) as expected
    from channels
    left join early_payments
        on channels.channel = early_payments.channel
        and channels.currency_code = early_payments.currency_code
    left join early_totals
        on channels.channel = early_totals.channel
        and channels.currency_code = early_totals.currency_code
    left join early_merchants
        on channels.channel = early_merchants.channel
        and channels.currency_code = early_merchants.currency_code
),

final as (
    select * from account_checks
    union all
    select * from group_checks
    union all
    select * from line_checks
    union all
    select * from hold_checks
    union all
    select * from early_checks
)

select * from final
