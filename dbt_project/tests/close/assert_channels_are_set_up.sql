-- A landed fund bill of a channel that reference.fund_bills does not name would be compared with
-- nothing, and a fee or adjustment in a currency that its channel does not settle in would be in no
-- arrival group (docs/domain.md#no-default-for-an-unknown-code). A channel that is taken out of the
-- reference data while the date before has open items of it, or is not paid, would leave them
-- behind (docs/domain.md#channels).
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
),

channels as (
    select channel
    from {{ ref('channels') }}
),

day_before as (
    select
        channel,
        accounting_date,
        bool_or(closing_count > 0) as has_open_items
    from {{ ref('suspense_rollforward') }}
    where accounting_date = {{ accounting_date() }} - 1
    group by channel, accounting_date
),

seals as (
    select
        channel,
        accounting_date
    from {{ source('control', 'accounting_day_seals') }}
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
union all
select
    to_char(accounting_date, 'YYYY-MM-DD') as record_id,
    'channel switched off with open items' as code_kind,
    channel as code
from day_before
where has_open_items and channel not in (select channels.channel from channels)
union all
select
    to_char(accounting_date, 'YYYY-MM-DD') as record_id,
    'channel switched off with a date that is not paid' as code_kind,
    channel as code
from day_before
where
    channel not in (select channels.channel from channels)
    and not exists (
        select 1
        from seals
        where
            seals.channel = day_before.channel
            and seals.accounting_date = day_before.accounting_date
    )
