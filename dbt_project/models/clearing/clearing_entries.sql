{{ config(
    materialized='dated_partition', partition_by='accounting_date', tags=['close'],
    post_hook="{{ register_original_movements() }}"
) }}

{#-
    Who is owed what for T, record by record: the vouchers of the transaction session, the
    adjustments charged to merchants, by their sale or by two people, and what late approvals of
    terms make up. One-sided platform transactions are in it too; the equation adds them back
    (docs/domain.md#clearing-entries).
-#}
with priced_vouchers as (
    select
        voucher_id,
        transaction_type,
        merchant_id,
        account_id,
        channel,
        currency_code,
        amount_minor,
        card_region,
        contract_id,
        fee_rule_id,
        settlement_mode,
        fee_amount_minor
    from {{ ref('int_pricing__priced_vouchers') }}
),

charged_by_sale as (
    select
        adjustment_id,
        adjustment_type,
        merchant_id,
        account_id,
        channel,
        currency_code,
        contract_id,
        settlement_mode,
        charged_amount_minor,
        original_voucher_id
    from {{ ref('channel_adjustments') }}
    where accounting_date = {{ accounting_date() }} and disposition = 'charged'
),

originals_by_sale as (
    select
        adjustment_id,
        original_accounting_date,
        sale_amount_minor,
        returned_after_minor
    from {{ ref('int_adjustments__originals') }}
),

charged_by_people as (
    select
        action_id,
        adjustment_id,
        adjustment_type,
        merchant_id,
        account_id,
        channel,
        currency_code,
        contract_id,
        settlement_mode,
        charged_amount_minor,
        original_voucher_id,
        original_accounting_date,
        sale_amount_minor,
        returned_after_minor
    from {{ ref('int_adjustments__decided_charges') }}
),

channel_adjustments as (
    select
        charged_by_sale.*,
        charged_by_sale.adjustment_id as source_id
    from charged_by_sale
    union all
    select
        adjustment_id,
        adjustment_type,
        merchant_id,
        account_id,
        channel,
        currency_code,
        contract_id,
        settlement_mode,
        charged_amount_minor,
        original_voucher_id,
        'ACT:' || action_id as source_id
    from charged_by_people
),

adjustment_originals as (
    select * from originals_by_sale
    union all
    select
        adjustment_id,
        original_accounting_date,
        sale_amount_minor,
        returned_after_minor
    from charged_by_people
    where original_voucher_id is not null
),

contracts as (
    select
        contract_id,
        refund_fee_policy
    from {{ ref('int_terms__contracts') }}
    where snapshot_date = {{ accounting_date() }}
),

term_adjustments as (
    select
        change_id,
        account_id,
        merchant_id,
        channel,
        currency_code,
        contract_id,
        settlement_mode,
        adjustment_amount_minor
    from {{ ref('term_adjustments') }}
    where accounting_date = {{ accounting_date() }}
),

made_up_totals as (
    {{ made_up_of_entries() }}
),

-- What this close makes up, one entry a change, account, channel and way the fee was taken.
made_up_now as (
    select
        change_id,
        account_id,
        merchant_id,
        channel,
        currency_code,
        settlement_mode,
        min(contract_id) as contract_id,
        sum(adjustment_amount_minor) as adjustment_amount_minor
    from term_adjustments
    group by change_id, account_id, merchant_id, channel, currency_code, settlement_mode
),

-- The sale's entry of its own date, by one index probe each. What a late approval made up of its
-- fee is not given back again.
original_entries as (
    select
        channel_adjustments.adjustment_id,
        entries.account_id,
        entries.fee_amount_minor - coalesce(made_up.adjustment_amount_minor, 0)
            as fee_amount_minor,
        case
            when entries.deducted_fee_amount_minor is not distinct from entries.fee_amount_minor
                then entries.deducted_fee_amount_minor
                    - coalesce(made_up.adjustment_amount_minor, 0)
            else entries.deducted_fee_amount_minor
        end as deducted_fee_amount_minor,
        entries.contract_id,
        entries.fee_rule_id
    from channel_adjustments
    inner join adjustment_originals
        on channel_adjustments.adjustment_id = adjustment_originals.adjustment_id
    cross join lateral (
        select
            this_table.account_id,
            this_table.fee_amount_minor,
            this_table.deducted_fee_amount_minor,
            this_table.contract_id,
            this_table.fee_rule_id
        from {{ this }} as this_table
        where this_table.accounting_date
            between {{ accounting_date() }} - 360 and {{ accounting_date() }} - 1
            and this_table.accounting_date = adjustment_originals.original_accounting_date
            and this_table.entry_id = 'T:' || channel_adjustments.original_voucher_id
    ) as entries
    left join made_up_totals as made_up
        on made_up.entry_id = 'T:' || channel_adjustments.original_voucher_id
    union all
    select
        channel_adjustments.adjustment_id,
        priced_vouchers.account_id,
        priced_vouchers.fee_amount_minor,
        case when priced_vouchers.settlement_mode = 'net' then priced_vouchers.fee_amount_minor
            else 0
        end as deducted_fee_amount_minor,
        priced_vouchers.contract_id,
        priced_vouchers.fee_rule_id
    from channel_adjustments
    inner join priced_vouchers
        on channel_adjustments.original_voucher_id = priced_vouchers.voucher_id
),

-- What a chargeback or a refund by hand takes from a merchant takes its part of the fee back, as
-- the sale's own contract says for refunds, or said when it sold, where it is in force no more: a
-- difference of rounded running totals, so that all that is ever given back of a sale returns
-- exactly its fee. Another account that people charge paid no fee for the sale.
charged_adjustments as (
    select
        channel_adjustments.*,
        original_entries.fee_rule_id,
        case
            when coalesce(contracts.refund_fee_policy, sold.refund_fee_policy) = 'return'
                and original_entries.account_id = channel_adjustments.account_id
                then round(
                    cast(original_entries.fee_amount_minor as numeric)
                    * adjustment_originals.returned_after_minor
                    / adjustment_originals.sale_amount_minor
                ) - round(
                    cast(original_entries.fee_amount_minor as numeric)
                    * (
                        adjustment_originals.returned_after_minor
                        - channel_adjustments.charged_amount_minor
                    )
                    / adjustment_originals.sale_amount_minor
                )
            else 0
        end as returned_fee_minor,
        original_entries.deducted_fee_amount_minor is not distinct from
        original_entries.fee_amount_minor as is_deducted
    from channel_adjustments
    left join adjustment_originals
        on channel_adjustments.adjustment_id = adjustment_originals.adjustment_id
    left join original_entries
        on channel_adjustments.adjustment_id = original_entries.adjustment_id
    left join contracts on original_entries.contract_id = contracts.contract_id
    left join lateral (
        {{ refund_policy_when_sold(
            'adjustment_originals.original_accounting_date', 'original_entries.contract_id'
        ) }}
    ) as sold on true
),

item_actions as (
    select
        action_id,
        side,
        channel,
        currency_code,
        amount_minor,
        returned_fee_minor,
        returned_deducted_fee_minor,
        account_id,
        merchant_id,
        contract_id,
        settlement_mode
    from {{ ref('int_reconciliation__item_actions') }}
    where action_kind = 'adjust' and refused_because is null
),

-- One decision may end both items of an amount mismatch: one entry, of their difference.
manual_adjustments as (
    select
        action_id,
        channel,
        currency_code,
        account_id,
        merchant_id,
        contract_id,
        coalesce(
            max(settlement_mode) filter (where returned_fee_minor <> 0), min(settlement_mode)
        ) as settlement_mode,
        sum(case side when 'system' then -amount_minor else amount_minor end) as amount_minor,
        sum(returned_fee_minor) as returned_fee_minor,
        sum(returned_deducted_fee_minor) as returned_deducted_fee_minor
    from item_actions
    group by action_id, channel, currency_code, account_id, merchant_id, contract_id
),

charged_write_offs as (
    select
        action_id,
        channel,
        currency_code,
        account_id,
        merchant_id,
        contract_id,
        settlement_mode,
        charged_amount_minor,
        returned_fee_minor,
        returned_deducted_fee_minor
    from {{ ref('charged_write_offs') }}
    where accounting_date = {{ accounting_date() }}
),

arrival_groups as (
    select
        channel,
        currency_code,
        arrival_group_id,
        arrival_date,
        payment_date
    from {{ ref('int_calendar__arrival_groups') }}
    where accounting_date = {{ accounting_date() }}
),

entries as (
    select
        'T:' || voucher_id as entry_id,
        'transaction' as clearing_session_type,
        account_id,
        merchant_id,
        channel,
        currency_code,
        transaction_type,
        voucher_id as source_id,
        amount_minor as transaction_amount_minor,
        fee_amount_minor,
        case when settlement_mode = 'net' then fee_amount_minor else 0 end
            as deducted_fee_amount_minor,
        settlement_mode,
        card_region is not distinct from 'foreign' as is_foreign_card,
        fee_rule_id,
        contract_id
    from priced_vouchers
    union all
    select
        'A:' || adjustment_id as entry_id,
        'adjustment' as clearing_session_type,
        account_id,
        merchant_id,
        channel,
        currency_code,
        adjustment_type as transaction_type,
        source_id,
        -charged_amount_minor as transaction_amount_minor,
        -coalesce(returned_fee_minor, 0) as fee_amount_minor,
        case when is_deducted then -coalesce(returned_fee_minor, 0) else 0 end
            as deducted_fee_amount_minor,
        -- A fee goes back the way it was taken, whatever the contract says now.
        case
            when coalesce(returned_fee_minor, 0) = 0 then settlement_mode
            when is_deducted then 'net'
            else 'gross'
        end as settlement_mode,
        false as is_foreign_card,
        fee_rule_id,
        contract_id
    from charged_adjustments
    union all
    -- An open item that people charge to a merchant, or credit: what the platform had booked
    -- without the channel is taken back, what the channel had paid without the platform is given.
    select
        'M:' || action_id as entry_id,
        'adjustment' as clearing_session_type,
        account_id,
        merchant_id,
        channel,
        currency_code,
        'manual_adjustment' as transaction_type,
        'ACT:' || action_id as source_id,
        amount_minor as transaction_amount_minor,
        -returned_fee_minor as fee_amount_minor,
        -returned_deducted_fee_minor as deducted_fee_amount_minor,
        settlement_mode,
        false as is_foreign_card,
        cast(null as text) as fee_rule_id,
        contract_id
    from manual_adjustments
    union all
    -- What was held of an item that people had written off.
    select
        'M:' || action_id as entry_id,
        'adjustment' as clearing_session_type,
        account_id,
        merchant_id,
        channel,
        currency_code,
        'manual_adjustment' as transaction_type,
        'ACT:' || action_id as source_id,
        -charged_amount_minor as transaction_amount_minor,
        -returned_fee_minor as fee_amount_minor,
        -returned_deducted_fee_minor as deducted_fee_amount_minor,
        settlement_mode,
        false as is_foreign_card,
        cast(null as text) as fee_rule_id,
        contract_id
    from charged_write_offs
    union all
    -- Fee that a late approval gives back, or takes; the sales stay as they were cleared.
    select
        concat_ws(
            ':', 'F', to_char({{ accounting_date() }}, 'YYYYMMDD'), account_id, merchant_id,
            channel, currency_code, settlement_mode, change_id
        ) as entry_id,
        'adjustment' as clearing_session_type,
        account_id,
        merchant_id,
        channel,
        currency_code,
        'term_adjustment' as transaction_type,
        change_id as source_id,
        0 as transaction_amount_minor,
        -adjustment_amount_minor as fee_amount_minor,
        case when settlement_mode = 'net' then -adjustment_amount_minor else 0 end
            as deducted_fee_amount_minor,
        settlement_mode,
        false as is_foreign_card,
        cast(null as text) as fee_rule_id,
        contract_id
    from made_up_now
    where adjustment_amount_minor <> 0
),

final as (
    select
        {{ accounting_date() }} as accounting_date,
        entries.entry_id,
        entries.clearing_session_type,
        1 as clearing_session_no,
        entries.account_id,
        entries.merchant_id,
        entries.channel,
        entries.currency_code,
        entries.transaction_type,
        entries.source_id,
        entries.transaction_amount_minor,
        entries.fee_amount_minor,
        entries.deducted_fee_amount_minor,
        entries.transaction_amount_minor - entries.deducted_fee_amount_minor
            as clearing_amount_minor,
        entries.settlement_mode,
        entries.is_foreign_card,
        -- Domestic acquiring: the card's currency is the settlement currency until a cross-border
        -- format brings another one.
        entries.currency_code as transaction_currency_code,
        entries.transaction_amount_minor as transaction_currency_amount_minor,
        1 as exchange_rate,
        entries.fee_rule_id,
        entries.contract_id,
        arrival_groups.arrival_group_id,
        arrival_groups.arrival_date,
        arrival_groups.payment_date
    from entries
    left join arrival_groups
        on entries.channel = arrival_groups.channel
        and entries.currency_code = arrival_groups.currency_code
)

select * from final
