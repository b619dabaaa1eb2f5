{{ config(materialized='dated_partition', partition_by='accounting_date', tags=['close']) }}

{#-
    Double entry for every event of T. Each event is one posting: an amount, the account it debits
    and the account it credits; a negative amount swaps the two sides. So an event balances by its
    form, and what can still be wrong (an event forgotten, booked twice or to the wrong account)
    is what the control accounts show: the channel receivable of an arrival group ends at zero
    when its money has come.
-#}
with clearing_entries as (
    select
        entry_id,
        clearing_session_type,
        account_id,
        channel,
        currency_code,
        source_id,
        transaction_type,
        transaction_amount_minor,
        fee_amount_minor,
        deducted_fee_amount_minor,
        settlement_mode,
        arrival_group_id
    from {{ ref('clearing_entries') }}
    where accounting_date = {{ accounting_date() }}
),

accounting_vouchers as (
    select
        accounting_voucher_id,
        source_voucher_id,
        is_catch_up
    from {{ ref('accounting_vouchers') }}
    where accounting_date = {{ accounting_date() }}
),

channel_terms as (
    select
        channel,
        currency_code,
        channel_cost_amount_minor,
        brand_fee_amount_minor,
        fee_collections_amount_minor,
        recovery_fee_amount_minor,
        accrued_channel_cost_amount_minor
    from {{ ref('channel_terms') }}
    where accounting_date = {{ accounting_date() }}
),

channel_adjustments as (
    select
        adjustment_id,
        channel,
        currency_code,
        account_id,
        taken_amount_minor,
        charged_amount_minor,
        absorbed_amount_minor,
        absorbed_cost_amount_minor,
        file_id,
        line_number
    from {{ ref('channel_adjustments') }}
    where accounting_date = {{ accounting_date() }}
),

applied_adjustments as (
    select
        adjustment_id,
        target_item_id,
        channel,
        currency_code,
        funds_effect_minor,
        case
            when taken_amount_minor >= 0 then 'adjustments_receivable'
            else 'adjustments_payable'
        end as adjustment_account,
        is_last,
        file_id,
        line_number
    from {{ ref('int_reconciliation__applied_adjustments') }}
),

-- Suspended before and decided by two people now.
adjustment_actions as (
    select
        action_kind,
        adjustment_id,
        channel,
        currency_code,
        account_id,
        -funds_effect_minor as suspended_amount_minor,
        case
            when taken_amount_minor >= 0 then 'adjustments_receivable'
            else 'adjustments_payable'
        end as adjustment_account,
        file_id,
        line_number
    from {{ ref('int_reconciliation__adjustment_actions') }}
    where refused_because is null and action_kind in ('charge', 'absorb')
),

-- A written-off item that its merchant bears after all.
charged_write_offs as (
    select
        action_id,
        suspense_item_id,
        channel,
        currency_code,
        account_id,
        settlement_mode,
        charged_amount_minor
    from {{ ref('charged_write_offs') }}
    where accounting_date = {{ accounting_date() }}
),

adjusted_items as (
    select
        adjustment_id,
        suspense_item_id,
        side,
        channel,
        currency_code,
        amount_minor
    from {{ ref('int_reconciliation__adjusted_items') }}
),

item_actions as (
    select
        action_id,
        action_kind,
        suspense_item_id,
        side,
        channel,
        currency_code,
        amount_minor,
        account_id,
        settlement_mode
    from {{ ref('int_reconciliation__item_actions') }}
    -- Two items that cancel each other have one balance together: nothing to book.
    where refused_because is null and action_kind in ('adjust', 'write_off')
),

suspense_results as (
    select
        outcome,
        suspense_item_id,
        channel,
        currency_code,
        system_amount_minor,
        channel_amount_minor
    from {{ ref('reconciliation_results') }}
    where accounting_date = {{ accounting_date() }} and outcome is distinct from 'matched'
),

arrival_groups as (
    select
        channel,
        currency_code,
        arrival_group_id
    from {{ ref('int_calendar__arrival_groups') }}
    where accounting_date = {{ accounting_date() }}
),

bank_parts as (
    select
        file_id,
        line_number,
        part,
        bank_account_id,
        currency_code,
        case when unexplained_reason is null then part_kind else 'unclassified' end as line_kind,
        channel,
        arrival_group_id,
        account_id,
        amount_minor
    from {{ ref('int_bank__booked_parts') }}
    where booked_on = {{ accounting_date() }}
),

taken_bank_lines as (
    select
        decisions.decision_id,
        decisions.file_id,
        decisions.line_number,
        decisions.bank_account_id,
        decisions.currency_code,
        decisions.line_kind,
        decisions.channel,
        decisions.amount_minor,
        decisions.taken_as
    from {{ source('control', 'bank_line_decisions') }} as decisions
    inner join {{ source('control', 'bank_line_approvals') }} as approvals
        on decisions.decision_id = approvals.decision_id
    where decisions.effective_on = {{ accounting_date() }}
),

-- The ledger account a bank account's lines are booked on. An account nobody knows has none, which
-- the contract refuses.
bank_ledger_accounts as (
    select
        bank_account_id,
        case account_kind
            when 'client_reserve' then 'client_reserve_bank'
            when 'fee' then 'fee_bank'
            when 'own_funds' then 'own_funds_bank'
        end as ledger_account
    from {{ ref('bank_accounts') }}
),

attempts as (
    select
        attempt_id,
        instruction_id
    from {{ source('payout', 'attempts') }}
),

instructions as (
    select
        instruction_id,
        statement_id,
        account_id,
        currency_code,
        amount_minor
    from {{ source('payout', 'instructions') }}
),

-- An attempt has the merchant's money while it is under way or paid; failed and returned give it
-- back. What is booked is the change: an attempt that failed before it was submitted books nothing,
-- one that was paid after it failed is booked again.
attempt_events as (
    select
        attempt_id,
        event_no,
        status,
        business_date,
        status in ('submitted', 'accepted', 'unknown', 'paid') as is_under_way,
        lag(status in ('submitted', 'accepted', 'unknown', 'paid'), 1, false) over (
            partition by attempt_id
            order by event_no
        ) as was_under_way
    from {{ source('payout', 'attempt_events') }}
    where attempt_id in (
        select today.attempt_id
        from {{ source('payout', 'attempt_events') }} as today
        where today.business_date = {{ accounting_date() }}
    )
),

settled_statements as (
    select
        statements.statement_id,
        statements.account_id,
        statements.currency_code,
        statements.advance_amount_minor,
        statements.advance_fee_amount_minor
    from {{ ref('settlement_statements') }} as statements
    where
        statements.payment_date = {{ accounting_date() }}
        and (statements.advance_amount_minor <> 0 or statements.advance_fee_amount_minor <> 0)
),

-- An advance is booked on the date whose file first tells of it, also when that is late: from then
-- on a statement nets it. What was advanced before go-live stands in the opening balances.
advances as (
    select
        delivered.advance_id,
        delivered.account_id,
        delivered.currency_code,
        delivered.amount_minor
    from {{ ref('stg_platform__advances') }} as delivered
    where
        delivered.snapshot_date = {{ accounting_date() }}
        and delivered.for_accounting_date >= (
            select min(accounting_days.accounting_date)
            from {{ source('control', 'accounting_days') }} as accounting_days
        )
        and delivered.advance_id not in (
            select earlier.advance_id
            from {{ ref('stg_platform__advances') }} as earlier
            where earlier.snapshot_date >= {{ accounting_date() }} - 31
                and earlier.snapshot_date < {{ accounting_date() }}
        )
        -- One that was netted was booked before, however long ago: told of again, it is no other.
        and delivered.advance_id not in (
            select netted.advance_id
            from {{ ref('advances') }} as netted
            where netted.payment_date <= {{ accounting_date() }}
        )
),

opening_balances as (
    select
        ledger_account,
        subledger_id,
        currency_code,
        balance_minor
    from {{ ref('stg_platform__opening_balances') }}
    where accounting_date = {{ accounting_date() }}
),

chart_of_accounts as (
    select
        ledger_account,
        subledger
    from {{ ref('chart_of_accounts') }}
),

-- One row an event: debit_account/debit_subledger and credit_account/credit_subledger for a
-- positive amount.
voucher_events as (
    select
        event_kinds.event_type,
        event_kinds.posting_prefix || clearing_entries.entry_id as posting_id,
        accounting_vouchers.accounting_voucher_id as voucher_id,
        clearing_entries.source_id,
        clearing_entries.channel,
        clearing_entries.settlement_mode,
        clearing_entries.currency_code,
        case
            when event_kinds.event_type = 'transaction'
                then clearing_entries.transaction_amount_minor
            else clearing_entries.fee_amount_minor
        end as amount_minor,
        case
            when event_kinds.event_type = 'transaction' then 'channel_receivable'
            when clearing_entries.settlement_mode = 'net' then 'merchant_payable'
            else 'merchant_fee_receivable'
        end as debit_account,
        case
            when event_kinds.event_type = 'transaction' then clearing_entries.arrival_group_id
            else clearing_entries.account_id
        end as debit_subledger_id,
        case
            when event_kinds.event_type = 'transaction' then 'merchant_payable'
            else 'fee_income'
        end as credit_account,
        case
            when event_kinds.event_type = 'transaction' then clearing_entries.account_id
            else clearing_entries.channel
        end as credit_subledger_id,
        accounting_vouchers.is_catch_up,
        cast(null as text) as file_id,
        cast(null as integer) as line_number
    from clearing_entries
    inner join accounting_vouchers
        on clearing_entries.source_id = accounting_vouchers.source_voucher_id
    cross join (
        select 'transaction' as event_type, 'TX:' as posting_prefix
        union all
        select 'merchant_fee' as event_type, 'FEE:' as posting_prefix
    ) as event_kinds
    where clearing_entries.clearing_session_type = 'transaction'
),

channel_term_amounts as (
    select channel, currency_code, 'channel_cost' as term, channel_cost_amount_minor as amount_minor
    from channel_terms
    union all
    select channel, currency_code, 'brand_fee' as term, brand_fee_amount_minor as amount_minor
    from channel_terms
    union all
    select
        channel,
        currency_code,
        'fee_collection' as term,
        fee_collections_amount_minor as amount_minor
    from channel_terms
    union all
    select channel, currency_code, 'recovery_fee' as term, recovery_fee_amount_minor as amount_minor
    from channel_terms
    union all
    select
        channel,
        currency_code,
        'accrued_channel_cost' as term,
        accrued_channel_cost_amount_minor as amount_minor
    from channel_terms
),

channel_term_events as (
    select
        channel_term_amounts.term as event_type,
        'TERM:' || channel_term_amounts.channel || ':' || channel_term_amounts.currency_code || ':'
        || channel_term_amounts.term as posting_id,
        'CH-' || channel_term_amounts.channel || '-' || channel_term_amounts.term as voucher_id,
        channel_term_amounts.channel as source_id,
        channel_term_amounts.channel,
        cast(null as text) as settlement_mode,
        channel_term_amounts.currency_code,
        channel_term_amounts.amount_minor,
        case
            when channel_term_amounts.term in ('channel_cost', 'brand_fee')
                then channel_term_amounts.term
            when channel_term_amounts.term = 'accrued_channel_cost' then 'channel_cost'
            else 'other_channel_fees'
        end as debit_account,
        channel_term_amounts.channel as debit_subledger_id,
        case
            when channel_term_amounts.term = 'accrued_channel_cost' then 'accrued_channel_cost'
            else 'channel_receivable'
        end as credit_account,
        case
            when channel_term_amounts.term = 'accrued_channel_cost'
                then channel_term_amounts.channel
            else arrival_groups.arrival_group_id
        end as credit_subledger_id,
        false as is_catch_up,
        cast(null as text) as file_id,
        cast(null as integer) as line_number
    from channel_term_amounts
    -- Here and below: without an arrival group the sub-ledger is NULL, which the contract refuses.
    left join arrival_groups
        on channel_term_amounts.channel = arrival_groups.channel
        and channel_term_amounts.currency_code = arrival_groups.currency_code
),

suspense_events as (
    select
        case
            when suspense_results.outcome in ('system_resolved', 'channel_resolved')
                then 'suspense_release'
            else 'suspense_posting'
        end as event_type,
        'SUS:' || suspense_results.outcome || ':' || suspense_results.suspense_item_id
            as posting_id,
        'SUS-' || suspense_results.suspense_item_id as voucher_id,
        suspense_results.suspense_item_id as source_id,
        suspense_results.channel,
        cast(null as text) as settlement_mode,
        suspense_results.currency_code,
        case
            when suspense_results.outcome in ('system_resolved', 'channel_resolved') then -1
            else 1
        end
        * case
            when split_part(suspense_results.outcome, '_', 1) = 'system'
                then suspense_results.system_amount_minor
            else suspense_results.channel_amount_minor
        end as amount_minor,
        case
            when split_part(suspense_results.outcome, '_', 1) = 'system' then 'system_suspense'
            else 'channel_receivable'
        end as debit_account,
        case
            when split_part(suspense_results.outcome, '_', 1) = 'system'
                then suspense_results.channel
            else arrival_groups.arrival_group_id
        end as debit_subledger_id,
        case
            when split_part(suspense_results.outcome, '_', 1) = 'system' then 'channel_receivable'
            else 'channel_suspense'
        end as credit_account,
        case
            when split_part(suspense_results.outcome, '_', 1) = 'system'
                then arrival_groups.arrival_group_id
            else suspense_results.channel
        end as credit_subledger_id,
        false as is_catch_up,
        cast(null as text) as file_id,
        cast(null as integer) as line_number
    from suspense_results
    left join arrival_groups
        on suspense_results.channel = arrival_groups.channel
        and suspense_results.currency_code = arrival_groups.currency_code
),

adjustment_accounts as (
    select
        channel_adjustments.*,
        case
            when taken_amount_minor >= 0 then 'adjustments_receivable'
            else 'adjustments_payable'
        end as adjustment_account
    from channel_adjustments
),

adjustment_events as (
    select
        'adjustment_taken' as event_type,
        'ADJ:' || adjustment_accounts.adjustment_id || ':taken' as posting_id,
        'ADJ-' || adjustment_accounts.adjustment_id as voucher_id,
        adjustment_accounts.adjustment_id as source_id,
        adjustment_accounts.channel,
        cast(null as text) as settlement_mode,
        adjustment_accounts.currency_code,
        adjustment_accounts.taken_amount_minor as amount_minor,
        adjustment_accounts.adjustment_account as debit_account,
        adjustment_accounts.channel as debit_subledger_id,
        'channel_receivable' as credit_account,
        arrival_groups.arrival_group_id as credit_subledger_id,
        false as is_catch_up,
        adjustment_accounts.file_id,
        adjustment_accounts.line_number
    from adjustment_accounts
    left join arrival_groups
        on adjustment_accounts.channel = arrival_groups.channel
        and adjustment_accounts.currency_code = arrival_groups.currency_code
    union all
    select
        'adjustment_charged' as event_type,
        'ADJ:' || adjustment_id || ':charged' as posting_id,
        'ADJ-' || adjustment_id as voucher_id,
        adjustment_id as source_id,
        channel,
        cast(null as text) as settlement_mode,
        currency_code,
        charged_amount_minor as amount_minor,
        'merchant_payable' as debit_account,
        account_id as debit_subledger_id,
        adjustment_account as credit_account,
        channel as credit_subledger_id,
        false as is_catch_up,
        file_id,
        line_number
    from adjustment_accounts
    where charged_amount_minor <> 0
    union all
    select
        'adjustment_absorbed' as event_type,
        'ADJ:' || adjustment_id || ':absorbed' as posting_id,
        'ADJ-' || adjustment_id as voucher_id,
        adjustment_id as source_id,
        channel,
        cast(null as text) as settlement_mode,
        currency_code,
        absorbed_amount_minor - absorbed_cost_amount_minor as amount_minor,
        case
            when absorbed_amount_minor > absorbed_cost_amount_minor then 'losses'
            else 'gains'
        end as debit_account,
        channel as debit_subledger_id,
        adjustment_account as credit_account,
        channel as credit_subledger_id,
        false as is_catch_up,
        file_id,
        line_number
    from adjustment_accounts
    where absorbed_amount_minor <> absorbed_cost_amount_minor
    union all
    -- Cost that the channel gives back with an adjustment lowers our cost: it is no gain.
    select
        'adjustment_cost' as event_type,
        'ADJ:' || adjustment_id || ':cost' as posting_id,
        'ADJ-' || adjustment_id as voucher_id,
        adjustment_id as source_id,
        channel,
        cast(null as text) as settlement_mode,
        currency_code,
        absorbed_cost_amount_minor as amount_minor,
        'channel_cost' as debit_account,
        channel as debit_subledger_id,
        adjustment_account as credit_account,
        channel as credit_subledger_id,
        false as is_catch_up,
        file_id,
        line_number
    from adjustment_accounts
    where absorbed_cost_amount_minor <> 0
    union all
    -- What the channel took or gave waited on the adjustment's account; it leaves it whole.
    select
        case action_kind when 'charge' then 'adjustment_charged' else 'adjustment_absorbed' end
            as event_type,
        'ADJ:' || adjustment_id || ':' || case action_kind
            when 'charge' then 'charged'
            else 'absorbed'
        end as posting_id,
        'ADJ-' || adjustment_id as voucher_id,
        adjustment_id as source_id,
        channel,
        cast(null as text) as settlement_mode,
        currency_code,
        suspended_amount_minor as amount_minor,
        case
            when action_kind = 'charge' then 'merchant_payable'
            when suspended_amount_minor > 0 then 'losses'
            else 'gains'
        end as debit_account,
        case action_kind when 'charge' then account_id else channel end as debit_subledger_id,
        adjustment_account as credit_account,
        channel as credit_subledger_id,
        false as is_catch_up,
        file_id,
        line_number
    from adjustment_actions
),

-- The item's suspense ends and stands against the adjustment that completed it: for a channel item
-- the channel took back what it had paid too much, for a system item it paid what it had not. What
-- earlier adjustments of the same target hold in the other account is brought there.
adjusted_item_events as (
    select
        'adjustment_applied' as event_type,
        'ADJ:' || adjusted_items.adjustment_id || ':' || adjusted_items.suspense_item_id
            as posting_id,
        'ADJ-' || adjusted_items.adjustment_id as voucher_id,
        adjusted_items.adjustment_id as source_id,
        adjusted_items.channel,
        cast(null as text) as settlement_mode,
        adjusted_items.currency_code,
        adjusted_items.amount_minor,
        case
            when adjusted_items.side = 'channel' then 'channel_suspense'
            else applied_adjustments.adjustment_account
        end as debit_account,
        adjusted_items.channel as debit_subledger_id,
        case
            when adjusted_items.side = 'channel' then applied_adjustments.adjustment_account
            else 'system_suspense'
        end as credit_account,
        adjusted_items.channel as credit_subledger_id,
        false as is_catch_up,
        applied_adjustments.file_id,
        applied_adjustments.line_number
    from adjusted_items
    inner join applied_adjustments
        on adjusted_items.adjustment_id = applied_adjustments.adjustment_id
    union all
    select
        'adjustment_applied' as event_type,
        'ADJ:' || earlier.adjustment_id || ':joined' as posting_id,
        'ADJ-' || earlier.adjustment_id as voucher_id,
        earlier.adjustment_id as source_id,
        earlier.channel,
        cast(null as text) as settlement_mode,
        earlier.currency_code,
        earlier.funds_effect_minor as amount_minor,
        earlier.adjustment_account as debit_account,
        earlier.channel as debit_subledger_id,
        completing.adjustment_account as credit_account,
        earlier.channel as credit_subledger_id,
        false as is_catch_up,
        earlier.file_id,
        earlier.line_number
    from applied_adjustments as earlier
    inner join applied_adjustments as completing
        on earlier.target_item_id = completing.target_item_id and completing.is_last
    where earlier.adjustment_account <> completing.adjustment_account
),

-- What people decided: an item is charged or credited to a merchant, or written off.
item_action_events as (
    select
        case action_kind when 'adjust' then 'manual_adjustment' else 'write_off' end as event_type,
        'ACT:' || action_id || ':' || suspense_item_id as posting_id,
        'ACT-' || action_id as voucher_id,
        'ACT:' || action_id as source_id,
        channel,
        settlement_mode,
        currency_code,
        amount_minor,
        case
            when side = 'channel' then 'channel_suspense'
            when action_kind = 'adjust' then 'merchant_payable'
            else 'write_offs'
        end as debit_account,
        case
            when side = 'channel' or action_kind <> 'adjust' then channel
            else account_id
        end as debit_subledger_id,
        case
            when side = 'system' then 'system_suspense'
            when action_kind = 'adjust' then 'merchant_payable'
            else 'write_offs'
        end as credit_account,
        case
            when side = 'system' or action_kind <> 'adjust' then channel
            else account_id
        end as credit_subledger_id,
        false as is_catch_up,
        cast(null as text) as file_id,
        cast(null as integer) as line_number
    from item_actions
    union all
    -- The write-off took the item from suspense as our loss: charged, it is no loss any more.
    select
        'manual_adjustment' as event_type,
        'ACT:' || action_id || ':' || suspense_item_id as posting_id,
        'ACT-' || action_id as voucher_id,
        'ACT:' || action_id as source_id,
        channel,
        settlement_mode,
        currency_code,
        charged_amount_minor as amount_minor,
        'merchant_payable' as debit_account,
        account_id as debit_subledger_id,
        'write_offs' as credit_account,
        channel as credit_subledger_id,
        false as is_catch_up,
        cast(null as text) as file_id,
        cast(null as integer) as line_number
    from charged_write_offs
),

-- Fees given back, or taken again, with an adjustment or by a late approval; no term of the
-- equation.
adjustment_fee_events as (
    select
        case transaction_type
            when 'term_adjustment' then 'term_adjustment'
            else 'adjustment_fee'
        end as event_type,
        'ADJFEE:' || entry_id || ':' || part as posting_id,
        'FEE-' || source_id as voucher_id,
        source_id,
        channel,
        settlement_mode,
        currency_code,
        fee_minor as amount_minor,
        case part when 'deducted' then 'merchant_payable' else 'merchant_fee_receivable' end
            as debit_account,
        account_id as debit_subledger_id,
        'fee_income' as credit_account,
        channel as credit_subledger_id,
        false as is_catch_up,
        cast(null as text) as file_id,
        cast(null as integer) as line_number
    from (
        select
            clearing_entries.*,
            parts.part,
            case parts.part
                when 'deducted' then clearing_entries.deducted_fee_amount_minor
                else clearing_entries.fee_amount_minor - clearing_entries.deducted_fee_amount_minor
            end as fee_minor
        from clearing_entries
        cross join (
            select 'deducted' as part
            union all
            select 'billed' as part
        ) as parts
        where clearing_entries.clearing_session_type = 'adjustment'
    ) as fee_parts
    where fee_minor <> 0
),

-- What is not explained of a line is suspense, until two people say what it is.
bank_events as (
    select
        'bank_' || bank_parts.line_kind as event_type,
        'BANK:' || bank_parts.file_id || ':' || bank_parts.line_number || ':'
        || bank_parts.part as posting_id,
        'BANK-' || bank_parts.file_id || '-' || bank_parts.line_number as voucher_id,
        bank_parts.file_id || ':' || bank_parts.line_number as source_id,
        bank_parts.channel,
        cast(null as text) as settlement_mode,
        bank_parts.currency_code,
        bank_parts.amount_minor,
        bank_ledger_accounts.ledger_account as debit_account,
        bank_parts.bank_account_id as debit_subledger_id,
        case
            when bank_parts.line_kind = 'channel_arrival' then 'channel_receivable'
            when bank_parts.line_kind in ('payout_debit', 'payout_return')
                then 'payouts_in_transit'
            when bank_parts.line_kind = 'period_fee' then 'accrued_channel_cost'
            when bank_parts.line_kind in ('bank_charge', 'bank_interest')
                then 'bank_charges_and_interest'
            else 'bank_suspense'
        end as credit_account,
        case
            when bank_parts.line_kind = 'channel_arrival'
                then bank_parts.arrival_group_id
            when bank_parts.line_kind in ('payout_debit', 'payout_return')
                then bank_parts.account_id
            when bank_parts.line_kind = 'period_fee' then bank_parts.channel
            else bank_parts.bank_account_id
        end as credit_subledger_id,
        false as is_catch_up,
        bank_parts.file_id,
        bank_parts.line_number
    from bank_parts
    left join bank_ledger_accounts
        on bank_parts.bank_account_id = bank_ledger_accounts.bank_account_id
    union all
    select
        'bank_line_taken' as event_type,
        'TAKEN:' || taken_bank_lines.decision_id as posting_id,
        'TAKEN-' || taken_bank_lines.decision_id as voucher_id,
        taken_bank_lines.file_id || ':' || taken_bank_lines.line_number as source_id,
        taken_bank_lines.channel,
        cast(null as text) as settlement_mode,
        taken_bank_lines.currency_code,
        taken_bank_lines.amount_minor,
        -- A fee period's line was booked on what was accrued.
        case
            when taken_bank_lines.line_kind = 'period_fee' then 'accrued_channel_cost'
            else 'bank_suspense'
        end as debit_account,
        case
            when taken_bank_lines.line_kind = 'period_fee' then taken_bank_lines.channel
            else taken_bank_lines.bank_account_id
        end as debit_subledger_id,
        case taken_bank_lines.taken_as
            when 'claim_on_bank' then 'claims_on_banks'
            when 'bank_charge' then 'bank_charges_and_interest'
            when 'own_error' then 'own_transfers_in_transit'
        end as credit_account,
        taken_bank_lines.bank_account_id as credit_subledger_id,
        false as is_catch_up,
        taken_bank_lines.file_id,
        taken_bank_lines.line_number
    from taken_bank_lines
),

payout_events as (
    select
        'payout_' || attempt_events.status as event_type,
        'PAY:' || attempt_events.attempt_id || ':' || attempt_events.event_no as posting_id,
        'PAY-' || attempt_events.attempt_id as voucher_id,
        instructions.statement_id as source_id,
        cast(null as text) as channel,
        cast(null as text) as settlement_mode,
        instructions.currency_code,
        case when attempt_events.is_under_way then 1 else -1 end * instructions.amount_minor
            as amount_minor,
        'merchant_payable' as debit_account,
        instructions.account_id as debit_subledger_id,
        'payouts_in_transit' as credit_account,
        instructions.account_id as credit_subledger_id,
        false as is_catch_up,
        cast(null as text) as file_id,
        cast(null as integer) as line_number
    from attempt_events
    inner join attempts on attempt_events.attempt_id = attempts.attempt_id
    inner join instructions on attempts.instruction_id = instructions.instruction_id
    where
        attempt_events.business_date = {{ accounting_date() }}
        and attempt_events.is_under_way is distinct from attempt_events.was_under_way
),

advance_events as (
    select
        'advance_paid' as event_type,
        'ADV:' || advance_id || ':paid' as posting_id,
        'ADV-' || advance_id as voucher_id,
        advance_id as source_id,
        cast(null as text) as channel,
        cast(null as text) as settlement_mode,
        currency_code,
        amount_minor,
        'advances' as debit_account,
        account_id as debit_subledger_id,
        'own_funds_bank' as credit_account,
        'own' as credit_subledger_id,
        false as is_catch_up,
        cast(null as text) as file_id,
        cast(null as integer) as line_number
    from advances
    union all
    select
        'advance_settled' as event_type,
        'ADV:' || statement_id || ':settled' as posting_id,
        'ADV-' || statement_id as voucher_id,
        statement_id as source_id,
        cast(null as text) as channel,
        cast(null as text) as settlement_mode,
        currency_code,
        advance_amount_minor - advance_fee_amount_minor as amount_minor,
        'merchant_payable' as debit_account,
        account_id as debit_subledger_id,
        'advances' as credit_account,
        account_id as credit_subledger_id,
        false as is_catch_up,
        cast(null as text) as file_id,
        cast(null as integer) as line_number
    from settled_statements
    union all
    select
        'advance_fee' as event_type,
        'ADV:' || statement_id || ':fee' as posting_id,
        'ADV-' || statement_id as voucher_id,
        statement_id as source_id,
        cast(null as text) as channel,
        cast(null as text) as settlement_mode,
        currency_code,
        advance_fee_amount_minor as amount_minor,
        'merchant_payable' as debit_account,
        account_id as debit_subledger_id,
        'fee_income' as credit_account,
        'advances' as credit_subledger_id,
        false as is_catch_up,
        cast(null as text) as file_id,
        cast(null as integer) as line_number
    from settled_statements
),

events as (
    select * from voucher_events
    union all
    select * from channel_term_events
    union all
    select * from suspense_events
    union all
    select * from adjustment_events
    union all
    select * from adjusted_item_events
    union all
    select * from item_action_events
    union all
    select * from adjustment_fee_events
    union all
    select * from bank_events
    union all
    select * from payout_events
    union all
    select * from advance_events
),

-- An event that moves nothing books nothing.
booked_events as (
    select *
    from events
    where amount_minor <> 0
),

sides as (
    select
        booked_events.posting_id || ':' || posting_sides.side_code as entry_id,
        booked_events.voucher_id,
        booked_events.event_type,
        booked_events.source_id,
        booked_events.channel,
        booked_events.settlement_mode,
        booked_events.currency_code,
        case
            when posting_sides.takes_debit_account = (booked_events.amount_minor > 0)
                then booked_events.debit_account
            else booked_events.credit_account
        end as ledger_account,
        case
            when posting_sides.takes_debit_account = (booked_events.amount_minor > 0)
                then booked_events.debit_subledger_id
            else booked_events.credit_subledger_id
        end as subledger_id,
        posting_sides.direction,
        abs(booked_events.amount_minor) as amount_minor,
        booked_events.is_catch_up,
        booked_events.file_id,
        booked_events.line_number
    from booked_events
    cross join (
        select 'D' as side_code, 'debit' as direction, true as takes_debit_account
        union all
        select 'C' as side_code, 'credit' as direction, false as takes_debit_account
    ) as posting_sides
    union all
    -- Opening balances at go-live come one side a row; the trial balance proves that they balance.
    select
        'OPEN:' || ledger_account || ':' || subledger_id || ':' || currency_code as entry_id,
        'OPENING' as voucher_id,
        'opening_balance' as event_type,
        ledger_account as source_id,
        cast(null as text) as channel,
        cast(null as text) as settlement_mode,
        currency_code,
        ledger_account,
        subledger_id,
        case when balance_minor > 0 then 'debit' else 'credit' end as direction,
        abs(balance_minor) as amount_minor,
        false as is_catch_up,
        cast(null as text) as file_id,
        cast(null as integer) as line_number
    from opening_balances
    where balance_minor <> 0
),

final as (
    select
        {{ accounting_date() }} as accounting_date,
        sides.entry_id,
        sides.voucher_id,
        sides.event_type,
        sides.source_id,
        sides.channel,
        sides.settlement_mode,
        sides.currency_code,
        sides.ledger_account,
        sides.subledger_id,
        case when chart_of_accounts.subledger = 'account' then sides.subledger_id end
            as account_id,
        case when chart_of_accounts.subledger = 'arrival_group' then sides.subledger_id end
            as arrival_group_id,
        sides.direction,
        sides.amount_minor,
        sides.is_catch_up,
        sides.file_id,
        sides.line_number
    from sides
    -- An account that is not in the chart must not make its entry vanish; a test names it.
    left join chart_of_accounts on sides.ledger_account = chart_of_accounts.ledger_account
)

select * from final
