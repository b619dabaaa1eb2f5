{{ config(
    materialized='dated_partition', partition_by='payment_date', tags=['payment', 'outcomes']
) }}

{#-
    Our own book of each bank account (银行日记账): what we expect the bank to show. Posted from the
    channels' files and from payout attempts, never from the statement it is compared with
    (docs/domain.md#bank-journal). One entry an arrival group, one an accounting date of a channel
    that bills its cost apart, and one each time a payout goes under way, fails or comes back, or
    what a debit of a fee bill is to bring changes, one an advance, its failure, each side of a
    transfer between client reserve and own funds, and what two people entered; a group whose files
    net to nothing has none, nor has the bank. An entry stands in the payment date that first knew
    of it.
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

channel_terms as (
    select
        accounting_date,
        channel,
        currency_code,
        accrued_channel_cost_amount_minor,
        channel_amount_minor - channel_cost_amount_minor - brand_fee_amount_minor
        - adjustments_taken_amount_minor - fee_collections_amount_minor
        - recovery_fee_amount_minor as arrival_amount_minor
    from {{ ref('channel_terms') }}
    where accounting_date >= {{ days_back(payment_date()) }}
        and accounting_date < {{ payment_date() }}
),

channel_cost_bills as (
    select
        channel,
        bill_period,
        bank_account_id
    from {{ ref('channel_cost_bills') }}
),

calendar_days as (
    select
        calendar_date,
        next_working_day
    from {{ ref('calendar_days') }}
),

-- Another payment date has these already, however long ago: a payout that comes back after months
-- tells of its submission again.
known_entries as (
    select bank_journal_entry_id
    from {{ this }}
    where payment_date <> {{ payment_date() }}
),

-- Only what was heard of lately; a statement that lands late tells of days before.
attempts_of_date as (
    select distinct attempt_id
    from {{ source('payout', 'attempt_events') }}
    where business_date > {{ days_back(previous_payment_date()) }}
        and business_date <= {{ payment_date() }}
),

attempt_states as (
    select
        attempt_id,
        event_no,
        status,
        business_date,
        holds_money,
        held_money_before,
        end_to_end_id,
        batch_message_id,
        statement_id,
        currency_code,
        amount_minor
    from {{ ref('int_payout__attempt_states') }}
    where business_date <= {{ payment_date() }}
),

collection_states as (
    select
        collection_id,
        event_no,
        business_date,
        bank_account_id,
        currency_code,
        booked_amount_minor - booked_before_minor as amount_minor
    from {{ ref('int_fees__collection_states') }}
    where business_date > {{ days_back(previous_payment_date()) }}
        and business_date <= {{ payment_date() }}
        and booked_amount_minor <> booked_before_minor
),

told_entries as (
    select
        entry_id,
        entry_kind,
        line_kind,
        reference_text,
        bank_account_id,
        currency_code,
        amount_minor,
        expected_on,
        row_number() over (
            partition by entry_id
            order by effective_on
        ) as told_order
    from {{ ref('int_bank__own_entries') }}
    where effective_on > {{ days_back(previous_payment_date()) }}
        and effective_on <= {{ payment_date() }}
),

-- Channels pay into, and payouts leave from, the client reserve of the currency.
reserve_accounts as (
    select
        bank_account_id,
        currency_code
    from {{ ref('bank_accounts') }}
    where account_kind = 'client_reserve'
),

arrival_entries as (
    select
        'arrival:' || arrival_groups.arrival_group_id as bank_journal_entry_id,
        reserve_accounts.bank_account_id,
        'channel_arrival' as entry_kind,
        'arrival:' || arrival_groups.arrival_group_id as match_key,
        arrival_groups.arrival_date as expected_on,
        arrival_groups.channel,
        arrival_groups.arrival_group_id,
        cast(null as text) as batch_message_id,
        cast(null as text) as attempt_id,
        cast(null as text) as statement_id,
        arrival_groups.currency_code,
        sum(channel_terms.arrival_amount_minor) as amount_minor
    from arrival_groups
    inner join channel_terms
        on arrival_groups.channel = channel_terms.channel
        and arrival_groups.currency_code = channel_terms.currency_code
        and arrival_groups.accounting_date = channel_terms.accounting_date
    left join reserve_accounts
        on arrival_groups.currency_code = reserve_accounts.currency_code
    group by
        arrival_groups.arrival_group_id, arrival_groups.arrival_date, arrival_groups.channel,
        arrival_groups.currency_code, reserve_accounts.bank_account_id
),

-- Cost billed apart is owed date by date and charged in one line after its period.
bill_periods as (
    select
        channel_terms.accounting_date,
        channel_terms.channel,
        channel_terms.currency_code,
        channel_terms.accrued_channel_cost_amount_minor,
        channel_cost_bills.bank_account_id,
        case channel_cost_bills.bill_period
            when 'week' then to_char(channel_terms.accounting_date, 'IYYY"W"IW')
            when 'month' then to_char(channel_terms.accounting_date, 'YYYYMM')
        end as bill_period_id,
        case channel_cost_bills.bill_period
            when 'week' then cast(date_trunc('week', channel_terms.accounting_date) as date) + 6
            when 'month'
                then cast(
                    date_trunc('month', channel_terms.accounting_date)
                    + interval '1 month - 1 day' as date
                )
        end as bill_period_ends_on
    from channel_terms
    left join channel_cost_bills on channel_terms.channel = channel_cost_bills.channel
    where
        channel_terms.accrued_channel_cost_amount_minor <> 0
        and channel_terms.accounting_date + 1 > {{ previous_payment_date() }}
        and channel_terms.accounting_date + 1 <= {{ payment_date() }}
),

period_fee_entries as (
    select
        'period_fee:' || bill_periods.channel || '-'
        || to_char(bill_periods.accounting_date, 'YYYYMMDD') || '-' || bill_periods.currency_code
            as bank_journal_entry_id,
        bill_periods.bank_account_id,
        'period_fee' as entry_kind,
        'period_fee:' || bill_periods.channel || ':' || bill_periods.bill_period_id as match_key,
        calendar_days.next_working_day as expected_on,
        bill_periods.channel,
        cast(null as text) as arrival_group_id,
        cast(null as text) as batch_message_id,
        cast(null as text) as attempt_id,
        cast(null as text) as statement_id,
        bill_periods.currency_code,
        -bill_periods.accrued_channel_cost_amount_minor as amount_minor
    from bill_periods
    left join calendar_days on bill_periods.bill_period_ends_on = calendar_days.calendar_date
),

-- The money is under way, or it is not: what changes is an entry.
payout_entries as (
    select
        case
            when attempt_states.holds_money then 'payout'
            when attempt_states.status = 'returned' then 'payout_return'
            else 'payout_failed'
        end as entry_kind,
        attempt_states.attempt_id,
        attempt_states.event_no,
        attempt_states.business_date,
        attempt_states.end_to_end_id,
        attempt_states.batch_message_id,
        attempt_states.statement_id,
        attempt_states.currency_code,
        case when attempt_states.holds_money then -1 else 1 end * attempt_states.amount_minor
            as amount_minor
    from attempt_states
    inner join attempts_of_date on attempt_states.attempt_id = attempts_of_date.attempt_id
    where attempt_states.holds_money is distinct from attempt_states.held_money_before
),

entries as (
    select * from arrival_entries
    union all
    select * from period_fee_entries
    union all
    select
        payout_entries.entry_kind || ':' || payout_entries.attempt_id || ':'
        || payout_entries.event_no as bank_journal_entry_id,
        reserve_accounts.bank_account_id,
        payout_entries.entry_kind,
        case
            when payout_entries.entry_kind = 'payout_return'
                then 'return:' || payout_entries.end_to_end_id
            else 'batch:' || payout_entries.batch_message_id
        end as match_key,
        payout_entries.business_date as expected_on,
        cast(null as text) as channel,
        cast(null as text) as arrival_group_id,
        payout_entries.batch_message_id,
        payout_entries.attempt_id,
        payout_entries.statement_id,
        payout_entries.currency_code,
        payout_entries.amount_minor
    from payout_entries
    left join reserve_accounts on payout_entries.currency_code = reserve_accounts.currency_code
    union all
    -- Each debit of a fee bill arrives in a line of its own, named by the debit.
    select
        case when amount_minor > 0 then 'fee_collection' else 'fee_collection_ended' end || ':'
        || collection_id || ':' || event_no as bank_journal_entry_id,
        bank_account_id,
        case when amount_minor > 0 then 'fee_collection' else 'fee_collection_ended' end
            as entry_kind,
        'fee_collection:' || collection_id as match_key,
        business_date as expected_on,
        cast(null as text) as channel,
        cast(null as text) as arrival_group_id,
        cast(null as text) as batch_message_id,
        collection_id as attempt_id,
        cast(null as text) as statement_id,
        currency_code,
        amount_minor
    from collection_states
    union all
    select
        told_entries.entry_id as bank_journal_entry_id,
        told_entries.bank_account_id,
        told_entries.entry_kind,
        told_entries.line_kind || ':' || told_entries.reference_text as match_key,
        told_entries.expected_on,
        cast(null as text) as channel,
        cast(null as text) as arrival_group_id,
        cast(null as text) as batch_message_id,
        cast(null as text) as attempt_id,
        cast(null as text) as statement_id,
        told_entries.currency_code,
        told_entries.amount_minor
    from told_entries
    where told_entries.told_order = 1
),

final as (
    select
        {{ payment_date() }} as payment_date,
        entries.bank_journal_entry_id,
        entries.bank_account_id,
        entries.entry_kind,
        entries.match_key,
        entries.expected_on,
        entries.channel,
        entries.arrival_group_id,
        entries.batch_message_id,
        entries.attempt_id,
        entries.statement_id,
        entries.currency_code,
        entries.amount_minor
    from entries
    left join known_entries
        on entries.bank_journal_entry_id = known_entries.bank_journal_entry_id
    where entries.amount_minor <> 0 and known_entries.bank_journal_entry_id is null
)

select * from final
