{{ config(
    materialized='dated_partition', schema='clearing', partition_by='accounting_date',
    tags=['close']
) }}

{#-
    The vouchers of T that contradict our history (docs/domain.md#history-is-ours), with both rows
    for the person who asks the platform.
-#}
with voucher_history as (
    select
        voucher_id,
        file_id,
        line_number,
        transaction_at,
        transaction_type,
        merchant_id,
        account_id,
        channel,
        currency_code,
        amount_minor,
        original_voucher_id,
        known_accounting_date,
        known_file_id,
        known_line_number,
        known_merchant_id,
        known_account_id,
        known_amount_minor,
        stated_amount_minor,
        stated_refunded_before_minor,
        returned_before_minor,
        reason,
        match_key,
        fallback_key_1,
        fallback_key_2
    from {{ ref('int_vouchers__history') }}
    where reason is not null
),

final as (
    select
        {{ accounting_date() }} as accounting_date,
        voucher_id,
        reason,
        channel,
        currency_code,
        transaction_type,
        transaction_at,
        merchant_id,
        account_id,
        amount_minor,
        original_voucher_id,
        known_accounting_date as original_accounting_date,
        known_merchant_id as original_merchant_id,
        known_account_id as original_account_id,
        known_amount_minor as original_amount_minor,
        stated_amount_minor as stated_original_amount_minor,
        returned_before_minor,
        stated_refunded_before_minor,
        match_key,
        fallback_key_1,
        fallback_key_2,
        file_id,
        line_number,
        known_file_id as original_file_id,
        known_line_number as original_line_number
    from voucher_history
)

select * from final
