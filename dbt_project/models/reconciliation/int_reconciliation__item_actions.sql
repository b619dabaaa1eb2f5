{{ config(
    materialized='table', schema='intermediate', unlogged=true, tags=['close'],
    post_hook='analyze {{ this }}'
) }}

{#-
    The open items that people ended in this close (offset, adjust, write-off), one row an item, and
    the actions that found their item ended or changed, with the reason why they were not applied.
-#}
with actions as (
    select
        action_id,
        action_kind,
        suspense_item_id,
        second_item_id,
        account_id,
        approvers
    from {{ ref('int_reconciliation__actions') }}
    where
        action_kind in ('offset', 'adjust', 'write_off')
        -- Of a written-off item it is judged there.
        and action_id not in (
            select written_off_actions.action_id
            from {{ ref('int_reconciliation__written_off_actions') }} as written_off_actions
        )
),

pool as (
    select
        suspense_item_id,
        side,
        source_id,
        channel,
        currency_code,
        amount_minor,
        account_id,
        linked_item_id,
        fee_amount_minor,
        deducted_fee_amount_minor
    from {{ ref('int_reconciliation__pool') }}
    where is_open_item
),

-- What late approvals of terms made up of an item's fee is not given back again.
made_up as (
    {{ made_up_of_entries() }}
),

pairs as (
    select
        pair_kind,
        system_item_id,
        channel_item_id
    from {{ ref('int_reconciliation__pairs') }}
    where pair_kind in ('system_resolved', 'channel_resolved')
),

manual_pairs as (
    select
        system_item_id,
        channel_item_id
    from {{ ref('int_reconciliation__manual_pairs') }}
),

adjusted_items as (
    select suspense_item_id
    from {{ ref('int_reconciliation__adjusted_items') }}
),

contracts as (
    {{ contracts_of_accounts() }}
),

voucher_register as (
    select
        voucher_id,
        merchant_id
    from {{ source('control', 'voucher_register') }}
    where source = 'platform'
),

ended_items as (
    select system_item_id as suspense_item_id
    from pairs
    where pair_kind = 'system_resolved'
    union
    select channel_item_id as suspense_item_id
    from pairs
    where pair_kind = 'channel_resolved'
    union
    select system_item_id as suspense_item_id
    from manual_pairs
    union
    select channel_item_id as suspense_item_id
    from manual_pairs
    union
    select suspense_item_id
    from adjusted_items
),

open_items as (
    select
        pool.suspense_item_id,
        pool.side,
        pool.source_id,
        pool.channel,
        pool.currency_code,
        pool.amount_minor,
        pool.linked_item_id,
        case pool.side when 'system' then pool.account_id end as booked_account_id,
        pool.fee_amount_minor - coalesce(made_up.adjustment_amount_minor, 0) as fee_amount_minor,
        case
            when pool.deducted_fee_amount_minor = pool.fee_amount_minor
                then pool.deducted_fee_amount_minor
                    - coalesce(made_up.adjustment_amount_minor, 0)
            else pool.deducted_fee_amount_minor
        end as deducted_fee_amount_minor
    from pool
    left join ended_items on pool.suspense_item_id = ended_items.suspense_item_id
    left join made_up on made_up.entry_id = 'T:' || pool.source_id
    where ended_items.suspense_item_id is null
),

-- Items that a decision of their own is about.
named_items as (
    select suspense_item_id
    from actions
    union
    select second_item_id as suspense_item_id
    from actions
    where second_item_id is not null
),

judged as (
    select
        actions.*,
        first_item.side,
        first_item.channel,
        first_item.currency_code,
        first_item.amount_minor,
        first_item.fee_amount_minor,
        first_item.deducted_fee_amount_minor,
        coalesce(actions.second_item_id, linked_item.suspense_item_id) as other_item_id,
        linked_item.amount_minor as linked_amount_minor,
        contracts.contract_id,
        contracts.merchant_id,
        contracts.settlement_mode,
        case
            when first_item.suspense_item_id is null then 'the item is not open any more'
            when actions.action_kind = 'offset' and second_item.suspense_item_id is null
                then 'the other item is not open any more'
            when actions.action_kind = 'offset' and (
                first_item.side <> second_item.side
                or first_item.channel <> second_item.channel
                or first_item.currency_code <> second_item.currency_code
                or first_item.amount_minor <> -second_item.amount_minor
            ) then 'the two items do not cancel each other'
            when actions.action_kind = 'adjust' and contracts.account_id is null
                then 'the account has no contract in force'
            when actions.action_kind = 'adjust' and not contracts.is_one_merchant
                then 'the account has contracts of several merchants in force'
            when actions.action_kind = 'adjust'
                and booked.account_id <> actions.account_id
                and (
                    booked.has_contract
                    or booked.merchant_id is distinct from contracts.merchant_id
                )
                then 'the platform booked the item for account ' || booked.account_id
        end as refused_because
    from actions
    left join open_items as first_item
        on actions.suspense_item_id = first_item.suspense_item_id
    left join open_items as second_item
        on actions.second_item_id = second_item.suspense_item_id
    -- Of an amount mismatch the difference is charged or credited: what both sides have is paid.
    left join open_items as linked_item
        on actions.action_kind = 'adjust'
        and first_item.linked_item_id = linked_item.suspense_item_id
        and first_item.currency_code = linked_item.currency_code
        and sign(first_item.amount_minor) = sign(linked_item.amount_minor)
        and first_item.amount_minor <> linked_item.amount_minor
        and linked_item.suspense_item_id not in (select suspense_item_id from named_items)
    left join contracts
        on actions.account_id = contracts.account_id and contracts.contract_order = 1
    -- What the platform booked for one account is not taken from another, but from another of the
    -- same merchant once the account has no contract any more.
    left join lateral (
        select
            platform_item.booked_account_id as account_id,
            voucher_register.merchant_id,
            exists (
                select 1
                from contracts as own
                where own.account_id = platform_item.booked_account_id
            ) as has_contract
        from open_items as platform_item
        left join voucher_register on platform_item.source_id = voucher_register.voucher_id
        where platform_item.booked_account_id is not null
            and platform_item.suspense_item_id
            in (actions.suspense_item_id, linked_item.suspense_item_id)
        limit 1
    ) as booked on true
),

decided_items as (
    select
        action_id,
        action_kind,
        suspense_item_id,
        side,
        channel,
        currency_code,
        amount_minor,
        fee_amount_minor,
        deducted_fee_amount_minor,
        linked_amount_minor,
        account_id,
        merchant_id,
        contract_id,
        settlement_mode,
        approvers,
        refused_because
    from judged
    union all
    select
        judged.action_id,
        judged.action_kind,
        open_items.suspense_item_id,
        open_items.side,
        open_items.channel,
        open_items.currency_code,
        open_items.amount_minor,
        open_items.fee_amount_minor,
        open_items.deducted_fee_amount_minor,
        judged.amount_minor as linked_amount_minor,
        judged.account_id,
        judged.merchant_id,
        judged.contract_id,
        judged.settlement_mode,
        judged.approvers,
        judged.refused_because
    from judged
    inner join open_items on judged.other_item_id = open_items.suspense_item_id
    where judged.refused_because is null
),

-- Who is charged a sale back gets its fee back: of a mismatch that of the difference, which is
-- what was held (settlement.holds). Of a refund that is undone it is taken again, whole or that of
-- the part that the channel did not give back; where the channel gave back more, none is.
returned_shares as (
    select
        decided_items.*,
        case
            when action_kind is distinct from 'adjust' or side = 'channel' then 0
            when linked_amount_minor is null then 1
            -- A mismatch has two amounts of one sign, neither of them 0.
            else greatest(abs(amount_minor) - abs(linked_amount_minor), 0)
                / cast(abs(amount_minor) as numeric)
        end as returned_share
    from decided_items
),

final as (
    select
        action_id,
        action_kind,
        suspense_item_id,
        side,
        channel,
        currency_code,
        amount_minor,
        round(coalesce(fee_amount_minor, 0) * returned_share) as returned_fee_minor,
        round(coalesce(deducted_fee_amount_minor, 0) * returned_share)
            as returned_deducted_fee_minor,
        account_id,
        merchant_id,
        contract_id,
        -- A fee goes back the way it was taken, whatever the contract says now.
        case
            when returned_share = 0 or coalesce(fee_amount_minor, 0) = 0 then settlement_mode
            when deducted_fee_amount_minor = fee_amount_minor then 'net'
            else 'gross'
        end as settlement_mode,
        approvers,
        refused_because
    from returned_shares
)

select * from final
