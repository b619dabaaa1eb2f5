{{ config(materialized='dated_partition', partition_by='payment_date', tags=['payment']) }}

{#-
    What each account is paid on the payment date, and why (结算单): docs/domain.md#statement. A row
    exists for every account, settlement session and currency with any component that is not zero.
    Everything the arithmetic needs stands in the row, and CHECKs repeat it.

    What is frozen of a session is the sum of what each freeze takes from it
    (docs/domain.md#freezes); a freeze that finds no balance stands in a statement, too.

    What is not due yet is taken of what is left then: it makes a payout smaller, never larger, and
    a payout's minimum is held against what is due (docs/domain.md#settlement-cycles).
-#}
with balances as (
    select
        account_id,
        settlement_session_type,
        currency_code,
        accounting_dates,
        lowest_mode,
        highest_mode,
        transaction_count,
        transaction_amount_minor,
        fee_amount_minor,
        deducted_fee_amount_minor,
        settlement_amount_minor,
        adjustment_count,
        adjustment_amount_minor,
        advance_amount_minor,
        advance_fee_amount_minor,
        previous_unsettled_amount_minor,
        held_amount_minor,
        balance_amount_minor,
        transfer_amount_minor
    from {{ ref('int_settlement__balances') }}
),

freeze_parts as (
    select
        account_id,
        settlement_session_type,
        currency_code,
        frozen_amount_minor
    from {{ ref('freeze_parts') }}
    where payment_date = {{ payment_date() }}
),

not_due as (
    select
        account_id,
        settlement_session_type,
        currency_code,
        not_due_amount_minor
    from {{ ref('not_due') }}
    where payment_date = {{ payment_date() }}
),

contracts as (
    select
        account_id,
        contract_id,
        settlement_mode,
        payout_minimum_minor,
        (effective_to is null or effective_to > {{ payment_date() }})
        and (ended_on is null or ended_on > {{ payment_date() }}) as is_in_force,
        effective_from
    from {{ ref('int_terms__contracts') }}
    where snapshot_date = {{ latest_snapshot_before_payment(ref('int_terms__contracts')) }}
        and effective_from <= {{ payment_date() }}
),

account_payees as (
    select
        account_id,
        currency_code,
        -- Without a payee that may be paid a statement is withheld.
        payee_id,
        payee_version,
        withheld_reason,
        unconfirmed_room_minor
    from {{ ref('int_settlement__account_payees') }}
),

account_contracts as (
    select
        account_id,
        settlement_mode,
        -- The end of a contract pays what is below the minimum (docs/domain.md#payout-minimum).
        case when is_in_force then payout_minimum_minor else 0 end as payout_minimum_amount_minor,
        row_number() over (
            partition by account_id
            order by is_in_force desc, effective_from desc, contract_id asc
        ) as contract_order
    from contracts
),

freeze_totals as (
    select
        account_id,
        settlement_session_type,
        currency_code,
        sum(frozen_amount_minor) as frozen_amount_minor
    from freeze_parts
    group by account_id, settlement_session_type, currency_code
),

not_due_totals as (
    select
        account_id,
        settlement_session_type,
        currency_code,
        sum(not_due_amount_minor) as not_due_amount_minor
    from not_due
    group by account_id, settlement_session_type, currency_code
),

grain as (
    select account_id, settlement_session_type, currency_code from balances
    union
    select account_id, settlement_session_type, currency_code from freeze_totals
),

composed as (
    select
        grain.account_id,
        grain.settlement_session_type,
        grain.currency_code,
        coalesce(balances.accounting_dates, cast('{}' as date[])) as accounting_dates,
        case
            when balances.lowest_mode is null then account_contracts.settlement_mode
            when balances.lowest_mode = balances.highest_mode then balances.lowest_mode
            else 'mixed'
        end as settlement_mode,
        {%- for column in [
            'transaction_count', 'transaction_amount_minor', 'fee_amount_minor',
            'deducted_fee_amount_minor', 'settlement_amount_minor', 'adjustment_count',
            'adjustment_amount_minor', 'advance_amount_minor', 'advance_fee_amount_minor',
            'previous_unsettled_amount_minor', 'held_amount_minor', 'balance_amount_minor',
            'transfer_amount_minor',
        ] %}
        coalesce(balances.{{ column }}, 0) as {{ column }},
        {%- endfor %}
        coalesce(freeze_totals.frozen_amount_minor, 0) as frozen_amount_minor,
        coalesce(not_due_totals.not_due_amount_minor, 0) as later_amount_minor,
        coalesce(account_contracts.payout_minimum_amount_minor, 0)
            as payout_minimum_amount_minor,
        account_payees.payee_id,
        account_payees.payee_version,
        case
            when account_payees.payee_id is null then 'no_payee'
            else account_payees.withheld_reason
        end as withheld_reason,
        account_payees.unconfirmed_room_minor
    from grain
    left join balances
        on grain.account_id = balances.account_id
        and grain.settlement_session_type = balances.settlement_session_type
        and grain.currency_code = balances.currency_code
    left join freeze_totals
        on grain.account_id = freeze_totals.account_id
        and grain.settlement_session_type = freeze_totals.settlement_session_type
        and grain.currency_code = freeze_totals.currency_code
    left join not_due_totals
        on grain.account_id = not_due_totals.account_id
        and grain.settlement_session_type = not_due_totals.settlement_session_type
        and grain.currency_code = not_due_totals.currency_code
    left join account_contracts
        on grain.account_id = account_contracts.account_id
        and account_contracts.contract_order = 1
    left join account_payees
        on grain.account_id = account_payees.account_id
        and grain.currency_code = account_payees.currency_code
),

-- Charges, returns, freezes and another session may have taken of it before it is due.
later as (
    select
        composed.*,
        least(
            later_amount_minor,
            greatest(
                balance_amount_minor + transfer_amount_minor - held_amount_minor
                - frozen_amount_minor,
                0
            )
        ) as not_due_amount_minor
    from composed
),

available as (
    select
        later.*,
        balance_amount_minor + transfer_amount_minor - held_amount_minor - frozen_amount_minor
        - not_due_amount_minor as available_amount_minor
    from later
),

-- A payee that nobody has confirmed yet may be paid a little, where a limit says so.
reasoned as (
    select
        available.*,
        coalesce(
            withheld_reason,
            case
                when available_amount_minor > unconfirmed_room_minor then 'payee_unconfirmed'
            end
        ) as reason
    from available
),

decided as (
    select
        reasoned.*,
        case
            when available_amount_minor > 0
                and available_amount_minor < payout_minimum_amount_minor then 'below_minimum'
            when available_amount_minor > 0 and reason is not null then 'withheld'
            when available_amount_minor > 0 then 'payable'
            when not_due_amount_minor > 0 then 'not_due'
            when balance_amount_minor + transfer_amount_minor < 0 then 'negative'
            when balance_amount_minor + transfer_amount_minor = 0 then 'no_balance'
            when balance_amount_minor + transfer_amount_minor > held_amount_minor then 'frozen'
            else 'held'
        end as payable_status
    from reasoned
),

final as (
    select
        {{ payment_date() }} as payment_date,
        {{ settlement_statement_id('account_id', 'settlement_session_type', '1', 'currency_code') }}
            as statement_id,
        account_id,
        settlement_session_type,
        1 as settlement_session_no,
        currency_code,
        settlement_mode,
        accounting_dates,
        transaction_count,
        transaction_amount_minor,
        fee_amount_minor,
        deducted_fee_amount_minor,
        settlement_amount_minor,
        adjustment_count,
        adjustment_amount_minor,
        advance_amount_minor,
        advance_fee_amount_minor,
        previous_unsettled_amount_minor,
        transfer_amount_minor,
        held_amount_minor,
        frozen_amount_minor,
        available_amount_minor,
        payout_minimum_amount_minor,
        payable_status,
        case when payable_status = 'withheld' then reason end as withheld_reason,
        case when payable_status = 'payable' then available_amount_minor else 0 end
            as payout_amount_minor,
        balance_amount_minor + transfer_amount_minor
        - case when payable_status = 'payable' then available_amount_minor else 0 end
            as carried_forward_amount_minor,
        payee_id,
        payee_version,
        not_due_amount_minor
    from decided
)

select * from final
