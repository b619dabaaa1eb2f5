{{ config(materialized='view', schema='intermediate', tags=['close']) }}

{#- The vouchers of T that a close reads: those that landed, without those that were refused. -#}
with source_vouchers as (
    select
        file_id,
        line_number,
        accounting_date,
        voucher_id,
        transaction_at,
        transaction_type,
        transaction_status,
        merchant_id,
        account_id,
        terminal_id,
        channel,
        currency_code,
        amount_minor,
        card_kind,
        card_region,
        card_token,
        acquiring_institution_id,
        forwarding_institution_id,
        trace_number,
        transmission_time,
        retrieval_reference_number,
        channel_order_id,
        refund_order_id,
        merchant_order_id,
        original_voucher_id
    from {{ ref('stg_platform__source_vouchers') }}
    where accounting_date = {{ accounting_date() }}
),

refused_vouchers as (
    select
        voucher_id,
        file_id
    from {{ ref('refused_vouchers') }}
    where accounting_date = {{ accounting_date() }}
),

final as (
    select source_vouchers.*
    from source_vouchers
    left join refused_vouchers
        on source_vouchers.voucher_id = refused_vouchers.voucher_id
        and source_vouchers.file_id = refused_vouchers.file_id
    where refused_vouchers.voucher_id is null
)

select * from final
