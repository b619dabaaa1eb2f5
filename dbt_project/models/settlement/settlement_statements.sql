{{ config(materialized='dated_partition', partition_by='payment_date', tags=['payment']) }}

{#-
    What each account is paid on the payment date, and why (结算单): docs/domain.md#statement. A row
    exists for every account, settlement session and currency with any component that is not zero.
    Everything the arithmetic needs stands in the row, and CHECKs repeat it.

    In this order: a negative session is covered from the account's other session
    (docs/domain.md#sessions-of-settlement), then freezes take from what is backed, over all
    sessions of the currency (docs/domain.md#freezes).
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

freezes as (
    select
        account_id,
        currency_code,
        frozen_amount_minor
    from {{ ref('freezes') }}
    where payment_date = {{ payment_date() }} and is_in_force
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
    from {{ this }}
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

session_entries as (
    select
        clearing_entries.*,
        {{ settlement_session_type('clearing_entries') }} as settlement_session_type,
        clearing_entries.clearing_session_type = 'transaction' as is_transaction
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

freeze_totals as (
    select
        account_id,
        'transaction' as settlement_session_type,
        currency_code,
        sum(frozen_amount_minor) as frozen_amount_minor
    from freezes
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
    select account_id, settlement_session_type, currency_code from freeze_totals
    union
    select account_id, settlement_session_type, currency_code from carried_totals
    where previous_unsettled_amount_minor <> 0
    union
    select account_id, settlement_session_type, currency_code from hold_totals
),

composed as (
    select
        grain.account_id,
        grain.settlement_session_type,
        grain.currency_code,
        coalesce(components.accounting_dates, cast('{}' as date[])) as accounting_dates,
        case
            when components.lowest_mode is null then account_contracts.settlement_mode
            when components.lowest_mode = components.highest_mode then components.lowest_mode
            else 'mixed'
        end as settlement_mode,
        coalesce(components.transaction_count, 0) as transaction_count,
        coalesce(components.transaction_amount_minor, 0) as transaction_amount_minor,
        coalesce(components.fee_amount_minor, 0) as fee_amount_minor,
        coalesce(components.deducted_fee_amount_minor, 0) as deducted_fee_amount_minor,
        coalesce(components.transaction_amount_minor, 0)
        - coalesce(components.deducted_fee_amount_minor, 0) as settlement_amount_minor,
        coalesce(components.adjustment_count, 0) as adjustment_count,
        coalesce(components.adjustment_amount_minor, 0) as adjustment_amount_minor,
        coalesce(advance_totals.advance_amount_minor, 0) as advance_amount_minor,
        coalesce(advance_totals.advance_fee_amount_minor, 0) as advance_fee_amount_minor,
        coalesce(carried_totals.previous_unsettled_amount_minor, 0)
            as previous_unsettled_amount_minor,
        coalesce(freeze_totals.frozen_amount_minor, 0) as freeze_stock_minor,
        coalesce(hold_totals.held_amount_minor, 0) as held_amount_minor,
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
    left join components
        on grain.account_id = components.account_id
        and grain.settlement_session_type = components.settlement_session_type
        and grain.currency_code = components.currency_code
    left join advance_totals
        on grain.account_id = advance_totals.account_id
        and grain.settlement_session_type = advance_totals.settlement_session_type
        and grain.currency_code = advance_totals.currency_code
    left join freeze_totals
        on grain.account_id = freeze_totals.account_id
        and grain.settlement_session_type = freeze_totals.settlement_session_type
        and grain.currency_code = freeze_totals.currency_code
    left join hold_totals
        on grain.account_id = hold_totals.account_id
        and grain.settlement_session_type = hold_totals.settlement_session_type
        and grain.currency_code = hold_totals.currency_code
    left join carried_totals
        on grain.account_id = carried_totals.account_id
        and grain.settlement_session_type = carried_totals.settlement_session_type
        and grain.currency_code = carried_totals.currency_code
    left join account_contracts
        on grain.account_id = account_contracts.account_id
        and account_contracts.contract_order = 1
    left join account_payees
        on grain.account_id = account_payees.account_id
        and grain.currency_code = account_payees.currency_code
),

balanced as (
    select
        composed.*,
        settlement_amount_minor + adjustment_amount_minor - advance_amount_minor
        + previous_unsettled_amount_minor as balance_amount_minor,
        settlement_amount_minor + adjustment_amount_minor - advance_amount_minor
        + previous_unsettled_amount_minor - held_amount_minor as backed_amount_minor,
        case settlement_session_type when 'transaction' then 1 else 2 end as session_order
    from composed
),

-- What the account's positive sessions have, and what its negative ones lack, in their order.
summed as (
    select
        balanced.*,
        least(
            sum(greatest(backed_amount_minor, 0)) over (partition by account_id, currency_code),
            sum(greatest(-backed_amount_minor, 0)) over (partition by account_id, currency_code)
        ) as to_transfer_minor,
        sum(greatest(backed_amount_minor, 0)) over (
            partition by account_id, currency_code
            order by session_order, settlement_session_type
        ) - greatest(backed_amount_minor, 0) as given_before_minor,
        sum(greatest(-backed_amount_minor, 0)) over (
            partition by account_id, currency_code
            order by session_order, settlement_session_type
        ) - greatest(-backed_amount_minor, 0) as taken_before_minor,
        sum(freeze_stock_minor) over (partition by account_id, currency_code)
            as account_freeze_minor
    from balanced
),

transferred as (
    select
        summed.*,
        greatest(
            least(greatest(-backed_amount_minor, 0), to_transfer_minor - taken_before_minor), 0
        ) - greatest(
            least(greatest(backed_amount_minor, 0), to_transfer_minor - given_before_minor), 0
        ) as transfer_amount_minor
    from summed
),

with_backed_before as (
    select
        transferred.*,
        greatest(backed_amount_minor + transfer_amount_minor, 0) as freezable_minor,
        sum(greatest(backed_amount_minor + transfer_amount_minor, 0)) over (
            partition by account_id, currency_code
            order by session_order, settlement_session_type
        ) - greatest(backed_amount_minor + transfer_amount_minor, 0) as freezable_before_minor,
        sum(greatest(backed_amount_minor + transfer_amount_minor, 0)) over (
            partition by account_id, currency_code
        ) as account_freezable_minor
    from transferred
),

frozen as (
    select
        with_backed_before.*,
        greatest(least(freezable_minor, account_freeze_minor - freezable_before_minor), 0)
        + case
            when settlement_session_type = 'transaction'
                then greatest(account_freeze_minor - account_freezable_minor, 0)
            else 0
        end as frozen_amount_minor
    from with_backed_before
),

available as (
    select
        frozen.*,
        balance_amount_minor + transfer_amount_minor - held_amount_minor - frozen_amount_minor
            as available_amount_minor
    from frozen
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
        payee_version
    from decided
)

select * from final
