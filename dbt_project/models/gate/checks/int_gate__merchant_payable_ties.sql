{{ config(materialized='ephemeral') }}

{#- The ledger's merchant payable moved by what was cleared, netted and paid. -#}
with arrival_groups as (
    select distinct currency_code
    from {{ ref('int_calendar__arrival_groups') }}
),

last_date as (
    select max(accounting_date) as accounting_date
    from {{ ref('int_calendar__arrival_groups') }}
    where accounting_date >= {{ previous_payment_date() }}
        and accounting_date < {{ payment_date() }}
),

account_balances as (
    select
        account_id,
        currency_code,
        debit_amount_minor,
        credit_amount_minor
    from {{ ref('account_balances') }}
    where accounting_date >= {{ previous_payment_date() }}
        and accounting_date < {{ payment_date() }}
        and ledger_account = 'merchant_payable'
),

clearing_entries as (
    select
        account_id,
        currency_code,
        clearing_amount_minor
    from {{ ref('clearing_entries') }}
    where accounting_date >= {{ previous_payment_date() }}
        and accounting_date < {{ payment_date() }}
),

-- Posted by the close of their payment date, which has to be one of the dates that are there.
advances_settled as (
    select
        statements.account_id,
        statements.currency_code,
        statements.advance_amount_minor
    from {{ ref('settlement_statements') }} as statements
    inner join last_date on statements.payment_date <= last_date.accounting_date
    where statements.payment_date >= {{ previous_payment_date() }}
        and statements.payment_date < {{ payment_date() }}
),

-- What waits for its balance is no debt of the account in the ledger, as posted by the close of
-- the payment date.
charges_moved as (
    select
        charges.account_id,
        charges.currency_code,
        charges.deferred_amount_minor - charges.released_amount_minor as amount_minor
    from {{ ref('charges') }} as charges
    inner join last_date on charges.payment_date <= last_date.accounting_date
    where charges.payment_date >= {{ previous_payment_date() }}
        and charges.payment_date < {{ payment_date() }}
),

opening_balances as (
    select
        ledger_account,
        subledger_id as account_id,
        currency_code,
        balance_minor
    from {{ ref('stg_platform__opening_balances') }}
    where accounting_date >= {{ previous_payment_date() }}
        and accounting_date < {{ payment_date() }}
        and ledger_account in ('merchant_payable', 'merchant_receivable')
),

attempt_events as (
    select
        attempt_id,
        business_date
    from {{ source('payout', 'attempt_events') }}
),

holding_states as (
    select
        attempt_id,
        event_no,
        business_date,
        holds_money,
        account_id,
        currency_code,
        amount_minor
    from {{ ref('int_payout__attempt_states') }}
),

-- An attempt under way or paid holds the merchant's money: what it held at the end of the closes
-- that this payment date pays, less what it held at the end of the close before them.
moved_attempts as (
    select distinct attempt_events.attempt_id
    from attempt_events
    inner join last_date on attempt_events.business_date <= last_date.accounting_date
    where attempt_events.business_date >= {{ previous_payment_date() }}
),

event_states as (
    select
        holding_states.attempt_id,
        holding_states.account_id,
        holding_states.currency_code,
        holding_states.amount_minor,
        holding_states.holds_money,
        holding_states.business_date >= {{ previous_payment_date() }} as is_in_window,
        row_number() over (
            partition by
                holding_states.attempt_id,
                holding_states.business_date >= {{ previous_payment_date() }}
            order by holding_states.event_no desc
        ) as event_order
    from moved_attempts
    inner join holding_states on moved_attempts.attempt_id = holding_states.attempt_id
    inner join last_date on holding_states.business_date <= last_date.accounting_date
),

-- The last event of the window against the last one before it.
attempt_states as (
    select
        attempt_id,
        account_id,
        currency_code,
        amount_minor,
        bool_or(holds_money) filter (where is_in_window) as is_holding,
        coalesce(bool_or(holds_money) filter (where not is_in_window), false) as was_holding
    from event_states
    where event_order = 1
    group by attempt_id, account_id, currency_code, amount_minor
),

payable_parts as (
    select
        account_id,
        currency_code,
        clearing_amount_minor as amount_minor
    from clearing_entries
    union all
    select
        account_id,
        currency_code,
        -advance_amount_minor as amount_minor
    from advances_settled
    union all
    select
        account_id,
        currency_code,
        amount_minor
    from charges_moved
    union all
    select
        account_id,
        currency_code,
        -balance_minor as amount_minor
    from opening_balances
    where ledger_account = 'merchant_payable'
    union all
    select
        account_id,
        currency_code,
        case when is_holding then -1 else 1 end * amount_minor as amount_minor
    from attempt_states
    where is_holding <> was_holding
),

payable_expected as (
    select
        account_id,
        currency_code,
        sum(amount_minor) as amount_minor
    from payable_parts
    group by account_id, currency_code
),

payable_booked as (
    select
        account_id,
        currency_code,
        sum(credit_amount_minor) - sum(debit_amount_minor) as amount_minor
    from account_balances
    group by account_id, currency_code
),

payable_differences as (
    select
        coalesce(payable_booked.account_id, payable_expected.account_id) as account_id,
        coalesce(payable_booked.currency_code, payable_expected.currency_code) as currency_code,
        coalesce(payable_booked.amount_minor, 0) as booked_amount_minor,
        coalesce(payable_expected.amount_minor, 0) as expected_amount_minor
    from payable_booked
    full join payable_expected
        on payable_booked.account_id = payable_expected.account_id
        and payable_booked.currency_code = payable_expected.currency_code
),

-- Merchant payable = carried + stated and unpaid + cleared and not stated, as its movement since
-- the payment date before: the ledger against clearing, statements and payouts
-- (docs/domain.md#control-accounts).
payable_checks as (
    {{ account_checks(
        'arrival_groups', 'payable_differences', 'booked_amount_minor', 'expected_amount_minor',
        says='(应付商户款与清算、结算、代付不符)'
    ) }}
),

final as (
    {{ check_rows('merchant_payable_ties', ['payable_checks']) }}
)

select * from final
