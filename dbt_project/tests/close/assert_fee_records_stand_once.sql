-- A fee between members (收付费) may stand in UnionPay's adjustment file and in its fee files, and
-- counts once (int_channels__adjustments). One that stands twice in a file, or with two amounts,
-- says that the files do not mean what we take them to mean: nobody chooses one of two amounts
-- (docs/formats/unionpay-fcp.md).
{{ config(tags=['close']) }}

with fee_records as (
    select
        adjustment_id,
        file_id,
        channel,
        adjustment_type,
        trace_number,
        transmission_time,
        currency_code,
        funds_effect_minor
    from {{ ref('stg_unionpay__fee_records') }}
    where accounting_date = {{ accounting_date() }}
),

adjustments as (
    select
        adjustment_id,
        file_id,
        channel,
        adjustment_type,
        trace_number,
        transmission_time,
        currency_code,
        funds_effect_minor
    from {{ ref('stg_unionpay__adjustments') }}
    where accounting_date = {{ accounting_date() }}
),

records as (
    select * from fee_records
    union all
    select * from adjustments
)

select
    fee_records.adjustment_id,
    fee_records.trace_number,
    fee_records.transmission_time,
    records.adjustment_id as other_adjustment_id
from fee_records
inner join records
    on fee_records.channel = records.channel
    and fee_records.adjustment_type = records.adjustment_type
    and fee_records.trace_number = records.trace_number
    and fee_records.transmission_time = records.transmission_time
    and fee_records.adjustment_id <> records.adjustment_id
where
    fee_records.file_id = records.file_id
    or fee_records.funds_effect_minor <> records.funds_effect_minor
    or fee_records.currency_code <> records.currency_code
