{{ config(materialized='view', schema='intermediate', tags=['close']) }}

{#-
    The vouchers that the close of T takes in: those that landed for T and settle in their own
    currency, or move no money, and foreign ones of whatever date whose record says now what they
    settle for (int_vouchers__conversions). Currency and amount are the transaction's; what a
    foreign voucher settles for stands beside them.
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
        original_transaction_at,
        original_amount_minor,
        original_refunded_before_minor,
        settlement_currency_code
    from {{ ref('stg_platform__source_vouchers') }}
),

conversions as (
    select
        voucher_id,
        voucher_date,
        file_id,
        line_number,
        settlement_currency_code,
        record_amount_minor,
        exchange_rate
    from {{ ref('int_vouchers__conversions') }}
    where reason is null
),

waiting as (
    select voucher_id
    from {{ ref('int_vouchers__conversions') }}
    where voucher_date = {{ accounting_date() }}
),

{%- set columns = [
    'file_id', 'line_number', 'voucher_id', 'transaction_at', 'transaction_type',
    'transaction_status', 'merchant_id', 'account_id', 'terminal_id', 'channel',
    'currency_code', 'amount_minor', 'card_kind', 'card_region', 'card_token',
    'acquiring_institution_id', 'forwarding_institution_id', 'trace_number',
    'transmission_time', 'retrieval_reference_number', 'channel_order_id', 'refund_order_id',
    'merchant_order_id', 'original_voucher_id', 'original_transaction_at',
    'original_amount_minor', 'original_refunded_before_minor',
] %}

final as (
    select
        {%- for column in columns %}
        source_vouchers.{{ column }},
        {%- endfor %}
        {{ accounting_date() }} as accounting_date,
        cast(null as text) as settled_currency_code,
        cast(null as bigint) as settlement_amount_minor,
        cast(null as numeric) as exchange_rate
    from source_vouchers
    left join waiting on source_vouchers.voucher_id = waiting.voucher_id
    where source_vouchers.accounting_date = {{ accounting_date() }}
        and waiting.voucher_id is null
    union all
    select
        {%- for column in columns %}
        landed.{{ column }},
        {%- endfor %}
        {{ accounting_date() }} as accounting_date,
        conversions.settlement_currency_code as settled_currency_code,
        conversions.record_amount_minor as settlement_amount_minor,
        conversions.exchange_rate
    from conversions
    cross join lateral (
        select source_vouchers.*
        from source_vouchers
        where source_vouchers.accounting_date = conversions.voucher_date
            and source_vouchers.file_id = conversions.file_id
            and source_vouchers.line_number = conversions.line_number
        offset 0
    ) as landed
)

select * from final
