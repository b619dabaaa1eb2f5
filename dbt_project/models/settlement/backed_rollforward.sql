{{ config(materialized='dated_partition', partition_by='payment_date', tags=['payment']) }}

{#-
    What of each account's balance is backed by money that arrived (有到账支持的余额), from one
    payment date to the next. The receipts come from reconciliation, not from the statement: the
    gate compares the closing with what the statement carries and does not hold
    (docs/domain.md#backed-by-arrival).
-#}
with statements as (
    select
        account_id,
        settlement_session_type,
        settlement_session_no,
        currency_code,
        deducted_fee_amount_minor,
        adjustment_amount_minor,
        advance_amount_minor,
        previous_unsettled_amount_minor,
        transfer_amount_minor,
        frozen_amount_minor,
        payout_amount_minor
    from {{ ref('settlement_statements') }}
    where payment_date = {{ payment_date() }}
),

newly_backed as (
    select
        account_id,
        settlement_session_type,
        currency_code,
        newly_backed_amount_minor
    from {{ ref('int_settlement__newly_backed') }}
),

holds as (
    select
        account_id,
        settlement_session_type,
        currency_code,
        entry_id,
        reason,
        opening_amount_minor,
        opening_gross_amount_minor,
        closing_gross_amount_minor,
        opening_fee_amount_minor,
        closing_fee_amount_minor,
        lowered_before_minor,
        lowered_amount_minor,
        paid_early_before_minor,
        paid_early_amount_minor,
        ended_gross_amount_minor
    from {{ ref('holds') }}
    where payment_date = {{ payment_date() }}
),

unconfirmed_before as (
    select entry_id
    from {{ ref('holds') }}
    where payment_date = {{ previous_payment_date() }} and reason = 'arrival_unconfirmed'
),

backed_totals as (
    select
        account_id,
        settlement_session_type,
        currency_code,
        sum(newly_backed_amount_minor) as newly_backed_amount_minor
    from newly_backed
    group by account_id, settlement_session_type, currency_code
),

hold_totals as (
    select
        holds.account_id,
        holds.settlement_session_type,
        holds.currency_code,
        sum(holds.opening_amount_minor) as opening_held_amount_minor,
        sum(holds.closing_fee_amount_minor - holds.opening_fee_amount_minor)
            as held_fee_change_minor,
        sum(holds.lowered_amount_minor - holds.lowered_before_minor) as lowered_change_minor,
        sum(holds.paid_early_amount_minor - holds.paid_early_before_minor)
            as paid_early_change_minor,
        sum(holds.ended_gross_amount_minor) as ended_amount_minor,
        -- Held apart from any open platform item: newly backed knows nothing of it. A hold may have
        -- been one of an open item before, and its record count as newly backed now.
        coalesce(
            sum(holds.closing_gross_amount_minor)
                filter (where holds.reason = 'arrival_unconfirmed' or holds.entry_id like 'C:%'),
            0
        ) - coalesce(
            sum(holds.opening_gross_amount_minor)
                filter (
                    where unconfirmed_before.entry_id is not null or holds.entry_id like 'C:%'
                ),
            0
        ) as unconfirmed_change_minor
    from holds
    left join unconfirmed_before on holds.entry_id = unconfirmed_before.entry_id
    group by holds.account_id, holds.settlement_session_type, holds.currency_code
),

composed as (
    select
        statements.account_id,
        statements.settlement_session_type,
        statements.settlement_session_no,
        statements.currency_code,
        statements.previous_unsettled_amount_minor
        - coalesce(hold_totals.opening_held_amount_minor, 0) as opening_amount_minor,
        coalesce(backed_totals.newly_backed_amount_minor, 0)
        - coalesce(hold_totals.unconfirmed_change_minor, 0) as newly_backed_amount_minor,
        statements.deducted_fee_amount_minor - coalesce(hold_totals.held_fee_change_minor, 0)
            as deducted_fee_amount_minor,
        statements.adjustment_amount_minor,
        statements.advance_amount_minor,
        coalesce(hold_totals.ended_amount_minor, 0)
        + coalesce(hold_totals.lowered_change_minor, 0)
        + coalesce(hold_totals.paid_early_change_minor, 0) as released_amount_minor,
        statements.transfer_amount_minor,
        statements.frozen_amount_minor,
        statements.payout_amount_minor
    from statements
    left join backed_totals
        on statements.account_id = backed_totals.account_id
        and statements.settlement_session_type = backed_totals.settlement_session_type
        and statements.currency_code = backed_totals.currency_code
    left join hold_totals
        on statements.account_id = hold_totals.account_id
        and statements.settlement_session_type = hold_totals.settlement_session_type
        and statements.currency_code = hold_totals.currency_code
),

final as (
    select
        {{ payment_date() }} as payment_date,
        account_id,
        settlement_session_type,
        settlement_session_no,
        currency_code,
        opening_amount_minor,
        newly_backed_amount_minor,
        deducted_fee_amount_minor,
        adjustment_amount_minor,
        advance_amount_minor,
        released_amount_minor,
        transfer_amount_minor,
        frozen_amount_minor,
        payout_amount_minor,
        opening_amount_minor + newly_backed_amount_minor - deducted_fee_amount_minor
        + adjustment_amount_minor - advance_amount_minor + released_amount_minor
        + transfer_amount_minor - payout_amount_minor as closing_amount_minor
    from composed
)

select * from final
