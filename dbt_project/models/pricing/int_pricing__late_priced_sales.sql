{{ config(
    materialized='table', schema='intermediate', unlogged=true, tags=['close'],
    post_hook='analyze {{ this }}'
) }}

{#-
    The sales of earlier dates that a change approved in this close should have priced, each with
    its price under the terms in force now. Read are the accounts with such a change alone, over the
    dates since it acts; a year back at most, as far as refunds reach. One row a sale.
-#}
with late_approvals as (
    select
        term_kind,
        term_key,
        change_id,
        account_id,
        changes_prices,
        changes_refund_policy,
        acts_from
    from {{ ref('int_terms__late_approvals') }}
),

transaction_types as (
    select
        transaction_type,
        fee_treatment
    from {{ ref('transaction_types') }}
),

-- A cutoff after midnight books a sale on the date before its own.
sale_entries as (
    select
        entries.accounting_date,
        entries.entry_id,
        entries.source_id,
        entries.account_id,
        entries.merchant_id,
        entries.channel,
        entries.currency_code,
        entries.transaction_type,
        entries.fee_amount_minor,
        entries.settlement_mode,
        entries.fee_rule_id,
        entries.contract_id
    from {{ clearing_entries_relation() }} as entries
    where entries.accounting_date >= {{ accounting_date() }} - 360
        and entries.accounting_date < {{ accounting_date() }}
        and entries.accounting_date >= (
            select min(late_approvals.acts_from) - 1
            from late_approvals
        )
        and entries.clearing_session_type = 'transaction'
        -- Of what was sold in another currency nothing is made up (0079).
        and coalesce(entries.transaction_currency_code = entries.currency_code, true)
        and entries.account_id in (select late_approvals.account_id from late_approvals)
),

voucher_register as (
    select
        voucher_id,
        transaction_at,
        amount_minor,
        card_kind,
        card_region
    from {{ source('control', 'voucher_register') }}
    where source = 'platform'
),

contracts as (
    select
        contract_id,
        merchant_id,
        account_id,
        refund_fee_policy,
        effective_from,
        effective_to,
        merchant_category_code
    from {{ ref('int_terms__contracts') }}
    where snapshot_date = {{ accounting_date() }}
),

fee_rates as (
    select
        fee_rule_id,
        contract_id,
        channel,
        transaction_type,
        card_kind,
        card_region,
        tier_from_minor,
        fee_rate,
        fixed_fee_minor,
        minimum_fee_minor,
        cap_fee_minor,
        effective_from,
        effective_to,
        priority,
        merchant_category_code
    from {{ ref('int_terms__fee_rates') }}
    where snapshot_date = {{ accounting_date() }}
),

-- The volume that a sale's own date knew: its tier does not move with what came later.
volumes as (
    select
        history.accounting_date,
        history.account_id,
        history.currency_code,
        case when history.is_previous_known then history.previous_volume_minor end
            as tier_volume_minor
    from {{ monthly_volumes_relation() }} as history
    where history.accounting_date >= {{ accounting_date() }} - 360
        and history.accounting_date < {{ accounting_date() }}
        and history.accounting_date >= (
            select min(late_approvals.acts_from) - 1
            from late_approvals
        )
        and history.account_id in (select late_approvals.account_id from late_approvals)
),

sales as (
    select
        sale_entries.*,
        volumes.tier_volume_minor,
        voucher_register.amount_minor as sale_amount_minor,
        sale_entries.transaction_type as priced_type,
        voucher_register.card_kind as priced_card_kind,
        voucher_register.card_region as priced_card_region,
        {{ business_date('voucher_register.transaction_at') }} as priced_on
    from sale_entries
    inner join transaction_types
        on sale_entries.transaction_type = transaction_types.transaction_type
        and transaction_types.fee_treatment = 'charge'
    inner join voucher_register
        on sale_entries.source_id = voucher_register.voucher_id
    left join volumes
        on sale_entries.accounting_date = volumes.accounting_date
        and sale_entries.account_id = volumes.account_id
        and sale_entries.currency_code = volumes.currency_code
),

combinations as (
    select distinct
        merchant_id,
        account_id,
        channel,
        priced_type,
        priced_card_kind,
        priced_card_region,
        priced_on,
        tier_volume_minor
    from sales
),

priced_combinations as (
    {{ priced_combinations() }}
),

priced as (
    select
        sales.*,
        priced_combinations.contract_id as approved_contract_id,
        priced_combinations.fee_rule_id as approved_fee_rule_id,
        priced_combinations.refund_fee_policy as approved_refund_fee_policy,
        {{ full_fee('sales.sale_amount_minor', 'priced_combinations') }} as price_minor
    from sales
    inner join priced_combinations
        on sales.merchant_id = priced_combinations.merchant_id
        and sales.account_id = priced_combinations.account_id
        and sales.channel = priced_combinations.channel
        and sales.priced_type = priced_combinations.priced_type
        and sales.priced_card_kind is not distinct from priced_combinations.priced_card_kind
        and sales.priced_card_region is not distinct from priced_combinations.priced_card_region
        and sales.priced_on = priced_combinations.priced_on
        and sales.tier_volume_minor is not distinct from priced_combinations.tier_volume_minor
        and priced_combinations.rule_order = 1
),

-- By which approved change a sale has another price: the rule or contract that prices it now, else
-- the one that priced it and does no more. Changes that waited for nobody make up nothing.
attributed as (
    select
        priced.*,
        coalesce(new_rule.change_id, new_contract.change_id) as new_change_id,
        coalesce(old_rule.change_id, old_contract.change_id) as old_change_id,
        policy.change_id as policy_change_id
    from priced
    left join late_approvals as new_rule
        on new_rule.term_kind = 'fee_rate'
        and priced.approved_fee_rule_id = new_rule.term_key
        and priced.priced_on >= new_rule.acts_from
    left join late_approvals as new_contract
        on new_contract.term_kind = 'contract'
        and new_contract.changes_prices
        and priced.approved_contract_id = new_contract.term_key
        and priced.priced_on >= new_contract.acts_from
    left join late_approvals as old_rule
        on old_rule.term_kind = 'fee_rate'
        and priced.fee_rule_id = old_rule.term_key
        and priced.priced_on >= old_rule.acts_from
    left join late_approvals as old_contract
        on old_contract.term_kind = 'contract'
        and old_contract.changes_prices
        and priced.contract_id = old_contract.term_key
        and priced.priced_on >= old_contract.acts_from
    left join late_approvals as policy
        on policy.term_kind = 'contract'
        and policy.changes_refund_policy
        and priced.approved_contract_id = policy.term_key
        and priced.priced_on >= policy.acts_from
),

final as (
    select
        accounting_date,
        entry_id,
        source_id as voucher_id,
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
        coalesce(new_change_id, old_change_id, policy_change_id) as change_id,
        case
            when new_change_id is not null then 'approved_term'
            when old_change_id is not null then 'term_ended'
            else 'refund_policy'
        end as made_up_by,
        policy_change_id is not null as has_new_refund_policy
    from attributed
    where coalesce(new_change_id, old_change_id, policy_change_id) is not null
)

select * from final
