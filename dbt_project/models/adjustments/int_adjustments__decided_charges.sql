{{ config(
    materialized='table', schema='intermediate', unlogged=true, tags=['close'],
    post_hook='analyze {{ this }}'
) }}

{#-
    Suspended adjustments that two people charge to a named account on T: one row a decision. Where
    the record names a sale of ours, the charge counts as given back of it, as long as that stays
    between nothing and the sale; else it is charged without an original, and counts for none.
-#}
with charges as (
    select
        action_id,
        adjustment_id,
        adjustment_type,
        channel,
        currency_code,
        funds_effect_minor,
        suspended_on,
        account_id,
        merchant_id,
        contract_id,
        settlement_mode
    from {{ ref('int_reconciliation__adjustment_actions') }}
    where action_kind = 'charge' and refused_because is null
),

channel_adjustments as (
    select
        accounting_date,
        adjustment_id,
        disposition,
        original_voucher_id,
        charged_amount_minor
    from {{ ref('channel_adjustments') }}
    where
        accounting_date between {{ accounting_date() }} - 360 and {{ accounting_date() }}
        and original_voucher_id is not null
),

charged_today as (
    select
        original_voucher_id,
        sum(charged_amount_minor) as returned_minor
    from channel_adjustments
    where accounting_date = {{ accounting_date() }} and disposition = 'charged'
    group by original_voucher_id
),

voucher_register as (
    select
        voucher_id,
        accounting_date,
        amount_minor
    from {{ source('control', 'voucher_register') }}
    where source = 'platform'
),

original_movements as (
    select
        original_voucher_id,
        accounting_date,
        amount_minor
    from {{ source('clearing_registers', 'original_movements') }}
    where accounting_date < {{ accounting_date() }}
),

voucher_history as (
    select
        original_voucher_id,
        sum(-amount_minor) as returned_minor
    from {{ ref('int_vouchers__history') }}
    where reason is null and is_return and not reverses_failed
    group by original_voucher_id
),

-- One index probe a charge.
originals as (
    select
        charges.*,
        found.voucher_id as original_voucher_id,
        found.accounting_date as original_accounting_date,
        found.amount_minor as sale_amount_minor,
        moved.returned_minor as returned_before_minor
    from charges
    left join channel_adjustments
        on charges.adjustment_id = channel_adjustments.adjustment_id
        and charges.suspended_on = channel_adjustments.accounting_date
    left join lateral (
        select
            voucher_register.voucher_id,
            voucher_register.accounting_date,
            voucher_register.amount_minor
        from voucher_register
        where voucher_register.voucher_id = channel_adjustments.original_voucher_id
    ) as found on true
    left join lateral (
        select sum(original_movements.amount_minor) as returned_minor
        from original_movements
        where original_movements.original_voucher_id = found.voucher_id
    ) as moved on true
),

counted as (
    select
        originals.*,
        coalesce(originals.returned_before_minor, 0)
        + coalesce(voucher_history.returned_minor, 0)
        + coalesce(charged_today.returned_minor, 0)
        + sum(-originals.funds_effect_minor) over (
            partition by originals.original_voucher_id
            order by originals.action_id
        ) as returned_after_minor
    from originals
    left join voucher_history
        on originals.original_voucher_id = voucher_history.original_voucher_id
    left join charged_today
        on originals.original_voucher_id = charged_today.original_voucher_id
),

-- Several charges for one sale are judged in their order: from the first that goes beyond, none
-- counts.
judged as (
    select
        counted.*,
        coalesce(
            bool_and(returned_after_minor between 0 and sale_amount_minor) over (
                partition by original_voucher_id
                order by action_id
            ),
            false
        ) as is_within
    from counted
),

final as (
    select
        action_id,
        adjustment_id,
        adjustment_type,
        channel,
        currency_code,
        -funds_effect_minor as charged_amount_minor,
        account_id,
        merchant_id,
        contract_id,
        settlement_mode,
        case when is_within then original_voucher_id end as original_voucher_id,
        case when is_within then original_accounting_date end as original_accounting_date,
        case when is_within then sale_amount_minor end as sale_amount_minor,
        case when is_within then returned_after_minor end as returned_after_minor
    from judged
)

select * from final
