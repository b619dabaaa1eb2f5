{{ config(
    materialized='table', schema='intermediate', unlogged=true, tags=['payment'],
    post_hook='analyze {{ this }}'
) }}

{#-
    What each account, session and currency has on the payment date before any charge that may
    wait, any transfer between sessions and any freeze: the parts of the statement that depend on
    nothing else of it (docs/domain.md#statement).
-#}
with clearing_entries as (
    select
        accounting_date,
        entry_id,
        clearing_session_type,
        account_id,
        currency_code,
        is_foreign_card,
        settlement_mode,
        transaction_amount_minor,
        fee_amount_minor,
        deducted_fee_amount_minor,
        clearing_amount_minor
    from {{ ref('clearing_entries') }}
    where accounting_date >= {{ days_back(payment_date()) }}
        and accounting_date < {{ payment_date() }}
        and payment_date = {{ payment_date() }}
),

advances as (
    select
        account_id,
        currency_code,
        advance_amount_minor,
        advance_fee_amount_minor
    from {{ ref('advances') }}
    where payment_date = {{ payment_date() }}
),

holds as (
    select
        account_id,
        settlement_session_type,
        currency_code,
        closing_amount_minor
    from {{ ref('holds') }}
    where payment_date = {{ payment_date() }} and closing_amount_minor <> 0
),

statements_before as (
    select
        account_id,
        settlement_session_type,
        currency_code,
        carried_forward_amount_minor,
        row_number() over (
            partition by account_id, settlement_session_type, currency_code
            order by settlement_session_no desc
        ) as session_order
    from {{ settlement_statements_relation() }}
    where payment_date = {{ previous_payment_date() }}
),

-- What was owed to merchants at go-live (debit +) is the first payment date's previous_unsettled.
opening_balances as (
    select
        subledger_id as account_id,
        currency_code,
        balance_minor
    from {{ ref('stg_platform__opening_balances') }}
    where accounting_date >= {{ previous_payment_date() }}
        and accounting_date < {{ payment_date() }}
        and ledger_account in ('merchant_payable', 'merchant_receivable')
),

session_entries as (
    select
        clearing_entries.*,
        {{ settlement_session_type('clearing_entries') }} as settlement_session_type,
        clearing_entries.clearing_session_type = 'transaction' as is_transaction,
        {{ is_deferrable_charge('clearing_entries') }} as is_charge
    from clearing_entries
),

components as (
    select
        account_id,
        settlement_session_type,
        currency_code,
        count(*) filter (where is_transaction) as transaction_count,
        sum(transaction_amount_minor) filter (where is_transaction) as transaction_amount_minor,
        sum(fee_amount_minor) filter (where is_transaction) as fee_amount_minor,
        sum(deducted_fee_amount_minor) filter (where is_transaction)
            as deducted_fee_amount_minor,
        count(*) filter (where not is_transaction) as adjustment_count,
        sum(clearing_amount_minor) filter (where not is_transaction) as adjustment_amount_minor,
        {{ array_of('accounting_date', order_by='accounting_date') }} as accounting_dates,
        min(settlement_mode) as lowest_mode,
        max(settlement_mode) as highest_mode
    from session_entries
    where not is_charge
    group by account_id, settlement_session_type, currency_code
),

advance_totals as (
    select
        account_id,
        'transaction' as settlement_session_type,
        currency_code,
        sum(advance_amount_minor) as advance_amount_minor,
        sum(advance_fee_amount_minor) as advance_fee_amount_minor
    from advances
    group by account_id, currency_code
),

hold_totals as (
    select
        account_id,
        settlement_session_type,
        currency_code,
        sum(closing_amount_minor) as held_amount_minor
    from holds
    group by account_id, settlement_session_type, currency_code
),

carried_parts as (
    select
        account_id,
        settlement_session_type,
        currency_code,
        carried_forward_amount_minor as amount_minor
    from statements_before
    where session_order = 1
    union all
    select
        account_id,
        'transaction' as settlement_session_type,
        currency_code,
        -balance_minor as amount_minor
    from opening_balances
),

carried_totals as (
    select
        account_id,
        settlement_session_type,
        currency_code,
        sum(amount_minor) as previous_unsettled_amount_minor
    from carried_parts
    group by account_id, settlement_session_type, currency_code
),

grain as (
    select account_id, settlement_session_type, currency_code from components
    union
    select account_id, settlement_session_type, currency_code from advance_totals
    union
    select account_id, settlement_session_type, currency_code from carried_totals
    where previous_unsettled_amount_minor <> 0
    union
    select account_id, settlement_session_type, currency_code from hold_totals
),

final as (
    select
        grain.account_id,
        grain.settlement_session_type,
        grain.currency_code,
        coalesce(components.accounting_dates, cast('{}' as date[])) as accounting_dates,
        components.lowest_mode,
        components.highest_mode,
        coalesce(components.transaction_count, 0) as transaction_count,
        coalesce(components.transaction_amount_minor, 0) as transaction_amount_minor,
        coalesce(components.fee_amount_minor, 0) as fee_amount_minor,
        coalesce(components.deducted_fee_amount_minor, 0) as deducted_fee_amount_minor,
        coalesce(components.adjustment_count, 0) as adjustment_count,
        coalesce(components.adjustment_amount_minor, 0) as adjustment_amount_minor,
        coalesce(advance_totals.advance_amount_minor, 0) as advance_amount_minor,
        coalesce(advance_totals.advance_fee_amount_minor, 0) as advance_fee_amount_minor,
        coalesce(carried_totals.previous_unsettled_amount_minor, 0)
            as previous_unsettled_amount_minor,
        coalesce(hold_totals.held_amount_minor, 0) as held_amount_minor,
        coalesce(components.transaction_amount_minor, 0)
        - coalesce(components.deducted_fee_amount_minor, 0)
        + coalesce(components.adjustment_amount_minor, 0)
        - coalesce(advance_totals.advance_amount_minor, 0)
        + coalesce(carried_totals.previous_unsettled_amount_minor, 0) as balance_amount_minor
    from grain
    left join components
        on grain.account_id = components.account_id
        and grain.settlement_session_type = components.settlement_session_type
        and grain.currency_code = components.currency_code
    left join advance_totals
        on grain.account_id = advance_totals.account_id
        and grain.settlement_session_type = advance_totals.settlement_session_type
        and grain.currency_code = advance_totals.currency_code
    left join hold_totals
        on grain.account_id = hold_totals.account_id
        and grain.settlement_session_type = hold_totals.settlement_session_type
        and grain.currency_code = hold_totals.currency_code
    left join carried_totals
        on grain.account_id = carried_totals.account_id
        and grain.settlement_session_type = carried_totals.settlement_session_type
        and grain.currency_code = carried_totals.currency_code
)

select * from final
