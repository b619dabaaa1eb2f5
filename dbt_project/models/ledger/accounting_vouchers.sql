{{ config(materialized='dated_partition', partition_by='accounting_date', tags=['close']) }}

{#-
    The accounting voucher (记账凭证) of every source voucher of T that enters clearing: the
    platform's own, or a catch-up posting (补记账) where it sent none. Nothing is cleared without
    one (docs/domain.md#catch-up-posting). What the platform states of type, direction and subject
    is compared, and never used.
-#}
with priced_vouchers as (
    select
        voucher_id,
        transaction_type,
        account_id,
        coalesce(transaction_currency_code, currency_code) as currency_code,
        coalesce(transaction_amount_minor, amount_minor) as amount_minor
    from {{ ref('int_pricing__priced_vouchers') }}
),

-- Foreign vouchers that waited for their record: the platform booked them on their own date.
late_conversions as (
    select
        voucher_id,
        voucher_date
    from {{ ref('currency_conversions') }}
    where accounting_date = {{ accounting_date() }}
        and voucher_date < {{ accounting_date() }}
),

platform_vouchers as (
    select
        accounting_voucher_id,
        source_voucher_id,
        account_id,
        currency_code,
        amount_minor,
        transaction_type,
        direction,
        subject_code
    from {{ ref('stg_platform__accounting_vouchers') }}
    where accounting_date = {{ accounting_date() }}
    union all
    select
        booked.accounting_voucher_id,
        booked.source_voucher_id,
        booked.account_id,
        booked.currency_code,
        booked.amount_minor,
        booked.transaction_type,
        booked.direction,
        booked.subject_code
    from {{ ref('stg_platform__accounting_vouchers') }} as booked
    inner join late_conversions
        on booked.source_voucher_id = late_conversions.voucher_id
        and booked.accounting_date = late_conversions.voucher_date
    where booked.accounting_date >= {{ days_back(accounting_date()) }}
        and booked.accounting_date < {{ accounting_date() }}
),

-- What a merchant is owed is booked on this account (docs/domain.md#numbered-vouchers).
merchant_account as (
    select subject_code
    from {{ ref('chart_of_accounts') }}
    where ledger_account = 'merchant_payable'
),

final as (
    select
        {{ accounting_date() }} as accounting_date,
        coalesce(platform_vouchers.accounting_voucher_id, 'CU-' || priced_vouchers.voucher_id)
            as accounting_voucher_id,
        priced_vouchers.voucher_id as source_voucher_id,
        priced_vouchers.account_id,
        priced_vouchers.currency_code,
        priced_vouchers.amount_minor,
        platform_vouchers.accounting_voucher_id is null as is_catch_up,
        platform_vouchers.accounting_voucher_id is null
        or (
            platform_vouchers.account_id is not distinct from priced_vouchers.account_id
            and platform_vouchers.currency_code is not distinct from priced_vouchers.currency_code
            and platform_vouchers.amount_minor is not distinct from priced_vouchers.amount_minor
            and coalesce(platform_vouchers.transaction_type, priced_vouchers.transaction_type)
            is not distinct from priced_vouchers.transaction_type
            and coalesce(platform_vouchers.direction, expected.direction)
            is not distinct from expected.direction
            and coalesce(platform_vouchers.subject_code, merchant_account.subject_code)
            is not distinct from merchant_account.subject_code
        ) as agrees_with_source
    from priced_vouchers
    cross join merchant_account
    cross join lateral (
        select case when priced_vouchers.amount_minor > 0 then 'credit' else 'debit' end
            as direction
    ) as expected
    left join platform_vouchers
        on priced_vouchers.voucher_id = platform_vouchers.source_voucher_id
)

select * from final
