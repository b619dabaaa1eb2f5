{{ config(materialized='ephemeral') }}

{#-
    Fees given back, or taken again, with an adjustment or by a late approval of terms; no term of
    the equation. Each comes from the record, the decision or the change that its entry comes from.
-#}
with clearing_entries as (
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
    from {{ ref('clearing_entries') }}
    where accounting_date = {{ accounting_date() }} and clearing_session_type = 'adjustment'
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
        case clearing_entries.transaction_type
            when 'term_adjustment' then 'term_adjustment'
            else 'adjustment_fee'
        end as event_type,
        parts.posting_case,
        'ADJFEE:' || clearing_entries.entry_id || ':' || parts.posting_case as posting_id,
        'FEE-' || clearing_entries.source_id as voucher_id,
        clearing_entries.source_id,
        case
            when clearing_entries.transaction_type = 'term_adjustment' then 'term_change'
            when clearing_entries.source_id like 'ACT:%' then 'action'
            else 'file_line'
        end as source_kind,
        clearing_entries.channel,
        clearing_entries.settlement_mode,
        clearing_entries.currency_code,
        parts.amount_minor,
        clearing_entries.account_id,
        cast(null as text) as arrival_group_id,
        cast(null as text) as bank_account_id,
        false as is_catch_up,
        channel_adjustments.file_id,
        channel_adjustments.line_number,
        case
            when clearing_entries.transaction_type = 'term_adjustment'
                then clearing_entries.source_id
            when clearing_entries.source_id like 'ACT:%' then substr(clearing_entries.source_id, 5)
        end as decision_id
    from clearing_entries
    cross join lateral (
        values
        ('deducted', clearing_entries.deducted_fee_amount_minor),
        ('billed', clearing_entries.fee_amount_minor - clearing_entries.deducted_fee_amount_minor)
    ) as parts (posting_case, amount_minor)
    left join channel_adjustments on clearing_entries.source_id = channel_adjustments.adjustment_id
)

select * from final
