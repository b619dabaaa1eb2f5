{{ config(
    materialized='table', schema='intermediate', unlogged=true, tags=['payment'],
    post_hook='analyze {{ this }}'
) }}

{#-
    What each account, session and currency has once the charges that are taken are deducted, and
    once a negative session is covered from the account's other session
    (docs/domain.md#sessions-of-settlement): what is backed of it is what freezes take from.
-#}
with components as (
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
        adjustment_count,
        adjustment_amount_minor,
        advance_amount_minor,
        advance_fee_amount_minor,
        previous_unsettled_amount_minor,
        held_amount_minor
    from {{ ref('int_settlement__components') }}
),

charges as (
    select
        account_id,
        currency_code,
        accounting_date,
        charge_amount_minor
    from {{ ref('charges') }}
    where payment_date = {{ payment_date() }} and charge_status = 'charged'
),

-- Charges are of the transaction session, whether or not the account had anything else in it.
charge_totals as (
    select
        account_id,
        'transaction' as settlement_session_type,
        currency_code,
        count(*) as charge_count,
        sum(charge_amount_minor) as charge_amount_minor,
        {{ array_of('accounting_date', order_by='accounting_date') }} as accounting_dates
    from charges
    group by account_id, currency_code
),

grain as (
    select account_id, settlement_session_type, currency_code from components
    union
    select account_id, settlement_session_type, currency_code from charge_totals
),

composed as (
    select
        grain.account_id,
        grain.settlement_session_type,
        grain.currency_code,
        array(
            select distinct dates.accounting_date
            from unnest(components.accounting_dates || charge_totals.accounting_dates)
                as dates (accounting_date)
            order by dates.accounting_date
        ) as accounting_dates,
        components.lowest_mode,
        components.highest_mode,
        coalesce(components.transaction_count, 0) as transaction_count,
        coalesce(components.transaction_amount_minor, 0) as transaction_amount_minor,
        coalesce(components.fee_amount_minor, 0) as fee_amount_minor,
        coalesce(components.deducted_fee_amount_minor, 0) as deducted_fee_amount_minor,
        coalesce(components.transaction_amount_minor, 0)
        - coalesce(components.deducted_fee_amount_minor, 0) as settlement_amount_minor,
        coalesce(components.adjustment_count, 0) + coalesce(charge_totals.charge_count, 0)
            as adjustment_count,
        coalesce(components.adjustment_amount_minor, 0)
        - coalesce(charge_totals.charge_amount_minor, 0) as adjustment_amount_minor,
        coalesce(components.advance_amount_minor, 0) as advance_amount_minor,
        coalesce(components.advance_fee_amount_minor, 0) as advance_fee_amount_minor,
        coalesce(components.previous_unsettled_amount_minor, 0) as previous_unsettled_amount_minor,
        coalesce(components.held_amount_minor, 0) as held_amount_minor
    from grain
    left join components
        on grain.account_id = components.account_id
        and grain.settlement_session_type = components.settlement_session_type
        and grain.currency_code = components.currency_code
    left join charge_totals
        on grain.account_id = charge_totals.account_id
        and grain.settlement_session_type = charge_totals.settlement_session_type
        and grain.currency_code = charge_totals.currency_code
),

balanced as (
    select
        composed.*,
        settlement_amount_minor + adjustment_amount_minor - advance_amount_minor
        + previous_unsettled_amount_minor as balance_amount_minor,
        settlement_amount_minor + adjustment_amount_minor - advance_amount_minor
        + previous_unsettled_amount_minor - held_amount_minor as backed_amount_minor,
        {{ session_order('settlement_session_type') }} as session_order
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
        ) - greatest(-backed_amount_minor, 0) as taken_before_minor
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

final as (
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
        transfer_amount_minor,
        greatest(backed_amount_minor + transfer_amount_minor, 0) as freezable_amount_minor
    from transferred
)

select * from final
