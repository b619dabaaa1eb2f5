-- Channels, their currencies and fund bills, transaction and adjustment types are joined to seeds.
-- A token that is not there would drop its record out of the close instead of stopping it
-- (docs/domain.md#no-default-for-an-unknown-code).
{{ config(tags=['close']) }}

with source_vouchers as (
    select
        voucher_id,
        channel,
        transaction_type
    from {{ ref('stg_platform__source_vouchers') }}
    where accounting_date = {{ accounting_date() }}
),

channel_records as (
    select
        channel_record_id,
        channel,
        transaction_type
    from {{ ref('int_channels__records') }}
    where accounting_date = {{ accounting_date() }}
),

adjustments as (
    select
        adjustment_id,
        channel,
        adjustment_type,
        currency_code
    from {{ ref('int_channels__adjustments') }}
    where accounting_date = {{ accounting_date() }}
),

fund_bills as (
    select
        file_id,
        channel
    from {{ ref('int_channels__fund_bills') }}
    where accounting_date = {{ accounting_date() }}
)

select voucher_id as record_id, 'channel' as code_kind, channel as code
from source_vouchers
where channel not in (select known.channel from {{ ref('channels') }} as known)
union all
select voucher_id as record_id, 'transaction_type' as code_kind, transaction_type as code
from source_vouchers
where transaction_type not in (
    select known.transaction_type from {{ ref('transaction_types') }} as known
)
union all
select channel_record_id as record_id, 'transaction_type' as code_kind, transaction_type as code
from channel_records
where transaction_type not in (
    select known.transaction_type from {{ ref('transaction_types') }} as known
)
union all
select adjustment_id as record_id, 'adjustment_type' as code_kind, adjustment_type as code
from adjustments
where adjustment_type not in (
    select known.adjustment_type from {{ ref('adjustment_types') }} as known
)
union all
select adjustment_id as record_id, 'currency of the channel' as code_kind, currency_code as code
from adjustments
where not exists (
    select 1
    from {{ ref('channel_currencies') }} as known
    where known.channel = adjustments.channel and known.currency_code = adjustments.currency_code
)
union all
select file_id as record_id, 'fund bill of a channel' as code_kind, channel as code
from fund_bills
where channel not in (select known.channel from {{ ref('fund_bills') }} as known)
