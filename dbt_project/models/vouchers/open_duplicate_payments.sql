{{ config(materialized='view', schema='clearing', tags=['views']) }}

{#-
    What people look at: pairs of the last 30 days before the latest close, of which neither sale
    has been given back whole since (待核重复支付).
-#}
with duplicate_payments as (
    select
        accounting_date,
        voucher_id,
        first_voucher_id,
        duplicate_kind,
        merchant_id,
        account_id,
        currency_code,
        amount_minor,
        channel,
        first_channel,
        transaction_at,
        first_transaction_at,
        file_id,
        line_number,
        first_file_id,
        first_line_number
    from {{ ref('duplicate_payments') }}
),

closed_dates as (
    select max(accounting_date) as accounting_date
    from {{ source('control', 'accounting_days') }}
    where state in ('closed', 'sealed')
),

original_movements as (
    select
        original_voucher_id,
        amount_minor
    from {{ source('clearing_registers', 'original_movements') }}
),

final as (
    select
        duplicate_payments.accounting_date,
        duplicate_payments.voucher_id,
        duplicate_payments.first_voucher_id,
        duplicate_payments.duplicate_kind,
        duplicate_payments.merchant_id,
        duplicate_payments.account_id,
        duplicate_payments.currency_code,
        duplicate_payments.amount_minor,
        duplicate_payments.channel,
        duplicate_payments.first_channel,
        duplicate_payments.transaction_at,
        duplicate_payments.first_transaction_at,
        duplicate_payments.file_id,
        duplicate_payments.line_number,
        duplicate_payments.first_file_id,
        duplicate_payments.first_line_number
    from duplicate_payments
    inner join closed_dates
        on duplicate_payments.accounting_date
        between closed_dates.accounting_date - 30 and closed_dates.accounting_date
    left join lateral (
        select coalesce(sum(original_movements.amount_minor), 0) as returned_minor
        from original_movements
        where original_movements.original_voucher_id = duplicate_payments.voucher_id
    ) as later_returns on true
    left join lateral (
        select coalesce(sum(original_movements.amount_minor), 0) as returned_minor
        from original_movements
        where original_movements.original_voucher_id = duplicate_payments.first_voucher_id
    ) as first_returns on true
    where
        later_returns.returned_minor < duplicate_payments.amount_minor
        and first_returns.returned_minor < duplicate_payments.amount_minor
)

select * from final
