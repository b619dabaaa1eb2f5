{{ config(
    materialized='dated_partition', partition_by='payment_date', tags=['payment', 'outcomes']
) }}

{#-
    Our own book of the reserve account (银行日记账): what we expect the bank to show. Posted from
    the channels' files and from payout attempts, never from the statement it is compared with.
    One entry an arrival group and one an attempt; a group whose files net to nothing has none,
    nor has the bank.
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
        channel_amount_minor - channel_cost_amount_minor - brand_fee_amount_minor
        - adjustments_taken_amount_minor - fee_collections_amount_minor
        - recovery_fee_amount_minor as arrival_amount_minor
    from {{ ref('channel_terms') }}
    where accounting_date >= {{ payment_date() }} - 31 and accounting_date < {{ payment_date() }}
),

instructions as (
    select
        instruction_id,
        statement_id,
        currency_code,
        amount_minor
    from {{ source('payout', 'instructions') }}
),

attempts as (
    select
        attempt_id,
        instruction_id,
        end_to_end_id,
        batch_message_id,
        submitted_on
    from {{ source('payout', 'attempts') }}
),

attempt_events as (
    select
        attempt_id,
        event_no,
        status,
        business_date
    from {{ source('payout', 'attempt_events') }}
    where business_date <= {{ payment_date() }}
),

-- Only what was submitted, or heard of, since the payment date before.
attempts_of_date as (
    select attempt_id
    from attempts
    where submitted_on > {{ previous_payment_date() }} and submitted_on <= {{ payment_date() }}
    union
    select attempt_id
    from attempt_events
    where business_date > {{ previous_payment_date() }}
),

latest_events as (
    select
        attempts_of_date.attempt_id,
        attempt_events.status,
        attempt_events.business_date,
        row_number() over (
            partition by attempts_of_date.attempt_id
            order by attempt_events.event_no desc
        ) as event_order
    from attempts_of_date
    inner join attempt_events on attempts_of_date.attempt_id = attempt_events.attempt_id
),

payouts as (
    select
        attempts.attempt_id,
        attempts.end_to_end_id,
        attempts.batch_message_id,
        attempts.submitted_on,
        instructions.statement_id,
        instructions.currency_code,
        instructions.amount_minor,
        latest_events.status,
        latest_events.business_date
    from latest_events
    inner join attempts on latest_events.attempt_id = attempts.attempt_id
    inner join instructions on attempts.instruction_id = instructions.instruction_id
    where latest_events.event_order = 1
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
    group by
        arrival_groups.arrival_group_id, arrival_groups.arrival_date, arrival_groups.channel,
        arrival_groups.currency_code
),

payout_entries as (
    select
        'payout:' || attempt_id as bank_journal_entry_id,
        'payout' as entry_kind,
        'batch:' || batch_message_id as match_key,
        submitted_on as expected_on,
        cast(null as text) as channel,
        cast(null as text) as arrival_group_id,
        batch_message_id,
        attempt_id,
        statement_id,
        currency_code,
        -amount_minor as amount_minor
    from payouts
    where submitted_on > {{ previous_payment_date() }}
        and submitted_on <= {{ payment_date() }}
        and status in ('submitted', 'accepted', 'paid', 'unknown', 'returned')
),

-- Booked on an earlier date as under way, and the bank refused it since: the expectation is taken
-- back.
failed_entries as (
    select
        'payout_failed:' || attempt_id as bank_journal_entry_id,
        'payout_failed' as entry_kind,
        'batch:' || batch_message_id as match_key,
        business_date as expected_on,
        cast(null as text) as channel,
        cast(null as text) as arrival_group_id,
        batch_message_id,
        attempt_id,
        statement_id,
        currency_code,
        amount_minor
    from payouts
    where submitted_on <= {{ previous_payment_date() }}
        and status = 'failed'
        and business_date > {{ previous_payment_date() }}
),

return_entries as (
    select
        'payout_return:' || attempt_id as bank_journal_entry_id,
        'payout_return' as entry_kind,
        'return:' || end_to_end_id as match_key,
        business_date as expected_on,
        cast(null as text) as channel,
        cast(null as text) as arrival_group_id,
        batch_message_id,
        attempt_id,
        statement_id,
        currency_code,
        amount_minor
    from payouts
    where status = 'returned' and business_date > {{ previous_payment_date() }}
),

entries as (
    select * from arrival_entries
    union all
    select * from payout_entries
    union all
    select * from failed_entries
    union all
    select * from return_entries
),

final as (
    select
        {{ payment_date() }} as payment_date,
        entries.bank_journal_entry_id,
        reserve_accounts.bank_account_id,
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
    left join reserve_accounts on entries.currency_code = reserve_accounts.currency_code
    where entries.amount_minor <> 0
)

select * from final
