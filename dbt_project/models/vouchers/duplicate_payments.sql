{{ config(
    materialized='dated_partition', schema='clearing', partition_by='accounting_date',
    tags=['close']
) }}

{#-
    Sales of T that may be one payment made twice (疑似重复支付): two successful sales of one amount,
    of one merchant's order or of one merchant and card, within minutes of one another. Both are
    cleared; nothing is done about them here. docs/domain.md#candidates-for-duplicate-payments
-#}
with limits as (
    select
        duplicate_kind,
        within_minutes
    from {{ ref('duplicate_payment_limits') }}
),

-- A pair may lie on both sides of the cutoff.
sales as (
    select
        accounting_date,
        voucher_id,
        transaction_at,
        merchant_id,
        account_id,
        channel,
        currency_code,
        amount_minor,
        merchant_order_id,
        card_token,
        file_id,
        line_number
    from {{ ref('stg_platform__source_vouchers') }}
    where
        accounting_date in ({{ accounting_date() }}, {{ accounting_date() }} - 1)
        and transaction_status = 'success'
        and transaction_type = 'purchase'
),

refused_vouchers as (
    select
        voucher_id,
        file_id
    from {{ ref('refused_vouchers') }}
    where accounting_date in ({{ accounting_date() }}, {{ accounting_date() }} - 1)
),

accepted as (
    select sales.*
    from sales
    left join refused_vouchers
        on sales.voucher_id = refused_vouchers.voucher_id
        and sales.file_id = refused_vouchers.file_id
    where refused_vouchers.voucher_id is null
),

keyed as (
    select
        accepted.*,
        'same_order' as duplicate_kind,
        merchant_order_id as duplicate_key
    from accepted
    where merchant_order_id is not null
    union all
    select
        accepted.*,
        'same_card' as duplicate_kind,
        card_token as duplicate_key
    from accepted
    where card_token is not null
),

-- Each with the one before it: of three there are two pairs.
followed as (
    select
        keyed.*,
        lag(voucher_id) over in_order as first_voucher_id,
        lag(accounting_date) over in_order as first_accounting_date,
        lag(transaction_at) over in_order as first_transaction_at,
        lag(channel) over in_order as first_channel,
        lag(account_id) over in_order as first_account_id,
        lag(file_id) over in_order as first_file_id,
        lag(line_number) over in_order as first_line_number
    from keyed
    window
        in_order as (
            partition by
                duplicate_kind, merchant_id, duplicate_key, currency_code, amount_minor
            order by transaction_at, accounting_date, voucher_id
        )
),

near as (
    select
        followed.*,
        row_number() over (
            partition by followed.first_voucher_id, followed.voucher_id
            order by followed.duplicate_kind desc
        ) as kind_order
    from followed
    inner join limits on followed.duplicate_kind = limits.duplicate_kind
    where
        followed.transaction_at - followed.first_transaction_at
        <= make_interval(mins => limits.within_minutes)
        -- The close that has the later of the two lists them.
        and greatest(followed.accounting_date, followed.first_accounting_date)
        = {{ accounting_date() }}
),

final as (
    select
        {{ accounting_date() }} as accounting_date,
        voucher_id,
        first_voucher_id,
        duplicate_kind,
        merchant_id,
        currency_code,
        amount_minor,
        merchant_order_id,
        account_id,
        channel,
        transaction_at,
        file_id,
        line_number,
        first_account_id,
        first_channel,
        first_transaction_at,
        first_accounting_date,
        first_file_id,
        first_line_number
    from near
    where kind_order = 1
)

select * from final
