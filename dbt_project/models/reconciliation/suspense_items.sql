{{ config(materialized='dated_partition', partition_by='accounting_date', tags=['close']) }}

{#-
    Every item that was open at some moment of T, with its state at the end of T: what the close
    of T−1 left open, aged, resolved or adjusted, and what the close of T opened.
-#}
with results as (
    select
        channel,
        currency_code,
        outcome,
        break_reason,
        system_transaction_id,
        channel_record_id,
        suspense_item_id,
        linked_result_id
    from {{ ref('reconciliation_results') }}
    where accounting_date = {{ accounting_date() }} and outcome is distinct from 'matched'
),

pool_before as (
    select
        side,
        source_id,
        suspense_item_id,
        channel,
        currency_code,
        amount_minor,
        transaction_type,
        transaction_at,
        file_id,
        line_number,
        account_id,
        match_key,
        match_rule,
        opened_on
    from {{ ref('int_reconciliation__pool') }}
    where is_open_item
),

pool_today as (
    select
        side,
        source_id,
        suspense_item_id,
        channel,
        currency_code,
        amount_minor,
        transaction_type,
        transaction_at,
        file_id,
        line_number,
        account_id,
        match_key,
        match_rule,
        opened_on
    from {{ ref('int_reconciliation__pool') }}
    where not is_open_item
),

adjusted_items as (
    select
        suspense_item_id,
        adjustment_id
    from {{ ref('int_reconciliation__adjusted_items') }}
),

channels as (
    select
        channel,
        doubt_period_closes
    from {{ ref('channels') }}
),

items_before as (
    select
        suspense_item_id,
        status,
        break_reason,
        linked_item_id,
        in_doubt_until
    from {{ this }}
    where
        accounting_date = {{ accounting_date() }} - 1
        and status in ('in_doubt', 'one_sided')
),

carried as (
    select
        pool_before.side,
        pool_before.source_id,
        pool_before.suspense_item_id,
        pool_before.channel,
        pool_before.currency_code,
        pool_before.amount_minor,
        pool_before.transaction_type,
        pool_before.transaction_at,
        pool_before.file_id,
        pool_before.line_number,
        pool_before.account_id,
        pool_before.match_key,
        pool_before.match_rule,
        pool_before.opened_on,
        items_before.break_reason,
        items_before.linked_item_id,
        items_before.in_doubt_until,
        case
            when results.suspense_item_id is not null then 'resolved'
            when adjusted_items.suspense_item_id is not null then 'adjusted'
            when items_before.status = 'in_doubt'
                and items_before.in_doubt_until > {{ accounting_date() }} then 'in_doubt'
            else 'one_sided'
        end as status,
        case
            when results.suspense_item_id is not null then 'late_match'
            when adjusted_items.suspense_item_id is not null then 'adjustment'
        end as resolution_method,
        case
            when results.suspense_item_id is not null and pool_before.side = 'system'
                then results.channel_record_id
            when results.suspense_item_id is not null then results.system_transaction_id
            else adjusted_items.adjustment_id
        end as resolved_by_id
    from pool_before
    inner join items_before on pool_before.suspense_item_id = items_before.suspense_item_id
    left join results
        on pool_before.suspense_item_id = results.suspense_item_id
        and results.outcome in ('system_resolved', 'channel_resolved')
    left join adjusted_items on pool_before.suspense_item_id = adjusted_items.suspense_item_id
),

opened as (
    select
        pool_today.side,
        pool_today.source_id,
        pool_today.suspense_item_id,
        pool_today.channel,
        pool_today.currency_code,
        pool_today.amount_minor,
        pool_today.transaction_type,
        pool_today.transaction_at,
        pool_today.file_id,
        pool_today.line_number,
        pool_today.account_id,
        pool_today.match_key,
        pool_today.match_rule,
        pool_today.opened_on,
        results.break_reason,
        substr(results.linked_result_id, 3) as linked_item_id,
        case
            when results.outcome in ('system_in_doubt', 'channel_in_doubt')
                then {{ accounting_date() }} + channels.doubt_period_closes
        end as in_doubt_until,
        case
            when results.outcome in ('system_in_doubt', 'channel_in_doubt') then 'in_doubt'
            else 'one_sided'
        end as status,
        cast(null as text) as resolution_method,
        cast(null as text) as resolved_by_id
    from pool_today
    inner join results
        on pool_today.suspense_item_id = results.suspense_item_id
        and results.outcome in (
            'system_in_doubt', 'channel_in_doubt', 'system_one_sided', 'channel_one_sided'
        )
    inner join channels on pool_today.channel = channels.channel
),

items as (
    select * from carried
    union all
    select * from opened
),

final as (
    select
        {{ accounting_date() }} as accounting_date,
        suspense_item_id,
        channel,
        currency_code,
        side,
        status,
        amount_minor,
        opened_on,
        {{ accounting_date() }} - opened_on as age_days,
        case when resolution_method is not null then {{ accounting_date() }} end as resolved_on,
        resolution_method,
        resolved_by_id,
        source_id,
        account_id,
        transaction_type,
        transaction_at,
        match_key,
        match_rule,
        file_id,
        line_number,
        break_reason,
        linked_item_id,
        in_doubt_until,
        -- Cash variance is channel minus system: what only the channel has is too much money.
        case
            when (side = 'channel') = (amount_minor > 0) then 'overage'
            else 'shortage'
        end as variance_kind,
        case
            when status in ('resolved', 'adjusted', 'written_off') then 'none'
            when status = 'in_doubt' then 'wait'
            when side = 'channel' and break_reason is not distinct from 'duplicate'
                then 'refund_through_credit_adjustment'
            when side = 'channel' and amount_minor > 0 then 'book_missing_order'
            when side = 'channel' then 'recover_from_merchant'
            else 'ask_channel'
        end as suggested_action
    from items
)

select * from final
