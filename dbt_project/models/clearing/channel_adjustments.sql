{{ config(materialized='dated_partition', partition_by='accounting_date', tags=['close']) }}

{#-
    What became of each adjustment record (差错) of T: charged to the merchant, absorbed by us,
    applied to an open item, or suspended until somebody decides. Taken amounts are + when the
    channel took money from us. Fees on a record are always absorbed. Fee records (收付费) are
    another term and stand in channel_terms.
-#}
with adjustments as (
    select
        adjustment_id,
        channel,
        adjustment_code,
        adjustment_type,
        merchant_id,
        retrieval_reference_number,
        reason_code,
        currency_code,
        funds_effect_minor,
        fees_effect_minor,
        file_id,
        line_number
    from {{ ref('stg_unionpay__adjustments') }}
    where accounting_date = {{ accounting_date() }}
),

adjustment_types as (
    select
        adjustment_type,
        equation_term,
        default_disposition,
        reply_days
    from {{ ref('adjustment_types') }}
),

applied_adjustments as (
    select
        adjustment_id,
        target_item_id as suspense_item_id
    from {{ ref('int_reconciliation__applied_adjustments') }}
),

contracts as (
    select
        contract_id,
        merchant_id,
        account_id,
        settlement_mode,
        row_number() over (partition by merchant_id order by contract_id) as contract_order
    from {{ ref('int_terms__contracts') }}
    where
        snapshot_date = {{ accounting_date() }}
        and effective_from <= {{ accounting_date() }}
        and (effective_to is null or effective_to > {{ accounting_date() }})
),

disposed as (
    select
        adjustments.*,
        adjustment_types.reply_days,
        applied_adjustments.suspense_item_id,
        contracts.contract_id,
        contracts.account_id,
        contracts.settlement_mode,
        case
            when applied_adjustments.suspense_item_id is not null then 'applied_to_open_item'
            when adjustments.funds_effect_minor = 0 then 'no_funds'
            -- A record about a merchant we do not know cannot be charged to anybody.
            when adjustment_types.default_disposition = 'charged' and contracts.account_id is null
                then 'suspended'
            else adjustment_types.default_disposition
        end as disposition
    from adjustments
    inner join adjustment_types
        on adjustments.adjustment_type = adjustment_types.adjustment_type
    left join applied_adjustments on adjustments.adjustment_id = applied_adjustments.adjustment_id
    left join contracts
        on adjustments.merchant_id = contracts.merchant_id and contracts.contract_order = 1
    where adjustment_types.equation_term = 'adjustments'
),

final as (
    select
        {{ accounting_date() }} as accounting_date,
        adjustment_id,
        channel,
        currency_code,
        adjustment_code,
        adjustment_type,
        disposition,
        case when disposition = 'charged' then account_id end as account_id,
        case when disposition = 'charged' then merchant_id end as merchant_id,
        case when disposition = 'charged' then contract_id end as contract_id,
        case when disposition = 'charged' then settlement_mode end as settlement_mode,
        suspense_item_id,
        retrieval_reference_number,
        reason_code,
        -(funds_effect_minor + fees_effect_minor) as taken_amount_minor,
        case when disposition = 'charged' then -funds_effect_minor else 0 end
            as charged_amount_minor,
        case when disposition = 'absorbed' then -funds_effect_minor else 0 end - fees_effect_minor
            as absorbed_amount_minor,
        case when disposition = 'applied_to_open_item' then -funds_effect_minor else 0 end
            as applied_amount_minor,
        case when disposition = 'suspended' then -funds_effect_minor else 0 end
            as suspended_amount_minor,
        {{ accounting_date() }} + reply_days as reply_due_on,
        file_id,
        line_number
    from disposed
)

select * from final
