with records as (
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
        payment_code_prefix,
        payment_code_digits,
        settlement_currency_code,
        quoted_exchange_rate
    from {{ source('raw', 'platform_source_vouchers') }}
),

landed_files as (
    {{ landed_files() }}
),

final as (
    select
        records.file_id,
        records.line_number,
        records.accounting_date,
        records.voucher_id,
        records.transaction_at,
        records.transaction_type,
        records.transaction_status,
        records.merchant_id,
        records.account_id,
        records.terminal_id,
        records.channel,
        records.currency_code,
        records.amount_minor,
        records.card_kind,
        records.card_region,
        records.card_token,
        records.acquiring_institution_id,
        records.forwarding_institution_id,
        records.trace_number,
        records.transmission_time,
        records.retrieval_reference_number,
        records.channel_order_id,
        records.refund_order_id,
        records.merchant_order_id,
        records.original_voucher_id,
        records.original_transaction_at,
        records.original_amount_minor,
        records.original_refunded_before_minor,
        records.payment_code_prefix,
        records.payment_code_digits,
        records.settlement_currency_code,
        records.quoted_exchange_rate
    from records
    inner join landed_files on records.file_id = landed_files.file_id
)

select * from final
