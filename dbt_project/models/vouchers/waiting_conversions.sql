{{ config(
    materialized='dated_partition', schema='clearing', partition_by='accounting_date',
    tags=['close']
) }}

{#-
    The foreign vouchers without a rate at the end of T (待换汇凭证): no record of the channel says
    what they settle for, or one that is not believed. They are neither cleared nor posted, and
    nothing is guessed of them; each close looks again for three weeks
    (docs/domain.md#foreign-currency). A file that no longer has the voucher ends it.
-#}
with conversions as (
    select
        voucher_id,
        voucher_date,
        channel,
        merchant_id,
        account_id,
        transaction_type,
        transaction_at,
        transaction_currency_code,
        transaction_amount_minor,
        settlement_currency_code,
        quoted_exchange_rate,
        reason,
        channel_record_id,
        exchange_rate,
        file_id,
        line_number
    from {{ ref('int_vouchers__conversions') }}
    where reason is not null
),

-- What has waited three weeks is looked for no more, and stays on the list for people.
waiting_before as (
    select
        voucher_id,
        voucher_date,
        channel,
        merchant_id,
        account_id,
        transaction_type,
        transaction_at,
        transaction_currency_code,
        transaction_amount_minor,
        settlement_currency_code,
        quoted_exchange_rate,
        channel_record_id,
        exchange_rate,
        file_id,
        line_number
    from {{ this }}
    where accounting_date = {{ accounting_date() }} - 1
        and voucher_date <= {{ accounting_date() }} - 21
),

waiting as (
    select
        voucher_id,
        voucher_date,
        channel,
        merchant_id,
        account_id,
        transaction_type,
        transaction_at,
        transaction_currency_code,
        transaction_amount_minor,
        settlement_currency_code,
        quoted_exchange_rate,
        reason,
        channel_record_id,
        exchange_rate,
        file_id,
        line_number
    from conversions
    union all
    select
        voucher_id,
        voucher_date,
        channel,
        merchant_id,
        account_id,
        transaction_type,
        transaction_at,
        transaction_currency_code,
        transaction_amount_minor,
        settlement_currency_code,
        quoted_exchange_rate,
        'too_old' as reason,
        channel_record_id,
        exchange_rate,
        file_id,
        line_number
    from waiting_before
),

final as (
    select
        {{ accounting_date() }} as accounting_date,
        waiting.voucher_id,
        waiting.voucher_date,
        {{ accounting_date() }} - waiting.voucher_date as age_days,
        waiting.reason,
        waiting.channel,
        waiting.merchant_id,
        waiting.account_id,
        waiting.transaction_type,
        waiting.transaction_at,
        waiting.transaction_currency_code,
        waiting.transaction_amount_minor,
        waiting.settlement_currency_code,
        waiting.quoted_exchange_rate,
        waiting.channel_record_id,
        waiting.exchange_rate,
        waiting.file_id,
        waiting.line_number
    from waiting
)

select * from final
