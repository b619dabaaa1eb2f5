-- The platform's accounting voucher (记账凭证) books what its source voucher (原始凭证) says: same
-- account, currency and amount, the same type, direction and subject code where they are stated,
-- and every accounting voucher has a source voucher of the date. A manual refund (手工退货) does not
-- clear with the transactions: it is booked from the channel's adjustment record
-- (docs/domain.md#what-is-in-the-pool).
{{ config(tags=['close']) }}

with accounting_vouchers as (
    select
        accounting_voucher_id,
        source_voucher_id,
        agrees_with_source
    from {{ ref('accounting_vouchers') }}
    where accounting_date = {{ accounting_date() }}
),

platform_vouchers as (
    select
        accounting_voucher_id,
        source_voucher_id
    from {{ ref('stg_platform__accounting_vouchers') }}
    where accounting_date = {{ accounting_date() }}
),

manual_refunds as (
    select voucher_id
    from {{ ref('stg_platform__source_vouchers') }}
    where accounting_date = {{ accounting_date() }}
        and transaction_type = 'manual_refund'
),

-- What contradicts our history is not posted, whatever the platform booked for it.
refused_vouchers as (
    select voucher_id
    from {{ ref('refused_vouchers') }}
    where accounting_date = {{ accounting_date() }}
),

-- What waits for the channel's rate is posted with it.
waiting_conversions as (
    select voucher_id
    from {{ ref('waiting_conversions') }}
    where accounting_date = {{ accounting_date() }}
)

select
    accounting_voucher_id,
    source_voucher_id,
    'account, currency, amount, type, direction or subject code differ' as reason
from accounting_vouchers
where not agrees_with_source
union all
select
    platform_vouchers.accounting_voucher_id,
    platform_vouchers.source_voucher_id,
    'no source voucher of the date clears with it' as reason
from platform_vouchers
left join accounting_vouchers
    on platform_vouchers.source_voucher_id = accounting_vouchers.source_voucher_id
left join manual_refunds
    on platform_vouchers.source_voucher_id = manual_refunds.voucher_id
left join refused_vouchers
    on platform_vouchers.source_voucher_id = refused_vouchers.voucher_id
left join waiting_conversions
    on platform_vouchers.source_voucher_id = waiting_conversions.voucher_id
where accounting_vouchers.source_voucher_id is null
    and waiting_conversions.voucher_id is null
    and manual_refunds.voucher_id is null
    and refused_vouchers.voucher_id is null
