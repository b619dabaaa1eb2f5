{{ config(materialized='ephemeral') }}

{#-
    What two people decided about open items with effect on T: charged or credited to a merchant, or
    written off. A write-off took the item from suspense as our loss: charged later, it is no loss
    any more. Two items that cancel each other have one balance together: nothing to book.
-#}
with item_actions as (
    select
        action_id,
        action_kind,
        suspense_item_id,
        side,
        channel,
        currency_code,
        amount_minor,
        account_id,
        settlement_mode
    from {{ ref('int_reconciliation__item_actions') }}
    where refused_because is null and action_kind in ('adjust', 'write_off')
),

charged_write_offs as (
    select
        action_id,
        suspense_item_id,
        channel,
        currency_code,
        account_id,
        settlement_mode,
        charged_amount_minor
    from {{ ref('charged_write_offs') }}
    where accounting_date = {{ accounting_date() }}
),

decided as (
    select
        case action_kind when 'adjust' then 'manual_adjustment' else 'write_off' end as event_type,
        side as posting_case,
        action_id,
        suspense_item_id,
        channel,
        settlement_mode,
        currency_code,
        amount_minor,
        account_id
    from item_actions
    union all
    select
        'manual_adjustment' as event_type,
        'written_off' as posting_case,
        action_id,
        suspense_item_id,
        channel,
        settlement_mode,
        currency_code,
        charged_amount_minor as amount_minor,
        account_id
    from charged_write_offs
),

final as (
    select
        event_type,
        posting_case,
        'ACT:' || action_id || ':' || suspense_item_id as posting_id,
        'ACT-' || action_id as voucher_id,
        'ACT:' || action_id as source_id,
        'action' as source_kind,
        channel,
        settlement_mode,
        currency_code,
        amount_minor,
        account_id,
        cast(null as text) as arrival_group_id,
        cast(null as text) as bank_account_id,
        false as is_catch_up,
        cast(null as text) as file_id,
        cast(null as integer) as line_number,
        cast(action_id as text) as decision_id
    from decided
)

select * from final
