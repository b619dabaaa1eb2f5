{{ config(
    materialized='table', schema='intermediate', unlogged=true, tags=['close'],
    post_hook='analyze {{ this }}'
) }}

{#-
    The adjustments that T charges to merchants, by the sale they name or by two people, each with
    the part of its sale's fee that goes back, or is taken again, with it. One row an adjustment.
-#}
with priced_vouchers as (
    select
        voucher_id,
        account_id,
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

made_up_totals as (
    {{ made_up_of_entries() }}
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
            history.account_id,
            history.fee_amount_minor,
            history.deducted_fee_amount_minor,
            history.contract_id,
            history.fee_rule_id
        from {{ clearing_entries_relation() }} as history
        where history.accounting_date
            between {{ accounting_date() }} - 360 and {{ accounting_date() }} - 1
            and history.accounting_date = adjustment_originals.original_accounting_date
            and history.entry_id = 'T:' || channel_adjustments.original_voucher_id
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

final as (
    select
        adjustment_id,
        source_id,
        adjustment_type,
        merchant_id,
        account_id,
        channel,
        currency_code,
        contract_id,
        fee_rule_id,
        -- A fee goes back the way it was taken, whatever the contract says now.
        case
            when coalesce(returned_fee_minor, 0) = 0 then settlement_mode
            when is_deducted then 'net'
            else 'gross'
        end as settlement_mode,
        -charged_amount_minor as amount_minor,
        -coalesce(returned_fee_minor, 0) as fee_amount_minor,
        case when is_deducted then -coalesce(returned_fee_minor, 0) else 0 end
            as deducted_fee_amount_minor
    from charged_adjustments
)

select * from final
