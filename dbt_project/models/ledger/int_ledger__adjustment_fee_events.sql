{{ config(materialized='ephemeral') }}

{#-
    Fees given back, or taken again, with an adjustment or by a late approval of terms; no term of
    the equation. Each comes from the record, the decision or the change that its entry comes from.
-#}
with adjustment_fees as (
    select
        entry_id,
        account_id,
        channel,
        currency_code,
        source_id,
        transaction_type,
        fee_amount_minor,
        deducted_fee_amount_minor,
        settlement_mode
    from {{ ref('int_pricing__adjustment_fees') }}
),

channel_adjustments as (
    select
        adjustment_id,
        file_id,
        line_number
    from {{ ref('channel_adjustments') }}
    where accounting_date = {{ accounting_date() }}
),

final as (
    select
        case adjustment_fees.transaction_type
            when 'term_adjustment' then 'term_adjustment'
            else 'adjustment_fee'
        end as event_type,
        parts.posting_case,
        'ADJFEE:' || adjustment_fees.entry_id || ':' || parts.posting_case as posting_id,
        'FEE-' || adjustment_fees.source_id as voucher_id,
        adjustment_fees.source_id,
        case
            when adjustment_fees.transaction_type = 'term_adjustment' then 'term_change'
            when adjustment_fees.source_id like 'ACT:%' then 'action'
            else 'file_line'
        end as source_kind,
        adjustment_fees.channel,
        adjustment_fees.settlement_mode,
        adjustment_fees.currency_code,
        parts.amount_minor,
        adjustment_fees.account_id,
        cast(null as text) as arrival_group_id,
        cast(null as text) as bank_account_id,
        false as is_catch_up,
        channel_adjustments.file_id,
        channel_adjustments.line_number,
        case
            when adjustment_fees.transaction_type = 'term_adjustment'
                then adjustment_fees.source_id
            when adjustment_fees.source_id like 'ACT:%' then substr(adjustment_fees.source_id, 5)
        end as decision_id
    from adjustment_fees
    cross join lateral (
        values
        ('deducted', adjustment_fees.deducted_fee_amount_minor),
        ('billed', adjustment_fees.fee_amount_minor - adjustment_fees.deducted_fee_amount_minor)
    ) as parts (posting_case, amount_minor)
    left join channel_adjustments on adjustment_fees.source_id = channel_adjustments.adjustment_id
)

select * from final
