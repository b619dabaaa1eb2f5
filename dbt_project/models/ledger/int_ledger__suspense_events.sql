{{ config(materialized='ephemeral') }}

{#-
    Items that the close of T opened (挂账) or found the counterpart of (解挂), with the file and line
    of the record that the item is.
-#}
with results as (
    select
        outcome,
        split_part(outcome, '_', 1) as side,
        outcome in ('system_resolved', 'channel_resolved') as is_release,
        suspense_item_id,
        channel,
        currency_code,
        case split_part(outcome, '_', 1)
            when 'system' then system_amount_minor
            else channel_amount_minor
        end as amount_minor,
        case split_part(outcome, '_', 1)
            when 'system' then system_transaction_id
            else channel_record_id
        end as record_id
    from {{ ref('reconciliation_results') }}
    where accounting_date = {{ accounting_date() }} and outcome is distinct from 'matched'
),

records as (
    select
        side,
        source_id,
        file_id,
        line_number
    from {{ ref('int_reconciliation__pool') }}
),

arrival_groups as (
    select
        channel,
        currency_code,
        arrival_group_id
    from {{ ref('int_calendar__arrival_groups') }}
    where accounting_date = {{ accounting_date() }}
),

-- Without an arrival group what the channel owes has no sub-ledger, which the contract refuses.
final as (
    select
        case when results.is_release then 'suspense_release' else 'suspense_posting' end
            as event_type,
        results.side as posting_case,
        'SUS:' || results.outcome || ':' || results.suspense_item_id as posting_id,
        'SUS-' || results.suspense_item_id as voucher_id,
        results.suspense_item_id as source_id,
        'file_line' as source_kind,
        results.channel,
        cast(null as text) as settlement_mode,
        results.currency_code,
        results.amount_minor,
        cast(null as text) as account_id,
        arrival_groups.arrival_group_id,
        cast(null as text) as bank_account_id,
        false as is_catch_up,
        records.file_id,
        records.line_number,
        cast(null as text) as decision_id
    from results
    left join records
        on results.side = records.side
        and results.record_id = records.source_id
    left join arrival_groups
        on results.channel = arrival_groups.channel
        and results.currency_code = arrival_groups.currency_code
)

select * from final
