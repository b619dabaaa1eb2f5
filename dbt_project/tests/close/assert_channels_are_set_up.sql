-- A landed fund bill of a channel that reference.fund_bills does not name would be compared with
-- nothing, and a fee or adjustment in a currency that its channel does not settle in would be in no
-- arrival group (docs/domain.md#no-default-for-an-unknown-code).
{{ config(tags=['close']) }}

with fund_bills as (
    select
        file_id,
        channel
    from {{ ref('int_channels__fund_bills') }}
    where accounting_date = {{ accounting_date() }}
),

adjustments as (
    select
        adjustment_id,
        channel,
        currency_code
    from {{ ref('int_channels__adjustments') }}
    where accounting_date = {{ accounting_date() }}
)

select file_id as record_id, 'fund bill of a channel' as code_kind, channel as code
from fund_bills
where channel not in (select known.channel from {{ ref('fund_bills') }} as known)
union all
select adjustment_id as record_id, 'currency of the channel' as code_kind, currency_code as code
from adjustments
where not exists (
    select 1
    from {{ ref('channel_currencies') }} as known
    where known.channel = adjustments.channel and known.currency_code = adjustments.currency_code
)
