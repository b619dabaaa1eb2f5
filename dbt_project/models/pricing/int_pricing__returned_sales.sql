{{ config(
    materialized='table', schema='intermediate', unlogged=true, tags=['close'],
    post_hook='analyze {{ this }}'
) }}

{#-
    What the sales that T gives back were charged: of each return whose sale we cleared on an
    earlier date the fee of the sale's own entry, less what late approvals made up of it, and how it
    was settled. A rule may have changed in place since, or have ended, or the merchant may have
    moved: a return gives back what was taken, not what today's terms would take
    (docs/domain.md#fee-of-a-return). One row a return.
-#}
with returns as (
    select
        voucher_id,
        original_voucher_id,
        coalesce(settled_on, known_accounting_date) as known_accounting_date
    from {{ ref('int_vouchers__history') }}
    where is_return
        and is_known
        and not reverses_failed
        and reason is null
        and coalesce(settled_on, known_accounting_date) >= {{ accounting_date() }} - 360
        and coalesce(settled_on, known_accounting_date) < {{ accounting_date() }}
),

contracts as (
    select
        contract_id,
        refund_fee_policy
    from {{ ref('int_terms__contracts') }}
    where snapshot_date = {{ accounting_date() }}
),

made_up as (
    {{ made_up_of_entries() }}
),

-- One index probe a return.
sales as (
    select
        returns.voucher_id,
        returns.known_accounting_date,
        entries.entry_id,
        entries.fee_amount_minor,
        entries.settlement_mode,
        entries.contract_id,
        entries.fee_rule_id,
        entries.tier_from_minor,
        entries.tier_volume_minor,
        entries.merchant_category_code
    from returns
    cross join lateral (
        select
            history.entry_id,
            history.fee_amount_minor,
            history.settlement_mode,
            history.contract_id,
            history.fee_rule_id,
            history.tier_from_minor,
            history.tier_volume_minor,
            history.merchant_category_code
        from {{ clearing_entries_relation() }} as history
        where history.accounting_date >= {{ accounting_date() }} - 360
            and history.accounting_date < {{ accounting_date() }}
            and history.accounting_date = returns.known_accounting_date
            and history.entry_id = 'T:' || returns.original_voucher_id
        limit 1
    ) as entries
),

final as (
    select
        sales.voucher_id,
        sales.entry_id as sale_entry_id,
        sales.fee_amount_minor - coalesce(made_up.adjustment_amount_minor, 0) as sale_fee_minor,
        sales.settlement_mode,
        sales.contract_id,
        sales.fee_rule_id,
        sales.tier_from_minor,
        sales.tier_volume_minor,
        sales.merchant_category_code,
        -- What the contract says now; of one that is in force no more, what it said when it sold.
        coalesce(contracts.refund_fee_policy, sold.refund_fee_policy) as refund_fee_policy
    from sales
    left join made_up on sales.entry_id = made_up.entry_id
    left join contracts on sales.contract_id = contracts.contract_id
    left join lateral (
        {{ refund_policy_when_sold('sales.known_accounting_date', 'sales.contract_id') }}
    ) as sold on true
)

select * from final
