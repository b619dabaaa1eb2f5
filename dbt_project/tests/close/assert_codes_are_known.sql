-- Channels, transaction types and adjustment types are joined to reference data. A token that is
-- not there would drop its record out of the close instead of stopping it
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
        adjustment_type
    from {{ ref('int_channels__adjustments') }}
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
