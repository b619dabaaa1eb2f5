{{ config(
    materialized='table', schema='intermediate', unlogged=true, tags=['close'],
    post_hook='analyze {{ this }}'
) }}

{#-
    The fee of each entry of T's adjustment session: of charged adjustments, of open items and
    written-off items that people charge or credit, and what late approvals of terms make up. The
    ledger posts these fees and clearing deducts them, each from here (docs/domain.md#fees-once).
-#}
with charged_adjustments as (
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
        settlement_mode,
        amount_minor,
        fee_amount_minor,
        deducted_fee_amount_minor
    from {{ ref('int_pricing__charged_adjustments') }}
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

final as (
    select
        'A:' || adjustment_id as entry_id,
        account_id,
        merchant_id,
        channel,
        currency_code,
        adjustment_type as transaction_type,
        source_id,
        amount_minor,
        fee_amount_minor,
        deducted_fee_amount_minor,
        settlement_mode,
        fee_rule_id,
        contract_id
    from charged_adjustments
    union all
    -- An open item that people charge to a merchant, or credit: what the platform had booked
    -- without the channel is taken back, what the channel had paid without the platform is given.
    select
        'M:' || action_id as entry_id,
        account_id,
        merchant_id,
        channel,
        currency_code,
        'manual_adjustment' as transaction_type,
        'ACT:' || action_id as source_id,
        amount_minor,
        -returned_fee_minor as fee_amount_minor,
        -returned_deducted_fee_minor as deducted_fee_amount_minor,
        settlement_mode,
        cast(null as text) as fee_rule_id,
        contract_id
    from manual_adjustments
    union all
    -- What was held of an item that people had written off.
    select
        'M:' || action_id as entry_id,
        account_id,
        merchant_id,
        channel,
        currency_code,
        'manual_adjustment' as transaction_type,
        'ACT:' || action_id as source_id,
        -charged_amount_minor as amount_minor,
        -returned_fee_minor as fee_amount_minor,
        -returned_deducted_fee_minor as deducted_fee_amount_minor,
        settlement_mode,
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
        account_id,
        merchant_id,
        channel,
        currency_code,
        'term_adjustment' as transaction_type,
        change_id as source_id,
        0 as amount_minor,
        -adjustment_amount_minor as fee_amount_minor,
        case when settlement_mode = 'net' then -adjustment_amount_minor else 0 end
            as deducted_fee_amount_minor,
        settlement_mode,
        cast(null as text) as fee_rule_id,
        contract_id
    from made_up_now
    where adjustment_amount_minor <> 0
)

select * from final
