{{ config(
    materialized='table', schema='intermediate', unlogged=true, tags=['close'],
    post_hook='analyze {{ this }}'
) }}

{#-
    The adjustment records that may close an open item in this close: those of T that move money,
    and those of earlier dates that nobody has decided yet. The key is made of what the record says
    of the original.
-#}
with adjustments as (
    select
        adjustment_id,
        channel,
        adjustment_type,
        currency_code,
        funds_effect_minor,
        fees_effect_minor,
        acquiring_institution_id,
        forwarding_institution_id,
        original_trace_number,
        original_transmission_time,
        retrieval_reference_number,
        terminal_id,
        channel_order_id,
        cast(null as text) as merchant_order_id,
        refund_order_id,
        file_id,
        line_number
    from {{ ref('int_channels__adjustments') }}
    where accounting_date = {{ accounting_date() }} and funds_effect_minor <> 0
),

adjustment_types as (
    select
        adjustment_type,
        default_disposition
    from {{ ref('adjustment_types') }}
    where equation_term = 'adjustments'
),

match_rules as (
    {{- match_rule_flags([1]) }}
),

suspended_before as (
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
    -- As the close of the date before left them: running state, one partition.
    from {{ suspended_adjustments_relation() }}
    where accounting_date = {{ accounting_date() }} - 1 and status = 'suspended'
),

final as (
    select
        adjustments.adjustment_id,
        adjustments.channel,
        adjustments.adjustment_type,
        adjustments.currency_code,
        adjustments.funds_effect_minor,
        -(adjustments.funds_effect_minor + adjustments.fees_effect_minor) as taken_amount_minor,
        {{ match_key('adjustments', 'match_rules', 1, {
            'trace_number': 'original_trace_number',
            'transmission_time': 'original_transmission_time',
        }) }} as match_key,
        adjustment_types.default_disposition = 'suspended' as is_suspended_by_default,
        {{ accounting_date() }} as suspended_on,
        adjustments.file_id,
        adjustments.line_number
    from adjustments
    inner join adjustment_types
        on adjustments.adjustment_type = adjustment_types.adjustment_type
    left join match_rules on adjustments.channel = match_rules.channel
    union all
    select
        adjustment_id,
        channel,
        adjustment_type,
        currency_code,
        funds_effect_minor,
        taken_amount_minor,
        match_key,
        true as is_suspended_by_default,
        suspended_on,
        file_id,
        line_number
    from suspended_before
)

select * from final
