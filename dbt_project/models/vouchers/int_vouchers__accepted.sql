{{ config(materialized='view', schema='intermediate', tags=['close']) }}

{#-
    The vouchers that a close reads: those that it takes in (int_vouchers__entering), without those
    that were refused. From here on currency and amount are what settles; a foreign voucher keeps
    its transaction's beside them.
-#}
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
        original_voucher_id,
        settled_currency_code,
        settlement_amount_minor,
        exchange_rate
    from {{ ref('int_vouchers__entering') }}
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
    select
        source_vouchers.file_id,
        source_vouchers.line_number,
        source_vouchers.accounting_date,
        source_vouchers.voucher_id,
        source_vouchers.transaction_at,
        source_vouchers.transaction_type,
        source_vouchers.transaction_status,
        source_vouchers.merchant_id,
        source_vouchers.account_id,
        source_vouchers.terminal_id,
        source_vouchers.channel,
        coalesce(source_vouchers.settled_currency_code, source_vouchers.currency_code)
            as currency_code,
        case
            when source_vouchers.settled_currency_code is not null
                then source_vouchers.settlement_amount_minor
            else source_vouchers.amount_minor
        end as amount_minor,
        source_vouchers.card_kind,
        source_vouchers.card_region,
        source_vouchers.card_token,
        source_vouchers.acquiring_institution_id,
        source_vouchers.forwarding_institution_id,
        source_vouchers.trace_number,
        source_vouchers.transmission_time,
        source_vouchers.retrieval_reference_number,
        source_vouchers.channel_order_id,
        source_vouchers.refund_order_id,
        source_vouchers.merchant_order_id,
        source_vouchers.original_voucher_id,
        case
            when source_vouchers.settled_currency_code is not null
                then source_vouchers.currency_code
        end as transaction_currency_code,
        case
            when source_vouchers.settled_currency_code is not null
                then source_vouchers.amount_minor
        end as transaction_amount_minor,
        source_vouchers.exchange_rate
    from source_vouchers
    left join refused_vouchers
        on source_vouchers.voucher_id = refused_vouchers.voucher_id
        and source_vouchers.file_id = refused_vouchers.file_id
    where refused_vouchers.voucher_id is null
)

select * from final
