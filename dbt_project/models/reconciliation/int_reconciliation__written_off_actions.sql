{{ config(
    materialized='table', schema='intermediate', unlogged=true, tags=['close'],
    post_hook='analyze {{ this }}'
) }}

{#-
    What two people decided with effect on T about items that were written off before and are still
    held (docs/holds.md): the held sum is charged to the account that it is held from, or why not.
    One row a decision. The sum is the hold's, as the last payment up to T left it.
-#}
with actions as (
    select
        action_id,
        suspense_item_id,
        account_id,
        approvers
    from {{ ref('int_reconciliation__actions') }}
    where action_kind = 'adjust'
),

holds as (
    select
        payment_date,
        case when entry_id like 'T:%' then 'S:' || substr(entry_id, 3) else entry_id end
            as suspense_item_id,
        entry_id,
        account_id,
        currency_code,
        channel,
        reason,
        end_kind,
        cleared_amount_minor,
        closing_gross_amount_minor,
        closing_fee_amount_minor,
        lowered_amount_minor,
        paid_early_amount_minor,
        closing_amount_minor
    from {{ holds_relation() }}
    where payment_date between {{ days_back(accounting_date()) }} and {{ accounting_date() }}
),

charged_before as (
    select distinct suspense_item_id
    from {{ charged_write_offs_relation() }}
    where accounting_date < {{ accounting_date() }}
),

suspense_items as (
    select
        accounting_date,
        suspense_item_id,
        status,
        fee_amount_minor,
        deducted_fee_amount_minor
    from {{ suspense_items_relation() }}
    where accounting_date between {{ accounting_date() }} - 360 and {{ accounting_date() }} - 1
),

contracts as (
    {{ contracts_of_accounts() }}
),

held as (
    select *
    from holds
    where
        payment_date = (select max(holds.payment_date) from holds)
        and reason = 'written_off'
        and end_kind is null
),

-- What an open item was decided to be is not judged here.
written_off as (
    select
        actions.*,
        held.payment_date as held_on,
        held.entry_id,
        held.account_id as held_account_id,
        held.currency_code,
        held.channel,
        held.cleared_amount_minor,
        held.closing_gross_amount_minor,
        held.closing_fee_amount_minor,
        held.closing_amount_minor as held_amount_minor,
        held.closing_gross_amount_minor - held.lowered_amount_minor - held.paid_early_amount_minor
            as charged_amount_minor,
        charged_before.suspense_item_id is not null as was_charged_before
    from actions
    left join held on actions.suspense_item_id = held.suspense_item_id
    left join charged_before on actions.suspense_item_id = charged_before.suspense_item_id
    where held.suspense_item_id is not null or charged_before.suspense_item_id is not null
),

-- Of a gross account's fee nothing was deducted, so nothing of it is held: its part of the bill
-- goes back (a credit note).
with_fees as (
    select
        written_off.*,
        case
            when items.fee_amount_minor <> 0 and items.deducted_fee_amount_minor = 0
                then round(
                    cast(items.fee_amount_minor as numeric)
                    * written_off.closing_gross_amount_minor / written_off.cleared_amount_minor
                )
            else written_off.closing_fee_amount_minor
        end as returned_fee_minor
    from written_off
    left join lateral (
        select
            suspense_items.fee_amount_minor,
            suspense_items.deducted_fee_amount_minor
        from suspense_items
        where suspense_items.suspense_item_id = written_off.suspense_item_id
            and suspense_items.status = 'written_off'
        order by suspense_items.accounting_date desc
        limit 1
    ) as items on true
),

final as (
    select
        with_fees.action_id,
        with_fees.suspense_item_id,
        with_fees.entry_id,
        with_fees.channel,
        with_fees.currency_code,
        with_fees.account_id,
        contracts.merchant_id,
        contracts.contract_id,
        -- A fee goes back the way it was taken, whatever the contract says now.
        case
            when with_fees.returned_fee_minor = 0 then contracts.settlement_mode
            when with_fees.closing_fee_amount_minor <> 0 then 'net'
            else 'gross'
        end as settlement_mode,
        with_fees.charged_amount_minor,
        with_fees.returned_fee_minor,
        with_fees.closing_fee_amount_minor as returned_deducted_fee_minor,
        with_fees.held_amount_minor,
        with_fees.held_on,
        with_fees.approvers,
        case
            when with_fees.was_charged_before then 'the written-off item was charged already'
            when with_fees.held_amount_minor = 0 then 'nothing is held for the written-off item'
            when with_fees.account_id <> with_fees.held_account_id
                then 'the written-off item is held from another account'
            when contracts.account_id is null then 'the account has no contract in force'
            when not contracts.is_one_merchant
                then 'the account has contracts of several merchants in force'
        end as refused_because
    from with_fees
    left join contracts
        on with_fees.account_id = contracts.account_id and contracts.contract_order = 1
)

select * from final
