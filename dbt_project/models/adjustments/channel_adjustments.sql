{{ config(
    materialized='dated_partition', schema='clearing', partition_by='accounting_date',
    tags=['close']
) }}

{#-
    What became of each adjustment record (差错) of T: charged to the account of the sale it names,
    absorbed by us, applied to an open item, or suspended until somebody decides. Taken amounts are
    + when the channel took money from us. Fees on a record are always absorbed. Fee records
    (收付费) are another term and stand in channel_terms. docs/domain.md#adjustments
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
    from {{ ref('int_channels__adjustments') }}
    where accounting_date = {{ accounting_date() }}
),

adjustment_types as (
    select
        adjustment_type,
        equation_term,
        default_disposition
    from {{ ref('adjustment_types') }}
),

applied_adjustments as (
    select
        adjustment_id,
        target_item_id as suspense_item_id
    from {{ ref('int_reconciliation__applied_adjustments') }}
),

originals as (
    select
        adjustment_id,
        original_voucher_id,
        original_channel_record_id,
        original_merchant_id,
        original_account_id,
        sale_amount_minor,
        is_chargeable,
        waiting_reason
    from {{ ref('int_adjustments__originals') }}
),

-- Money of a credit adjustment may yet end an open item: of these it is not the sale's account's.
open_keys as (
    select distinct adjustments.adjustment_id
    from {{ ref('int_reconciliation__adjustments') }} as adjustments
    inner join {{ ref('int_reconciliation__pool') }} as pool
        on adjustments.channel = pool.channel
        and adjustments.match_key = pool.match_key
        and pool.is_open_item
),

case_deadlines as (
    select
        channel,
        adjustment_type,
        effective_from,
        days,
        day_kind
    from {{ ref('case_deadlines') }}
    where effective_from <= {{ accounting_date() }}
),

working_days as (
    select
        calendar_date,
        row_number() over (order by calendar_date) as day_no
    from {{ ref('calendar_days') }}
    where is_working_day and calendar_date > {{ accounting_date() }}
),

-- Beyond the last listed working day it is that day: too early, never too late.
deadlines as (
    select
        adjustments.adjustment_id,
        case case_deadlines.day_kind
            when 'calendar' then {{ accounting_date() }} + case_deadlines.days
            else coalesce(
                (
                    select max(working_days.calendar_date)
                    from working_days
                    where working_days.day_no <= case_deadlines.days
                ),
                {{ accounting_date() }}
            )
        end as due_on,
        row_number() over (
            partition by adjustments.adjustment_id
            order by case_deadlines.channel = '*', case_deadlines.effective_from desc
        ) as place
    from adjustments
    inner join case_deadlines
        on adjustments.adjustment_type = case_deadlines.adjustment_type
        and case_deadlines.channel in (adjustments.channel, '*')
),

contracts as (
    select
        contract_id,
        merchant_id,
        account_id,
        settlement_mode,
        row_number() over (
            partition by merchant_id, account_id
            order by effective_from desc, contract_id
        ) as contract_order
    from {{ ref('int_terms__contracts') }}
    where
        snapshot_date = {{ accounting_date() }}
        and {{ in_force(accounting_date()) }}
),

judged as (
    select
        adjustments.*,
        deadlines.due_on,
        adjustment_types.default_disposition,
        applied_adjustments.suspense_item_id,
        originals.original_voucher_id,
        originals.original_channel_record_id,
        originals.original_merchant_id,
        contracts.contract_id,
        contracts.account_id,
        contracts.settlement_mode,
        originals.is_chargeable
        and (
            adjustment_types.default_disposition = 'charged' or open_keys.adjustment_id is null
        ) as is_chargeable,
        case
            when applied_adjustments.suspense_item_id is not null
                or adjustments.funds_effect_minor = 0
                or (
                    adjustment_types.default_disposition <> 'charged'
                    and adjustments.adjustment_type <> 'credit_adjustment'
                )
                then null
            when originals.adjustment_id is null then 'unknown_original'
            when originals.waiting_reason is not null then originals.waiting_reason
            when originals.is_chargeable and contracts.account_id is null then 'no_contract'
        end as reason
    from adjustments
    inner join adjustment_types
        on adjustments.adjustment_type = adjustment_types.adjustment_type
    left join applied_adjustments on adjustments.adjustment_id = applied_adjustments.adjustment_id
    left join originals on adjustments.adjustment_id = originals.adjustment_id
    left join open_keys on adjustments.adjustment_id = open_keys.adjustment_id
    left join deadlines
        on adjustments.adjustment_id = deadlines.adjustment_id and deadlines.place = 1
    left join contracts
        on originals.original_merchant_id = contracts.merchant_id
        and originals.original_account_id = contracts.account_id
        and contracts.contract_order = 1
    where adjustment_types.equation_term = 'adjustments'
),

disposed as (
    select
        judged.*,
        case
            when suspense_item_id is not null then 'applied_to_open_item'
            when funds_effect_minor = 0 then 'no_funds'
            when default_disposition not in ('charged', 'suspended') then default_disposition
            -- Nobody's account is chosen for a record that names no sale of ours.
            when is_chargeable and reason is null then 'charged'
            else 'suspended'
        end as disposition
    from judged
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
        case when disposition = 'charged' then original_merchant_id end as merchant_id,
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
        -fees_effect_minor as absorbed_cost_amount_minor,
        case when disposition = 'applied_to_open_item' then -funds_effect_minor else 0 end
            as applied_amount_minor,
        case when disposition = 'suspended' then -funds_effect_minor else 0 end
            as suspended_amount_minor,
        due_on as reply_due_on,
        file_id,
        line_number,
        original_voucher_id,
        original_channel_record_id,
        case when disposition = 'suspended' then reason end as suspended_reason
    from disposed
)

select * from final
