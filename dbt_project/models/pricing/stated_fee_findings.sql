{{ config(
    materialized='dated_partition', schema='clearing', partition_by='accounting_date',
    tags=['close']
) }}

{#-
    Where the fee that the platform states of a voucher of T is not the one that prices it, or
    where nothing prices it. The statement is a third source, beside contract and voucher: it is
    compared, never used, so that a wrong price is seen before it is paid. What people have to
    decide anyway (a refused voucher, a change of terms that waits or was rejected) is listed and
    stops no payment (docs/domain.md#stated-fees).
-#}
with stated_fees as (
    select
        accounting_voucher_id,
        source_voucher_id,
        account_id,
        currency_code,
        stated_fee_minor,
        file_id,
        line_number
    from {{ ref('stg_platform__accounting_vouchers') }}
    where accounting_date = {{ accounting_date() }} and stated_fee_minor is not null
),

-- The platform cannot know what a foreign voucher settles for, nor a share of it.
foreign_vouchers as (
    select voucher_id
    from {{ ref('int_vouchers__conversions') }}
),

priced_vouchers as (
    select
        voucher_id,
        account_id,
        channel,
        currency_code,
        contract_id,
        fee_rule_id,
        fee_amount_minor
    from {{ ref('int_pricing__priced_vouchers') }}
),

source_vouchers as (
    select
        voucher_id,
        channel
    from {{ ref('stg_platform__source_vouchers') }}
    where accounting_date = {{ accounting_date() }}
),

-- Here the old terms stand; the platform may book by others.
changing_accounts as (
    select distinct account_id
    from {{ ref('term_changes') }}
    where
        accounting_date = {{ accounting_date() }}
        and term_kind in ('contract', 'fee_rate')
        and change_state in ('waiting', 'rejected')
),

refused_vouchers as (
    select voucher_id
    from {{ ref('refused_vouchers') }}
    where accounting_date = {{ accounting_date() }}
),

compared as (
    select
        stated_fees.*,
        source_vouchers.channel,
        priced_vouchers.contract_id,
        priced_vouchers.fee_rule_id,
        priced_vouchers.fee_amount_minor,
        case
            when coalesce(priced_vouchers.fee_amount_minor, 0) = stated_fees.stated_fee_minor
                then null
            when priced_vouchers.voucher_id is not null
                and changing_accounts.account_id is not null then 'terms_differ'
            when priced_vouchers.voucher_id is not null then 'other_fee'
            when refused_vouchers.voucher_id is not null then 'refused_voucher'
            else 'not_priced'
        end as finding
    from stated_fees
    left join priced_vouchers on stated_fees.source_voucher_id = priced_vouchers.voucher_id
    left join source_vouchers on stated_fees.source_voucher_id = source_vouchers.voucher_id
    left join changing_accounts on priced_vouchers.account_id = changing_accounts.account_id
    left join refused_vouchers on stated_fees.source_voucher_id = refused_vouchers.voucher_id
    left join foreign_vouchers on stated_fees.source_voucher_id = foreign_vouchers.voucher_id
    where foreign_vouchers.voucher_id is null
),

final as (
    select
        {{ accounting_date() }} as accounting_date,
        accounting_voucher_id,
        source_voucher_id,
        finding,
        finding in ('other_fee', 'not_priced') as stops_payment,
        channel,
        currency_code,
        account_id,
        stated_fee_minor as stated_fee_amount_minor,
        fee_amount_minor,
        stated_fee_minor - coalesce(fee_amount_minor, 0) as difference_minor,
        contract_id,
        fee_rule_id,
        file_id,
        line_number
    from compared
    where finding is not null
)

select * from final
