{{ config(
    materialized='dated_partition', schema='reconciliation', partition_by='accounting_date',
    tags=['close']
) }}

{#-
    Vouchers of T whose payment code does not go with the channel they were booked on. The first
    digits of a code name its wallet, reference data says which channels take it; a prefix that no
    row has names nobody, and one with too few or too many digits is not relied on. A finding
    changes nothing: a voucher on another channel than its money is one-sided and held
    (docs/domain.md#payment-codes).
-#}
with source_vouchers as (
    select
        voucher_id,
        transaction_at,
        account_id,
        merchant_id,
        channel,
        currency_code,
        amount_minor,
        payment_code_prefix,
        payment_code_digits,
        file_id,
        line_number
    from {{ ref('stg_platform__source_vouchers') }}
    where
        accounting_date = {{ accounting_date() }}
        and transaction_status = 'success'
        and payment_code_prefix is not null
),

payment_code_prefixes as (
    select
        wallet,
        prefix_from,
        prefix_to,
        digits_from,
        digits_until,
        valid_from,
        valid_until
    from {{ ref('payment_code_prefixes') }}
),

channel_wallets as (
    select
        channel,
        wallet
    from {{ ref('channel_wallets') }}
),

channels_of_wallets as (
    select
        wallet,
        string_agg(channel, ' ' order by channel) as channels
    from channel_wallets
    group by wallet
),

reconciliation_results as (
    select
        system_transaction_id,
        outcome
    from {{ ref('reconciliation_results') }}
    where accounting_date = {{ accounting_date() }} and system_transaction_id is not null
),

compared as (
    select
        source_vouchers.*,
        payment_code_prefixes.wallet,
        channels_of_wallets.channels as channels_of_code,
        case
            when payment_code_prefixes.wallet is null then 'unknown_prefix'
            when source_vouchers.payment_code_digits < payment_code_prefixes.digits_from
                or source_vouchers.payment_code_digits > payment_code_prefixes.digits_until
                then 'other_length'
            when channel_wallets.channel is null then 'other_channel'
        end as finding
    from source_vouchers
    left join payment_code_prefixes
        on length(source_vouchers.payment_code_prefix) >= length(payment_code_prefixes.prefix_from)
        and left(source_vouchers.payment_code_prefix, length(payment_code_prefixes.prefix_from))
        between payment_code_prefixes.prefix_from and payment_code_prefixes.prefix_to
        and payment_code_prefixes.valid_from
        <= {{ business_date('source_vouchers.transaction_at') }}
        and (
            payment_code_prefixes.valid_until is null
            or payment_code_prefixes.valid_until
            > {{ business_date('source_vouchers.transaction_at') }}
        )
    left join channels_of_wallets on payment_code_prefixes.wallet = channels_of_wallets.wallet
    left join channel_wallets
        on payment_code_prefixes.wallet = channel_wallets.wallet
        and source_vouchers.channel = channel_wallets.channel
),

final as (
    select
        {{ accounting_date() }} as accounting_date,
        compared.voucher_id,
        compared.finding,
        compared.channel,
        compared.channels_of_code,
        compared.wallet,
        compared.payment_code_prefix,
        compared.payment_code_digits,
        compared.merchant_id,
        compared.account_id,
        compared.currency_code,
        compared.amount_minor,
        reconciliation_results.outcome,
        compared.file_id,
        compared.line_number
    from compared
    left join reconciliation_results
        on compared.voucher_id = reconciliation_results.system_transaction_id
    where compared.finding is not null
)

select * from final
