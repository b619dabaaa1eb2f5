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
        match_rule,
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
        fallback_key_1,
        fallback_key_2,
        opened_on,
        merchant_ids,
        terminal_id
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
        fallback_key_1,
        fallback_key_2,
        opened_on,
        merchant_ids,
        terminal_id
    from {{ ref('int_reconciliation__pool') }}
    where not is_open_item
),

-- What a sale's fee was, so that a close that charges the sale back can give it back.
priced_vouchers as (
    select
        voucher_id,
        settlement_mode,
        fee_amount_minor
    from {{ ref('int_pricing__priced_vouchers') }}
),

adjusted_items as (
    select
        suspense_item_id,
        adjustment_id,
        approvers
    from {{ ref('int_reconciliation__adjusted_items') }}
),

-- A record of T under the key of an item from before, with another amount: both are linked now.
linked_today as (
    select
        system_item_id,
        channel_item_id,
        break_reason
    from {{ ref('int_reconciliation__pairs') }}
    where pair_kind = 'mismatch'
),

item_actions as (
    select
        action_id,
        action_kind,
        suspense_item_id,
        approvers
    from {{ ref('int_reconciliation__item_actions') }}
    where refused_because is null
),

manual_pairs as (
    select
        system_item_id,
        channel_item_id,
        approvers
    from {{ ref('int_reconciliation__manual_pairs') }}
),

known_records as (
    select
        suspense_item_id,
        break_reason,
        account_id
    from {{ ref('int_reconciliation__known_records') }}
),

contracts as (
    select
        merchant_id,
        account_id,
        channel_merchant_ids
    from {{ ref('int_terms__contracts') }}
    where
        snapshot_date = {{ accounting_date() }}
        and {{ in_force(accounting_date()) }}
),

suggestion_rules as (
    select
        rule_no,
        suggestion_rule,
        side,
        status,
        amount_sign,
        break_reason,
        age_days_min,
        suggested_action
    from {{ ref('suggestion_rules') }}
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
        in_doubt_until,
        fee_amount_minor,
        deducted_fee_amount_minor
    from {{ this }}
    where
        accounting_date = {{ accounting_date() }} - 1
        and status in ('in_doubt', 'one_sided')
),

-- Whose money a channel took back without a voucher: the only account of the merchant it names.
named_merchants as (
    select
        channels.channel,
        contracts.merchant_id as channel_merchant_id,
        contracts.account_id
    from contracts
    cross join channels
    union
    select
        split_part(known.channel_and_id, ':', 1) as channel,
        substr(known.channel_and_id, strpos(known.channel_and_id, ':') + 1) as channel_merchant_id,
        contracts.account_id
    from contracts
    cross join lateral string_to_table(contracts.channel_merchant_ids, ' ')
        as known (channel_and_id)
),

named_accounts as (
    select
        channel,
        channel_merchant_id,
        min(account_id) as account_id
    from named_merchants
    group by channel, channel_merchant_id
    having count(distinct account_id) = 1
),

links as (
    select
        system_item_id as suspense_item_id,
        channel_item_id as linked_item_id,
        break_reason
    from linked_today
    union all
    select
        channel_item_id as suspense_item_id,
        system_item_id as linked_item_id,
        break_reason
    from linked_today
),

