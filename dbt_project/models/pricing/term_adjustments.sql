{{ config(
    materialized='dated_partition', schema='clearing', partition_by='accounting_date',
    tags=['close']
) }}

{#-
    What a late approval makes up (条款追溯差额): one row an entry of an earlier date whose fee would be
    another, had the change approved in this close not waited. The entry stays as it was priced; the
    difference is an adjustment of T. docs/decisions/0046-late-approvals-are-made-up.md

    What gave a sale's fee back meanwhile (refunds, chargebacks, what people charged) gave back the
    old fee. It is computed again on the sale's new fee, so that a sale that was given back whole is
    made up by nothing, and never more is given back than was charged. What earlier approvals made
    up of the same entry counts as given.
-#}
with sales as (
    select
        accounting_date,
        entry_id,
        voucher_id,
        account_id,
        merchant_id,
        channel,
        currency_code,
        settlement_mode,
        priced_on,
        sale_amount_minor,
        fee_amount_minor,
        price_minor,
        approved_contract_id,
        approved_fee_rule_id,
        approved_refund_fee_policy,
        change_id,
        made_up_by,
        has_new_refund_policy
    from {{ ref('int_pricing__late_priced_sales') }}
),

made_up_before as (
    select
        entry_id,
        sum(adjustment_amount_minor) as adjustment_amount_minor
    from {{ this }}
    where accounting_date >= {{ accounting_date() }} - 360
        and accounting_date < {{ accounting_date() }}
        and accounting_date > (select min(sales.accounting_date) from sales)
    group by entry_id
),

later_entries as (
    select
        entries.accounting_date,
        entries.entry_id,
        entries.source_id,
        entries.account_id,
        entries.merchant_id,
        entries.transaction_type,
        entries.fee_amount_minor,
        entries.settlement_mode,
        entries.contract_id
    from {{ clearing_entries_relation() }} as entries
    where entries.accounting_date >= {{ accounting_date() }} - 360
        and entries.accounting_date < {{ accounting_date() }}
        and entries.accounting_date >= (select min(sales.accounting_date) from sales)
        -- People may have charged an item to another account than the sale's.
        and (
            entries.account_id in (select sales.account_id from sales)
            or entries.transaction_type = 'manual_adjustment'
        )
),

original_movements as (
    select
        movement_id,
        original_voucher_id,
        accounting_date,
        movement_kind,
        amount_minor
    from {{ source('clearing_registers', 'original_movements') }}
    where accounting_date < {{ accounting_date() }}
),

voucher_register as (
    select
        voucher_id,
        transaction_at
    from {{ source('control', 'voucher_register') }}
    where source = 'platform'
),

transaction_types as (
    select
        transaction_type,
        fee_treatment
    from {{ ref('transaction_types') }}
),

contracts_then as (
    select
        snapshot_date,
        contract_id,
        refund_fee_policy
    from {{ ref('int_terms__contracts') }}
    where snapshot_date >= {{ accounting_date() }} - 360
        and snapshot_date < {{ accounting_date() }}
        and snapshot_date >= (select min(sales.accounting_date) from sales)
),

charged_items as (
    select
        items.accounting_date,
        items.source_id as voucher_id,
        'M:' || substr(items.resolved_by_id, 5) as entry_id
    from {{ suspense_items_relation() }} as items
    where items.accounting_date >= {{ accounting_date() }} - 360
        and items.accounting_date < {{ accounting_date() }}
        and items.accounting_date >= (select min(sales.accounting_date) from sales)
        and items.side = 'system'
        and items.status = 'adjusted'
        and items.resolved_by_id like 'ACT:%'
),

arrival_groups as (
    select
        channel,
        currency_code,
        payment_date
    from {{ ref('int_calendar__arrival_groups') }}
    where accounting_date = {{ accounting_date() }}
),

charged_sales as (
    select
        sales.*,
        coalesce(made_up_before.adjustment_amount_minor, 0) as earlier_adjustment_minor,
        sales.fee_amount_minor - coalesce(made_up_before.adjustment_amount_minor, 0)
            as charged_minor
    from sales
    left join made_up_before on sales.entry_id = made_up_before.entry_id
),

-- Where a term ended, another prices that may have become dearer meanwhile without waiting: what
-- it asks more is not charged afterwards.
approved_sales as (
    select
        charged_sales.*,
        case made_up_by
            when 'approved_term' then price_minor
            when 'term_ended' then least(price_minor, charged_minor)
            when 'refund_policy' then charged_minor
        end as approved_fee_minor
    from charged_sales
),

-- In the order in which a date's returns were judged: its vouchers, then its adjustments.
movements as (
    select
        original_movements.movement_id,
        original_movements.original_voucher_id,
        original_movements.accounting_date,
        original_movements.amount_minor,
        sum(original_movements.amount_minor) over (
            partition by original_movements.original_voucher_id
            order by
                original_movements.accounting_date, original_movements.movement_kind desc,
                voucher_register.transaction_at, original_movements.movement_id
            rows between unbounded preceding and current row
        ) as returned_after_minor
    from original_movements
    inner join sales on original_movements.original_voucher_id = sales.voucher_id
    left join voucher_register
        on original_movements.movement_kind = 'voucher'
        and substr(original_movements.movement_id, 3) = voucher_register.voucher_id
),

charged_returns as (
    select
        approved_sales.change_id,
        approved_sales.account_id,
        approved_sales.merchant_id,
        approved_sales.channel,
        approved_sales.currency_code,
        approved_sales.priced_on,
        approved_sales.sale_amount_minor,
        approved_sales.approved_contract_id,
        approved_sales.approved_fee_rule_id,
        approved_sales.approved_fee_minor as sale_fee_minor,
        later_entries.accounting_date,
        later_entries.entry_id,
        later_entries.source_id as voucher_id,
        later_entries.settlement_mode,
        later_entries.fee_amount_minor,
        coalesce(made_up_before.adjustment_amount_minor, 0) as earlier_adjustment_minor,
        movements.returned_after_minor - movements.amount_minor as returned_before_minor,
        movements.returned_after_minor,
        coalesce(transaction_types.fee_treatment, 'return_by_contract') as fee_treatment,
        case
            when approved_sales.has_new_refund_policy
                then approved_sales.approved_refund_fee_policy
            else contracts_then.refund_fee_policy
        end as refund_fee_policy
    from approved_sales
    inner join movements on approved_sales.voucher_id = movements.original_voucher_id
    inner join later_entries
        on movements.movement_id = later_entries.entry_id
        and movements.accounting_date = later_entries.accounting_date
    left join transaction_types
        on later_entries.transaction_type = transaction_types.transaction_type
    left join contracts_then
        on later_entries.accounting_date = contracts_then.snapshot_date
        and later_entries.contract_id = contracts_then.contract_id
    left join made_up_before on later_entries.entry_id = made_up_before.entry_id
),

approved_returns as (
    select
        charged_returns.*,
        case
            when fee_treatment = 'return_in_full' and returned_after_minor < returned_before_minor
                then sale_fee_minor
            when fee_treatment = 'return_in_full' then -sale_fee_minor
            when refund_fee_policy = 'return'
                then round(
                    cast(sale_fee_minor as numeric) * returned_before_minor / sale_amount_minor
                ) - round(
                    cast(sale_fee_minor as numeric) * returned_after_minor / sale_amount_minor
                )
            else 0
        end as approved_fee_minor
    from charged_returns
),

cleared as (
    select
        change_id,
        account_id,
        merchant_id,
        channel,
        currency_code,
        priced_on,
        approved_contract_id,
        approved_fee_rule_id,
        accounting_date,
        entry_id,
        voucher_id,
        settlement_mode,
        fee_amount_minor,
        earlier_adjustment_minor,
        approved_fee_minor
    from approved_sales
    union all
    select
        change_id,
        account_id,
        merchant_id,
        channel,
        currency_code,
        priced_on,
        approved_contract_id,
        approved_fee_rule_id,
        accounting_date,
        entry_id,
        voucher_id,
        settlement_mode,
        fee_amount_minor,
        earlier_adjustment_minor,
        approved_fee_minor
    from approved_returns
),

-- An open item that people charged gave the item's fee back, or its share of it.
charged_by_people as (
    select
        cleared.change_id,
        later_entries.account_id,
        later_entries.merchant_id,
        cleared.channel,
        cleared.currency_code,
        cleared.priced_on,
        cleared.approved_contract_id,
        cleared.approved_fee_rule_id,
        later_entries.accounting_date,
        later_entries.entry_id,
        cleared.voucher_id,
        later_entries.settlement_mode,
        later_entries.fee_amount_minor,
        coalesce(made_up_before.adjustment_amount_minor, 0) as earlier_adjustment_minor,
        later_entries.fee_amount_minor - coalesce(made_up_before.adjustment_amount_minor, 0)
            as charged_minor,
        cleared.fee_amount_minor - cleared.earlier_adjustment_minor as item_charged_minor,
        cleared.approved_fee_minor as item_fee_minor
    from cleared
    inner join charged_items
        on cleared.entry_id = 'T:' || charged_items.voucher_id
    inner join later_entries
        on charged_items.entry_id = later_entries.entry_id
        and charged_items.accounting_date = later_entries.accounting_date
    left join made_up_before on later_entries.entry_id = made_up_before.entry_id
),

made_up as (
    select *
    from cleared
    union all
    select
        change_id,
        account_id,
        merchant_id,
        channel,
        currency_code,
        priced_on,
        approved_contract_id,
        approved_fee_rule_id,
        accounting_date,
        entry_id,
        voucher_id,
        settlement_mode,
        fee_amount_minor,
        earlier_adjustment_minor,
        case
            when charged_minor = -item_charged_minor then -item_fee_minor
            else coalesce(
                round(
                    cast(charged_minor as numeric) * item_fee_minor
                    / nullif(item_charged_minor, 0)
                ),
                charged_minor
            )
        end as approved_fee_minor
    from charged_by_people
),

final as (
    select
        {{ accounting_date() }} as accounting_date,
        made_up.entry_id,
        made_up.accounting_date as entry_accounting_date,
        made_up.voucher_id,
        made_up.change_id,
        made_up.account_id,
        made_up.merchant_id,
        made_up.channel,
        made_up.currency_code,
        made_up.approved_contract_id as contract_id,
        made_up.approved_fee_rule_id as fee_rule_id,
        made_up.priced_on,
        made_up.settlement_mode,
        made_up.fee_amount_minor,
        made_up.earlier_adjustment_minor,
        made_up.approved_fee_minor as approved_fee_amount_minor,
        made_up.fee_amount_minor - made_up.earlier_adjustment_minor - made_up.approved_fee_minor
            as adjustment_amount_minor,
        arrival_groups.payment_date
    from made_up
    left join arrival_groups
        on made_up.channel = arrival_groups.channel
        and made_up.currency_code = arrival_groups.currency_code
    where made_up.fee_amount_minor - made_up.earlier_adjustment_minor
        is distinct from made_up.approved_fee_minor
)

select * from final
