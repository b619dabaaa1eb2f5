{{ config(materialized='dated_partition', partition_by='accounting_date', tags=['close']) }}

{#-
    The adjustment records that closed no open item and that nobody has decided: those left by the
    close of T−1 and those T suspended, with what became of them on T. One that is applied leaves
    the table with T.
-#}
with channel_adjustments as (
    select
        adjustment_id,
        disposition
    from {{ ref('channel_adjustments') }}
    where accounting_date = {{ accounting_date() }}
),

adjustments as (
    select
        adjustment_id,
        channel,
        adjustment_type,
        currency_code,
        funds_effect_minor,
        taken_amount_minor,
        match_key,
        suspended_on,
        file_id,
        line_number
    from {{ ref('int_reconciliation__adjustments') }}
),

applied_adjustments as (
    select
        adjustment_id,
        target_item_id
    from {{ ref('int_reconciliation__applied_adjustments') }}
),

final as (
    select
        {{ accounting_date() }} as accounting_date,
        adjustments.adjustment_id,
        adjustments.channel,
        adjustments.currency_code,
        adjustments.adjustment_type,
        case
            when applied_adjustments.adjustment_id is not null then 'applied'
            else 'suspended'
        end as status,
        adjustments.funds_effect_minor,
        adjustments.taken_amount_minor,
        adjustments.suspended_on,
        {{ accounting_date() }} - adjustments.suspended_on as age_days,
        applied_adjustments.target_item_id as suspense_item_id,
        adjustments.match_key,
        adjustments.file_id,
        adjustments.line_number
    from adjustments
    left join channel_adjustments
        on adjustments.adjustment_id = channel_adjustments.adjustment_id
    left join applied_adjustments
        on adjustments.adjustment_id = applied_adjustments.adjustment_id
    where
        adjustments.suspended_on < {{ accounting_date() }}
        or channel_adjustments.disposition = 'suspended'
)

select * from final