manual_items as (
    select
        system_item_id as suspense_item_id,
        approvers
    from manual_pairs
    union all
    select
        channel_item_id as suspense_item_id,
        approvers
    from manual_pairs
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
        coalesce(pool_before.account_id, known_records.account_id) as account_id,
        pool_before.match_key,
        pool_before.fallback_key_1,
        pool_before.fallback_key_2,
        pool_before.merchant_ids,
        pool_before.terminal_id,
        items_before.fee_amount_minor,
        items_before.deducted_fee_amount_minor,
        results.match_rule,
        pool_before.opened_on,
        coalesce(links.break_reason, known_records.break_reason, items_before.break_reason)
            as break_reason,
        coalesce(links.linked_item_id, items_before.linked_item_id) as linked_item_id,
        items_before.in_doubt_until,
        case
            when results.suspense_item_id is not null then 'resolved'
            when adjusted_items.suspense_item_id is not null then 'adjusted'
            when item_actions.action_kind = 'write_off' then 'written_off'
            when item_actions.suspense_item_id is not null then 'adjusted'
            when links.suspense_item_id is not null then 'one_sided'
            when known_records.suspense_item_id is not null then 'one_sided'
            when items_before.status = 'in_doubt'
                and items_before.in_doubt_until > {{ accounting_date() }} then 'in_doubt'
            else 'one_sided'
        end as status,
        case
            when manual_items.suspense_item_id is not null then 'manual_match'
            when results.suspense_item_id is not null then 'late_match'
            when adjusted_items.suspense_item_id is not null then 'adjustment'
            when item_actions.action_kind = 'adjust' then 'manual_adjustment'
            else item_actions.action_kind
        end as resolution_method,
        case
            when results.suspense_item_id is not null and pool_before.side = 'system'
                then results.channel_record_id
            when results.suspense_item_id is not null then results.system_transaction_id
            when adjusted_items.suspense_item_id is not null then adjusted_items.adjustment_id
            else 'ACT:' || item_actions.action_id
        end as resolved_by_id,
        coalesce(manual_items.approvers, item_actions.approvers, adjusted_items.approvers)
            as approvers
    from pool_before
    inner join items_before on pool_before.suspense_item_id = items_before.suspense_item_id
    left join results
        on pool_before.suspense_item_id = results.suspense_item_id
        and results.outcome in ('system_resolved', 'channel_resolved')
    left join adjusted_items on pool_before.suspense_item_id = adjusted_items.suspense_item_id
    left join item_actions on pool_before.suspense_item_id = item_actions.suspense_item_id
    left join manual_items on pool_before.suspense_item_id = manual_items.suspense_item_id
    left join links on pool_before.suspense_item_id = links.suspense_item_id
    left join known_records on pool_before.suspense_item_id = known_records.suspense_item_id
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
        -- The channel says whom it took it from; a voucher that is refused says what it likes.
        coalesce(pool_today.account_id, named_accounts.account_id, known_records.account_id)
            as account_id,
        pool_today.match_key,
        pool_today.fallback_key_1,
        pool_today.fallback_key_2,
        pool_today.merchant_ids,
        pool_today.terminal_id,
        priced_vouchers.fee_amount_minor,
        case priced_vouchers.settlement_mode
            when 'net' then priced_vouchers.fee_amount_minor
            when 'gross' then 0
        end as deducted_fee_amount_minor,
        cast(null as text) as match_rule,
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
        cast(null as text) as resolved_by_id,
        cast(null as text) as approvers
    from pool_today
    inner join results
        on pool_today.suspense_item_id = results.suspense_item_id
        and results.outcome in (
            'system_in_doubt', 'channel_in_doubt', 'system_one_sided', 'channel_one_sided'
        )
    inner join channels on pool_today.channel = channels.channel
    left join priced_vouchers
        on pool_today.side = 'system' and pool_today.source_id = priced_vouchers.voucher_id
    left join known_records on pool_today.suspense_item_id = known_records.suspense_item_id
    left join named_accounts
        on pool_today.side = 'channel'
        and pool_today.amount_minor < 0
        and pool_today.channel = named_accounts.channel
        and pool_today.merchant_ids = named_accounts.channel_merchant_id
),

items as (
    select * from carried
    union all
    select * from opened
),

-- The first rule that fits says what to do; an item that ended needs nothing.
suggestions as (
    select
        items.suspense_item_id,
        suggestion_rules.suggestion_rule,
        suggestion_rules.suggested_action,
        row_number() over (
            partition by items.suspense_item_id
            order by suggestion_rules.rule_no
        ) as rule_order
    from items
    inner join suggestion_rules
        on items.status = suggestion_rules.status
        and items.side = coalesce(suggestion_rules.side, items.side)
        and sign(items.amount_minor) = coalesce(
            suggestion_rules.amount_sign, sign(items.amount_minor)
        )
        and (
            suggestion_rules.break_reason is null
            or items.break_reason = suggestion_rules.break_reason
        )
        and {{ accounting_date() }} - items.opened_on >= suggestion_rules.age_days_min
),

final as (
    select
        {{ accounting_date() }} as accounting_date,
        items.suspense_item_id,
        items.channel,
        items.currency_code,
        items.side,
        items.status,
        items.amount_minor,
        items.opened_on,
        {{ accounting_date() }} - items.opened_on as age_days,
        case when items.resolution_method is not null then {{ accounting_date() }} end
            as resolved_on,
        items.resolution_method,
        items.resolved_by_id,
        items.approvers,
        items.source_id,
        items.account_id,
        items.transaction_type,
        items.transaction_at,
        items.match_key,
        items.fallback_key_1,
        items.fallback_key_2,
        items.merchant_ids,
        items.terminal_id,
        items.fee_amount_minor,
        items.deducted_fee_amount_minor,
        items.match_rule,
        items.file_id,
        items.line_number,
        items.break_reason,
        items.linked_item_id,
        items.in_doubt_until,
        -- Cash variance is channel minus system: what only the channel has is too much money.
        case
            when (items.side = 'channel') = (items.amount_minor > 0) then 'overage'
            else 'shortage'
        end as variance_kind,
        coalesce(suggestions.suggested_action, 'none') as suggested_action,
        suggestions.suggestion_rule
    from items
    left join suggestions
        on items.suspense_item_id = suggestions.suspense_item_id and suggestions.rule_order = 1
)

select * from final
