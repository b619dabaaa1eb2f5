{{ config(
    materialized='dated_partition', partition_by='accounting_date', tags=['close'],
    pre_hook="{{ hold_clearing_sessions() }}",
    post_hook=[
        "{{ register_original_movements() }}",
        "{{ refuse_changed_sessions(['transaction', 'adjustment']) }}",
    ]
) }}

{#-
    Who is owed what for T, record by record: the vouchers of the transaction session, the
    adjustments charged to merchants, by their sale or by two people, and what late approvals of
    terms make up. Amounts and fees are priced before (docs/domain.md#fees-once); what is deducted
    is decided here. One-sided platform transactions are in it too; the equation adds them back
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
        transaction_currency_code,
        transaction_amount_minor as transaction_currency_amount_minor,
        exchange_rate,
        contract_id,
        fee_rule_id,
        tier_from_minor,
        tier_volume_minor,
        merchant_category_code,
        settlement_mode,
        fee_amount_minor
    from {{ ref('int_pricing__priced_vouchers') }}
),

adjustment_fees as (
    select
        entry_id,
        account_id,
        merchant_id,
        channel,
        currency_code,
        transaction_type,
        source_id,
        amount_minor,
        fee_amount_minor,
        deducted_fee_amount_minor,
        settlement_mode,
        fee_rule_id,
        contract_id
    from {{ ref('int_pricing__adjustment_fees') }}
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

entry_sessions as (
    select
        entry_id,
        clearing_session_type,
        clearing_session_no
    from {{ ref('int_clearing__entry_sessions') }}
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
        transaction_currency_code,
        transaction_currency_amount_minor,
        exchange_rate,
        fee_rule_id,
        contract_id,
        tier_from_minor,
        tier_volume_minor,
        merchant_category_code
    from priced_vouchers
    union all
    select
        entry_id,
        'adjustment' as clearing_session_type,
        account_id,
        merchant_id,
        channel,
        currency_code,
        transaction_type,
        source_id,
        amount_minor as transaction_amount_minor,
        fee_amount_minor,
        deducted_fee_amount_minor,
        settlement_mode,
        false as is_foreign_card,
        cast(null as text) as transaction_currency_code,
        cast(null as bigint) as transaction_currency_amount_minor,
        cast(null as numeric) as exchange_rate,
        fee_rule_id,
        contract_id,
        cast(null as bigint) as tier_from_minor,
        cast(null as bigint) as tier_volume_minor,
        cast(null as text) as merchant_category_code
    from adjustment_fees
),

final as (
    select
        {{ accounting_date() }} as accounting_date,
        entries.entry_id,
        entries.clearing_session_type,
        coalesce(entry_sessions.clearing_session_no, 1) as clearing_session_no,
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
        coalesce(entries.transaction_currency_code, entries.currency_code)
            as transaction_currency_code,
        coalesce(entries.transaction_currency_amount_minor, entries.transaction_amount_minor)
            as transaction_currency_amount_minor,
        coalesce(entries.exchange_rate, 1) as exchange_rate,
        entries.fee_rule_id,
        entries.contract_id,
        arrival_groups.arrival_group_id,
        arrival_groups.arrival_date,
        arrival_groups.payment_date,
        entries.tier_from_minor,
        entries.tier_volume_minor,
        entries.merchant_category_code
    from entries
    left join entry_sessions
        on entries.entry_id = entry_sessions.entry_id
        and entries.clearing_session_type = entry_sessions.clearing_session_type
    left join arrival_groups
        on entries.channel = arrival_groups.channel
        and entries.currency_code = arrival_groups.currency_code
)

select * from final
