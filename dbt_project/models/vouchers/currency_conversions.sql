{{ config(
    materialized='dated_partition', schema='clearing', partition_by='accounting_date',
    tags=['close']
) }}

{#-
    The foreign vouchers (外币凭证) that the close of T took in at the rate of their record, with both
    currencies and both rates: what is cleared, and what the platform's rate would have given
    (docs/domain.md#foreign-currency). What was refused is none.
-#}
with conversions as (
    select
        voucher_id,
        voucher_date,
        file_id,
        line_number,
        transaction_at,
        transaction_type,
        merchant_id,
        account_id,
        terminal_id,
        merchant_order_id,
        original_voucher_id,
        channel,
        transaction_currency_code,
        transaction_amount_minor,
        settlement_currency_code,
        quoted_exchange_rate,
        quoted_amount_minor,
        channel_record_id,
        record_date,
        record_amount_minor,
        exchange_rate
    from {{ ref('int_vouchers__conversions') }}
    where reason is null
),

accepted as (
    select
        voucher_id,
        file_id
    from {{ ref('int_vouchers__accepted') }}
),

final as (
    select
        {{ accounting_date() }} as accounting_date,
        conversions.voucher_id,
        conversions.voucher_date,
        conversions.channel,
        conversions.merchant_id,
        conversions.account_id,
        conversions.transaction_type,
        conversions.transaction_at,
        conversions.terminal_id,
        conversions.merchant_order_id,
        conversions.original_voucher_id,
        conversions.transaction_currency_code,
        conversions.transaction_amount_minor,
        conversions.settlement_currency_code as currency_code,
        conversions.record_amount_minor as settlement_amount_minor,
        conversions.exchange_rate,
        conversions.quoted_exchange_rate,
        conversions.quoted_amount_minor,
        conversions.record_amount_minor - conversions.quoted_amount_minor
            as exchange_difference_minor,
        conversions.channel_record_id,
        conversions.record_date,
        conversions.file_id,
        conversions.line_number
    from conversions
    inner join accepted
        on conversions.voucher_id = accepted.voucher_id
        and conversions.file_id = accepted.file_id
)

select * from final
