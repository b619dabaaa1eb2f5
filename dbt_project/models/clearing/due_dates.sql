{{ config(materialized='dated_partition', partition_by='accounting_date', tags=['close']) }}

{#-
    The entries of T that are due later than on the first date that could pay them (结算到期日): by the
    cycle of the contract in force on T, for entries without one by the contract they were priced by
    (docs/domain.md#settlement-cycles). An entry without a row is due on its payment date.

    What takes from the merchant has no row: it is taken at once. A due date stays what the close
    made it: a cycle that changes later is one of later entries.
-#}
-- depends_on: {{ ref('calendar_days') }}
with clearing_entries as (
    select
        entry_id,
        clearing_session_type,
        account_id,
        merchant_id,
        currency_code,
        is_foreign_card,
        contract_id,
        clearing_amount_minor,
        payment_date
    from {{ ref('clearing_entries') }}
    where accounting_date = {{ accounting_date() }} and clearing_amount_minor > 0
),

contracts as (
    select
        contract_id,
        merchant_id,
        account_id,
        settlement_cycle,
        {{ in_force(accounting_date()) }} as is_current
    from {{ ref('int_terms__contracts') }}
    where snapshot_date = {{ accounting_date() }}
),

entry_cycles as (
    select
        clearing_entries.entry_id,
        {{ settlement_session_type('clearing_entries') }} as settlement_session_type,
        clearing_entries.account_id,
        clearing_entries.currency_code,
        clearing_entries.clearing_amount_minor,
        clearing_entries.payment_date,
        coalesce(current_contracts.contract_id, contracts.contract_id) as contract_id,
        coalesce(current_contracts.settlement_cycle, contracts.settlement_cycle)
            as settlement_cycle
    from clearing_entries
    left join contracts as current_contracts
        on clearing_entries.merchant_id = current_contracts.merchant_id
        and clearing_entries.account_id = current_contracts.account_id
        and current_contracts.is_current
    left join contracts on clearing_entries.contract_id = contracts.contract_id
),

-- A due date is asked for once a cycle and payment date, not once an entry.
cycles as (
    select distinct
        settlement_cycle,
        payment_date
    from entry_cycles
    where settlement_cycle <> 'T+1'
),

cycle_dates as (
    select
        settlement_cycle,
        payment_date,
        control.due_date(settlement_cycle, {{ accounting_date() }}, payment_date) as due_on
    from cycles
),

final as (
    select
        {{ accounting_date() }} as accounting_date,
        entry_cycles.entry_id,
        entry_cycles.account_id,
        entry_cycles.settlement_session_type,
        entry_cycles.currency_code,
        entry_cycles.contract_id,
        entry_cycles.settlement_cycle,
        entry_cycles.clearing_amount_minor,
        entry_cycles.payment_date,
        cycle_dates.due_on
    from entry_cycles
    inner join cycle_dates
        on entry_cycles.settlement_cycle = cycle_dates.settlement_cycle
        and entry_cycles.payment_date = cycle_dates.payment_date
    where cycle_dates.due_on <> entry_cycles.payment_date
)

select * from final
